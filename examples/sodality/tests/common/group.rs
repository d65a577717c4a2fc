//! A running group of three.

use std::fs;
use std::time::Duration;

use super::{Party, QUICK, Scratch};

/// After this everybody sends under the new key.
pub(crate) const SETTLED: Duration = Duration::from_millis(300);

/// A leader `lea` with two members, who notice quickly when one is lost.
pub(crate) struct Group {
    pub(crate) scratch: Scratch,
    pub(crate) ttp_at: String,
    pub(crate) at: String,
    _ttp: Party,
    pub(crate) lea: Party,
    pub(crate) ada: Party,
    pub(crate) bob: Party,
}

impl Group {
    /// All are there, and know it; the members are started with `more`.
    pub(crate) fn of_three(test: &str, more: &[&str]) -> Self {
        let scratch = Scratch::new(test);
        fs::write(scratch.path("quick.toml"), QUICK).unwrap();
        scratch.register(&["ada", "bob"]);
        let mut ttp = scratch.ttp();
        let ttp_at = ttp.address();
        let mut lea = scratch.lead(&ttp_at, &["--policy", "quick.toml"]);
        let at = lea.address();
        let mut ada = scratch.join("ada", &at, more);
        ada.sees("joined", "");
        let mut bob = scratch.join("bob", &at, more);
        bob.sees("joined", "");
        ada.sees("member-added", "\"name\":\"bob\"");
        lea.sees("member-added", "\"name\":\"bob\"");
        Self { scratch, ttp_at, at, _ttp: ttp, lea, ada, bob }
    }
}
