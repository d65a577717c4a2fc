//! The parties of the demonstration. Each knows what its user would configure (names, its own long-term key, addresses)
//! and has a driver of its own; what it knows of the others comes over its sockets.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sodality::antigone::{Access, Leader, LeaderConfig, Member, MemberConfig};
use sodality::crypto::keys::role;
use sodality::crypto::{Key, Suite};
use sodality::enclaves::auth::{Credential, SharedKey};
use sodality::enclaves::{self, Accounts};
use sodality::endpoint::{Cx, Endpoint};
use sodality::event::{Event, Stats};
use sodality::group::Limits;
use sodality::identity::{Epoch, Name};
use sodality::policy::{Floor, Policy};
use sodality::ttp::{LeaderRecord, MemberRecord, Records};
use sodality_transports::clock::Clock;
use sodality_transports::report::{DriverStats, Notice};
use sodality_transports::tcp::{self, TcpConfig};
use sodality_transports::{Connector, driver, objects, quic};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::person::Person;
use crate::carrier::{self, Bound, Carrier};
use crate::files::{Folder, Load};
use crate::past::{self, Enclaves, Past};
use crate::timeline::Teller;
use crate::verbs::role::Role;
use crate::verbs::system::{System, Version};

/// What the sender says once a member has left.
pub(crate) const SECRET: &str = "bob must not read this: the meeting is moved to noon, in the reading room";
/// What one member says to another alone, where the system can do that.
pub(crate) const WHISPER: &str = "for ada alone: the list is with me, and dan is not on it any more";
/// What one end of a direct link says when the leader was killed, and what the other answers.
pub(crate) const WITHOUT: &str = "lea is gone, and this goes over our own link: do you read it?";
pub(crate) const ANSWER: &str = "I do: nobody leads any more, and we go on";
/// What it says once another one was put out.
pub(crate) const LAST_SECRET: &str = "nor must dan read this: the key to the reading room lies under the third lamp";
/// The contents of the file that it sends after the leave.
pub(crate) fn late_text() -> Vec<u8> {
    let line = |number: u32| format!("{number:04} Written after the key was changed; who left cannot read it.\n");
    (0..1500).flat_map(|number| line(number).into_bytes()).collect()
}

/// What all parties of one deployment are configured with.
#[derive(Clone, Debug)]
pub(crate) struct Common {
    pub(crate) suite: Arc<dyn Suite>,
    pub(crate) app: Name,
    pub(crate) leader: Name,
    /// The name of the file that is sent after the leave.
    pub(crate) late: &'static str,
    /// `settle` of the policy.
    pub(crate) settle: Duration,
    /// When the leader was killed.
    pub(crate) killed: Arc<OnceLock<Instant>>,
    /// Which parts are as published, if any.
    pub(crate) past: Option<Past>,
    /// Which edition of Enclaves it is, if it is one as published.
    pub(crate) enclaves: Option<Enclaves>,
    /// Over what the group goes, and of which system it is.
    pub(crate) carrier: Carrier,
    pub(crate) system: System,
}

impl Common {
    /// Which edition of Enclaves it is, if it is one as published.
    pub(crate) fn version(&self) -> Option<Version> {
        self.enclaves.as_ref().map(Enclaves::version)
    }
}

/// How a member noticed that the leader was killed: after which time its key no longer counted as fresh, and after which time
/// it took the leader for dead, in microseconds. As published nothing but its link tells a member of Enclaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noticed {
    pub(crate) stale: Option<u64>,
    pub(crate) lost: u64,
}

/// A file that arrived.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) file: String,
    pub(crate) size: u64,
    /// Microseconds from the acceptance of the offer until it was whole, verified and stored.
    pub(crate) micros: u64,
    /// The digest of what is on the disk now is that of the manifest.
    pub(crate) hash_ok: bool,
    pub(crate) digest: String,
}

/// How it went for a party.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) arrivals: Vec<Arrival>,
    pub(crate) epochs: Vec<u64>,
    pub(crate) stats: Stats,
    pub(crate) driver: DriverStats,
    /// What the sender offered: name, size, digest.
    pub(crate) sent: Vec<(String, u64, String)>,
    /// The machine of who left or was put out, as it was at the end.
    pub(crate) gone: Option<Box<dyn Endpoint + Sync>>,
    /// How it noticed that the leader was killed.
    pub(crate) noticed: Option<Noticed>,
    /// What was said to it alone.
    pub(crate) whispers: Vec<Vec<u8>>,
    /// What came over a direct link, and when after the leader was killed, in microseconds.
    pub(crate) direct: Vec<(String, u64)>,
}

impl Account {
    /// Nothing yet.
    pub(crate) fn of(name: String) -> Self {
        Self {
            name,
            arrivals: Vec::new(),
            epochs: Vec::new(),
            stats: Stats::default(),
            driver: DriverStats::default(),
            sent: Vec::new(),
            gone: None,
            noticed: None,
            whispers: Vec::new(),
            direct: Vec::new(),
        }
    }
}

pub(crate) type Ended = Result<Account, String>;

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Runs the third party until `stop`. Its address goes to `bound`.
pub(crate) async fn third_party(
    common: Common,
    registry: BTreeMap<Name, Key<role::LongTerm>>,
    tell: Teller,
    bound: oneshot::Sender<SocketAddr>,
    mut stop: watch::Receiver<bool>,
) -> Ended {
    let machine = past::third_party(common.suite.clone(), common.past.as_ref());
    let (handle, mut events) = driver::spawn(machine, driver::Config::default());
    let address = carrier::listen_for_leaders(handle.uplink(), carrier::ANYWHERE).await?;
    tell.tell(
        "listening",
        format!("listens on {address}; knows {} long-term keys", registry.len()),
        vec![("address", address.to_string().into())],
    )
    .await;
    // Whoever waits for the address may be gone.
    let _ = bound.send(address);
    loop {
        let event = tokio::select! {
            event = events.recv() => event.ok_or("the third party's driver ended")?,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match event {
            Event::LookupWanted { ticket, leader, member } => {
                let key = |name: &Name| registry.get(name).cloned();
                let records = Records {
                    leader: key(&leader).filter(|_| leader == common.leader).map(|key| LeaderRecord { key }),
                    member: key(&member).map(|key| MemberRecord { key, disabled: false }),
                };
                // Expired or no room: the leader asks again.
                let _ = handle.call(move |machine, cx| machine.answer(cx, ticket, &records)).await;
            }
            Event::Vouched { leader, member } => {
                let fields = vec![("leader", leader.as_str().into()), ("member", member.as_str().into())];
                tell.tell("vouched", format!("vouches for {member} towards {leader}"), fields).await;
            }
            _ => {}
        }
    }
    let driver = handle.stats();
    let finished = handle.shutdown().await.map_err(text)?;
    Ok(Account { stats: finished.machine.stats().clone(), driver, ..Account::of("third party".into()) })
}

/// What a leader is configured with.
#[derive(Debug)]
pub(crate) struct LeaderParty {
    pub(crate) common: Common,
    pub(crate) knows: Knows,
    pub(crate) policy: Policy,
    pub(crate) folder: Folder,
}

/// What a leader knows beforehand.
#[derive(Debug)]
pub(crate) enum Knows {
    /// Its key, and where the third party is.
    Key(Key<role::LongTerm>, SocketAddr),
    /// Its users.
    Users(Accounts),
}

/// Runs the leader until it is killed.
pub(crate) async fn leader(
    party: LeaderParty,
    tell: Teller,
    bound: oneshot::Sender<Bound>,
    stop: watch::Receiver<bool>,
) -> Ended {
    if let Some(enclaves) = party.common.enclaves.clone() {
        return enclaves.leads(party, tell, bound, stop).await;
    }
    let LeaderParty { common, knows, policy, folder } = party;
    let (clock, mut rng) = (Clock::new(), getrandom::SysRng);
    let (suite, app, name) = (common.suite.clone(), common.app.clone(), common.leader.clone());
    let (access, limits) = (Access::Registered, Limits::default());
    let now = clock.now();
    let place = Place { common, tell, folder, stop };
    let (key, third_party) = match knows {
        Knows::Key(key, third_party) => (key, Some(third_party)),
        Knows::Users(accounts) => {
            let config = enclaves::LeaderConfig { suite, app, name, accounts, policy, access, limits };
            let machine = enclaves::Leader::open(config, &mut Cx::new(now, &mut rng)).map_err(text)?;
            return leads(machine, clock, place, None, bound).await;
        }
    };
    let config = LeaderConfig { suite, app, name, key, policy, access, limits };
    match place.common.past.clone() {
        None => {
            let machine = Leader::open(config, &mut Cx::new(now, &mut rng)).map_err(text)?;
            leads(machine, clock, place, third_party, bound).await
        }
        Some(past) => {
            let machine = past.leader(config, &mut Cx::new(now, &mut rng)).map_err(text)?;
            leads(machine, clock, place, third_party, bound).await
        }
    }
}

/// Where a participant lives.
pub(super) struct Place {
    pub(super) common: Common,
    pub(super) tell: Teller,
    pub(super) folder: Folder,
    pub(super) stop: watch::Receiver<bool>,
}

pub(super) async fn leads<M: Role + 'static>(
    machine: M,
    clock: Clock,
    place: Place,
    third_party: Option<SocketAddr>,
    bound: oneshot::Sender<Bound>,
) -> Ended {
    let Place { common, tell, folder, stop } = place;
    let carrier = &common.carrier;
    let config = driver::Config::default().clock(clock).link_limits(carrier.link_limits());
    let (handle, events) = driver::spawn(machine, config.connector(carrier::to_third_party(third_party)));
    let there = carrier.listen(handle.uplink(), carrier::ANYWHERE, None).await?;
    let address = there.address;
    tell.tell("listening", format!("listens on {address}"), vec![("address", address.to_string().into())]).await;
    let _channel = carrier.channel(handle.uplink(), common.system, address, true).await?;
    // As above.
    let _ = bound.send(there);
    let name = common.leader.as_str().to_owned();
    let (objects, reports) = objects::spawn(handle.clone(), events, carrier.object_config(common.suite.clone()));
    let person = Person::new(name, common, tell, folder, Part::Leads, handle.clone(), objects, None);
    let account = person.live(reports, stop).await?;
    let driver = handle.stats();
    let finished = handle.shutdown().await.map_err(text)?;
    Ok(Account { stats: finished.machine.stats().clone(), driver, ..account })
}

/// What a member does in the demonstration.
pub(crate) enum Part {
    /// Leads: puts somebody out, and is killed in the end.
    Leads,
    /// Sends the file once all are there, and another one when somebody has left.
    Sends { file: Option<Load> },
    /// Leaves when everybody has the file.
    Leaves,
    /// Stays until the leader puts it out.
    IsEjected,
    /// Stays to the end.
    Stays,
}

/// What a member is configured with.
pub(crate) struct MemberParty {
    pub(crate) common: Common,
    pub(crate) name: Name,
    pub(crate) secret: Secret,
    pub(crate) leader: Bound,
    pub(crate) folder: Folder,
    pub(crate) part: Part,
}

/// What a member shows who it is with.
#[derive(Debug)]
pub(crate) enum Secret {
    /// The key that the third party has.
    Registered(Key<role::LongTerm>),
    /// The key of its password.
    User(SharedKey),
}

/// Runs a member until it has left, is put out, or has lost the leader.
pub(crate) async fn member(party: MemberParty, tell: Teller, stop: watch::Receiver<bool>) -> Ended {
    if let Some(enclaves) = party.common.enclaves.clone() {
        return enclaves.joins(party, tell, stop).await;
    }
    let MemberParty { common, name, secret, leader, folder, part } = party;
    let (suite, app) = (common.suite.clone(), common.app.clone());
    let (leads, who) = (common.leader.clone(), name.clone());
    // As published nobody signs.
    let floor = Floor { origin: common.past.is_none(), ..Floor::default() };
    let limits = Limits::default();
    let place = Place { common, tell, folder, stop };
    let key = match secret {
        Secret::Registered(key) => key,
        Secret::User(key) => {
            let credential = Credential::SharedKey(key);
            let config = enclaves::MemberConfig { suite, app, leader: leads, name: who, credential, floor, limits };
            return joins(enclaves::Member::new(config).map_err(text)?, name, place, leader, part).await;
        }
    };
    let config = MemberConfig { suite, app, leader: leads, name: who, key, floor, limits };
    match place.common.past.clone() {
        None => joins(Member::new(config).map_err(text)?, name, place, leader, part).await,
        Some(past) => joins(past.member(config).map_err(text)?, name, place, leader, part).await,
    }
}

async fn joins<M: Role + 'static>(machine: M, name: Name, place: Place, leader: Bound, part: Part) -> Ended {
    let trust = leader.pin.map(quic::Trust::Pinned);
    let reach = place.common.carrier.connector(&place.common.leader, leader.address, &trust)?;
    joins_by(machine, name, place, leader.address, Door { reach, listener: None }, part).await
}

/// How a member comes to others, and others to it.
pub(super) struct Door {
    pub(super) reach: Box<dyn Connector>,
    pub(super) listener: Option<TcpListener>,
}

pub(super) async fn joins_by<M: Role + 'static>(
    machine: M,
    name: Name,
    place: Place,
    leader: SocketAddr,
    door: Door,
    part: Part,
) -> Ended {
    let Place { common, tell, folder, stop } = place;
    let (closed, closings) = mpsc::channel(16);
    let observer = move |notice: &Notice| {
        if matches!(notice, Notice::Closed { .. }) {
            // Told often enough.
            let _ = closed.try_send(());
        }
    };
    let carrier = &common.carrier;
    let config = driver::Config::default().link_limits(carrier.link_limits()).connector(door.reach).observer(observer);
    let (handle, events) = driver::spawn(machine, config);
    if let Some(listener) = door.listener {
        tcp::listen_on(handle.uplink(), listener, TcpConfig::default()).map_err(text)?;
    }
    let _channel = carrier.channel(handle.uplink(), common.system, leader, false).await?;
    let (objects, reports) = objects::spawn(handle.clone(), events, carrier.object_config(common.suite.clone()));
    tell.tell(
        "asks",
        format!("asks {} at {leader} to join", common.leader),
        vec![("leader", common.leader.as_str().into())],
    )
    .await;
    handle.call(|machine, cx| machine.join(cx)).await.map_err(text)?.map_err(text)?;
    let goes = matches!(part, Part::Leaves | Part::IsEjected);
    let name = name.as_str().to_owned();
    let person = Person::new(name, common, tell.clone(), folder, part, handle.clone(), objects, Some(closings));
    let account = person.live(reports, stop).await?;
    if goes {
        let (idle, epoch, view) = handle
            .call(|machine, _| (machine.is_idle(), machine.epoch(), machine.view().is_some()))
            .await
            .map_err(text)?;
        let told = format!(
            "has {} key, {} view and {} group: its machine {}",
            if epoch == Epoch(0) { "no" } else { "a" },
            if view { "a" } else { "no" },
            if idle { "no" } else { "a" },
            if idle { "has ended and its keys are wiped" } else { "lives on" },
        );
        tell.tell("keyless", told, vec![("idle", idle.into()), ("epoch", epoch.0.into())]).await;
    }
    let driver = handle.stats();
    let finished = handle.shutdown().await.map_err(text)?;
    let stats = finished.machine.stats().clone();
    let gone = goes.then(|| Box::new(finished.machine) as Box<dyn Endpoint + Sync>);
    Ok(Account { stats, driver, gone, ..account })
}
