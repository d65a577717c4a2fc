//! What a data frame says of itself in clear, for the event that tells of its refusal (R46).

use crate::event::Claims;
use crate::identity::Instance;
use crate::wire::antigone::Data;
use crate::wire::{Header, Message as _};

/// The claims of a data frame of this group; none of any other frame. Nothing about them is proven.
pub fn claims(header: Header, group: Instance, frame: &[u8]) -> Option<Claims> {
    if header.code_of(frame) != Ok(Data::INFO.code) {
        return None;
    }
    let data = Data::parse(frame).ok()?.message;
    (data.group == group).then_some(Claims { sender: data.cid, epoch: data.epoch })
}
