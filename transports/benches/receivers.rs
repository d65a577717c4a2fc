//! One sender and many receivers: bytes delivered a second and the sender's CPU for each frame that arrives, of this package's
//! transports beside bare sockets, all in one run. The receivers are a process of their own, so that the CPU of the sender can
//! be told apart; both share the machine, so only ratios between rows of one run mean anything.
//!
//! ```text
//! cargo bench -p sodality-transports --bench receivers                    # 1, 10, 100 and 1000 receivers, some minutes
//! cargo bench -p sodality-transports --bench receivers -- --quick         # only that it runs
//! cargo bench -p sodality-transports --bench receivers -- --receivers 100
//! cargo bench -p sodality-transports --bench receivers -- --receivers 100 --only TCP
//! ```
//!
//! The sender of a driven row is an endpoint without cryptography that gives each frame to all links: what is measured is
//! the driver and the adapter, not the group. Over multicast each frame goes to the channel once, and receivers acknowledge over
//! links by UDP; what the system spends on copies for receivers of the same host is the sender's, as far as the system charges
//! it so. Receivers count bytes and do nothing else with them. Where receivers are behind,
//! the sender waits, so that nothing is dropped over streams; what datagrams lose is shown.
#![allow(clippy::unwrap_used, clippy::disallowed_types, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod ways;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ways::Way;

/// Payload of a frame, in bytes: what fits a datagram.
const FRAME: usize = 1_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let after = |flag: &str| arguments.iter().position(|word| word == flag).map(|at| arguments[at + 1].clone());
    raise_limit();
    if let Some(way) = after("--receive") {
        let (address, count) = (after("--at").unwrap(), after("--receivers").unwrap().parse().unwrap());
        return ways::receive(Way::named(&way), &address, count);
    }
    let quick = arguments.iter().any(|word| word == "--quick");
    let counts: Vec<usize> = match after("--receivers") {
        Some(one) => vec![one.parse().unwrap()],
        None if quick => vec![1, 10],
        None => vec![1, 10, 100, 1000],
    };
    let only = after("--only");
    let ways: Vec<Way> =
        Way::ALL.into_iter().filter(|way| only.as_ref().is_none_or(|only| only == way.name())).collect();
    let rounds = if quick { 1 } else { ROUNDS };
    println!("frames of {FRAME} bytes; sender CPU for each frame that arrived; goodput of all receivers together;");
    println!("medians of {rounds} rounds, in each of which all ways have their turn");
    let mut at_hundred = Vec::new();
    for count in counts {
        println!("\n{count} receivers");
        println!("  {:<34} {:>9} {:>8} {:>10} {:>8} {:>7}", "", "µs/frame", "× first", "MB/s", "× first", "lost");
        let mut rows: Vec<Vec<Row>> = ways.iter().map(|_| Vec::new()).collect();
        for _ in 0..rounds {
            for (way, rows) in ways.iter().zip(&mut rows) {
                rows.extend(measure(*way, count, quick));
            }
        }
        let mut first: Option<(f64, f64)> = None;
        for (way, rows) in ways.iter().zip(&rows) {
            let Some(Row { cpu, goodput, lost }) = Row::median(rows) else {
                println!("  {:<34} not run: this machine does not let it", way.name());
                continue;
            };
            let (cpu_base, goodput_base) = *first.get_or_insert((cpu, goodput));
            if count == 100 {
                at_hundred.push((*way, cpu));
            }
            println!(
                "  {:<34} {cpu:>9.3} {:>8.2} {:>10.1} {:>8.2} {:>6.1}%",
                way.name(),
                cpu / cpu_base,
                goodput / 1e6,
                goodput / goodput_base,
                100.0 * lost
            );
        }
    }
    verdict(&at_hundred);
}

/// What is wanted at 100 receivers: by how much less CPU a frame than with one write for each over TCP.
const WANTED: [(Way, f64); 2] = [(Way::Tcp, 4.0), (Way::Multicast, 12.0)];

fn verdict(at_hundred: &[(Way, f64)]) {
    let cpu = |wanted: Way| at_hundred.iter().find(|(way, _)| *way == wanted).map(|(_, cpu)| *cpu);
    let Some(bare) = cpu(Way::BareTcp) else { return };
    println!();
    for (way, times) in WANTED {
        let Some(cpu) = cpu(way) else { continue };
        let (cheaper, said) = (bare / cpu, if bare / cpu >= times { "REACHED" } else { "MISSED" });
        println!(
            "{} to 100: {cheaper:.1} times cheaper a frame than one write each; {times} wanted: {said}",
            way.name()
        );
    }
}

/// Each way has its turn so often.
const ROUNDS: usize = 3;

/// Each receiver is a socket.
fn raise_limit() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let all = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, all);
}

struct Row {
    /// Microseconds of the sender's CPU for each frame that a receiver got.
    cpu: f64,
    /// Bytes of payload that all receivers together got in a second.
    goodput: f64,
    /// Which part of the frames did not arrive.
    lost: f64,
}

impl Row {
    /// The median of each column.
    fn median(rows: &[Self]) -> Option<Self> {
        let middle = |column: fn(&Self) -> f64| {
            let mut values: Vec<f64> = rows.iter().map(column).collect();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied()
        };
        Some(Self { cpu: middle(|row| row.cpu)?, goodput: middle(|row| row.goodput)?, lost: middle(|row| row.lost)? })
    }
}

/// CPU that this process has used.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// What the receivers say: a line with the bytes that they have, a while after nothing more comes.
struct Receivers {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Receivers {
    fn start(way: Way, at: &str, count: usize) -> Self {
        let program = std::env::current_exe().unwrap();
        let mut command = Command::new(program);
        command.args(["--receive", way.name(), "--at", at, "--receivers", &count.to_string()]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn line(&mut self) -> Option<String> {
        self.lines.next()?.ok()
    }
}

impl Drop for Receivers {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn measure(way: Way, count: usize, quick: bool) -> Option<Row> {
    // As many frames for each receiver as make about the same work in all.
    let frames = if quick { 200 } else { (400_000 / count).clamp(400, 100_000) } / ways::ACK_EVERY * ways::ACK_EVERY;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let mut sender = ways::Sender::new(way, count)?;
    let mut receivers = Receivers::start(way, &sender.address(), count);
    runtime.block_on(sender.ready(count));
    receivers.line().filter(|line| line == "ready")?;
    let before = cpu();
    runtime.block_on(sender.send(frames));
    let used = cpu() - before;
    // "bytes seconds": from the first to the last that came.
    let last = receivers.line()?;
    let (bytes, seconds) = last.split_once(' ')?;
    let (bytes, seconds): (f64, f64) = (bytes.parse().ok()?, seconds.parse().ok()?);
    let arrived = bytes / FRAME as f64;
    let sent = (frames * count) as f64;
    Some(Row {
        cpu: used.as_secs_f64() * 1e6 / arrived.max(1.0),
        goodput: bytes / seconds.max(1e-9),
        lost: 1.0 - arrived / sent,
    })
}
