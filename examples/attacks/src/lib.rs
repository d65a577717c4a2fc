//! Attacks on Antigone and Enclaves, run: the rows of `docs/specification/attacks.md`, against the editions as published and
//! against the repaired ones. Antigone shows A1 to A23, G1 to G7, X1, X2, X4, X5, X7, X12, X13, X15; Enclaves E1 to E16, G2, X3,
//! X6 to X11.
//!
//! * A [`Row`] says what it is about: the report's section, who the attacker is and what it holds, the steps, what it
//!   reaches, the defence. One file each, under [`rows`].
//! * [`run()`] plays a row in a [`Cell`] and holds the result to the rules: an attack that wins comes to nothing in its
//!   **control run**, the same steps with its key or its message withheld; an attack that a named check stops wins with that
//!   check switched off, and with no other change.
//! * [`matrix`] is all of it at once; `docs/attack-matrix.md` is what it comes to.
//!
//! An attack knows the network ([`scene::wire`]) and the keys that its row says it holds ([`craft`]). It never looks into a
//! victim's machine. Whether it wins is judged by what the victims tell their own applications, by frames on the wire, and by
//! secrets that the attacker shows it has: it opens with them what is not meant for it.
//!
//! One seed decides everything in a run; [`SEED`] unless another is given.
#![forbid(unsafe_code)]

pub mod craft;
pub mod matrix;
pub mod row;
pub mod rows;
pub mod run;
pub mod scene;

pub use row::{Cell, Class, Edition, Failed, Fault, Guard, Outcome, Play, Ran, Row, Setup, Suite, System, Who};
pub use rows::ROWS;
pub use run::{Report, run};

/// The seed of all runs, unless another is given.
pub const SEED: u64 = 11;

/// The rows of this id, in whatever case: two where both systems show it.
pub fn find(id: &str) -> Vec<&'static Row> {
    ROWS.iter().copied().filter(|row| row.id.eq_ignore_ascii_case(id)).collect()
}
