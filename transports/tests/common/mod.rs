//! Toy endpoints, and peers that speak the framing by hand.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use sodality::endpoint::{Class, Cx, Due, Endpoint, Instant, Link, LinkInfo, LinkTicket, To, Transmit, Wake};
use sodality::error::Fatal;
use sodality::event::{Event, Message, Peer, Port, Sender, Stats};
use sodality::identity::{Epoch, MemberId};
use sodality_transports::CloseReason;
use sodality_transports::driver::{self, Config, Events, Handle};
use sodality_transports::report::Notice;
use sodality_transports::tcp::{self, TcpConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// No test waits longer for anything.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(LIMIT, future).await.expect("it takes too long")
}

pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    soon(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// What a toy does with a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    /// Sends it back, as control.
    Echo,
    /// Sends it to all other links.
    Hub(Class),
    /// Makes it an event.
    Report,
}

/// An endpoint without any protocol.
#[derive(Debug)]
pub(crate) struct Toy {
    pub(crate) mode: Mode,
    pub(crate) links: BTreeMap<Link, LinkInfo>,
    pub(crate) opened: Vec<(Link, LinkInfo)>,
    pub(crate) closed: Vec<Link>,
    pub(crate) out: VecDeque<Transmit>,
    pub(crate) events: VecDeque<Event>,
    pub(crate) stats: Stats,
    pub(crate) timeouts: u64,
    /// Sends the frame "beat" to all links so often.
    pub(crate) beat: Option<Duration>,
    pub(crate) next_beat: Instant,
    /// Whenever there is no link, wants one to this peer.
    pub(crate) wants: Option<Peer>,
    pub(crate) tickets: u64,
    /// Always says that work is left over, and has none.
    pub(crate) restless: bool,
    /// If set, only peers that have sent "it is me" are known.
    pub(crate) judges: bool,
    pub(crate) known: BTreeSet<Link>,
    /// What was handed in, and at which time: a frame, or a timeout.
    pub(crate) inputs: Vec<(Instant, Option<Bytes>)>,
    /// Sends this to all links at the next timeout, which is due at once.
    pub(crate) last_word: Option<&'static str>,
}

/// Room for events in a toy.
const ROOM: usize = 4;

impl Toy {
    pub(crate) fn new(mode: Mode) -> Self {
        Self {
            mode,
            links: BTreeMap::new(),
            opened: Vec::new(),
            closed: Vec::new(),
            out: VecDeque::new(),
            events: VecDeque::new(),
            stats: Stats::default(),
            timeouts: 0,
            beat: None,
            next_beat: Instant::ORIGIN,
            wants: None,
            tickets: 0,
            restless: false,
            judges: false,
            known: BTreeSet::new(),
            inputs: Vec::new(),
            last_word: None,
        }
    }

    pub(crate) fn want(&mut self) {
        if let Some(peer) = self.wants.clone()
            && self.links.is_empty()
        {
            self.tickets += 1;
            let hint = Bytes::from_static(b"hint");
            self.events.push_back(Event::LinkWanted { ticket: LinkTicket(self.tickets), peer, hint });
        }
    }

    /// The first few inputs are enough for any test.
    fn note(&mut self, at: Instant, frame: Option<&[u8]>) {
        if self.inputs.len() < 1000 {
            self.inputs.push((at, frame.map(Bytes::copy_from_slice)));
        }
    }

    pub(crate) fn send(&mut self, to: To, frame: impl Into<Bytes>, class: Class) {
        self.out.push_back(Transmit { to, frame: frame.into(), class });
    }

    pub(crate) fn all(&self) -> To {
        To::Many(self.links.keys().copied().collect::<Arc<[Link]>>())
    }
}

impl Endpoint for Toy {
    fn handle_link_opened(&mut self, _cx: &mut Cx<'_>, link: Link, info: LinkInfo) -> Result<(), Fatal> {
        self.links.insert(link, info);
        self.opened.push((link, info));
        Ok(())
    }

    fn handle_link_closed(&mut self, _cx: &mut Cx<'_>, link: Link) -> Result<(), Fatal> {
        self.links.remove(&link);
        self.closed.push(link);
        self.want();
        Ok(())
    }

    fn handle_frame(&mut self, cx: &mut Cx<'_>, link: Link, frame: BytesMut) -> Result<(), Fatal> {
        self.stats.frames_in += 1;
        self.note(cx.now, Some(&frame));
        if frame == b"it is me"[..] {
            self.known.insert(link);
        }
        if self.events.len() >= ROOM {
            self.stats.overruns += 1;
            return Ok(());
        }
        let frame = frame.freeze();
        match self.mode {
            Mode::Echo => self.send(To::Link(link), frame, Class::Control),
            Mode::Hub(class) => {
                let others: Arc<[Link]> = self.links.keys().copied().filter(|other| *other != link).collect();
                self.send(To::Many(others), frame, class);
            }
            Mode::Report => self.events.push_back(report(frame)),
        }
        Ok(())
    }

    fn handle_timeout(&mut self, cx: &mut Cx<'_>) -> Result<(), Fatal> {
        self.timeouts += 1;
        self.note(cx.now, None);
        if let Some(word) = self.last_word.take() {
            let all = self.all();
            self.send(all, word.as_bytes(), Class::Control);
        }
        if let Some(beat) = self.beat
            && cx.now >= self.next_beat
        {
            self.next_beat = cx.now + beat;
            let all = self.all();
            self.send(all, &b"beat"[..], Class::Control);
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
        if self.restless || self.last_word.is_some() || !self.out.is_empty() || !self.events.is_empty() {
            return Wake::Now(Due::Output);
        }
        Wake::at(self.beat.map(|_| self.next_beat), Due::Poll)
    }

    fn stats(&self) -> &Stats {
        &self.stats
    }

    fn knows(&self, link: Link) -> bool {
        !self.judges || self.known.contains(&link)
    }
}

fn report(payload: Bytes) -> Event {
    let from = Sender::Unauthenticated(MemberId(1));
    Event::Data(Message { from, epoch: Epoch(1), port: Port::Application, payload })
}

pub(crate) fn payload(event: Option<Event>) -> Bytes {
    match event {
        Some(Event::Data(message)) => message.payload,
        other => panic!("no message: {other:?}"),
    }
}

/// A driven toy that listens on loopback, and what it noticed.
pub(crate) struct Served {
    pub(crate) handle: Handle<Toy>,
    pub(crate) events: Events,
    pub(crate) address: SocketAddr,
    pub(crate) notices: Notices,
}

#[derive(Clone, Default)]
pub(crate) struct Notices(Arc<Mutex<Vec<Notice>>>);

impl Notices {
    pub(crate) fn watch(&self, config: Config) -> Config {
        let notices = self.clone();
        config.observer(move |notice| notices.0.lock().unwrap().push(notice.clone()))
    }

    pub(crate) fn all(&self) -> Vec<Notice> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn closed(&self) -> Vec<(Link, CloseReason, u64)> {
        self.all()
            .into_iter()
            .filter_map(|notice| match notice {
                Notice::Closed { link, why, dropped } => Some((link, why, dropped)),
                _ => None,
            })
            .collect()
    }
}

pub(crate) async fn serve(toy: Toy, config: Config, tcp: TcpConfig) -> Served {
    let notices = Notices::default();
    let (handle, events) = driver::spawn(toy, notices.watch(config));
    let address = tcp::listen(handle.uplink(), "127.0.0.1:0", tcp).await.unwrap();
    Served { handle, events, address, notices }
}

/// A peer that speaks the framing by hand.
pub(crate) struct Raw(pub(crate) TcpStream);

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = soon(TcpStream::connect(address)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    /// Connects and waits until the endpoint knows of it.
    pub(crate) async fn join(served: &Served) -> Self {
        let before = served.handle.stats().links_opened;
        let raw = Self::connect(served.address).await;
        until(|| served.handle.stats().links_opened > before).await;
        raw
    }

    pub(crate) async fn send(&mut self, frame: &[u8]) {
        soon(self.0.write_all(&framed(frame))).await.unwrap();
    }

    pub(crate) async fn recv(&mut self) -> Option<Vec<u8>> {
        soon(async {
            let length = self.0.read_u32().await.ok()?;
            let mut frame = vec![0; length as usize];
            self.0.read_exact(&mut frame).await.ok()?;
            Some(frame)
        })
        .await
    }

    /// Reads to the end. Whether it came as an orderly end or as a reset is left open.
    pub(crate) async fn gone(&mut self) {
        soon(async {
            let mut scrap = [0; 4096];
            while matches!(self.0.read(&mut scrap).await, Ok(1..)) {}
        })
        .await;
    }
}

pub(crate) fn framed(frame: &[u8]) -> Vec<u8> {
    let mut all = (frame.len() as u32).to_be_bytes().to_vec();
    all.extend_from_slice(frame);
    all
}
