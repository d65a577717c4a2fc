//! Direct links between two members, for their users: Enclaves 1.0 has them.

use sodality::endpoint::Cx;
use sodality::error::{CommandError, Misuse};
use sodality::identity::Name;

/// What a user can do with direct links.
pub(crate) trait Links {
    /// Whether there are any.
    const LINKS: bool = false;
    /// Asks the leader for a link to a member; what follows is told by events.
    fn ask_link(&mut self, _cx: &mut Cx<'_>, _to: &Name) -> Result<(), CommandError> {
        Err(Misuse::NoDirectLink.into())
    }
    /// Says something over a link.
    fn say_directly(&mut self, _cx: &mut Cx<'_>, _to: &Name, _payload: &[u8]) -> Result<(), CommandError> {
        Err(Misuse::NoDirectLink.into())
    }
    /// Ends all links, and tells the other ends as far as there is room: others notice by silence.
    fn end_links(&mut self, _cx: &mut Cx<'_>) {}
    /// To whom there are links.
    fn linked(&self) -> Vec<Name> {
        Vec::new()
    }
}

impl Links for sodality::antigone::Member {}
impl Links for sodality::antigone::Leader {}
impl Links for sodality::enclaves::Member {}
impl Links for sodality::enclaves::Leader {}
