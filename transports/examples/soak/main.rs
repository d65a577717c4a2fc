//! A soak: groups live through much, round after round, and nothing may be left of them: `scripts/soak.sh`.
//!
//! One process soaks one transport. Each round opens a group, of one system and then the other; for some seconds members join,
//! talk, offer objects, leave, crash and are thrown out, links are cut, keys change, and the leader crashes and is there
//! again at the same place. Then all that are to be in must agree on view and key and hear each other. Then the group is
//! closed, and everything ends in order.
//!
//! Demanded are after each round: no task of anybody, no more threads and no more descriptors than before the first; and in
//! the end: resident memory, taken after each round, does not grow by more than 2 MiB from the end of the first third (which
//! warms up) to the end, by the median of all slopes between two samples (6 MiB in runs of less than five minutes, whose first
//! third does not warm up all); no object arrived changed; and of everything happened at least so much as is said in
//! `measures.rs`, so that nobody passes by doing nothing. What happens is drawn from the seed; when it happens is the machine's.
//!
//! With `--plant memory|task|descriptor|idle` something is wrong on purpose, and the soak has to fail.

mod measures;
mod networks;
mod people;
mod round;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use measures::{Dice, Sample, Tally};
use networks::{Carrier, Quic, Tcp, Udp};
use people::Home;
use round::Round;
use sodality::crypto::chacha20_poly1305;
use sodality::policy::Communication;
use sodality_transports::conformance::{Antigone, Enclaves, System};
use tokio::time::{Instant, sleep};

pub(crate) type Failed = Box<dyn Error + Send + Sync>;

/// How long a group lives before it is let come to rest.
const SPAN: Duration = Duration::from_secs(4);
/// Frames that leaders send by multicast in a minute, at least.
const MULTICAST: u64 = 500;
/// By so much memory may grow, in bytes: once warm, and in a run that is shorter than [`WARM`].
const MOST_GROWTH: f64 = 2.0 * MIB;
const MOST_GROWTH_SHORT: f64 = 6.0 * MIB;
const WARM: Duration = Duration::from_secs(300);
const MIB: f64 = (1 << 20) as f64;

/// What is wrong on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    Nothing,
    /// Each round loses 1 MiB.
    Memory,
    /// A task that never ends.
    Task,
    /// A file that nobody closes.
    Descriptor,
    /// Groups in which nothing happens.
    Idle,
}

struct Soak {
    tally: Arc<Tally>,
    dice: Dice,
    fault: Fault,
    begun: Instant,
    span: Duration,
    samples: Vec<Sample>,
    threads: usize,
    descriptors: Vec<String>,
    /// Frames by multicast.
    shared: Option<u64>,
}

impl Soak {
    /// Both systems in turn, for as long as there is time for a round.
    async fn run<N: Carrier>(&mut self, network: N) -> Result<(), Failed> {
        let network = Arc::new(network);
        let (antigone, enclaves) = (Antigone::new(chacha20_poly1305()), Enclaves::new(chacha20_poly1305()));
        let (antigone, enclaves) = (Arc::new(antigone), Arc::new(enclaves));
        while self.begun.elapsed() + SPAN < self.span {
            self.round(network.clone(), antigone.clone()).await.map_err(|why| format!("Antigone: {why}"))?;
            self.round(network.clone(), enclaves.clone()).await.map_err(|why| format!("Enclaves: {why}"))?;
            self.shared = network.shared();
        }
        Ok(())
    }

    async fn round<N: Carrier, S: System>(&mut self, network: Arc<N>, system: Arc<S>) -> Result<(), Failed> {
        let dice = Dice(self.dice.roll());
        let mut round = Round::open(network, system, self.tally.clone(), dice).await?;
        if self.fault == Fault::Idle {
            sleep(SPAN).await;
        } else {
            round.churn(SPAN).await?;
        }
        round.rest().await?;
        round.end().await?;
        self.plant().await?;
        self.nothing_is_left().await?;
        self.samples.push(Sample { at: self.begun.elapsed(), bytes: measures::resident()? });
        Ok(())
    }

    async fn plant(&self) -> Result<(), Failed> {
        match self.fault {
            Fault::Memory => std::mem::forget(std::hint::black_box(vec![1_u8; 1 << 20])),
            Fault::Descriptor => std::mem::forget(std::fs::File::open("/dev/null")?),
            Fault::Task => {
                let begin = || async {
                    tokio::spawn(std::future::pending::<()>());
                    Ok(())
                };
                let left = Home::open("planted", begin).await?.0.end().await;
                return if left == 0 { Ok(()) } else { Err(format!("{left} tasks are left").into()) };
            }
            Fault::Nothing | Fault::Idle => {}
        }
        Ok(())
    }

    /// Threads say that they are gone a moment before they are.
    async fn nothing_is_left(&self) -> Result<(), Failed> {
        let begun = Instant::now();
        loop {
            let (threads, open) = (measures::threads()?, measures::descriptors()?);
            if threads <= self.threads && open.len() <= self.descriptors.len() {
                return Ok(());
            }
            if begun.elapsed() > Duration::from_secs(5) {
                let (first, before) = (&self.descriptors, self.threads);
                let words = format!("{threads} threads, {before} before; open are {open:?}, before {first:?}");
                return Err(words.into());
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Prints what was measured, and says whether it is what it should be.
    fn verdict(&self) -> Result<bool, Failed> {
        let took = self.begun.elapsed();
        let mut passed = true;
        let shared = self.shared.map(|count| ("by multicast", count, MULTICAST));
        for (name, count, floor) in self.tally.rows().into_iter().chain(shared) {
            let floor = floor * took.as_secs() / 60;
            let enough = count >= floor;
            passed &= enough;
            println!("  {:<24} {count:>9}   at least {floor}{}", name.replace('_', " "), lacks(enough));
        }
        let corrupt = self.tally.corrupt.load(Ordering::Relaxed);
        passed &= corrupt == 0;
        println!("  {:<24} {corrupt:>9}   none allowed{}", "objects changed", lacks(corrupt == 0));
        let warm = self.samples.iter().position(|sample| sample.at >= took / 3).unwrap_or(0);
        let rest = self.samples.get(warm..).unwrap_or_default();
        let grew = measures::growth(rest).ok_or("too few rounds to say anything of memory")?;
        let most_growth = if self.span < WARM { MOST_GROWTH_SHORT } else { MOST_GROWTH };
        passed &= grew <= most_growth;
        let all = || rest.iter().map(|sample| sample.bytes as f64 / MIB);
        let (least, most) = (all().fold(f64::MAX, f64::min), all().fold(0.0, f64::max));
        println!("  {:<24} {least:>5.1} to {most:.1} MiB after {} rounds", "resident memory", rest.len());
        println!(
            "  {:<24} {:>9.2}   MiB, at most {} allowed{}",
            "it grew by",
            grew / MIB,
            most_growth / MIB,
            lacks(grew <= most_growth)
        );
        println!("  {:<24} {:>9}   after each of {} rounds", "tasks left", 0, self.samples.len());
        println!("  {:<24} {:>9}", "threads, files left", 0);
        println!("  {:<24} {:>9.0}   s", "took", took.as_secs_f64());
        Ok(passed)
    }
}

fn lacks(enough: bool) -> &'static str {
    if enough { "" } else { "   NOT SO" }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failed> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let after = |flag: &str| words.iter().position(|word| word == flag).and_then(|at| words.get(at + 1));
    let transport = after("--transport").map_or("tcp", String::as_str);
    let span = Duration::from_secs(after("--seconds").map_or(Ok(60), |text| text.parse())?);
    let seed: u64 = after("--seed").map_or(Ok(1), |text| text.parse())?;
    let fault = match after("--plant").map(String::as_str) {
        None => Fault::Nothing,
        Some("memory") => Fault::Memory,
        Some("task") => Fault::Task,
        Some("descriptor") => Fault::Descriptor,
        Some("idle") => Fault::Idle,
        Some(other) => return Err(format!("nothing like {other} to plant").into()),
    };
    println!("{transport}: {} s, seed {seed}, planted {fault:?}", span.as_secs());
    let mut soak = Soak {
        tally: Arc::default(),
        dice: Dice(seed),
        fault,
        begun: Instant::now(),
        span,
        samples: Vec::new(),
        threads: measures::threads()?,
        descriptors: measures::descriptors()?,
        shared: None,
    };
    let ran = match transport {
        "tcp" => soak.run(Tcp).await,
        "udp" => soak.run(Udp::unicast()).await,
        "multicast" => soak.run(Udp::with_channel(Communication::Mixed)).await,
        "symmetric" => soak.run(Udp::with_channel(Communication::Symmetric)).await,
        "quic" => soak.run(Quic::new()?).await,
        other => Err(format!("no transport {other}").into()),
    };
    let passed = match ran {
        Ok(()) => soak.verdict()?,
        Err(why) => {
            println!("  {why}");
            false
        }
    };
    println!("{transport}, seed {seed}: {}", if passed { "PASSED" } else { "FAILED" });
    if passed { Ok(()) } else { Err("it is not as it should be".into()) }
}
