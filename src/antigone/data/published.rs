//! Data, published edition (report §2.1): AN-Di, AN-Dc, AN-Db, AN-Dn.
//!
//! **Guarantees.** The digest of *integrity* and *both* shows that some holder of K_g wrote the message, whoever it names
//! (A2), at some time (A1). *Confidentiality* alone can be altered (X5). The text begins with a byte that says for whom
//! inside the application it is.

use bytes::{BufMut, Bytes, BytesMut};

use crate::antigone::keys::published::{Group, GroupKey};
use crate::crypto::published::PublishedSuite;
use crate::crypto::published::sealing::{decrypt, encrypt};
use crate::endpoint::Entropy;
use crate::error::Reason;
use crate::event::Port;
use crate::identity::{Name, NameRef};
use crate::policy::Protection;
use crate::wire::field::Payload;
use crate::wire::frame::HEADER_BYTES;
use crate::wire::published::{BothData, ClearData, DataText, GroupId, IntegrityData, Sealed, SecretData};
use crate::wire::{Field, Header, Message};

/// What a message adds to its payload at most, names not counted, in bytes.
pub const OVERHEAD: usize = HEADER_BYTES + 24 + 24 + 64;

/// A message as read.
#[derive(Debug)]
pub struct Opened {
    /// Whom it names as its sender.
    pub sender: Name,
    /// For whom inside the application.
    pub port: Port,
    /// What is said.
    pub payload: Bytes,
}

/// The group identifier of a message, and the protection that its form has.
///
/// # Errors
/// [`Reason::Malformed`], [`Reason::Misdirected`] if it is none of the four.
pub fn peek(code: u8, frame: &[u8]) -> Result<(Group, Protection), Reason> {
    fn group<'f, M: Message<'f>>(frame: &'f [u8], of: impl Fn(&M) -> GroupId<'f>) -> Result<Group, Reason> {
        Ok(Group::of(&of(&M::parse(frame).map_err(|_| Reason::Malformed)?.message)))
    }
    if code == IntegrityData::INFO.code {
        Ok((group(frame, |data: &IntegrityData<'_>| data.group)?, Protection::Integrity))
    } else if code == SecretData::INFO.code {
        Ok((group(frame, |data: &SecretData<'_>| data.group)?, Protection::Confidentiality))
    } else if code == BothData::INFO.code {
        Ok((group(frame, |data: &BothData<'_>| data.group)?, Protection::Both))
    } else if code == ClearData::INFO.code {
        Ok((group(frame, |data: &ClearData<'_>| data.group)?, Protection::None))
    } else {
        Err(Reason::Misdirected)
    }
}

/// The fields given, one after the other, in the places of an encoding.
fn fields(parts: &[&dyn Fn(&mut BytesMut)]) -> BytesMut {
    let mut out = BytesMut::with_capacity(256);
    parts.iter().for_each(|part| part(&mut out));
    out
}

/// A message under the protection of the policy.
///
/// # Errors
/// [`Reason::Entropy`], [`Reason::Suite`].
#[allow(clippy::too_many_arguments)]
pub fn seal(
    suite: &dyn PublishedSuite,
    header: Header,
    rng: &mut dyn Entropy,
    key: &GroupKey,
    protection: Protection,
    sender: NameRef<'_>,
    port: Port,
    payload: &[u8],
) -> Result<Bytes, Reason> {
    let group = key.group.wire();
    let mut text = BytesMut::with_capacity(payload.len() + 1);
    text.put_u8(match port {
        Port::Application => 0,
        Port::Transfer => 1,
    });
    text.put_slice(payload);
    let text = Payload(&text);
    let mut out = BytesMut::with_capacity(payload.len() + OVERHEAD + 255);
    let secret = key.key.secret();
    match protection {
        Protection::None => ClearData { group, sender, text }.put_open(header, &mut out),
        Protection::Integrity => {
            let covered = fields(&[&|out| group.put(out), &|out| sender.put(out), &|out| text.put(out)]);
            let digest = suite.mac(secret, &[&covered])?;
            IntegrityData { group, sender, text, digest }.put_open(header, &mut out);
        }
        Protection::Confidentiality | Protection::Both => {
            let sealed = encrypt(suite, rng, secret, &DataText { sender, text })?;
            let sealed = Sealed::new(&sealed);
            if protection == Protection::Confidentiality {
                SecretData { group, sealed }.put_open(header, &mut out);
            } else {
                let covered = fields(&[&|out| group.put(out), &|out| sealed.put(out)]);
                let digest = suite.mac(secret, &[&covered])?;
                BothData { group, sealed, digest }.put_open(header, &mut out);
            }
        }
    }
    Ok(out.freeze())
}

/// Reads a message under `key`; it must have the protection that the policy states.
///
/// # Errors
/// [`Reason::Protection`], [`Reason::OldEpoch`] for another g, [`Reason::Forged`], [`Reason::Malformed`],
/// [`Reason::Suite`].
pub fn open(
    suite: &dyn PublishedSuite,
    key: &GroupKey,
    protection: Protection,
    code: u8,
    frame: &[u8],
) -> Result<Opened, Reason> {
    let (group, form) = peek(code, frame)?;
    if form != protection {
        return Err(Reason::Protection);
    }
    if group != key.group {
        return Err(Reason::OldEpoch);
    }
    let secret = key.key.secret();
    let malformed = |_| Reason::Malformed;
    let covered = |digest: &crate::wire::field::Tag| {
        frame.get(HEADER_BYTES..frame.len().saturating_sub(digest.as_bytes().len() + 2)).unwrap_or_default()
    };
    let read = |sealed: &[u8]| {
        let text = decrypt(suite, secret, sealed)?;
        let text = DataText::decode(&text).map_err(|_| Reason::Forged)?;
        opened(text.sender, text.text.0)
    };
    match protection {
        Protection::None => {
            let data = ClearData::parse(frame).map_err(malformed)?.message;
            opened(data.sender, data.text.0)
        }
        Protection::Integrity => {
            let data = IntegrityData::parse(frame).map_err(malformed)?.message;
            suite.verify_mac(secret, &[covered(&data.digest)], &data.digest)?;
            opened(data.sender, data.text.0)
        }
        Protection::Confidentiality => read(SecretData::parse(frame).map_err(malformed)?.message.sealed.bytes),
        Protection::Both => {
            let data = BothData::parse(frame).map_err(malformed)?.message;
            suite.verify_mac(secret, &[covered(&data.digest)], &data.digest)?;
            read(data.sealed.bytes)
        }
    }
}

fn opened(sender: NameRef<'_>, text: &[u8]) -> Result<Opened, Reason> {
    let (port, payload) = text.split_first().ok_or(Reason::Forged)?;
    let port = match port {
        0 => Port::Application,
        1 => Port::Transfer,
        _ => return Err(Reason::Forged),
    };
    Ok(Opened { sender: sender.to_name(), port, payload: Bytes::copy_from_slice(payload) })
}
