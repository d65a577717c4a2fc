//! What a frame does to a machine, held against the rules.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::BytesMut;
use sodality::endpoint::{Cx, Endpoint, Instant, Transmit, Wake};
use sodality::error::Reason;
use sodality::event::Event;
use sodality::sim::{SimRng, Tables, star};

use crate::SEED;
use crate::machine::{Machine, Sample, drain};

#[derive(Default, Debug, Clone)]
pub(crate) struct Count {
    pub(crate) mutants: usize,
    pub(crate) parsed: usize,
    pub(crate) authentic: usize,
    pub(crate) rejected: usize,
    pub(crate) rejected_authentic: usize,
    pub(crate) accepted: usize,
    pub(crate) ended: usize,
    pub(crate) why: BTreeSet<Reason>,
}

/// A machine that has said what it had to say, its digest, and what it goes on to send if nothing is refused meanwhile.
pub(crate) struct Ready {
    pub(crate) machine: Machine,
    pub(crate) digest: Vec<u8>,
    pub(crate) undisturbed: Vec<(Instant, Transmit)>,
}

/// Gives a mutant to a copy of the machine, and holds what happens against the rules.
pub(crate) fn feed(sample: &Sample, ready: &Ready, mutant: &[u8], tables: &Tables, count: &mut Count) {
    let (now, mut rng, mut unchanged) = (sample.at, SimRng::new(SEED), false);
    let Ready { machine: ready, digest, undisturbed } = ready;
    let mut machine = ready.clone();
    let state = machine.state(mutant, tables);
    let rejections = machine.end().stats().rejections();
    let verified = sample.ring.verified();
    machine.end().handle_frame(&mut Cx::new(now, &mut rng), sample.link, BytesMut::from(mutant)).unwrap();
    let mut events = Vec::new();
    while let Some(event) = machine.end().poll_event() {
        events.push(event);
    }
    // The third party's database answers at once.
    if let (Machine::Third(third), Some(Event::LookupWanted { ticket, leader, member })) =
        (&mut machine, events.first().cloned())
    {
        let records = star::records(&sample.ring, &leader, &member);
        third.answer(&mut Cx::new(now, &mut rng), ticket, &records).unwrap();
        while let Some(event) = third.poll_event() {
            events.push(event);
        }
    }
    let authentic = sample.ring.verified() > verified;
    let id = tables.id(mutant);
    let parsed = tables.dissect(mutant).is_some();
    let tell = || {
        let mutant = format!("{id} as {mutant:02x?}");
        format!("{mutant}\nin {state} at {now:?}: {events:?}\nauthentic {authentic}")
    };
    count.mutants += 1;
    count.parsed += usize::from(parsed);
    count.authentic += usize::from(authentic);
    let refused: Vec<Reason> = events
        .iter()
        .filter_map(|event| match event {
            Event::Rejected { why, .. } => Some(*why),
            _ => None,
        })
        .collect();
    let counted = machine.end().stats().rejections() - rejections;
    assert_eq!(counted, refused.len() as u64, "each refusal is counted once: {}", tell());
    // At an install, frames that came before their key and still have none are given up (RA §4.4): others, not this one.
    let installs = events.iter().any(|event| matches!(event, Event::Installed { .. }));
    let refused: Vec<_> = refused.into_iter().filter(|why| !(installs && *why == Reason::EarlyEpoch)).collect();
    assert!(refused.len() < 2, "one reason for one frame: {}", tell());
    match refused.first() {
        Some(why) => {
            assert!(!matches!(why, Reason::Entropy | Reason::Suite), "nothing fails here: {}", tell());
            count.rejected += 1;
            count.rejected_authentic += usize::from(authentic);
            count.why.insert(*why);
            if machine.digest(now) != *digest {
                assert!(authentic, "a refused frame that nobody sealed has changed the state: {}", tell());
                assert!(
                    ends(&state, *why, &machine, mutant, tables),
                    "a refused frame has changed the state: {}",
                    tell()
                );
                count.ended += 1;
            } else {
                let (frames, later) = drain(&mut machine, now, &mut rng);
                assert_eq!((frames, later), (Vec::new(), Vec::new()), "a refused frame is answered: {}", tell());
                unchanged = true;
            }
        }
        None => {
            count.accepted += 1;
            assert!(parsed, "accepted, but not a message: {}", tell());
            // What may be taken in unproven: a join request, which touches nobody; data that waits for its key, within
            // bounds; data without protection. A question to the third party is judged by its answer.
            let unproven = match (&machine, id) {
                (Machine::Leader(_), "RA-J1") => true,
                (Machine::Member(_), "RA-D") if events.is_empty() => true,
                (_, "RA-D") => state.contains("(None"),
                _ => false,
            };
            assert!(authentic || unproven, "accepted without a proof: {}", tell());
        }
    }
    let sent = outlive(&mut machine, sample, tell);
    if unchanged {
        // R4, R46: whatever the reason, and whether there was a frame to refuse at all.
        assert_eq!(&sent, undisturbed, "a refusal shows on the wire later on: {}", tell());
    }
}

/// Life goes on, for a while and with the true frame. What is sent meanwhile, and when.
pub(crate) fn outlive(machine: &mut Machine, sample: &Sample, tell: impl Fn() -> String) -> Vec<(Instant, Transmit)> {
    let (now, mut rng, mut sent) = (sample.at, SimRng::new(SEED), Vec::new());
    let mut at = now;
    for wait in [0, 1_000, 600_000, 20_000_000] {
        at = at + Duration::from_micros(wait);
        if wait == 1_000 {
            machine
                .end()
                .handle_frame(&mut Cx::new(at, &mut rng), sample.link, BytesMut::from(&*sample.frame))
                .unwrap();
        }
        machine.end().handle_timeout(&mut Cx::new(at, &mut rng)).unwrap();
        sent.extend(drain(machine, at, &mut rng).0.into_iter().map(|frame| (at, frame)));
        let mut wakes = 0;
        while matches!(machine.end().poll_timeout(), Wake::Now(_)) {
            machine.end().handle_timeout(&mut Cx::new(at, &mut rng)).unwrap();
            sent.extend(drain(machine, at, &mut rng).0.into_iter().map(|frame| (at, frame)));
            wakes += 1;
            assert!(wakes < 1000, "it wakes again and again: {}", tell());
        }
    }
    sent
}

/// The refusals of authentic frames that end something, and what they end.
fn ends(before: &str, why: Reason, machine: &Machine, mutant: &[u8], tables: &Tables) -> bool {
    let after = machine.state(mutant, tables);
    match (machine, why) {
        // RA §4.2 (0): end(protocol).
        (Machine::Member(_), Reason::Violation) => {
            ["M confirming", "M held", "M paging", "M in", "M stale", "M behind"].contains(&before)
                && after == "M ending"
        }
        (Machine::Leader(_), Reason::Violation) => matches!(
            (before, &*after),
            ("L member" | "L admitted" | "L suspected", "L lingering") | ("L offered", "L unknown")
        ),
        _ => false,
    }
}
