//! The leader of a group of repaired Enclaves.
