//! The two machines of a mix as what both systems share.

use alloc::vec::Vec;

use super::{Leader, Member};
use crate::endpoint::Cx;
use crate::error::CommandError;
use crate::event::{Port, Ticket};
use crate::group::View;
use crate::group::roles::{Convener, Participant};
use crate::identity::{Epoch, Instance, MemberId};

impl Participant for Member {
    fn send(&mut self, cx: &mut Cx<'_>, port: Port, payload: &[u8]) -> Result<(), CommandError> {
        Self::send(self, cx, port, payload)
    }

    fn max_message(&self) -> usize {
        Self::max_message(self)
    }

    fn group(&self) -> Option<Instance> {
        Self::group(self)
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
        self.numbers().collect()
    }

    fn is_current(&self) -> bool {
        Self::is_current(self)
    }
}

impl Participant for Leader {
    fn send(&mut self, cx: &mut Cx<'_>, port: Port, payload: &[u8]) -> Result<(), CommandError> {
        Self::send(self, cx, port, payload)
    }

    fn max_message(&self) -> usize {
        Self::max_message(self)
    }

    fn group(&self) -> Option<Instance> {
        Some(Self::group(self))
    }

    fn cid(&self) -> Option<MemberId> {
        Some(MemberId::LEADER)
    }

    fn epoch(&self) -> Epoch {
        Self::epoch(self)
    }

    fn view(&self) -> Option<&View> {
        Some(Self::view(self))
    }

    fn is_current(&self) -> bool {
        !self.is_closed()
    }
}

impl Convener for Leader {
    fn admit(&mut self, cx: &mut Cx<'_>, ticket: Ticket, admit: bool) -> Result<(), CommandError> {
        Self::admit(self, cx, ticket, admit)
    }

    fn rekey(&mut self, cx: &mut Cx<'_>) -> Result<(), CommandError> {
        Self::rekey(self, cx)
    }

    fn eject(&mut self, cx: &mut Cx<'_>, cid: MemberId) -> Result<(), CommandError> {
        Self::eject(self, cx, cid)
    }

    fn decide_ejection(&mut self, cx: &mut Cx<'_>, ticket: Ticket, eject: bool) -> Result<(), CommandError> {
        Self::decide_ejection(self, cx, ticket, eject)
    }

    fn close(&mut self, cx: &mut Cx<'_>) -> Result<(), CommandError> {
        Self::close(self, cx)
    }
}
