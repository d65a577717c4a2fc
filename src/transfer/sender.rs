//! The sending half: offers, what of them is wanted, and who is finished.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use core::time::Duration;

use bytes::{Bytes, BytesMut};

use super::bitmap::Bitmap;
use super::object::{Manifest, Source};
use super::window::Window;
use super::{Config, Event, OfferEnd, Turn, encode, spread};
use crate::endpoint::Instant;
use crate::error::Reason;
use crate::group::Jitter;
use crate::identity::MemberId;
use crate::wire::field::{Field, Rest};
use crate::wire::transfer::{Announce, CHUNK_OVERHEAD, Chunk, Done, ObjectId, ObjectMessage, Want, Withdraw};

/// Demands served in one hold time for each object: more are dropped, so that a flood of them costs little.
const WANTS_PER_HOLD: u32 = 256;
/// Of these, those of one member: one insider alone must not starve the repairs of the others.
const WANTS_OF_MEMBER: u32 = 32;
/// Farewells kept: more are forgotten, receivers then notice by silence.
const FAREWELLS: usize = 64;

/// One object on offer.
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
#[derive(Debug)]
struct Offer {
    manifest: Manifest,
    /// Chunks that somebody lacks.
    wanted: Bitmap,
    /// Chunks sent in this hold time and in the one before: demands for them crossed them on the way.
    recent: Bitmap,
    older: Bitmap,
    /// When `recent` becomes `older`.
    turn_at: Instant,
    /// Demands left in this hold time.
    budget: u32,
    /// Demands served in this hold time, by member: no more entries than the budget.
    asked: BTreeMap<MemberId, u32>,
    /// The next chunk to look at: chunks go out in rounds.
    cursor: u32,
    announce_at: Option<Instant>,
    interval: Duration,
    end_at: Instant,
    /// Members that are finished with it.
    done: BTreeSet<MemberId>,
}

fingerprint!(Offer {
    manifest,
    wanted,
    recent,
    older,
    turn_at,
    budget,
    asked,
    cursor,
    announce_at,
    interval,
    end_at,
    done
});

#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
#[derive(Debug)]
pub(super) struct Sender {
    offers: BTreeMap<ObjectId, Offer>,
    members: BTreeSet<MemberId>,
    pub(super) window: Window,
    /// The object served last: they take turns.
    last: Option<ObjectId>,
    farewells: VecDeque<ObjectId>,
}

fingerprint!(Sender { offers, members, window, last, farewells });

impl Offer {
    /// Moves the hold time on.
    fn turn(&mut self, now: Instant, hold: Duration) {
        if now < self.turn_at {
            return;
        }
        core::mem::swap(&mut self.recent, &mut self.older);
        self.recent.clear();
        if now >= self.turn_at + hold {
            self.older.clear();
        }
        self.turn_at = now + hold;
        self.budget = WANTS_PER_HOLD;
        self.asked.clear();
    }

    fn announce_by(&mut self, at: Instant) {
        self.announce_at = Some(self.announce_at.map_or(at, |other| other.min(at)));
    }

    /// Stops announcing once each of the `members` is finished.
    fn settle(&mut self, members: usize, events: &mut VecDeque<Event>) {
        if members != 0 && self.done.len() == members && self.announce_at.take().is_some() {
            events.push_back(Event::AllReceived { object: self.manifest.object });
        }
    }

    fn next_wanted(&self) -> Option<u32> {
        self.wanted.next_set(self.cursor).or_else(|| self.wanted.next_set(0))
    }
}

impl Sender {
    pub(super) fn new(window: Window) -> Self {
        Self { offers: BTreeMap::new(), members: BTreeSet::new(), window, last: None, farewells: VecDeque::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.offers.len()
    }

    pub(super) fn manifest(&self, object: ObjectId) -> Option<&Manifest> {
        self.offers.get(&object).map(|offer| &offer.manifest)
    }

    pub(super) fn add(&mut self, now: Instant, config: &Config, manifest: Manifest) {
        let chunks = manifest.chunks();
        let offer = Offer {
            wanted: Bitmap::new(chunks),
            recent: Bitmap::new(chunks),
            older: Bitmap::new(chunks),
            turn_at: now + config.hold,
            budget: WANTS_PER_HOLD,
            asked: BTreeMap::new(),
            cursor: 0,
            announce_at: Some(now),
            interval: config.announce_first,
            end_at: now + config.keep_for,
            done: BTreeSet::new(),
            manifest,
        };
        self.offers.insert(offer.manifest.object, offer);
    }

    /// Ends an offer, with a word to the group. Whether there was one.
    pub(super) fn remove(&mut self, object: ObjectId) -> bool {
        let there = self.offers.remove(&object).is_some();
        if there {
            if self.farewells.len() >= FAREWELLS {
                self.farewells.pop_front();
            }
            self.farewells.push_back(object);
        }
        there
    }

    pub(super) fn member_joined(&mut self, now: Instant, config: &Config, jitter: &mut Jitter, member: MemberId) {
        if self.members.insert(member) {
            for offer in self.offers.values_mut() {
                offer.interval = config.announce_first;
                // Many who come at once hear one announcement.
                offer.announce_by(now + spread(jitter, config.repair_after));
            }
        }
    }

    pub(super) fn member_left(&mut self, member: MemberId, events: &mut VecDeque<Event>) {
        if self.members.remove(&member) {
            for offer in self.offers.values_mut() {
                // Perhaps it was the one that the others waited for.
                if !offer.done.remove(&member) {
                    offer.settle(self.members.len(), events);
                }
            }
        }
    }

    /// Own re-join: nobody is known any more, and all must be announced.
    pub(super) fn rejoined(&mut self, now: Instant, config: &Config) {
        self.members.clear();
        for offer in self.offers.values_mut() {
            offer.done.clear();
            offer.interval = config.announce_first;
            offer.announce_by(now);
        }
    }

    pub(super) fn handle_want(
        &mut self,
        now: Instant,
        config: &Config,
        from: MemberId,
        want: &Want<'_>,
    ) -> Result<(), Reason> {
        let Some(offer) = self.offers.get_mut(&want.object) else { return Ok(()) };
        let after = check_want(want, offer.wanted.len())?;
        // Turning restores the budget: where that is used up, nothing has changed.
        offer.turn(now, config.hold);
        let asked = offer.asked.get(&from).copied().unwrap_or(0);
        if offer.budget == 0 || asked >= WANTS_OF_MEMBER {
            return Err(Reason::Budget);
        }
        offer.budget -= 1;
        offer.asked.insert(from, asked + 1);
        self.window.confirm(want.mark);
        for index in wanted_bits(want) {
            if !offer.recent.contains(index) && !offer.older.contains(index) {
                offer.wanted.insert(index);
            }
        }
        if want.rest {
            offer.wanted.fill_from(after, [Some(&offer.recent), Some(&offer.older)]);
        }
        Ok(())
    }

    pub(super) fn handle_progress(&mut self, object: ObjectId, mark: u64) {
        if self.offers.contains_key(&object) {
            self.window.confirm(mark);
        }
    }

    /// What a receiver says of another object under the same number says nothing of this one (R22).
    pub(super) fn handle_done(&mut self, from: MemberId, done: &Done<'_>, events: &mut VecDeque<Event>) {
        let object = done.manifest.object;
        let Some(offer) = self.offers.get_mut(&object) else { return };
        if offer.manifest.by_ref() == done.manifest && self.members.contains(&from) && offer.done.insert(from) {
            events.push_back(Event::Received { object, member: from, outcome: done.outcome });
            offer.settle(self.members.len(), events);
        }
    }

    /// Ends what has been on offer for long enough.
    pub(super) fn advance(&mut self, now: Instant, events: &mut VecDeque<Event>) {
        while let Some(object) = self.offers.iter().find(|(_, offer)| offer.end_at <= now).map(|(object, _)| *object) {
            self.remove(object);
            events.push_back(Event::OfferEnded { object, why: OfferEnd::Expired });
        }
    }

    /// The next word about offers: not chunks.
    pub(super) fn poll_control(&mut self, turn: &mut Turn<'_>) -> Option<Bytes> {
        let now = turn.now;
        if let Some(object) = self.farewells.pop_front() {
            return Some(encode(&ObjectMessage::Withdraw(Withdraw { object })));
        }
        let mark = self.window.mark();
        let offer = self.offers.values_mut().find(|offer| offer.announce_at.is_some_and(|at| at <= now))?;
        offer.announce_at = Some(now + offer.interval + spread(turn.jitter, offer.interval / 4));
        offer.interval = offer.interval.saturating_mul(2).min(turn.config.announce_longest);
        Some(encode(&ObjectMessage::Announce(Announce { manifest: offer.manifest.by_ref(), mark })))
    }

    /// The next chunk, if any is wanted and the window is open; else, when it is time, a probe.
    pub(super) fn poll_chunk(&mut self, turn: &mut Turn<'_>, source: &mut dyn Source) -> Option<Bytes> {
        let (now, config) = (turn.now, turn.config);
        loop {
            let Some(object) = self.next_object() else {
                self.window.rest();
                return None;
            };
            let offer = self.offers.get_mut(&object)?;
            let index = offer.next_wanted()?;
            let length = offer.manifest.chunk_len(index);
            let last = offer.wanted.count() == 1;
            let Some(plan) = self.window.plan((length + CHUNK_OVERHEAD) as u64, last) else {
                return self.wait_or_probe(now, config, object);
            };
            let mut out = BytesMut::with_capacity(length + CHUNK_OVERHEAD);
            let head = Chunk { object, index, mark: plan.mark, report: plan.report, bytes: Rest(&[]) };
            ObjectMessage::Chunk(head).put(&mut out);
            let at = out.len();
            out.resize(at + length, 0);
            if source.read(object, offer.manifest.offset(index), out.get_mut(at..).unwrap_or_default()).is_err() {
                self.remove(object);
                turn.events.push_back(Event::OfferEnded { object, why: OfferEnd::Source });
                continue;
            }
            offer.turn(now, config.hold);
            offer.wanted.remove(index);
            offer.recent.insert(index);
            offer.cursor = index + 1;
            self.last = Some(object);
            self.window.commit(plan);
            return Some(out.freeze());
        }
    }

    /// The next object, by turns, of which something is wanted.
    fn next_object(&self) -> Option<ObjectId> {
        let wanted = |(object, offer): (&ObjectId, &Offer)| (!offer.wanted.is_empty()).then_some(*object);
        let after = self.last.map(|last| (core::ops::Bound::Excluded(last), core::ops::Bound::Unbounded));
        after
            .and_then(|after| self.offers.range(after).find_map(wanted))
            .or_else(|| self.offers.iter().find_map(wanted))
    }

    fn wait_or_probe(&mut self, now: Instant, config: &Config, object: ObjectId) -> Option<Bytes> {
        self.window.wait(now);
        if self.window.probe_at().is_none_or(|at| at > now) {
            return None;
        }
        if self.window.probe(now) > config.probes {
            // Nobody listens any more: whoever comes back asks again.
            self.offers.values_mut().for_each(|offer| offer.wanted.clear());
            self.window.rest();
            return None;
        }
        let mark = self.window.mark();
        let offer = self.offers.get(&object)?;
        Some(encode(&ObjectMessage::Announce(Announce { manifest: offer.manifest.by_ref(), mark })))
    }

    /// The earliest deadline. A chunk that can go out is due at once.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        let offers = self.offers.values().flat_map(|offer| [offer.announce_at, Some(offer.end_at)]);
        let chunk = self.next_object().and_then(|object| self.offers.get(&object)).and_then(|offer| {
            let length = offer.manifest.chunk_len(offer.next_wanted()?) + CHUNK_OVERHEAD;
            if self.window.fits(length as u64) { Some(now) } else { self.window.probe_at().or(Some(now)) }
        });
        let farewell = (!self.farewells.is_empty()).then_some(now);
        offers.chain([chunk, farewell]).flatten().min()
    }
}

/// The chunks that the bits of `want` name.
pub(super) fn wanted_bits(want: &Want<'_>) -> impl Iterator<Item = u32> {
    let base = want.base;
    want.bits.0.iter().zip(0u32..).flat_map(move |(byte, at)| {
        (0..8).filter(move |bit| byte >> bit & 1 == 1).map(move |bit| base.saturating_add(8 * at + bit))
    })
}

/// Checks that a demand stays inside the object; gives the first chunk after its bits.
pub(super) fn check_want(want: &Want<'_>, chunks: u32) -> Result<u32, Reason> {
    let highest = wanted_bits(want).last();
    if want.base > chunks || highest.is_some_and(|highest| highest >= chunks) {
        return Err(Reason::Violation);
    }
    Ok(want.base.saturating_add(8 * want.bits.0.len() as u32))
}
