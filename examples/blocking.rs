//! A driver without an asynchronous runtime: `std::net::TcpStream`, threads and channels. A third party, a leader and two
//! members meet over TCP on this machine, say something to each other, and part.
//!
//! ```text
//! cargo run --example blocking
//! ```
//!
//! Each party has one thread that owns its machine ([`Host`]), so that nothing is locked. All that happens comes to that thread
//! through one bounded queue:
//!
//! * a thread for the listener puts each new connection there;
//! * a thread for each connection reads frames (a length of four bytes and the bytes, as `sodality-transports` writes them, so
//!   the two can talk to each other) and puts them there. While the queue is full it waits, and reads nothing: the peer feels it;
//! * a thread for each connection writes what the machine sends, from a bounded queue of its own. The host never waits for it:
//!   data that do not fit are dropped, and a peer that does not even take control frames loses its link. So nobody waits for a
//!   peer that does not read.
//!
//! The host sleeps until something comes or the machine's next deadline. What it lacks for real use: keys from somewhere else
//! than one process, limits for connections and for peers that send half a frame, and a clock that counts suspension.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use getrandom::SysRng;
use sodality::antigone::{Access, Leader, LeaderConfig, Member, MemberConfig};
use sodality::crypto::keys::role;
use sodality::crypto::{Key, Suite, chacha20_poly1305};
use sodality::endpoint::{Class, Cx, Endpoint, Instant, Link, LinkInfo, LinkTicket, Transmit, Wake};
use sodality::event::{Event, Message, Port};
use sodality::group::Limits;
use sodality::identity::Name;
use sodality::policy::{Floor, Policy};
use sodality::ttp::{LeaderRecord, MemberRecord, Records, ThirdParty};

type Failed = Box<dyn Error + Send + Sync>;

/// Longest frame: nothing longer is read, whatever the peer announces.
const MAX_FRAME: usize = 1 << 17;
/// Inputs that wait for the host, and frames that wait for each connection.
const WAITING: usize = 64;
/// How long a peer may take nothing, and how long to wait for one that does not answer.
const PATIENCE: Duration = Duration::from_secs(5);

#[expect(clippy::disallowed_types, reason = "a driver has a clock")]
type Started = std::time::Instant;

/// Time, which the core never asks for.
#[derive(Clone, Copy)]
struct Clock(Started);

impl Clock {
    fn start() -> Self {
        Self(Started::now())
    }

    fn now(self) -> Instant {
        Instant::from_micros(u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
}

/// What comes to a host.
enum Input {
    /// A connection, and the wish that it answers.
    Connected(TcpStream, Option<LinkTicket>),
    Frame(Link, BytesMut),
    Closed(Link),
}

/// A connection: its queue, its socket, and the thread that writes.
struct Connection {
    frames: SyncSender<Bytes>,
    socket: TcpStream,
    writer: JoinHandle<()>,
}

/// Drives one machine.
struct Host<M> {
    machine: M,
    clock: Clock,
    /// Whom to connect to when the machine wishes for a link. Here everybody has one such peer at most.
    peer: Option<SocketAddr>,
    inputs: Receiver<Input>,
    /// For the threads that it starts.
    inbox: SyncSender<Input>,
    links: BTreeMap<Link, Connection>,
    next: u64,
}

impl<M: Endpoint> Host<M> {
    fn new(machine: M, clock: Clock, peer: Option<SocketAddr>) -> Self {
        let (inbox, inputs) = sync_channel(WAITING);
        Self { machine, clock, peer, inputs, inbox, links: BTreeMap::new(), next: 0 }
    }

    /// Accepts connections, in a thread that ends with the process.
    fn listen(&self) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (address, inbox) = (listener.local_addr()?, self.inbox.clone());
        thread::spawn(move || {
            for socket in listener.incoming() {
                match socket {
                    Ok(socket) => {
                        if inbox.send(Input::Connected(socket, None)).is_err() {
                            return;
                        }
                    }
                    // No descriptors left, for instance.
                    Err(_) => thread::sleep(Duration::from_millis(50)),
                }
            }
        });
        Ok(address)
    }

    /// The loop: drain, sleep, take in. `on` gets the machine with each event, and says when it is over.
    fn run(
        mut self,
        mut on: impl FnMut(&mut M, &mut Cx<'_>, Event) -> Result<ControlFlow<()>, Failed>,
    ) -> Result<(), Failed> {
        loop {
            // Frames and events first: a deadline may depend on them.
            let now = self.clock.now();
            while let Some(transmit) = self.machine.poll_transmit(&mut Cx::new(now, &mut SysRng)) {
                self.send(&transmit);
            }
            if let Some(event) = self.machine.poll_event() {
                if let Event::LinkWanted { ticket, .. } = event {
                    self.connect(ticket);
                } else if on(&mut self.machine, &mut Cx::new(now, &mut SysRng), event)?.is_break() {
                    return self.end();
                }
                continue;
            }
            let wait = match self.machine.poll_timeout() {
                Wake::Now(_) => Duration::ZERO,
                Wake::At(at, _) => at.since(self.clock.now()),
                Wake::OnInput => Duration::from_secs(1),
            };
            match self.inputs.recv_timeout(wait) {
                Ok(input) => self.take_in(input)?,
                Err(RecvTimeoutError::Timeout) => {
                    self.machine.handle_timeout(&mut Cx::new(self.clock.now(), &mut SysRng))?;
                }
                // Not while `self.inbox` is there.
                Err(RecvTimeoutError::Disconnected) => return self.end(),
            }
        }
    }

    fn take_in(&mut self, input: Input) -> Result<(), Failed> {
        let mut rng = SysRng;
        let mut cx = Cx::new(self.clock.now(), &mut rng);
        match input {
            Input::Connected(socket, answers) => {
                let link = Link(self.next);
                self.next += 1;
                // Who is gone already is no link.
                if let Ok(connection) = connection(socket, link, self.inbox.clone()) {
                    self.links.insert(link, connection);
                    let info = LinkInfo { answers, ..LinkInfo::stream(MAX_FRAME) };
                    self.machine.handle_link_opened(&mut cx, link, info)?;
                }
            }
            // A frame of a link that was closed here may still have been on its way.
            Input::Frame(link, frame) if self.links.contains_key(&link) => {
                self.machine.handle_frame(&mut cx, link, frame)?;
            }
            Input::Closed(link) => {
                if let Some(connection) = self.links.remove(&link) {
                    let _ = connection.socket.shutdown(Shutdown::Both);
                    // A closed link is never a leave: the machine decides what it means.
                    self.machine.handle_link_closed(&mut cx, link)?;
                }
            }
            Input::Frame(..) => {}
        }
        Ok(())
    }

    /// Queues a frame for each of its links, and waits for none.
    fn send(&mut self, transmit: &Transmit) {
        for link in transmit.to.links() {
            let Some(connection) = self.links.get(&link) else { continue };
            match connection.frames.try_send(transmit.frame.clone()) {
                Ok(()) => {}
                Err(TrySendError::Full(_)) if transmit.class == Class::Data => {}
                // The reader notices, and says that it is closed.
                Err(_) => drop(connection.socket.shutdown(Shutdown::Both)),
            }
        }
    }

    /// Connects, in a thread of its own. If that fails the machine wishes again after a while.
    fn connect(&self, ticket: LinkTicket) {
        let (Some(peer), inbox) = (self.peer, self.inbox.clone()) else { return };
        thread::spawn(move || {
            if let Ok(socket) = TcpStream::connect_timeout(&peer, PATIENCE) {
                let _ = inbox.send(Input::Connected(socket, Some(ticket)));
            }
        });
    }

    /// Waits until everything queued is written, a farewell above all.
    fn end(self) -> Result<(), Failed> {
        for (_, Connection { frames, socket, writer }) in self.links {
            drop(frames);
            writer.join().map_err(|_| "a writer panicked")?;
            let _ = socket.shutdown(Shutdown::Write);
        }
        Ok(())
    }
}

/// Starts the two threads of a connection.
fn connection(socket: TcpStream, link: Link, inbox: SyncSender<Input>) -> io::Result<Connection> {
    // Small frames go out at once, and whoever takes nothing is given up.
    socket.set_nodelay(true)?;
    socket.set_write_timeout(Some(PATIENCE))?;
    let (mut reader, mut out) = (socket.try_clone()?, socket.try_clone()?);
    let (frames, queue) = sync_channel::<Bytes>(WAITING);
    thread::spawn(move || {
        while let Ok(frame) = read(&mut reader) {
            if inbox.send(Input::Frame(link, frame)).is_err() {
                return;
            }
        }
        let _ = inbox.send(Input::Closed(link));
    });
    let writer = thread::spawn(move || {
        for frame in queue {
            let length = u32::try_from(frame.len()).unwrap_or(u32::MAX).to_be_bytes();
            if out.write_all(&[&length[..], &frame].concat()).is_err() {
                let _ = out.shutdown(Shutdown::Both);
                return;
            }
        }
    });
    Ok(Connection { frames, socket, writer })
}

/// The next frame.
fn read(reader: &mut TcpStream) -> io::Result<BytesMut> {
    let mut length = [0; 4];
    reader.read_exact(&mut length)?;
    let length = u64::from(u32::from_be_bytes(length));
    if length > MAX_FRAME as u64 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    // It grows as bytes come: an announced length alone costs nothing.
    let mut frame = Vec::new();
    reader.take(length).read_to_end(&mut frame)?;
    if frame.len() as u64 == length { Ok(BytesMut::from(&frame[..])) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

// That was the driver. What follows uses it.

fn key(suite: &dyn Suite) -> Result<Key<role::LongTerm>, Failed> {
    Ok(Key::new(suite.fresh_secret(&mut SysRng, suite.sizes().long_term)?))
}

/// A member that joins, says `text` once it sees the other, and leaves when they have heard each other. Messages are best effort:
/// who came first may speak before the other has the key. So it speaks again when it hears the other, who has it then.
fn member(mut host: Host<Member>, name: &Name, text: &'static str) -> Result<(), Failed> {
    let mut said = false;
    host.machine.join(&mut Cx::new(host.clock.now(), &mut SysRng))?;
    host.run(|member, cx, event| {
        match event {
            Event::Joined { cid, epoch, .. } => println!("{name} is member {} at epoch {}", cid.0, epoch.0),
            Event::Data(Message { payload, .. }) if member.is_current() => {
                println!("{name} hears {:?}", String::from_utf8_lossy(&payload));
                member.send(cx, Port::Application, text.as_bytes())?;
                member.leave(cx)?;
            }
            Event::JoinFailed(why) => return Err(format!("{name} cannot join: {why:?}").into()),
            Event::Ended(ending) => {
                println!("{name} is out: {ending:?}");
                return Ok(ControlFlow::Break(()));
            }
            _ => {}
        }
        // The leader and the two of them.
        let all = member.view().is_some_and(|view| view.members().len() == 3);
        if all && !said && member.is_current() {
            member.send(cx, Port::Application, text.as_bytes())?;
            said = true;
        }
        Ok(ControlFlow::Continue(()))
    })
}

fn main() -> Result<(), Failed> {
    let suite = chacha20_poly1305();
    let clock = Clock::start();
    let app = Name::new("example")?;
    let (lea, ada, bob) = (Name::new("lea")?, Name::new("ada")?, Name::new("bob")?);
    let mut registry = BTreeMap::new();
    for name in [&lea, &ada, &bob] {
        registry.insert(name.clone(), key(&*suite)?);
    }
    let key_of = |name: &Name| registry.get(name).cloned().ok_or("not registered");

    // The third party answers from what it knows, for as long as the process lives.
    let third_party = Host::new(ThirdParty::new(Arc::clone(&suite), Limits::default()), clock, None);
    let where_third_party = third_party.listen()?;
    let (known, leads) = (registry.clone(), lea.clone());
    thread::spawn(move || {
        third_party.run(|machine, cx, event| {
            if let Event::LookupWanted { ticket, leader, member } = event {
                let leader = known.get(&leader).filter(|_| leader == leads);
                let records = Records {
                    leader: leader.map(|key| LeaderRecord { key: key.clone() }),
                    member: known.get(&member).map(|key| MemberRecord { key: key.clone(), disabled: false }),
                };
                machine.answer(cx, ticket, &records)?;
            }
            Ok(ControlFlow::Continue(()))
        })
    });

    // The leader closes its group when both members have been there and are gone.
    let config = LeaderConfig {
        suite: Arc::clone(&suite),
        app: app.clone(),
        name: lea.clone(),
        key: key_of(&lea)?,
        // Nobody stays with an old key for a while, as is good where frames are lost: whoever came last can read all.
        policy: Policy { grace: Duration::ZERO, settle: Duration::ZERO, ..Policy::default() },
        access: Access::Registered,
        limits: Limits::default(),
    };
    let machine = Leader::open(config, &mut Cx::new(clock.now(), &mut SysRng))?;
    let leader = Host::new(machine, clock, Some(where_third_party));
    let where_leader = leader.listen()?;
    let leading = thread::spawn(move || {
        let mut gone = 0;
        leader.run(|leader, cx, event| {
            match event {
                Event::MemberAdded { name, .. } => println!("lea sees {name}"),
                Event::MemberRemoved { name, cause, .. } => {
                    println!("lea sees {name} go: {cause:?}");
                    gone += 1;
                    if gone == 2 {
                        leader.close(cx)?;
                    }
                }
                Event::Ended(_) => return Ok(ControlFlow::Break(())),
                _ => {}
            }
            Ok(ControlFlow::Continue(()))
        })
    });

    let mut threads = vec![leading];
    for (name, text) in [(ada, "good morning"), (bob, "and to you")] {
        let machine = Member::new(MemberConfig {
            suite: Arc::clone(&suite),
            app: app.clone(),
            leader: lea.clone(),
            name: name.clone(),
            key: key_of(&name)?,
            floor: Floor::default(),
            limits: Limits::default(),
        })?;
        let host = Host::new(machine, clock, Some(where_leader));
        threads.push(thread::spawn(move || member(host, &name, text)));
    }
    for thread in threads {
        thread.join().map_err(|_| "a thread panicked")??;
    }
    println!("over after {} ms", clock.now().as_micros() / 1000);
    Ok(())
}
