//! A stranger that sends nonsense for as long as its links take it.

use bytes::{BufMut, Bytes, BytesMut};
use sodality::endpoint::{Class, Cx, Due, Endpoint, Instant, Link, LinkInfo, LinkTicket, To, Transmit, Wake};
use sodality::error::Fatal;
use sodality::event::{Event, Peer, Stats};
use sodality::identity::Name;

use std::collections::BTreeMap;
use std::time::Duration;

/// Bytes that it sends in one go at full speed.
pub(super) const FLOOD: usize = 256 << 10;
/// And at a speed that no machine has trouble with: where nothing slows a sender down, what is more than a machine can take is
/// lost, and what others say with it.
pub(super) const TRICKLE: usize = 4 << 10;
const PAUSE: Duration = Duration::from_millis(2);

#[derive(Debug)]
pub(super) struct Babbler {
    leader: Name,
    wants: bool,
    links: BTreeMap<Link, LinkInfo>,
    stats: Stats,
    /// State of the numbers that its nonsense is made of.
    noise: u64,
    /// Bytes in one go.
    pub(super) burst: usize,
    left: usize,
    next: Instant,
}

impl Babbler {
    pub(super) fn new(seed: u64, leader: Name, burst: usize) -> Self {
        let noise = seed | 1;
        Self {
            leader,
            wants: true,
            links: BTreeMap::new(),
            stats: Stats::default(),
            noise,
            burst,
            left: 0,
            next: Instant::ORIGIN,
        }
    }

    fn number(&mut self) -> u64 {
        self.noise ^= self.noise << 13;
        self.noise ^= self.noise >> 7;
        self.noise ^= self.noise << 17;
        self.noise
    }

    /// Frames of all lengths; every other begins like one of a system.
    fn nonsense(&mut self, most: usize) -> Bytes {
        let number = self.number();
        let exponent = u32::try_from(number % 16).unwrap_or(0);
        let length = usize::try_from(self.number() % 2_u64.pow(exponent)).unwrap_or(0).clamp(1, most.max(1));
        let mut frame = BytesMut::with_capacity(length + 8);
        if number & 0x100 != 0 {
            frame.put_slice(&[1, (number >> 16) as u8 & 3, 1, (number >> 24) as u8 & 3, (number >> 32) as u8 & 31]);
        }
        while frame.len() < length {
            let more = self.number();
            frame.put_u64(more);
        }
        frame.truncate(length);
        frame.freeze()
    }
}

impl Endpoint for Babbler {
    fn handle_link_opened(&mut self, _cx: &mut Cx<'_>, link: Link, info: LinkInfo) -> Result<(), Fatal> {
        self.links.insert(link, info);
        Ok(())
    }

    fn handle_link_closed(&mut self, _cx: &mut Cx<'_>, link: Link) -> Result<(), Fatal> {
        self.links.remove(&link);
        // Thrown out, it comes again.
        self.wants = self.links.is_empty();
        Ok(())
    }

    fn handle_frame(&mut self, _cx: &mut Cx<'_>, _link: Link, _frame: BytesMut) -> Result<(), Fatal> {
        self.stats.frames_in += 1;
        Ok(())
    }

    fn handle_timeout(&mut self, cx: &mut Cx<'_>) -> Result<(), Fatal> {
        if cx.now >= self.next {
            self.next = cx.now + PAUSE;
            self.left = self.burst;
        }
        Ok(())
    }

    fn poll_transmit(&mut self, _cx: &mut Cx<'_>) -> Option<Transmit> {
        if self.left == 0 || self.links.is_empty() {
            return None;
        }
        let most = self.links.values().map(|info| info.max_frame).min().unwrap_or(1);
        let frame = self.nonsense(most);
        self.left = self.left.saturating_sub(frame.len() + 64);
        self.stats.frames_out += 1;
        // What does not fit is dropped: it goes on for ever anyhow.
        Some(Transmit { to: To::Many(self.links.keys().copied().collect()), frame, class: Class::Data })
    }

    fn poll_event(&mut self) -> Option<Event> {
        if !std::mem::take(&mut self.wants) {
            return None;
        }
        let leader = self.leader.clone();
        Some(Event::LinkWanted { ticket: LinkTicket(1), peer: Peer::Leader(leader), hint: Bytes::new() })
    }

    fn poll_timeout(&self) -> Wake {
        if self.wants { Wake::Now(Due::Link) } else { Wake::At(self.next, Due::Output) }
    }

    fn stats(&self) -> &Stats {
        &self.stats
    }
}
