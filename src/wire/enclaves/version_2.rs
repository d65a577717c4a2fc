//! The messages of Enclaves 2.0 as published (enclaves §3), field for field, declared once each.
//!
//! Nothing here is guarded as a whole. Each message has a clear label, the name of the principal that it claims to come from;
//! what stands in `{…}` is a [`Sealed`] field, and the structures at the end say what is inside. The words of the report,
//! `req_open`, `mem_added` and so on, are the message types of the header: nothing inside the braces repeats them, so that
//! what can be confused (X6) stays visible.

use crate::identity::NameRef;
use crate::wire::field::{Blob, List, Nested, Nonce, Rest};
use crate::wire::frame::MAX_TEXT;
use crate::wire::published::{MAX_SEALED, Sealed};

/// Most recipients of one private message (gossip).
pub const MAX_RECIPIENTS: usize = 128;
/// The names of so many, in bytes.
const MAX_LIST: usize = 4 + MAX_RECIPIENTS * 256;

messages! {
    /// All messages of this edition.
    pub const MESSAGES: Enclaves AsPublished;

    /// A wishes to join: `A, req_open`, in clear.
    0x01 "EN-P1" Member => Leader, Open
    struct OpenRequest<'a> {
        /// The member.
        member: NameRef<'a>,
    }

    /// The leader's answer: `L, ack_open` or `L, connection_denied`, in clear.
    0x02 "EN-P2" Leader => Member, Open
    struct OpenAnswer<'a> {
        /// The leader.
        leader: NameRef<'a>,
        /// Which of the two.
        answer: OpenVerdict,
    }

    /// The authentication request: `A, {A, L, N1}_{P_a}`.
    0x03 "EN-A1" Member => Leader, Open
    struct AuthRequest<'a> {
        /// The member.
        member: NameRef<'a>,
        /// Under P_a.
        sealed: Sealed<'a, AuthRequestText<'a>, MAX_SEALED>,
    }

    /// Session key and group key: `L, {L, A, N1, N2, K_a, IV, K_g}_{P_a}`.
    0x04 "EN-A2" Leader => Member, Open
    struct AuthReply<'a> {
        /// The leader.
        leader: NameRef<'a>,
        /// Under P_a.
        sealed: Sealed<'a, AuthReplyText<'a>, MAX_SEALED>,
    }

    /// A has the keys: `A, {N2}_{K_a}`.
    0x05 "EN-A3" Member => Leader, Open
    struct AuthConfirm<'a> {
        /// The member.
        member: NameRef<'a>,
        /// Under K_a.
        sealed: Sealed<'a, AuthConfirmText, MAX_SEALED>,
    }

    /// Somebody is a member now: `L, mem_added, {X}_{K_g}`.
    0x06 "EN-M+" Leader => Member, Open
    struct MemberAdded<'a> {
        /// The leader.
        leader: NameRef<'a>,
        /// Under the group key.
        sealed: Sealed<'a, MemberText<'a>, MAX_SEALED>,
    }

    /// Somebody is no member any more: `L, mem_removed, {X}_{K_g}`.
    0x07 "EN-M-" Leader => Member, Open
    struct MemberRemoved<'a> {
        /// The leader.
        leader: NameRef<'a>,
        /// Under the group key.
        sealed: Sealed<'a, MemberText<'a>, MAX_SEALED>,
    }

    /// A new group key for one member: `L, new_key, {K_g', IV}_{K_a}`.
    0x08 "EN-NK" Leader => Member, Open
    struct NewKey<'a> {
        /// The leader.
        leader: NameRef<'a>,
        /// Under K_a.
        sealed: Sealed<'a, NewKeyText<'a>, MAX_SEALED>,
    }

    /// A has the new group key: `A, new_key_ack, {K_g'}_{K_g'}`.
    0x09 "EN-NKA" Member => Leader, Open
    struct NewKeyAck<'a> {
        /// The member.
        member: NameRef<'a>,
        /// Under the new group key.
        sealed: Sealed<'a, NewKeyAckText<'a>, MAX_SEALED>,
    }

    /// A leaves: `A, req_close`, in clear.
    0x0A "EN-C1" Member => Leader, Open
    struct CloseRequest<'a> {
        /// The member.
        member: NameRef<'a>,
    }

    /// The leader's answer to it; alone it says "you are expelled": `L, close_connection`, in clear.
    0x0B "EN-C2" Leader => Member, Open
    struct Close<'a> {
        /// The leader.
        leader: NameRef<'a>,
    }

    /// Data for the group: `A, {data}_{K_g}`.
    0x0C "EN-D1" Member => Leader, Open
    struct DataToLeader<'a> {
        /// The sender, as the label says.
        sender: NameRef<'a>,
        /// Under the group key.
        sealed: Sealed<'a, DataText<'a>, MAX_TEXT>,
    }

    /// The same to each member: label and ciphertext are those of EN-D1.
    0x0D "EN-D2" Leader => Member, Open
    struct DataToMember<'a> {
        /// The sender, as the label says.
        sender: NameRef<'a>,
        /// Under the group key.
        sealed: Sealed<'a, DataText<'a>, MAX_TEXT>,
    }

    /// Gossip: data for some members, `A, {B_1, …, B_m, data}_{K_a}`.
    0x0E "EN-G1" Member => Leader, Open
    struct GossipToLeader<'a> {
        /// The sender.
        sender: NameRef<'a>,
        /// Under the sender's K_a.
        sealed: Sealed<'a, GossipText<'a>, MAX_TEXT>,
    }

    /// Gossip delivered: `A, {B_i, K'}_{K_{b_i}}, {data}_{K'}`. K' is used once.
    0x0F "EN-G2" Leader => Member, Open
    struct GossipToMember<'a> {
        /// The sender, as the label says.
        sender: NameRef<'a>,
        /// Under the recipient's K_b.
        key: Sealed<'a, GossipKeyText<'a>, MAX_SEALED>,
        /// Under K'.
        sealed: Sealed<'a, DataText<'a>, MAX_TEXT>,
    }
}

choice! {
    /// Whether the leader lets somebody begin.
    pub enum OpenVerdict {
        /// `ack_open`.
        0 = Accepted,
        /// `connection_denied`.
        1 = Denied,
    }
}

structure! {
    /// The text of EN-A1.
    pub struct AuthRequestText<'a> {
        /// The member.
        member: NameRef<'a>,
        /// The leader.
        leader: NameRef<'a>,
        /// The member's fresh number.
        n1: Nonce,
    }
}

structure! {
    /// The text of EN-A2.
    pub struct AuthReplyText<'a> {
        /// The leader.
        leader: NameRef<'a>,
        /// The member.
        member: NameRef<'a>,
        /// N1 of the request.
        n1: Nonce,
        /// The leader's fresh number.
        n2: Nonce,
        /// K_a.
        session: Blob<'a, 8, 64>,
        /// The initialization vector that belongs to the group key, and serves K_a too (D5).
        iv: Nonce,
        /// K_g.
        group: Blob<'a, 8, 64>,
    }
}

structure! {
    /// The text of EN-A3.
    pub struct AuthConfirmText {
        /// N2 of the reply.
        n2: Nonce,
    }
}

structure! {
    /// The text of EN-M+ and EN-M-.
    pub struct MemberText<'a> {
        /// Who came or went.
        name: NameRef<'a>,
    }
}

structure! {
    /// The text of EN-NK.
    pub struct NewKeyText<'a> {
        /// K_g'.
        group: Blob<'a, 8, 64>,
        /// Its initialization vector.
        iv: Nonce,
    }
}

structure! {
    /// The text of EN-NKA.
    pub struct NewKeyAckText<'a> {
        /// K_g' itself (D28).
        group: Blob<'a, 8, 64>,
    }
}

structure! {
    /// Data: the port of the receiving application, then what is said.
    pub struct DataText<'a> {
        /// 0 for the application, 1 for objects.
        port: u8,
        /// What is said.
        text: Rest<'a, MAX_TEXT>,
    }
}

structure! {
    /// The text of EN-G1.
    pub struct GossipText<'a> {
        /// Who shall have it.
        recipients: Nested<'a, List<'a, NameRef<'a>, MAX_RECIPIENTS>, MAX_LIST>,
        /// 0 for the application, 1 for objects.
        port: u8,
        /// What is said.
        text: Rest<'a, MAX_TEXT>,
    }
}

structure! {
    /// What EN-G2 holds for its recipient.
    pub struct GossipKeyText<'a> {
        /// The recipient.
        recipient: NameRef<'a>,
        /// K'.
        key: Blob<'a, 8, 64>,
    }
}
