//! What the machines of both systems have in common, as two small traits: an application that only talks needs no more
//! of either.

use alloc::vec::Vec;

use super::view::View;
use crate::endpoint::{Cx, Endpoint};
use crate::error::CommandError;
use crate::event::{Port, Ticket};
use crate::identity::{Epoch, Instance, MemberId};

/// Somebody in a group: a member, or the leader, who is a member too.
pub trait Participant: Endpoint {
    /// Sends a message to the group, best effort. What is longer than [`Self::max_message`] goes through
    /// [`crate::transfer`].
    ///
    /// # Errors
    /// [`CommandError`]; nothing has changed then.
    fn send(&mut self, cx: &mut Cx<'_>, port: Port, payload: &[u8]) -> Result<(), CommandError>;

    /// The longest payload, in bytes; 0 outside a group.
    fn max_message(&self) -> usize;

    /// The group instance, if in one.
    fn group(&self) -> Option<Instance>;

    /// The own number, if in a group.
    fn cid(&self) -> Option<MemberId>;

    /// The installed epoch, 0 for none.
    fn epoch(&self) -> Epoch;

    /// Who is in the group, as far as the policy shows it.
    fn view(&self) -> Option<&View>;

    /// The numbers of those in the group, as far as they are known here. Not only views tell them: published messages name
    /// members.
    fn known(&self) -> Vec<MemberId> {
        self.view().map(|view| view.members().keys().copied().collect()).unwrap_or_default()
    }

    /// Whether [`Self::send`] would find a current key.
    fn is_current(&self) -> bool;
}

/// Somebody who convenes a group.
pub trait Convener: Participant {
    /// Answers [`crate::event::Event::AdmissionWanted`].
    ///
    /// # Errors
    /// [`CommandError`]; nothing has changed then.
    fn admit(&mut self, cx: &mut Cx<'_>, ticket: Ticket, admit: bool) -> Result<(), CommandError>;

    /// Changes the group key as soon as the policy allows.
    ///
    /// # Errors
    /// [`CommandError`]; nothing has changed then.
    fn rekey(&mut self, cx: &mut Cx<'_>) -> Result<(), CommandError>;

    /// Throws a member out.
    ///
    /// # Errors
    /// [`CommandError`]; nothing has changed then.
    fn eject(&mut self, cx: &mut Cx<'_>, cid: MemberId) -> Result<(), CommandError>;

    /// Answers [`crate::event::Event::EjectionWanted`].
    ///
    /// # Errors
    /// [`CommandError`]; nothing has changed then.
    fn decide_ejection(&mut self, cx: &mut Cx<'_>, ticket: Ticket, eject: bool) -> Result<(), CommandError>;

    /// Closes the group.
    ///
    /// # Errors
    /// [`CommandError`]; nothing has changed then.
    fn close(&mut self, cx: &mut Cx<'_>) -> Result<(), CommandError>;
}
