//! The messages of Enclaves 2.0: functions that make and open them, without any state (report §3.1, §3.2; enclaves §3).
//!
//! What a function checks is what the report says that its receiver checks, and no more. Each refers to the weakness that
//! follows from that.

use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use super::keys::{GroupKey, KeyWithIv, SessionKey};
use crate::crypto::Key;
use crate::crypto::keys::role;
use crate::crypto::published::PublishedSuite;
use crate::crypto::published::sealing::{decrypt, encrypt, secret_text};
use crate::endpoint::Entropy;
use crate::error::{Failure, Reason};
use crate::event::{Message as Received, Port, Sender};
use crate::identity::{Epoch, Name, NameRef};
use crate::wire::enclaves::version_2::{
    AuthConfirm, AuthConfirmText, AuthReply, AuthReplyText, AuthRequest, AuthRequestText, Close, CloseRequest,
    DataText, DataToLeader, DataToMember, GossipKeyText, GossipText, GossipToLeader, GossipToMember, MemberAdded,
    MemberRemoved, MemberText, NewKey, NewKeyAck, NewKeyAckText, NewKeyText, OpenAnswer, OpenRequest, OpenVerdict,
};
use crate::wire::field::{Blob, List, Nested, Nonce, Rest, to_vec};
use crate::wire::frame::{HEADER_BYTES, MAX_TEXT};
use crate::wire::published::Sealed;
use crate::wire::{Field, Header, Message};

/// Bytes that a data frame has beside the payload and the name, without what sealing adds.
pub const DATA_OVERHEAD: usize = HEADER_BYTES + 1 + 4 + 1;

/// Suite and header: what every message needs.
#[derive(Clone, Copy, Debug)]
pub struct Scheme<'a> {
    /// The suite.
    pub suite: &'a dyn PublishedSuite,
    /// The header of this edition and suite.
    pub header: Header,
}

/// What EN-A2 gives a newcomer.
#[derive(Debug, Clone)]
pub struct Welcome {
    /// N2: the leader's fresh number.
    pub n2: Nonce,
    /// K_a, with the vector of K_g (D5).
    pub session: SessionKey,
    /// K_g.
    pub group: GroupKey,
}

/// The two that speak before there is a session, and P_a.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// The leader.
    pub leader: NameRef<'a>,
    /// The member.
    pub member: NameRef<'a>,
    /// P_a.
    pub user: &'a Key<role::PublishedUser>,
}

/// Data as they were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// For whom inside the application.
    pub port: Port,
    /// What is said.
    pub payload: Bytes,
}

impl Opened {
    /// What the application is given.
    pub(super) fn into_message(self, from: Sender, epoch: Epoch) -> Received {
        let Self { port, payload } = self;
        Received { from, epoch, port, payload }
    }
}

/// Gossip as the leader reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gossip {
    /// Who shall have it.
    pub recipients: Vec<Name>,
    /// What is said.
    pub data: Opened,
}

fn malformed<E>(_: E) -> Reason {
    Reason::Malformed
}

/// What was encrypted is not what it should be. Under a cipher without authentication this is all that notices a forgery.
fn forged<E>(_: E) -> Reason {
    Reason::Forged
}

impl Scheme<'_> {
    fn frame<'a>(&self, message: &impl Message<'a>, room: usize) -> Bytes {
        let mut out = BytesMut::with_capacity(HEADER_BYTES + 64 + room);
        message.put_open(self.header, &mut out);
        out.freeze()
    }

    /// EN-P1, in clear.
    pub fn open_request(&self, member: NameRef<'_>) -> Bytes {
        self.frame(&OpenRequest { member }, 255)
    }

    /// EN-P2, in clear: anybody can write it (E8).
    pub fn open_answer(&self, leader: NameRef<'_>, accepted: bool) -> Bytes {
        let answer = if accepted { OpenVerdict::Accepted } else { OpenVerdict::Denied };
        self.frame(&OpenAnswer { leader, answer }, 255)
    }

    /// EN-A1. Nothing in it is fresh for the leader (X9).
    ///
    /// # Errors
    /// [`Reason::Entropy`], [`Reason::Suite`].
    pub fn request(&self, rng: &mut dyn Entropy, pair: Pair<'_>, n1: Nonce) -> Result<Bytes, Reason> {
        let Pair { leader, member, user } = pair;
        let sealed = encrypt(self.suite, rng, user.secret(), &AuthRequestText { member, leader, n1 })?;
        Ok(self.frame(&AuthRequest { member, sealed: Sealed::new(&sealed) }, sealed.len() + 255))
    }

    /// Reads EN-A1: it opens under P_a and names both. Gives N1.
    ///
    /// # Errors
    /// [`Reason::Malformed`], [`Reason::Forged`], [`Reason::Suite`].
    pub fn read_request(&self, pair: Pair<'_>, frame: &[u8]) -> Result<Nonce, Reason> {
        let request = AuthRequest::parse(frame).map_err(malformed)?.message;
        let text = decrypt(self.suite, pair.user.secret(), request.sealed.bytes)?;
        let text = AuthRequestText::decode(&text).map_err(forged)?;
        let named = text.member == pair.member && text.leader == pair.leader;
        if !named || text.n1.as_bytes().len() != self.suite.sizes().nonce {
            return Err(Reason::Forged);
        }
        Ok(text.n1)
    }

    /// EN-A2.
    ///
    /// # Errors
    /// [`Reason::Entropy`], [`Reason::Suite`].
    pub fn reply(&self, rng: &mut dyn Entropy, pair: Pair<'_>, n1: Nonce, welcome: &Welcome) -> Result<Bytes, Reason> {
        let Pair { leader, member, user } = pair;
        let Welcome { n2, session, group } = welcome;
        let text = AuthReplyText {
            leader,
            member,
            n1,
            n2: *n2,
            session: Blob(session.key.secret().expose()),
            iv: group.held.iv,
            group: Blob(group.held.key.secret().expose()),
        };
        let sealed = encrypt(self.suite, rng, user.secret(), &text)?;
        Ok(self.frame(&AuthReply { leader, sealed: Sealed::new(&sealed) }, sealed.len() + 255))
    }

    /// Reads EN-A2: it opens under P_a, names both, and holds the N1 of this attempt.
    ///
    /// # Errors
    /// [`Reason::Unknown`] for another leader's label; [`Reason::Malformed`], [`Reason::Forged`], [`Reason::Suite`];
    /// [`Reason::Replayed`] for another N1.
    pub fn read_reply(&self, pair: Pair<'_>, n1: &Nonce, frame: &[u8]) -> Result<Welcome, Reason> {
        let reply = AuthReply::parse(frame).map_err(malformed)?.message;
        if reply.leader != pair.leader {
            return Err(Reason::Unknown);
        }
        let text = decrypt(self.suite, pair.user.secret(), reply.sealed.bytes)?;
        let text = AuthReplyText::decode(&text).map_err(forged)?;
        if text.leader != pair.leader || text.member != pair.member {
            return Err(Reason::Forged);
        }
        if text.n1 != *n1 {
            return Err(Reason::Replayed);
        }
        if text.n2.as_bytes().len() != self.suite.sizes().nonce {
            return Err(Reason::Forged);
        }
        let session = KeyWithIv::read(self.suite, text.session.0, text.iv).ok_or(Reason::Forged)?;
        let group = KeyWithIv::read(self.suite, text.group.0, text.iv).ok_or(Reason::Forged)?;
        Ok(Welcome { n2: text.n2, session, group: GroupKey::of(self.suite, group)? })
    }

    /// EN-A3.
    ///
    /// # Errors
    /// [`Reason::Suite`].
    pub fn confirm(&self, member: NameRef<'_>, session: &SessionKey, n2: Nonce) -> Result<Bytes, Reason> {
        let sealed = session.encrypt(self.suite, &AuthConfirmText { n2 })?;
        Ok(self.frame(&AuthConfirm { member, sealed: Sealed::new(&sealed) }, sealed.len() + 255))
    }

    /// Checks EN-A3: it opens under K_a and holds N2.
    ///
    /// # Errors
    /// [`Reason::Malformed`], [`Reason::Forged`], [`Reason::Suite`]; [`Reason::Replayed`] for another N2.
    pub fn check_confirm(&self, session: &SessionKey, n2: &Nonce, frame: &[u8]) -> Result<(), Reason> {
        let confirm = AuthConfirm::parse(frame).map_err(malformed)?.message;
        let text = session.decrypt(self.suite, confirm.sealed.bytes)?;
        let text = AuthConfirmText::decode(&text).map_err(forged)?;
        if text.n2 == *n2 { Ok(()) } else { Err(Reason::Replayed) }
    }

    /// EN-M+ or, with `added` false, EN-M-. The key is K_g, as the prose says (enclaves §3, misprints).
    ///
    /// # Errors
    /// [`Reason::Suite`].
    pub fn notice(&self, leader: NameRef<'_>, key: &GroupKey, added: bool, who: NameRef<'_>) -> Result<Bytes, Reason> {
        let sealed = key.held.encrypt(self.suite, &MemberText { name: who })?;
        let room = sealed.len() + 255;
        let sealed = Sealed::new(&sealed);
        Ok(if added {
            self.frame(&MemberAdded { leader, sealed }, room)
        } else {
            self.frame(&MemberRemoved { leader, sealed }, room)
        })
    }

    /// Reads EN-M+ or EN-M-: it opens under K_g. That is all that shows it: it may be a replay (E9, E13), and whoever holds
    /// K_g may have made it (X8).
    ///
    /// # Errors
    /// [`Reason::Malformed`], [`Reason::Forged`], [`Reason::Suite`].
    pub fn read_notice(&self, key: &GroupKey, added: bool, frame: &[u8]) -> Result<Name, Reason> {
        let sealed = if added {
            MemberAdded::parse(frame).map_err(malformed)?.message.sealed
        } else {
            MemberRemoved::parse(frame).map_err(malformed)?.message.sealed
        };
        let text = key.held.decrypt(self.suite, sealed.bytes)?;
        Ok(MemberText::decode(&text).map_err(forged)?.name.to_name())
    }

    /// EN-NK: under K_a, with its vector.
    ///
    /// # Errors
    /// [`Reason::Suite`].
    pub fn new_key(&self, leader: NameRef<'_>, session: &SessionKey, key: &GroupKey) -> Result<Bytes, Reason> {
        let text = NewKeyText { group: Blob(key.held.key.secret().expose()), iv: key.held.iv };
        let sealed = session.encrypt(self.suite, &text)?;
        Ok(self.frame(&NewKey { leader, sealed: Sealed::new(&sealed) }, sealed.len() + 255))
    }

    /// Reads EN-NK: it opens under K_a. Nothing shows that it is fresh (E11), nor that it was meant as a key (X6).
    ///
    /// # Errors
    /// [`Reason::Malformed`], [`Reason::Forged`], [`Reason::Suite`].
    pub fn read_new_key(&self, session: &SessionKey, frame: &[u8]) -> Result<GroupKey, Reason> {
        let message = NewKey::parse(frame).map_err(malformed)?.message;
        let text = session.decrypt(self.suite, message.sealed.bytes)?;
        let text = NewKeyText::decode(&text).map_err(forged)?;
        let held = KeyWithIv::read(self.suite, text.group.0, text.iv).ok_or(Reason::Forged)?;
        Ok(GroupKey::of(self.suite, held)?)
    }

    /// EN-NKA: K_g' under itself (D28).
    ///
    /// # Errors
    /// [`Reason::Suite`].
    pub fn new_key_ack(&self, member: NameRef<'_>, key: &GroupKey) -> Result<Bytes, Reason> {
        let sealed = key.held.encrypt(self.suite, &NewKeyAckText { group: Blob(key.held.key.secret().expose()) })?;
        Ok(self.frame(&NewKeyAck { member, sealed: Sealed::new(&sealed) }, sealed.len() + 255))
    }

    /// Checks EN-NKA. Any holder of K_g' can make it for any member (X7).
    ///
    /// # Errors
    /// [`Reason::Malformed`], [`Reason::Forged`], [`Reason::Suite`].
    pub fn check_new_key_ack(&self, key: &GroupKey, frame: &[u8]) -> Result<(), Reason> {
        let ack = NewKeyAck::parse(frame).map_err(malformed)?.message;
        let text = key.held.decrypt(self.suite, ack.sealed.bytes)?;
        let text = NewKeyAckText::decode(&text).map_err(forged)?;
        let named = crate::crypto::Secret::new(text.group.0);
        if named.same(key.held.key.secret()) { Ok(()) } else { Err(Reason::Forged) }
    }

    /// EN-C1, in clear: anybody can write it (E12).
    pub fn close_request(&self, member: NameRef<'_>) -> Bytes {
        self.frame(&CloseRequest { member }, 255)
    }

    /// EN-C2, in clear: anybody can write it (E14).
    pub fn close(&self, leader: NameRef<'_>) -> Bytes {
        self.frame(&Close { leader }, 255)
    }

    /// EN-D1 or, with `to_members`, EN-D2 of the leader's own. The label is clear and bound to nothing (E3).
    ///
    /// # Errors
    /// [`Reason::Suite`].
    pub fn data(
        &self,
        sender: NameRef<'_>,
        key: &GroupKey,
        to_members: bool,
        port: Port,
        payload: &[u8],
    ) -> Result<Bytes, Reason> {
        let text = DataText { port: code_of(port), text: Rest(payload) };
        let sealed = key.held.encrypt_long(self.suite, &text, payload.len() + 1)?;
        let room = sealed.len() + 255;
        let sealed = Sealed::new(&sealed);
        Ok(if to_members {
            self.frame(&DataToMember { sender, sealed }, room)
        } else {
            self.frame(&DataToLeader { sender, sealed }, room)
        })
    }

    /// EN-D2 of an EN-D1: label and ciphertext as they came.
    pub fn relay(&self, message: &DataToLeader<'_>) -> Bytes {
        let DataToLeader { sender, sealed } = *message;
        self.frame(&DataToMember { sender, sealed: Sealed::new(sealed.bytes) }, sealed.bytes.len() + 255)
    }

    /// Reads data: they open under K_g. They may be a replay (E2), by any member (E3), and changed (E4).
    ///
    /// # Errors
    /// [`Reason::Forged`], [`Reason::Suite`].
    pub fn read_data(&self, key: &GroupKey, sealed: &[u8]) -> Result<Opened, Reason> {
        opened(&key.held.decrypt(self.suite, sealed)?)
    }

    /// EN-G1.
    ///
    /// # Errors
    /// [`Reason::Suite`]; [`Reason::Oversize`] for more recipients than one message holds.
    pub fn gossip(
        &self,
        sender: NameRef<'_>,
        session: &SessionKey,
        recipients: &[NameRef<'_>],
        port: Port,
        payload: &[u8],
    ) -> Result<Bytes, Reason> {
        if recipients.len() > crate::wire::enclaves::version_2::MAX_RECIPIENTS {
            return Err(Reason::Oversize);
        }
        let list = to_vec(&List::<_, { crate::wire::enclaves::version_2::MAX_RECIPIENTS }>::of(recipients));
        let recipients = Nested::new(&list).map_err(|_| Reason::Oversize)?;
        let text = GossipText { recipients, port: code_of(port), text: Rest(payload) };
        let sealed = session.encrypt_long(self.suite, &text, payload.len() + list.len() + 3)?;
        Ok(self.frame(&GossipToLeader { sender, sealed: Sealed::new(&sealed) }, sealed.len() + 255))
    }

    /// Reads EN-G1: it opens under the K_a of whom the label names. It may be a replay (E5).
    ///
    /// # Errors
    /// [`Reason::Malformed`], [`Reason::Forged`], [`Reason::Suite`].
    pub fn read_gossip(&self, session: &SessionKey, frame: &[u8]) -> Result<Gossip, Reason> {
        let message = GossipToLeader::parse(frame).map_err(malformed)?.message;
        let text = session.decrypt(self.suite, message.sealed.bytes)?;
        let text = GossipText::decode(&text).map_err(forged)?;
        let recipients = text.recipients.value.iter().map(NameRef::to_name).collect();
        let (port, payload) = (port_of(text.port)?, Bytes::copy_from_slice(text.text.0));
        Ok(Gossip { recipients, data: Opened { port, payload } })
    }

    /// The part of EN-G2 that all recipients get: `{data}_{K'}`. K' has no vector that travels with it, so a random one
    /// stands in front, as under P_a (D5).
    ///
    /// # Errors
    /// [`Reason::Entropy`], [`Reason::Suite`].
    pub fn gossip_data(
        &self,
        rng: &mut dyn Entropy,
        key: &Key<role::PublishedGossip>,
        data: &Opened,
    ) -> Result<Bytes, Reason> {
        let text = DataText { port: code_of(data.port), text: Rest(&data.payload) };
        let text = secret_text(&text, data.payload.len() + 1);
        let mut sealed = BytesMut::with_capacity(text.len() + self.suite.sizes().sealing);
        let failed = |error| Reason::from(Failure::from(error));
        self.suite.encrypt(rng, key.secret(), text.expose(), &mut sealed).map_err(failed)?;
        Ok(sealed.freeze())
    }

    /// EN-G2 for one recipient, round `{data}_{K'}`.
    ///
    /// # Errors
    /// [`Reason::Suite`].
    pub fn gossip_for(
        &self,
        sender: NameRef<'_>,
        recipient: (NameRef<'_>, &SessionKey),
        key: &Key<role::PublishedGossip>,
        data: &[u8],
    ) -> Result<Bytes, Reason> {
        let (recipient, session) = recipient;
        let text = GossipKeyText { recipient, key: Blob(key.secret().expose()) };
        let sealed = session.encrypt(self.suite, &text)?;
        let message = GossipToMember { sender, key: Sealed::new(&sealed), sealed: Sealed::new(data) };
        Ok(self.frame(&message, sealed.len() + data.len() + 255))
    }

    /// Reads EN-G2: the key opens under K_b and is for this recipient, the data open under the key. Who sent it is a clear
    /// label (E3), and it may be a replay (E5).
    ///
    /// # Errors
    /// [`Reason::Malformed`], [`Reason::Forged`], [`Reason::Suite`].
    pub fn read_gossip_for(
        &self,
        recipient: NameRef<'_>,
        session: &SessionKey,
        message: &GossipToMember<'_>,
    ) -> Result<Opened, Reason> {
        let text = session.decrypt(self.suite, message.key.bytes)?;
        let text = GossipKeyText::decode(&text).map_err(forged)?;
        if text.recipient != recipient || text.key.0.len() != self.suite.sizes().key {
            return Err(Reason::Forged);
        }
        let key = crate::crypto::Secret::new(text.key.0);
        opened(&decrypt(self.suite, &key, message.sealed.bytes)?)
    }

    /// The longest payload in a frame of `limit` bytes from a sender of this name.
    pub fn max_message(&self, sender: NameRef<'_>, limit: usize) -> usize {
        let around = DATA_OVERHEAD + sender.as_str().len() + self.suite.sizes().sealing;
        limit.saturating_sub(around).min(MAX_TEXT - 512)
    }

    /// The same for gossip. Two frames must fit: the sender's, with all names, and each recipient's, with the key.
    pub fn max_gossip(&self, sender: NameRef<'_>, recipients: &[NameRef<'_>], limit: usize) -> usize {
        let names: usize = recipients.iter().map(|name| 1 + name.as_str().len()).sum();
        let sizes = self.suite.sizes();
        let key = 4 + sizes.key + 2 + 256 + sizes.sealing;
        self.max_message(sender, limit.min(MAX_TEXT)).saturating_sub((names + 6).max(key))
    }
}

fn opened(text: &[u8]) -> Result<Opened, Reason> {
    let DataText { port, text } = DataText::decode(text).map_err(forged)?;
    Ok(Opened { port: port_of(port)?, payload: Bytes::copy_from_slice(text.0) })
}

fn code_of(port: Port) -> u8 {
    match port {
        Port::Application => 0,
        Port::Transfer => 1,
    }
}

fn port_of(code: u8) -> Result<Port, Reason> {
    match code {
        0 => Ok(Port::Application),
        1 => Ok(Port::Transfer),
        _ => Err(Reason::Forged),
    }
}
