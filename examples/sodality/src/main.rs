//! The program `sodality`: secure groups from the command line.
#![forbid(unsafe_code)]

mod carrier;
mod codes;
mod demo;
mod exit;
mod files;
mod journal;
mod past;
mod timeline;
mod verbs;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use exit::{EXIT_CODES, Failed};
use timeline::Style;
use verbs::system::System;

/// Secure groups on the command line.
#[derive(Debug, Parser)]
#[command(name = "sodality", version, about, after_help = EXIT_CODES, max_term_width = 100)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows a whole group at work on this machine: a third party, a leader and four members, joined by nothing but real
    /// sockets over loopback. A file goes to everybody, a member leaves, another one is put out, the key changes each time, the leader is
    /// killed and the others notice it; and an eavesdropper on one of the links tells what it saw. With --edition as-published
    /// or --published, the same as in 1999. With --system enclaves there is no third party: members show who they are by
    /// passwords, and two of them say something that nobody else reads; with --edition 2.0 or 1.0 the same as in 2000 or 1996,
    /// where in 1.0 two members have a direct link and go on without the leader.
    #[command(after_help = EXIT_CODES)]
    Demo(DemoArgs),
    #[command(after_help = EXIT_CODES)]
    Register(verbs::RegisterArgs),
    #[command(after_help = EXIT_CODES)]
    User(verbs::UserArgs),
    #[command(after_help = EXIT_CODES)]
    Ttp(verbs::TtpArgs),
    #[command(after_help = EXIT_CODES)]
    Lead(verbs::LeadArgs),
    #[command(after_help = EXIT_CODES)]
    Join(verbs::JoinArgs),
    #[cfg(feature = "study")]
    #[command(after_help = EXIT_CODES)]
    Attack(verbs::AttackArgs),
    #[command(after_help = EXIT_CODES)]
    Explain(verbs::ExplainArgs),
}

#[derive(Debug, clap::Args)]
struct DemoArgs {
    /// Which system
    #[arg(long, value_enum, value_name = "SYSTEM", default_value_t)]
    system: System,
    /// The file to send; a text of 2 MiB, made for the purpose, if none is named
    file: Option<PathBuf>,
    /// Where received files go, in a folder for each receiver; a new temporary folder if none is named
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Replace files of the same name in that folder
    #[arg(long)]
    force: bool,
    /// Print JSON, a line for each thing that happens
    #[arg(long)]
    json: bool,
    /// Print the summary only
    #[arg(long, short, conflicts_with = "json")]
    quiet: bool,
    #[command(flatten)]
    past: past::PastArgs,
    #[command(flatten)]
    carrier: carrier::CarrierArgs,
}

/// Help as it is; what is wrong with a command line in one line.
fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // Without a terminal or a reader there is nobody to tell.
        let _ = error.print();
    } else {
        let shown = error.to_string();
        // The first paragraph: some complaints name what they are about beneath.
        let lines = shown.lines().map(str::trim).take_while(|line| !line.is_empty());
        let line = lines.collect::<Vec<_>>().join(" ");
        let line = line.trim_start_matches("error: ");
        eprintln!("sodality: {line}; see sodality --help");
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

fn demonstrate(args: DemoArgs) -> Result<(), Failed> {
    let style = match (args.json, args.quiet) {
        (true, _) => Style::Json,
        (_, true) => Style::Quiet,
        _ => Style::Human,
    };
    let (past, enclaves) = (args.past.of_system(args.system)?.asked()?, args.past.enclaves(args.system)?);
    let (system, force, carrier) = (args.system, args.force, args.carrier.carrier()?);
    carrier.carries(enclaves.is_some())?;
    demo::main(demo::Options { system, file: args.file, out: args.out, force, style, past, enclaves, carrier })
}

fn main() -> ExitCode {
    let Args { command } = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return usage(&error),
    };
    let done = match command {
        Command::Demo(args) => demonstrate(args),
        Command::Register(args) => verbs::register(args),
        Command::User(args) => verbs::user(args),
        Command::Ttp(args) => verbs::ttp(args),
        Command::Lead(args) => verbs::lead(args),
        Command::Join(args) => verbs::join(args),
        #[cfg(feature = "study")]
        Command::Attack(args) => verbs::attack(args),
        Command::Explain(args) => verbs::explain(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("sodality: {failed}");
            ExitCode::from(failed.code())
        }
    }
}
