//! Typed messages: what is put is what is parsed, a failing seal or tag leaves no trace, and declarations that make no
//! sense are found.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use bytes::BytesMut;
use sodality::crypto::SuiteId;
use sodality::error::{DecodeError, Failure};
use sodality::event::{Cause, Causes, EndReason};
use sodality::identity::{Epoch, Instance, MemberId, NameRef, Version};
use sodality::wire::antigone::*;
use sodality::wire::bridges::{BridgedData, BridgedRequest};
use sodality::wire::field::{Digest, Nonce, SealedKey, Share, Signature, Tag, VerifyingKey, to_vec};
use sodality::wire::frame::split_frame;
use sodality::wire::published as an;
use sodality::wire::{
    Blob, Edition, Field, FieldShape, Header, List, MaybeName, Message, Nested, Payload, Rest, Shape, System,
    VariantShape,
};

const HEADER: Header = Header { system: System::Antigone, edition: Edition::Repaired, suite: SuiteId(1) };

fn tag() -> Tag {
    Tag::new(&[9; 16]).unwrap()
}

/// Decoding gives back what was encoded; another value has other bytes.
fn round_trip<'a, T: Field<'a> + PartialEq + core::fmt::Debug>(values: &[T], room: &'a mut Vec<Vec<u8>>) {
    room.extend(values.iter().map(to_vec));
    for (index, (value, bytes)) in values.iter().zip(&*room).enumerate() {
        assert_eq!(T::decode(bytes).as_ref(), Ok(value));
        for (other, other_bytes) in values.iter().zip(&*room).take(index) {
            assert!(value != other && bytes != other_bytes, "{value:?} and {other:?}");
        }
    }
}

#[test]
fn values_survive_the_wire() {
    let name = NameRef::new("ada").unwrap();
    let long = "é".repeat(127);
    let long = NameRef::new(&long).unwrap();
    let key = VerifyingKey::new(&[7; 160]).unwrap();
    round_trip(&[name, long], &mut Vec::new());
    round_trip(&[MaybeName(None), MaybeName(Some(name)), MaybeName(Some(long))], &mut Vec::new());
    round_trip(&Cause::ALL, &mut Vec::new());
    let all = Cause::ALL.iter().fold(Causes::NONE, |all, cause| all.with(*cause));
    round_trip(&[Causes::NONE, Causes::of(Cause::Open), Causes::of(Cause::Command), all], &mut Vec::new());
    let end = |reason| End { reason, by: MemberId(u64::MAX) };
    let bodies = [
        MemberBody::Nothing,
        MemberBody::Record(MemberRecord::Hello(Hello { origin_key: key })),
        MemberBody::End(end(EndReason::Left)),
        MemberBody::End(end(EndReason::Exhausted)),
    ];
    round_trip(&bodies, &mut Vec::new());
    round_trip(&[Status::Vouched, Status::Unknown, Status::BadTag, Status::Disabled, Status::Busy], &mut Vec::new());
    round_trip(&[Offer::Refuse(RefuseCode::Denied), Offer::Refuse(RefuseCode::Busy)], &mut Vec::new());
    round_trip(&[true, false], &mut Vec::new());
    round_trip(&[0, 1, u64::MAX], &mut Vec::new());
    round_trip(&[Nonce::new(&[0; 8]).unwrap(), Nonce::new(&[0; 32]).unwrap()], &mut Vec::new());
    assert!(Nonce::new(&[0; 7]).is_none() && Nonce::new(&[0; 33]).is_none());
}

#[test]
fn lists_are_the_same_before_and_after_the_wire() {
    let name = NameRef::new("ada").unwrap();
    let origin_key = VerifyingKey::new(&[]).unwrap();
    let changes = [
        Change::Add(Added { cid: MemberId(1), name, origin_key }),
        Change::Remove(Removed { cid: MemberId(1), cause: Cause::Leave, by: MemberId(1) }),
    ];
    let list: List<'_, Change<'_>, MAX_CHANGES> = List::of(&changes);
    let bytes = to_vec(&list);
    let read = List::decode(&bytes).unwrap();
    assert_eq!(list, read);
    assert_eq!(read.iter().collect::<Vec<_>>(), changes);
    assert_eq!((read.len(), read.is_empty(), read.iter().count()), (2, false, 2));
    assert_ne!(read, List::of(&changes[..1]));
    assert_eq!(to_vec(&read), bytes);

    let block = |cid| Block { cid: MemberId(cid), key: SealedKey::new(&[1; 32]).unwrap(), tag: tag() };
    let blocks = [block(2), block(1)];
    let disordered: List<'_, Block, MAX_BLOCKS, true> = List::of(&blocks);
    let bytes = to_vec(&disordered);
    assert_eq!(List::<'_, Block, MAX_BLOCKS, true>::decode(&bytes).err(), Some(DecodeError::Order));
    assert!(List::<'_, Block, MAX_BLOCKS, false>::decode(&bytes).is_ok());
    assert_eq!(List::<'_, Block, 1, false>::decode(&bytes).err(), Some(DecodeError::Length));
}

#[test]
fn open_tagged_and_signed_messages_parse() {
    let digest = Digest::new(&[5; 32]).unwrap();
    let common = Common {
        epoch: Epoch(9),
        floor: Epoch(8),
        causes: Causes::of(Cause::Leave),
        view: Version(4),
        view_digest: digest,
        policy: Version(1),
        policy_digest: digest,
        delta: Delta::Fetch,
    };
    let bytes = to_vec(&common);
    let rekey = Rekey { group: Instance([1; 16]), common: Nested::new(&bytes).unwrap(), blocks: List::of(&[]) };
    let mut frame = BytesMut::new();
    rekey.put_open(HEADER, &mut frame);
    let parsed = Rekey::parse(&frame).unwrap();
    assert_eq!((parsed.message, parsed.clear, parsed.tag.is_empty()), (rekey, frame.len(), true));
    assert_eq!(parsed.message.common.value, common);

    let name = NameRef::new("ada").unwrap();
    let i0 = Nonce::new(&[3; 16]).unwrap();
    let join = JoinRequest { app: name, leader: name, member: name, i0, share: Share::new(&[]).unwrap() };
    let mut frame = BytesMut::from(&b"before"[..]);
    let refused = join.put_tagged(HEADER, &mut frame, |_| Err(Failure::Suite));
    assert_eq!((refused, &frame[..]), (Err(Failure::Suite), &b"before"[..]), "a failure leaves nothing behind");
    let mut covered = Vec::new();
    let put = join.put_tagged(HEADER, &mut frame, |bytes| {
        covered = bytes.to_vec();
        Ok::<_, Failure>(tag())
    });
    assert_eq!(put, Ok(()));
    let frame = &frame[6..];
    let parsed = JoinRequest::parse(frame).unwrap();
    assert_eq!((parsed.message, parsed.tag), (join, tag()));
    assert_eq!(&frame[..parsed.clear], covered, "the tag covers header and clear fields, and nothing else");
    assert_eq!(frame.len(), parsed.clear + 2 + 16);

    let (group, view_digest) = (Instance([1; 16]), digest);
    let heartbeat = Heartbeat { group, beat: 7, epoch: Epoch(3), view: Version(4), view_digest, delta: Delta::Fetch };
    let mut frame = BytesMut::from(&b"before"[..]);
    let refused = heartbeat.put_signed(HEADER, &mut frame, |_| Err(Failure::Suite));
    assert_eq!((refused, &frame[..]), (Err(Failure::Suite), &b"before"[..]), "a failure leaves nothing behind");
    let mut covered = Vec::new();
    let put = heartbeat.put_signed(HEADER, &mut frame, |bytes| {
        covered = bytes.to_vec();
        Ok::<_, Failure>(Signature::new(&[9; 64]).unwrap())
    });
    assert_eq!(put, Ok(()));
    let frame = &frame[6..];
    let parsed = Heartbeat::parse(frame).unwrap();
    assert_eq!((parsed.message, parsed.tag.is_empty()), (heartbeat, true));
    assert_eq!(&frame[..parsed.clear], covered, "the signature covers header and clear fields");
    assert_eq!((parsed.signature(frame).as_bytes(), frame.len()), (&[9; 64][..], parsed.clear + 2 + 64));
}

/// An open message of the published edition: what is put is what is parsed, and nothing follows the fields.
fn open_round_trip<'a, M: Message<'a> + PartialEq + core::fmt::Debug>(message: M, room: &'a mut Vec<u8>) {
    let header = Header { edition: Edition::AsPublished, ..HEADER };
    let mut frame = BytesMut::new();
    message.put_open(header, &mut frame);
    *room = frame.to_vec();
    assert_eq!(header.code_of(room), Ok(M::INFO.code));
    let parsed = M::parse(room).unwrap();
    assert_eq!((parsed.message, parsed.clear, parsed.tag.is_empty()), (message, room.len(), true));
}

#[test]
fn messages_as_published_parse() {
    let (leader, member) = (NameRef::new("lena").unwrap(), NameRef::new("ada").unwrap());
    let i = Nonce::new(&[3; 8]).unwrap();
    let group = an::GroupId { app: NameRef::new("chess").unwrap(), nonce: Nonce::new(&[4; 16]).unwrap() };
    let (sequence, digest) = (u64::MAX, tag());
    let (short, long) = ([5; 16], vec![6; an::MAX_SEALED]);
    open_round_trip(an::PairRequest { leader, member, i1: i }, &mut Vec::new());
    open_round_trip(an::PairAnswer { sealed: an::Sealed::new(&short) }, &mut Vec::new());
    open_round_trip(an::StrongAnswer { sealed: an::Sealed::new(&long) }, &mut Vec::new());
    open_round_trip(an::JoinWish { member, i0: i }, &mut Vec::new());
    open_round_trip(an::JoinReply { leader, member, sealed: an::Sealed::new(&long) }, &mut Vec::new());
    open_round_trip(an::JoinConfirm { member, sealed: an::Sealed::new(&short) }, &mut Vec::new());
    open_round_trip(an::JoinError { leader, member, reason: RefuseCode::Busy }, &mut Vec::new());
    let names = [leader, member];
    for members in [List::of(&[]), List::of(&names)] {
        let sealed = an::Sealed::new(&short);
        open_round_trip(an::KeyDelivery { group, sequence, member, sealed, members, digest }, &mut Vec::new());
    }
    let blocks = names.map(|member| an::KeyBlock { member, sealed: an::Sealed::new(&short) });
    open_round_trip(an::Rekey { group, sequence, blocks: List::of(&blocks), digest }, &mut Vec::new());
    open_round_trip(an::Removal { member, sealed: an::Sealed::new(&short) }, &mut Vec::new());
    let signature = Signature::new(&[9; 128]).unwrap();
    open_round_trip(an::LeaderBeat { group, leader, sequence, signature }, &mut Vec::new());
    open_round_trip(an::MemberBeat { group, member, sequence, mac: digest }, &mut Vec::new());
    open_round_trip(an::KeyWish { group, member }, &mut Vec::new());
    let text = Payload(&b"\0hello"[..]);
    open_round_trip(an::IntegrityData { group, sender: member, text, digest }, &mut Vec::new());
    open_round_trip(an::SecretData { group, sealed: an::Sealed::new(&short) }, &mut Vec::new());
    open_round_trip(an::BothData { group, sealed: an::Sealed::new(&short), digest }, &mut Vec::new());
    open_round_trip(an::ClearData { group, sender: member, text }, &mut Vec::new());
}

#[test]
fn bridging_messages_parse() {
    let name = NameRef::new("ada").unwrap();
    let nonce = Nonce::new(&[3; 16]).unwrap();
    let ask = BridgedRequest { leader: name, i1: nonce, join: Blob(b"an AN-J1") };
    let mut frame = BytesMut::new();
    ask.put_tagged(HEADER, &mut frame, |_| Ok::<_, Failure>(tag())).unwrap();
    let parsed = BridgedRequest::parse(&frame).unwrap();
    assert_eq!((parsed.message, parsed.tag), (ask, tag()));

    let group = an::GroupId { app: name, nonce };
    let data = BridgedData { group, sender: name, salt: nonce, counter: 7, kind: Kind::Both };
    let content = Content { origin: Signature::new(&[]).unwrap(), port: 0, payload: Rest(b"payload") };
    let mut frame = BytesMut::new();
    data.put_boxed(HEADER, &mut frame, |out| content.put(out), |_, _| Ok::<_, Failure>(tag())).unwrap();
    let parsed = BridgedData::parse(&frame).unwrap();
    assert_eq!((parsed.message, parsed.tag), (data, tag()));
    assert_eq!(Content::decode(&frame[parsed.text]), Ok(content));
}

#[test]
fn boxes_are_sealed_and_opened_in_place() {
    let data = Data {
        group: Instance([1; 16]),
        epoch: Epoch(1),
        cid: MemberId(2),
        counter: 3,
        kind: Kind::Both,
        label: MaybeName(None),
    };
    let content = Content { origin: Signature::new(&[4; 64]).unwrap(), port: 1, payload: Rest(b"payload") };
    let mut frame = BytesMut::from(&b"before"[..]);
    let refused = data.put_boxed(HEADER, &mut frame, |out| content.put(out), |_, _| Err(Failure::Entropy));
    assert_eq!((refused, &frame[..]), (Err(Failure::Entropy), &b"before"[..]), "a failure leaves nothing behind");
    let mut covered = Vec::new();
    let seal = |ad: &[u8], text: &mut [u8]| {
        covered = ad.to_vec();
        text.iter_mut().for_each(|byte| *byte ^= 0x55);
        Ok::<_, Failure>(tag())
    };
    data.put_boxed(HEADER, &mut frame, |out| content.put(out), seal).unwrap();

    let mut frame = frame.split_off(6);
    let parsed = Data::parse(&frame).unwrap();
    assert_eq!((parsed.message, parsed.tag), (data, tag()));
    let (clear, text) = (parsed.clear, parsed.text.clone());
    assert_eq!(text.start, clear + 4);
    let (ad, sealed) = split_frame(&mut frame, clear, &text);
    assert_eq!(ad, covered, "the associated data are header and clear fields");
    assert!(Content::decode(sealed) != Ok(content));
    sealed.iter_mut().for_each(|byte| *byte ^= 0x55);
    assert_eq!(Content::decode(sealed), Ok(content));
    assert_eq!(split_frame(&mut frame, usize::MAX, &text).1, [0; 0], "places outside the frame are empty");
}

#[test]
fn blobs_and_nested_values_keep_their_limits() {
    let long = vec![0; MAX_POLICY + 1];
    let bytes = to_vec(&Blob::<1, MAX_POLICY>(&long));
    assert_eq!(Blob::<1, MAX_POLICY>::decode(&bytes).err(), Some(DecodeError::Length));
    assert_eq!(Blob::<1, MAX_POLICY>::decode(&[0, 0]).err(), Some(DecodeError::Length));
    let outer = Nested::<'_, u64, 7>::new(&[0; 8]);
    assert_eq!(outer.err(), Some(DecodeError::Length));
    assert_eq!(Nested::<'_, u64, 9>::new(&[0; 9]).err(), Some(DecodeError::Trailing));
    assert_eq!(Nested::<'_, u64, 9>::decode(&[0, 7, 0, 0, 0, 0, 0, 0, 0]).err(), Some(DecodeError::Truncated));
}

#[test]
fn senseless_declarations_are_found() {
    const REST: FieldShape = FieldShape { name: "rest", shape: &Shape::Rest { max: 9 }, doc: "" };
    const BYTE: FieldShape = FieldShape { name: "byte", shape: &Shape::U8 { max: 9 }, doc: "" };
    const NUMBER: FieldShape = FieldShape { name: "number", shape: &Shape::U64, doc: "" };
    const fn variant(code: u8) -> VariantShape {
        VariantShape { code, name: "", shape: None, doc: "" }
    }
    const SAME: &[VariantShape] = &[variant(1), variant(1)];
    const HIGH: &[VariantShape] = &[variant(16)];
    const GOOD: &[VariantShape] = &[variant(0), variant(15)];
    let last = [
        (Shape::Struct(&[BYTE, REST]), true),
        (Shape::Struct(&[REST, BYTE]), false),
        (Shape::Choice(&[]), false),
        (Shape::Choice(SAME), false),
        (Shape::Choice(GOOD), true),
        (Shape::Bits16 { bits: HIGH }, false),
        (Shape::Bits16 { bits: GOOD }, true),
        (Shape::Opaque { min: 2, max: 1 }, false),
        (Shape::Opaque { min: 0, max: 65_535 }, false),
        (Shape::Opaque { min: 0, max: 65_534 }, true),
        (Shape::Nested { inner: &Shape::U64, max: 7 }, false),
        (Shape::Nested { inner: &Shape::Rest { max: 9 }, max: 9 }, true),
        (Shape::List { item: &Shape::Struct(&[]), max: 9, rising: false }, false),
        (Shape::List { item: &Shape::Rest { max: 9 }, max: 9, rising: false }, false),
        (Shape::List { item: &Shape::Struct(&[NUMBER, BYTE]), max: 9, rising: true }, true),
        (Shape::List { item: &Shape::Struct(&[BYTE, NUMBER]), max: 9, rising: true }, false),
    ];
    for (shape, sound) in last {
        assert_eq!(shape.is_sound(true), sound, "{shape:?}");
    }
    assert!(!Shape::Rest { max: 9 }.is_sound(false), "a rest before a guard");
}
