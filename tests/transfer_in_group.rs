//! An object crosses a real group in the simulator: 20 % loss, a rekey in the middle, a receiver that crashes and joins
//! again, and a leaver.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use core::time::Duration;

use sodality::crypto::chacha20_poly1305;
use sodality::event::{Event, Port};
use sodality::identity::{MemberId, Name};
use sodality::policy::Policy;
use sodality::sim::star::{Star, StarConfig, member_machine};
use sodality::sim::{Faults, LinkConfig, SimRng, World};
use sodality::transfer::{self, Config, ObjectId, Source, SourceError, Transfer};

const TICK: Duration = Duration::from_millis(20);
const SEED: u64 = 20;

struct File(Vec<u8>);

impl Source for File {
    fn read(&mut self, _object: ObjectId, offset: u64, out: &mut [u8]) -> Result<(), SourceError> {
        let from = offset as usize;
        out.copy_from_slice(self.0.get(from..from + out.len()).ok_or(SourceError)?);
        Ok(())
    }
}

/// A member's application: objects above messages.
struct Desk {
    member: usize,
    transfer: Transfer,
    file: File,
    stored: Vec<u8>,
    whole: bool,
    /// Messages that the group had no room for, or no key.
    waiting: Option<bytes::Bytes>,
}

impl Desk {
    fn turn(&mut self, world: &mut World, star: &Star) {
        let node = star.members[self.member];
        let now = world.now();
        for event in world.take_events(node) {
            match event {
                Event::Data(message) if message.port == Port::Transfer => {
                    let _ = self.transfer.handle_message(now, message.from.claimed(), &message.payload);
                }
                Event::Joined { .. } => {
                    self.transfer.rejoined(now);
                    let members: Vec<MemberId> =
                        world.get(node).unwrap().view().unwrap().members().keys().copied().collect();
                    members.into_iter().for_each(|cid| self.transfer.member_joined(now, cid));
                }
                Event::MemberAdded { cid, .. } => self.transfer.member_joined(now, cid),
                Event::MemberRemoved { cid, .. } => self.transfer.member_left(now, cid),
                Event::JoinFailed(_) | Event::Ended(_) => {
                    world.with(node, |member, cx| member.join(cx)).unwrap().unwrap();
                }
                _ => {}
            }
        }
        self.transfer.handle_timeout(now);
        loop {
            while let Some(event) = self.transfer.poll_event() {
                match event {
                    transfer::Event::Offered { from, manifest } => {
                        self.stored = vec![0; manifest.size as usize];
                        self.transfer.accept(now, manifest.object, from).unwrap();
                    }
                    transfer::Event::Write { offset, bytes, .. } => {
                        self.stored[offset as usize..][..bytes.len()].copy_from_slice(&bytes);
                    }
                    transfer::Event::Complete { object } => {
                        let digest = digest_of_bytes(&self.stored);
                        self.transfer.verify(now, object, &digest).unwrap();
                    }
                    transfer::Event::Verified { .. } => self.whole = true,
                    transfer::Event::Corrupt { .. } => panic!("the bytes are wrong"),
                    _ => {}
                }
            }
            let Some(message) = self.waiting.take().or_else(|| self.transfer.poll_message(now, &mut self.file)) else {
                return;
            };
            let sent = world.with(node, |member, cx| member.send(cx, Port::Transfer, &message)).unwrap();
            if sent.is_err() {
                self.waiting = Some(message);
                return;
            }
        }
    }
}

fn digest_of_bytes(bytes: &[u8]) -> sodality::wire::field::Digest {
    chacha20_poly1305().hash(&[bytes]).unwrap()
}

#[test]
fn an_object_survives_loss_a_rekey_and_a_rejoin() {
    println!("seed {SEED}");
    let mut world = World::new(SEED);
    let link = LinkConfig::DATAGRAM.faults(Faults { loss: 200, ..Faults::NONE });
    let policy = Policy { frame_limit: 1_200, grace: Duration::from_secs(2), ..Policy::default() };
    let config = StarConfig { policy, link, ..StarConfig::new(chacha20_poly1305()) };
    let star = Star::add(&mut world, config.clone(), 4).unwrap();
    star.join_all(&mut world, Duration::from_secs(120)).unwrap();

    let mut rng = SimRng::new(SEED);
    let bytes: Vec<u8> = (0..300_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let room = world.get(star.members[0]).unwrap().max_message();
    let mut desks: Vec<Desk> = (0..4)
        .map(|member| Desk {
            member,
            transfer: Transfer::new(Config::new(room), &mut rng).unwrap(),
            file: File(bytes.clone()),
            stored: Vec::new(),
            whole: false,
            waiting: None,
        })
        .collect();
    // All know all before the offer.
    desks.iter_mut().for_each(|desk| {
        let members: Vec<_> = world.get(star.leader).unwrap().view().members().keys().copied().collect();
        members.into_iter().for_each(|cid| desk.transfer.member_joined(world.now(), cid));
        world.take_events(star.members[desk.member]);
    });
    let digest = digest_of_bytes(&bytes);
    desks[0]
        .transfer
        .offer(world.now(), &mut rng, Name::new("numbers.bin").unwrap(), bytes.len() as u64, digest)
        .unwrap();

    let first = world.get(star.leader).unwrap().epoch();
    let began = world.now();
    let mut turns = 0u32;
    while !desks[1..3].iter().all(|desk| desk.whole) {
        turns += 1;
        assert!(turns < 50_000, "the object never arrives");
        world.run_for(TICK).unwrap();
        match turns {
            20 => world.with(star.leader, |leader, cx| leader.rekey(cx)).unwrap().unwrap(),
            40 => world.with(star.members[3], |member, cx| member.leave(cx)).unwrap().unwrap(),
            // A receiver crashes and comes back with nothing but what its application has stored.
            60 => world.crash(star.members[1]).unwrap(),
            70 => {
                world.restart_with(star.members[1], member_machine(&config, "m2").unwrap()).unwrap();
                world.with(star.members[1], |member, cx| member.join(cx)).unwrap().unwrap();
            }
            _ => {}
        }
        for desk in &mut desks {
            let crashed = (60..70).contains(&turns) && desk.member == 1;
            let left = turns >= 40 && desk.member == 3;
            if !crashed && !left {
                desk.turn(&mut world, &star);
            }
        }
    }
    for desk in &desks[1..3] {
        assert!(desk.stored == bytes, "m{}", desk.member + 1);
    }
    let last = world.get(star.leader).unwrap().epoch();
    println!("{} bytes, {turns} turns, {:?}, epochs {first} to {last}", bytes.len(), world.now().since(began));
    // The rekey by command waits for `grace` and goes with the leave; the takeover makes another.
    assert!(last.0 >= first.0 + 2, "{first} to {last}");
}
