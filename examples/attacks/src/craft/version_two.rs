//! Frames of Enclaves 2.0. What makes and reads them is [`Scheme`], as anybody can who has the keys.

use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use sodality::crypto::published::PublishedSuite;
use sodality::enclaves::version_2::GroupKey;
use sodality::enclaves::version_2::messages::Scheme;
use sodality::identity::NameRef;
use sodality::sim::{InTransit, SimRng};
use sodality::wire::enclaves::version_2::{DataToLeader, DataToMember, GossipToLeader, NewKey};
use sodality::wire::published::Sealed;
use sodality::wire::{Edition, Header, Message, System};

use crate::row::{Ran, Setup};
use crate::scene::published as place;
use crate::scene::{NAMES, Scene};

/// What an attacker works with: the suite, and its own randomness.
pub struct Kit {
    suite: Arc<dyn PublishedSuite>,
    rng: SimRng,
}

impl fmt::Debug for Kit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kit").finish_non_exhaustive()
    }
}

/// A name on the wire.
///
/// # Errors
/// [`Failed`](crate::Failed) if it is none.
pub fn called(text: &str) -> Ran<NameRef<'_>> {
    Ok(NameRef::new(text)?)
}

impl Kit {
    /// For a run.
    pub fn new(setup: &Setup) -> Self {
        Self { suite: place::suite(setup), rng: SimRng::new(setup.seed).fork(0x0dd) }
    }

    /// The suite.
    pub fn suite(&self) -> &Arc<dyn PublishedSuite> {
        &self.suite
    }

    fn header(&self) -> Header {
        Header { system: System::Enclaves, edition: Edition::AsPublished, suite: self.suite.id() }
    }

    /// What makes and reads messages.
    pub fn scheme(&self) -> Scheme<'_> {
        Scheme { suite: &*self.suite, header: self.header() }
    }

    /// The group key as this member holds it now; one that nobody has in the control run.
    ///
    /// # Errors
    /// [`Failed`](crate::Failed) if it holds none.
    pub fn insider(&mut self, setup: &Setup, scene: &Scene, member: usize) -> Ran<GroupKey> {
        let key = scene.group_key(member)?;
        if setup.withheld { Ok(GroupKey::draw(&*self.suite, &mut self.rng)?) } else { Ok(key) }
    }

    /// What data say to whoever has this key, on their way to the leader or from it.
    pub fn reads(&self, key: &GroupKey, frame: &InTransit) -> Option<Vec<u8>> {
        let to_members = DataToMember::parse(&frame.bytes).map(|parsed| parsed.message.sealed.bytes);
        let sealed =
            to_members.or_else(|_| DataToLeader::parse(&frame.bytes).map(|parsed| parsed.message.sealed.bytes));
        self.scheme().read_data(key, sealed.ok()?).ok().map(|opened| opened.payload.to_vec())
    }

    /// Data with a label of the attacker's choice.
    ///
    /// # Errors
    /// [`Failed`](crate::Failed).
    pub fn data_as(&self, member: usize, key: &GroupKey, to_members: bool, text: &[u8]) -> Ran<Bytes> {
        let who = called(NAMES.get(member).copied().unwrap_or_default())?;
        Ok(self.scheme().data(who, key, to_members, sodality::event::Port::Application, text)?)
    }

    /// EN-G1 as EN-NK: the leader's label, another type, and the ciphertext as it was.
    ///
    /// # Errors
    /// [`Failed`](crate::Failed).
    pub fn as_new_key(&self, gossip: &InTransit, leader: &str) -> Ran<Bytes> {
        let sealed = GossipToLeader::parse(&gossip.bytes)?.message.sealed.bytes;
        let mut frame = BytesMut::new();
        NewKey { leader: called(leader)?, sealed: Sealed::new(sealed) }.put_open(self.header(), &mut frame);
        Ok(frame.freeze())
    }
}
