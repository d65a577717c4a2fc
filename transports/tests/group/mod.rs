//! Real machines on real sockets: a third party, a leader, members.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sodality::antigone::{Access, Leader, LeaderConfig, Member, MemberConfig};
use sodality::crypto::{Suite, chacha20_poly1305};
use sodality::endpoint::Cx;
use sodality::event::{Event, Peer};
use sodality::group::{Limits, Retry};
use sodality::identity::Name;
use sodality::policy::{Detection, Floor, Policy};
use sodality::sim::star::long_term_key;
use sodality::ttp::{LeaderRecord, MemberRecord, Records, ThirdParty};
use sodality_transports::clock::Clock;
use sodality_transports::driver::{self, Config, Events, Handle};
use sodality_transports::tcp::{self, Backoff, TcpConfig, TcpConnector};

/// No test waits longer for anything.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn suite() -> Arc<dyn Suite> {
    chacha20_poly1305()
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn limits() -> Limits {
    let retry = Retry { first: Duration::from_millis(60), ceiling: Duration::from_millis(500) };
    Limits { retry, ..Limits::default() }
}

pub(crate) fn policy() -> Policy {
    Policy {
        grace: Duration::from_millis(200),
        settle: Duration::from_millis(50),
        detection: Some(Detection { period: Duration::from_millis(250), misses: 4 }),
        ..Policy::default()
    }
}

fn tcp_config() -> TcpConfig {
    let backoff = Backoff { first: Duration::from_millis(5), longest: Duration::from_millis(100), attempts: 1000 };
    TcpConfig { backoff, ..TcpConfig::default() }
}

/// A third party that knows the leader `lea` and all members with names of two letters. It lives as long as the runtime.
pub(crate) async fn third_party() -> SocketAddr {
    let ttp = answering();
    tcp::listen(ttp.uplink(), "127.0.0.1:0", tcp_config()).await.unwrap()
}

/// That third party, before it listens anywhere.
pub(crate) fn answering() -> Handle<ThirdParty> {
    let (ttp, mut questions) = driver::spawn(ThirdParty::new(suite(), limits()), Config::default());
    let handle = ttp.clone();
    tokio::spawn(async move {
        while let Some(event) = questions.recv().await {
            if let Event::LookupWanted { ticket, leader, member } = event {
                let key = |who: &Name| long_term_key(&*suite(), who.as_str());
                let known = member.as_str().len() == 2;
                let records = Records {
                    leader: (leader.as_str() == "lea").then(|| LeaderRecord { key: key(&leader) }),
                    member: known.then(|| MemberRecord { key: key(&member), disabled: false }),
                };
                let _ = ttp.call(move |machine, cx| machine.answer(cx, ticket, &records)).await;
            }
        }
    });
    handle
}

/// The leader, and where it listens.
pub(crate) async fn leader(third_party: SocketAddr, policy: Policy) -> (Handle<Leader>, Events, SocketAddr) {
    let clock = Clock::new();
    let connector = TcpConnector::new(tcp_config(), move |peer, _| (*peer == Peer::ThirdParty).then_some(third_party));
    let config = Config::default().clock(clock).connector(connector);
    let (leader, events) = driver::spawn(leading(policy, clock), config);
    let address = tcp::listen(leader.uplink(), "127.0.0.1:0", tcp_config()).await.unwrap();
    (leader, events, address)
}

/// The leader's machine.
pub(crate) fn leading(policy: Policy, clock: Clock) -> Leader {
    let config = LeaderConfig {
        suite: suite(),
        app: name("sockets"),
        name: name("lea"),
        key: long_term_key(&*suite(), "lea"),
        policy,
        access: Access::Registered,
        limits: limits(),
    };
    let mut rng = getrandom::SysRng;
    Leader::open(config, &mut Cx::new(clock.now(), &mut rng)).unwrap()
}

/// A member that asks the leader at `way` to join.
pub(crate) async fn member(who: &str, way: SocketAddr) -> (Handle<Member>, Events) {
    let connector = TcpConnector::new(tcp_config(), move |_, _| Some(way));
    let (member, events) = driver::spawn(joining(who), Config::default().connector(connector));
    member.call(|member, cx| member.join(cx)).await.unwrap().unwrap();
    (member, events)
}

/// A member's machine.
pub(crate) fn joining(who: &str) -> Member {
    let machine = Member::new(MemberConfig {
        suite: suite(),
        app: name("sockets"),
        leader: name("lea"),
        name: name(who),
        key: long_term_key(&*suite(), who),
        floor: Floor::default(),
        limits: limits(),
    });
    machine.unwrap()
}
