//! Whole sessions of Enclaves over TCP on loopback: repaired, with private messages; 2.0 as published; and 1.0, where two
//! members go on over their direct link when the leader is gone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sodality::crypto::published::{Modern, PublishedSuite};
use sodality::crypto::{Key, Secret, Suite, chacha20_poly1305};
use sodality::enclaves::auth::{Account, Credential, SharedKey};
use sodality::enclaves::gossip::Form;
use sodality::enclaves::{Leader, LeaderConfig, Member, MemberConfig, version_1, version_2};
use sodality::endpoint::{Cx, Endpoint};
use sodality::event::{DirectEnd, EndReason, Ending, Event, JoinFailure, Message, Peer, Port};
use sodality::group::access::Access;
use sodality::group::{Limits, Participant, Retry};
use sodality::identity::{MemberId, Name};
use sodality::policy::{Detection, Floor, Historic, Policy};
use sodality_transports::clock::Clock;
use sodality_transports::driver::{self, Config, Events, Handle};
use sodality_transports::tcp::{self, Backoff, TcpConfig, TcpConnector};
use tokio::net::TcpListener;
use tokio::time::timeout;

/// Nothing that is expected takes so long.
const LIMIT: Duration = Duration::from_secs(30);

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn suite() -> Arc<dyn Suite> {
    chacha20_poly1305()
}

fn limits() -> Limits {
    let retry = Retry { first: Duration::from_millis(60), ceiling: Duration::from_millis(500) };
    Limits { retry, ..Limits::default() }
}

fn tcp_config() -> TcpConfig {
    let backoff = Backoff { first: Duration::from_millis(5), longest: Duration::from_millis(100), attempts: 1000 };
    TcpConfig { backoff, ..TcpConfig::default() }
}

/// A participant at a socket, and what it was told.
struct Seat<M> {
    handle: Handle<M>,
    events: Events,
    before: VecDeque<Event>,
}

impl<M: Endpoint + Send + 'static> Seat<M> {
    fn start(machine: M, config: Config) -> Self {
        let (handle, events) = driver::spawn(machine, config);
        Self { handle, events, before: VecDeque::new() }
    }

    /// A leader, and where it listens.
    async fn leads(machine: M, clock: Clock) -> (Self, SocketAddr) {
        let seat = Self::start(machine, Config::default().clock(clock));
        let at = tcp::listen(seat.handle.uplink(), "127.0.0.1:0", tcp_config()).await.unwrap();
        (seat, at)
    }

    fn joins(machine: M, at: SocketAddr) -> Self {
        let connector = TcpConnector::new(tcp_config(), move |_, _| Some(at));
        Self::start(machine, Config::default().connector(connector))
    }

    async fn does<R: Send + 'static>(&self, what: impl FnOnce(&mut M, &mut Cx<'_>) -> R + Send + 'static) -> R {
        self.handle.call(what).await.unwrap()
    }

    /// The first event, of those not taken yet, that `wanted` takes; others stay.
    async fn sees<R>(&mut self, what: &str, mut wanted: impl FnMut(&Event) -> Option<R>) -> R {
        let found = self.before.iter().enumerate().find_map(|(at, event)| Some((at, wanted(event)?)));
        if let Some((at, found)) = found {
            self.before.remove(at);
            return found;
        }
        let waiting = async {
            loop {
                let event = self.events.recv().await.expect("the driver lives");
                if let Some(found) = wanted(&event) {
                    return found;
                }
                self.before.push_back(event);
            }
        };
        timeout(LIMIT, waiting).await.unwrap_or_else(|_| panic!("{what}: {:?}", self.before))
    }

    async fn hears(&mut self, text: &'static str) -> Message {
        self.sees(text, |event| match event {
            Event::Data(message) if message.payload == text.as_bytes() => Some(message.clone()),
            _ => None,
        })
        .await
    }

    async fn hears_alone(&mut self, text: &'static str) -> Message {
        self.sees(text, |event| match event {
            Event::Gossip(message) if message.payload == text.as_bytes() => Some(message.clone()),
            _ => None,
        })
        .await
    }

    async fn has_joined(&mut self) {
        self.sees("joined", |event| matches!(event, Event::Joined { .. }).then_some(())).await;
    }

    /// The number under which it is told of somebody.
    async fn meets(&mut self, who: &str) -> MemberId {
        self.sees(who, |event| match event {
            Event::MemberAdded { cid, name, .. } if name.as_str() == who => Some(*cid),
            _ => None,
        })
        .await
    }

    async fn ends(&mut self) -> Ending {
        self.sees("the end", |event| match event {
            Event::Ended(ending) => Some(*ending),
            _ => None,
        })
        .await
    }

    /// What was said to somebody alone, and not to this one, has not come here.
    fn heard_nothing_alone(&mut self) {
        while let Some(event) = self.events.try_recv() {
            self.before.push_back(event);
        }
        assert!(!self.before.iter().any(|event| matches!(event, Event::Gossip(_))), "{:?}", self.before);
    }
}

impl<M: Participant + 'static> Seat<M> {
    /// Says something to all, as soon as its key may be used.
    async fn says(&self, text: &'static str) {
        for _ in 0..500 {
            if self.does(move |machine, cx| machine.send(cx, Port::Application, text.as_bytes())).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{text} could not be said");
    }
}

/// A key that follows from the name: fit for tests alone.
fn secret(who: &str) -> Secret {
    let mut bytes: Vec<u8> = who.bytes().chain(std::iter::repeat(0x3c)).take(suite().sizes().long_term).collect();
    Secret::take(&mut bytes)
}

fn shared_key(who: &str) -> SharedKey {
    SharedKey::new(Key::new(secret(who)))
}

fn repaired_leader(clock: Clock) -> Leader {
    let users = ["ada", "bob", "cyd"];
    let config = LeaderConfig {
        suite: suite(),
        app: name("sockets"),
        name: name("lea"),
        accounts: users.iter().map(|who| (name(who), Account::SharedKey(shared_key(who)))).collect(),
        policy: Policy {
            grace: Duration::from_millis(100),
            settle: Duration::from_millis(50),
            detection: Some(Detection { period: Duration::from_millis(300), misses: 6 }),
            ..Policy::default()
        },
        access: Access::Registered,
        limits: limits(),
    };
    Leader::open(config, &mut Cx::new(clock.now(), &mut getrandom::SysRng)).unwrap()
}

fn repaired_member(who: &str, key: SharedKey, limits: Limits) -> Member {
    let config = MemberConfig {
        suite: suite(),
        app: name("sockets"),
        leader: name("lea"),
        name: name(who),
        credential: Credential::SharedKey(key),
        floor: Floor::default(),
        limits,
    };
    Member::new(config).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_of_repaired_enclaves_with_private_messages() {
    let clock = Clock::new();
    let (mut lea, at) = Seat::leads(repaired_leader(clock), clock).await;
    let mut members = Vec::new();
    for who in ["ada", "bob", "cyd"] {
        let mut seat = Seat::joins(repaired_member(who, shared_key(who), limits()), at);
        seat.does(|member, cx| member.join(cx)).await.unwrap();
        seat.has_joined().await;
        members.push(seat);
    }
    let [mut ada, mut bob, mut cyd]: [Seat<Member>; 3] = members.try_into().ok().unwrap();
    let (bob_is, cyd_is) = (ada.meets("bob").await, ada.meets("cyd").await);
    lea.meets("cyd").await;

    ada.says("good day").await;
    bob.hears("good day").await;
    lea.hears("good day").await;

    // In each form, to one member and to the leader; nobody else hears it.
    for (form, text) in [
        (Form::Documented, "the leader seals this"),
        (Form::Asked, "the leader makes the key of this"),
        (Form::Own, "the leader hands out the key of this"),
    ] {
        let to = [bob_is, MemberId::LEADER];
        let number =
            ada.does(move |ada, cx| ada.gossip(cx, form, &to, Port::Application, text.as_bytes())).await.unwrap();
        let from = bob.hears_alone(text).await.from.claimed();
        assert_eq!(from, ada.does(|ada, _| ada.cid()).await.unwrap());
        lea.hears_alone(text).await;
        let missed = ada.sees("it was sent", |event| match event {
            Event::GossipSent { number: of, missed } if *of == number => Some(missed.clone()),
            _ => None,
        });
        assert_eq!(missed.await, []);
    }
    lea.does(move |lea, cx| lea.gossip(cx, &[cyd_is], Port::Application, b"to cyd alone")).await.unwrap();
    cyd.hears_alone("to cyd alone").await;

    // Who leaves is known to have left, and misses what is said to it alone afterwards.
    bob.does(|bob, cx| bob.leave(cx)).await.unwrap();
    assert_eq!(bob.ends().await, Ending::Left);
    bob.heard_nothing_alone();
    cyd.heard_nothing_alone();
    ada.sees("bob is gone", |event| matches!(event, Event::MemberRemoved { cid, .. } if *cid == bob_is).then_some(()))
        .await;
    ada.says("bob is gone").await;
    cyd.hears("bob is gone").await;

    lea.does(move |lea, cx| lea.eject(cx, cyd_is)).await.unwrap();
    assert_eq!(cyd.ends().await, Ending::ByLeader(EndReason::Ejected));
    lea.does(|lea, cx| lea.close(cx)).await.unwrap();
    assert_eq!(ada.ends().await, Ending::ByLeader(EndReason::Closing));
    assert_eq!(lea.ends().await, Ending::Closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_another_key_gets_no_answer() {
    let clock = Clock::new();
    let (mut lea, at) = Seat::leads(repaired_leader(clock), clock).await;
    let short = Limits { join_time: Duration::from_secs(1), ..limits() };
    for (who, key) in [("ada", shared_key("bob")), ("eve", shared_key("eve"))] {
        let mut seat = Seat::joins(repaired_member(who, key, short), at);
        seat.does(|member, cx| member.join(cx)).await.unwrap();
        let failed = seat.sees("that the join failed", |event| match event {
            Event::JoinFailed(why) => Some(*why),
            _ => None,
        });
        assert_eq!(failed.await, JoinFailure::Timeout);
        lea.sees("that it was refused", |event| matches!(event, Event::Rejected { .. }).then_some(())).await;
    }
    assert_eq!(lea.does(|lea, _| lea.member_count()).await, 0);
}

fn published_suite() -> Arc<dyn PublishedSuite> {
    Arc::new(Modern::new(chacha20_poly1305()))
}

fn user_key(who: &str) -> Key<sodality::crypto::keys::role::PublishedUser> {
    let length = published_suite().sizes().key;
    let mut bytes: Vec<u8> = who.bytes().chain(std::iter::repeat(0x3c)).take(length).collect();
    Key::new(Secret::take(&mut bytes))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_of_enclaves_2() {
    let clock = Clock::new();
    let historic = Historic::i_know_that_this_protects_nothing();
    let policy = version_2::prudent_policy();
    let (grace, frame_limit) = (policy.grace, policy.frame_limit);
    let users = ["ada", "bob", "cyd"];
    let config = version_2::LeaderConfig {
        historic,
        suite: published_suite(),
        name: name("lea"),
        accounts: users.iter().map(|who| (name(who), user_key(who))).collect::<BTreeMap<_, _>>(),
        access: Access::Registered,
        policy,
        limits: limits(),
    };
    let machine = version_2::Leader::open(config, &mut Cx::new(clock.now(), &mut getrandom::SysRng)).unwrap();
    let (mut lea, at) = Seat::leads(machine, clock).await;
    let mut members = Vec::new();
    for who in users {
        let config = version_2::MemberConfig {
            historic,
            suite: published_suite(),
            leader: name("lea"),
            name: name(who),
            key: user_key(who),
            grace,
            frame_limit,
            limits: limits(),
        };
        let mut seat = Seat::joins(version_2::Member::new(config).unwrap(), at);
        seat.does(|member, cx| member.join(cx)).await.unwrap();
        seat.has_joined().await;
        members.push(seat);
    }
    let [mut ada, mut bob, mut cyd]: [Seat<version_2::Member>; 3] = members.try_into().ok().unwrap();
    ada.meets("cyd").await;
    let cyd_is = lea.meets("cyd").await;
    // Nothing tells a member that its key is not the newest: all have the same one first.
    let same = async {
        loop {
            let newest = lea.does(|lea, _| lea.epoch()).await;
            let mut all = lea.does(|lea, _| lea.all_acknowledged()).await;
            for seat in [&ada, &bob, &cyd] {
                all &= seat.does(|member, _| member.epoch()).await == newest;
            }
            if all {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LIMIT, same).await.expect("all have the same key");

    ada.says("good day").await;
    bob.hears("good day").await;
    lea.hears("good day").await;
    ada.does(|ada, cx| ada.gossip(cx, &[name("bob")], Port::Application, b"to bob alone")).await.unwrap();
    bob.hears_alone("to bob alone").await;

    bob.does(|bob, cx| bob.leave(cx)).await.unwrap();
    assert_eq!(bob.ends().await, Ending::Left);
    cyd.heard_nothing_alone();
    lea.does(move |lea, cx| lea.eject(cx, cyd_is)).await.unwrap();
    let ending = cyd.ends().await;
    assert!(matches!(ending, Ending::ByLeader(_)), "{ending:?}");
    lea.does(|lea, cx| lea.close(cx)).await.unwrap();
    let ending = ada.ends().await;
    assert!(matches!(ending, Ending::ByLeader(_)), "{ending:?}");
}

impl Seat<version_1::Member> {
    /// A member that others reach directly, and who reaches them.
    async fn reaches(who: &str, leader: SocketAddr) -> Self {
        let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let policy = version_1::default_policy();
        let config = version_1::MemberConfig {
            historic: Historic::i_know_that_this_protects_nothing(),
            suite: published_suite(),
            leader: name("lea"),
            name: name(who),
            key: user_key(who),
            hint: door.local_addr().unwrap().to_string().into(),
            grace: policy.grace,
            window: version_1::DEFAULT_WINDOW,
            silence: version_1::DEFAULT_SILENCE,
            frame_limit: policy.frame_limit,
            limits: limits(),
        };
        let connector = TcpConnector::new(tcp_config(), move |peer, hint| match peer {
            Peer::Leader(_) => Some(leader),
            Peer::Member(_) => std::str::from_utf8(hint).ok()?.parse().ok(),
            _ => None,
        });
        let seat = Self::start(version_1::Member::new(config).unwrap(), Config::default().connector(connector));
        tcp::listen_on(seat.handle.uplink(), door, tcp_config()).unwrap();
        seat
    }

    async fn has_link_to(&mut self, who: &str) {
        self.sees("a direct link", |event| match event {
            Event::DirectOpened { name, .. } if name.as_str() == who => Some(()),
            _ => None,
        })
        .await;
    }

    async fn says_directly(&self, to: &str, text: &'static str) {
        let to = name(to);
        self.does(move |member, cx| member.send_direct(cx, &to, Port::Application, text.as_bytes())).await.unwrap();
    }

    async fn hears_directly(&mut self, text: &'static str) {
        self.sees(text, |event| match event {
            Event::Direct(message) if message.payload == text.as_bytes() => Some(()),
            _ => None,
        })
        .await;
    }

    async fn link_ends(&mut self, who: &str) -> DirectEnd {
        self.sees("the end of a direct link", |event| match event {
            Event::DirectClosed { name, why, .. } if name.as_str() == who => Some(*why),
            _ => None,
        })
        .await
    }
}

fn leader_of_1(clock: Clock, users: &[&str]) -> version_1::Leader {
    let config = version_1::LeaderConfig {
        historic: Historic::i_know_that_this_protects_nothing(),
        suite: published_suite(),
        name: name("lea"),
        accounts: users.iter().map(|who| (name(who), user_key(who))).collect(),
        access: Access::Registered,
        policy: version_1::default_policy(),
        direct: version_1::DirectLinks::Granted,
        window: version_1::DEFAULT_WINDOW,
        limits: limits(),
    };
    let mut rng = getrandom::SysRng;
    let mut cx = Cx::new(clock.now(), &mut rng);
    cx.wall = clock.wall();
    version_1::Leader::open(config, &mut cx).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_of_enclaves_1_whose_members_go_on_without_the_leader() {
    let (clock, users) = (Clock::new(), ["ada", "bob", "cyd", "dan"]);
    let (mut lea, at) = Seat::leads(leader_of_1(clock, &users), clock).await;
    let mut members = Vec::new();
    for who in users {
        let mut seat = Seat::reaches(who, at).await;
        seat.does(|member, cx| member.join(cx)).await.unwrap();
        seat.has_joined().await;
        lea.meets(who).await;
        members.push(seat);
    }
    let [mut ada, mut bob, mut cyd, mut dan]: [Seat<version_1::Member>; 4] = members.try_into().ok().unwrap();
    for who in ["bob", "cyd", "dan"] {
        ada.meets(who).await;
    }
    cyd.meets("ada").await;

    ada.says("good day").await;
    for seat in [&mut bob, &mut cyd, &mut dan] {
        seat.hears("good day").await;
    }
    lea.hears("good day").await;
    ada.does(|ada, cx| ada.send_to(cx, &name("bob"), Port::Application, b"to bob alone")).await.unwrap();
    bob.hears_alone("to bob alone").await;

    // Nobody has a link to say something over before the leader has made one, and not to whom it made none.
    let refused = ada.does(|ada, cx| ada.send_direct(cx, &name("cyd"), Port::Application, b"too early")).await;
    refused.expect_err("no link yet");
    cyd.does(|cyd, cx| cyd.link_to(cx, &name("ada"))).await.unwrap();
    dan.meets("bob").await;
    dan.does(|dan, cx| dan.link_to(cx, &name("bob"))).await.unwrap();
    cyd.has_link_to("ada").await;
    ada.has_link_to("cyd").await;
    dan.has_link_to("bob").await;
    bob.has_link_to("dan").await;
    cyd.says_directly("ada", "over our own link").await;
    ada.hears_directly("over our own link").await;

    // Who leaves, and who is thrown out, keep their direct link; the key of the group is another one.
    let before = ada.does(|ada, _| ada.epoch()).await;
    bob.does(|bob, cx| bob.leave(cx)).await.unwrap();
    assert_eq!(bob.ends().await, Ending::Left);
    let dan_is = lea.does(|lea, _| lea.number_of(&name("dan"))).await.unwrap();
    lea.does(move |lea, cx| lea.eject(cx, dan_is)).await.unwrap();
    assert_eq!(dan.ends().await, Ending::ByLeader(EndReason::Ejected));
    dan.says_directly("bob", "we are both out").await;
    bob.hears_directly("we are both out").await;
    ada.sees("another key", |event| matches!(event, Event::Installed { epoch, .. } if *epoch > before).then_some(()))
        .await;
    bob.heard_nothing_alone();
    cyd.heard_nothing_alone();

    // The leader dies without a word: its sockets are gone, and so is the task that held them.
    lea.handle.shutdown().await.unwrap();
    for round in 0..3 {
        let (asks, answers) = [("one", "two"), ("three", "four"), ("five", "six")][round];
        ada.says_directly("cyd", asks).await;
        cyd.hears_directly(asks).await;
        cyd.says_directly("ada", answers).await;
        ada.hears_directly(answers).await;
    }
    ada.does(|ada, cx| ada.close_direct(cx, &name("cyd"))).await.unwrap();
    assert_eq!(ada.link_ends("cyd").await, DirectEnd::Closed);
    assert_eq!(cyd.link_ends("ada").await, DirectEnd::ByPeer);
    let refused = cyd.does(|cyd, cx| cyd.send_direct(cx, &name("ada"), Port::Application, b"too late")).await;
    refused.expect_err("the link is over");
}
