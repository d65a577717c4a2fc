//! Frames of the edition as published. A digest or a signature over `a, b, c` covers the encoded fields, without the header;
//! nothing says what type a text has.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use sodality::crypto::Secret;
use sodality::crypto::published::PublishedSuite;
use sodality::endpoint::Link;
use sodality::identity::NameRef;
use sodality::sim::star::{LEADER, long_term_key};
use sodality::sim::{InTransit, SimRng};
use sodality::wire::field::{Blob, Field, List, Nonce, Payload, Tag};
use sodality::wire::frame::HEADER_BYTES;
use sodality::wire::published::{
    BothData, ConfirmText, DataText, GroupId, IntegrityData, JoinConfirm, JoinError, JoinReply, JoinWish, KeyBlock,
    KeyDelivery, KeyText, KeyWish, PairRequest, Rekey, ReplyText, Sealed, SecretData,
};
use sodality::wire::{Edition, Header, Message, System, antigone::RefuseCode};

use crate::row::{Failed, Ran, Setup};
use crate::scene::published as place;
use crate::scene::repaired;
use crate::scene::{NAMES, SOON, Scene};

/// A group key and the g that belongs to it.
#[derive(Clone, Debug)]
pub struct GroupKey {
    /// g, encoded.
    pub group: Vec<u8>,
    /// K_g.
    pub key: Secret,
}

impl GroupKey {
    fn group(&self) -> Ran<GroupId<'_>> {
        Ok(GroupId::decode(&self.group)?)
    }
}

/// What an attacker works with: the suite, its own randomness, and keys that its row gives it.
#[derive(Debug)]
pub struct Kit {
    suite: Arc<dyn PublishedSuite>,
    rng: SimRng,
}

fn name(text: &str) -> Ran<NameRef<'_>> {
    Ok(NameRef::new(text)?)
}

/// The byte in front of what is said to the application.
const APPLICATION: u8 = 0;

/// m, for the application.
fn said(text: &[u8]) -> Vec<u8> {
    [&[APPLICATION], text].concat()
}

fn number(bytes: &[u8]) -> Ran<Nonce> {
    Nonce::new(bytes).ok_or_else(|| Failed::steps("no number"))
}

/// What a digest at the end of a frame covers.
fn before(frame: &[u8], digest: &Tag) -> Ran<Vec<u8>> {
    let end = frame.len().saturating_sub(digest.as_bytes().len() + 2);
    frame.get(HEADER_BYTES..end).map(<[u8]>::to_vec).ok_or_else(|| Failed::steps("a frame without a digest"))
}

impl Kit {
    /// For a run.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn new(setup: &Setup) -> Ran<Self> {
        Ok(Self { suite: place::suite(setup), rng: SimRng::new(setup.seed).fork(0x0dd) })
    }

    /// The suite.
    pub fn suite(&self) -> &dyn PublishedSuite {
        &*self.suite
    }

    /// The header of published frames.
    pub fn header(&self) -> Header {
        Header { system: System::Antigone, edition: Edition::AsPublished, suite: self.suite.id() }
    }

    /// K_A: what a corrupt principal knows of itself.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn long_term(&self, who: &str) -> Ran<Secret> {
        let modern = repaired::suite();
        let key = long_term_key(&*modern, who);
        Ok(self.suite.long_term(&*modern, key.secret(), name(who)?)?)
    }

    /// σ of a member and the leader, from the member's long-term key.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn sigma(&self, who: &str) -> Ran<Secret> {
        Ok(self.suite.name_under(&self.long_term(who)?, name(LEADER)?, name(who)?)?)
    }

    /// A key of the right length that fits nothing: for control runs.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn wrong_key(&mut self) -> Ran<Secret> {
        Ok(self.suite.fresh_key(&mut self.rng)?)
    }

    /// `{x}_K`.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn encrypt<'t>(&mut self, key: &Secret, text: &impl Field<'t>) -> Ran<BytesMut> {
        let (mut clear, mut out) = (BytesMut::new(), BytesMut::new());
        text.put(&mut clear);
        self.suite.encrypt(&mut self.rng, key, &clear, &mut out)?;
        Ok(out)
    }

    /// The key that AN-K or AN-R holds for that member, for whoever has its σ.
    pub fn key_for(&self, sigma: &Secret, who: &str, frame: &InTransit) -> Option<GroupKey> {
        let sealed = match KeyDelivery::parse(&frame.bytes) {
            Ok(delivery) => delivery.message.sealed.bytes,
            Err(_) => {
                let rekey = Rekey::parse(&frame.bytes).ok()?.message;
                rekey.blocks.iter().find(|block| block.member.as_str() == who)?.sealed.bytes
            }
        };
        let text = self.suite.decrypt(sigma, sealed).ok()?;
        let KeyText { group, key } = KeyText::decode(&text).ok()?;
        let mut encoded = BytesMut::new();
        group.put(&mut encoded);
        Some(GroupKey { group: encoded.to_vec(), key: Secret::new(key.0) })
    }

    /// Who says what in a data frame, for whoever has the key; where nothing is encrypted, for anybody.
    pub fn read_data(&self, key: &GroupKey, frame: &InTransit) -> Option<(String, Vec<u8>)> {
        let sealed = match (BothData::parse(&frame.bytes), SecretData::parse(&frame.bytes)) {
            (Ok(both), _) if frame.bytes.get(4) == Some(&BothData::INFO.code) => both.message.sealed.bytes,
            (_, Ok(secret)) if frame.bytes.get(4) == Some(&SecretData::INFO.code) => secret.message.sealed.bytes,
            _ => return None,
        };
        let text = self.suite.decrypt(&key.key, sealed).ok()?;
        let DataText { sender, text } = DataText::decode(&text).ok()?;
        // A byte says for which part of the application it is.
        let text = text.0.strip_prefix(&[APPLICATION])?;
        Some((sender.as_str().to_owned(), text.to_vec()))
    }

    /// AN-Db in whoever's name, for whoever has the key.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn both(&mut self, key: &GroupKey, sender: &str, text: &[u8]) -> Ran<Bytes> {
        let text = said(text);
        let said = DataText { sender: name(sender)?, text: Payload(&text) };
        let sealed = self.encrypt(&key.key, &said)?;
        let unsigned = BothData { group: key.group()?, sealed: Sealed::new(&sealed), digest: Tag::NONE };
        let digest = self.digest(&key.key, &self.open(unsigned), &Tag::NONE)?;
        Ok(self.open(BothData { digest, ..unsigned }))
    }

    /// AN-Di in whoever's name, for whoever has the key.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn integrity(&self, key: &GroupKey, sender: &str, text: &[u8]) -> Ran<Bytes> {
        let text = said(text);
        let unsigned =
            IntegrityData { group: key.group()?, sender: name(sender)?, text: Payload(&text), digest: Tag::NONE };
        let digest = self.digest(&key.key, &self.open(unsigned), &Tag::NONE)?;
        Ok(self.open(IntegrityData { digest, ..unsigned }))
    }

    /// AN-Di with the digest of another: for whoever has two texts with one digest (X13).
    ///
    /// # Errors
    /// [`Failed`].
    pub fn integrity_with(&self, like: &[u8], text: &[u8]) -> Ran<Bytes> {
        let like = IntegrityData::parse(like)?.message;
        Ok(self.open(IntegrityData { text: Payload(&said(text)), ..like }))
    }

    /// AN-T1 in whoever's name, with whatever number.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn pair_request(&self, leader: &str, member: &str, i1: &[u8]) -> Ran<Bytes> {
        Ok(self.open(PairRequest { leader: name(leader)?, member: name(member)?, i1: number(i1)? }))
    }

    /// AN-J1 in whoever's name, with whatever number.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn join_wish(&self, member: &str, i0: &[u8]) -> Ran<Bytes> {
        Ok(self.open(JoinWish { member: name(member)?, i0: number(i0)? }))
    }

    /// AN-K of the attacker's own making, round a box that it has from elsewhere.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn delivery_from(&self, key: &GroupKey, sequence: u64, who: &str, sealed: &[u8]) -> Ran<Bytes> {
        let (group, member) = (key.group()?, name(who)?);
        let sealed = Sealed::new(sealed);
        let unsigned = KeyDelivery { group, sequence, member, sealed, members: List::of(&[]), digest: Tag::NONE };
        let digest = self.digest(&key.key, &self.open(unsigned), &Tag::NONE)?;
        Ok(self.open(KeyDelivery { digest, ..unsigned }))
    }

    /// A frame without a guard of its own.
    pub fn open<'m>(&self, message: impl Message<'m>) -> Bytes {
        let mut out = BytesMut::new();
        message.put_open(self.header(), &mut out);
        out.freeze()
    }

    fn digest(&self, key: &Secret, frame: &[u8], digest: &Tag) -> Ran<Tag> {
        Ok(self.suite.mac(key, &[&before(frame, digest)?])?)
    }

    /// AN-K with another S_SL, and the digest anew: for whoever has K_g (A9).
    ///
    /// # Errors
    /// [`Failed`].
    pub fn delivery_with(&self, frame: &InTransit, key: &Secret, sequence: u64) -> Ran<Bytes> {
        let honest = KeyDelivery::parse(&frame.bytes)?.message;
        let unsigned = KeyDelivery { sequence, digest: Tag::NONE, ..honest };
        let digest = self.digest(key, &self.open(unsigned), &Tag::NONE)?;
        Ok(self.open(KeyDelivery { digest, ..unsigned }))
    }

    /// AN-K with another list of members, and the digest anew: for whoever has K_g (A22).
    ///
    /// # Errors
    /// [`Failed`].
    pub fn delivery_listing(&self, frame: &InTransit, key: &Secret, members: &[&str]) -> Ran<Bytes> {
        let honest = KeyDelivery::parse(&frame.bytes)?.message;
        let names = members.iter().map(|member| name(member)).collect::<Ran<Vec<_>>>()?;
        let unsigned = KeyDelivery { members: List::of(&names), digest: Tag::NONE, ..honest };
        let digest = self.digest(key, &self.open(unsigned), &Tag::NONE)?;
        Ok(self.open(KeyDelivery { digest, ..unsigned }))
    }

    /// AN-R with another S_SL, and the digest anew: for whoever has K_g' (A12).
    ///
    /// # Errors
    /// [`Failed`].
    pub fn rekey_with(&self, frame: &InTransit, key: &Secret, sequence: u64) -> Ran<Bytes> {
        let honest = Rekey::parse(&frame.bytes)?.message;
        let unsigned = Rekey { sequence, digest: Tag::NONE, ..honest };
        let digest = self.digest(key, &self.open(unsigned), &Tag::NONE)?;
        Ok(self.open(Rekey { digest, ..unsigned }))
    }

    /// AN-R of the attacker's own making: a key of its choice for one member, in a block that somebody who has σ, or an
    /// oracle under it, has sealed.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn rekey_from(&self, key: &GroupKey, sequence: u64, who: &str, block: &[u8]) -> Ran<Bytes> {
        let blocks = [KeyBlock { member: name(who)?, sealed: Sealed::new(block) }];
        let unsigned = Rekey { group: key.group()?, sequence, blocks: List::of(&blocks), digest: Tag::NONE };
        let digest = self.digest(&key.key, &self.open(unsigned), &Tag::NONE)?;
        Ok(self.open(Rekey { digest, ..unsigned }))
    }

    /// AN-Q in whoever's name.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn key_wish(&self, group: &[u8], member: &str) -> Ran<Bytes> {
        Ok(self.open(KeyWish { group: GroupId::decode(group)?, member: name(member)? }))
    }

    /// The error message for a refused join, in clear.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn join_error(&self, member: &str) -> Ran<Bytes> {
        Ok(self.open(JoinError { leader: name(LEADER)?, member: name(member)?, reason: RefuseCode::Denied }))
    }

    /// What AN-K and AN-R hold under σ, before it is encrypted.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn key_text(&self, key: &GroupKey) -> Ran<Vec<u8>> {
        let mut text = BytesMut::new();
        KeyText { group: key.group()?, key: Blob(key.key.expose()) }.put(&mut text);
        Ok(text.to_vec())
    }

    /// Eight random bytes.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn draw(&mut self) -> Ran<[u8; 8]> {
        let drawn = self.suite.fresh_nonce(&mut self.rng, 8)?;
        drawn.as_bytes().try_into().map_err(|_| Failed::steps("eight bytes"))
    }

    /// A number of the suite's length.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn nonce(&mut self) -> Ran<Nonce> {
        let length = self.suite.sizes().nonce;
        Ok(self.suite.fresh_nonce(&mut self.rng, length)?)
    }
}

/// What takes a scene as well.
impl Kit {
    /// The newest group key that a corrupt member has got, read with its own σ from its own messages.
    ///
    /// # Errors
    /// [`Failed`] if it has got none.
    pub fn insider(&self, scene: &Scene, member: usize) -> Ran<GroupKey> {
        let (who, node) = (NAMES.get(member).copied().unwrap_or_default(), scene.node(member));
        let sigma = self.sigma(who)?;
        let mut frames = scene.frames("AN-K", node);
        frames.extend(scene.frames("AN-R", node));
        frames.sort_by_key(|frame| frame.number);
        let newest = frames.iter().rev().find_map(|frame| self.key_for(&sigma, who, frame));
        newest.ok_or_else(|| Failed::steps(format_args!("{who} has got no key")))
    }

    /// Joins in somebody's name over its line to the leader, whose answers the scene holds back. Gives the key that comes, if
    /// σ was right.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn join_as(&mut self, scene: &mut Scene, sigma: &Secret, who: &str, line: Link) -> Ran<Option<GroupKey>> {
        let i0 = self.nonce()?;
        scene.inject(line, self.open(JoinWish { member: name(who)?, i0 }))?;
        scene.run(SOON)?;
        let mut i2 = None;
        for frame in scene.frames_from("AN-J2", scene.leader()) {
            let Ok(reply) = JoinReply::parse(&frame.bytes) else { continue };
            let Ok(text) = self.suite.decrypt(sigma, reply.message.sealed.bytes) else { continue };
            let reply = ReplyText::decode(&text).ok().filter(|text| text.i0 == i0);
            i2 = reply.map(|text| text.i2).or(i2);
        }
        let Some(i2) = i2 else { return Ok(None) };
        let sealed = self.encrypt(sigma, &ConfirmText { member: name(who)?, i2 })?;
        let before = scene.frames_from("AN-K", scene.leader()).len();
        scene.inject(line, self.open(JoinConfirm { member: name(who)?, sealed: Sealed::new(&sealed) }))?;
        scene.run(SOON)?;
        let keys = scene.frames_from("AN-K", scene.leader());
        Ok(keys.iter().skip(before).find_map(|frame| self.key_for(sigma, who, frame)))
    }
}
