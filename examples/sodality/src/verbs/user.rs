//! `sodality user`: who the users of a leader of Enclaves are.

use std::path::{Path, PathBuf};

use sodality::crypto::Key;
use sodality::crypto::Secret;
use sodality::crypto::keys::role;
use sodality::crypto::password::{Cost, PasswordError, user_key};
use sodality::identity::Name;

use super::users::Users;
use super::{key, register, style};
use crate::exit::Failed;
use crate::timeline::Printer;

/// Adds a user to the file of a leader of Enclaves, by a password or with a new key, or removes one.
///
/// From a password the leader gets a key that only follows from it, by Argon2id: it never has the password itself. Without one
/// a key is drawn, which is to be carried to the user. A leader reads the file when it begins.
#[derive(Debug, clap::Args)]
pub(crate) struct UserArgs {
    /// The user
    name: String,
    /// The file of the users; made if there is none. It is for the leader alone: whoever has it can join as any of them
    #[arg(long, value_name = "FILE")]
    users: PathBuf,
    /// The name of the leader
    #[arg(long, value_name = "NAME")]
    leader: String,
    /// The file of the user's password, for its owner alone; or - for a line of the standard input, typed unseen. Without it a
    /// key is drawn
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key_out", "remove"])]
    password: Option<PathBuf>,
    /// Where a drawn key goes, a new file for its owner alone; NAME.key if none is named; - for the standard output, which then
    /// gets nothing else
    #[arg(long, value_name = "FILE", conflicts_with = "remove")]
    key_out: Option<PathBuf>,
    /// The user is there already, and gets another password or key
    #[arg(long, conflicts_with = "remove")]
    replace: bool,
    /// Remove the user
    #[arg(long)]
    remove: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// P_a from a password.
///
/// # Errors
/// [`Failed`].
pub(super) fn derive(password: &Path, leader: &Name, member: &Name) -> Result<Key<role::User>, Failed> {
    let typed = key::read_password(password)?;
    stretch(&typed, leader, member)
}

/// P_a from a password in memory. It takes some time.
///
/// # Errors
/// [`Failed::Input`], [`Failed::Group`]: there is no memory for it.
pub(crate) fn stretch(password: &[u8], leader: &Name, member: &Name) -> Result<Key<role::User>, Failed> {
    let key = user_key(&*super::suite(), Cost::RECOMMENDED, password, leader.by_ref(), member.by_ref());
    key.map_err(|error| match error {
        PasswordError::Length => Failed::Input(error.to_string()),
        _ => Failed::Group(format!("no key from the password: {error}")),
    })
}

/// Runs it.
///
/// # Errors
/// [`Failed`].
pub(crate) fn main(args: UserArgs) -> Result<(), Failed> {
    let (name, leader) = (super::name(&args.name)?, super::name(&args.leader)?);
    if name == leader {
        return Err(Failed::Usage("a user and its leader need different names".into()));
    }
    let shown = args.users.display().to_string();
    let known = Users::read(&args.users)?;
    let mut users = known.unwrap_or_else(|| Users::of(leader.clone()));
    if users.leader != leader {
        return Err(Failed::Input(format!("{shown}: has the users of {}, not of {leader}", users.leader)));
    }
    let mut printer = Printer::new(style(args.json));
    let there = users.keys.contains_key(&name);
    if args.remove {
        if users.keys.remove(&name).is_none() {
            return Err(Failed::Input(format!("{name} is no user in {shown}")));
        }
        users.write(&args.users)?;
        let text = format!("{name}: is no user any more; who is in a group stays there until it leaves");
        printer.plain("users", "user-removed", &text, &vec![("name", name.as_str().into())]);
        return Ok(());
    }
    match (there, args.replace) {
        (true, false) => {
            return Err(Failed::Input(format!("{name} is a user in {shown} already; --replace changes that")));
        }
        (false, true) => return Err(Failed::Input(format!("{name} is no user in {shown}; leave --replace away"))),
        _ => {}
    }
    let mut fields = vec![("name", name.as_str().into()), ("by", "password".into())];
    let mut text = format!("{name}: is a user by password");
    let secret: Secret = match &args.password {
        Some(password) => derive(password, &leader, &name)?.secret().clone(),
        None => {
            let place = register::place(&name, args.key_out)?;
            let fresh = key::fresh()?;
            // The key is in its file before the leader has it: no user without its key.
            key::write(&place, &fresh)?;
            let silent = register::is_standard_output(&place);
            let place = place.display().to_string();
            text = if silent { String::new() } else { format!("{name}: is a user by key, which is in {place}") };
            fields = vec![("name", name.as_str().into()), ("by", "key".into()), ("key_file", place.into())];
            fresh
        }
    };
    users.keys.insert(name, secret);
    users.write(&args.users)?;
    if !text.is_empty() {
        printer.plain("users", "user", &text, &fields);
    }
    Ok(())
}
