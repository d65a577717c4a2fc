//! Leaders and members with parts as published, for their users.

use sodality::antigone::mixed::{Leader, Member};
use sodality::endpoint::{Cx, Instant};
use sodality::error::{CommandError, Misuse};
use sodality::event::Ticket;
use sodality::identity::{MemberId, Name};
use sodality::policy::Policy;

use crate::verbs::links::Links;
use crate::verbs::role::{Freshness, Role};
use crate::verbs::shared::Shared;

impl Links for Member {}
impl Links for Leader {}
impl Shared for Member {}
impl Shared for Leader {}

impl Role for Member {
    const LEADS: bool = false;

    fn policy(&self) -> Option<&Policy> {
        Self::policy(self)
    }

    fn join(&mut self, cx: &mut Cx<'_>) -> Result<(), CommandError> {
        Self::join(self, cx)
    }

    fn leave(&mut self, cx: &mut Cx<'_>) -> Result<(), CommandError> {
        Self::leave(self, cx)
    }

    fn rekey(&mut self, _cx: &mut Cx<'_>) -> Result<(), CommandError> {
        Ok(())
    }

    fn admit(&mut self, _cx: &mut Cx<'_>, _ticket: Ticket, _admit: bool) -> Result<(), CommandError> {
        Err(Misuse::NoTicket.into())
    }

    fn put_out(&mut self, cx: &mut Cx<'_>, cid: MemberId) -> Result<(), CommandError> {
        // Members have numbers here alone: what is sent names them.
        let name = self.name_of(cid).cloned().ok_or(Misuse::NoMember)?;
        self.request_ejection(cx, &name)
    }

    fn decide(&mut self, _cx: &mut Cx<'_>, _ticket: Ticket, _eject: bool) -> Result<(), CommandError> {
        Err(Misuse::NoTicket.into())
    }

    fn freshness(&self, _now: Instant) -> Freshness {
        Freshness::Unfounded
    }

    fn known_as(&self, cid: MemberId) -> Option<Name> {
        self.name_of(cid).cloned()
    }

    fn is_idle(&self) -> bool {
        Self::is_idle(self)
    }
}

impl Role for Leader {
    const LEADS: bool = true;

    fn policy(&self) -> Option<&Policy> {
        Some(Self::policy(self))
    }

    fn join(&mut self, _cx: &mut Cx<'_>) -> Result<(), CommandError> {
        Ok(())
    }

    fn leave(&mut self, cx: &mut Cx<'_>) -> Result<(), CommandError> {
        Self::close(self, cx)
    }

    fn rekey(&mut self, cx: &mut Cx<'_>) -> Result<(), CommandError> {
        Self::rekey(self, cx)
    }

    fn admit(&mut self, cx: &mut Cx<'_>, ticket: Ticket, admit: bool) -> Result<(), CommandError> {
        Self::admit(self, cx, ticket, admit)
    }
    fn put_out(&mut self, cx: &mut Cx<'_>, cid: MemberId) -> Result<(), CommandError> {
        Self::eject(self, cx, cid)
    }

    fn decide(&mut self, cx: &mut Cx<'_>, ticket: Ticket, eject: bool) -> Result<(), CommandError> {
        Self::decide_ejection(self, cx, ticket, eject)
    }

    fn freshness(&self, _now: Instant) -> Freshness {
        Freshness::Own
    }

    fn is_idle(&self) -> bool {
        self.is_closed()
    }
}
