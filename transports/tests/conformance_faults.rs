//! The conformance suite finds what it is there to find: a transport over channels passes, and with each fault planted in it
//! fails the scenario that is about that.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use sodality::crypto::chacha20_poly1305;
use sodality::endpoint::{LinkInfo, LinkTicket};
use sodality::policy::Communication;
use sodality_transports::Connector;
use sodality_transports::conformance::{Antigone, Capabilities, Network, Scenario, run};
use sodality_transports::redial::{Backoff, Dial, Redial};
use sodality_transports::transport::{CloseReason, Incoming, Outgoing, Refused, Uplink, Wire, Wish};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, watch};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    None,
    /// Loses a frame now and then.
    Loses,
    /// Gives a frame twice now and then.
    Doubles,
    /// Swaps two frames now and then.
    Swaps,
    /// Changes a bit now and then.
    Changes,
    /// Says that it carries longer frames than it does.
    Cuts,
    /// Does not send what is queued when the end comes.
    Drops,
    /// One link that is full keeps the others waiting.
    Waits,
    /// A task never ends.
    Lingers,
    /// Does not notice that the peer has closed.
    Sleeps,
    /// Reads on while the driver does not take in what came: it keeps it itself.
    Hoards,
    /// Connects once only.
    Tires,
    /// Sends a frame for all once for each of them, and says that it was one.
    Repeats,
}

type Pipe = (mpsc::Sender<Bytes>, mpsc::Receiver<Bytes>);
type Places = Arc<Mutex<BTreeMap<u64, mpsc::Sender<Pipe>>>>;
/// A frame for all, and the link that it comes from.
type Said = (u64, Bytes);

/// Frames over channels of this process.
#[derive(Clone)]
struct Channels {
    fault: Fault,
    /// What it says of itself: where it promises less, less is a fault.
    reliable: bool,
    communication: Communication,
    /// What those at a place share.
    shared: Arc<Mutex<BTreeMap<u64, broadcast::Sender<Said>>>>,
    places: Places,
    next: Arc<AtomicU64>,
    /// Where links that wait for one another do so.
    door: Arc<tokio::sync::Mutex<()>>,
}

const MAX_FRAME: usize = 1 << 17;

impl Channels {
    fn new(fault: Fault, communication: Communication) -> Self {
        Self {
            fault,
            reliable: true,
            communication,
            shared: Arc::default(),
            places: Places::default(),
            next: Arc::default(),
            door: Arc::default(),
        }
    }

    async fn carry(&self, uplink: &Uplink, (to, from): Pipe, answers: Option<LinkTicket>) -> Result<(), Refused> {
        let info = LinkInfo { answers, reliable: self.reliable, ..LinkInfo::stream(MAX_FRAME) };
        let (incoming, outgoing) = uplink.open(info, "channels").await?;
        let (ends, ending) = watch::channel(false);
        tokio::spawn(self.clone().read(from, incoming, ends));
        tokio::spawn(self.clone().write(to, outgoing, ending));
        Ok(())
    }

    async fn read(self, mut from: mpsc::Receiver<Bytes>, mut incoming: Incoming, ends: watch::Sender<bool>) {
        if self.fault == Fault::Hoards {
            // What comes is kept, without bound.
            let (keep, kept) = mpsc::unbounded_channel();
            tokio::spawn(async move { while from.recv().await.is_some_and(|frame| keep.send(frame).is_ok()) {} });
            return self.feed(kept, incoming).await;
        }
        loop {
            let frame = tokio::select! {
                biased;
                () = incoming.over() => {
                    ends.send_replace(true);
                    return incoming.flushed().await;
                }
                frame = from.recv() => frame,
            };
            let Some(frame) = frame else { break };
            incoming.received(Wire { frames: 1, packets: 1, bytes: frame.len() as u64 });
            if incoming.feed(BytesMut::from(&frame[..])).await.is_err() {
                ends.send_replace(true);
                return incoming.flushed().await;
            }
        }
        if self.fault == Fault::Sleeps {
            incoming.over().await;
        }
        incoming.close(CloseReason::Peer);
    }

    async fn feed(self, mut from: mpsc::UnboundedReceiver<Bytes>, mut incoming: Incoming) {
        loop {
            let frame = tokio::select! {
                () = incoming.over() => return incoming.flushed().await,
                frame = from.recv() => frame,
            };
            let Some(frame) = frame else { return incoming.close(CloseReason::Peer) };
            if incoming.feed(BytesMut::from(&frame[..])).await.is_err() {
                return incoming.flushed().await;
            }
        }
    }

    async fn write(self, to: mpsc::Sender<Bytes>, mut outgoing: Outgoing, ending: watch::Receiver<bool>) {
        let (mut count, mut held) = (0_u64, None);
        while let Some(mut frame) = outgoing.next().await {
            if self.fault == Fault::Drops {
                // Writes a little later, and not any more when nothing is read any more.
                tokio::time::sleep(Duration::from_millis(5)).await;
                if *ending.borrow() {
                    return;
                }
            }
            count += 1;
            let now_and_then = count.is_multiple_of(20);
            if self.fault == Fault::Cuts {
                frame.truncate(60_000);
            }
            let mut frames = vec![frame];
            match self.fault {
                Fault::Loses if now_and_then => frames.clear(),
                Fault::Doubles if now_and_then => frames = vec![frames[0].clone(), frames[0].clone()],
                Fault::Swaps if now_and_then => held = frames.pop(),
                Fault::Swaps => frames.extend(held.take()),
                Fault::Changes if now_and_then => {
                    let mut changed = frames[0].to_vec();
                    changed.iter_mut().last().into_iter().for_each(|byte| *byte ^= 1);
                    frames = vec![changed.into()];
                }
                _ => {}
            }
            for frame in frames {
                let bytes = frame.len() as u64;
                let waiting = async {
                    let _waits = if self.fault == Fault::Waits { Some(self.door.lock().await) } else { None };
                    to.send(frame).await
                };
                tokio::select! {
                    biased;
                    () = outgoing.over() => return,
                    sent = waiting => if sent.is_err() {
                        return outgoing.close(CloseReason::Peer);
                    },
                }
                outgoing.sent(Wire { frames: 1, packets: 1, bytes });
            }
        }
    }
}

/// From all the others.
async fn hear(mut all: broadcast::Receiver<Said>, own: u64, mut incoming: Incoming) {
    loop {
        let (from, frame) = tokio::select! {
            () = incoming.over() => return incoming.flushed().await,
            said = all.recv() => match said {
                Ok(said) => said,
                Err(RecvError::Lagged(_)) => continue,
                Err(RecvError::Closed) => return,
            },
        };
        if from == own {
            continue;
        }
        incoming.received(Wire { frames: 1, packets: 1, bytes: frame.len() as u64 });
        if incoming.feed(BytesMut::from(&frame[..])).await.is_err() {
            return incoming.flushed().await;
        }
    }
}

/// To all.
async fn speak(all: broadcast::Sender<Said>, own: u64, mut outgoing: Outgoing, fault: Fault) {
    while let Some(frame) = outgoing.next().await {
        let times = if fault == Fault::Repeats { all.receiver_count() - 1 } else { 1 };
        for _ in 0..times {
            let _ = all.send((own, frame.clone()));
        }
        outgoing.sent(Wire { frames: 1, packets: 1, bytes: frame.len() as u64 });
    }
}

impl Network for Channels {
    type Place = u64;

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            reliable: self.reliable,
            ends_seen: true,
            // Who shares a link is not slowed down by one that lags.
            holds: (self.reliable && self.communication == Communication::Relay).then_some(5 * MAX_FRAME),
            max_frame: MAX_FRAME,
            communication: self.communication,
        }
    }

    async fn listen(&self, uplink: Uplink) -> io::Result<u64> {
        let guard = uplink.guard().ok_or(io::ErrorKind::NotConnected)?;
        let place = self.next.fetch_add(1, Ordering::Relaxed);
        let (knock, mut knocks) = mpsc::channel(16);
        self.places.lock().unwrap().insert(place, knock);
        let own = self.clone();
        tokio::spawn(async move {
            loop {
                let pipe = tokio::select! {
                    () = uplink.over() => break,
                    pipe = knocks.recv() => pipe,
                };
                let Some(pipe) = pipe else { break };
                let _ = own.carry(&uplink, pipe, None).await;
            }
            own.places.lock().unwrap().remove(&place);
            if own.fault == Fault::Lingers {
                std::future::pending::<()>().await;
            }
            drop(guard);
        });
        Ok(place)
    }

    fn connector(&self, place: u64) -> Box<dyn Connector> {
        let attempts = 1000;
        let backoff = Backoff { first: Duration::from_millis(5), longest: Duration::from_millis(50), attempts };
        Box::new(Redial::new(Knock { channels: self.clone(), place, times: AtomicU64::new(0) }, backoff))
    }

    async fn share(&self, uplink: Uplink, place: &u64) -> io::Result<()> {
        if self.communication == Communication::Relay {
            return Ok(());
        }
        let all = self.shared.lock().unwrap().entry(*place).or_insert_with(|| broadcast::channel(4096).0).clone();
        let (heard, own) = (all.subscribe(), self.next.fetch_add(1, Ordering::Relaxed));
        let info = LinkInfo { shared: true, proven: false, reliable: false, ..LinkInfo::stream(MAX_FRAME) };
        let (incoming, outgoing) = uplink.open(info, "all").await.map_err(io::Error::other)?;
        tokio::spawn(hear(heard, own, incoming));
        tokio::spawn(speak(all, own, outgoing, self.fault));
        Ok(())
    }

    fn soon(&self) -> Duration {
        // What fails, fails by waiting in vain.
        Duration::from_secs(if matches!(self.fault, Fault::None | Fault::Loses) { 60 } else { 6 })
    }
}

struct Knock {
    channels: Channels,
    place: u64,
    times: AtomicU64,
}

impl Dial for Knock {
    type Connection = Pipe;

    fn knows(&self, _wish: &Wish) -> bool {
        true
    }

    async fn dial(&self, _wish: &Wish) -> Result<Pipe, String> {
        if self.channels.fault == Fault::Tires && self.times.fetch_add(1, Ordering::Relaxed) > 0 {
            return Err("no more".to_owned());
        }
        let knock = self.channels.places.lock().unwrap().get(&self.place).cloned();
        let knock = knock.ok_or("nobody is there")?;
        let ((to, from), (back, forth)) = (mpsc::channel(4), mpsc::channel(4));
        knock.send((to, forth)).await.map_err(|_| "nobody listens")?;
        Ok((back, from))
    }

    async fn begin(&self, pipe: Pipe, ticket: LinkTicket, uplink: &Uplink) -> Result<(), Refused> {
        self.channels.carry(uplink, pipe, Some(ticket)).await
    }
}

fn play(fault: Fault, scenario: Scenario) -> Result<String, String> {
    // What all share is needed for what goes wrong there.
    let communication = if fault == Fault::Repeats { Communication::Mixed } else { Communication::Relay };
    play_over(Channels::new(fault, communication), scenario)
}

fn play_over(channels: Channels, scenario: Scenario) -> Result<String, String> {
    run(scenario, channels, Antigone::new(chacha20_poly1305())).map_err(|failure| failure.0)
}

/// It fails, and says so in these words.
fn found(fault: Fault, scenario: Scenario, words: &str) {
    judge(fault, scenario, play(fault, scenario), words);
}

/// The same where nothing is promised of order and loss.
fn found_all_the_same(fault: Fault, scenario: Scenario, words: &str) {
    judge(fault, scenario, play_over(unreliable(fault), scenario), words);
}

fn unreliable(fault: Fault) -> Channels {
    Channels { reliable: false, ..Channels::new(fault, Communication::Relay) }
}

fn judge(fault: Fault, scenario: Scenario, played: Result<String, String>, words: &str) {
    match played {
        Ok(measured) => panic!("{scenario:?} does not find that it {fault:?}: {measured}"),
        Err(failure) => {
            println!("{fault:?}: {failure}");
            assert!(failure.contains(words), "{scenario:?} finds that it {fault:?} by another: {failure}");
        }
    }
}

/// All of these pass.
fn passes(channels: impl Fn() -> Channels + Sync, scenarios: &[Scenario]) {
    std::thread::scope(|scope| {
        for scenario in scenarios {
            let channels = &channels;
            scope.spawn(move || {
                if let Err(failure) = play_over(channels(), *scenario) {
                    panic!("{scenario:?}: {failure}");
                }
            });
        }
    });
}

#[test]
fn without_a_fault_it_passes() {
    use Scenario::{Deaf, Farewell, Reconnect, Session, Stopped, Wire};
    passes(|| Channels::new(Fault::None, Communication::Relay), &[Session, Reconnect, Stopped, Farewell, Deaf, Wire]);
    passes(|| Channels::new(Fault::None, Communication::Mixed), &[Session, Reconnect, Stopped, Farewell, Deaf, Wire]);
    passes(|| Channels::new(Fault::None, Communication::Symmetric), &[Session, Wire]);
}

#[test]
fn lost_frames_are_found() {
    found(Fault::Loses, Scenario::Wire, "another order");
}

#[test]
fn doubled_frames_are_found() {
    found(Fault::Doubles, Scenario::Wire, "were queued");
}

#[test]
fn swapped_frames_are_found() {
    found(Fault::Swaps, Scenario::Wire, "another order");
}

#[test]
fn changed_frames_are_found() {
    found(Fault::Changes, Scenario::Wire, "another order");
}

#[test]
fn frames_cut_short_are_found() {
    found(Fault::Cuts, Scenario::Session, "does not hear");
}

#[test]
fn farewells_that_are_dropped_are_found() {
    found(Fault::Drops, Scenario::Farewell, "a leave looks like None");
}

#[test]
fn links_that_wait_for_one_another_are_found() {
    found(Fault::Waits, Scenario::Stopped, "while a peer read nothing");
}

#[test]
fn tasks_that_linger_are_found() {
    found(Fault::Lingers, Scenario::Session, "have not ended");
}

#[test]
fn ends_that_go_unnoticed_are_found() {
    found(Fault::Sleeps, Scenario::Reconnect, "was cut: the leader had");
}

#[test]
fn hoards_are_found() {
    found(Fault::Hoards, Scenario::Deaf, "are on the way");
}

#[test]
fn connectors_that_tire_are_found() {
    found(Fault::Tires, Scenario::Reconnect, "was cut: m0 had");
}

#[test]
fn frames_for_all_that_are_sent_to_each_are_found() {
    found(Fault::Repeats, Scenario::Wire, "members took");
}

#[test]
fn where_nothing_is_promised_other_faults_are_found() {
    found_all_the_same(Fault::Doubles, Scenario::Wire, "were queued");
    found_all_the_same(Fault::Cuts, Scenario::Session, "does not hear");
    found_all_the_same(Fault::Waits, Scenario::Stopped, "while a peer read nothing");
    found_all_the_same(Fault::Lingers, Scenario::Session, "have not ended");
    found_all_the_same(Fault::Tires, Scenario::Reconnect, "was cut: m0 had");
}

#[test]
fn where_nothing_is_promised_losses_are_no_fault() {
    use Scenario::{Cancellation, Objects, Reconnect, Session};
    passes(|| unreliable(Fault::Loses), &[Session, Objects, Reconnect, Cancellation]);
}
