//! `sodality register`: who is in the registry.

use std::path::{Path, PathBuf};

use sodality::identity::Name;
use sodality::transfer::file_name_is_plain;

use super::key;
use super::registry::{Principal, Registry};
use crate::exit::Failed;
use crate::timeline::{Printer, Style, printable};

/// Adds a principal to the registry of a third party, with a new key, or changes the registry.
///
/// A third party that runs sees each change with its next look-up: it need not be told or started anew. Changes are about
/// joins to come. Groups that live go on as they are; whoever should leave one is ejected by its leader (/eject).
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("task").required(true))]
pub(crate) struct RegisterArgs {
    /// The principal to add; its new key goes to a file that is to be carried to its owner
    #[arg(group = "task")]
    name: Option<String>,
    /// The file of the registry; made if there is none
    #[arg(long, value_name = "FILE")]
    registry: PathBuf,
    /// The principal may lead groups
    #[arg(long, requires = "name")]
    leader: bool,
    /// Where the key goes, a new file for its owner alone; NAME.key if none is named; - for the standard output, which then
    /// gets nothing else
    #[arg(long, value_name = "FILE", conflicts_with_all = ["list", "revoke", "disable", "enable"])]
    key_out: Option<PathBuf>,
    /// Show who is registered
    #[arg(long, group = "task")]
    list: bool,
    /// Remove a principal: it joins and leads nothing any more. Who is in a group stays there
    #[arg(long, group = "task", value_name = "NAME")]
    revoke: Option<String>,
    /// Give a principal a new key; the old one opens no more joins, of it or to it as a leader. Its sessions go on
    #[arg(long, group = "task", value_name = "NAME")]
    rotate: Option<String>,
    /// Refuse the joins of a principal, and joins to it as a leader, for now. Its sessions go on
    #[arg(long, group = "task", value_name = "NAME")]
    disable: Option<String>,
    /// Allow them again
    #[arg(long, group = "task", value_name = "NAME")]
    enable: Option<String>,
    /// Print JSON, a line for each principal
    #[arg(long)]
    json: bool,
}

/// Runs it.
///
/// # Errors
/// [`Failed`].
pub(crate) fn main(args: RegisterArgs) -> Result<(), Failed> {
    let mut printer = Printer::new(if args.json { Style::Json } else { Style::Human });
    if args.list {
        return list(&Registry::open(&args.registry)?, &mut printer);
    }
    if let Some(text) = &args.name {
        let name = super::name(text)?;
        let place = place(&name, args.key_out)?;
        let registry = Registry::open_or_make(&args.registry)?;
        let fresh = key::fresh()?;
        registry.change(&name, |known| {
            if known.is_some() {
                return Err(Failed::Input(format!("{name} is registered already; --rotate gives it a new key")));
            }
            // The key is in its file before the registry has it: no principal without its key.
            key::write(&place, &fresh)?;
            Ok(Some(Principal { leads: args.leader, disabled: false, key: fresh.clone() }))
        })?;
        let shown = place.display().to_string();
        if is_standard_output(&place) {
            return Ok(());
        }
        let what = if args.leader { "registered as a leader" } else { "registered" };
        let fields =
            vec![("name", name.as_str().into()), ("leader", args.leader.into()), ("key_file", shown.clone().into())];
        printer.plain("registry", "registered", &format!("{name}: {what}; its key is in {shown}"), &fields);
        return Ok(());
    }
    let registry = Registry::open(&args.registry)?;
    let unknown = |name: &Name| Failed::Input(format!("{name} is not registered; --list shows who is"));
    let mut told = |name: &Name, kind: &'static str, text: &str| {
        printer.plain("registry", kind, &format!("{name}: {text}"), &vec![("name", name.as_str().into())]);
    };
    if let Some(text) = &args.revoke {
        let name = super::name(text)?;
        registry.change(&name, |known| known.map(|_| None).ok_or_else(|| unknown(&name)))?;
        told(&name, "revoked", "revoked; who is in a group stays there until it leaves");
    } else if let Some(text) = &args.rotate {
        let name = super::name(text)?;
        let (place, fresh) = (place(&name, args.key_out)?, key::fresh()?);
        registry.change(&name, |known| {
            let known = known.ok_or_else(|| unknown(&name))?;
            key::write(&place, &fresh)?;
            Ok(Some(Principal { key: fresh.clone(), ..known }))
        })?;
        if !is_standard_output(&place) {
            told(&name, "rotated", &format!("has a new key, in {}", place.display()));
        }
    } else if let Some((text, disabled)) =
        args.disable.map(|name| (name, true)).or(args.enable.map(|name| (name, false)))
    {
        let name = super::name(&text)?;
        registry.change(&name, |known| {
            let known = known.ok_or_else(|| unknown(&name))?;
            Ok(Some(Principal { disabled, ..known }))
        })?;
        let kind = if disabled { "disabled" } else { "enabled" };
        told(&name, kind, kind);
    }
    Ok(())
}

pub(super) fn is_standard_output(place: &Path) -> bool {
    place == Path::new("-")
}

/// Where the key of `name` goes.
pub(super) fn place(name: &Name, given: Option<PathBuf>) -> Result<PathBuf, Failed> {
    let file = format!("{name}.key");
    match given {
        Some(path) => Ok(path),
        None if file_name_is_plain(&file) => Ok(file.into()),
        None => Err(Failed::Usage(format!("{name} makes no plain file name; name a file with --key-out"))),
    }
}

fn list(registry: &Registry, printer: &mut Printer) -> Result<(), Failed> {
    for (name, principal) in registry.list()? {
        let role = if principal.leads { "leader" } else { "member" };
        let state = if principal.disabled { "disabled" } else { "enabled" };
        let fields = vec![
            ("name", (&*name).into()),
            ("leader", principal.leads.into()),
            ("disabled", principal.disabled.into()),
        ];
        printer.plain("registry", "principal", &format!("{role}  {state:<8}  {}", printable(&name)), &fields);
    }
    Ok(())
}
