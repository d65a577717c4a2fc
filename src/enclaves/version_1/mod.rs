//! Enclaves 1.0 (enclaves §2): a header of sender, recipient, number and time in all that is encrypted; direct links.
