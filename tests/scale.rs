//! Large groups (report §1.2; R30): joins in batches, a rekey, a message to all, leaves; with what it costs, printed. The
//! counts are asserted, times and memory never.
//!
//! `scripts/scale.sh` runs 10,000 members without views and 500 with exact ones; here it is 600 and 60.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.

use std::time::Duration;

use sodality::antigone::Member;
use sodality::crypto::chacha20_poly1305;
use sodality::event::Port;
use sodality::policy::{Detection, OnSilence, Policy, Views};
use sodality::sim::{LinkConfig, Star, StarConfig, World};

/// Here time is measured, to be printed.
#[allow(clippy::disallowed_types)]
type Wall = std::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

/// The most memory that the process has had, in KiB; 0 where the system does not say.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    line.and_then(|line| line.split_whitespace().nth(1)).and_then(|number| number.parse().ok()).unwrap_or(0)
}

struct Large {
    world: World,
    star: Star,
    begun: Wall,
    sent: u64,
    since: sodality::endpoint::Instant,
    epoch: u64,
}

impl Large {
    fn new(policy: Policy, members: usize) -> Self {
        let mut world = World::new(0x5ca1e);
        world.keep_events(false);
        world.trace_mut().keep(0);
        world.limits().steps = u64::MAX;
        let mut config = StarConfig::new(chacha20_poly1305());
        config.policy = policy;
        config.link = LinkConfig::STREAM.delay(SECOND / 1000, SECOND / 1000);
        // As many joins at once as there are members, from one third party.
        config.limits.pending_joins = members.max(1024);
        config.limits.requests_per_second = 1_000_000;
        config.limits.lookups = config.limits.lookups.max(members);
        config.limits.lookups_per_link = config.limits.lookups;
        config.limits.out_events = 4096;
        let star = Star::add(&mut world, config, members).unwrap();
        let since = world.now();
        Self { world, star, begun: Wall::now(), sent: 0, since, epoch: 1 }
    }

    /// Prints what a step took, and gives the epochs that it made.
    fn step(&mut self, what: &str) -> u64 {
        let (sent, epoch) = (self.world.net_stats().sent, self.world.get(self.star.leader).unwrap().epoch().0);
        let epochs = epoch - self.epoch;
        println!(
            "{what:<38} {:>8.2} s, {:>7.1} s of virtual time, {:>9} frames, {epochs:>4} epochs, peak {:>7} KiB",
            self.begun.elapsed().as_secs_f64(),
            self.world.now().since(self.since).as_secs_f64(),
            sent - self.sent,
            peak(),
        );
        (self.begun, self.sent, self.since, self.epoch) = (Wall::now(), sent, self.world.now(), epoch);
        epochs
    }

    fn current(&self) -> bool {
        let epoch = self.world.get(self.star.leader).unwrap().epoch();
        let up =
            self.star.members.iter().filter_map(|member| self.world.get(*member)).filter(|member| !member.is_idle());
        up.fold(true, |all, member| all && member.is_current() && member.epoch() == epoch)
    }

    fn eventually(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        // Looking at everybody after every frame would take longer than the frames.
        for _ in 0..600 {
            self.world.run_for(SECOND / 5).unwrap_or_else(|stop| panic!("{what}: {stop}"));
            if done(self) {
                return;
            }
        }
        panic!("{what}: not within two minutes");
    }

    fn leave(&mut self, members: std::ops::Range<usize>) {
        for member in members {
            let member = self.star.members[member];
            self.world.command(member, "leave", |member, cx| member.leave(cx)).unwrap().unwrap();
        }
    }

    fn run(mut self, name: &str) {
        let members = self.star.members.len();
        let present = |large: &Self| {
            large.star.members.iter().filter(|m| large.world.get(**m).is_some_and(Member::is_current)).count()
        };
        println!("{name}: {members} members");
        self.step("open");
        for member in self.star.members.clone() {
            self.world.command(member, "join", |member, cx| member.join(cx)).unwrap().unwrap();
        }
        self.eventually("joins", |large| present(large) == members && large.current());
        let epochs = self.step("all join at once");
        assert!(epochs <= 6, "{epochs} epochs: joins within grace of one another make one");
        self.world.run_for(self.star.config.policy.grace).unwrap();
        self.world.with(self.star.leader, |leader, cx| leader.rekey(cx)).unwrap().unwrap();
        self.eventually("rekey", Self::current);
        assert_eq!(self.step("rekey"), 1);
        self.world.run_for(SECOND * 2).unwrap();
        self.step("two seconds of nothing");
        let delivered = |large: &Self| {
            let of = |member: &sodality::sim::Node<Member>| {
                large.world.get(*member).map_or(0, |member| sodality::endpoint::Endpoint::stats(member).delivered)
            };
            large.star.members.iter().map(of).sum::<u64>()
        };
        let before = delivered(&self);
        self.world.with(self.star.leader, |leader, cx| leader.send(cx, Port::Application, b"to all")).unwrap().unwrap();
        self.eventually("a message", |large| delivered(large) - before == members as u64);
        self.step("a message of the leader to all");
        self.leave(0..1);
        self.eventually("a leave", |large| present(large) == members - 1 && large.current());
        assert_eq!(self.step("one leaves"), 1);
        let many = (members / 100).max(6);
        self.leave(1..1 + many);
        self.eventually("leaves", |large| present(large) == members - 1 - many && large.current());
        let epochs = self.step(&format!("{many} leave at once"));
        assert_eq!(epochs, many as u64, "each leave is a decision of its own, and evicts at once (I-7)");
        // A part of the network is gone.
        let lost: Vec<_> = self.star.members[1 + many..1 + 3 * many].to_vec();
        self.world.partition(lost).unwrap();
        let (leader, left) = (self.star.leader, members + 1 - 1 - 3 * many);
        self.eventually("silence", |large| large.world.get(leader).unwrap().member_count() == left - 1);
        let epochs = self.step(&format!("{} fall silent and are removed", 2 * many));
        assert!(epochs <= 16, "{epochs} epochs: those who fall silent together go together");
    }
}

/// `SODALITY_SCALE=full`: as the script wants it.
fn sizes() -> (usize, usize) {
    if std::env::var_os("SODALITY_SCALE").is_some() { (10_000, 500) } else { (600, 60) }
}

fn policy(views: Views) -> Policy {
    let detection = Some(Detection { period: SECOND * 10, misses: 2 });
    Policy { views, origin: false, detection, on_silence: OnSilence::Remove, ..Policy::default() }
}

#[test]
fn a_large_group_without_views() {
    Large::new(policy(Views::Hidden), sizes().0).run("without views");
}

#[test]
fn a_large_group_with_exact_views() {
    Large::new(policy(Views::Exact), sizes().1).run("exact views");
}
