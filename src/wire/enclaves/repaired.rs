//! The messages of repaired Enclaves (enclaves §4), declared once each.
//!
//! What both systems say alike (facts of an epoch, pages of a view, data) has one declaration, in `wire::antigone`, and is
//! named here. Codes 0x0A to 0x0F are kept for private words, 0x10 and above for shared objects.

use crate::event::EndReason;
use crate::identity::{Epoch, Instance, MemberId, NameRef, Version};
use crate::wire::antigone::{
    Common, Content, EjectRequest, MAX_COMMON, MAX_POLICY, PolicyChange, RefuseCode, RequestAnswer, ViewPage,
};
use crate::wire::field::{Blob, Digest, List, MaybeName, Nested, Nonce, VerifyingKey};
use crate::wire::objects::{ObjectNews, PutPiece};
use crate::wire::shared::Kind;

pub use crate::wire::shared::{KeyBytes, MAX_RECIPIENTS, PrivateText as GossipText};

/// Longest part that a way of authentication puts into one message, in bytes.
pub const MAX_AUTH: usize = 1_024;

messages! {
    /// All messages of repaired Enclaves.
    pub const MESSAGES: Enclaves Repaired;

    /// AuthInitReq: a user asks to join. N1 and the names stand in clear, and are bound into what the way of authentication
    /// makes of them.
    0x01 "EN-R1" Member => Leader, Open
    struct AuthInitReq<'a> {
        /// The application.
        app: NameRef<'a>,
        /// The leader.
        leader: NameRef<'a>,
        /// The user that asks.
        member: NameRef<'a>,
        /// The user's fresh number, N1.
        n1: Nonce,
        /// What shows who asks.
        request: Blob<'a, 0, MAX_AUTH>,
    }

    /// AuthKeyDist: what the user needs to compute K_a, and, sealed under the leader's key of K_a, a place in the group or a
    /// refusal.
    0x02 "EN-R2" Leader => Member, Boxed(Offer<'a>)
    struct AuthKeyDist<'a> {
        /// N1 of the request.
        n1: Nonce,
        /// The leader's fresh number, N2.
        n2: Nonce,
        /// What shows who answers.
        answer: Blob<'a, 0, MAX_AUTH>,
    }

    /// AuthAckKey: the user has K_a, and asked just now. On it the leader accepts. Sealed under the member's key of K_a.
    0x03 "EN-R3" Member => Leader, Boxed(Confirm<'a>)
    struct AuthAckKey {
        /// N2 of the answer.
        n2: Nonce,
    }

    /// AdminMsg: the next thing that the leader tells this member, at most one at a time.
    0x04 "EN-R4" Leader => Member, Boxed(AdminText<'a>)
    struct AdminMsg {
        /// The group instance.
        group: Instance,
        /// The member.
        cid: MemberId,
        /// The number of the box, from 1. That it follows in order, the numbers inside show.
        seq: u64,
    }

    /// Ack: the member has accepted the AdminMsg of this number.
    0x05 "EN-R5" Member => Leader, Boxed(AckText)
    struct Ack {
        /// The group instance.
        group: Instance,
        /// The member.
        cid: MemberId,
        /// The number of the AdminMsg.
        seq: u64,
    }

    /// ReqClose: the member leaves, or agrees that it is out.
    0x06 "EN-R6" Member => Leader, Boxed(CloseText<'a>)
    struct ReqClose {
        /// The group instance.
        group: Instance,
        /// The member.
        cid: MemberId,
    }

    /// Closed: the leader has ended the session, by its own wish or the member's.
    0x07 "EN-R7" Leader => Member, Boxed(EndText)
    struct Closed {
        /// The group instance.
        group: Instance,
        /// The member.
        cid: MemberId,
    }

    /// A member asks the leader for something. It is repeated until an AdminMsg answers it; one at a time.
    0x08 "EN-R8" Member => Leader, Boxed(RequestText<'a>)
    struct Request {
        /// The group instance.
        group: Instance,
        /// The member.
        cid: MemberId,
        /// The number of the request in this session, from 1.
        number: u64,
    }

    /// A message to the group: RA-D under another header, and keys of another system.
    0x09 "EN-R9" Any => All, Boxed(Content<'a>)
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

    /// A private message to some members, sealed under a key of its own (D29). The leader passes it on to its recipients.
    0x0A "EN-R10" Any => Members, Boxed(GossipText<'a>)
    struct Gossip {
        /// The group instance.
        group: Instance,
        /// The sender.
        cid: MemberId,
        /// Its number: that of the request it belongs to, or a number of the leader's own.
        number: u64,
    }
}

const _: () = assert!(
    <Data<'_> as crate::wire::Message<'_>>::INFO.code
        == <crate::wire::antigone::Data<'_> as crate::wire::Message<'_>>::INFO.code
);

choice! {
    /// The text of EN-R2.
    pub enum Offer<'a> {
        /// Welcome.
        0 = Accept(Accept<'a>),
        /// No.
        1 = Refuse(RefuseCode),
    }
}

structure! {
    /// What a newcomer learns first. The group key is not among it (X10).
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
    /// The text of EN-R3.
    pub struct Confirm<'a> {
        /// The member's fresh number, N3: the first AdminMsg names it.
        n3: Nonce,
        /// What the way of authentication shows last, if it does.
        proof: Blob<'a, 0, MAX_AUTH>,
        /// The member's public origin key for this session, or none.
        origin_key: VerifyingKey,
    }
}

structure! {
    /// The text of EN-R4.
    pub struct AdminText<'a> {
        /// N_{2i+1}: the number that the member made last.
        last: Nonce,
        /// N_{2i+2}: a fresh number of the leader.
        next: Nonce,
        /// The leader's epoch; 0 to one whose key is still to come.
        epoch: Epoch,
        /// The version of the view.
        view: Version,
        /// The version of the policy.
        policy: Version,
        /// The number of the last request of this member that the leader has taken.
        taken: u64,
        /// X.
        payload: AdminPayload<'a>,
    }
}

structure! {
    /// The text of EN-R5.
    pub struct AckText {
        /// N_{2i+2} of the AdminMsg.
        last: Nonce,
        /// N_{2i+3}: a fresh number of the member.
        next: Nonce,
    }
}

choice! {
    /// What an AdminMsg tells: X of the published notation.
    pub enum AdminPayload<'a> {
        /// Nothing but that the leader lives.
        0 = Ping,
        /// A group key.
        1 = Key(NewKey<'a>),
        /// A page of the view: who is a member, or who has become one or is one no longer.
        2 = View(ViewPage<'a>),
        /// A policy to come: it rules from the epoch whose facts name it.
        3 = Policy(PolicyChange<'a>),
        /// What became of a request to eject.
        4 = Ejection(RequestAnswer),
        /// The key of a private message that this member is to have.
        5 = GossipKey(GossipKey<'a>),
        /// The key that this member has asked for, to seal a private message with.
        6 = GossipGrant(GossipGrant<'a>),
        /// What became of a private message of this member.
        7 = Gossiped(Gossiped<'a>),
        /// Something about shared objects.
        16 = Object(ObjectNews<'a>),
    }
}

structure! {
    /// The key of a private message, for one of its recipients.
    pub struct GossipKey<'a> {
        /// Who sent it: the leader vouches for that.
        from: MemberId,
        /// The number of the message.
        number: u64,
        /// K', used once.
        key: KeyBytes<'a>,
        /// The digest of the whole EN-R10: the leader hands out the key when it has it.
        digest: Digest,
    }
}

structure! {
    /// A key for a private message that is still to be sealed.
    pub struct GossipGrant<'a> {
        /// The number of the request.
        number: u64,
        /// K', used once.
        key: KeyBytes<'a>,
    }
}

structure! {
    /// What became of a private message.
    pub struct Gossiped<'a> {
        /// The number of the request.
        number: u64,
        /// Those named who were not reached: they are no members, or there was no room for them.
        missed: List<'a, MemberId, MAX_RECIPIENTS, true>,
    }
}

structure! {
    /// A group key with its facts.
    pub struct NewKey<'a> {
        /// The facts of the epoch; their digest is bound into every key of it.
        common: Nested<'a, Common<'a>, MAX_COMMON>,
        /// K_g.
        key: KeyBytes<'a>,
    }
}

structure! {
    /// The text of EN-R6.
    pub struct CloseText<'a> {
        /// The member.
        member: NameRef<'a>,
        /// The leader.
        leader: NameRef<'a>,
    }
}

structure! {
    /// The text of EN-R7.
    pub struct EndText {
        /// Why.
        reason: EndReason,
        /// Who asked for it.
        by: MemberId,
    }
}

choice! {
    /// The text of EN-R8.
    pub enum RequestText<'a> {
        /// Nothing but that the member is here now, on this link.
        0 = Here,
        /// Another member should go.
        1 = Eject(EjectRequest<'a>),
        /// A private message in the documented form: the leader seals it anew.
        2 = Gossip(GossipWhole<'a>),
        /// A key for a private message, which the member will seal itself.
        3 = GossipKey(GossipTo<'a>),
        /// A private message that the member has sealed: the leader is to hand out its key.
        4 = GossipWrap(GossipWrap<'a>),
        /// A piece of what a shared object is to hold.
        16 = Put(PutPiece<'a>),
    }
}

structure! {
    /// For whom a private message is.
    pub struct GossipTo<'a> {
        /// The recipients, by rising number.
        to: List<'a, MemberId, MAX_RECIPIENTS, true>,
    }
}

structure! {
    /// A private message for the leader to seal.
    pub struct GossipWhole<'a> {
        /// The recipients, by rising number.
        to: List<'a, MemberId, MAX_RECIPIENTS, true>,
        /// What is said.
        text: GossipText<'a>,
    }
}

structure! {
    /// The key of a private message that follows.
    pub struct GossipWrap<'a> {
        /// The recipients, by rising number.
        to: List<'a, MemberId, MAX_RECIPIENTS, true>,
        /// K', used once.
        key: KeyBytes<'a>,
    }
}
