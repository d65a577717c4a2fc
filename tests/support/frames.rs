//! One frame of each message, built by hand from typed values; the seal is the identity, tags are filler.

use bytes::BytesMut;
use sodality::crypto::SuiteId;
use sodality::error::Failure;
use sodality::event::{Cause, Causes};
use sodality::identity::{Epoch, Instance, MemberId, NameRef, Version};
use sodality::wire::antigone::*;
use sodality::wire::bridges::{AcceptMixed, BridgedData, BridgedRequest};
use sodality::wire::field::{Digest, Nonce, SealedKey, Share, Signature, Tag, VerifyingKey, to_vec};
use sodality::wire::layout::Recorded;
use sodality::wire::published as an;
use sodality::wire::{Blob, Field, Header, List, MaybeName, Message, Nested, Payload, Rest};

fn header<'a, M: Message<'a>>() -> Header {
    Header { system: M::INFO.system, edition: M::INFO.edition, suite: SuiteId(1) }
}

/// So many bytes that count up from `first`.
fn bytes(first: u8, length: u8) -> Vec<u8> {
    (0..length).map(|index| first.wrapping_add(index)).collect()
}

macro_rules! filler {
    ($type:ident, $first:literal, $length:literal) => {
        $type::new(&bytes($first, $length)).unwrap()
    };
}

fn tag() -> Tag {
    filler!(Tag, 0xf0, 16)
}

fn none<T>(make: fn(&[u8]) -> Option<T>) -> T {
    make(&[]).unwrap()
}

fn name(text: &'static str) -> NameRef<'static> {
    NameRef::new(text).unwrap()
}

fn open<'a, M: Message<'a>>(message: &M) -> Recorded {
    let mut out = BytesMut::new();
    message.put_open(header::<M>(), &mut out);
    Recorded { id: M::INFO.id, frame: out.to_vec(), opened: None }
}

fn tagged<'a, M: Message<'a>>(message: &M) -> Recorded {
    let mut out = BytesMut::new();
    message.put_tagged(header::<M>(), &mut out, |_| Ok::<_, Failure>(tag())).unwrap();
    Recorded { id: M::INFO.id, frame: out.to_vec(), opened: None }
}

fn signed<'a, M: Message<'a>>(message: &M) -> Recorded {
    let mut out = BytesMut::new();
    message.put_signed(header::<M>(), &mut out, |_| Ok::<_, Failure>(filler!(Signature, 0xb0, 64))).unwrap();
    Recorded { id: M::INFO.id, frame: out.to_vec(), opened: None }
}

fn boxed<'a, 'b, M: Message<'a>>(message: &M, text: &impl Field<'b>) -> Recorded {
    let mut out = BytesMut::new();
    message.put_boxed(header::<M>(), &mut out, |out| text.put(out), |_, _| Ok::<_, Failure>(tag())).unwrap();
    Recorded { id: M::INFO.id, frame: out.to_vec(), opened: Some(to_vec(text)) }
}

/// All of them, some messages with more than one.
pub(crate) fn handmade() -> Vec<Recorded> {
    [repaired(), bridging(), published()].concat()
}

fn repaired() -> Vec<Recorded> {
    let group = Instance(core::array::from_fn(|index| 0xa0 + index as u8));
    let cid = MemberId(3);
    let (i0, i1) = (filler!(Nonce, 0x10, 16), filler!(Nonce, 0x20, 16));
    let share = filler!(Share, 0x30, 32);
    let status = ChannelStatus {
        seen: 4,
        ack: 1,
        epoch: Epoch(2),
        view: Version(3),
        policy: Version(1),
        flags: Flags::ASKS,
        rseq: 2,
    };

    let join = tagged(&JoinRequest { app: name("chess"), leader: name("lena"), member: name("ada"), i0, share });
    let ask = tagged(&KeyRequest { i1, join: Blob(&join.frame) });
    let key = bytes(0x40, 32);
    let answer = boxed(&KeyAnswer { i1, status: Status::Vouched }, &Rest::<64>(&key));
    let offer = Offer::Accept(Accept {
        group,
        cid,
        leader_key: filler!(VerifyingKey, 0x50, 32),
        policy_version: Version(1),
        policy: Blob(b"a policy in its canonical form"),
    });
    let accept = boxed(&JoinAnswer { i0, i1, share }, &offer);

    let added = Added { cid, name: name("ada"), origin_key: none(VerifyingKey::new) };
    let removed = Removed { cid: MemberId(2), cause: Cause::Eject, by: MemberId::LEADER };
    let changes = [Change::Add(added), Change::Remove(removed)];
    let page = ViewPage {
        from: Version(1),
        to: Version(3),
        digest: filler!(Digest, 0x60, 32),
        first: true,
        last: true,
        changes: List::of(&changes),
    };
    let body = LeaderBody::Record(LeaderRecord::View(page));
    let leader = boxed(&LeaderFrame { group, cid, n: 5 }, &LeaderText { status, body });
    let body = MemberBody::Record(MemberRecord::Hello(Hello { origin_key: none(VerifyingKey::new) }));
    let member = boxed(&MemberFrame { group, cid, n: 1 }, &MemberText { status, body });

    let common = to_vec(&Common {
        epoch: Epoch(2),
        floor: Epoch(2),
        causes: Causes::of(Cause::Join).with(Cause::Eject),
        view: Version(3),
        view_digest: filler!(Digest, 0x60, 32),
        policy: Version(1),
        policy_digest: filler!(Digest, 0x70, 32),
        delta: Delta::Changes(DeltaChanges { from: Version(1), changes: List::of(&changes) }),
    });
    let block = |cid| Block { cid: MemberId(cid), key: filler!(SealedKey, 0x80, 32), tag: tag() };
    let blocks = [block(1), block(3)];
    let rekey = open(&Rekey { group, common: Nested::new(&common).unwrap(), blocks: List::of(&blocks) });
    let heartbeat = signed(&Heartbeat {
        group,
        beat: 9,
        epoch: Epoch(2),
        view: Version(3),
        view_digest: filler!(Digest, 0x60, 32),
        delta: Delta::Changes(DeltaChanges { from: Version(1), changes: List::of(&changes) }),
    });
    let content = Content { origin: none(Signature::new), port: 0, payload: Rest(b"hello, all") };
    let data = Data { group, epoch: Epoch(2), cid, counter: 0, kind: Kind::Confidentiality, label: MaybeName(None) };
    let data = boxed(&data, &content);
    let words = private(group, cid, status);
    [vec![join, ask, answer, accept, leader, member, rekey, heartbeat, data], words].concat()
}

/// A private word, and the records about it.
fn private(group: Instance, cid: MemberId, status: ChannelStatus) -> Vec<Recorded> {
    let (key, digest) = (bytes(0x90, 32), filler!(Digest, 0xe0, 16));
    let (to, key) = ([MemberId::LEADER, MemberId(2)], KeyBytes(&key));
    let word = PrivateWord { group, cid, number: 2 };
    let body = MemberBody::Record(MemberRecord::Wrap(Wrap { to: List::of(&to), key, digest }));
    let wrap = boxed(&MemberFrame { group, cid, n: 6 }, &MemberText { status, body });
    let leader = |record| {
        let body = LeaderBody::Record(record);
        boxed(&LeaderFrame { group, cid, n: 7 }, &LeaderText { status, body })
    };
    let wrapped = leader(LeaderRecord::Wrapped(Wrapped { from: MemberId(2), number: 2, key, digest }));
    let passed = leader(LeaderRecord::Passed(Passed { number: 2, missed: List::of(&to[1..]) }));
    vec![
        boxed(&word, &PrivateText { port: 0, payload: Rest(b"between us") }),
        Recorded { id: "RA-CM-wrap", ..wrap },
        Recorded { id: "RA-CL-wrapped", ..wrapped },
        Recorded { id: "RA-CL-passed", ..passed },
    ]
}

fn group_id() -> an::GroupId<'static> {
    an::GroupId { app: name("chess"), nonce: filler!(Nonce, 0xc0, 16) }
}

fn bridging() -> Vec<Recorded> {
    let (i0, i1) = (filler!(Nonce, 0x10, 16), filler!(Nonce, 0x20, 16));
    let wish = open(&an::JoinWish { member: name("ada"), i0 });
    let ask = tagged(&BridgedRequest { leader: name("lena"), i1, join: Blob(&wish.frame) });
    let salt = filler!(Nonce, 0xd0, 16);
    let data = BridgedData { group: group_id(), sender: name("ada"), salt, counter: 0, kind: Kind::Both };
    let content = Content { origin: none(Signature::new), port: 0, payload: Rest(b"hello, all") };
    let accept = Accept {
        group: Instance([7; 16]),
        cid: MemberId(3),
        leader_key: filler!(VerifyingKey, 0x50, 32),
        policy_version: Version(1),
        policy: Blob(b"a policy in its canonical form"),
    };
    let published_key = filler!(VerifyingKey, 0x60, 131);
    let offer = Offer::AcceptMixed(AcceptMixed { accept, group: group_id(), sequence: 4, published_key });
    let answer = boxed(&JoinAnswer { i0, i1, share: none(Share::new) }, &offer);
    vec![ask, boxed(&data, &content), Recorded { id: "RA-J2-mixed", ..answer }]
}

fn published() -> Vec<Recorded> {
    let (leader, member, other) = (name("lena"), name("ada"), name("bob"));
    let [i0, i1, i2] = [0x10, 0x20, 0x30].map(|first| Nonce::new(&bytes(first, 8)).unwrap());
    let (group, sequence, digest) = (group_id(), 4, tag());
    let sealed = bytes(0x80, 48);
    let block = |member| an::KeyBlock { member, sealed: an::Sealed::new(&sealed) };
    vec![
        open(&an::PairRequest { leader, member, i1 }),
        open(&an::PairAnswer { sealed: an::Sealed::new(&sealed) }),
        open(&an::StrongAnswer { sealed: an::Sealed::new(&sealed) }),
        open(&an::JoinWish { member, i0 }),
        open(&an::JoinReply { leader, member, sealed: an::Sealed::new(&sealed) }),
        open(&an::JoinConfirm { member, sealed: an::Sealed::new(&sealed) }),
        open(&an::JoinError { leader, member, reason: RefuseCode::Denied }),
        open(&an::KeyDelivery {
            group,
            sequence,
            member,
            sealed: an::Sealed::new(&sealed),
            members: List::of(&[leader, member, other]),
            digest,
        }),
        open(&an::Rekey { group, sequence, blocks: List::of(&[block(member), block(other)]), digest }),
        open(&an::Removal { member, sealed: an::Sealed::new(&sealed) }),
        open(&an::LeaderBeat { group, leader, sequence, signature: filler!(Signature, 0xb0, 128) }),
        open(&an::MemberBeat { group, member, sequence, mac: tag() }),
        open(&an::KeyWish { group, member }),
        open(&an::IntegrityData { group, sender: member, text: Payload(b"\0hello, all"), digest }),
        open(&an::SecretData { group, sealed: an::Sealed::new(&sealed) }),
        open(&an::BothData { group, sealed: an::Sealed::new(&sealed), digest }),
        open(&an::ClearData { group, sender: member, text: Payload(b"\0hello, all") }),
        inside("AN-T2", &an::PairText { pair: Blob(&bytes(0x40, 8)), i1 }),
        inside("AN-T2s", &an::StrongText { key: Blob(&bytes(0x40, 8)), member, i1 }),
        inside("AN-J2", &an::ReplyText { group, member, i0, i2, more: more(), key: filler!(VerifyingKey, 0x60, 131) }),
        inside("AN-J3", &an::ConfirmText { member, i2 }),
        inside("AN-K", &an::KeyText { group, key: Blob(&bytes(0x40, 8)) }),
        inside("AN-L", &an::RemovalText { group, member, inner: an::Sealed::new(&sealed) }),
        inside("AN-L-inner", &an::TargetText { group, target: other }),
        inside("AN-Dc", &an::DataText { sender: member, text: Payload(b"\0hello, all") }),
    ]
}

fn more() -> an::More<'static> {
    an::More {
        instance: Instance([7; 16]),
        cid: MemberId(3),
        policy_version: Version(1),
        policy: Blob(b"a policy in its canonical form"),
        sequence: 4,
        leader_key: none(VerifyingKey::new),
    }
}

/// A text that stands in `{…}`, without a frame around it.
fn inside<'b>(id: &'static str, text: &impl Field<'b>) -> Recorded {
    Recorded { id, frame: Vec::new(), opened: Some(to_vec(text)) }
}
