//! The messages of Enclaves, declared once each.
//!
//! * [`version_1`]: Enclaves 1.0 (enclaves §2);
//! * [`version_2`]: Enclaves 2.0 as published (enclaves §3);
//! * [`auth`]: what the ways of authentication put into the first three messages of the repaired edition;
//! * [`repaired`]: the chained-nonce protocol, with what this library adds to it (enclaves §4).

pub mod auth;
pub mod repaired;
pub mod version_1;
pub mod version_2;
