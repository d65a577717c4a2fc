//! The two bounded queues of a link, shared by the driver and the adapter's halves.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use sodality::endpoint::{Class, Instant, Link, LinkInfo};
use tokio::sync::{Notify, mpsc, watch};

use crate::clock::Clock;
use crate::transport::CloseReason;

/// Bounds of one link's queues. An empty queue takes one frame of any length that the link allows, so the bytes held
/// for a link are at most the stated bound or one frame, whichever is more (R2, R30).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkLimits {
    /// Most bytes received and not yet taken in by the endpoint.
    pub in_bytes: usize,
    /// Most frames received and not yet taken in.
    pub in_frames: usize,
    /// Most queued bytes at which a frame of class `Data` is still queued.
    pub data_bytes: usize,
    /// Most queued frames at which a frame of class `Data` is still queued.
    pub data_frames: usize,
    /// Bytes on top of `data_bytes` that only class `Control` may use.
    pub control_bytes: usize,
    /// Frames on top of `data_frames` that only class `Control` may use.
    pub control_frames: usize,
}

impl Default for LinkLimits {
    /// 256 KiB and 256 frames in; 1 MiB and 4096 frames out, and half of that on top for control.
    fn default() -> Self {
        Self {
            in_bytes: 256 << 10,
            in_frames: 256,
            data_bytes: 1 << 20,
            data_frames: 4096,
            control_bytes: 512 << 10,
            control_frames: 2048,
        }
    }
}

/// How far a link is on its way to the end. The order is the order in time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Phase {
    Open,
    /// Nothing more is taken in; what is queued still goes out.
    Draining,
    /// All that was queued has gone out.
    Flushed,
    /// Over.
    Dead,
}

#[derive(Default)]
struct Inbox {
    /// Each with the time at which it came.
    frames: VecDeque<(Instant, BytesMut)>,
    bytes: usize,
    /// The driver has been told to look here and has not done so yet: at most one entry for each link.
    announced: bool,
    /// Frames taken so far.
    taken: u64,
    /// The adapter wants to know whether the endpoint knows the peer.
    asked: bool,
    ended: Option<CloseReason>,
}

/// Two queues with one order: a transport takes both as one, or each by itself.
struct Outbox {
    /// With the place of each frame in the order of both.
    control: VecDeque<(u64, Bytes)>,
    data: VecDeque<(u64, Bytes)>,
    next_place: u64,
    /// Where the last frame lies, if it is queued as it was given: addresses of its begin and its end.
    last: Option<(usize, usize)>,
    bytes: usize,
    dropped: u64,
    /// The link ended before all that was queued was sent.
    lost: bool,
    phase: Phase,
}

impl Outbox {
    fn new() -> Self {
        let (control, data) = (VecDeque::new(), VecDeque::new());
        Self { control, data, next_place: 0, last: None, bytes: 0, dropped: 0, lost: false, phase: Phase::Open }
    }

    fn of(&self, class: Class) -> &VecDeque<(u64, Bytes)> {
        match class {
            Class::Control => &self.control,
            Class::Data => &self.data,
        }
    }

    fn of_mut(&mut self, class: Class) -> &mut VecDeque<(u64, Bytes)> {
        match class {
            Class::Control => &mut self.control,
            Class::Data => &mut self.data,
        }
    }

    fn waiting(&self) -> usize {
        self.control.len() + self.data.len()
    }

    fn is_empty(&self, which: Which) -> bool {
        match which {
            Which::Both => self.waiting() == 0,
            Which::Only(class) => self.of(class).is_empty(),
        }
    }

    /// The class of the frame that goes next.
    fn next(&self, which: Which) -> Option<Class> {
        if let Which::Only(class) = which {
            return (!self.of(class).is_empty()).then_some(class);
        }
        match (self.control.front(), self.data.front()) {
            (Some((control, _)), Some((data, _))) => Some(if control < data { Class::Control } else { Class::Data }),
            (Some(_), None) => Some(Class::Control),
            (None, Some(_)) => Some(Class::Data),
            (None, None) => None,
        }
    }
}

/// What a writer takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Which {
    /// All frames, in order.
    Both,
    /// Frames of one class, whatever waits of the other.
    Only(Class),
}

/// What became of an outgoing frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pushed {
    Queued,
    Dropped,
    /// A control frame that does not fit: the link must go.
    Overflow,
    /// The link is over, or never carries so long a frame.
    Undeliverable,
}

/// What the driver finds at a link.
pub(crate) struct Taken {
    pub(crate) frame: Option<(Instant, BytesMut)>,
    /// How many frames it makes.
    pub(crate) number: u64,
    pub(crate) more: bool,
    /// The adapter asks whether the peer is known, and all that came before is taken.
    pub(crate) asked: bool,
    /// Nothing is left and nothing will come.
    pub(crate) ended: Option<CloseReason>,
}

/// Frames shorter than this are copied when they must wait behind many others, so that a link that does not keep up
/// does not keep whole blocks of the endpoint's output pool alive. One that lies right behind the one before it keeps nothing
/// alive that the other does not, and stays where it is.
const COPY_BELOW: usize = 4 << 10;
const COPY_BEHIND: usize = 64;
/// Bytes between two frames that lie one behind the other.
const MOST_GAP: usize = 32;

pub(crate) struct Queues {
    pub(crate) link: Link,
    pub(crate) info: LinkInfo,
    limits: LinkLimits,
    clock: Clock,
    inbox: Mutex<Inbox>,
    in_room: Notify,
    ready: mpsc::UnboundedSender<Link>,
    outbox: Mutex<Outbox>,
    out_ready: Notify,
    control_ready: Notify,
    data_ready: Notify,
    phase: watch::Sender<Phase>,
    /// Whether the endpoint knows the peer, and how many times an adapter was answered that it does not.
    known: watch::Sender<(bool, u64)>,
}

/// No code that may panic runs under these locks, so a poisoned one is as good as any other.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Queues {
    pub(crate) fn new(
        link: Link,
        info: LinkInfo,
        limits: LinkLimits,
        clock: Clock,
        ready: mpsc::UnboundedSender<Link>,
    ) -> Arc<Self> {
        Arc::new(Self {
            link,
            info,
            limits,
            clock,
            inbox: Mutex::default(),
            in_room: Notify::new(),
            ready,
            outbox: Mutex::new(Outbox::new()),
            out_ready: Notify::new(),
            control_ready: Notify::new(),
            data_ready: Notify::new(),
            phase: watch::Sender::new(Phase::Open),
            known: watch::Sender::new((false, 0)),
        })
    }

    // --- in: fed by the adapter, taken by the driver ---

    /// Queues a frame, or gives it back if there is no room now. `Err` if the link takes nothing more.
    fn try_feed(&self, at: Instant, frame: BytesMut) -> Result<Option<BytesMut>, ()> {
        if self.phase() != Phase::Open {
            return Err(());
        }
        let mut inbox = lock(&self.inbox);
        if inbox.ended.is_some() {
            return Err(());
        }
        let bytes = inbox.bytes.saturating_add(frame.len());
        if !inbox.frames.is_empty() && (bytes > self.limits.in_bytes || inbox.frames.len() >= self.limits.in_frames) {
            return Ok(Some(frame));
        }
        inbox.bytes = bytes;
        inbox.frames.push_back((at, frame));
        self.announce(inbox);
        Ok(None)
    }

    fn announce(&self, mut inbox: MutexGuard<'_, Inbox>) {
        if !inbox.announced {
            inbox.announced = true;
            drop(inbox);
            // The driver may be gone; then nobody looks any more.
            let _ = self.ready.send(self.link);
        }
    }

    /// As [`Self::try_feed`], for a frame that comes now.
    pub(crate) fn offer(&self, frame: BytesMut) -> Result<Option<BytesMut>, ()> {
        self.try_feed(self.clock.now(), frame)
    }

    /// Queues a frame as soon as there is room. For one waiter at a time.
    pub(crate) async fn feed(&self, mut frame: BytesMut) -> Result<(), ()> {
        // It came now, however long it has to wait.
        let at = self.clock.now();
        loop {
            match self.try_feed(at, frame)? {
                None => return Ok(()),
                Some(back) => frame = back,
            }
            tokio::select! {
                () = self.in_room.notified() => {}
                () = self.reached(Phase::Draining) => return Err(()),
            }
        }
    }

    /// Takes the oldest frame. If frames are left the link stays announced, and the caller comes back by itself.
    pub(crate) fn take_in(&self) -> Taken {
        let mut inbox = lock(&self.inbox);
        let frame = inbox.frames.pop_front();
        inbox.taken += u64::from(frame.is_some());
        let number = inbox.taken;
        inbox.bytes = inbox.bytes.saturating_sub(frame.as_ref().map_or(0, |(_, frame)| frame.len()));
        let more = !inbox.frames.is_empty();
        inbox.announced = more;
        let ended = if more { None } else { inbox.ended };
        let asked = !more && std::mem::take(&mut inbox.asked);
        // Half empty before the feeder is woken, or the two would wake each other for each frame.
        let room = inbox.frames.len() <= self.limits.in_frames / 2 && inbox.bytes <= self.limits.in_bytes / 2;
        drop(inbox);
        if room && frame.is_some() {
            self.in_room.notify_one();
        }
        Taken { frame, number, more, asked, ended }
    }

    /// The endpoint knows the peer, or does not yet.
    pub(crate) fn judge(&self, known: bool) {
        self.known.send_modify(|(is_known, answers)| {
            *is_known |= known;
            *answers += 1;
        });
    }

    pub(crate) fn is_known(&self) -> bool {
        self.known.borrow().0
    }

    pub(crate) async fn known(&self) {
        let mut known = self.known.subscribe();
        // The sender lives as long as `self`.
        let _ = known.wait_for(|(is_known, _)| *is_known).await;
    }

    fn announce_question(&self) {
        let mut inbox = lock(&self.inbox);
        inbox.asked = true;
        self.announce(inbox);
    }

    /// Asks, once all that was fed is taken in, whether the endpoint knows the peer. `true` also if the link is over.
    pub(crate) async fn ask_known(&self) -> bool {
        let mut known = self.known.subscribe();
        let (is_known, before) = *known.borrow_and_update();
        if is_known {
            return true;
        }
        self.announce_question();
        tokio::select! {
            biased;
            () = self.reached(Phase::Draining) => true,
            answer = known.wait_for(|(is_known, answers)| *is_known || *answers > before) => {
                answer.is_ok_and(|answer| answer.0)
            }
        }
    }

    /// The link is over, for this reason unless another came before. What was received before is still taken in.
    pub(crate) fn end(&self, why: CloseReason) {
        // The reason comes first: once the phase is visible the halves end too, with reasons of their own.
        let first = {
            let mut inbox = lock(&self.inbox);
            let first = inbox.ended.is_none();
            inbox.ended.get_or_insert(why);
            first
        };
        self.advance(Phase::Dead);
        if first {
            self.announce(lock(&self.inbox));
        }
    }

    // --- out: fed by the driver, taken by the adapter ---

    /// Queues one frame.
    #[cfg(test)]
    fn push(&self, frame: &Bytes, class: Class) -> Pushed {
        let mut pushed = Pushed::Undeliverable;
        self.push_all([(frame, class)].into_iter(), |one| pushed = one);
        pushed
    }

    /// Queues frames one after the other, as far as they fit, and tells what became of each. After an overflow the rest is
    /// undeliverable: the caller ends the link.
    pub(crate) fn push_all<'a>(&self, frames: impl Iterator<Item = (&'a Bytes, Class)>, mut told: impl FnMut(Pushed)) {
        let mut outbox = lock(&self.outbox);
        let (was_empty, mut over) = (outbox.waiting() == 0, false);
        let first = [Class::Control, Class::Data].map(|class| (class, outbox.of(class).is_empty()));
        for (frame, class) in frames {
            let pushed = if over { Pushed::Undeliverable } else { self.place(&mut outbox, frame, class) };
            over |= pushed == Pushed::Overflow;
            told(pushed);
        }
        let ready = first.map(|(class, was_empty)| (class, was_empty && !outbox.of(class).is_empty()));
        let any = was_empty && outbox.waiting() > 0;
        drop(outbox);
        if any {
            self.out_ready.notify_one();
        }
        for (class, _) in ready.into_iter().filter(|(_, first)| *first) {
            self.ready_of(Which::Only(class)).notify_one();
        }
    }

    fn place(&self, outbox: &mut Outbox, frame: &Bytes, class: Class) -> Pushed {
        if frame.len() > self.info.max_frame || outbox.phase != Phase::Open {
            return Pushed::Undeliverable;
        }
        let (most_bytes, most_frames) = match class {
            Class::Data => (self.limits.data_bytes, self.limits.data_frames),
            Class::Control => (
                self.limits.data_bytes.saturating_add(self.limits.control_bytes),
                self.limits.data_frames.saturating_add(self.limits.control_frames),
            ),
        };
        let bytes = outbox.bytes.saturating_add(frame.len());
        let waiting = outbox.waiting();
        if waiting > 0 && (bytes > most_bytes || waiting >= most_frames) {
            return match class {
                Class::Data => {
                    outbox.dropped += 1;
                    Pushed::Dropped
                }
                Class::Control => Pushed::Overflow,
            };
        }
        let begin = frame.as_ptr() as usize;
        let lies = (begin, begin.saturating_add(frame.len()));
        // The same frame again, or the next one of the same block.
        let beside = outbox.last.is_some_and(|(from, to)| lies.0 == from || lies.0.wrapping_sub(to) <= MOST_GAP);
        let copy = waiting >= COPY_BEHIND && frame.len() < COPY_BELOW && !beside;
        let frame = if copy { Bytes::copy_from_slice(frame) } else { frame.clone() };
        outbox.last = (!copy).then_some(lies);
        outbox.bytes = bytes;
        let place = outbox.next_place;
        outbox.next_place += 1;
        outbox.of_mut(class).push_back((place, frame));
        Pushed::Queued
    }

    fn ready_of(&self, which: Which) -> &Notify {
        match which {
            Which::Both => &self.out_ready,
            Which::Only(Class::Control) => &self.control_ready,
            Which::Only(Class::Data) => &self.data_ready,
        }
    }

    /// Appends queued frames to `batch`, up to `most_bytes` but at least one, as soon as there is one. `false` once
    /// nothing is queued and nothing will be. For one waiter of each kind at a time; loses nothing if cancelled.
    pub(crate) async fn take_out(&self, which: Which, batch: &mut Vec<Bytes>, most_bytes: usize) -> bool {
        loop {
            {
                let mut outbox = lock(&self.outbox);
                let mut taken = 0_usize;
                let mut any = false;
                while let Some(class) = outbox.next(which) {
                    let length = outbox.of(class).front().map_or(0, |(_, frame)| frame.len());
                    if any && taken.saturating_add(length) > most_bytes {
                        break;
                    }
                    any = true;
                    taken = taken.saturating_add(length);
                    outbox.bytes = outbox.bytes.saturating_sub(length);
                    batch.extend(outbox.of_mut(class).pop_front().map(|(_, frame)| frame));
                }
                if any {
                    return true;
                }
                if outbox.phase != Phase::Open {
                    return false;
                }
            }
            self.ready_of(which).notified().await;
        }
    }

    /// The outgoing half, or the part of it that takes one class, is given up. In a shutdown that is in order once nothing
    /// is queued for it.
    pub(crate) fn end_out(&self, which: Which, why: CloseReason) {
        // The outbox is the first to know of a new phase: a writer that it told may be here before the others know.
        let (phase, done, flushed) = {
            let outbox = lock(&self.outbox);
            (outbox.phase, outbox.is_empty(which), outbox.is_empty(Which::Both))
        };
        match phase {
            Phase::Flushed => {}
            Phase::Draining if flushed => self.advance(Phase::Flushed),
            // The other part has something left.
            Phase::Draining if done => {}
            _ => self.end(why),
        }
    }

    pub(crate) fn dropped(&self) -> u64 {
        lock(&self.outbox).dropped
    }

    /// Whether the link ended before all that was queued was sent.
    pub(crate) fn lost(&self) -> bool {
        lock(&self.outbox).lost
    }

    // --- phases ---

    pub(crate) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Phases only ever go forward.
    pub(crate) fn advance(&self, to: Phase) {
        {
            let mut outbox = lock(&self.outbox);
            if outbox.phase < to {
                outbox.phase = to;
            }
            if outbox.phase == Phase::Dead {
                outbox.lost |= !outbox.is_empty(Which::Both);
                (outbox.control, outbox.data) = (VecDeque::new(), VecDeque::new());
                outbox.bytes = 0;
            }
        }
        for which in [Which::Both, Which::Only(Class::Control), Which::Only(Class::Data)] {
            self.ready_of(which).notify_one();
        }
        self.phase.send_if_modified(|phase| {
            let forward = *phase < to;
            if forward {
                *phase = to;
            }
            forward
        });
    }

    pub(crate) async fn reached(&self, at_least: Phase) {
        let mut phase = self.phase.subscribe();
        // The sender lives as long as `self`.
        let _ = phase.wait_for(|phase| *phase >= at_least).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_that_hears_first_of_a_shutdown_has_flushed() {
        let (ready, _looks) = mpsc::unbounded_channel();
        let queues = Queues::new(Link(1), LinkInfo::stream(100), LinkLimits::default(), Clock::new(), ready);
        // The moment between the two halves of `advance`.
        lock(&queues.outbox).phase = Phase::Draining;
        queues.end_out(Which::Both, CloseReason::Abandoned);
        assert_eq!(queues.phase(), Phase::Flushed);
    }

    #[tokio::test]
    async fn classes_can_be_taken_apart_and_keep_their_order_together() {
        let (ready, _looks) = mpsc::unbounded_channel();
        let queues = Queues::new(Link(1), LinkInfo::stream(100), LinkLimits::default(), Clock::new(), ready);
        let push = |text: &'static [u8], class| {
            assert_eq!(queues.push(&Bytes::from_static(text), class), Pushed::Queued);
        };
        let all = [(&b"1"[..], Class::Data), (b"2", Class::Control), (b"3", Class::Data), (b"4", Class::Control)];
        let mut batch = Vec::new();
        all.iter().for_each(|(text, class)| push(text, *class));
        assert!(queues.take_out(Which::Both, &mut batch, 100).await);
        assert_eq!(batch.concat(), b"1234");
        batch.clear();
        all.iter().for_each(|(text, class)| push(text, *class));
        assert!(queues.take_out(Which::Only(Class::Control), &mut batch, 100).await);
        assert_eq!(batch.concat(), b"24");
        queues.advance(Phase::Draining);
        queues.end_out(Which::Only(Class::Control), CloseReason::Abandoned);
        assert_eq!(queues.phase(), Phase::Draining, "data are left");
        assert!(queues.take_out(Which::Only(Class::Data), &mut batch, 100).await);
        assert_eq!(batch.concat(), b"2413");
        assert!(!queues.take_out(Which::Only(Class::Data), &mut batch, 100).await);
        queues.end_out(Which::Only(Class::Data), CloseReason::Abandoned);
        assert_eq!(queues.phase(), Phase::Flushed);
    }

    /// The bytes that a link keeps alive are about those that it has queued, whatever blocks the endpoint writes in.
    #[tokio::test]
    async fn a_frame_that_waits_keeps_no_block_alive_for_itself() {
        let limits = LinkLimits { data_bytes: 1 << 20, ..LinkLimits::default() };
        let (ready, _looks) = mpsc::unbounded_channel();
        let queues = Queues::new(Link(1), LinkInfo::stream(1000), limits, Clock::new(), ready);
        // Frames of one block, one behind the other; then one of each of many blocks.
        let block = Bytes::from(vec![7; 100 * 200]);
        let near: Vec<Bytes> = (0..200).map(|at| block.slice(at * 100..(at + 1) * 100)).collect();
        let apart: Vec<Bytes> = (0..200).map(|_| Bytes::from(vec![8; 9_000]).slice(4_000..4_100)).collect();
        for frame in near.iter().chain(&apart) {
            assert_eq!(queues.push(frame, Class::Data), Pushed::Queued);
        }
        let mut batch = Vec::new();
        assert!(queues.take_out(Which::Both, &mut batch, 1 << 20).await);
        let given = near.iter().chain(&apart);
        let shared: Vec<bool> = batch.iter().zip(given).map(|(one, other)| one.as_ptr() == other.as_ptr()).collect();
        let (near, apart) = shared.split_at(200);
        assert!(near.iter().all(|shared| *shared), "none of these had to be copied");
        assert!(apart.iter().all(|shared| !shared), "each of these had");
    }

    #[test]
    fn a_half_that_is_dropped_before_its_time_ends_the_link() {
        for (phase, frames) in [(Phase::Open, 0), (Phase::Draining, 1)] {
            let (ready, _looks) = mpsc::unbounded_channel();
            let queues = Queues::new(Link(1), LinkInfo::stream(100), LinkLimits::default(), Clock::new(), ready);
            (0..frames).for_each(|_| assert_eq!(queues.push(&Bytes::from_static(b"x"), Class::Data), Pushed::Queued));
            queues.advance(phase);
            queues.end_out(Which::Both, CloseReason::Abandoned);
            assert_eq!(queues.phase(), Phase::Dead, "{phase:?}");
            assert_eq!(queues.take_in().ended, Some(CloseReason::Abandoned));
        }
    }
}
