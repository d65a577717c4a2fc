//! An adversary without a plan: it drops, delays, replays, alters and forges at random, and is handed the keys of sessions
//! that are over (RA §1).

use alloc::collections::{BTreeMap, VecDeque};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::time::Duration;

use bytes::{Bytes, BytesMut};

use super::adversary::{Adversary, Net, Verdict};
use super::check::over::Over;
use super::check::{Checker, Session};
use super::craft::Draft;
use super::net::InTransit;
use super::step::Observed;
use crate::antigone::Member;
use crate::antigone::keys::{Facts, Issue};
use crate::crypto::{Aead, BoxNumber, Suite};
use crate::event::EndReason;
use crate::group::Pool;
use crate::identity::{Epoch, MemberId, Version};
use crate::wire::antigone::{ChannelStatus, End, Flags, LeaderFrame, MemberBody, MemberFrame, Rekey};
use crate::wire::shape::{Content, Value};
use crate::wire::{Edition, Field, Header, Message, System};

/// The keys of a channel that is over.
#[derive(Clone, Debug)]
pub struct Stolen {
    /// The session.
    pub session: Session,
    /// The leader's key.
    pub leader: Arc<dyn Aead>,
    /// The member's key.
    pub member: Arc<dyn Aead>,
}

/// What a [`Spy`] has found. The scenario, the spy and the adversary share it.
pub type Loot = Rc<RefCell<Vec<Stolen>>>;

/// Hands over the channel keys of sessions that have ended on both sides. It is a checker because it has to see all machines,
/// and objects to nothing. Restarts and crashes of either side are ends.
#[derive(Debug, Default)]
pub struct Spy {
    loot: Loot,
    keys: BTreeMap<Session, Stolen>,
    over: Over,
}

impl Spy {
    /// A spy, and where it puts what it finds.
    pub fn new() -> (Self, Loot) {
        let spy = Self::default();
        let loot = spy.loot.clone();
        (spy, loot)
    }
}

impl Checker for Spy {
    fn name(&self) -> &'static str {
        "Spy"
    }

    fn after(&mut self, step: &Observed<'_>) -> Result<(), String> {
        if let Some(channel) = step.machine::<Member>().and_then(Member::channel) {
            let session = Session { group: channel.group(), cid: channel.cid() };
            let (member, leader) = channel.keys();
            self.keys.entry(session).or_insert(Stolen { session, leader, member });
        }
        for session in self.over.step(step) {
            self.loot.borrow_mut().extend(self.keys.remove(&session));
        }
        Ok(())
    }
}

/// How often it does what, of a thousand frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wildness {
    /// Drops one.
    pub drop: u16,
    /// Holds one back for up to [`Self::late`].
    pub delay: u16,
    /// Delivers one of the last [`Self::memory`] again, to the same node, up to `late` later.
    pub replay: u16,
    /// Delivers an altered copy first.
    pub alter: u16,
    /// Delivers a frame of its own, of the same form, under keys of a session that is over.
    pub forge: u16,
    /// How late things may come.
    pub late: Duration,
    /// How many frames it remembers.
    pub memory: usize,
}

impl Default for Wildness {
    fn default() -> Self {
        Self { drop: 60, delay: 60, replay: 250, alter: 150, forge: 250, late: Duration::from_secs(25), memory: 400 }
    }
}

/// The adversary. A seed decides what it does, as it does all in a world.
#[derive(Debug)]
pub struct Wild {
    how: Wildness,
    loot: Loot,
    suite: Option<Arc<dyn Suite>>,
    seen: VecDeque<InTransit>,
    deeds: u64,
    forged: u64,
}

impl Wild {
    /// As wild as this, with keys from there.
    pub fn new(how: Wildness, loot: Loot) -> Self {
        Self { how, loot, suite: None, seen: VecDeque::new(), deeds: 0, forged: 0 }
    }

    /// With the suite of the group: it then gives out group keys of its own as well.
    #[must_use]
    pub fn with_suite(self, suite: Arc<dyn Suite>) -> Self {
        Self { suite: Some(suite), ..self }
    }

    /// What it has done so far: all deeds, and those among them that were frames under stolen keys.
    pub fn deeds(&self) -> (u64, u64) {
        (self.deeds, self.forged)
    }

    fn replays(&mut self, net: &mut Net<'_>) {
        let at = usize::try_from(net.rng.below(self.seen.len() as u64)).unwrap_or(0);
        let Some(old) = self.seen.get(at) else { return };
        let links: Vec<_> = net.links_of(old.to).collect();
        let link = if net.rng.chance(500) { Some(old.to_link) } else { net.rng.pick(&links).copied() };
        let after = net.rng.span(self.how.late);
        if let Some(link) = link {
            net.inject(link, old.bytes.clone(), after);
            self.deeds += 1;
        }
    }

    fn alters(&mut self, frame: &InTransit, net: &mut Net<'_>) {
        let bytes = if net.rng.chance(500) { altered(frame, net) } else { flipped(frame, net) };
        net.inject(frame.to_link, bytes, Duration::ZERO);
        self.deeds += 1;
    }

    fn forges(&mut self, frame: &InTransit, net: &mut Net<'_>) {
        let loot = self.loot.borrow();
        let Some(stolen) = net.rng.pick(&loot).cloned() else { return };
        let Ok(mut draft) = Draft::of(net.tables, &frame.bytes) else { return };
        let key = match draft.info.code {
            code if code == MemberFrame::INFO.code => &stolen.member,
            code if code == LeaderFrame::INFO.code => &stolen.leader,
            code if code == Rekey::INFO.code => {
                let bytes = self.suite.as_deref().and_then(|suite| gives_out(suite, frame, &stolen, net));
                if let Some(bytes) = bytes {
                    net.inject(frame.to_link, bytes, Duration::ZERO);
                    self.deeds += 1;
                    self.forged += 1;
                }
                return;
            }
            _ => return,
        };
        // Of the old session, or of the live one whose frame this is.
        if net.rng.chance(500) {
            set(&mut draft.clear, "cid", &stolen.session.cid.0.to_be_bytes());
        }
        let n = net.rng.below(1 << 20) + 1;
        set(&mut draft.clear, "n", &n.to_be_bytes());
        let mut text = BytesMut::new();
        let (epoch, view, policy) = (Epoch(0), Version(0), Version(0));
        ChannelStatus { seen: 0, ack: 0, epoch, view, policy, flags: Flags::ASKS, rseq: 0 }.put(&mut text);
        // Both directions write an end alike.
        MemberBody::End(End { reason: EndReason::Left, by: MemberId(n % 5) }).put(&mut text);
        draft.text = text.to_vec();
        let number = BoxNumber { domain: 0, counter: n };
        if let Ok(bytes) = draft.sealed(|ad, text| key.seal(number, ad, text)) {
            net.inject(frame.to_link, bytes, Duration::ZERO);
            self.deeds += 1;
            self.forged += 1;
        }
    }
}

/// A group key of its own for the next epoch, with the facts of this one, in a block under a stolen key: for the member of the
/// old session, or for that of the live one.
fn gives_out(suite: &dyn Suite, frame: &InTransit, stolen: &Stolen, net: &mut Net<'_>) -> Option<Bytes> {
    let parsed = Rekey::parse(&frame.bytes).ok()?.message;
    let common = parsed.common.value;
    let live = parsed.blocks.iter().next()?.cid;
    let cid = if net.rng.chance(500) { live } else { stolen.session.cid };
    let header = Header { system: System::Antigone, edition: Edition::Repaired, suite: suite.id() };
    let facts = Facts {
        epoch: common.epoch.next()?,
        floor: common.floor,
        causes: common.causes,
        view: common.view,
        view_digest: common.view_digest,
        policy: common.policy,
        policy_digest: common.policy_digest,
        delta: common.delta,
    };
    let issue = Issue::draw(suite, net.rng, parsed.group, facts).ok()?;
    let block = issue.block(header, parsed.group, cid, &*stolen.leader).ok()?;
    issue.frame(header, parsed.group, &[block], &mut Pool::new()).ok()
}

fn set(value: &mut Value, field: &str, bytes: &[u8]) {
    if let Some(Value { content: Content::Leaf(old), .. }) = value.find_mut(field) {
        *old = bytes.to_vec();
    }
}

/// One number among the clear fields is raised.
fn altered(frame: &InTransit, net: &mut Net<'_>) -> Bytes {
    let field = net.rng.pick(&["n", "cid", "epoch", "counter"]).copied().unwrap_or("n");
    let Ok(mut draft) = Draft::of(net.tables, &frame.bytes) else { return frame.bytes.clone() };
    if let Some(Value { content: Content::Leaf(old), .. }) = draft.clear.find_mut(field)
        && let Some(last) = old.last_mut()
    {
        *last = last.wrapping_add(1);
        return draft.frame();
    }
    flipped(frame, net)
}

/// One bit is flipped.
fn flipped(frame: &InTransit, net: &mut Net<'_>) -> Bytes {
    let mut bytes = frame.bytes.to_vec();
    let bit = net.rng.below(bytes.len() as u64 * 8);
    if let Some(byte) = usize::try_from(bit / 8).ok().and_then(|at| bytes.get_mut(at)) {
        *byte ^= 1 << (bit % 8);
    }
    bytes.into()
}

impl Adversary for Wild {
    fn on_frame(&mut self, frame: &InTransit, net: &mut Net<'_>) -> Verdict {
        if self.seen.len() >= self.how.memory {
            self.seen.pop_front();
        }
        self.seen.push_back(frame.clone());
        if net.rng.chance(self.how.replay) {
            self.replays(net);
        }
        if net.rng.chance(self.how.alter) {
            self.alters(frame, net);
        }
        if net.rng.chance(self.how.forge) {
            self.forges(frame, net);
        }
        if net.rng.chance(self.how.drop) {
            self.deeds += 1;
            return Verdict::Drop;
        }
        if net.rng.chance(self.how.delay) {
            self.deeds += 1;
            return Verdict::Delay(net.rng.span(self.how.late));
        }
        Verdict::Pass
    }
}
