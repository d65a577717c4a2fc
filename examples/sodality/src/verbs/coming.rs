//! Stands in for commands of the machines that are not there yet: ejection, and the end of a group by its leader. Those of a
//! machine take precedence as soon as they are there; then this file goes, and with it what names it.

use sodality::antigone::{Leader, Member};
use sodality::endpoint::Cx;
use sodality::error::{CommandError, Misuse};
use sodality::event::Ticket;
use sodality::identity::MemberId;

/// Whether they are there.
pub(crate) const READY: bool = false;

pub(crate) trait Convenes {
    fn eject(&mut self, _cx: &mut Cx<'_>, _cid: MemberId) -> Result<(), CommandError> {
        Err(Misuse::NoTicket.into())
    }

    fn decide_ejection(&mut self, _cx: &mut Cx<'_>, _ticket: Ticket, _eject: bool) -> Result<(), CommandError> {
        Err(Misuse::NoTicket.into())
    }

    fn close(&mut self, _cx: &mut Cx<'_>) -> Result<(), CommandError> {
        Err(Misuse::NotJoined.into())
    }
}

pub(super) trait Takes {
    fn request_ejection(&mut self, _cx: &mut Cx<'_>, _cid: MemberId) -> Result<(), CommandError> {
        Err(Misuse::NoTicket.into())
    }
}

impl Convenes for Leader {}
impl Takes for Member {}
