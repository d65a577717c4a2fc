//! Key distribution on its own: no leader, no member, no network.
//!
//! One side issues the keys of two epochs to three members, each over a channel key that the join would have given them.
//! Between the two, one is evicted. What is old, what is meant for others, and what was tampered with is refused.
//!
//! ```text
//! cargo run --example keys_alone
//! ```

use std::error::Error;
use std::sync::Arc;

use bytes::Bytes;
use getrandom::SysRng;
use sodality::antigone::keys::{Facts, Issue, KeyBlock, open};

use sodality::crypto::{Aead, Purpose, Suite, aes_128_gcm};
use sodality::error::Reason;
use sodality::event::{Cause, Causes};
use sodality::group::{ChangeRecord, Pool, View};
use sodality::identity::{Epoch, Instance, MemberId, Name, Version};
use sodality::wire::antigone::{Block, Delta};
use sodality::wire::field::VerifyingKey;
use sodality::wire::{Edition, Header, System};

/// The group instance: a leader would draw it.
const GROUP: Instance = Instance(*b"sixteen bytes ok");
const ADA: MemberId = MemberId(1);
const BOB: MemberId = MemberId(2);
const EVE: MemberId = MemberId(3);

/// Somebody with a channel to the issuer.
struct Member {
    cid: MemberId,
    /// The leader's sealing key to this member. Both sides have it, from the join.
    channel: Arc<dyn Aead>,
    /// What is installed; 0 for nothing.
    installed: Epoch,
}

fn main() -> Result<(), Box<dyn Error>> {
    let suite = aes_128_gcm();
    let header = Header { system: System::Antigone, edition: Edition::Repaired, suite: suite.id() };

    // What the join would have given: a key for each member, prepared once for many boxes.
    let mut members = Vec::new();
    for cid in [ADA, BOB, EVE] {
        let root = suite.fresh_secret(&mut SysRng, suite.sizes().group_key)?;
        let secret = suite.expand(&root, &[b"an example's channel"], Purpose::Aead)?;
        members.push(Member { cid, channel: suite.aead(&secret)?, installed: Epoch(0) });
    }

    // What membership would have given: the view. Its digest is bound into every key, so that members who believe in
    // different views cannot talk to each other.
    let mut view = View::new(10, 0);
    let mut changes = Vec::new();
    for (cid, name) in [(ADA, "ada"), (BOB, "bob"), (EVE, "eve")] {
        changes.push(ChangeRecord::Add { cid, name: Name::new(name)?, origin_key: VerifyingKey::NONE });
    }
    view.commit(view.prepare(&*suite, &GROUP, changes)?);

    // Epoch 1. A key and its facts are fixed together, for good: repeats of a block are identical.
    let first = issue(&*suite, Epoch(1), Epoch(1), Cause::Open, &view)?;
    let mut blocks = Vec::new();
    for member in &members {
        blocks.push(first.block(header, GROUP, member.cid, &*member.channel)?);
    }
    let frame = framed(&first, header, &blocks)?;
    println!("epoch 1: {} bytes for {} members", frame.len(), members.len());
    for member in &mut members {
        let block = receive(&*suite, header, member, &frame)?;
        member.installed = block.facts()?.epoch;
        // Everybody derives the same data key; that this is so can only be seen with both at hand.
        assert!(suite.same(block.base(&*suite, GROUP)?.secret(), first.base().secret()));
        println!("  {:?} installed it", member.cid);
    }

    // Eve is out. The new key names itself as the floor: all older keys end where it is installed.
    view.commit(view.prepare(
        &*suite,
        &GROUP,
        [ChangeRecord::Remove { cid: EVE, cause: Cause::Eject, by: MemberId::LEADER }],
    )?);
    let second = issue(&*suite, Epoch(2), Epoch(2), Cause::Eject, &view)?;
    let mut blocks = Vec::new();
    for member in members.iter().filter(|member| member.cid != EVE) {
        blocks.push(second.block(header, GROUP, member.cid, &*member.channel)?);
    }
    let next = framed(&second, header, &blocks)?;
    println!("epoch 2: {} bytes, without {EVE:?}", next.len());

    for member in &mut members {
        // Somebody on the way changes one bit of the facts, which stand in clear. It would be believed if it opened; the
        // digest of all facts is a part of what each block is sealed with.
        let mut tampered = next.to_vec();
        if let Some(byte) = tampered.get_mut(TAMPERED) {
            *byte ^= 1;
        }
        let facts = receive(&*suite, header, member, &tampered).map(|_| ());

        match receive(&*suite, header, member, &next) {
            Ok(block) => {
                assert_eq!(facts, Err(Reason::Forged));
                let common = block.facts()?;
                assert_eq!((common.epoch, common.floor), (Epoch(2), Epoch(2)));
                member.installed = common.epoch;
                println!("  {:?} installed it; tampered: {}", member.cid, verdict(&facts));
            }
            Err(why) => {
                assert_eq!((member.cid, why), (EVE, Reason::Unknown));
                println!("  {:?} has no block: {why}", member.cid);
                // Another's block under her own number does not open either: it is bound to the key and the number.
                let stolen: Vec<_> = blocks.iter().take(1).map(|block| Block { cid: EVE, ..*block }).collect();
                let stolen = receive(&*suite, header, member, &framed(&second, header, &stolen)?).map(|_| ());
                assert_eq!(stolen, Err(Reason::Forged));
                println!("  {:?} with {ADA:?}'s block: {}", member.cid, verdict(&stolen));
            }
        }
    }

    // The network repeats the old frame. It opens, and installs nothing: epochs only grow.
    for member in members.iter().filter(|member| member.cid != EVE) {
        let old = receive(&*suite, header, member, &frame).map(|_| ());
        assert_eq!(old, Err(Reason::Replayed));
        println!("  {:?} and epoch 1 again: {}", member.cid, verdict(&old));
    }
    Ok(())
}

/// Where the epoch's floor ends in a frame: header, group, length of the facts, epoch, floor.
const TAMPERED: usize = 5 + 16 + 2 + 8 + 8 - 1;

fn issue(suite: &dyn Suite, epoch: Epoch, floor: Epoch, cause: Cause, view: &View) -> Result<Issue, Box<dyn Error>> {
    let facts = Facts {
        epoch,
        floor,
        causes: Causes::of(cause),
        view: view.version(),
        view_digest: view.digest(),
        policy: Version(1),
        policy_digest: suite.hash(&[b"an example's policy"])?,
        // The members learn the view elsewhere.
        delta: Delta::Hidden,
    };
    Ok(Issue::draw(suite, &mut SysRng, GROUP, facts)?)
}

fn framed(issue: &Issue, header: Header, blocks: &[Block]) -> Result<Bytes, Box<dyn Error>> {
    Ok(issue.frame(header, GROUP, blocks, &mut Pool::new())?)
}

fn receive(suite: &dyn Suite, header: Header, member: &Member, frame: &[u8]) -> Result<KeyBlock, Reason> {
    open(header, suite, GROUP, member.cid, member.installed, &*member.channel, frame)
}

fn verdict(result: &Result<(), Reason>) -> String {
    match result {
        Ok(()) => "accepted".into(),
        Err(why) => format!("refused: {why}"),
    }
}
