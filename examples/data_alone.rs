//! Data protection on its own: no leader, no member, no network.
//!
//! Two senders and one receiver share the key of an epoch and a view. For each protection that a policy may name, both
//! speak; then a replay, a forged number and a wrong epoch are refused.
//!
//! ```text
//! cargo run --example data_alone
//! ```

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use getrandom::SysRng;
use sodality::antigone::data::{DataSealer, Members, Receiving, Sending, base};
use sodality::crypto::keys::role;
use sodality::crypto::{Key, chacha20_poly1305};
use sodality::endpoint::Instant;
use sodality::error::{CommandError, Reason};
use sodality::event::Port;
use sodality::group::{ChangeRecord, EpochKeys, KeyRing, Rules, SealLimits, View};
use sodality::identity::{Epoch, Instance, MemberId, Name};
use sodality::wire::antigone::Kind;
use sodality::wire::{Edition, Header, System};

/// The group instance: a leader would draw it.
const GROUP: Instance = Instance(*b"sixteen bytes ok");
const ADA: MemberId = MemberId(1);
const BOB: MemberId = MemberId(2);
const CARL: MemberId = MemberId(3);

fn main() -> Result<(), Box<dyn Error>> {
    let suite = chacha20_poly1305();
    let header = Header { system: System::Antigone, edition: Edition::Repaired, suite: suite.id() };
    // Time is an argument of each call. Nothing here reads a clock.
    let now = Instant::from_micros(1_000_000);
    let forever = Instant::from_micros(u64::MAX);

    // What membership would have given us: who is who, and everybody's public origin key.
    let mut view = View::new(10, 0);
    let mut private = Vec::new();
    let mut changes = Vec::new();
    for (cid, name) in [(ADA, "ada"), (BOB, "bob"), (CARL, "carl")] {
        let (secret, origin_key) = suite.signing_pair(&mut SysRng)?;
        private.push(Key::<role::Signing>::new(secret));
        changes.push(ChangeRecord::Add { cid, name: Name::new(name)?, origin_key });
    }
    let step = view.prepare(&*suite, &GROUP, changes)?;
    view.commit(step);

    // What key distribution would have given us: the group keys of two epochs, and the facts that are bound to them.
    let epoch_key = |epoch: Epoch| -> Result<Key<role::DataBase>, Box<dyn Error>> {
        let group_key = Key::<role::Group>::new(suite.fresh_secret(&mut SysRng, suite.sizes().group_key)?);
        Ok(base(&*suite, GROUP, &epoch.0.to_be_bytes(), &group_key)?)
    };
    let (first, second) = (epoch_key(Epoch(1))?, epoch_key(Epoch(2))?);

    for kind in [Kind::Clear, Kind::Integrity, Kind::Confidentiality, Kind::Both] {
        // Signatures say which member spoke; without them any holder of the group key may have used the number. What is
        // in clear is delivered as unauthenticated in any case.
        let rules = Rules { kind, origin: kind != Kind::Clear };
        println!("{kind:?}");

        // The two senders. Each has a key of its own, so both count from 0 and share no number.
        let sender = |cid: MemberId, epoch: Epoch, base: &Key<role::DataBase>| -> Result<DataSealer, Box<dyn Error>> {
            let at = usize::try_from(cid.0 - 1)?;
            let origin = private.get(at).filter(|_| rules.origin).cloned();
            let sending = Sending { suite: Arc::clone(&suite), header, group: GROUP, cid, label: None, origin };
            let sealer = sending.sealer(epoch, base, kind, SealLimits::default(), forever)?;
            Ok(DataSealer::new(sending, sealer))
        };
        let mut ada = sender(ADA, Epoch(1), &first)?;
        let mut bob = sender(BOB, Epoch(1), &first)?;

        // The receiver: the keys it holds, and what it knows.
        let mut ring = KeyRing::new(10);
        let keys = EpochKeys::new(Epoch(1), first.clone(), rules, None);
        let installed = ring.install(keys, Epoch(1), now, Duration::from_secs(5), Duration::from_secs(1));
        assert!(installed.current);
        let carl =
            Receiving { suite: &*suite, header, group: GROUP, own: CARL, members: Members::View(&view), current: true };

        // A frame is sealed in place at the end of a buffer, and opened in place: the payload is a part of the frame.
        let hello = sealed(&mut ada, b"hello from Ada")?;
        for frame in [hello.clone(), sealed(&mut bob, b"hello from Bob")?] {
            let message = carl.open(&mut ring, frame, now)?;
            println!("  {:?}: {}", message.from, String::from_utf8_lossy(&message.payload));
        }

        // A replay. Only what is in clear cannot tell.
        let replay = carl.open(&mut ring, hello.clone(), now).map(|_| ());
        println!("  the same frame again: {}", verdict(&replay));
        assert_eq!(replay, if kind == Kind::Clear { Ok(()) } else { Err(Reason::Replayed) });

        // One bit of the counter, which stands in clear, is changed to get past the window.
        let mut bent = hello;
        if let Some(byte) = bent.get_mut(44) {
            *byte ^= 0x40;
        }
        let forged = carl.open(&mut ring, bent, now).map(|_| ());
        println!("  with another number: {}", verdict(&forged));
        assert_eq!(forged, if kind == Kind::Clear { Ok(()) } else { Err(Reason::Forged) });

        // A key that the receiver does not have yet.
        let early = sealed(&mut sender(ADA, Epoch(2), &second)?, b"from the future")?;
        let early = carl.open(&mut ring, early, now).map(|_| ());
        println!("  under the next key: {}", verdict(&early));
        assert_eq!(early, Err(Reason::EarlyEpoch));

        // Somebody must be out: the floor rises, and the old key opens nothing from this moment.
        let keys = EpochKeys::new(Epoch(2), second.clone(), rules, None);
        let installed = ring.install(keys, Epoch(2), now, Duration::from_secs(5), Duration::from_secs(1));
        let erased: Vec<_> = installed.erased.iter().collect();
        assert_eq!(erased, [Epoch(1)]);
        let old = carl.open(&mut ring, sealed(&mut ada, b"under the old key")?, now).map(|_| ());
        println!("  under the old key: {}", verdict(&old));
        assert_eq!(old, Err(Reason::EvictedEpoch));
    }
    Ok(())
}

fn sealed(sender: &mut DataSealer, text: &[u8]) -> Result<BytesMut, CommandError> {
    let mut frame = BytesMut::with_capacity(text.len() + sender.overhead());
    sender.seal(Instant::from_micros(1_000_000), Port::Application, text, &mut frame)?;
    Ok(frame)
}

fn verdict(result: &Result<(), Reason>) -> String {
    match result {
        Ok(()) => "delivered".into(),
        Err(why) => format!("refused: {why}"),
    }
}
