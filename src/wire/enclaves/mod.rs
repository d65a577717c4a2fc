//! The messages of Enclaves, declared once each.
//!
//! * [`version_1`]: Enclaves 1.0 (enclaves §2);
//! * [`version_2`]: Enclaves 2.0 as published (enclaves §3);
//! * [`repaired`]: the chained-nonce protocol, with what this library adds to it (enclaves §4).

pub mod repaired;
pub mod version_1;
pub mod version_2;
