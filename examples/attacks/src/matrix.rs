//! The whole catalogue at once: rows × columns.

use std::fmt::Write as _;

use crate::row::{Class, Row, System};
use crate::rows::ROWS;
use crate::run::{Report, run};

/// All reports, a row after the other, each in the order of [`Row::cells`].
pub fn all(seed: u64) -> Vec<[Report; 3]> {
    ROWS.iter().map(|row| row.cells().map(|cell| run(row, cell, seed))).collect()
}

fn short(report: &Report) -> String {
    let text = report.outcome.as_ref().map_or_else(|| "FAILED".to_owned(), |outcome| outcome.short());
    if report.objections.is_empty() { text } else { format!("{text} (!)") }
}

const SYSTEMS: [System; 2] = [System::Antigone, System::Enclaves];

/// The rows of a system, with their reports.
fn of(matrix: &[[Report; 3]], system: System) -> impl Iterator<Item = (&'static Row, &[Report; 3])> {
    let with_row = matrix.iter().filter_map(|reports| Some((reports.first()?.row, reports)));
    with_row.filter(move |(row, _)| row.system == system)
}

/// As lines for a terminal.
pub fn plain(matrix: &[[Report; 3]]) -> Vec<String> {
    let mut lines = Vec::new();
    for system in SYSTEMS {
        lines.push(format!("{}: {}, and repaired", system.name(), system.as_published()));
        lines.push(format!("{:<4} {:<24} {:<24} {:<32}", "row", "published, DES", "published, modern", "repaired"));
        for (row, reports) in of(matrix, system) {
            let [des, modern, repaired] = reports.each_ref().map(short);
            lines.push(format!("{:<4} {des:<24} {modern:<24} {repaired:<32} {}", row.id, row.title));
        }
    }
    lines
}

const HEAD: &str = "\
# Attacks, run

Made by running `examples/attacks`; its test `matrix` compares. A changed cell fails; if it is meant to:
`SODALITY_UPDATE=1 cargo test -p attacks --test matrix`. What the rows are about is in
[specification/attacks.md](specification/attacks.md).

* **wins**: the attacker reaches its goal. In the control run, the same steps with its key or message withheld, it does not.
* **stopped: X**: it does not reach its goal; with X alone switched off it does. X is a check of the repaired edition
  (`group::Check`), or `PublicKeys` in place of shared ones, or a decision for the published edition
  ([decisions](specification/decisions.md)). **stopped: X, Y**: each of two checks is enough; with both switched off it wins.
* **stopped**: as before, by cryptography or by the form of the messages, which nothing switches off.
* **measured**: there is no attacker; the figures are below. **no repair**: shown, and out of reach of any protocol with one
  trusted leader. **–**: nothing to run.

";

/// As a page.
pub fn markdown(matrix: &[[Report; 3]], seed: u64) -> String {
    let mut out = HEAD.to_owned();
    // Writing to a string cannot fail.
    let _ = writeln!(out, "Seed of all runs: {seed}.\n");
    for system in SYSTEMS {
        let _ = writeln!(out, "## {}: {}, and repaired\n", system.name(), system.as_published());
        out.push_str("| row | who | class | what | published, DES-MD5-RSA | published, modern | repaired |\n");
        out.push_str("|---|---|---|---|---|---|---|\n");
        for (row, reports) in of(matrix, system) {
            let [des, modern, repaired] = reports.each_ref().map(short);
            let (id, who, class, title) = (row.id, row.who.word(), row.class.letter(), row.title);
            let _ = writeln!(out, "| {id} | {who} | {class} | {title} | {des} | {modern} | {repaired} |");
        }
        out.push('\n');
    }
    for system in SYSTEMS {
        let _ = writeln!(out, "## What was seen: {}\n", system.name());
        of(matrix, system).for_each(|(row, reports)| seen(&mut out, row, reports));
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

fn seen(out: &mut String, row: &Row, reports: &[Report; 3]) {
    let _ = writeln!(out, "### {} ({}): {}\n", row.id, row.place(), row.title);
    let what = if row.class == Class::Exploitable { "Reaches" } else { "Shows" };
    let _ = writeln!(out, "{what}: {}. Defence: {}.\n", row.reaches, row.defence);
    for report in reports {
        let text = report.outcome.as_ref().map_or_else(String::new, |outcome| outcome.text());
        let _ = write!(out, "* {}: **{}** {text}.", report.cell, short(report));
        if let (Some(guard), Some(without)) = (report.guard(), &report.without) {
            let _ = write!(out, " Without {guard}: **{}** {}.", without.short(), without.text());
        }
        out.push('\n');
        for objection in &report.objections {
            let _ = writeln!(out, "  * **against the rules:** {objection}");
        }
    }
    out.push('\n');
}
