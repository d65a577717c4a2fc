//! A group of the edition as published.

use std::sync::Arc;

use sodality::crypto::published::PublishedSuite;

use super::{Plan, Scene};
use crate::row::{Failed, Ran, Setup};

const NOT_YET: &str = "the published machines are not there yet";

/// A group whose parts are all as published, under the suite of the cell, with the fault that the run has.
pub(super) fn open(_setup: &Setup, _plan: &Plan) -> Ran<Scene> {
    Err(Failed::Absent(NOT_YET))
}

/// The suite of the cell, with the fault that the run has.
pub(crate) fn suite(_setup: &Setup) -> Ran<Arc<dyn PublishedSuite>> {
    Err(Failed::Absent(NOT_YET))
}
