//! RA-Dm: repaired data where keys are distributed as published.

use bytes::{Bytes, BytesMut};
use sodality::antigone::data::bridge::{BridgeOpeners, BridgeSealer, max_message};
use sodality::antigone::keys::published::GroupKey;
use sodality::crypto::published::{Modern, PublishedSuite};
use sodality::crypto::{Suite, aes_128_gcm, aes_256_gcm, chacha20_poly1305};
use sodality::error::{CommandError, Failure, Reason};
use sodality::event::Port;
use sodality::group::{Limits, Outbox};
use sodality::identity::NameRef;
use sodality::sim::{FailingEntropy, SimRng};
use sodality::wire::antigone::Kind;
use sodality::wire::{Edition, Header, System};
use std::sync::Arc;

use crate::{ADA, BOB, Fixed, group_key, name, turned};

const KINDS: [Kind; 4] = [Kind::Clear, Kind::Integrity, Kind::Confidentiality, Kind::Both];
const MANY: usize = 100;

/// One suite, a key, and a pool for frames.
struct Scene {
    suite: Arc<dyn Suite>,
    held: GroupKey,
    out: Outbox,
}

impl Scene {
    fn all() -> impl Iterator<Item = Self> {
        [aes_128_gcm(), aes_256_gcm(), chacha20_poly1305()].into_iter().map(|suite| {
            let published = Modern::new(suite.clone());
            Self { suite, held: group_key(&published, 1), out: Outbox::new(&Limits::default()) }
        })
    }

    fn other_key(&self) -> GroupKey {
        group_key(&Modern::new(self.suite.clone()) as &dyn PublishedSuite, 2)
    }

    fn sealer(&self, seed: u64, kind: Kind, of: NameRef<'_>) -> BridgeSealer {
        BridgeSealer::new(&*self.suite, &mut Fixed(seed), &self.held, kind, of).unwrap()
    }

    fn say(&mut self, sealer: &mut BridgeSealer, of: NameRef<'_>, text: &[u8]) -> Bytes {
        let header = Header { system: System::Antigone, edition: Edition::Repaired, suite: self.suite.id() };
        sealer.seal(header, &mut self.out.pool, &self.held, of, Port::Application, text).unwrap()
    }

    fn open(&self, openers: &mut BridgeOpeners, kind: Kind, frame: &[u8]) -> Result<(String, Bytes), Reason> {
        self.open_with(openers, &self.held, kind, MANY, frame)
    }

    fn open_with(
        &self,
        openers: &mut BridgeOpeners,
        held: &GroupKey,
        kind: Kind,
        senders: usize,
        frame: &[u8],
    ) -> Result<(String, Bytes), Reason> {
        let read = openers.open(&*self.suite, held, kind, name(BOB), senders, BytesMut::from(frame))?;
        assert_eq!(read.port, Port::Application);
        Ok((read.sender.as_str().to_owned(), read.payload))
    }
}

#[test]
fn bridged_data_are_read_once_under_their_key_and_kind() {
    for mut scene in Scene::all() {
        for kind in KINDS {
            let (mut sealer, mut openers) = (scene.sealer(3, kind, name(ADA)), BridgeOpeners::default());
            let frames: Vec<_> = (0..5u8).map(|n| scene.say(&mut sealer, name(ADA), &[n; 9])).collect();
            // In any order, each once; what has no protection is not counted either.
            for n in [3usize, 0, 4, 1, 2] {
                let right = Ok((ADA.to_owned(), Bytes::from(vec![n as u8; 9])));
                assert_eq!(scene.open(&mut openers, kind, &frames[n]), right);
                let again = scene.open(&mut openers, kind, &frames[n]);
                assert_eq!(again, if kind == Kind::Clear { right } else { Err(Reason::Replayed) });
            }
            for other in KINDS.into_iter().filter(|other| *other != kind) {
                let mut openers = BridgeOpeners::default();
                assert_eq!(scene.open(&mut openers, other, &frames[0]), Err(Reason::Protection), "{kind:?} {other:?}");
            }
            let other = scene.other_key();
            let mut openers = BridgeOpeners::default();
            let of_other = scene.open_with(&mut openers, &other, kind, MANY, &frames[0]);
            assert_eq!(of_other, Err(Reason::OldEpoch));
            // The same g with another key.
            let wrong = GroupKey { group: scene.held.group.clone(), key: other.key };
            let of_wrong = scene.open_with(&mut openers, &wrong, kind, MANY, &frames[0]).map(drop);
            assert_eq!(of_wrong, if kind == Kind::Clear { Ok(()) } else { Err(Reason::Forged) });
            // The receiver's own.
            let mut own = scene.sealer(4, kind, name(BOB));
            let echo = scene.say(&mut own, name(BOB), b"x");
            assert_eq!(scene.open(&mut BridgeOpeners::default(), kind, &echo), Err(Reason::Echo));
        }
    }
}

/// Whatever is changed, of the clear fields or of the text, is refused, and the true frame is still read afterwards.
#[test]
fn a_changed_frame_is_refused_and_changes_nothing() {
    for mut scene in Scene::all() {
        for kind in [Kind::Integrity, Kind::Confidentiality, Kind::Both] {
            let (mut sealer, mut openers) = (scene.sealer(3, kind, name(ADA)), BridgeOpeners::default());
            let frame = scene.say(&mut sealer, name(ADA), b"a word");
            for (at, changed) in turned(&frame) {
                assert!(scene.open(&mut openers, kind, &changed).is_err(), "{kind:?}: byte {at}");
            }
            for length in 0..frame.len() {
                assert!(scene.open(&mut openers, kind, &frame[..length]).is_err());
            }
            assert!(scene.open(&mut openers, kind, &frame).is_ok());
        }
        // Without protection there is no tag; one that is there is malformed.
        let (mut sealer, mut openers) = (scene.sealer(3, Kind::Clear, name(ADA)), BridgeOpeners::default());
        let frame = scene.say(&mut sealer, name(ADA), b"a word");
        assert!(scene.open(&mut openers, Kind::Clear, &frame).is_ok());
        let mut tagged = frame[..frame.len() - 2].to_vec();
        tagged.extend([0, 16]);
        tagged.extend([0; 16]);
        assert_eq!(scene.open(&mut openers, Kind::Clear, &tagged), Err(Reason::Malformed));
    }
}

/// Two salts of one sender are two sequences of numbers, and their keys differ; a sender has few at a time, whose oldest goes
/// for good; senders are bounded, and what is beyond disturbs nobody.
#[test]
fn salts_are_apart_and_have_a_budget() {
    for mut scene in Scene::all() {
        let kind = Kind::Both;
        let mut openers = BridgeOpeners::default();
        let mut frames = Vec::new();
        for seed in 10..14 {
            let mut sealer = scene.sealer(seed, kind, name(ADA));
            let frame = scene.say(&mut sealer, name(ADA), b"the same");
            assert!(scene.open(&mut openers, kind, &frame).is_ok(), "salt {seed}");
            frames.push((sealer, frame));
        }
        let tail = |frame: &[u8]| frame[frame.len() - 30..].to_vec();
        assert_ne!(tail(&frames[0].1), tail(&frames[1].1), "the same words, number and key");
        let mut fifth = scene.sealer(14, kind, name(ADA));
        let frame = scene.say(&mut fifth, name(ADA), b"of another join");
        assert!(scene.open(&mut openers, kind, &frame).is_ok());
        // A salt put in the place of another.
        let mut mixed = frames[0].1.to_vec();
        let salt = mixed.windows(ADA.len()).position(|bytes| bytes == ADA.as_bytes()).unwrap() + ADA.len();
        mixed[salt..salt + 17].copy_from_slice(&frames[1].1[salt..salt + 17]);
        assert!(matches!(
            scene.open(&mut openers, kind, &mixed),
            Err(Reason::Replayed | Reason::Forged | Reason::Malformed)
        ));
        // The oldest has made room for it and opens nothing any more; the others go on.
        assert_eq!(scene.open(&mut openers, kind, &frames[0].1), Err(Reason::Replayed));
        let (sealer, _) = &mut frames[1];
        let next = scene.say(sealer, name(ADA), b"next");
        assert!(scene.open(&mut openers, kind, &next).is_ok());
        let mut eve = scene.sealer(15, kind, name("eve"));
        let hello = scene.say(&mut eve, name("eve"), b"hello");
        assert_eq!(scene.open_with(&mut openers, &scene.held, kind, 4, &hello), Err(Reason::Budget));
        assert!(scene.open_with(&mut openers, &scene.held, kind, 5, &hello).is_ok());
    }
}

#[test]
fn a_salt_takes_one_draw_and_the_longest_message_fits() {
    for mut scene in Scene::all() {
        let mut rng = FailingEntropy::new(SimRng::new(1));
        rng.arm(1);
        let failed = BridgeSealer::new(&*scene.suite, &mut rng, &scene.held, Kind::Both, name(ADA));
        assert_eq!(failed.err(), Some(Failure::Entropy));
        for limit in [1_200, 9_000] {
            let most = max_message(&scene.held, name(ADA), limit);
            let mut sealer = scene.sealer(3, Kind::Both, name(ADA));
            let frame = scene.say(&mut sealer, name(ADA), &vec![7; most]);
            assert!(frame.len() <= limit, "{} of {limit}", frame.len());
            assert!(scene.open(&mut BridgeOpeners::default(), Kind::Both, &frame).is_ok());
        }
        let header = Header { system: System::Antigone, edition: Edition::Repaired, suite: scene.suite.id() };
        let mut sealer = scene.sealer(3, Kind::Both, name(ADA));
        let port = Port::Transfer;
        let frame = sealer.seal(header, &mut scene.out.pool, &scene.held, name(ADA), port, b"x");
        let read = frame.map(|frame| {
            let (held, own) = (&scene.held, name(BOB));
            let mut openers = BridgeOpeners::default();
            openers.open(&*scene.suite, held, Kind::Both, own, MANY, BytesMut::from(&*frame)).map(|read| read.port)
        });
        assert_eq!(read, Ok::<_, CommandError>(Ok(Port::Transfer)));
    }
}
