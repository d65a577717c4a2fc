//! What must hold after every transition, whatever the network does (S5, S6, S7, S8, S9).
//!
//! The checkers here look at nothing but inputs and events, so they serve both systems and all editions: against a
//! published one they are expected to object.

use alloc::rc::Rc;
use alloc::string::String;
use core::cell::RefCell;

use super::step::Observed;

mod data;
mod epochs;
mod session;
mod views;

#[cfg(test)]
mod tests;

pub use data::{NoDeliveryAfterRemoval, NoReplayDelivered, StaleBound};
pub use epochs::EpochsGrow;
pub use session::{Session, Sessions};
pub use views::{RemovalHasCause, ViewsAgree};

/// Looks at every transition and objects to a bad one. Work and memory per transition should not grow with the group.
pub trait Checker {
    /// Its name, for reports.
    fn name(&self) -> &'static str;

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
