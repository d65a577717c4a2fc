//! What must hold after every transition, whatever the network does: the goals S1 to S10 of RA §1.
//!
//! | goal | checkers | what they look at |
//! | --- | --- | --- |
//! | S1, S2 | `Secrecy` (needs `std`) | frames and terms, under the suite that it gives |
//! | S3 | [`JoinsAgree`] | RA-J1, RA-J2, keys and facts of both machines |
//! | S4 | [`RecordsInOrder`] | frames of channels, opened with the machines' keys |
//! | S5 | [`EpochsGrow`], [`ViewsAgree`], [`EpochsAgree`] | events; the secret and the facts of each epoch |
//! | S6 | [`RemovalHasCause`], and [`JoinsAgree`] for who comes | commands and events |
//! | S7 | [`NoDeliveryAfterRemoval`], [`NoKeyBeforeAdmission`], and `Secrecy` | events, keys |
//! | S8 | [`StaleBound`], [`DeadNoticed`] | events and frames, by the world's clock |
//! | S9 | [`NoReplayDelivered`], [`SendersAreTrue`], and of private words [`WordsReachTheNamed`] | commands and events |
//! | S10 | [`RefusalsChangeNothing`], [`StrangersAreBounded`] | states before and after |
//!
//! [`Goals`] adds all but `Secrecy` to a world. Those that look at nothing but inputs and events serve both systems and all
//! editions: against a published one they are expected to object.

use alloc::rc::Rc;
use alloc::string::String;
use core::cell::RefCell;

use super::step::Observed;

mod agreement;
#[cfg(feature = "std")]
mod attacker;
mod data;
mod epochs;
mod facts;
mod goals;
pub(super) mod over;
mod prefix;
mod records;
mod refusals;
mod roster;
#[cfg(feature = "std")]
mod secrecy;
mod session;
mod staleness;
mod views;
mod words;

#[cfg(test)]
mod tests;

pub use agreement::JoinsAgree;
#[cfg(feature = "std")]
pub use attacker::Attacker;
pub use data::{NoDeliveryAfterRemoval, NoReplayDelivered, SendersAreTrue};
pub use epochs::EpochsGrow;
pub use facts::{EpochsAgree, NoKeyBeforeAdmission};
pub use goals::{Counts, Goals};
pub use prefix::AdminPrefix;
pub use records::RecordsInOrder;
pub use refusals::{RefusalsChangeNothing, StrangersAreBounded};
#[cfg(feature = "std")]
pub use secrecy::Secrecy;
pub use session::{Session, Sessions};
pub use staleness::{DeadNoticed, StaleBound};
pub use views::{RemovalHasCause, ViewsAgree};
pub use words::WordsReachTheNamed;

/// Looks at every transition and objects to a bad one. Work and memory per transition should not grow with the group.
pub trait Checker {
    /// Its name, for reports.
    fn name(&self) -> &'static str;

    /// Looks at a machine that is about to be given a frame and owes no output. [`Observed::machine`] is the machine as
    /// it is; there are no outputs yet. Called where outputs are drained after each input ([`Drain::Each`]).
    ///
    /// [`Drain::Each`]: super::Drain::Each
    fn foresee(&mut self, step: &Observed<'_>) {
        let _ = step;
    }

    /// Looks at one transition.
    ///
    /// # Errors
    /// What is wrong: it ends the run.
    fn after(&mut self, step: &Observed<'_>) -> Result<(), String>;
}

impl<C: Checker> Checker for Rc<RefCell<C>> {
    fn name(&self) -> &'static str {
        self.try_borrow().map_or("shared", |inner| inner.name())
    }

    fn foresee(&mut self, step: &Observed<'_>) {
        if let Ok(mut inner) = self.try_borrow_mut() {
            inner.foresee(step);
        }
    }

    fn after(&mut self, step: &Observed<'_>) -> Result<(), String> {
        self.try_borrow_mut().map_or(Ok(()), |mut inner| inner.after(step))
    }
}

/// A checker that is a closure.
pub struct Always<F> {
    name: &'static str,
    check: F,
}

impl<F> core::fmt::Debug for Always<F> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Always").field(&self.name).finish()
    }
}

impl<F: FnMut(&Observed<'_>) -> Result<(), String>> Always<F> {
    /// A checker of this name.
    pub fn new(name: &'static str, check: F) -> Self {
        Self { name, check }
    }
}

impl<F: FnMut(&Observed<'_>) -> Result<(), String>> Checker for Always<F> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn after(&mut self, step: &Observed<'_>) -> Result<(), String> {
        (self.check)(step)
    }
}
