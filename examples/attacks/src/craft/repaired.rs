//! Frames of the repaired edition of Antigone; and data, which those of Enclaves are but for the header.

use bytes::{Bytes, BytesMut};
use sodality::antigone::data::{Sending, data_key};
use sodality::antigone::keys::open;
use sodality::crypto::keys::role;
use sodality::crypto::{Aead, BoxNumber, Key, Secret};
use sodality::endpoint::Instant;
use sodality::event::{EndReason, Port};
use sodality::group::{ChangeRecord, SealLimits, View};
use sodality::identity::{Epoch, MemberId, Name, Version};
use sodality::sim::{InTransit, SimRng};
use sodality::wire::antigone::{
    ChannelStatus, Content, Data, Delta, DeltaChanges, End, Flags, Heartbeat, Kind, MemberBody, Rekey,
};
use sodality::wire::field::{Field, List, VerifyingKey};
use sodality::wire::{Edition, Header, Message, System};

use super::{renumber, set};
use crate::row::{Failed, Ran};
use crate::scene::repaired::suite;
use crate::scene::wire::draft;

/// The header of repaired frames under the scene's suite.
pub fn header() -> Header {
    Header { system: System::Antigone, edition: Edition::Repaired, suite: suite().id() }
}

/// What the text of a member's or leader's channel frame may be.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    /// Where it claims to stand.
    pub epoch: Epoch,
    /// Which view it claims to have.
    pub view: Version,
    /// Which policy it claims to have.
    pub policy: Version,
    /// Whether it asks for an answer.
    pub answer: bool,
    /// What it carries.
    pub body: MemberBody<'a>,
}

impl Words<'_> {
    /// "I leave", or "you are out".
    pub fn end(reason: EndReason, by: MemberId) -> Self {
        let body = MemberBody::End(End { reason, by });
        Self { epoch: Epoch(0), view: Version(0), policy: Version(0), answer: true, body }
    }

    fn text(&self) -> Vec<u8> {
        let mut text = BytesMut::new();
        let Self { epoch, view, policy, answer, body } = *self;
        let flags = Flags { answer, hears: false };
        ChannelStatus { seen: 0, ack: 0, epoch, view, policy, flags, rseq: 0 }.put(&mut text);
        body.put(&mut text);
        text.to_vec()
    }
}

/// The next frames of the channel that `frame` is one of: so many numbers on, with these words, sealed under `key`; in clear,
/// with a tag of nothing, if there is none.
///
/// # Errors
/// [`Failed`].
pub fn next_frame(frame: &InTransit, on: u64, words: Words<'_>, key: Option<&dyn Aead>) -> Ran<Bytes> {
    let mut draft = draft(frame)?;
    renumber(&mut draft, "n", |n| n + on)?;
    let counter = super::number(&draft.clear, "n")?;
    draft.text = words.text();
    match key {
        Some(key) => Ok(draft.sealed(|ad, text| key.seal(BoxNumber { domain: 0, counter }, ad, text))?),
        None => Ok(draft.frame()),
    }
}

/// RA-R with another number of its epoch, and with a key of the attacker's choice in clear in each block.
///
/// # Errors
/// [`Failed`].
pub fn made_up_key(frame: &InTransit, ahead: u64) -> Ran<Bytes> {
    let mut draft = draft(frame)?;
    let common = draft.clear.find_mut("common").ok_or_else(|| Failed::steps("RA-R without its facts"))?;
    let epoch = super::number(common, "epoch")?.saturating_add(ahead);
    set(common, "epoch", epoch.to_be_bytes())?;
    let blocks = draft.clear.find_mut("blocks").ok_or_else(|| Failed::steps("RA-R without blocks"))?;
    if let sodality::wire::shape::Content::Items(items) = &mut blocks.content {
        for block in items {
            let length = super::field(block, "key")?.len();
            let mut key = vec![0x77; length];
            // Its length stands in front of it.
            let size = u16::try_from(length.saturating_sub(2)).unwrap_or_default().to_be_bytes();
            key.iter_mut().zip(size).for_each(|(byte, size)| *byte = size);
            set(block, "key", key)?;
        }
    }
    Ok(draft.frame())
}

/// Whether a leader's channel key opens a block of RA-R.
pub fn opens_block(frame: &InTransit, key: &dyn Aead) -> bool {
    let (suite, Ok(rekey)) = (suite(), Rekey::parse(&frame.bytes)) else { return false };
    let Rekey { group, blocks, .. } = rekey.message;
    blocks.iter().any(|block| open(header(), &*suite, group, block.cid, Epoch(0), key, &frame.bytes).is_ok())
}

/// What RA-D or EN-R9 says, for whoever has the secret of its epoch; nothing if that is not the secret.
pub fn read_data(frame: &InTransit, secret: &(Epoch, Key<role::DataBase>)) -> Option<Vec<u8>> {
    let (suite, (epoch, base)) = (suite(), secret);
    let parsed = Data::parse(&frame.bytes).ok()?;
    let Data { epoch: named, kind, cid, counter, .. } = parsed.message;
    let key = data_key(&*suite, base, kind, cid).ok()?;
    let mut text = frame.bytes.get(parsed.text.clone())?.to_vec();
    let ad = frame.bytes.get(..parsed.clear)?;
    (named == *epoch).then_some(())?;
    suite.open(key.secret(), BoxNumber { domain: 0, counter }, ad, &mut text, &parsed.tag).ok()?;
    Some(Content::decode(&text).ok()?.payload.0.to_vec())
}

/// RA-D or EN-R9 in another's name, under a secret that an insider holds, with a signature of the insider's own where there is
/// randomness for one. `like` shows the group.
///
/// # Errors
/// [`Failed`].
pub fn data_as(
    like: &InTransit,
    cid: MemberId,
    secret: &(Epoch, Key<role::DataBase>),
    text: &[u8],
    rng: Option<&mut SimRng>,
) -> Ran<Bytes> {
    let (suite, (epoch, base)) = (suite(), secret);
    let group = Data::parse(&like.bytes)?.message.group;
    let pair = rng.map(|rng| suite.signing_pair(rng)).transpose()?;
    let origin = pair.map(|(own, _)| Key::new(own));
    let header =
        if Some(&(System::Enclaves as u8)) == like.bytes.get(1) { super::enclaves::header() } else { header() };
    let sending = Sending { suite: suite.clone(), header, group, cid, label: None, origin };
    let (ever, limits) = (Instant::from_micros(u64::MAX), SealLimits::default());
    let mut sealer = sending.sealer(*epoch, base, Kind::Both, limits, ever)?;
    let mut frame = BytesMut::new();
    sending.seal(&mut sealer, Instant::ORIGIN, Port::Application, text, &mut frame)?;
    Ok(frame.freeze())
}

/// A secret of the same form that fits nothing: for control runs.
pub fn no_secret(like: &(Epoch, Key<role::DataBase>)) -> (Epoch, Key<role::DataBase>) {
    let bytes = vec![0x3c; like.1.secret().len()];
    (like.0, Key::new(Secret::new(&bytes)))
}

/// RA-H in the leader's name, after the last one: somebody has joined. `view` is that of the insider who makes it, and it is
/// signed with a key of its own.
///
/// # Errors
/// [`Failed`].
pub fn heartbeat_with(like: &InTransit, view: &View, who: &str, rng: &mut SimRng) -> Ran<Bytes> {
    let (suite, honest) = (suite(), Heartbeat::parse(&like.bytes)?.message);
    let added = ChangeRecord::Add { cid: MemberId(66), name: Name::new(who)?, origin_key: VerifyingKey::NONE };
    let step = view.prepare(&*suite, &honest.group, [added.clone()]).map_err(|_| Failed::steps("no such view"))?;
    let changes = [added.to_wire()];
    let forged = Heartbeat {
        beat: honest.beat + 1_000,
        view: step.version(),
        view_digest: step.digest(),
        delta: Delta::Changes(DeltaChanges { from: view.version(), changes: List::of(&changes) }),
        ..honest
    };
    let (own, _) = suite.signing_pair(rng)?;
    let mut frame = BytesMut::new();
    forged.put_signed(header(), &mut frame, |covered| suite.sign(&own, &[b"sodality ra 1 heartbeat", covered]))?;
    Ok(frame.freeze())
}
