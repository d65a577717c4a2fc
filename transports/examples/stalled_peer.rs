//! Measures what a peer that stops reading costs the others and the leader's memory: `scripts/stalled-peer.sh`.
//!
//! One process holds a third party, a leader and two members; a third member is a process of its own, which is stopped
//! (`SIGSTOP`) for a minute, until it is declared failed. Meanwhile the leader sends 256 MiB and more. Printed are the resident memory of
//! the first process before and at most, and what the other members get at full speed before and meanwhile, each as the median
//! of some bursts. It fails if memory grows by more than 8 MiB, if the others get less than 90 %, if they lose anything, or if
//! the stopped one is not declared failed. It wants `kill` and `/proc`.

use std::error::Error;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use sodality::antigone::{Access, Leader, LeaderConfig, Member, MemberConfig};
use sodality::crypto::keys::role;
use sodality::crypto::{Key, Secret, Suite, chacha20_poly1305};
use sodality::endpoint::Cx;
use sodality::event::{Cause, Event, Port};
use sodality::group::Limits;
use sodality::identity::Name;
use sodality::policy::{Detection, Floor, Policy};
use sodality::ttp::{LeaderRecord, MemberRecord, Records, ThirdParty};
use sodality_transports::clock::Clock;
use sodality_transports::driver::{self, Config, Events, Handle};
use sodality_transports::tcp::{self, TcpConfig, TcpConnector};
use tokio::time::{Instant, sleep};

type Failed = Box<dyn Error + Send + Sync>;

const MIB: u64 = 1 << 20;
/// Sent while the peer is stopped, and for how long at least.
const TOTAL: u64 = 256 * MIB;
const STOPPED: Duration = Duration::from_secs(60);
/// What is sent at full speed at once, and how often before, at the beginning and at the end.
const BURST: u64 = 8 * MIB;
const BURSTS: usize = 7;
/// Sent and not yet heard by the slower of the good members, at most.
const WINDOW: u64 = 512 << 10;
const MESSAGE: usize = 60_000;
/// What must hold.
const MOST_GROWTH: u64 = 8 * MIB;
const LEAST_SHARE: f64 = 0.9;

/// A real key is drawn at random.
fn key(suite: &dyn Suite, name: &str) -> Key<role::LongTerm> {
    let mut bytes: Vec<u8> = name.bytes().cycle().take(suite.sizes().long_term).collect();
    Key::new(Secret::take(&mut bytes))
}

async fn member(name: &str, leader: SocketAddr) -> Result<(Handle<Member>, Events), Failed> {
    let suite: Arc<dyn Suite> = chacha20_poly1305();
    let machine = Member::new(MemberConfig {
        app: Name::new("stalled-peer")?,
        leader: Name::new("lea")?,
        name: Name::new(name)?,
        key: key(&*suite, name),
        suite,
        floor: Floor::none(),
        limits: Limits::default(),
    })?;
    let connector = TcpConnector::new(TcpConfig::default(), move |_, _| Some(leader));
    let (handle, events) = driver::spawn(machine, Config::default().connector(connector));
    handle.call(|member, cx| member.join(cx)).await??;
    Ok((handle, events))
}

async fn third_party() -> Result<SocketAddr, Failed> {
    let suite: Arc<dyn Suite> = chacha20_poly1305();
    let (handle, mut events) = driver::spawn(ThirdParty::new(suite.clone(), Limits::default()), Config::default());
    let address = tcp::listen(handle.uplink(), "127.0.0.1:0", TcpConfig::default()).await?;
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            let Event::LookupWanted { ticket, member, .. } = event else { continue };
            let records = Records {
                leader: Some(LeaderRecord { key: key(&*suite, "lea") }),
                member: Some(MemberRecord { key: key(&*suite, member.as_str()), disabled: false }),
            };
            // What is refused here is asked again.
            let _ = handle.call(move |machine, cx| machine.answer(cx, ticket, &records)).await;
        }
    });
    Ok(address)
}

/// The leader, what the good members have heard, and what was sent.
struct Group {
    leader: Handle<Leader>,
    heard: [Arc<AtomicU64>; 2],
    sent: u64,
}

impl Group {
    fn behind(&self) -> u64 {
        let least = self.heard.iter().map(|heard| heard.load(Ordering::Relaxed)).min().unwrap_or(0);
        self.sent.saturating_sub(least)
    }

    /// Waits until no more than so many bytes are on their way.
    async fn until(&self, most: u64) -> Result<(), Failed> {
        let begun = Instant::now();
        while self.behind() > most {
            if begun.elapsed() > Duration::from_secs(20) {
                return Err(format!("{} bytes do not arrive", self.behind()).into());
            }
            sleep(Duration::from_micros(200)).await;
        }
        Ok(())
    }

    async fn message(&mut self) -> Result<(), Failed> {
        self.until(WINDOW).await?;
        let payload = vec![self.sent as u8; MESSAGE];
        while self
            .leader
            .call({
                let payload = payload.clone();
                move |leader, cx| leader.send(cx, Port::Application, &payload)
            })
            .await?
            .is_err()
        {
            sleep(Duration::from_millis(1)).await;
        }
        self.sent += MESSAGE as u64;
        Ok(())
    }

    /// Sends at full speed, and says how many bytes a second all good members got: the median of some bursts.
    async fn goodput(&mut self) -> Result<f64, Failed> {
        let mut rates = Vec::new();
        for _ in 0..BURSTS {
            let (begun, first) = (Instant::now(), self.sent);
            while self.sent - first < BURST {
                self.message().await?;
            }
            self.until(0).await?;
            rates.push((self.sent - first) as f64 / begun.elapsed().as_secs_f64());
        }
        rates.sort_by(f64::total_cmp);
        Ok(rates.get(BURSTS / 2).copied().unwrap_or(0.0))
    }
}

/// Resident memory of this process, in bytes.
fn resident() -> Result<u64, Failed> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
    let kib: u64 = line.split_whitespace().nth(1).ok_or("no number")?.parse()?;
    Ok(kib << 10)
}

/// A process that ends with this one.
struct Victim(Child);

impl Victim {
    fn signal(&self, name: &str) -> Result<(), Failed> {
        let done = Command::new("kill").args([name, &self.0.id().to_string()]).status()?;
        done.success().then_some(()).ok_or_else(|| format!("kill {name} failed").into())
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // Works on a stopped process too.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn measure() -> Result<bool, Failed> {
    let suite: Arc<dyn Suite> = chacha20_poly1305();
    let asked = third_party().await?;
    let clock = Clock::new();
    // Silence of 4 periods and half a second is failure; the last sign of life may be a period old when it stops.
    let detection = Some(Detection { period: Duration::from_secs(21), misses: 3 });
    let config = LeaderConfig {
        app: Name::new("stalled-peer")?,
        name: Name::new("lea")?,
        key: key(&*suite, "lea"),
        suite,
        policy: Policy { detection, ..Policy::default() },
        access: Access::Registered,
        limits: Limits::default(),
    };
    let mut rng = getrandom::SysRng;
    let machine = Leader::open(config, &mut Cx::new(clock.now(), &mut rng))?;
    let connector = TcpConnector::new(TcpConfig::default(), move |_, _| Some(asked));
    let (leader, mut events) = driver::spawn(machine, Config::default().clock(clock).connector(connector));
    let address = tcp::listen(leader.uplink(), "127.0.0.1:0", TcpConfig::default()).await?;
    let failed = Arc::new(AtomicBool::new(false));
    let noticed = failed.clone();
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            if let Event::MemberRemoved { name, cause: Cause::Failure, .. } = event {
                noticed.fetch_or(name.as_str() == "victim", Ordering::Relaxed);
            }
        }
    });

    let heard = [Arc::default(), Arc::default()];
    let mut members = Vec::new();
    for (name, heard) in ["ada", "bob"].into_iter().zip(&heard) {
        let (handle, mut events) = member(name, address).await?;
        let heard: Arc<AtomicU64> = Arc::clone(heard);
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                if let Event::Data(message) = event {
                    heard.fetch_add(message.payload.len() as u64, Ordering::Relaxed);
                }
            }
        });
        members.push(handle);
    }
    let exe = std::env::current_exe()?;
    let child = Command::new(exe).args(["victim", &address.to_string()]).stdin(Stdio::null()).spawn()?;
    let victim = Victim(child);
    let mut group = Group { leader: leader.clone(), heard, sent: 0 };
    let begun = Instant::now();
    while leader.call(|leader, _| leader.member_count()).await? < 3 {
        if begun.elapsed() > Duration::from_secs(20) {
            return Err("the members do not join".into());
        }
        sleep(Duration::from_millis(20)).await;
    }
    // Sending has moved to the last key.
    sleep(Policy::default().settle + Duration::from_secs(1)).await;

    group.goodput().await?;
    let before = group.goodput().await?;
    let (memory, first) = (resident()?, group.sent);
    victim.signal("-STOP")?;
    let stopped = Instant::now();
    let early = group.goodput().await?;
    let mut most = resident()?;
    // The rest but the last bursts, evenly over the minute.
    let even = TOTAL - 2 * BURSTS as u64 * BURST;
    let start = group.sent;
    while group.sent - start < even {
        group.message().await?;
        most = most.max(resident()?);
        let part = (group.sent - start) as f64 / even as f64;
        let due = STOPPED.mul_f64(part * 0.95);
        sleep(due.saturating_sub(stopped.elapsed())).await;
    }
    let late = group.goodput().await?;
    most = most.max(resident()?);
    let still = !failed.load(Ordering::Relaxed);
    while !failed.load(Ordering::Relaxed) && stopped.elapsed() < STOPPED * 2 {
        group.message().await?;
        most = most.max(resident()?);
        sleep(Duration::from_millis(50)).await;
    }
    let after = stopped.elapsed();
    let gone = failed.load(Ordering::Relaxed);
    group.until(0).await?;
    let sent = group.sent - first;
    let dropped = leader.stats().data_dropped;
    drop(victim);

    let rate = |bytes: f64| bytes / MIB as f64;
    let share = early.min(late) / before;
    let growth = most.saturating_sub(memory);
    println!("sent while the peer was stopped    {} MiB in {:.1} s", sent / MIB, after.as_secs_f64());
    println!(
        "resident memory                    {:.1} MiB before, {:.1} MiB at most",
        rate(memory as f64),
        rate(most as f64)
    );
    println!(
        "it grew by                         {:.1} MiB (at most {} allowed)",
        rate(growth as f64),
        MOST_GROWTH / MIB
    );
    println!(
        "each of the others got             {:.0} MiB/s before, {:.0} then, {:.0} after a minute",
        rate(before),
        rate(early),
        rate(late)
    );
    println!("that is                            {:.0} % (at least {:.0} wanted)", share * 100.0, LEAST_SHARE * 100.0);
    println!("lost by the others                 nothing; {dropped} frames for the stopped one were dropped");
    println!("declared failed                    {gone}, after {:.1} s", after.as_secs_f64());
    if !still {
        println!("it was declared failed before the last bursts");
    }
    for member in members {
        member.shutdown().await?;
    }
    let passed = growth <= MOST_GROWTH && share >= LEAST_SHARE && gone && still && sent >= TOTAL && dropped > 0;
    println!("{}", if passed { "PASSED" } else { "FAILED" });
    Ok(passed)
}

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let mut words = std::env::args().skip(1);
    if let (Some("victim"), Some(leader)) = (words.next().as_deref(), words.next()) {
        let (handle, events) = member("victim", leader.parse()?).await?;
        // It hears everything, and wants none of it.
        drop(events);
        handle.ended().await;
        return Ok(());
    }
    if measure().await? { Ok(()) } else { Err("the measured values are not what they should be".into()) }
}
