//! Frames of a scene that are changed and made authentic again, as their sender could have made them.

#![allow(dead_code, reason = "each test file uses a part of it")]

use bytes::Bytes;
use sodality::crypto::symbolic::symbolic;
use sodality::group::Checks;
use sodality::policy::Policy;
use sodality::sim::star::StarConfig;
use sodality::sim::{InTransit, Tables, World};
use sodality::wire::Value;
use sodality::wire::shape::Content;

use crate::keyring::Keyring;
use crate::scene::{Scene, config, number_in};

/// A suite that remembers its keys.
pub(crate) struct Forge(Keyring);

impl Forge {
    pub(crate) fn new() -> Self {
        Self(Keyring::new(symbolic().silent()))
    }

    pub(crate) fn config(&self, policy: Policy) -> StarConfig {
        StarConfig { suite: self.0.suite(), ..config(policy, Checks::ALL) }
    }

    /// A group in which all have joined and their last rekey has settled.
    pub(crate) fn joined(&self, policy: Policy, members: &[&str]) -> Scene {
        Scene::settled(self.config(policy), members)
    }

    /// As [`Self::joined`], with nobody who looks on: for runs in which somebody breaks the protocol.
    pub(crate) fn unwatched(&self, policy: Policy, members: &[&str]) -> Scene {
        Self::unwatched_in(self.config(policy), members)
    }

    pub(crate) fn unwatched_in(config: StarConfig, members: &[&str]) -> Scene {
        let mut scene = Scene::within(World::new(11), config, members);
        scene.settle();
        scene
    }

    /// What stands in the box of a frame.
    pub(crate) fn body(&self, frame: &InTransit) -> Value {
        self.0.open(&Tables::default(), &frame.bytes).unwrap().draft.body().unwrap()
    }

    /// The frame with changed clear fields and text, authentic again.
    pub(crate) fn forge(&self, frame: &InTransit, change: impl FnOnce(&mut Value, &mut Value)) -> Bytes {
        let mut opened = self.0.open(&Tables::default(), &frame.bytes).unwrap();
        let mut body = opened.draft.body().unwrap();
        change(&mut opened.draft.clear, &mut body);
        opened.draft.set_body(&body);
        self.0.close(&opened).unwrap().into()
    }

    /// As [`Self::forge`], for a frame without a box: tagged, or made of key blocks.
    pub(crate) fn forge_clear(&self, frame: &InTransit, change: impl FnOnce(&mut Value)) -> Bytes {
        let mut opened = self.0.open(&Tables::default(), &frame.bytes).unwrap();
        change(&mut opened.draft.clear);
        self.0.close(&opened).unwrap().into()
    }

    /// The next frames of the peer that sent `frame` on a channel: so many numbers on, with this text.
    pub(crate) fn next(&self, frame: &InTransit, on: u64, change: impl FnOnce(&mut Value)) -> Bytes {
        self.forge(frame, |clear, body| {
            number_in(clear, "n", |n| n + on);
            change(body);
        })
    }
}

/// A number, of whatever length.
pub(crate) fn get(value: &Value, field: &str) -> u64 {
    let bytes = value.find(field).unwrap_or_else(|| panic!("{field} in {value:?}")).to_bytes();
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

pub(crate) fn set(value: &mut Value, field: &str, bytes: &[u8]) {
    value.find_mut(field).unwrap_or_else(|| panic!("{field}")).content = Content::Leaf(bytes.to_vec());
}

/// Puts what stands there in `from` in place of what stands here.
pub(crate) fn graft(value: &mut Value, field: &str, from: &Value) {
    *value.find_mut(field).unwrap() = from.find(field).unwrap().clone();
}
