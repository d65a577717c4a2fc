//! What honest people ask of their own machines.

use sodality::crypto::Key;
use sodality::crypto::keys::role;
use sodality::enclaves::version_2::GroupKey;
use sodality::error::CommandError;
use sodality::group::View;
use sodality::identity::{Epoch, MemberId, Name};
use sodality::sim::{NodeId, WireId, World};

use super::Scene;
use crate::row::{Failed, Ran};

/// The machines of a scene, of whatever edition. `member` is the number of a member; the leader has none.
pub(crate) trait People {
    /// Nobody, where there is none.
    fn third_party(&self) -> NodeId {
        NodeId(u32::MAX)
    }
    fn leader(&self) -> NodeId;
    fn members(&self) -> &[NodeId];
    fn channel(&self) -> Option<WireId> {
        None
    }
    fn add(&mut self, world: &mut World, name: &str) -> Ran<()>;
    fn join(&self, world: &mut World, member: usize) -> Ran<()>;
    fn leave(&self, world: &mut World, member: usize) -> Ran<()>;
    fn say(&self, world: &mut World, member: Option<usize>, text: &[u8]) -> Ran<Result<(), CommandError>>;
    /// A member says something to some (Enclaves).
    fn gossip(&self, _: &mut World, _member: usize, _to: &[Name], _text: &[u8]) -> Ran<()> {
        Err(Failed::Absent("there are no private messages"))
    }
    fn rekey(&self, world: &mut World) -> Ran<()>;
    /// The leader ejects whoever has that name.
    fn eject(&self, world: &mut World, name: &str) -> Ran<()>;
    /// A member asks that whoever has that name be ejected.
    fn ask_to_eject(&self, _: &mut World, _member: usize, _name: &str) -> Ran<()> {
        Err(Failed::Absent("members cannot ask for that"))
    }
    /// A crashed leader comes back, with nothing but its configuration.
    fn reopen(&self, world: &mut World) -> Ran<()>;
    /// What a member reads in its own machine (repaired editions).
    fn own_secret(&self, _: &World, _member: usize) -> Option<(Epoch, Key<role::DataBase>)> {
        None
    }
    /// The same in Enclaves 2.0: K_g.
    fn group_key(&self, _: &World, _member: usize) -> Option<GroupKey> {
        None
    }
    /// Whose number this is, as a member's machine tells its application.
    fn name_of(&self, world: &World, member: usize, cid: MemberId) -> Option<Name>;
    /// What a member is shown of the group.
    fn own_view(&self, _: &World, _member: usize) -> Option<View> {
        None
    }
}

impl Scene {
    /// Somebody new, who has not asked yet. Its number.
    ///
    /// # Errors
    /// As all here: [`Failed`] if the machine cannot do it.
    pub fn add(&mut self, name: &str) -> Ran<usize> {
        self.people.add(&mut self.world, name)?;
        Ok(self.people.members().len().saturating_sub(1))
    }

    /// It asks to join.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn join(&mut self, member: usize) -> Ran<()> {
        self.people.join(&mut self.world, member)
    }

    /// It leaves.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn leave(&mut self, member: usize) -> Ran<()> {
        self.people.leave(&mut self.world, member)
    }

    /// It says something to the group; it must be able to.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn say(&mut self, member: usize, text: &[u8]) -> Ran<()> {
        Ok(self.people.say(&mut self.world, Some(member), text)??)
    }

    /// It says something to the group if its machine lets it; whether it did.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn tries_to_say(&mut self, member: usize, text: &[u8]) -> Ran<bool> {
        Ok(self.people.say(&mut self.world, Some(member), text)?.is_ok())
    }

    /// It says something to some, by way of the leader.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn gossip(&mut self, member: usize, to: &[&str], text: &[u8]) -> Ran<()> {
        let to = to.iter().map(|name| super::name(name)).collect::<Ran<Vec<_>>>()?;
        self.people.gossip(&mut self.world, member, &to, text)
    }

    /// The leader says something.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn leader_says(&mut self, text: &[u8]) -> Ran<()> {
        Ok(self.people.say(&mut self.world, None, text)??)
    }

    /// The leader changes the key.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn rekey(&mut self) -> Ran<()> {
        self.people.rekey(&mut self.world)
    }

    /// The leader ejects somebody.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn eject(&mut self, name: &str) -> Ran<()> {
        self.people.eject(&mut self.world, name)
    }

    /// A member asks that somebody be ejected.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn ask_to_eject(&mut self, member: usize, name: &str) -> Ran<()> {
        self.people.ask_to_eject(&mut self.world, member, name)
    }

    /// A machine stops, without a word.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn crash(&mut self, node: NodeId) -> Ran<()> {
        Ok(self.world.crash(node)?)
    }

    /// The crashed leader comes back, with nothing but its configuration.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn reopen(&mut self) -> Ran<()> {
        self.people.reopen(&mut self.world)
    }
}
