//! The messages of the repaired Antigone (RA §3), declared once each. Codes 0x0A and 0x0B are those of bridges.

pub use super::codes::Flags;
use super::field::{
    Blob, Digest, List, MaybeName, Nested, Nonce, Rest, SealedKey, Share, Signature, Tag, VerifyingKey,
};
use super::frame::MAX_TEXT;
pub use super::shared::{Added, Change, KeyBytes, Kind, MAX_RECIPIENTS, PrivateText, Removed};
use crate::event::{Causes, EndReason};
use crate::identity::{Epoch, Instance, MemberId, NameRef, Version};

/// Longest RA-J1, in bytes, tag included: what RA-T1 has room for.
pub const MAX_JOIN: usize = 960;
/// Longest canonical policy, in bytes (RA §4.4).
pub const MAX_POLICY: usize = 600;
/// Longest `common`, in bytes (RA §4.4).
pub const MAX_COMMON: usize = 512;
/// Most blocks in one RA-R. Frames split earlier, by `frame_limit`.
pub const MAX_BLOCKS: usize = 16_384;
/// Most changes in one delta or page. Frames split earlier, by `frame_limit`.
pub const MAX_CHANGES: usize = 4_096;

messages! {
    /// All messages of the repaired Antigone.
    pub const MESSAGES: Antigone Repaired;

    /// A member asks to join. The tag, under the member's tag key, lets the third party see that the member asks.
    0x01 "RA-J1" Member => Leader, Tagged
    struct JoinRequest<'a> {
        /// The application.
        app: NameRef<'a>,
        /// The leader.
        leader: NameRef<'a>,
        /// The member that asks.
        member: NameRef<'a>,
        /// The member's fresh number, I0.
        i0: Nonce,
        /// The member's ephemeral share X_A, or none.
        share: Share,
    }

    /// The leader asks the third party for the session key of one join. The tag is under the leader's request key.
    0x02 "RA-T1" Leader => ThirdParty, Tagged
    struct KeyRequest<'a> {
        /// The leader's fresh number, I1.
        i1: Nonce,
        /// The whole RA-J1 with its tag.
        join: Blob<'a, 1, MAX_JOIN>,
    }

    /// The third party's answer: the session key `k`, or a status that says why not. Sealed under a key for this one answer.
    0x03 "RA-T2" ThirdParty => Leader, Boxed(Rest<'a, 64>)
    struct KeyAnswer {
        /// I1 of the question.
        i1: Nonce,
        /// What became of it.
        status: Status,
    }

    /// The leader's answer to a join: the group, the policy and its signature key, or a refusal. Sealed under the
    /// channel key, number 0.
    0x04 "RA-J2" Leader => Member, Boxed(Offer<'a>)
    struct JoinAnswer {
        /// I0 of the request.
        i0: Nonce,
        /// The leader's fresh number.
        i1: Nonce,
        /// The leader's ephemeral share X_L, or none.
        share: Share,
    }

    /// The channel from the leader to one member.
    0x05 "RA-CL" Leader => Member, Boxed(LeaderText<'a>)
    struct LeaderFrame {
        /// The group instance.
        group: Instance,
        /// The member.
        cid: MemberId,
        /// The number of this frame, from 1 (RA-J2 is 0).
        n: u64,
    }

    /// The channel from one member to the leader.
    0x06 "RA-CM" Member => Leader, Boxed(MemberText<'a>)
    struct MemberFrame {
        /// The group instance.
        group: Instance,
        /// The member.
        cid: MemberId,
        /// The number of this frame, from 1.
        n: u64,
    }

    /// Key distribution: the facts of an epoch and, for each member named, its key block.
    0x07 "RA-R" Leader => Members, Open
    struct Rekey<'a> {
        /// The group instance.
        group: Instance,
        /// The facts of the epoch; their digest is bound into every block and every key.
        common: Nested<'a, Common<'a>, MAX_COMMON>,
        /// The blocks, by rising member number.
        blocks: List<'a, Block, MAX_BLOCKS, true>,
    }

    /// The leader's heartbeat on shared links, signed with the key that RA-J2 names. It is advice: it moves no clock.
    0x08 "RA-H" Leader => Members, Signed
    struct Heartbeat<'a> {
        /// The group instance.
        group: Instance,
        /// Its number in this instance, from 1.
        beat: u64,
        /// The leader's epoch.
        epoch: Epoch,
        /// The version of the view.
        view: Version,
        /// The digest of the view.
        view_digest: Digest,
        /// How the view has changed since the epoch began (view class best effort), or that it is fetched.
        delta: Delta<'a>,
    }

    /// A message to the group.
    0x09 "RA-D" Any => All, Boxed(Content<'a>)
    struct Data<'a> {
        /// The group instance.
        group: Instance,
        /// The epoch of the key.
        epoch: Epoch,
        /// The sender.
        cid: MemberId,
        /// The sender's counter under this key, from 0.
        counter: u64,
        /// The protection: never another than the policy's (I-6).
        kind: Kind,
        /// The sender's name where members see no view; else empty.
        label: MaybeName<'a>,
    }

    /// A private word to some members, sealed under a key of its own (D29). The leader passes it on to its recipients.
    0x0C "RA-P" Any => Members, Boxed(PrivateText<'a>)
    struct PrivateWord {
        /// The group instance.
        group: Instance,
        /// The sender.
        cid: MemberId,
        /// Its number: that of the sender's record `wrap`, or a number of the leader's own.
        number: u64,
    }
}

choice! {
    /// The third party's verdict on a question.
    pub enum Status {
        /// The key is in the box.
        0 = Vouched,
        /// No such member.
        1 = Unknown,
        /// The member's tag does not verify.
        2 = BadTag,
        /// The member's key is disabled.
        3 = Disabled,
        /// No room now.
        4 = Busy,
    }
}

choice! {
    /// The text of RA-J2.
    pub enum Offer<'a> {
        /// Welcome.
        0 = Accept(Accept<'a>),
        /// No.
        1 = Refuse(RefuseCode),
        /// Welcome, to a group with parts as published (RA §2, mixed editions).
        2 = AcceptMixed(super::bridges::AcceptMixed<'a>),
    }
}

choice! {
    /// Why the leader refuses.
    pub enum RefuseCode {
        /// The access list or the application says no.
        0 = Denied,
        /// There is a live member of that name, or no room.
        1 = Busy,
    }
}

structure! {
    /// What a newcomer learns first.
    pub struct Accept<'a> {
        /// The group instance.
        group: Instance,
        /// The newcomer's member number.
        cid: MemberId,
        /// The leader's public signature key for this instance.
        leader_key: VerifyingKey,
        /// The version of the policy.
        policy_version: Version,
        /// The policy in its canonical form.
        policy: Blob<'a, 1, MAX_POLICY>,
    }
}

structure! {
    /// The text of RA-CL.
    pub struct LeaderText<'a> {
        /// Where the channel and the group stand.
        status: ChannelStatus,
        /// What it carries.
        body: LeaderBody<'a>,
    }
}

structure! {
    /// The text of RA-CM.
    pub struct MemberText<'a> {
        /// Where the channel and the member stand.
        status: ChannelStatus,
        /// What it carries.
        body: MemberBody<'a>,
    }
}

structure! {
    /// The part that all channel frames share: acknowledgement, evidence, and what the sender has (leader: what is
    /// current; member: what is installed).
    pub struct ChannelStatus {
        /// The highest number verified from the peer: challenge and echo at once.
        seen: u64,
        /// The last record accepted from the peer.
        ack: u64,
        /// The epoch; 0 for none.
        epoch: Epoch,
        /// The version of the view.
        view: Version,
        /// The version of the policy.
        policy: Version,
        /// 1: "answer this". 2, in RA-CM only: the member hears the leader over a shared link.
        flags: Flags,
        /// The number of the record below, or of the last one sent.
        rseq: u64,
    }
}

choice! {
    /// What RA-CL carries.
    pub enum LeaderBody<'a> {
        /// Nothing.
        0 = Nothing,
        /// A record.
        1 = Record(LeaderRecord<'a>),
        /// The end of the channel.
        2 = End(End),
    }
}

choice! {
    /// What RA-CM carries.
    pub enum MemberBody<'a> {
        /// Nothing.
        0 = Nothing,
        /// A record.
        1 = Record(MemberRecord<'a>),
        /// The end of the channel.
        2 = End(End),
    }
}

structure! {
    /// The end of a channel.
    pub struct End {
        /// Why.
        reason: EndReason,
        /// Who asked for it.
        by: MemberId,
    }
}

choice! {
    /// A member's records.
    pub enum MemberRecord<'a> {
        /// The first record of each channel: the join is confirmed.
        1 = Hello(Hello),
        /// Another member should go.
        2 = Eject(EjectRequest<'a>),
        /// The key of a private word that follows.
        3 = Wrap(Wrap<'a>),
    }
}

structure! {
    /// The text of the first record.
    pub struct Hello {
        /// The member's public origin key for this session, or none.
        origin_key: VerifyingKey,
    }
}

structure! {
    /// The request to eject somebody. Number and name must belong together, so that a late request hits no later
    /// incarnation.
    pub struct EjectRequest<'a> {
        /// The member that should go.
        cid: MemberId,
        /// Its name.
        name: NameRef<'a>,
    }
}

choice! {
    /// A leader's records.
    pub enum LeaderRecord<'a> {
        /// A page of the view.
        1 = View(ViewPage<'a>),
        /// A policy to come: it rules from the epoch whose facts name it.
        2 = Policy(PolicyChange<'a>),
        /// What became of a request.
        3 = Answer(RequestAnswer),
        /// The key of a private word that this member is to have.
        4 = Wrapped(Wrapped<'a>),
        /// What became of a private word of this member.
        5 = Passed(Passed<'a>),
    }
}

structure! {
    /// A policy to come.
    pub struct PolicyChange<'a> {
        /// Its version.
        version: Version,
        /// The policy in its canonical form.
        policy: Blob<'a, 1, MAX_POLICY>,
    }
}

structure! {
    /// What became of a member's request.
    pub struct RequestAnswer {
        /// The number of the record that held the request.
        rseq: u64,
        /// The verdict.
        verdict: crate::event::EjectVerdict,
    }
}

structure! {
    /// The key of a private word, for the leader to hand out. The number of the word is that of this record.
    pub struct Wrap<'a> {
        /// The recipients, by rising number.
        to: List<'a, MemberId, MAX_RECIPIENTS, true>,
        /// K', used once.
        key: KeyBytes<'a>,
        /// The digest of the whole RA-P: no holder of K' can put another in its place.
        digest: Digest,
    }
}

structure! {
    /// The key of a private word, for one of its recipients.
    pub struct Wrapped<'a> {
        /// Who said it: the leader vouches for that.
        from: MemberId,
        /// The number of the word.
        number: u64,
        /// K', used once.
        key: KeyBytes<'a>,
        /// The digest of the whole RA-P, as its sender gave it.
        digest: Digest,
    }
}

structure! {
    /// What became of a private word.
    pub struct Passed<'a> {
        /// The number of the record `wrap`.
        number: u64,
        /// Those named who were not reached: they are no members, or there was no room for them.
        missed: List<'a, MemberId, MAX_RECIPIENTS, true>,
    }
}

structure! {
    /// A page of the view: of the whole roster (`from` is 0, entries are additions) or of the changes after `from`.
    pub struct ViewPage<'a> {
        /// The version that the entries start from.
        from: Version,
        /// The version that all pages together lead to.
        to: Version,
        /// The digest of version `to`.
        digest: Digest,
        /// Whether this is the first page.
        first: bool,
        /// Whether this is the last page.
        last: bool,
        /// The changes.
        changes: List<'a, Change<'a>, MAX_CHANGES>,
    }
}

structure! {
    /// The facts of an epoch: fixed when its key is drawn (I-2).
    pub struct Common<'a> {
        /// The epoch.
        epoch: Epoch,
        /// The latest epoch with an evicting cause: no older key may be used by anybody.
        floor: Epoch,
        /// Why the key changed.
        causes: Causes,
        /// The version of the view.
        view: Version,
        /// The digest of the view.
        view_digest: Digest,
        /// The version of the policy.
        policy: Version,
        /// The digest of the policy.
        policy_digest: Digest,
        /// How the view changed.
        delta: Delta<'a>,
    }
}

choice! {
    /// How a member learns of a change of the view.
    pub enum Delta<'a> {
        /// Not at all: the policy shows no views.
        0 = Hidden,
        /// By the channel: the changes do not fit.
        1 = Fetch,
        /// By these changes.
        2 = Changes(DeltaChanges<'a>),
    }
}

structure! {
    /// The changes since a version.
    pub struct DeltaChanges<'a> {
        /// The version that they start from.
        from: Version,
        /// The changes, one version each.
        changes: List<'a, Change<'a>, MAX_CHANGES>,
    }
}

structure! {
    /// The group key for one member, sealed under its channel key.
    pub struct Block {
        /// The member.
        cid: MemberId,
        /// The sealed group key.
        key: SealedKey,
        /// Its tag.
        tag: Tag,
    }
}

structure! {
    /// The text of RA-D.
    pub struct Content<'a> {
        /// The sender's signature over label, clear fields, port and payload; or none.
        origin: Signature,
        /// For whom inside the application: 0 the application, 1 objects.
        port: u8,
        /// What is said.
        payload: Rest<'a, MAX_TEXT>,
    }
}
