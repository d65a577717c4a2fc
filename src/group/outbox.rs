//! What waits to be polled: frames and events, in order, bounded by asking for room first (R45), never dropped once
//! queued.

use alloc::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::limits::Limits;
use crate::endpoint::{Instant, Link, Transmit};
use crate::error::Reason;
use crate::event::{Claims, Event, Stats};

/// Bytes of a block of the pool.
pub const BLOCK: usize = 64 * 1024;

/// Where frames are composed: one after the other in a block of [`BLOCK`] bytes, each handed out as a slice of it.
///
/// Two blocks take turns. While the frames of the one have been dropped by the time the other is full, nothing is
/// allocated; otherwise a block is allocated for each [`BLOCK`] bytes of output. Nothing is allocated before the first
/// frame.
#[derive(Default)]
pub struct Pool {
    block: BytesMut,
    /// The block that was full last. Its frames may still be alive.
    full: BytesMut,
}

impl core::fmt::Debug for Pool {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Pool").field("left", &self.block.capacity()).finish()
    }
}

/// A block only saves work: a copied machine starts with one of its own.
#[cfg(any(test, feature = "sim"))]
impl Clone for Pool {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl Pool {
    /// An empty pool.
    pub fn new() -> Self {
        Self::default()
    }

    /// The frame that `compose` appends. `reserve` is the most bytes that it will append; if it appends more, the
    /// frame is still right, only slower.
    ///
    /// # Errors
    /// That of `compose`; what it had appended is gone.
    pub fn compose<E>(
        &mut self,
        reserve: usize,
        compose: impl FnOnce(&mut BytesMut) -> Result<(), E>,
    ) -> Result<Bytes, E> {
        // `try_reclaim` takes a whole block back if no frame of it is alive any more.
        if !self.block.try_reclaim(reserve) {
            core::mem::swap(&mut self.block, &mut self.full);
            if !self.block.try_reclaim(reserve) {
                self.block = BytesMut::with_capacity(reserve.max(BLOCK));
            }
        }
        match compose(&mut self.block) {
            Ok(()) => Ok(self.block.split().freeze()),
            Err(error) => {
                self.block.clear();
                Err(error)
            }
        }
    }
}

/// The output of a machine: queues, counters, the pool, and the clock as the machine sees it.
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
#[derive(Debug)]
pub struct Outbox {
    frames: VecDeque<Transmit>,
    events: VecDeque<Event>,
    most_frames: usize,
    most_events: usize,
    latest: Instant,
    /// A burst went beyond the limit: what belongs to the same input may follow it.
    burst: bool,
    /// Counters. No behaviour depends on them.
    pub stats: Stats,
    /// Where frames are composed.
    pub pool: Pool,
}

#[cfg(any(test, feature = "sim"))]
impl crate::fingerprint::Fingerprint for Outbox {
    fn fingerprint(&self, now: Instant, sink: &mut dyn crate::fingerprint::Sink) {
        // What an event says is decided and changes nothing here; that it takes room does. The clock is no state:
        // an input that is refused moves it too.
        let Self { frames, events, most_frames, most_events, latest: _, burst: _, stats: _, pool: _ } = self;
        frames.fingerprint(now, sink);
        events.len().fingerprint(now, sink);
        most_frames.fingerprint(now, sink);
        most_events.fingerprint(now, sink);
    }
}

impl Outbox {
    /// Empty queues with room for what `limits` says, allocated once.
    pub fn new(limits: &Limits) -> Self {
        Self {
            frames: VecDeque::with_capacity(limits.out_frames),
            events: VecDeque::with_capacity(limits.out_events),
            most_frames: limits.out_frames,
            most_events: limits.out_events,
            latest: Instant::ORIGIN,
            burst: false,
            stats: Stats::default(),
            pool: Pool::new(),
        }
    }

    /// Whether that many frames and events more have room. Ask for the most that the next step can produce before
    /// taking it.
    pub fn room(&self, frames: usize, events: usize) -> bool {
        self.most_frames - self.frames.len().min(self.most_frames) >= frames
            && self.most_events - self.events.len().min(self.most_events) >= events
    }

    /// Queues a frame. Only after [`Self::room`] said yes: what is queued is never dropped, so it would grow instead.
    pub fn send(&mut self, transmit: Transmit) {
        debug_assert!(self.room(1, 0), "a frame without room");
        self.frames.push_back(transmit);
    }

    /// Queues a frame of somebody else's that is passed on, and counts it.
    pub fn relay(&mut self, transmit: Transmit) {
        self.stats.relayed += 1;
        self.send(transmit);
    }

    /// Queues an event. Only after [`Self::room`] said yes.
    pub fn event(&mut self, event: Event) {
        debug_assert!(self.burst || self.room(0, 1), "an event without room");
        self.events.push_back(event);
    }

    /// Queues the events of a change of view, as many as there are. They may go beyond the limit, by at most a roster:
    /// until they are drained there is no room for anything else.
    pub fn burst(&mut self, events: impl Iterator<Item = Event>) {
        self.events.extend(events);
        self.burst = self.events.len() >= self.most_events;
    }

    /// Counts a refused input and tells the application. Under a flood that nobody drains it only counts, so that what
    /// strangers cost stays bounded (R46).
    pub fn reject(&mut self, link: Link, why: Reason) {
        self.reject_data(link, why, None);
    }

    /// The same for data that cannot be read, with what they claim (R46). A claim is of fixed size, and nothing of it is
    /// kept but in the event.
    pub fn reject_data(&mut self, link: Link, why: Reason, claims: Option<Claims>) {
        *self.stats.rejected.entry(why).or_default() += 1;
        if self.room(0, 1) {
            self.events.push_back(Event::Rejected { link, why, claims });
        }
    }

    /// Counts a frame that was dropped unread for want of room (R45).
    pub fn overrun(&mut self) {
        self.stats.overruns += 1;
    }

    /// The next frame to send.
    pub fn pop_frame(&mut self) -> Option<Transmit> {
        let transmit = self.frames.pop_front()?;
        self.stats.frames_out += 1;
        Some(transmit)
    }

    /// The next event.
    pub fn pop_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        self.burst &= self.events.len() >= self.most_events;
        event
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.events.is_empty()
    }

    /// The time of an input. A clock that goes back is held where it was, and counted.
    pub fn tick(&mut self, now: Instant) -> Instant {
        if now < self.latest {
            self.stats.clock_back += 1;
        } else {
            self.latest = now;
        }
        self.latest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::{Class, To};

    fn frame(bytes: &'static [u8]) -> Transmit {
        Transmit { to: To::Link(Link(1)), frame: Bytes::from_static(bytes), class: Class::Control }
    }

    fn small() -> Outbox {
        Outbox::new(&Limits { out_frames: 2, out_events: 2, ..Limits::default() })
    }

    #[test]
    fn room_is_what_is_left() {
        let mut outbox = small();
        assert!(outbox.room(2, 2) && !outbox.room(3, 0) && !outbox.room(0, 3));
        outbox.send(frame(b"a"));
        outbox.event(Event::Stale);
        assert!(outbox.room(1, 1) && !outbox.room(2, 0) && !outbox.room(0, 2));
        assert!(!outbox.room(usize::MAX, usize::MAX));
    }

    #[test]
    fn comes_out_in_order() {
        let mut outbox = small();
        outbox.send(frame(b"a"));
        outbox.send(frame(b"b"));
        assert_eq!(outbox.pop_frame(), Some(frame(b"a")));
        assert_eq!(outbox.pop_frame(), Some(frame(b"b")));
        assert_eq!(outbox.pop_frame(), None);
        assert_eq!(outbox.stats.frames_out, 2);
        assert!(outbox.is_empty());
    }

    #[test]
    fn a_flood_of_refusals_is_counted_and_bounded() {
        let mut outbox = small();
        for _ in 0..1000 {
            outbox.reject(Link(9), Reason::Forged);
        }
        assert_eq!(outbox.stats.rejections(), 1000);
        assert_eq!(core::iter::from_fn(|| outbox.pop_event()).count(), 2);
    }

    #[test]
    fn a_clock_that_goes_back_is_held() {
        let mut outbox = small();
        let (early, late) = (Instant::from_micros(5), Instant::from_micros(9));
        assert_eq!(outbox.tick(late), late);
        assert_eq!(outbox.tick(early), late);
        assert_eq!(outbox.tick(late), late);
        assert_eq!(outbox.stats.clock_back, 1);
    }

    fn put(pool: &mut Pool, length: usize) -> Bytes {
        let write = |out: &mut BytesMut| {
            out.resize(out.len() + length, 7);
            Ok::<_, ()>(())
        };
        pool.compose(length, write).unwrap()
    }

    #[test]
    fn a_block_whose_frames_are_gone_is_used_again() {
        let mut pool = Pool::new();
        let start = put(&mut pool, 1000).as_ptr();
        let blocks = (0..1000).filter(|_| put(&mut pool, 1000).as_ptr() == start).count();
        assert!(blocks >= 1000 / 65 - 1, "came back to the same block {blocks} times");
    }

    #[test]
    fn frames_that_live_keep_their_bytes() {
        let mut pool = Pool::new();
        let frames: alloc::vec::Vec<Bytes> = (1..300).map(|length| put(&mut pool, length * 3)).collect();
        for (frame, length) in frames.iter().zip(1..) {
            assert_eq!(frame.len(), length * 3);
            assert!(frame.iter().all(|byte| *byte == 7));
        }
        assert_eq!(put(&mut pool, BLOCK * 2).len(), BLOCK * 2, "longer than a block");
    }

    #[test]
    fn a_failed_frame_leaves_nothing() {
        let mut pool = Pool::new();
        let failed = pool.compose(10, |out| {
            out.extend_from_slice(b"half");
            Err("no")
        });
        assert_eq!(failed, Err("no"));
        assert_eq!(put(&mut pool, 3), Bytes::from_static(&[7, 7, 7]));
    }
}
