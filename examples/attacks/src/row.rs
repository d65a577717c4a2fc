//! What a row of the catalogue is, and what may come of it.

use std::fmt;

use sodality::crypto::{FreshError, SuiteError, VerifyError};
use sodality::error::{CommandError, DecodeError, Failure, NameError, Reason};
use sodality::group::{Check, Checks};
use sodality::policy::Contradiction;
use sodality::sim::Stop;
use thiserror::Error;

/// Who attacks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who {
    /// Anybody on the network, a registered user who is not in the group included.
    Outsider,
    /// Somebody who was a member.
    Former,
    /// Somebody who is a member.
    Member,
    /// The leader, or whoever took over its machine.
    Leader,
    /// Nobody: a defect without a direct attacker.
    Nobody,
}

impl Who {
    /// A word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Outsider => "outsider",
            Self::Former => "former member",
            Self::Member => "member",
            Self::Leader => "leader",
            Self::Nobody => "nobody",
        }
    }
}

/// What a row claims.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// An attack that works as stated.
    Exploitable,
    /// A weakness or a limit: measured or demonstrated.
    Weakness,
}

impl Class {
    /// Its letter in the specification.
    pub const fn letter(self) -> &'static str {
        match self {
            Self::Exploitable => "X",
            Self::Weakness => "W",
        }
    }
}

/// Whose protocol is attacked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum System {
    /// With a third party that knows everybody (report §2).
    Antigone,
    /// With a leader who knows its users (report §3).
    Enclaves,
}

impl System {
    /// Its word on command lines.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Antigone => "antigone",
            Self::Enclaves => "enclaves",
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Antigone => "Antigone",
            Self::Enclaves => "Enclaves",
        }
    }

    /// What its edition as published is called.
    pub const fn as_published(self) -> &'static str {
        match self {
            Self::Antigone => "as published in 1999",
            Self::Enclaves => "2.0 as published",
        }
    }
}

/// Which edition is attacked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Edition {
    /// As published, flaws and all: Antigone of 1999, or Enclaves 2.0.
    AsPublished,
    /// Repaired.
    Repaired,
}

impl Edition {
    /// Its word on command lines.
    pub const fn word(self) -> &'static str {
        match self {
            Self::AsPublished => "as-published",
            Self::Repaired => "repaired",
        }
    }
}

/// Which cryptography it uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Suite {
    /// DES, MD5, RSA: what the paper used.
    DesMd5Rsa,
    /// Today's.
    Modern,
}

impl Suite {
    /// Its word on command lines.
    pub const fn word(self) -> &'static str {
        match self {
            Self::DesMd5Rsa => "des-md5-rsa",
            Self::Modern => "modern",
        }
    }
}

/// A column of the matrix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cell {
    /// The system.
    pub system: System,
    /// The edition.
    pub edition: Edition,
    /// The suite.
    pub suite: Suite,
}

impl Cell {
    /// The columns of the matrix of a system.
    pub const fn of(system: System) -> [Self; 3] {
        [
            Self { system, edition: Edition::AsPublished, suite: Suite::DesMd5Rsa },
            Self { system, edition: Edition::AsPublished, suite: Suite::Modern },
            Self { system, edition: Edition::Repaired, suite: Suite::Modern },
        ]
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.edition.word(), self.suite.word())
    }
}

/// A rule of the published edition, or of its suite, that the report leaves open and that this library decides: a run may
/// decide it the other way, to show the attack that the decision is there for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// D17: a member compares the inner g of AN-K with the one in front of it, and not with the g of AN-J2.
    LeadingGroup,
    /// D4: every ciphertext of the cipher starts from one constant IV.
    ConstantIv,
    /// D6, D13: names without lengths, no padding, a short g: the codec of a hasty implementer.
    NakedCodec,
    /// D13, D14: numbers of any length are taken, and a g of any application.
    AnyNumbers,
}

impl Fault {
    /// The decisions that stand against it.
    pub const fn decision(self) -> &'static str {
        match self {
            Self::LeadingGroup => "D17",
            Self::ConstantIv => "D4",
            Self::NakedCodec => "D1, D6, D13",
            Self::AnyNumbers => "D13, D14",
        }
    }
}

/// What stopped an attack, where that can be switched off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Guard {
    /// A check of the repaired edition.
    Check(Check),
    /// Two checks of the repaired edition, of which each is enough alone.
    Either(Check, Check),
    /// Repaired Enclaves: users show who they are with public keys, and not with a key that they share with the leader.
    PublicKeys,
    /// A decision for the published one.
    Decision(Fault),
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Check(check) => write!(f, "{check:?}"),
            Self::Either(one, other) => write!(f, "{one:?}, {other:?}"),
            Self::PublicKeys => f.write_str("PublicKeys"),
            Self::Decision(fault) => f.write_str(fault.decision()),
        }
    }
}

/// What came of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The attacker reached its goal.
    Wins {
        /// How that shows.
        evidence: String,
    },
    /// It did not.
    Stopped {
        /// What can be switched off to see it win; none where cryptography or the form of the messages stops it.
        guard: Option<Guard>,
        /// The defence, in words.
        by: &'static str,
        /// How that shows.
        evidence: String,
    },
    /// It did, and there is no repair.
    Impossible {
        /// How that shows.
        shown: String,
    },
    /// There is no attacker: this is what it costs, or how far it goes.
    Measured {
        /// The figures.
        text: String,
    },
    /// There is nothing to run.
    NotApplicable {
        /// Why.
        why: &'static str,
    },
}

impl Outcome {
    /// Whether the attacker reached its goal.
    pub const fn wins(&self) -> bool {
        matches!(self, Self::Wins { .. })
    }

    /// In a word or two.
    pub fn short(&self) -> String {
        match self {
            Self::Wins { .. } => "wins".into(),
            Self::Stopped { guard: Some(guard), .. } => format!("stopped: {guard}"),
            Self::Stopped { guard: None, .. } => "stopped".into(),
            Self::Impossible { .. } => "no repair".into(),
            Self::Measured { .. } => "measured".into(),
            Self::NotApplicable { .. } => "–".into(),
        }
    }

    /// How it shows, in a sentence.
    pub fn text(&self) -> String {
        match self {
            Self::Wins { evidence } => evidence.clone(),
            Self::Stopped { by, evidence, .. } if evidence.is_empty() => (*by).into(),
            Self::Stopped { by, evidence, .. } => format!("{evidence}: {by}"),
            Self::Impossible { shown } => shown.clone(),
            Self::Measured { text } => text.clone(),
            Self::NotApplicable { why } => (*why).into(),
        }
    }
}

/// How a run is set up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Setup {
    /// What is attacked.
    pub cell: Cell,
    /// What is switched off, if anything.
    pub off: Option<Guard>,
    /// The control run: the attacker lacks the key or the message that the attack is made of.
    pub withheld: bool,
    /// The seed of the world.
    pub seed: u64,
}

impl Setup {
    /// The attack itself, with everything in its place.
    pub const fn attack(cell: Cell, seed: u64) -> Self {
        Self { cell, off: None, withheld: false, seed }
    }

    /// The same, with this switched off.
    #[must_use]
    pub const fn without(self, guard: Guard) -> Self {
        Self { off: Some(guard), ..self }
    }

    /// The same, as a control run.
    #[must_use]
    pub const fn control(self) -> Self {
        Self { withheld: true, ..self }
    }

    /// The checks that the machines make.
    pub fn checks(&self) -> Checks {
        match self.off {
            Some(Guard::Check(check)) => Checks::ALL.without(check),
            Some(Guard::Either(one, other)) => Checks::ALL.without(one).without(other),
            _ => Checks::ALL,
        }
    }

    /// Whether users and leader share keys, as in the edition as published, where public keys would stop the attack.
    pub fn shares_keys(&self) -> bool {
        self.off == Some(Guard::PublicKeys)
    }

    /// Whether this decision is taken the other way.
    pub fn has_fault(&self, fault: Fault) -> bool {
        self.off == Some(Guard::Decision(fault))
    }

    /// What the attack is made of; nothing in the control run.
    pub fn give<T>(&self, thing: T) -> Option<T> {
        (!self.withheld).then_some(thing)
    }

    /// As [`Self::give`], for several things.
    pub fn give_all<T>(&self, things: Vec<T>) -> Vec<T> {
        if self.withheld { Vec::new() } else { things }
    }

    /// The outcome: won, or stopped by what `check` names.
    pub fn judge(&self, won: bool, check: Check, by: &'static str, evidence: impl Into<String>) -> Outcome {
        self.verdict(won, Some(Guard::Check(check)), by, evidence)
    }

    /// The outcome: won, or stopped by each of two checks alone.
    pub fn judge_either(
        &self,
        won: bool,
        checks: [Check; 2],
        by: &'static str,
        evidence: impl Into<String>,
    ) -> Outcome {
        let [one, other] = checks;
        self.verdict(won, Some(Guard::Either(one, other)), by, evidence)
    }

    /// The outcome: won, or stopped by what `guard` names, if it can be switched off.
    pub fn verdict(&self, won: bool, guard: Option<Guard>, by: &'static str, evidence: impl Into<String>) -> Outcome {
        let evidence = evidence.into();
        if won {
            Outcome::Wins { evidence }
        } else if self.withheld {
            Outcome::Stopped { guard: None, by: "what the attack is made of was withheld", evidence }
        } else {
            Outcome::Stopped { guard, by, evidence }
        }
    }

    /// The outcome in the published edition: won, or not for want of what was withheld.
    pub fn shows(&self, won: bool, evidence: impl Into<String>) -> Outcome {
        self.verdict(won, None, "nothing of what the attacker wanted happened", evidence)
    }
}

/// Why a run gives no outcome.
#[derive(Debug, Error)]
pub enum Failed {
    /// The world of this cell cannot be built.
    #[error("{0}")]
    Absent(&'static str),
    /// The run ended early.
    #[error(transparent)]
    Stopped(#[from] Stop),
    /// Something that the steps count on is not so.
    #[error("the steps went wrong: {0}")]
    Steps(String),
}

impl Failed {
    /// Something that the steps count on is not so.
    pub fn steps(what: impl fmt::Display) -> Self {
        Self::Steps(what.to_string())
    }
}

macro_rules! wrong_steps {
    ($($error:ty)*) => {$(
        impl From<$error> for Failed {
            fn from(error: $error) -> Self {
                Self::steps(error)
            }
        }
    )*};
}

wrong_steps! { CommandError SuiteError FreshError VerifyError DecodeError Failure NameError Contradiction Reason }

/// What a run gives.
pub type Ran<T = Outcome> = Result<T, Failed>;

/// A run of a row in one edition.
pub type Play = fn(&Setup) -> Ran;

/// A row of the catalogue.
#[derive(Debug)]
pub struct Row {
    /// Its id in the specification.
    pub id: &'static str,
    /// Whose protocol is attacked.
    pub system: System,
    /// The section of the report; `own` for what is not in it.
    pub section: &'static str,
    /// Who attacks.
    pub who: Who,
    /// What the row claims.
    pub class: Class,
    /// What it is about.
    pub title: &'static str,
    /// What the attacker holds.
    pub holds: &'static str,
    /// What it does.
    pub steps: &'static [&'static str],
    /// What that comes to, where nothing stops it.
    pub reaches: &'static str,
    /// What stops it in the repaired edition.
    pub defence: &'static str,
    /// Whether no protocol with one leader can stop it.
    pub beyond_repair: bool,
    /// Plays it against the edition as published.
    pub published: Play,
    /// Plays it against the repaired edition.
    pub repaired: Play,
}

impl Row {
    /// Where it comes from.
    pub fn place(&self) -> String {
        match self.section {
            "own" => "not in the report".into(),
            section => format!("report §{section}"),
        }
    }

    /// What it is played in.
    pub const fn cells(&self) -> [Cell; 3] {
        Cell::of(self.system)
    }

    /// Plays it once.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn play(&self, setup: &Setup) -> Ran {
        match setup.cell.edition {
            Edition::AsPublished => (self.published)(setup),
            Edition::Repaired => (self.repaired)(setup),
        }
    }
}
