//! `sodality lead` and `sodality join`.

mod arguments;
#[cfg(feature = "study")]
pub(crate) mod published;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

pub(crate) use arguments::{JoinArgs, LeadArgs};
use arguments::{Ready, access, credential, insisted, own_key, policy, ready, users};
use sodality::antigone::{Access, Leader, LeaderConfig, Member, MemberConfig};
use sodality::crypto::Key;
use sodality::crypto::keys::role;
use sodality::enclaves::auth::Credential;
use sodality::enclaves::{self, Accounts};
use sodality::endpoint::Cx;
use sodality::error::CommandError;
use sodality::group::Limits;
use sodality_transports::clock::Clock;
use sodality_transports::report::Notice;
use sodality_transports::tcp::{self, TcpConfig};
use sodality_transports::{Connector, driver, objects};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::role::Role;
use super::room::{Room, Setup, Unreached, Ways};
use super::system::{Shown, System};
use super::{input, style};
use crate::carrier::{self, Bound, Carrier, Server, Trust};
use crate::exit::Failed;
use crate::past::Past;
use crate::timeline::Teller;

/// The observer of a driver: whom it cannot reach goes to the room, if that has time for it.
fn observer() -> (impl Fn(&Notice) + Send + Sync + 'static, Unreached) {
    let (notes, noted) = mpsc::channel(16);
    let observer = move |notice: &Notice| {
        if let Notice::Unreachable { peer, why, .. } = notice {
            // Told often enough.
            let _ = notes.try_send((peer.clone(), why.clone()));
        }
    };
    (observer, noted)
}

/// Leads a group until `/quit`.
///
/// # Errors
/// [`Failed`].
pub(crate) fn lead(args: LeadArgs) -> Result<(), Failed> {
    let common = &args.common;
    if let Some(enclaves) = common.past.consented_enclaves(common.system, common.as_published)? {
        args.common.carrier.carrier()?.carries(true)?;
        return enclaves.lead(args);
    }
    let mut policy = policy(&args)?;
    let past = args.common.past.of_system(args.common.system)?.of_policy(args.common.as_published, &mut policy)?;
    let carrier = args.common.carrier.carrier()?;
    let server = args.server.server(&carrier)?;
    let fitted = carrier.fit(args.common.system, &mut policy)?;
    let access = access(&args)?;
    if let Some(past) = &past {
        let allowed = match &access {
            Access::List(names) => names.iter().collect(),
            _ => Vec::new(),
        };
        past.admits(&super::name(&args.common.app)?, [&super::name(&args.common.name)?].into_iter().chain(allowed))?;
    }
    let own = super::name(&args.common.name)?;
    let secret = match args.common.system {
        System::Enclaves if past.is_some() || policy.mix.is_some() => {
            return Err(Failed::Usage("parts as published are of Antigone; choose another policy".into()));
        }
        System::Enclaves => Own::Users(users(&args, &own)?.accounts()),
        System::Antigone if args.ttp.is_none() || args.users.is_some() => {
            return Err(Failed::Usage(
                "a leader of Antigone has a third party, named with --ttp, and no --users".into(),
            ));
        }
        System::Antigone => Own::Key(own_key(&args.common)?),
    };
    let Ready { name, app, folder } = ready(&args.common)?;
    let who = name.as_str().to_owned();
    super::run(style(args.common.json), &who, async |tell| {
        super::warn(&tell, past.as_ref()).await;
        for text in fitted {
            tell.tell("fitted", text, Vec::new()).await;
        }
        let way = LeadersWay { carrier, server };
        let (clock, mut rng) = (Clock::new(), getrandom::SysRng);
        let (suite, limits, leader) = (super::suite(), Limits::default(), name.clone());
        let mut cx = Cx::new(clock.now(), &mut rng);
        let cannot = |error: CommandError| Failed::Group(format!("the group cannot be opened: {error}"));
        let shown = match (&secret, &past) {
            (Own::Users(_), _) => Shown::Password,
            (Own::Key(_), Some(_)) => Shown::AsPublished,
            (Own::Key(_), None) => Shown::Registered,
        };
        let (mix, max_file) = (past.as_ref().map(Past::mix), args.common.max_file());
        let setup = Setup { folder, max_file, rejoin: false, leader, mix, shown };
        match (secret, past) {
            (Own::Users(accounts), _) => {
                let config = enclaves::LeaderConfig { suite, app, name, accounts, policy, access, limits };
                leading(args, enclaves::Leader::open(config, &mut cx).map_err(cannot)?, clock, way, setup, tell).await
            }
            (Own::Key(key), past) => {
                let config = LeaderConfig { suite, app, name, key, policy, access, limits };
                match past {
                    None => {
                        leading(args, Leader::open(config, &mut cx).map_err(cannot)?, clock, way, setup, tell).await
                    }
                    Some(past) => {
                        leading(args, past.leader(config, &mut cx).map_err(cannot)?, clock, way, setup, tell).await
                    }
                }
            }
        }
    })
}

/// What a leader knows beforehand.
enum Own {
    /// Its key, which the third party has.
    Key(Key<role::LongTerm>),
    /// Its users.
    Users(Accounts),
}

/// How members reach this leader.
struct LeadersWay {
    carrier: Carrier,
    server: Option<Server>,
}

impl LeadersWay {
    /// As in the nineties.
    #[cfg(feature = "study")]
    fn tcp() -> Self {
        Self { carrier: Carrier::tcp(), server: None }
    }
}

/// Leads with that machine.
async fn leading<M: Role + 'static>(
    args: LeadArgs,
    machine: M,
    clock: Clock,
    way: LeadersWay,
    setup: Setup,
    tell: Teller,
) -> Result<(), Failed> {
    let third_party = match &args.ttp {
        Some(ttp) => Some(super::address(ttp).await?),
        None => None,
    };
    let at = super::address(&args.listen).await?;
    let LeadersWay { carrier, server } = way;
    let (observer, notes) = observer();
    let config = driver::Config::default().clock(clock).link_limits(carrier.link_limits());
    let config = config.connector(carrier::to_third_party(third_party)).observer(observer);
    let (handle, events) = driver::spawn(machine, config);
    let bound = carrier.listen(handle.uplink(), at, server).await;
    let Bound { address, pin } = bound.map_err(|why| super::cannot_listen(&args.listen, &why))?;
    let mut fields = vec![("address", address.to_string().into())];
    let mut said = format!("listens on {address}");
    if let Some(pin) = pin {
        // Writing into a string does not fail.
        let _ = write!(said, "; members join with --transport quic --pin {pin}");
        fields.push(("pin", pin.to_string().into()));
    }
    tell.tell("listening", said, fields).await;
    let near = if at.ip().is_unspecified() { at } else { address };
    let channel = carrier.channel(handle.uplink(), args.common.system, near, true).await;
    let channel =
        channel.map_err(|why| Failed::Group(format!("{why}; name another --interface, or use --transport udp")))?;
    let (objects, reports) = objects::spawn(handle.clone(), events, carrier.object_config(super::suite()));
    Room::new(setup, tell, handle, objects, Ways { notes, channel }).live(reports, input::lines()).await
}

/// Joins a group and stays until `/leave`.
///
/// # Errors
/// [`Failed`].
pub(crate) fn join(args: JoinArgs) -> Result<(), Failed> {
    let leader = super::name(&args.leader)?;
    if args.leader == args.common.name {
        return Err(Failed::Usage("a member and its leader need different names".into()));
    }
    let common = &args.common;
    if let Some(enclaves) = common.past.consented_enclaves(common.system, common.as_published)? {
        args.common.carrier.carrier()?.carries(true)?;
        return enclaves.join(args);
    }
    if args.direct_listen.is_some() {
        return Err(Failed::Usage("--direct-listen is of Enclaves 1.0, which has direct links; leave it away".into()));
    }
    let floor = insisted(&args)?;
    let past = args.common.past.of_system(args.common.system)?.consented(args.common.as_published)?;
    if let Some(past) = &past {
        past.admits(&super::name(&args.common.app)?, [&super::name(&args.common.name)?, &leader])?;
    }
    let carrier = args.common.carrier.carrier()?;
    let trust = args.trust.trust(&carrier)?;
    let own = super::name(&args.common.name)?;
    let secret = match args.common.system {
        System::Enclaves => {
            credential(&args, &own, &leader).map(|(shown, credential)| Has::Credential(shown, Box::new(credential)))?
        }
        System::Antigone if args.password.is_some() => {
            return Err(Failed::Usage("passwords are of Enclaves; add --system enclaves, or use --key".into()));
        }
        System::Antigone => Has::Key(own_key(&args.common)?),
    };
    let Ready { name, app, folder } = ready(&args.common)?;
    let who = name.as_str().to_owned();
    super::run(style(args.common.json), &who, async |tell| {
        super::warn(&tell, past.as_ref()).await;
        let (suite, limits) =
            (super::suite(), Limits { join_time: Duration::from_secs(args.wait), ..Limits::default() });
        let cannot = |error: CommandError| Failed::Group(error.to_string());
        let shown = match (&secret, &past) {
            (Has::Credential(shown, _), _) => *shown,
            (Has::Key(_), Some(_)) => Shown::AsPublished,
            (Has::Key(_), None) => Shown::Registered,
        };
        let (mix, max_file) = (past.as_ref().map(Past::mix), args.common.max_file());
        let setup = Setup { folder, max_file, rejoin: args.rejoin, leader: leader.clone(), mix, shown };
        let way = MembersWay { carrier, trust };
        match (secret, past) {
            (Has::Credential(_, credential), _) => {
                let credential = *credential;
                let config = enclaves::MemberConfig { suite, app, leader, name, credential, floor, limits };
                joining(args, enclaves::Member::new(config).map_err(cannot)?, way, setup, tell).await
            }
            (Has::Key(key), past) => {
                let config = MemberConfig { suite, app, leader, name, key, floor, limits };
                match past {
                    None => joining(args, Member::new(config).map_err(cannot)?, way, setup, tell).await,
                    Some(past) => joining(args, past.member(config).map_err(cannot)?, way, setup, tell).await,
                }
            }
        }
    })
}

/// What a member shows who it is with.
enum Has {
    /// The key that the third party has.
    Key(Key<role::LongTerm>),
    /// What it shows to a leader of Enclaves.
    Credential(Shown, Box<Credential>),
}

/// How this member reaches its leader.
struct MembersWay {
    carrier: Carrier,
    trust: Trust,
}

/// Joins with that machine.
async fn joining<M: Role + 'static>(
    args: JoinArgs,
    machine: M,
    way: MembersWay,
    setup: Setup,
    tell: Teller,
) -> Result<(), Failed> {
    let at = super::address(&args.at).await?;
    let connector = way.carrier.connector(&setup.leader, at, &way.trust).map_err(Failed::Group)?;
    enter(machine, setup, at, way.carrier, connector, None, tell).await
}

/// Asks the leader at that address to join, over what `connector` makes. Others come in by `door`, if there is one.
async fn enter<M: Role + 'static>(
    machine: M,
    setup: Setup,
    at: SocketAddr,
    carrier: Carrier,
    connector: Box<dyn Connector>,
    door: Option<TcpListener>,
    tell: Teller,
) -> Result<(), Failed> {
    let leader = setup.leader.clone();
    let (observer, notes) = observer();
    let config = driver::Config::default().link_limits(carrier.link_limits()).connector(connector).observer(observer);
    let (handle, events) = driver::spawn(machine, config);
    if let Some(door) = door {
        let opened = tcp::listen_on(handle.uplink(), door, TcpConfig::default());
        opened.map_err(|error| Failed::Group(error.to_string()))?;
    }
    let channel = match carrier.channel(handle.uplink(), setup.shown.system(), at, false).await {
        Ok(channel) => channel,
        Err(why) => {
            // The leader sends everything to this member alone then (R47).
            let fields = vec![("why", (&*why).into())];
            tell.tell("multicast-silent", format!("{why}; goes on by unicast"), fields).await;
            None
        }
    };
    let (objects, reports) = objects::spawn(handle.clone(), events, carrier.object_config(super::suite()));
    let said = format!("asks {leader} at {at} to join");
    tell.tell("asks", said, vec![("leader", leader.as_str().into()), ("address", at.to_string().into())]).await;
    let asked = handle.call(|machine, cx| machine.join(cx)).await;
    asked.map_err(|error| Failed::Group(error.to_string()))?.map_err(|error| Failed::Group(error.to_string()))?;
    Room::new(setup, tell, handle, objects, Ways { notes, channel }).live(reports, input::lines()).await
}
