//! Private words, which a mix has not. A word names its recipients by numbers that all agree on, and its key travels over a
//! channel that is repaired from the join on; where any part is as published, members know each other by name alone, and
//! the keys that would protect the word are such as the mix is there to show broken.

use super::{Leader, Member};
use crate::endpoint::Cx;
use crate::error::{CommandError, Misuse};
use crate::event::Port;
use crate::identity::MemberId;

impl Member {
    /// What [`antigone::Member::say_privately`](crate::antigone::Member::say_privately) is in a group of the repaired edition.
    ///
    /// # Errors
    /// Always [`Misuse::NoPrivateWords`].
    pub fn say_privately(&mut self, _: &mut Cx<'_>, _: &[MemberId], _: Port, _: &[u8]) -> Result<u64, CommandError> {
        Err(Misuse::NoPrivateWords.into())
    }
}

impl Leader {
    /// What [`antigone::Leader::say_privately`](crate::antigone::Leader::say_privately) is in a group of the repaired edition.
    ///
    /// # Errors
    /// Always [`Misuse::NoPrivateWords`].
    pub fn say_privately(&mut self, _: &mut Cx<'_>, _: &[MemberId], _: Port, _: &[u8]) -> Result<u64, CommandError> {
        Err(Misuse::NoPrivateWords.into())
    }
}
