//! Without the feature `study` nothing is as published.

use crate::carrier::Bound;

use sodality::antigone::{Leader, LeaderConfig, Member, MemberConfig};
use sodality::crypto::SuiteId;
use sodality::endpoint::Cx;
use sodality::error::CommandError;
use sodality::identity::Name;
use sodality::policy::{Mix, Policy};
use sodality::ttp::ThirdParty;
use tokio::sync::{oneshot, watch};

use crate::demo::party::{Ended, LeaderParty, MemberParty};
use crate::exit::Failed;
use crate::timeline::{Fields, Teller};
use crate::verbs::system::Version;
use crate::verbs::{JoinArgs, LeadArgs};

/// What is said of all that is missing.
const MISSING: &str = "this program is built without parts as published; build it with --features study";

/// There is none.
#[derive(Clone, Debug)]
pub(crate) enum Past {}

impl Past {
    pub(super) fn said(_mix: Mix) -> Result<Self, Failed> {
        Err(Failed::Usage(MISSING.into()))
    }

    pub(crate) fn mix(&self) -> Mix {
        match *self {}
    }

    pub(crate) fn admits<'n>(&self, _app: &Name, _names: impl IntoIterator<Item = &'n Name>) -> Result<(), Failed> {
        match *self {}
    }

    pub(crate) fn third_party(&self, _machine: ThirdParty) -> ThirdParty {
        match *self {}
    }

    pub(crate) fn leader(&self, _config: LeaderConfig, _cx: &mut Cx<'_>) -> Result<Leader, CommandError> {
        match *self {}
    }

    pub(crate) fn member(&self, _config: MemberConfig) -> Result<Member, CommandError> {
        match *self {}
    }
}

/// There is none either.
#[derive(Clone, Debug)]
pub(crate) enum Enclaves {}

impl Enclaves {
    pub(super) fn said(_version: Version, _suite: SuiteId) -> Result<Self, Failed> {
        Err(Failed::Usage(MISSING.into()))
    }

    pub(crate) fn version(&self) -> Version {
        match *self {}
    }

    pub(crate) fn warning(&self) -> (String, Fields) {
        match *self {}
    }

    pub(crate) fn fit(&self, _policy: &Policy) -> Policy {
        match *self {}
    }

    pub(crate) fn lead(&self, _args: LeadArgs) -> Result<(), Failed> {
        match *self {}
    }

    pub(crate) fn join(&self, _args: JoinArgs) -> Result<(), Failed> {
        match *self {}
    }

    pub(crate) async fn leads(
        &self,
        _party: LeaderParty,
        _tell: Teller,
        _bound: oneshot::Sender<Bound>,
        _stop: watch::Receiver<bool>,
    ) -> Ended {
        match *self {}
    }

    pub(crate) async fn joins(&self, _party: MemberParty, _tell: Teller, _stop: watch::Receiver<bool>) -> Ended {
        match *self {}
    }
}
