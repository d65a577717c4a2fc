//! A member of a group of repaired Enclaves.
