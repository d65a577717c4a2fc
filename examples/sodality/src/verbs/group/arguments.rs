//! What `lead` and `join` are started with, and what it names: keys, users, policies, floors.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use sodality::antigone::Access;
use sodality::crypto::Key;
use sodality::crypto::keys::role;
use sodality::enclaves::auth::{Credential, SharedKey};
use sodality::identity::Name;
use sodality::policy::file::PRESETS;
use sodality::policy::{Floor, Policy, Protection};

use crate::carrier::{CarrierArgs, ServerArgs, TrustArgs};
use crate::exit::Failed;
use crate::files::Folder;
use crate::past::PastArgs;
use crate::verbs::system::{Shown, System};
use crate::verbs::users::Users;
use crate::verbs::{key, name as name_of, user};

/// A policy file is not longer than this.
const LONGEST_POLICY: u64 = 1 << 20;

/// What a participant is started with.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("secret"))]
pub(super) struct Common {
    /// The own name, as registered
    pub(super) name: String,
    /// Which system
    #[arg(long, value_enum, value_name = "SYSTEM", default_value_t)]
    pub(super) system: System,
    /// The application: all in a group say the same
    #[arg(long, value_name = "NAME")]
    pub(super) app: String,
    /// The file of the own key, for its owner alone (not at a leader of Enclaves, who has --users); or - for a line of the standard input, typed unseen
    #[arg(long, value_name = "FILE", group = "secret")]
    pub(super) key: Option<PathBuf>,
    /// Read the own key from this descriptor, which the caller has opened
    #[arg(long, value_name = "N", group = "secret")]
    pub(super) key_fd: Option<u32>,
    /// Where received files go; ./received-NAME if none is named. What is interrupted stays there under a hidden name, and
    /// is gone on with when it is offered again
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Replace files of the same name there
    #[arg(long)]
    pub(super) force: bool,
    /// Decline files that are longer
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    pub(super) max_file: u64,
    /// This group has parts as published in 1999, or is one of Enclaves 1.0 or 2.0, which protects nothing: those of the
    /// table [editions] of --policy, or of --edition or --published. All in the group say the same
    #[arg(long)]
    pub(super) as_published: bool,
    #[command(flatten)]
    pub(super) past: PastArgs,
    #[command(flatten)]
    pub(super) carrier: CarrierArgs,
    /// Print JSON, a line for each thing that happens
    #[arg(long)]
    pub(super) json: bool,
}

/// Leads a group: opens it, admits members, and relays what they say. Typed lines are said; /help shows the commands.
#[derive(Debug, clap::Args)]
pub(crate) struct LeadArgs {
    #[command(flatten)]
    pub(super) common: Common,
    /// Where the third party is
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) ttp: Option<String>,
    /// (Enclaves) The file of the users, for its owner alone, from sodality user
    #[arg(long, value_name = "FILE")]
    pub(super) users: Option<PathBuf>,
    /// Where to listen for members
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) listen: String,
    /// The file (TOML) that says what the group is like
    #[arg(long, value_name = "FILE", conflicts_with = "preset")]
    pub(super) policy: Option<PathBuf>,
    /// A ready-made policy
    #[arg(long, value_name = "NAME", value_parser = PRESETS.map(|(name, _)| name))]
    pub(super) preset: Option<String>,
    /// Admit nobody else; without this and --ask, everybody who is registered or a user
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', conflicts_with = "ask")]
    pub(super) allow: Option<Vec<String>>,
    /// Ask for each: /yes N or /no N
    #[arg(long)]
    pub(super) ask: bool,
    #[command(flatten)]
    pub(super) server: ServerArgs,
}

/// Joins a group. Typed lines are said; /help shows the commands.
#[derive(Debug, clap::Args)]
pub(crate) struct JoinArgs {
    #[command(flatten)]
    pub(super) common: Common,
    /// (Enclaves) The file of the own password, for its owner alone; or - for a line of the standard input, typed unseen
    #[arg(long, value_name = "FILE", group = "secret")]
    pub(super) password: Option<PathBuf>,
    /// The name of the leader
    #[arg(long, value_name = "NAME")]
    pub(super) leader: String,
    /// Where the leader is
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) at: String,
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
    pub(super) floor: Vec<String>,
    /// The file (TOML, table [floor]) that says what the leader's policy must have, instead of --floor
    #[arg(long, value_name = "FILE", conflicts_with = "floor")]
    pub(super) floor_file: Option<PathBuf>,
    /// (Enclaves 1.0) Where to listen for members with a direct link; a free port of the address that leads to the leader, if
    /// none is named
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) direct_listen: Option<String>,
    /// How long to try to join
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(super) wait: u64,
    /// If the leader does not answer or is lost, try again, with growing pauses, until /leave or Ctrl-C
    #[arg(long)]
    pub(super) rejoin: bool,
    #[command(flatten)]
    pub(super) trust: TrustArgs,
}

impl Common {
    /// In bytes.
    pub(super) fn max_file(&self) -> u64 {
        self.max_file.saturating_mul(1 << 20)
    }
}

/// What can be put right by the user, and is checked before anything begins.
pub(super) struct Ready {
    pub(super) name: Name,
    pub(super) app: Name,
    pub(super) folder: Folder,
}

pub(super) fn ready(common: &Common) -> Result<Ready, Failed> {
    let (name, app) = (name_of(&common.name)?, name_of(&common.app)?);
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
pub(super) fn own_key<R>(common: &Common) -> Result<Key<R>, Failed> {
    match (&common.key, common.key_fd) {
        (Some(path), _) => key::read(path),
        (None, Some(number)) => key::read_descriptor(number),
        (None, None) => Err(Failed::Usage("no key; name its file with --key".into())),
    }
}

/// The key that a user of Enclaves shares with its leader. A password takes a moment to become one.
pub(super) fn user_key(args: &JoinArgs, name: &Name, leader: &Name) -> Result<(Shown, Key<role::User>), Failed> {
    Ok(match &args.password {
        Some(password) => (Shown::Password, user::derive(password, leader, name)?),
        None if args.common.key.is_none() && args.common.key_fd.is_none() => {
            return Err(Failed::Usage("no password and no key; name its file with --password or --key".into()));
        }
        None => (Shown::SharedKey, own_key(&args.common)?),
    })
}

/// By what a user of repaired Enclaves shows who it is.
pub(super) fn credential(args: &JoinArgs, name: &Name, leader: &Name) -> Result<(Shown, Credential), Failed> {
    let (shown, key) = user_key(args, name, leader)?;
    Ok((shown, Credential::SharedKey(SharedKey::new(key))))
}

/// Those who may join a leader of Enclaves.
pub(super) fn users(args: &LeadArgs, name: &Name) -> Result<Users, Failed> {
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
pub(super) fn access(args: &LeadArgs) -> Result<Access, Failed> {
    Ok(match (&args.allow, args.ask) {
        (Some(names), _) => Access::List(names.iter().map(|name| name_of(name)).collect::<Result<BTreeSet<_>, _>>()?),
        (None, true) => Access::Ask,
        (None, false) => Access::Registered,
    })
}

pub(super) fn policy(args: &LeadArgs) -> Result<Policy, Failed> {
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
pub(super) fn insisted(args: &JoinArgs) -> Result<Floor, Failed> {
    let Some(path) = &args.floor_file else { return Ok(floor(&args.floor)) };
    let shown = path.display();
    let text =
        read_text(path).map_err(|error| Failed::Input(format!("{shown}: the floor cannot be read ({error})")))?;
    Floor::from_toml(&text).map_err(|error| {
        Failed::Input(format!("{shown}:{}:{}: {}; mend the floor there", error.line, error.column, error.what))
    })
}
