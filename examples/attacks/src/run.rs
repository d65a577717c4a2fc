//! Playing a row by the rules: the attack, its control run, and both again with what stopped it switched off.

use sodality::group::Check;

use crate::row::{Cell, Class, Edition, Failed, Guard, Outcome, Row, Setup, Suite};

/// What came of a row in a cell.
#[derive(Debug)]
pub struct Report {
    /// The row.
    pub row: &'static Row,
    /// The cell.
    pub cell: Cell,
    /// The seed.
    pub seed: u64,
    /// What came of the attack; none if the run failed.
    pub outcome: Option<Outcome>,
    /// What came of the same steps with the attacker's key or message withheld.
    pub control: Option<Outcome>,
    /// What came of the attack with the named guard switched off.
    pub without: Option<Outcome>,
    /// What came of the control run with the named guard switched off.
    pub control_without: Option<Outcome>,
    /// What the rules have to say against it.
    pub objections: Vec<String>,
}

impl Report {
    /// What stopped the attack, if that can be switched off.
    pub fn guard(&self) -> Option<Guard> {
        match self.outcome {
            Some(Outcome::Stopped { guard, .. }) => guard,
            _ => None,
        }
    }

    fn play(&mut self, what: &str, setup: Setup) -> Option<Outcome> {
        match self.row.play(&setup) {
            Ok(outcome) => Some(outcome),
            Err(Failed::Absent(why)) => Some(Outcome::NotApplicable { why }),
            Err(failed) => {
                self.objections.push(format!("{what}: {failed}"));
                None
            }
        }
    }

    fn object(&mut self, when: bool, why: impl Into<String>) {
        if when {
            self.objections.push(why.into());
        }
    }
}

/// Plays a row in a cell, with its control runs, and says what is against the rules.
pub fn run(row: &'static Row, cell: Cell, seed: u64) -> Report {
    let mut report = Report {
        row,
        cell,
        seed,
        outcome: None,
        control: None,
        without: None,
        control_without: None,
        objections: Vec::new(),
    };
    let attack = Setup::attack(cell, seed);
    report.outcome = report.play("the attack", attack);
    match report.outcome.clone() {
        None | Some(Outcome::NotApplicable { .. }) => {}
        Some(Outcome::Measured { .. }) => {
            report.object(row.class == Class::Exploitable && !row.beyond_repair, "an attack is not only measured");
        }
        Some(Outcome::Impossible { .. }) => {
            report.object(!row.beyond_repair, "the row does not say that there is no repair");
            control(&mut report, attack);
        }
        Some(Outcome::Wins { .. }) => {
            report.object(cell.edition == Edition::Repaired, "an attack on the repaired edition wins");
            control(&mut report, attack);
        }
        Some(Outcome::Stopped { guard, .. }) => {
            control(&mut report, attack);
            // A modern cipher under the published messages stops some attacks; nothing else there does.
            let should = row.class == Class::Exploitable && cell.suite == Suite::DesMd5Rsa && guard.is_none();
            report.object(should, "an attack on the edition as published comes to nothing, and no decision stops it");
            if let Some(guard) = guard {
                let repaired = !matches!(guard, Guard::Decision(_));
                let fits = repaired == (cell.edition == Edition::Repaired);
                report.object(!fits, format!("{guard} is nothing of this edition"));
                if let Guard::Either(one, other) = guard {
                    alone(&mut report, attack, [one, other]);
                }
                report.without = report.play("the attack without the guard", attack.without(guard));
                let wins = report.without.as_ref().is_none_or(Outcome::wins);
                report.object(!wins, format!("without {guard} the attack does not win either"));
                let control = attack.without(guard).control();
                report.control_without = report.play("the control run without the guard", control);
                let loses = report.control_without.as_ref().is_none_or(is_lost);
                report.object(!loses, format!("without {guard} the control run reaches the goal too"));
            }
        }
    }
    report
}

/// Where each of two checks is said to be enough, the attack comes to nothing with either of them alone.
fn alone(report: &mut Report, attack: Setup, checks: [Check; 2]) {
    for left in checks {
        let outcome = report.play("the attack without one of the guards", attack.without(Guard::Check(left)));
        let wins = outcome.as_ref().is_some_and(Outcome::wins);
        report.object(wins, format!("{left:?} stops it, and nothing else does"));
    }
}

fn control(report: &mut Report, attack: Setup) {
    report.control = report.play("the control run", attack.control());
    let lost = report.control.as_ref().is_none_or(is_lost);
    report.object(!lost, "the control run reaches the goal too");
}

fn is_lost(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Stopped { .. })
}
