//! The messages of Enclaves 1.0 (enclaves §2, D30), declared once each.
//!
//! All but the first are a single `{…}`: nothing but the header of the frame stands in clear. Each text begins with a [`Head`].

use crate::event::{Causes, EndReason};
use crate::identity::{Epoch, NameRef};
use crate::wire::field::{Blob, List, MaybeName, Rest};
use crate::wire::frame::MAX_TEXT;
use crate::wire::published::{MAX_SEALED, Sealed};

/// Most changes of the roster in one notice.
pub const MAX_CHANGES: usize = 32;
/// Longest hint how to reach a member, in bytes.
pub const MAX_HINT: usize = 64;
/// Longest `{…}` with a list of names, in bytes.
pub const MAX_NOTICE: usize = MAX_CHANGES * 257 + 1_024;

messages! {
    /// All messages of this edition.
    pub const MESSAGES: FirstEnclaves AsPublished;

    /// A asks to join: `A, {head}_{P_a}`. The only name that ever stands in clear.
    0x01 "EN-1J" Member => Leader, Open
    struct JoinRequest<'a> {
        /// The member.
        member: NameRef<'a>,
        /// Under P_a.
        sealed: Sealed<'a, PlainText<'a>, MAX_SEALED>,
    }

    /// Session key and group key: `{head, number, K_a, epoch, K_g}_{P_a}`.
    0x02 "EN-1K" Leader => Member, Open
    struct JoinReply<'a> {
        /// Under P_a.
        sealed: Sealed<'a, KeysText<'a>, MAX_SEALED>,
    }

    /// A refusal: `{head, number, why}_{P_a}`.
    0x03 "EN-1E" Leader => Member, Open
    struct JoinRefused<'a> {
        /// Under P_a.
        sealed: Sealed<'a, RefusalText<'a>, MAX_SEALED>,
    }

    /// A has the keys, and can be reached so: `{head, hint}_{K_a}`. Also said over a new link.
    0x04 "EN-1A" Member => Leader, Open
    struct Here<'a> {
        /// Under K_a.
        sealed: Sealed<'a, HereText<'a>, MAX_SEALED>,
    }

    /// A leaves: `{head}_{K_a}`.
    0x05 "EN-1L" Member => Leader, Open
    struct LeaveRequest<'a> {
        /// Under K_a.
        sealed: Sealed<'a, PlainText<'a>, MAX_SEALED>,
    }

    /// The leader has taken A out: `{head, number}_{K_a}`.
    0x06 "EN-1LA" Leader => Member, Open
    struct LeaveAnswer<'a> {
        /// Under K_a.
        sealed: Sealed<'a, AnswerText<'a>, MAX_SEALED>,
    }

    /// The leader ends A's membership: `{head, why}_{K_a}`.
    0x07 "EN-1C" Leader => Member, Open
    struct Close<'a> {
        /// Under K_a.
        sealed: Sealed<'a, CloseText<'a>, MAX_SEALED>,
    }

    /// A new group key for one member: `{head, epoch, causes, K_g'}_{K_a}`.
    0x08 "EN-1N" Leader => Member, Open
    struct NewKey<'a> {
        /// Under K_a.
        sealed: Sealed<'a, NewKeyText<'a>, MAX_SEALED>,
    }

    /// A has got EN-1N, EN-1M or EN-1XK: `{head, number}_{K_a}`.
    0x09 "EN-1NA" Member => Leader, Open
    struct Acknowledgement<'a> {
        /// Under K_a.
        sealed: Sealed<'a, AnswerText<'a>, MAX_SEALED>,
    }

    /// Who came and who went: `{head, changes}_{K_a}`.
    0x0A "EN-1M" Leader => Member, Open
    struct Notice<'a> {
        /// Under K_a.
        sealed: Sealed<'a, NoticeText<'a>, MAX_NOTICE>,
    }

    /// Data for the group: `{head, port, data}_{K_g}`. The leader relays it unchanged.
    0x0B "EN-1D" Any => All, Open
    struct Data<'a> {
        /// Under the group key.
        sealed: Sealed<'a, DataText<'a>, MAX_TEXT>,
    }

    /// Data for one, on the way to the leader: `{head, B, port, data}_{K_a}`.
    0x0C "EN-1P" Member => Leader, Open
    struct PrivateData<'a> {
        /// Under the sender's K_a.
        sealed: Sealed<'a, PrivateText<'a>, MAX_TEXT>,
    }

    /// The same on its way to B: `{head, A, port, data}_{K_b}`.
    0x0D "EN-1PD" Leader => Member, Open
    struct PrivateDelivery<'a> {
        /// Under the recipient's K_b.
        sealed: Sealed<'a, PrivateText<'a>, MAX_TEXT>,
    }

    /// A asks for a direct link to B: `{head, B}_{K_a}`.
    0x0E "EN-1XR" Member => Leader, Open
    struct DirectRequest<'a> {
        /// Under K_a.
        sealed: Sealed<'a, DirectRequestText<'a>, MAX_SEALED>,
    }

    /// A key for a direct link, for each of the two: `{head, B, side, K_ab, hint}_{K_a}`.
    0x0F "EN-1XK" Leader => Member, Open
    struct DirectKey<'a> {
        /// Under the K of the one that gets it.
        sealed: Sealed<'a, DirectKeyText<'a>, MAX_SEALED>,
    }

    /// The leader grants no link to B: `{head, B}_{K_a}`.
    0x10 "EN-1XD" Leader => Member, Open
    struct DirectDenied<'a> {
        /// Under K_a.
        sealed: Sealed<'a, DirectRequestText<'a>, MAX_SEALED>,
    }

    /// The one that dials shows itself: `{head}_{K_ab}`.
    0x11 "EN-1XH" Member => Member, Open
    struct DirectHello<'a> {
        /// Under K_ab.
        sealed: Sealed<'a, PlainText<'a>, MAX_SEALED>,
    }

    /// The other answers: `{head, number}_{K_ab}`.
    0x12 "EN-1XW" Member => Member, Open
    struct DirectWelcome<'a> {
        /// Under K_ab.
        sealed: Sealed<'a, AnswerText<'a>, MAX_SEALED>,
    }

    /// Data over a direct link: `{head, port, data}_{K_ab}`.
    0x13 "EN-1XP" Member => Member, Open
    struct DirectData<'a> {
        /// Under K_ab.
        sealed: Sealed<'a, DataText<'a>, MAX_TEXT>,
    }

    /// A sign of life over a direct link on which nothing else was said: `{head}_{K_ab}`.
    0x14 "EN-1XA" Member => Member, Open
    struct DirectAlive<'a> {
        /// Under K_ab.
        sealed: Sealed<'a, PlainText<'a>, MAX_SEALED>,
    }

    /// The end of a direct link: `{head}_{K_ab}`.
    0x15 "EN-1XE" Member => Member, Open
    struct DirectEnd<'a> {
        /// Under K_ab.
        sealed: Sealed<'a, PlainText<'a>, MAX_SEALED>,
    }
}

structure! {
    /// What every encrypted text begins with (D30): no message can serve in another place, at another time or as another one.
    pub struct Head<'a> {
        /// Who wrote it.
        sender: NameRef<'a>,
        /// For whom it is; none for the group.
        recipient: MaybeName<'a>,
        /// Greater than all before from this sender under this key.
        sequence: u64,
        /// The sender's time, in milliseconds since the Unix epoch.
        timestamp: u64,
        /// The message type again, since that of the frame's header is in clear.
        kind: u8,
    }
}

structure! {
    /// The text of what says all by its type.
    pub struct PlainText<'a> {
        /// The head.
        head: Head<'a>,
    }
}

structure! {
    /// The text of an answer.
    pub struct AnswerText<'a> {
        /// The head.
        head: Head<'a>,
        /// The sequence number of what it answers.
        answers: u64,
    }
}

structure! {
    /// The text of EN-1K.
    pub struct KeysText<'a> {
        /// The head.
        head: Head<'a>,
        /// The sequence number of the request.
        answers: u64,
        /// K_a.
        session: Blob<'a, 8, 64>,
        /// The number of K_g.
        epoch: Epoch,
        /// K_g.
        group: Blob<'a, 8, 64>,
    }
}

choice! {
    /// Why a join is refused.
    pub enum RefusalCode {
        /// The policy, or the application, says no.
        0 = Denied,
        /// There is no room now.
        1 = Busy,
    }
}

structure! {
    /// The text of EN-1E.
    pub struct RefusalText<'a> {
        /// The head.
        head: Head<'a>,
        /// The sequence number of the request.
        answers: u64,
        /// Why.
        why: RefusalCode,
    }
}

structure! {
    /// The text of EN-1A.
    pub struct HereText<'a> {
        /// The head.
        head: Head<'a>,
        /// How others reach this member directly, in words that only their drivers understand; empty if not at all.
        hint: Blob<'a, 0, MAX_HINT>,
    }
}

structure! {
    /// The text of EN-1C.
    pub struct CloseText<'a> {
        /// The head.
        head: Head<'a>,
        /// Why: expelled, taken over, or the group ends.
        why: EndReason,
    }
}

structure! {
    /// The text of EN-1N.
    pub struct NewKeyText<'a> {
        /// The head.
        head: Head<'a>,
        /// The number of the key, one more than that of the key before.
        epoch: Epoch,
        /// What made the leader change it.
        causes: Causes,
        /// K_g'.
        group: Blob<'a, 8, 64>,
    }
}

choice! {
    /// What became of somebody.
    pub enum Presence {
        /// Is a member.
        0 = Here,
        /// Is a member no more.
        1 = Gone,
    }
}

structure! {
    /// One line of a notice.
    pub struct Change<'a> {
        /// Who.
        name: NameRef<'a>,
        /// What became of it.
        presence: Presence,
    }
}

structure! {
    /// The text of EN-1M.
    pub struct NoticeText<'a> {
        /// The head.
        head: Head<'a>,
        /// Who came and who went since the last notices that the member has acknowledged.
        changes: List<'a, Change<'a>, MAX_CHANGES>,
    }
}

structure! {
    /// The text of EN-1D and EN-1XP.
    pub struct DataText<'a> {
        /// The head.
        head: Head<'a>,
        /// 0 for the application, 1 for objects.
        port: u8,
        /// What is said.
        text: Rest<'a, MAX_TEXT>,
    }
}

structure! {
    /// The text of EN-1P and EN-1PD.
    pub struct PrivateText<'a> {
        /// The head.
        head: Head<'a>,
        /// The one at the far end: for whom it is, or from whom.
        other: NameRef<'a>,
        /// 0 for the application, 1 for objects.
        port: u8,
        /// What is said.
        text: Rest<'a, MAX_TEXT>,
    }
}

structure! {
    /// The text of EN-1XR and EN-1XD.
    pub struct DirectRequestText<'a> {
        /// The head.
        head: Head<'a>,
        /// Who is to be at the other end.
        peer: NameRef<'a>,
    }
}

choice! {
    /// What is to be done with a key for a direct link.
    pub enum Side {
        /// Dial.
        0 = Dials,
        /// Wait to be dialled.
        1 = Waits,
    }
}

structure! {
    /// The text of EN-1XK.
    pub struct DirectKeyText<'a> {
        /// The head.
        head: Head<'a>,
        /// Who is at the other end.
        peer: NameRef<'a>,
        /// Which end this one is.
        side: Side,
        /// K_ab.
        key: Blob<'a, 8, 64>,
        /// How to reach the other end, in its own words.
        hint: Blob<'a, 0, MAX_HINT>,
    }
}
