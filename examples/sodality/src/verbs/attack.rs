//! `sodality attack`: the attacks on Antigone, run in the simulator.

use attacks::{Cell, Edition, Outcome, ROWS, Report, Row, SEED, Suite, matrix};
use clap::{Subcommand, ValueEnum};

use super::style;
use crate::exit::Failed;
use crate::timeline::{Fields, Printer};

/// Runs attacks on Antigone, as published in 1999 and as repaired, and says what comes of them.
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
        /// Print JSON, a line for each attack
        #[arg(long)]
        json: bool,
    },
    /// Runs one attack
    Run {
        /// Which, such as A11
        id: String,
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
        What::List { json } => {
            let mut printer = Printer::new(style(json));
            ROWS.iter().for_each(|row| describe(&mut printer, row, false));
            Ok(())
        }
        What::Run { id, edition, suite, seed, json } => {
            let row = attacks::find(&id).ok_or_else(|| {
                Failed::Usage(format!("there is no attack {id:?}; `sodality attack list` shows them, from G1 to X15"))
            })?;
            let cells: Vec<Cell> = Cell::ALL.into_iter().filter(|cell| fits(*cell, edition, suite)).collect();
            if cells.is_empty() {
                return Err(Failed::Usage("the repaired edition has no suite of 1999; choose --suite modern".into()));
            }
            let mut printer = Printer::new(style(json));
            describe(&mut printer, row, true);
            let reports: Vec<Report> = cells.into_iter().map(|cell| attacks::run(row, cell, seed)).collect();
            reports.iter().for_each(|report| outcome(&mut printer, report));
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
        ("section", row.section.into()),
        ("attacker", row.who.word().into()),
        ("class", row.class.letter().into()),
        ("title", row.title.into()),
        ("holds", row.holds.into()),
        ("steps", row.steps.join("; ").into()),
        ("reaches", row.reaches.into()),
        ("defence", row.defence.into()),
    ];
    let line = format!("{:<4} {:<14} {}", row.id, row.who.word(), row.title);
    printer.plain("attack", "attack", &line, &fields);
    if !whole || printer.is_json() {
        return;
    }
    for (word, text) in [
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
        Some((report, why)) => Err(Failed::Group(format!("{} ({}): {why}", report.row.id, report.cell))),
        None => Ok(()),
    }
}
