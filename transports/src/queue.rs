//! The two bounded queues of a link, shared by the driver and the adapter's halves.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use sodality::endpoint::{Class, Link, LinkInfo};
use tokio::sync::{Notify, mpsc, watch};

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
    frames: VecDeque<BytesMut>,
    bytes: usize,
    /// The driver has been told to look here and has not done so yet: at most one entry for each link.
    announced: bool,
    ended: Option<CloseReason>,
}

struct Outbox {
    frames: VecDeque<Bytes>,
    bytes: usize,
    dropped: u64,
    phase: Phase,
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
    pub(crate) frame: Option<BytesMut>,
    pub(crate) more: bool,
    /// Nothing is left and nothing will come.
    pub(crate) ended: Option<CloseReason>,
}

/// Frames shorter than this are copied when they must wait behind many others, so that a link that does not keep up
/// does not keep whole blocks of the endpoint's output pool alive.
const COPY_BELOW: usize = 4 << 10;
const COPY_BEHIND: usize = 64;

pub(crate) struct Queues {
    pub(crate) link: Link,
    pub(crate) info: LinkInfo,
    limits: LinkLimits,
    inbox: Mutex<Inbox>,
    in_room: Notify,
    ready: mpsc::UnboundedSender<Link>,
    outbox: Mutex<Outbox>,
    out_ready: Notify,
    phase: watch::Sender<Phase>,
}

/// No code that may panic runs under these locks, so a poisoned one is as good as any other.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Queues {
    pub(crate) fn new(link: Link, info: LinkInfo, limits: LinkLimits, ready: mpsc::UnboundedSender<Link>) -> Arc<Self> {
        Arc::new(Self {
            link,
            info,
            limits,
            inbox: Mutex::default(),
            in_room: Notify::new(),
            ready,
            outbox: Mutex::new(Outbox { frames: VecDeque::new(), bytes: 0, dropped: 0, phase: Phase::Open }),
            out_ready: Notify::new(),
            phase: watch::Sender::new(Phase::Open),
        })
    }

    // --- in: fed by the adapter, taken by the driver ---

    /// Queues a frame, or gives it back if there is no room now. `Err` if the link takes nothing more.
    pub(crate) fn try_feed(&self, frame: BytesMut) -> Result<Option<BytesMut>, ()> {
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
        inbox.frames.push_back(frame);
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

    /// Queues a frame as soon as there is room. For one waiter at a time.
    pub(crate) async fn feed(&self, mut frame: BytesMut) -> Result<(), ()> {
        loop {
            match self.try_feed(frame)? {
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
        inbox.bytes = inbox.bytes.saturating_sub(frame.as_ref().map_or(0, BytesMut::len));
        let more = !inbox.frames.is_empty();
        inbox.announced = more;
        let ended = if more { None } else { inbox.ended };
        // Half empty before the feeder is woken, or the two would wake each other for each frame.
        let room = inbox.frames.len() <= self.limits.in_frames / 2 && inbox.bytes <= self.limits.in_bytes / 2;
        drop(inbox);
        if room && frame.is_some() {
            self.in_room.notify_one();
        }
        Taken { frame, more, ended }
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

    pub(crate) fn push(&self, frame: &Bytes, class: Class) -> Pushed {
        if frame.len() > self.info.max_frame {
            return Pushed::Undeliverable;
        }
        let mut outbox = lock(&self.outbox);
        if outbox.phase != Phase::Open {
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
        let waiting = outbox.frames.len();
        if waiting > 0 && (bytes > most_bytes || waiting >= most_frames) {
            return match class {
                Class::Data => {
                    outbox.dropped += 1;
                    Pushed::Dropped
                }
                Class::Control => Pushed::Overflow,
            };
        }
        let frame = if waiting >= COPY_BEHIND && frame.len() < COPY_BELOW {
            Bytes::copy_from_slice(frame)
        } else {
            frame.clone()
        };
        outbox.bytes = bytes;
        outbox.frames.push_back(frame);
        drop(outbox);
        if waiting == 0 {
            self.out_ready.notify_one();
        }
        Pushed::Queued
    }

    /// Appends queued frames to `batch`, up to `most_bytes` but at least one, as soon as there is one. `false` once
    /// nothing is queued and nothing will be. For one waiter at a time; loses nothing if cancelled.
    pub(crate) async fn take_out(&self, batch: &mut Vec<Bytes>, most_bytes: usize) -> bool {
        loop {
            {
                let mut outbox = lock(&self.outbox);
                let mut taken = 0_usize;
                let mut any = false;
                while let Some(next) = outbox.frames.front() {
                    let length = next.len();
                    if any && taken.saturating_add(length) > most_bytes {
                        break;
                    }
                    any = true;
                    taken = taken.saturating_add(length);
                    outbox.bytes = outbox.bytes.saturating_sub(length);
                    batch.extend(outbox.frames.pop_front());
                }
                if any {
                    return true;
                }
                if outbox.phase != Phase::Open {
                    return false;
                }
            }
            self.out_ready.notified().await;
        }
    }

    /// The outgoing half is given up. In a shutdown that is in order once nothing is queued.
    pub(crate) fn end_out(&self, why: CloseReason) {
        // The outbox is the first to know of a new phase: a writer that it told may be here before the others know.
        let (phase, flushed) = {
            let outbox = lock(&self.outbox);
            (outbox.phase, outbox.frames.is_empty())
        };
        match phase {
            Phase::Flushed => {}
            Phase::Draining if flushed => self.advance(Phase::Flushed),
            _ => self.end(why),
        }
    }

    pub(crate) fn dropped(&self) -> u64 {
        lock(&self.outbox).dropped
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
                outbox.frames = VecDeque::new();
                outbox.bytes = 0;
            }
        }
        self.out_ready.notify_one();
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
        let queues = Queues::new(Link(1), LinkInfo::stream(100), LinkLimits::default(), ready);
        // The moment between the two halves of `advance`.
        lock(&queues.outbox).phase = Phase::Draining;
        queues.end_out(CloseReason::Abandoned);
        assert_eq!(queues.phase(), Phase::Flushed);
    }

    #[test]
    fn a_half_that_is_dropped_before_its_time_ends_the_link() {
        for (phase, frames) in [(Phase::Open, 0), (Phase::Draining, 1)] {
            let (ready, _looks) = mpsc::unbounded_channel();
            let queues = Queues::new(Link(1), LinkInfo::stream(100), LinkLimits::default(), ready);
            (0..frames).for_each(|_| assert_eq!(queues.push(&Bytes::from_static(b"x"), Class::Data), Pushed::Queued));
            queues.advance(phase);
            queues.end_out(CloseReason::Abandoned);
            assert_eq!(queues.phase(), Phase::Dead, "{phase:?}");
            assert_eq!(queues.take_in().ended, Some(CloseReason::Abandoned));
        }
    }
}
