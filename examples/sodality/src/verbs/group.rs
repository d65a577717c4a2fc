//! `sodality lead` and `sodality join`.

#[cfg(feature = "study")]
pub(crate) mod published;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sodality::antigone::{Access, Leader, LeaderConfig, Member, MemberConfig};
use sodality::crypto::Key;
use sodality::crypto::keys::role;
use sodality::enclaves::auth::{Credential, SharedKey};
use sodality::enclaves::{self, Accounts};
use sodality::endpoint::Cx;
use sodality::error::CommandError;
use sodality::group::Limits;
use sodality::identity::Name;
use sodality::policy::file::PRESETS;
use sodality::policy::{Floor, Policy, Protection};
use sodality_transports::clock::Clock;
use sodality_transports::report::Notice;
use sodality_transports::tcp::{self, TcpConfig};
use sodality_transports::{Connector, driver, objects};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::role::Role;
use super::room::{Room, Setup, Unreached, Ways};
use super::system::{Shown, System};
use super::users::Users;
use super::{input, key, style, user};
use crate::carrier::{self, Bound, Carrier, CarrierArgs, Server, ServerArgs, Trust, TrustArgs};
use crate::exit::Failed;
use crate::files::Folder;
use crate::past::{Past, PastArgs};
use crate::timeline::Teller;

/// A policy file is not longer than this.
const LONGEST_POLICY: u64 = 1 << 20;

/// What a participant is started with.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("secret"))]
struct Common {
    /// The own name, as registered
    name: String,
    /// Which system
    #[arg(long, value_enum, value_name = "SYSTEM", default_value_t)]
    system: System,
    /// The application: all in a group say the same
    #[arg(long, value_name = "NAME")]
    app: String,
    /// The file of the own key, for its owner alone (not at a leader of Enclaves, who has --users); or - for a line of the standard input, typed unseen
    #[arg(long, value_name = "FILE", group = "secret")]
    key: Option<PathBuf>,
    /// Read the own key from this descriptor, which the caller has opened
    #[arg(long, value_name = "N", group = "secret")]
    key_fd: Option<u32>,
    /// Where received files go; ./received-NAME if none is named. What is interrupted stays there under a hidden name, and
    /// is gone on with when it is offered again
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Replace files of the same name there
    #[arg(long)]
    force: bool,
    /// Decline files that are longer
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    max_file: u64,
    /// This group has parts as published in 1999, or is one of Enclaves 1.0 or 2.0, which protects nothing: those of the
    /// table [editions] of --policy, or of --edition or --published. All in the group say the same
    #[arg(long)]
    as_published: bool,
    #[command(flatten)]
    past: PastArgs,
    #[command(flatten)]
    carrier: CarrierArgs,
    /// Print JSON, a line for each thing that happens
    #[arg(long)]
    json: bool,
}

/// Leads a group: opens it, admits members, and relays what they say. Typed lines are said; /help shows the commands.
#[derive(Debug, clap::Args)]
pub(crate) struct LeadArgs {
    #[command(flatten)]
    common: Common,
    /// Where the third party is
    #[arg(long, value_name = "HOST:PORT")]
    ttp: Option<String>,
    /// (Enclaves) The file of the users, for its owner alone, from sodality user
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,
    /// Where to listen for members
    #[arg(long, value_name = "HOST:PORT")]
    listen: String,
    /// The file (TOML) that says what the group is like
    #[arg(long, value_name = "FILE", conflicts_with = "preset")]
    policy: Option<PathBuf>,
    /// A ready-made policy
    #[arg(long, value_name = "NAME", value_parser = PRESETS.map(|(name, _)| name))]
    preset: Option<String>,
    /// Admit nobody else; without this and --ask, everybody who is registered or a user
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', conflicts_with = "ask")]
    allow: Option<Vec<String>>,
    /// Ask for each: /yes N or /no N
    #[arg(long)]
    ask: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// Joins a group. Typed lines are said; /help shows the commands.
#[derive(Debug, clap::Args)]
pub(crate) struct JoinArgs {
    #[command(flatten)]
    common: Common,
    /// (Enclaves) The file of the own password, for its owner alone; or - for a line of the standard input, typed unseen
    #[arg(long, value_name = "FILE", group = "secret")]
    password: Option<PathBuf>,
    /// The name of the leader
    #[arg(long, value_name = "NAME")]
    leader: String,
    /// Where the leader is
    #[arg(long, value_name = "HOST:PORT")]
    at: String,
    /// What the leader's policy must have, and no less. Any of: none, integrity, confidentiality, both (the protection
    /// of data), forward-secrecy, origin (signed), detection (of failures), rekey-on-leave
    #[arg(
        long,
        value_name = "WORD,…",
        value_delimiter = ',',
        default_value = "both,forward-secrecy,detection,rekey-on-leave",
        hide_possible_values = true,
        value_parser = ["none", "integrity", "confidentiality", "both", "forward-secrecy", "origin", "detection", "rekey-on-leave"]
    )]
    floor: Vec<String>,
    /// The file (TOML, table [floor]) that says what the leader's policy must have, instead of --floor
    #[arg(long, value_name = "FILE", conflicts_with = "floor")]
    floor_file: Option<PathBuf>,
    /// (Enclaves 1.0) Where to listen for members with a direct link; a free port of the address that leads to the leader, if
    /// none is named
    #[arg(long, value_name = "HOST:PORT")]
    direct_listen: Option<String>,
    /// How long to try to join
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=3600))]
    wait: u64,
    /// If the leader does not answer or is lost, try again, with growing pauses, until /leave or Ctrl-C
    #[arg(long)]
    rejoin: bool,
    #[command(flatten)]
    trust: TrustArgs,
}

impl Common {
    /// In bytes.
    fn max_file(&self) -> u64 {
        self.max_file.saturating_mul(1 << 20)
    }
}

/// What can be put right by the user, and is checked before anything begins.
struct Ready {
    name: Name,
    app: Name,
    folder: Folder,
}

fn ready(common: &Common) -> Result<Ready, Failed> {
    let (name, app) = (super::name(&common.name)?, super::name(&common.app)?);
    let folder = match &common.out {
        Some(path) => path.clone(),
        None => {
            let file = format!("received-{name}");
            if !sodality::transfer::file_name_is_plain(&file) {
                return Err(Failed::Usage(format!("{name} makes no plain name of a folder; name one with --out")));
            }
            file.into()
        }
    };
    Ok(Ready { name, app, folder: Folder::open(&folder, common.force)? })
}

/// The own key.
fn own_key<R>(common: &Common) -> Result<Key<R>, Failed> {
    match (&common.key, common.key_fd) {
        (Some(path), _) => key::read(path),
        (None, Some(number)) => key::read_descriptor(number),
        (None, None) => Err(Failed::Usage("no key; name its file with --key".into())),
    }
}

/// The key that a user of Enclaves shares with its leader. A password takes a moment to become one.
fn user_key(args: &JoinArgs, name: &Name, leader: &Name) -> Result<(Shown, Key<role::User>), Failed> {
    Ok(match &args.password {
        Some(password) => (Shown::Password, user::derive(password, leader, name)?),
        None if args.common.key.is_none() && args.common.key_fd.is_none() => {
            return Err(Failed::Usage("no password and no key; name its file with --password or --key".into()));
        }
        None => (Shown::SharedKey, own_key(&args.common)?),
    })
}

/// By what a user of repaired Enclaves shows who it is.
fn credential(args: &JoinArgs, name: &Name, leader: &Name) -> Result<(Shown, Credential), Failed> {
    let (shown, key) = user_key(args, name, leader)?;
    Ok((shown, Credential::SharedKey(SharedKey::new(key))))
}

/// Those who may join a leader of Enclaves.
fn users(args: &LeadArgs, name: &Name) -> Result<Users, Failed> {
    if args.ttp.is_some() || args.common.key.is_some() || args.common.key_fd.is_some() {
        let text = "a leader of Enclaves has no key and no third party; leave --ttp, --key and --key-fd away";
        return Err(Failed::Usage(text.into()));
    }
    let Some(path) = &args.users else {
        return Err(Failed::Usage("a leader of Enclaves knows its users; name their file with --users".into()));
    };
    let shown = path.display();
    let users = Users::read(path)?;
    let users =
        users.ok_or_else(|| Failed::Input(format!("{shown}: there is no such file; make it with sodality user")))?;
    if users.leader != *name {
        return Err(Failed::Input(format!("{shown}: has the users of {}, not of {name}", users.leader)));
    }
    Ok(users)
}

/// Who is admitted of those who may join.
fn access(args: &LeadArgs) -> Result<Access, Failed> {
    Ok(match (&args.allow, args.ask) {
        (Some(names), _) => {
            Access::List(names.iter().map(|name| super::name(name)).collect::<Result<BTreeSet<_>, _>>()?)
        }
        (None, true) => Access::Ask,
        (None, false) => Access::Registered,
    })
}

fn policy(args: &LeadArgs) -> Result<Policy, Failed> {
    if let Some(preset) = &args.preset {
        return Policy::preset(preset).ok_or_else(|| Failed::Usage(format!("{preset}: no such preset")));
    }
    let Some(path) = &args.policy else { return Ok(Policy::default()) };
    let shown = path.display();
    let text = read_text(path).map_err(|error| {
        Failed::Input(match error.kind() {
            ErrorKind::NotFound => format!("{shown}: there is no such policy; name a file that exists, or a --preset"),
            _ => format!("{shown}: the policy cannot be read ({error})"),
        })
    })?;
    Policy::from_toml(&text).map_err(|error| {
        Failed::Input(format!("{shown}:{}:{}: {}; mend the policy there", error.line, error.column, error.what))
    })
}

fn read_text(path: &Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    fs::File::open(path)?.take(LONGEST_POLICY + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LONGEST_POLICY {
        return Err(std::io::Error::other("longer than a MiB"));
    }
    Ok(text)
}

fn floor(words: &[String]) -> Floor {
    let has = |word: &str| words.iter().any(|given| given == word);
    let protection = match (has("both"), has("confidentiality"), has("integrity")) {
        (true, ..) | (_, true, true) => Protection::Both,
        (_, true, false) => Protection::Confidentiality,
        (_, false, true) => Protection::Integrity,
        (false, false, false) => Protection::None,
    };
    Floor {
        ephemeral: has("forward-secrecy"),
        protection,
        origin: has("origin"),
        detection: has("detection"),
        rekey_on_leave: has("rekey-on-leave"),
        ..Floor::none()
    }
}

/// What the user insists on: the file, or the words.
fn insisted(args: &JoinArgs) -> Result<Floor, Failed> {
    let Some(path) = &args.floor_file else { return Ok(floor(&args.floor)) };
    let shown = path.display();
    let text =
        read_text(path).map_err(|error| Failed::Input(format!("{shown}: the floor cannot be read ({error})")))?;
    Floor::from_toml(&text).map_err(|error| {
        Failed::Input(format!("{shown}:{}:{}: {}; mend the floor there", error.line, error.column, error.what))
    })
}

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
