//! What 1.0 and 2.0 as published have in common here.

use bytes::Bytes;

use crate::endpoint::{Class, Link, To, Transmit};
use crate::error::{CommandError, Failure, Reason};
use crate::identity::{Instance, MemberId};

/// The group instance: there is none in what was published (E11).
pub const NO_INSTANCE: Instance = Instance([0; 16]);

/// How often something is said again that may never be answered.
pub(super) const TRIES: u8 = 8;

/// The own number: a member counts for itself.
pub(super) const OWN: MemberId = MemberId(1);

pub use crate::group::access::Access;

/// A frame of class control over one link.
pub(super) fn control(link: Link, frame: Bytes) -> Transmit {
    Transmit { to: To::Link(link), frame, class: Class::Control }
}

/// What a command answers when making a message failed.
pub(super) fn failure_of(why: Reason) -> CommandError {
    failed(why).into()
}

/// What failed, when making a message failed.
pub(super) fn failed(why: Reason) -> Failure {
    match why {
        Reason::Entropy => Failure::Entropy,
        _ => Failure::Suite,
    }
}

/// The two machines as what both systems share.
macro_rules! published_roles {
    ($leader:ident, $member:ident) => {
        mod roles {
            use alloc::vec::Vec;

            use super::{$leader, $member};
            use crate::enclaves::published::NO_INSTANCE;
            use crate::endpoint::Cx;
            use crate::error::{CommandError, Misuse};
            use crate::event::{Port, Ticket};
            use crate::group::View;
            use crate::group::roles::{Convener, Participant};
            use crate::identity::{Epoch, Instance, MemberId};

            impl Participant for $member {
                fn send(&mut self, cx: &mut Cx<'_>, port: Port, payload: &[u8]) -> Result<(), CommandError> {
                    Self::send(self, cx, port, payload)
                }

                fn max_message(&self) -> usize {
                    Self::max_message(self)
                }

                fn group(&self) -> Option<Instance> {
                    self.is_in().then_some(NO_INSTANCE)
                }

                fn cid(&self) -> Option<MemberId> {
                    Self::cid(self)
                }

                fn epoch(&self) -> Epoch {
                    Self::epoch(self)
                }

                /// Published messages name members: there is no roster with numbers that all agree on.
                fn view(&self) -> Option<&View> {
                    None
                }

                fn known(&self) -> Vec<MemberId> {
                    self.members().map(|(cid, _)| cid).collect()
                }

                fn is_current(&self) -> bool {
                    self.is_in()
                }
            }

            impl Participant for $leader {
                fn send(&mut self, cx: &mut Cx<'_>, port: Port, payload: &[u8]) -> Result<(), CommandError> {
                    Self::send(self, cx, port, payload)
                }

                fn max_message(&self) -> usize {
                    Self::max_message(self)
                }

                fn group(&self) -> Option<Instance> {
                    Some(NO_INSTANCE)
                }

                fn cid(&self) -> Option<MemberId> {
                    Some(MemberId::LEADER)
                }

                fn epoch(&self) -> Epoch {
                    Self::epoch(self)
                }

                fn view(&self) -> Option<&View> {
                    None
                }

                fn known(&self) -> Vec<MemberId> {
                    core::iter::once(MemberId::LEADER).chain(self.members().map(|(cid, _)| cid)).collect()
                }

                fn is_current(&self) -> bool {
                    !self.is_closed() && self.epoch().0 != 0
                }
            }

            impl Convener for $leader {
                fn admit(&mut self, cx: &mut Cx<'_>, ticket: Ticket, admit: bool) -> Result<(), CommandError> {
                    Self::admit(self, cx, ticket, admit)
                }

                fn rekey(&mut self, cx: &mut Cx<'_>) -> Result<(), CommandError> {
                    Self::rekey(self, cx)
                }

                fn eject(&mut self, cx: &mut Cx<'_>, cid: MemberId) -> Result<(), CommandError> {
                    Self::eject(self, cx, cid)
                }

                /// There is no request to eject: there is never a ticket.
                fn decide_ejection(&mut self, _: &mut Cx<'_>, _: Ticket, _: bool) -> Result<(), CommandError> {
                    Err(Misuse::NoTicket.into())
                }

                fn close(&mut self, cx: &mut Cx<'_>) -> Result<(), CommandError> {
                    Self::close(self, cx)
                }
            }
        }
    };
}
