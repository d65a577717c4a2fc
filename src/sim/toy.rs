//! Three small endpoints: one that works, one that floods, one that spins. To try the kit on, and to show the least that
//! an [`Endpoint`] is.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use crate::endpoint::{Class, Cx, Due, Endpoint, Instant, Link, LinkInfo, To, Transmit, Wake};
use crate::error::{CommandError, Failure, Fatal, Misuse, Reason};
use crate::event::{Event, Message, Port, Sender, Stats};
use crate::identity::{Epoch, MemberId};

/// How long [`Echo`] waits before it repeats.
const RTO: Duration = Duration::from_millis(500);
/// A frame: kind, token, text.
const HEAD: usize = 1 + TOKEN;
const TOKEN: usize = 8;
const SAY: u8 = 0;
const ECHO: u8 = 1;

/// Says something on all its links, and repeats it until every one of them has echoed it. Reports each text once.
#[derive(Clone, Debug, Default)]
pub struct Echo {
    links: BTreeSet<Link>,
    waiting: BTreeMap<[u8; TOKEN], (Bytes, BTreeSet<Link>)>,
    repeat: Option<Instant>,
    heard: BTreeSet<[u8; TOKEN]>,
    out: VecDeque<Transmit>,
    events: VecDeque<Event>,
    stats: Stats,
}

fn frame(kind: u8, token: [u8; TOKEN], text: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(HEAD + text.len());
    frame.put_u8(kind);
    frame.put_slice(&token);
    frame.put_slice(text);
    frame.freeze()
}

impl Echo {
    /// An endpoint without links.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says `text` on all links.
    ///
    /// # Errors
    /// [`Misuse::NoLink`] without links; [`Failure::Entropy`] without randomness. Nothing has changed then.
    pub fn say(&mut self, cx: &mut Cx<'_>, text: &[u8]) -> Result<(), CommandError> {
        if self.links.is_empty() {
            return Err(Misuse::NoLink.into());
        }
        let mut token = [0; TOKEN];
        cx.rng.fill(&mut token).map_err(Failure::from)?;
        let frame = frame(SAY, token, text);
        let links: Vec<Link> = self.links.iter().copied().collect();
        self.out.push_back(Transmit { to: To::Many(links.into()), frame: frame.clone(), class: Class::Data });
        self.waiting.insert(token, (frame, self.links.clone()));
        self.repeat = self.repeat.or(Some(cx.now + RTO));
        Ok(())
    }

    /// How many different texts have come.
    pub fn heard(&self) -> usize {
        self.heard.len()
    }

    /// How many texts some link has not echoed yet.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn echoed(&mut self, link: Link, token: [u8; TOKEN]) {
        if let Some((_, links)) = self.waiting.get_mut(&token) {
            links.remove(&link);
            if links.is_empty() {
                self.waiting.remove(&token);
            }
        }
        if self.waiting.is_empty() {
            self.repeat = None;
        }
    }
}

impl Endpoint for Echo {
    fn handle_link_opened(&mut self, _cx: &mut Cx<'_>, link: Link, _info: LinkInfo) -> Result<(), Fatal> {
        self.links.insert(link);
        Ok(())
    }

    fn handle_link_closed(&mut self, _cx: &mut Cx<'_>, link: Link) -> Result<(), Fatal> {
        self.links.remove(&link);
        let tokens: Vec<_> = self.waiting.keys().copied().collect();
        tokens.into_iter().for_each(|token| self.echoed(link, token));
        Ok(())
    }

    fn handle_frame(&mut self, _cx: &mut Cx<'_>, link: Link, bytes: BytesMut) -> Result<(), Fatal> {
        self.stats.frames_in += 1;
        match bytes.split_first_chunk::<HEAD>() {
            Some(([SAY, token @ ..], text)) => {
                let echo = frame(ECHO, *token, &[]);
                self.out.push_back(Transmit { to: To::Link(link), frame: echo, class: Class::Control });
                if self.heard.insert(*token) {
                    self.events.push_back(Event::Data(Message {
                        from: Sender::Unauthenticated(MemberId(0)),
                        epoch: Epoch(0),
                        port: Port::Application,
                        payload: Bytes::copy_from_slice(text),
                    }));
                }
            }
            Some(([ECHO, token @ ..], [])) => self.echoed(link, *token),
            _ => self.events.push_back(Event::Rejected { link, why: Reason::Malformed, claims: None }),
        }
        Ok(())
    }

    fn handle_timeout(&mut self, cx: &mut Cx<'_>) -> Result<(), Fatal> {
        if self.repeat.is_some_and(|at| at <= cx.now) {
            for (frame, links) in self.waiting.values() {
                let to = To::Many(links.iter().copied().collect());
                self.out.push_back(Transmit { to, frame: frame.clone(), class: Class::Data });
            }
            self.repeat = Some(cx.now + RTO);
        }
        Ok(())
    }

    fn poll_transmit(&mut self, _cx: &mut Cx<'_>) -> Option<Transmit> {
        let next = self.out.pop_front();
        self.stats.frames_out += u64::from(next.is_some());
        next
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Wake {
        if self.out.is_empty() && self.events.is_empty() {
            Wake::at(self.repeat, Due::Record)
        } else {
            Wake::Now(Due::Output)
        }
    }

    fn stats(&self) -> &Stats {
        &self.stats
    }
}

/// Sends frames without end as soon as it has a link: at once from one input, or one for each of its wakes.
#[derive(Clone, Debug, Default)]
pub struct Flood {
    by_wakes: bool,
    link: Option<Link>,
    awake: bool,
    stats: Stats,
}

impl Flood {
    /// One that sends a frame for each of its wakes, or, without `by_wakes`, endlessly many for its first input.
    pub fn new(by_wakes: bool) -> Self {
        Self { by_wakes, ..Self::default() }
    }
}

impl Endpoint for Flood {
    fn handle_link_opened(&mut self, _cx: &mut Cx<'_>, link: Link, _info: LinkInfo) -> Result<(), Fatal> {
        self.link = Some(link);
        Ok(())
    }

    fn handle_link_closed(&mut self, _cx: &mut Cx<'_>, _link: Link) -> Result<(), Fatal> {
        self.link = None;
        Ok(())
    }

    fn handle_frame(&mut self, _cx: &mut Cx<'_>, _link: Link, _bytes: BytesMut) -> Result<(), Fatal> {
        Ok(())
    }

    fn handle_timeout(&mut self, _cx: &mut Cx<'_>) -> Result<(), Fatal> {
        self.awake = true;
        Ok(())
    }

    fn poll_transmit(&mut self, _cx: &mut Cx<'_>) -> Option<Transmit> {
        let link = self.link.filter(|_| self.awake || !self.by_wakes)?;
        self.awake = false;
        Some(Transmit { to: To::Link(link), frame: Bytes::from_static(b"more"), class: Class::Data })
    }

    fn poll_event(&mut self) -> Option<Event> {
        None
    }

    fn poll_timeout(&self) -> Wake {
        self.link.map_or(Wake::OnInput, |_| Wake::Now(Due::Output))
    }

    fn stats(&self) -> &Stats {
        &self.stats
    }
}

/// Wants to be woken again and again and does nothing: at once, or after a while.
#[derive(Clone, Debug, Default)]
pub struct Spin {
    every: Duration,
    next: Instant,
    stats: Stats,
}

impl Spin {
    /// One that wants to be woken so often.
    pub fn every(every: Duration) -> Self {
        Self { every, ..Self::default() }
    }
}

impl Endpoint for Spin {
    fn handle_link_opened(&mut self, _cx: &mut Cx<'_>, _link: Link, _info: LinkInfo) -> Result<(), Fatal> {
        Ok(())
    }

    fn handle_link_closed(&mut self, _cx: &mut Cx<'_>, _link: Link) -> Result<(), Fatal> {
        Ok(())
    }

    fn handle_frame(&mut self, _cx: &mut Cx<'_>, _link: Link, _bytes: BytesMut) -> Result<(), Fatal> {
        Ok(())
    }

    fn handle_timeout(&mut self, cx: &mut Cx<'_>) -> Result<(), Fatal> {
        self.next = cx.now + self.every;
        Ok(())
    }

    fn poll_transmit(&mut self, _cx: &mut Cx<'_>) -> Option<Transmit> {
        None
    }

    fn poll_event(&mut self) -> Option<Event> {
        None
    }

    fn poll_timeout(&self) -> Wake {
        Wake::At(self.next, Due::Poll)
    }

    fn stats(&self) -> &Stats {
        &self.stats
    }
}
