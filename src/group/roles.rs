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

/// Gives a leader and a member, whose inherent methods have the names of the traits', both roles.
macro_rules! share_roles {
    ($leader:ty, $member:ty) => {
        impl $crate::group::Participant for $member {
            fn send(
                &mut self,
                cx: &mut $crate::endpoint::Cx<'_>,
                port: $crate::event::Port,
                payload: &[u8],
            ) -> Result<(), $crate::error::CommandError> {
                Self::send(self, cx, port, payload)
            }

            fn max_message(&self) -> usize {
                Self::max_message(self)
            }

            fn group(&self) -> Option<$crate::identity::Instance> {
                Self::group(self)
            }

            fn cid(&self) -> Option<$crate::identity::MemberId> {
                Self::cid(self)
            }

            fn epoch(&self) -> $crate::identity::Epoch {
                Self::epoch(self)
            }

            fn view(&self) -> Option<&$crate::group::View> {
                Self::view(self)
            }

            fn is_current(&self) -> bool {
                Self::is_current(self)
            }
        }

        impl $crate::group::Participant for $leader {
            fn send(
                &mut self,
                cx: &mut $crate::endpoint::Cx<'_>,
                port: $crate::event::Port,
                payload: &[u8],
            ) -> Result<(), $crate::error::CommandError> {
                Self::send(self, cx, port, payload)
            }

            fn max_message(&self) -> usize {
                Self::max_message(self)
            }

            fn group(&self) -> Option<$crate::identity::Instance> {
                Some(Self::group(self))
            }

            fn cid(&self) -> Option<$crate::identity::MemberId> {
                Some($crate::identity::MemberId::LEADER)
            }

            fn epoch(&self) -> $crate::identity::Epoch {
                Self::epoch(self)
            }

            fn view(&self) -> Option<&$crate::group::View> {
                Some(Self::view(self))
            }

            fn is_current(&self) -> bool {
                !self.is_closed()
            }
        }

        impl $crate::group::Convener for $leader {
            fn admit(
                &mut self,
                cx: &mut $crate::endpoint::Cx<'_>,
                ticket: $crate::event::Ticket,
                admit: bool,
            ) -> Result<(), $crate::error::CommandError> {
                Self::admit(self, cx, ticket, admit)
            }

            fn rekey(&mut self, cx: &mut $crate::endpoint::Cx<'_>) -> Result<(), $crate::error::CommandError> {
                Self::rekey(self, cx)
            }

            fn eject(
                &mut self,
                cx: &mut $crate::endpoint::Cx<'_>,
                cid: $crate::identity::MemberId,
            ) -> Result<(), $crate::error::CommandError> {
                Self::eject(self, cx, cid)
            }

            fn decide_ejection(
                &mut self,
                cx: &mut $crate::endpoint::Cx<'_>,
                ticket: $crate::event::Ticket,
                eject: bool,
            ) -> Result<(), $crate::error::CommandError> {
                Self::decide_ejection(self, cx, ticket, eject)
            }

            fn close(&mut self, cx: &mut $crate::endpoint::Cx<'_>) -> Result<(), $crate::error::CommandError> {
                Self::close(self, cx)
            }
        }
    };
}

pub(crate) use share_roles;
