//! `sodality attack`: the attacks on Antigone and Enclaves, run in the simulator.

use attacks::{Cell, Edition, Outcome, ROWS, Report, Row, SEED, Suite, System, matrix};
use clap::{Subcommand, ValueEnum};

use super::style;
use crate::exit::Failed;
use crate::timeline::{Fields, Printer};

/// Runs attacks on Antigone and Enclaves, as published and as repaired, and says what comes of them.
///
/// All of it happens in a simulated world in this process: nothing goes over a network, and no group of yours is touched. Each
/// attack has a control run, which is the same steps with the attacker's key or message withheld. What stops it is switched
/// off in another run, to see that the attack then wins. One seed decides everything.
#[derive(Debug, clap::Args)]
pub(crate) struct AttackArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Lists the attacks: who does what, and what it reaches
    List {
        /// On this system only
        #[arg(long)]
        system: Option<SystemArg>,
        /// Print JSON, a line for each attack
        #[arg(long)]
        json: bool,
    },
    /// Runs one attack
    Run {
        /// Which, such as A11
        id: String,
        /// On this system only, where both show it
        #[arg(long)]
        system: Option<SystemArg>,
        /// Against this edition only
        #[arg(long)]
        edition: Option<EditionArg>,
        /// Under this suite only
        #[arg(long)]
        suite: Option<SuiteArg>,
        /// The seed of the simulated world
        #[arg(long, default_value_t = SEED)]
        seed: u64,
        /// Print JSON, a line for the attack and one for each outcome
        #[arg(long)]
        json: bool,
    },
    /// Runs all attacks against everything
    Matrix {
        /// Print the page docs/attack-matrix.md
        #[arg(long, conflicts_with = "json")]
        markdown: bool,
        /// The seed of the simulated world
        #[arg(long, default_value_t = SEED)]
        seed: u64,
        /// Print JSON, a line for each outcome
        #[arg(long)]
        json: bool,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum SystemArg {
    Antigone,
    Enclaves,
}

impl SystemArg {
    const fn system(self) -> System {
        match self {
            Self::Antigone => System::Antigone,
            Self::Enclaves => System::Enclaves,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum EditionArg {
    AsPublished,
    Repaired,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum SuiteArg {
    DesMd5Rsa,
    Modern,
}

/// Runs it.
///
/// # Errors
/// [`Failed::Usage`] if there is no such attack or column; [`Failed::Group`] if an outcome is against the rules: the defence
/// named is not what stops it, or the control run reaches the goal too.
pub(crate) fn main(args: AttackArgs) -> Result<(), Failed> {
    match args.what {
        What::List { system, json } => {
            let mut printer = Printer::new(style(json));
            ROWS.iter().filter(|row| of(row, system)).for_each(|row| describe(&mut printer, row, false));
            Ok(())
        }
        What::Run { id, system, edition, suite, seed, json } => {
            let rows: Vec<&'static Row> = attacks::find(&id).into_iter().filter(|row| of(row, system)).collect();
            if rows.is_empty() {
                let of = system.map_or_else(String::new, |system| format!(" on {}", system.system().name()));
                return Err(Failed::Usage(format!("there is no attack {id:?}{of}; `sodality attack list` shows them")));
            }
            let fits = |cell: &Cell| fits(*cell, edition, suite);
            if !rows.iter().any(|row| row.cells().iter().any(fits)) {
                return Err(Failed::Usage(
                    "no repaired edition has the suite of the nineties; choose --suite modern".into(),
                ));
            }
            let mut printer = Printer::new(style(json));
            let mut reports: Vec<Report> = Vec::new();
            for row in rows {
                describe(&mut printer, row, true);
                for cell in row.cells().into_iter().filter(fits) {
                    let report = attacks::run(row, cell, seed);
                    outcome(&mut printer, &report);
                    reports.push(report);
                }
            }
            rules(reports.iter())
        }
        What::Matrix { markdown, seed, json } => {
            let all = matrix::all(seed);
            let mut printer = Printer::new(style(json));
            match (markdown, json) {
                (true, _) => matrix::markdown(&all, seed).lines().for_each(|line| told(&mut printer, line)),
                (_, true) => all.iter().flatten().for_each(|report| outcome(&mut printer, report)),
                _ => matrix::plain(&all).iter().for_each(|line| told(&mut printer, line)),
            }
            rules(all.iter().flatten())
        }
    }
}

fn of(row: &Row, system: Option<SystemArg>) -> bool {
    system.is_none_or(|system| row.system == system.system())
}

/// A line for people.
fn told(printer: &mut Printer, line: &str) {
    printer.plain("attack", "outcome", line, &Fields::new());
}

fn fits(cell: Cell, edition: Option<EditionArg>, suite: Option<SuiteArg>) -> bool {
    let edition_fits = edition.is_none_or(|edition| match edition {
        EditionArg::AsPublished => cell.edition == Edition::AsPublished,
        EditionArg::Repaired => cell.edition == Edition::Repaired,
    });
    edition_fits
        && suite.is_none_or(|suite| match suite {
            SuiteArg::DesMd5Rsa => cell.suite == Suite::DesMd5Rsa,
            SuiteArg::Modern => cell.suite == Suite::Modern,
        })
}

fn describe(printer: &mut Printer, row: &Row, whole: bool) {
    let fields: Fields = vec![
        ("id", row.id.into()),
        ("system", row.system.word().into()),
        ("section", row.section.into()),
        ("attacker", row.who.word().into()),
        ("class", row.class.letter().into()),
        ("title", row.title.into()),
        ("holds", row.holds.into()),
        ("steps", row.steps.join("; ").into()),
        ("reaches", row.reaches.into()),
        ("defence", row.defence.into()),
    ];
    let line = format!("{:<4} {:<9} {:<14} {}", row.id, row.system.word(), row.who.word(), row.title);
    printer.plain("attack", "attack", &line, &fields);
    if !whole || printer.is_json() {
        return;
    }
    for (word, text) in [
        ("on", format!("{}: {}, and repaired", row.system.name(), row.system.as_published())),
        ("from", row.place()),
        ("holds", row.holds.to_owned()),
        ("does", row.steps.join("; ")),
        ("reaches", row.reaches.to_owned()),
        ("defence", row.defence.to_owned()),
    ] {
        told(printer, &format!("     {word:<9} {text}"));
    }
}

fn outcome(printer: &mut Printer, report: &Report) {
    let Report { row, cell, seed, outcome, control, without, objections, .. } = report;
    let short = |outcome: &Option<Outcome>| outcome.as_ref().map_or_else(|| "failed".into(), Outcome::short);
    let text = outcome.as_ref().map_or_else(String::new, Outcome::text);
    let guard = report.guard().map(|guard| guard.to_string());
    let mut fields: Fields = vec![
        ("id", row.id.into()),
        ("system", cell.system.word().into()),
        ("edition", cell.edition.word().into()),
        ("suite", cell.suite.word().into()),
        ("seed", (*seed).into()),
        ("outcome", short(outcome).into()),
        ("evidence", text.clone().into()),
    ];
    let mut lines = vec![format!("{:<4} {cell}, seed {seed}: {}: {text}", row.id, short(outcome))];
    if control.is_some() {
        fields.push(("control", short(control).into()));
        lines.push(format!("     control run: {}", short(control)));
    }
    if let Some(guard) = guard {
        fields.extend([("guard", guard.clone().into()), ("without", short(without).into())]);
        let shown = without.as_ref().map_or_else(String::new, Outcome::text);
        lines.push(format!("     without {guard}: {}: {shown}", short(without)));
    }
    for objection in objections {
        fields.push(("objection", objection.as_str().into()));
        lines.push(format!("     AGAINST THE RULES: {objection}"));
    }
    if printer.is_json() {
        printer.plain("attack", "outcome", "", &fields);
    } else {
        lines.iter().for_each(|line| told(printer, line));
    }
}

fn rules<'r>(mut reports: impl Iterator<Item = &'r Report>) -> Result<(), Failed> {
    match reports.find_map(|report| report.objections.first().map(|why| (report, why))) {
        Some((report, why)) => {
            let (row, cell) = (report.row, report.cell);
            Err(Failed::Group(format!("{} ({}, {cell}): {why}", row.id, row.system.name())))
        }
        None => Ok(()),
    }
}
