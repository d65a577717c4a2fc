//! `sodality demo`: a whole group on this machine, over real sockets on loopback, of one system or the other.

mod alone;
pub(crate) mod party;
mod person;
#[cfg(feature = "study")]
mod published;
mod summary;
mod tap;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sodality::crypto::keys::role;
use sodality::crypto::{Key, Suite, aes_256_gcm};
use sodality::enclaves::auth::SharedKey;
use sodality::enclaves::{self, Accounts};
use sodality::identity::Name;
use sodality::policy::{Detection, Policy};
use sodality_transports::objects::ReadAt;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::carrier::{Bound, Carrier};
use crate::exit::Failed;
use crate::files::{Folder, Load, Outgoing};
use crate::past::{self, Enclaves, Past};
use crate::timeline::{self, Line, Printer, Style, Teller};
use crate::verbs::stretch;
use crate::verbs::system::System;
use party::{
    Account, Common, Ended, Knows, LAST_SECRET, LeaderParty, MemberParty, Part, SECRET, Secret, WHISPER, late_text,
};
use summary::Finale;
use tap::{NEEDLE, Needles, Tap};

/// What the command line says.
#[derive(Debug)]
pub(crate) struct Options {
    /// Which system.
    pub(crate) system: System,
    /// The file to send, or the default one.
    pub(crate) file: Option<PathBuf>,
    /// Where received files go.
    pub(crate) out: Option<PathBuf>,
    /// Whether files may be replaced there.
    pub(crate) force: bool,
    /// How it is shown.
    pub(crate) style: Style,
    /// Which parts are as published, if any.
    pub(crate) past: Option<Past>,
    /// Which edition of Enclaves it is, if it is one as published.
    pub(crate) enclaves: Option<Enclaves>,
    /// Over what it goes.
    pub(crate) carrier: Carrier,
}

/// Which group it is.
struct Kind {
    system: System,
    past: Option<Past>,
    enclaves: Option<Enclaves>,
    carrier: Carrier,
}

/// If nothing at all happens for so long, something is wrong.
const PATIENCE: Duration = Duration::from_secs(30);

/// The default file: its name, and about how long it is.
const DEFAULT_FILE: &str = "the-book-of-lines.txt";
const DEFAULT_BYTES: usize = 2 << 20;

/// The name of the file that is sent after the leave. A file of that name that the user sends gets it for itself.
fn late_name(file: &str) -> &'static str {
    if file.eq_ignore_ascii_case("after-the-leave.txt") { "written-later.txt" } else { "after-the-leave.txt" }
}

/// Who takes part. The sender, the one who leaves, the one whose link is tapped, and the one who is put out.
const LEADER: &str = "lea";
const SENDER: &str = "ada";
const LEAVER: &str = "bob";
const TAPPED: &str = "cyd";
const EJECTED: &str = "dan";

/// The members.
const MEMBERS: &[&str] = &[SENDER, LEAVER, TAPPED, EJECTED];

/// Who gets the file: everybody but its sender.
fn receivers() -> impl Iterator<Item = &'static str> {
    [LEADER].into_iter().chain(MEMBERS.iter().copied().filter(|who| *who != SENDER))
}

/// How failures are noticed: so quickly that it is not long until the end, and not so quickly that a poll that waits behind
/// the file in a socket means anything.
const DETECTION: Detection = Detection { period: Duration::from_secs(1), misses: 4 };

/// Most pieces of the file that are searched for in the record.
const PIECES: u64 = 4096;

/// Runs the demonstration.
///
/// # Errors
/// [`Failed`].
pub(crate) fn main(options: Options) -> Result<(), Failed> {
    let given = options.file.as_deref().map(Outgoing::open).transpose()?;
    let (out, own) = match &options.out {
        Some(path) => (path.clone(), false),
        None => (Folder::temporary()?, true),
    };
    let result = with_folders(&options, given, &out);
    if own && result.is_err() {
        remove_empty(&out);
    }
    result
}

fn with_folders(options: &Options, given: Option<Outgoing>, out: &Path) -> Result<(), Failed> {
    let name = given.as_ref().map_or(DEFAULT_FILE, |file| &file.name).to_owned();
    // Everything that the user can put right is found before anything begins.
    let mut folders = BTreeMap::new();
    for who in receivers() {
        let folder = Folder::open(&out.join(who), options.force)?;
        folder.check(&name)?;
        if who != LEAVER {
            folder.check(late_name(&name))?;
        }
        folders.insert(who, folder);
    }
    folders.insert(SENDER, Folder::open(out, options.force)?);
    let origin = match given {
        Some(_) => "the one that you named",
        None => "made for this run: 2 MiB of numbered lines; name a file to send that one",
    };
    let load = given.map_or_else(|| Load::text(DEFAULT_FILE, default_text()), Load::from);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failed::Group(format!("the runtime does not start: {error}")))?;
    let shown = runtime.block_on(run(options, load, origin, folders, out));
    // Nothing is left that could be waited for, but a read or write of a disk.
    runtime.shutdown_timeout(Duration::from_secs(5));
    shown
}

/// Takes away folders that nothing came into.
fn remove_empty(out: &Path) {
    for who in receivers() {
        // What is not empty stays.
        let _ = std::fs::remove_dir(out.join(who));
    }
    // As above.
    let _ = std::fs::remove_dir(out);
}

/// The default file, the same in every run.
fn default_text() -> Vec<u8> {
    let mut text = Vec::with_capacity(DEFAULT_BYTES + 128);
    let mut number = 0_u32;
    while text.len() < DEFAULT_BYTES {
        number += 1;
        // A multiplicative hash: lines that differ, without a generator.
        let odd = number.wrapping_mul(0x9e37_79b1);
        let line = format!("line {number:>6}: a group keeps {odd:08x} to itself, whoever listens\n");
        text.extend_from_slice(line.as_bytes());
    }
    text.truncate(DEFAULT_BYTES);
    text
}

/// What else is sent and nobody else should read.
fn said(system: System) -> Vec<Vec<u8>> {
    let mut texts = vec![late_text(), SECRET.into(), LAST_SECRET.into()];
    if system == System::Enclaves {
        texts.push(WHISPER.into());
    }
    texts
}

/// Plaintexts that an eavesdropper would love to see: pieces of the file, of what is sent after the leave, and of what
/// is said. May block.
fn needles(load: &mut Load, system: System) -> std::io::Result<Needles> {
    let mut pieces = Vec::new();
    let last = load.size.saturating_sub(NEEDLE as u64);
    let count = PIECES.min(load.size / NEEDLE as u64);
    for index in 0..count {
        let mut piece = [0; NEEDLE];
        let offset = u128::from(last) * u128::from(index) / u128::from(count);
        load.bytes.read_at(u64::try_from(offset).unwrap_or(last), &mut piece)?;
        pieces.push(piece);
    }
    for text in said(system) {
        pieces.extend(text.chunks(NEEDLE).filter_map(|piece| piece.first_chunk().copied()));
    }
    Ok(Needles::new(pieces))
}

/// How many places of the plaintexts the search finds, of the file in its beginning: none would mean that it cannot
/// search. May block.
fn control(load: &mut Load, system: System, needles: &Needles) -> std::io::Result<u64> {
    let mut scan = needles.scan();
    let mut block = vec![0; 64 << 10];
    let mut offset = 0;
    let end = load.size.min(1 << 20);
    while offset < end {
        let length = (end - offset).min(block.len() as u64);
        let piece = block.get_mut(..usize::try_from(length).unwrap_or(0)).unwrap_or_default();
        load.bytes.read_at(offset, piece)?;
        scan.feed(piece);
        offset += length;
    }
    let mut others = needles.scan();
    said(system).iter().for_each(|text| others.feed(text));
    Ok(scan.found + others.found)
}

async fn run(
    options: &Options,
    load: Load,
    origin: &'static str,
    folders: BTreeMap<&'static str, Folder>,
    out: &Path,
) -> Result<(), Failed> {
    let mut printer = Printer::new(options.style);
    let warning = options.past.as_ref().map(|past| past::warning(&past.mix()));
    let warning = warning.or(options.enclaves.as_ref().map(Enclaves::warning));
    if let Some((text, fields)) = warning {
        printer.plain("demo", "historic", &text, &fields);
    }
    let (lines, mut told) = mpsc::channel(256);
    let (stop_all, stop) = watch::channel(false);
    let (name, size) = (load.name.clone(), load.size);
    let kind = Kind {
        system: options.system,
        past: options.past.clone(),
        enclaves: options.enclaves.clone(),
        carrier: options.carrier.clone(),
    };
    let mut group = Box::pin(conduct(kind, load, origin, folders, out.to_owned(), lines, stop_all.clone(), stop));
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    let finale = loop {
        tokio::select! {
            biased;
            _ = &mut interrupted => {
                // Whoever is gone does not hear it.
                let _ = stop_all.send(true);
                // The parties close their files and sockets; if that takes too long, the runtime cuts it off.
                let _ = tokio::time::timeout(Duration::from_secs(3), &mut group).await;
                break Err(Failed::Interrupted);
            }
            Some(line) = told.recv() => printer.line(&line),
            finale = &mut group => break finale,
            () = sleep(PATIENCE) => {
                let _ = stop_all.send(true);
                break Err(Failed::Group(format!("nothing has moved for {} s: giving up", PATIENCE.as_secs())));
            }
        }
    };
    while let Ok(line) = told.try_recv() {
        printer.line(&line);
    }
    printer.clear();
    summary::print(&mut printer, finale?, &name, size, out)
}

/// Starts everybody and waits until all is over.
#[allow(clippy::too_many_arguments)]
async fn conduct(
    kind: Kind,
    mut load: Load,
    origin: &'static str,
    folders: BTreeMap<&'static str, Folder>,
    out: PathBuf,
    lines: mpsc::Sender<Line>,
    stop_all: watch::Sender<bool>,
    stop: watch::Receiver<bool>,
) -> Result<Finale, Failed> {
    let group = |what: &dyn std::fmt::Display| Failed::Group(what.to_string());
    let tell = |who: &str| Teller::new(who, lines.clone());
    let Kind { system, past, enclaves, carrier } = kind;
    let suite = aes_256_gcm();
    let (grace, settle) = (Duration::from_millis(300), Duration::from_millis(100));
    let mut policy = Policy { grace, settle, detection: Some(DETECTION), ..Policy::default() };
    if let Some(past) = &past {
        past::fit(&mut policy, past.mix());
    }
    let version = enclaves.as_ref().map(Enclaves::version);
    if let Some(enclaves) = &enclaves {
        policy = enclaves.fit(&policy);
    }
    let fitted = carrier.fit(system, &mut policy)?;
    let late = late_name(&load.name);
    let demo = tell("demo");
    let mut fields = timeline::policy_fields(&policy);
    fields.push(("suite", "AES-256-GCM, SHA-256, Ed25519, X25519".into()));
    demo.tell("policy", timeline::policy_line(system, version, &policy), fields).await;
    let over = format!("goes over {}", carrier.transport().name());
    demo.tell("transport", over, vec![("transport", carrier.transport().word().into())]).await;
    for text in fitted {
        demo.tell("fitted", text, Vec::new()).await;
    }
    let shown = timeline::bytes(load.size);
    let fields = vec![("file", (&*load.name).into()), ("size", load.size.into())];
    demo.tell("file", format!("the file is {} ({shown}), {origin}", load.name), fields).await;
    let place = out.display().to_string();
    demo.tell("out", format!("what is received goes to {place}"), vec![("out", place.into())]).await;

    let prepared = tokio::task::spawn_blocking(move || {
        let needles = needles(&mut load, system);
        let needles = needles.and_then(|needles| Ok((control(&mut load, system, &needles)?, needles)));
        (load, needles)
    });
    let (load, needles) = prepared.await.map_err(|error| group(&error))?;
    let (control, needles) =
        needles.map_err(|error| Failed::Input(format!("{}: cannot be read ({error})", load.name)))?;

    let name = |text: &str| Name::new(text).map_err(|error| group(&error));
    let common = Common {
        suite: suite.clone(),
        app: name("sodality-demo")?,
        leader: name(LEADER)?,
        settle: policy.settle,
        late,
        killed: Arc::default(),
        past,
        enclaves,
        carrier: carrier.clone(),
        system,
    };
    let mut parties = JoinSet::new();
    let (ttp, knows, mut secrets) = match system {
        System::Antigone => {
            let mut registry = BTreeMap::new();
            for who in [LEADER].iter().chain(MEMBERS) {
                registry.insert(name(who)?, fresh_key(&*suite).map_err(|error| group(&error))?);
            }
            let (bound, third_party) = oneshot::channel();
            let serves = party::third_party(common.clone(), registry.clone(), tell("ttp"), bound, stop.clone());
            let ttp = tokio::spawn(serves);
            let third_party = third_party.await.map_err(|_| group(&"the third party does not listen"))?;
            let key = registry.remove(&common.leader).ok_or_else(|| group(&"a key is missing"))?;
            let secrets = registry.into_iter().map(|(who, key)| (who, Secret::Registered(key))).collect();
            (Some(ttp), Knows::Key(key, third_party), secrets)
        }
        System::Enclaves => {
            let (accounts, secrets) = users(&common.leader).await?;
            let text = format!("knows {} users, each by a key that Argon2id has made of a password", accounts.len());
            tell(LEADER).tell("users", text, vec![("count", (accounts.len() as u64).into())]).await;
            (None, Knows::Users(accounts), secrets)
        }
    };
    let folder = |who| folders.get(who).cloned().ok_or_else(|| group(&"a folder is missing"));
    let (bound, leader) = oneshot::channel();
    let party = LeaderParty { common: common.clone(), knows, policy, folder: folder(LEADER)? };
    parties.spawn(party::leader(party, tell(LEADER), bound, stop.clone()));
    let leader: Bound = leader.await.map_err(|_| group(&"the leader does not listen"))?;
    let tap =
        Tap::start(&carrier, leader.address, stop.clone()).await.map_err(|error| group(&format!("no tap: {error}")))?;
    let said = format!("taps the link between {TAPPED} and {LEADER}, by a proxy at {}", tap.address);
    tell("eve").tell("taps", said, vec![("address", tap.address.to_string().into())]).await;

    let mut file = Some(load);
    for who in MEMBERS.iter().copied() {
        let part = match who {
            SENDER => Part::Sends { file: file.take() },
            LEAVER => Part::Leaves,
            EJECTED => Part::IsEjected,
            _ => Part::Stays,
        };
        let name = name(who)?;
        let party = MemberParty {
            common: common.clone(),
            secret: secrets.remove(&name).ok_or_else(|| group(&"a key is missing"))?,
            name,
            leader: if who == TAPPED { Bound { address: tap.address, ..leader } } else { leader },
            folder: folder(who)?,
            part,
        };
        parties.spawn(party::member(party, tell(who), stop.clone()));
    }

    let accounts = everybody(parties, &stop_all).await;
    // Whoever is gone does not hear it.
    let _ = stop_all.send(true);
    let ttp = match ttp {
        Some(ttp) => Some(ttp.await.map_err(|error| group(&error))?.map_err(Failed::Group)?),
        None => None,
    };
    let record = tap.finish().await.map_err(|error| group(&format!("the tap could not record: {error}")))?;
    let mut accounts: Vec<Account> = accounts.map_err(Failed::Group)?;
    accounts.extend(ttp);
    accounts.sort_by(|a, b| a.name.cmp(&b.name));

    let words: Vec<String> = [LEADER].iter().chain(MEMBERS).map(|who| (*who).to_owned()).collect();
    let searched = tokio::task::spawn_blocking(move || {
        let seen = tap::read(&record, &words, &needles)?;
        Ok::<_, std::io::Error>((seen, needles.len()))
    });
    let (seen, pieces) =
        searched.await.map_err(|error| group(&error))?.map_err(|error| group(&format!("the record: {error}")))?;
    Ok(Finale { system, accounts, seen, pieces, control, past: common.past.is_some(), version })
}

/// The users of `leader`, and what each of them has: both from one password, which is drawn for this run.
async fn users(leader: &Name) -> Result<(Accounts, BTreeMap<Name, Secret>), Failed> {
    let group = |what: &dyn std::fmt::Display| Failed::Group(what.to_string());
    let mut stretching = JoinSet::new();
    for who in MEMBERS {
        let (who, leader) = (Name::new(who).map_err(|error| group(&error))?, leader.clone());
        stretching.spawn_blocking(move || {
            let mut password = [0; 16];
            getrandom::fill(&mut password).map_err(|error| Failed::Group(error.to_string()))?;
            let key = SharedKey::new(stretch(party::hex(&password).as_bytes(), &leader, &who)?);
            Ok::<_, Failed>((who, key))
        });
    }
    let (mut accounts, mut secrets) = (Accounts::new(), BTreeMap::new());
    while let Some(stretched) = stretching.join_next().await {
        let (who, key) = stretched.map_err(|error| group(&error))??;
        accounts.insert(who.clone(), enclaves::auth::Account::SharedKey(key.clone()));
        secrets.insert(who, Secret::User(key));
    }
    Ok((accounts, secrets))
}

fn fresh_key(suite: &dyn Suite) -> Result<Key<role::LongTerm>, sodality::crypto::FreshError> {
    suite.fresh_secret(&mut getrandom::SysRng, suite.sizes().long_term).map(Key::<role::LongTerm>::new)
}

/// Waits for all parties. The first that fails ends the others; its reason is the one that is told.
async fn everybody(mut parties: JoinSet<Ended>, stop: &watch::Sender<bool>) -> Result<Vec<Account>, String> {
    let mut accounts = Vec::new();
    let mut failed = None;
    while let Some(ended) = parties.join_next().await {
        match ended.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(account) => accounts.push(account),
            Err(why) => {
                failed.get_or_insert(why);
                // Whoever is gone does not hear it.
                let _ = stop.send(true);
            }
        }
    }
    failed.map_or(Ok(accounts), Err)
}
