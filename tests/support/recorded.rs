//! Frames of a real run: the first of each kind, from a group in the simulator under the suite without security, so that
//! what stands in boxes can be read.

use core::time::Duration;

use sodality::crypto::null::insecure_null;
use sodality::sim::star::{Star, StarConfig};
use sodality::sim::{Recorder, World, shared};
use sodality::wire::antigone::MESSAGES;
use sodality::wire::frame::HEADER_BYTES;
use sodality::wire::layout::Recorded;
use sodality::wire::{Guard, Value};

/// The seed of the run.
pub(crate) const SEED: u64 = 1999;

/// Frames that show something more than the first of their message: by what their body holds.
const MORE: [(&str, &str); 5] =
    [("RA-J2", "Accept"), ("RA-CM", "Hello"), ("RA-CM", "End"), ("RA-CL", "View"), ("RA-CL", "End")];

/// One frame of each message, and those of [`MORE`], in the order in which they were sent.
pub(crate) fn recorded() -> Vec<Recorded> {
    let mut world = World::new(SEED);
    let tape = shared(Recorder::default());
    world.set_adversary(tape.clone());
    let star = Star::add(&mut world, StarConfig::new(insecure_null()), 2).unwrap();
    star.join_all(&mut world, Duration::from_secs(60)).unwrap();
    world.run_for(Duration::from_secs(10)).unwrap();
    star.say(&mut world, 0, b"to the group").unwrap().unwrap();
    world.run_for(Duration::from_secs(1)).unwrap();
    world.with(star.members[1], |member, cx| member.leave(cx)).unwrap().unwrap();
    world.run_for(Duration::from_secs(10)).unwrap();
    let tape = tape.borrow();
    let mut shown: Vec<Recorded> = Vec::new();
    let mut wanted: Vec<_> = MORE.to_vec();
    for frame in &tape.frames {
        let Some(info) = MESSAGES.iter().find(|info| frame.bytes.get(HEADER_BYTES - 1) == Some(&info.code)) else {
            continue;
        };
        let opened = (info.guard == Guard::Boxed).then(|| {
            let parts = info.dissect(&frame.bytes).unwrap();
            frame.bytes[parts.text].to_vec()
        });
        let body = opened.as_ref().zip(info.body).map(|(text, shape)| Value::read(info.name, shape, text).unwrap());
        let holds = |what: &str| body.as_ref().is_some_and(|body| body.find(what).is_some());
        let special = wanted.iter().position(|(id, what)| *id == info.id && holds(what));
        let first = !shown.iter().any(|record| record.id == info.id) && !MORE.iter().any(|(id, _)| *id == info.id);
        if let Some(special) = special {
            wanted.remove(special);
        }
        if special.is_some() || first {
            shown.push(Recorded { id: info.id, frame: frame.bytes.to_vec(), opened });
        }
    }
    assert!(wanted.is_empty(), "the run shows no {wanted:?}");
    shown.sort_by_key(|record| MESSAGES.iter().position(|info| info.id == record.id));
    shown
}
