//! R1, R25: whatever arrives, nothing panics; and a frame that is refused changes nothing but counters, in every state of
//! every role, byte for byte of the state digest. R4, R46: nor does it show on the wire, then or later, whatever the reason.
//!
//! Sessions run in the simulator, and at each (message, state of its receiver) the frame and a copy of the machine are
//! kept. Then mutants of the frame are given to copies of the machine: bytes turned, cut, added and spliced; and one
//! field changed, clear or inside the box, and made authentic again under the right key.
#![cfg(all(feature = "sim", feature = "rustcrypto"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../support/keyring.rs"]
mod keyring;

mod feed;
mod machine;
mod mutants;
mod sessions;

use std::collections::{BTreeMap, BTreeSet};

use sodality::crypto::Suite;
use sodality::error::Reason;
use sodality::sim::{SimRng, Tables};
use sodality::wire::Header;
use sodality::wire::mutate::{self, mix};

use feed::{Count, Ready, feed, outlive};
use machine::{Sample, drain};
use mutants::mutants;
use sessions::{Cell, sessions};

const SEED: u64 = 0x0dd_f4a3e5;

/// What must be reached: p mutants that parse, k that are authentic, r refused, R refused though authentic, a accepted,
/// e that end something. No letter stands where it cannot be: nobody has keys with an idle member, a refusal of data ends
/// nothing, what is unprotected is not authentic; of a private word the digest is looked at before its box.
#[rustfmt::skip]
const REACHED: &[(&str, &str, &str)] = &[
    ("RA-CL", "M behind", "pkrRae"),
    ("RA-CL", "M confirming", "pkrRae"),
    ("RA-CL", "M ending", "pkrRa"),
    ("RA-CL", "M held", "pkrRae"),
    ("RA-CL", "M idle", "pr"),
    ("RA-CL", "M in", "pkrRae"),
    ("RA-CL", "M paging", "pkrRae"),
    ("RA-CL", "M stale", "pkrRae"),
    ("RA-CM", "L admitted", "pkrRae"),
    ("RA-CM", "L lingering", "pkrRa"),
    ("RA-CM", "L member", "pkrRae"),
    ("RA-CM", "L offered", "pkrRae"),
    ("RA-CM", "L suspected", "pkrRae"),
    ("RA-D", "L member (Both)", "pkrRa"),
    ("RA-D", "L member (Both, hidden)", "pkrRa"),
    ("RA-D", "L member (Both, signed)", "pkrRa"),
    ("RA-D", "L member (Confidentiality)", "pkrRa"),
    ("RA-D", "L member (Confidentiality, hidden)", "pkrRa"),
    ("RA-D", "L member (Confidentiality, signed)", "pkrRa"),
    ("RA-D", "L member (Integrity)", "pkrRa"),
    ("RA-D", "L member (Integrity, hidden)", "pkrRa"),
    ("RA-D", "L member (Integrity, signed)", "pkrRa"),
    ("RA-D", "L member (None)", "pra"),
    ("RA-D", "L member (None, hidden)", "pra"),
    ("RA-D", "M behind (Both, signed)", "pra"),
    ("RA-D", "M ending", "pr"),
    ("RA-D", "M in (Both)", "pkrRa"),
    ("RA-D", "M in (Both, hidden)", "pkrRa"),
    ("RA-D", "M in (Both, signed)", "pkrRa"),
    ("RA-D", "M in (Confidentiality)", "pkrRa"),
    ("RA-D", "M in (Confidentiality, hidden)", "pkrRa"),
    ("RA-D", "M in (Confidentiality, signed)", "pkrRa"),
    ("RA-D", "M in (Integrity)", "pkrRa"),
    ("RA-D", "M in (Integrity, hidden)", "pkrRa"),
    ("RA-D", "M in (Integrity, signed)", "pkrRa"),
    ("RA-D", "M in (None)", "pra"),
    ("RA-D", "M in (None, hidden)", "pra"),
    ("RA-D", "M stale (Both, signed)", "pra"),
    ("RA-H", "M behind", "pkra"),
    ("RA-H", "M ending", "pr"),
    ("RA-H", "M idle", "pr"),
    ("RA-H", "M in", "pkra"),
    ("RA-J1", "L deciding", "pra"),
    ("RA-J1", "L member", "pra"),
    ("RA-J1", "L offered", "pra"),
    ("RA-J1", "L refused", "pra"),
    ("RA-J1", "L unknown", "pra"),
    ("RA-J1", "L waiting", "pra"),
    ("RA-J2", "M asking", "pkra"),
    ("RA-J2", "M confirming", "pr"),
    ("RA-J2", "M in", "pr"),
    ("RA-P", "L member", "pr"),
    ("RA-P", "M in", "pr"),
    ("RA-R", "M behind", "pkrRa"),
    ("RA-R", "M confirming", "pkrRa"),
    ("RA-R", "M ending", "pr"),
    ("RA-R", "M held", "pkra"),
    ("RA-R", "M in", "pkrRa"),
    ("RA-R", "M stale", "pkra"),
    ("RA-T1", "T idle", "pkra"),
    ("RA-T1", "T looking up", "pkra"),
    ("RA-T2", "L deciding", "pr"),
    ("RA-T2", "L unasked", "pr"),
    ("RA-T2", "L waiting", "pkra"),
];

/// Reasons that must be met, so that what is said of the wire holds whatever the reason.
const REASONS: &[Reason] = &[
    Reason::Malformed,
    Reason::Mismatch,
    Reason::Misdirected,
    Reason::Unknown,
    Reason::Forged,
    Reason::Replayed,
    Reason::OldEpoch,
    Reason::BeforeJoin,
    Reason::NoSuchEpoch,
    Reason::OtherGroup,
    Reason::Echo,
    Reason::Protection,
    Reason::NotMember,
    Reason::Violation,
    Reason::Budget,
    Reason::NotCurrent,
    Reason::Ended,
];

#[test]
fn a_refused_frame_changes_nothing_but_counters() {
    println!("seed {SEED:#x}");
    let tables = Tables::default();
    let samples = sessions();
    let (mut rng, mut sent) = (SEED, 0);
    let mut table: BTreeMap<&Cell, Count> = BTreeMap::new();
    let examples: BTreeMap<&str, &Sample> = samples.iter().map(|((id, _), kept)| (*id, &kept[0])).collect();
    for (cell, kept) in &samples {
        let count = table.entry(cell).or_default();
        for sample in kept {
            let mut machine = sample.machine.clone();
            drain(&mut machine, sample.at, &mut SimRng::new(SEED));
            let digest = machine.digest(sample.at);
            assert_eq!(digest, machine.clone().digest(sample.at), "a copy is the same");
            let undisturbed = outlive(&mut machine.clone(), sample, || "undisturbed".into());
            sent += undisturbed.len();
            let ready = Ready { machine, digest, undisturbed };
            let other = &examples[["RA-CL", "RA-D", "RA-R", "RA-J1"][(mix(&mut rng) % 4) as usize]].frame;
            for mutant in mutants(sample, other, &tables, &mut rng) {
                if mutant != sample.frame {
                    feed(sample, &ready, &mutant, &tables, count);
                }
            }
            // Well-formed messages of every type, and true ones of other sessions.
            let suite = sample.ring.id();
            for info in sodality::wire::TABLES.into_iter().flatten() {
                let mut random = || mix(&mut rng);
                let clear = mutate::arbitrary_value(info.name, info.clear, &mut random).unwrap();
                let header = Header { system: info.system, edition: info.edition, suite };
                let frame = info.compose(header, &clear.to_bytes(), &[7; 40], &[9; 16]);
                feed(sample, &ready, &frame, &tables, &mut Count::default());
            }
            for example in examples.values().filter(|example| !std::ptr::eq(**example, sample)) {
                feed(sample, &ready, &example.frame, &tables, &mut Count::default());
            }
            assert_eq!(ready.machine.digest(sample.at), ready.digest, "copies share nothing that changes");
        }
    }
    println!(
        "{:<7}{:<38}{:>8}{:>8}{:>10}{:>9}{:>10}{:>9}{:>7}",
        "", "", "mutants", "parsed", "authentic", "refused", "authentic", "accepted", "ended"
    );
    for ((id, state), c) in &table {
        println!(
            "{id:<7}{state:<38}{:>8}{:>8}{:>10}{:>9}{:>10}{:>9}{:>7}  {:?}",
            c.mutants, c.parsed, c.authentic, c.rejected, c.rejected_authentic, c.accepted, c.ended, c.why
        );
    }
    let reasons: BTreeSet<Reason> = table.values().flat_map(|count| count.why.iter().copied()).collect();
    println!("{} reasons: {reasons:?}; {sent} frames sent by machines that were left alone", reasons.len());
    assert!(sent > 0 && REASONS.iter().all(|why| reasons.contains(why)), "reasons met: {reasons:?}");
    let mut wrong = Vec::new();
    for (id, state, wanted) in REACHED {
        let count = table.get(&(*id, state.to_string())).cloned().unwrap_or_default();
        for letter in wanted.chars() {
            let cell = match letter {
                'p' => count.parsed,
                'k' => count.authentic,
                'r' => count.rejected,
                'R' => count.rejected_authentic,
                'a' => count.accepted,
                _ => count.ended,
            };
            if cell == 0 {
                wrong.push(format!("{id} {state}: {letter} of {wanted}"));
            }
        }
    }
    let listed: BTreeSet<_> = REACHED.iter().map(|(id, state, _)| (*id, *state)).collect();
    let unlisted = table.keys().filter(|(id, state)| !listed.contains(&(*id, state.as_str())));
    wrong.extend(unlisted.map(|(id, state)| format!("{id} {state}: nothing is said of what must be reached")));
    assert_eq!(wrong, [""; 0], "what was not reached");
}
