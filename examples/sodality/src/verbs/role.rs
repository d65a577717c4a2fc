//! What leaders and members have in common for their users.

use sodality::antigone::{Leader, Member};
use sodality::endpoint::Cx;
use sodality::error::{CommandError, Misuse};
use sodality::event::Ticket;
use sodality::group::Participant;
use sodality::policy::Policy;

/// What a user can do beyond what every participant can.
pub(super) trait Role: Participant {
    /// Whether it leads.
    const LEADS: bool;
    /// The policy in force.
    fn policy(&self) -> Option<&Policy>;
    /// Joins, if it is not in.
    fn join(&mut self, cx: &mut Cx<'_>) -> Result<(), CommandError>;
    /// Leaves; what follows is told by events.
    fn leave(&mut self, cx: &mut Cx<'_>) -> Result<(), CommandError>;
    /// Changes the key.
    fn rekey(&mut self, cx: &mut Cx<'_>) -> Result<(), CommandError>;
    /// Answers a question.
    fn admit(&mut self, cx: &mut Cx<'_>, ticket: Ticket, admit: bool) -> Result<(), CommandError>;
}

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
}

impl Role for Leader {
    const LEADS: bool = true;

    fn policy(&self) -> Option<&Policy> {
        Some(Self::policy(self))
    }

    fn join(&mut self, _cx: &mut Cx<'_>) -> Result<(), CommandError> {
        Ok(())
    }

    fn leave(&mut self, _cx: &mut Cx<'_>) -> Result<(), CommandError> {
        Ok(())
    }

    fn rekey(&mut self, cx: &mut Cx<'_>) -> Result<(), CommandError> {
        Self::rekey(self, cx)
    }

    fn admit(&mut self, cx: &mut Cx<'_>, ticket: Ticket, admit: bool) -> Result<(), CommandError> {
        Self::admit(self, cx, ticket, admit)
    }
}
