//! Leaders and members with parts as published, for their users.

use sodality::antigone::mixed::{Leader, Member};
use sodality::endpoint::{Cx, Instant};
use sodality::error::{CommandError, Misuse};
use sodality::event::Ticket;
use sodality::identity::{MemberId, Name};
use sodality::policy::Policy;

use crate::verbs::links::Links;
use crate::verbs::role::{Freshness, Role, joins, leads};
use crate::verbs::shared::Shared;

impl Links for Member {}
impl Links for Leader {}
impl Shared for Member {}
impl Shared for Leader {}

impl Role for Member {
    joins!();

    fn policy(&self) -> Option<&Policy> {
        Self::policy(self)
    }

    fn put_out(&mut self, cx: &mut Cx<'_>, cid: MemberId) -> Result<(), CommandError> {
        // Members have numbers here alone: what is sent names them.
        let name = self.name_of(cid).cloned().ok_or(Misuse::NoMember)?;
        self.request_ejection(cx, &name)
    }

    fn freshness(&self, _now: Instant) -> Freshness {
        Freshness::Unfounded
    }

    fn known_as(&self, cid: MemberId) -> Option<Name> {
        self.name_of(cid).cloned()
    }
}

impl Role for Leader {
    leads!();

    fn decide(&mut self, cx: &mut Cx<'_>, ticket: Ticket, eject: bool) -> Result<(), CommandError> {
        Self::decide_ejection(self, cx, ticket, eject)
    }
}
