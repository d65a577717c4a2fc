//! Without the feature `study` nothing is as published.

use sodality::antigone::{Leader, LeaderConfig, Member, MemberConfig};
use sodality::endpoint::Cx;
use sodality::error::CommandError;
use sodality::identity::Name;
use sodality::policy::Mix;
use sodality::ttp::ThirdParty;

use crate::exit::Failed;

/// There is none.
#[derive(Clone, Debug)]
pub(crate) enum Past {}

impl Past {
    pub(super) fn said(_mix: Mix) -> Result<Self, Failed> {
        Err(Failed::Usage("this program is built without parts as published; build it with --features study".into()))
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
