//! Frames of a real run: the first of each kind, from a group in the simulator under the suite without security, so that
//! what stands in boxes can be read.

use core::time::Duration;
use std::collections::BTreeMap;

use sodality::antigone::Member;
use sodality::crypto::aes_128_gcm;
use sodality::crypto::null::insecure_null;
use sodality::endpoint::{Cx, Instant};
use sodality::event::{Causes, Port};
use sodality::identity::{MemberId, Name};
use sodality::policy::{Policy, Views};
use sodality::sim::star::{Star, StarConfig};
use sodality::sim::{InTransit, LinkConfig, Recorder, SimRng, Tables, World, shared};
use sodality::transfer::{self, Config, ObjectId, Source, SourceError, Transfer};
use sodality::wire::antigone::MESSAGES;
use sodality::wire::frame::HEADER_BYTES;
use sodality::wire::layout::Recorded;
use sodality::wire::{Guard, Value};

/// The seed of the run.
pub(crate) const SEED: u64 = 1999;

/// Frames that show something more than the first of their message: by what their body holds.
const MORE: [(&str, &str); 8] = [
    ("RA-J2", "Accept"),
    ("RA-CM", "Hello"),
    ("RA-CM", "Wrap"),
    ("RA-CM", "End"),
    ("RA-CL", "View"),
    ("RA-CL", "Wrapped"),
    ("RA-CL", "Passed"),
    ("RA-CL", "End"),
];

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
    let to = [world.get(star.members[1]).unwrap().cid().unwrap()];
    let word = |member: &mut Member, cx: &mut Cx<'_>| member.say_privately(cx, &to, Port::Application, b"to m2 alone");
    world.with(star.members[0], word).unwrap().unwrap();
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
    shown.extend(over_a_shared_link());
    shown.sort_by_key(|record| MESSAGES.iter().position(|info| info.id == record.id));
    shown
}

/// What goes over a multicast channel: a rekey of many, and a heartbeat that tells of a newcomer.
fn over_a_shared_link() -> [Recorded; 2] {
    let mut world = World::new(SEED);
    let tape = shared(Recorder::default());
    world.set_adversary(tape.clone());
    let policy = Policy { rekey_on: Causes::NONE, views: Views::BestEffort, ..Policy::default() };
    let multicast = Some(LinkConfig::DATAGRAM.max_frame(65_536));
    let config = StarConfig { policy, multicast, ..StarConfig::new(insecure_null()) };
    let mut star = Star::add(&mut world, config, 2).unwrap();
    star.join_all(&mut world, Duration::from_secs(60)).unwrap();
    world.run_for(Duration::from_secs(6)).unwrap();
    world.with(star.leader, |leader, cx| leader.rekey(cx)).unwrap().unwrap();
    world.run_for(Duration::from_secs(6)).unwrap();
    star.add_member(&mut world, "m3").unwrap();
    world.with(star.members[2], |member, cx| member.join(cx)).unwrap().unwrap();
    world.run_for(Duration::from_secs(6)).unwrap();
    let (tape, tables) = (tape.borrow(), Tables::default());
    ["RA-R", "RA-H"].map(|id| {
        let over = |frame: &&InTransit| Some(frame.wire) == star.multicast && tables.id(&frame.bytes) == id;
        let frame = tape.frames.iter().rfind(over).expect("the run shows it").bytes.to_vec();
        Recorded { id, frame, opened: None }
    })
}

/// One message of each kind about objects, from a run of two machines: the first chunk is lost, and asked for again.
pub(crate) fn object_messages() -> Vec<Vec<u8>> {
    let mut rng = SimRng::new(SEED);
    let (ada, bob) = (MemberId(1), MemberId(2));
    let bytes: Vec<u8> = (0..5_000u32).map(|n| n as u8).collect();
    let digest = aes_128_gcm().hash(&[&bytes]).unwrap();
    let mut source = Bytes(bytes);
    let mut sender = Transfer::new(Config::new(1_100), &mut rng).unwrap();
    let mut receiver = Transfer::new(Config::new(1_100), &mut rng).unwrap();
    let mut now = Instant::ORIGIN;
    sender.member_joined(now, bob);
    receiver.member_joined(now, ada);
    let object = sender.offer(now, &mut rng, Name::new("numbers").unwrap(), 5_000, digest).unwrap();
    let mut kinds: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
    let mut lost = false;
    for _ in 0..10_000 {
        while let Some(message) = sender.poll_message(now, &mut source) {
            let first = !kinds.contains_key(&message[0]);
            kinds.entry(message[0]).or_insert_with(|| message.to_vec());
            if message[0] == 1 && first && !lost {
                lost = true;
            } else {
                let _ = receiver.handle_message(now, ada, &message);
            }
        }
        while let Some(event) = receiver.poll_event() {
            match event {
                transfer::Event::Offered { from, manifest } => receiver.accept(now, manifest.object, from).unwrap(),
                transfer::Event::Complete { object } => drop(receiver.verify(now, object, &digest).unwrap()),
                transfer::Event::Verified { .. } => sender.withdraw(now, object).unwrap(),
                _ => {}
            }
        }
        while let Some(message) = receiver.poll_message(now, &mut source) {
            kinds.entry(message[0]).or_insert_with(|| message.to_vec());
            let _ = sender.handle_message(now, bob, &message);
        }
        if kinds.len() == 6 {
            break;
        }
        now = now + Duration::from_millis(5);
        sender.handle_timeout(now);
        receiver.handle_timeout(now);
    }
    assert_eq!(kinds.len(), 6, "{:?}", kinds.keys());
    kinds.into_values().collect()
}

struct Bytes(Vec<u8>);

impl Source for Bytes {
    fn read(&mut self, _object: ObjectId, offset: u64, out: &mut [u8]) -> Result<(), SourceError> {
        let from = offset as usize;
        out.copy_from_slice(self.0.get(from..from + out.len()).ok_or(SourceError)?);
        Ok(())
    }
}
