//! One vocabulary of events and counters for both systems, so that charts, traces, checkers and programs need one.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use crate::endpoint::{Link, LinkTicket};
use crate::error::{Failure, Reason};
use crate::identity::{Epoch, Instance, MemberId, Name, Version};
use crate::policy::Right;

/// What happened, for the application.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The machine needs a link to `peer`. Open one and announce it with `LinkInfo::answers` set to `ticket`. It comes
    /// again, with the same ticket, while no link answers: attempts may be given up without telling the machine.
    LinkWanted {
        /// Names this wish.
        ticket: LinkTicket,
        /// Whom to reach.
        peer: Peer,
        /// A communication hint from the policy (at most 64 bytes), or empty.
        hint: Bytes,
    },

    /// (Third party) The records of these two principals are needed: answer with `ThirdParty::answer`.
    LookupWanted {
        /// Names this look-up.
        ticket: Ticket,
        /// The leader that asks.
        leader: Name,
        /// The member that wants to join it.
        member: Name,
    },
    /// (Third party) A session key was derived for this pair.
    Vouched {
        /// The leader that asked.
        leader: Name,
        /// The member that joins it.
        member: Name,
    },
    /// (Leader) The third party answered that it does not vouch for `name` (R29: sealed, so the blame is certain).
    NotVouched {
        /// Who wanted to join.
        name: Name,
        /// What the third party says.
        why: Refusal,
    },
    /// (Leader) The policy leaves admission to the application: answer with `Leader::admit`.
    AdmissionWanted {
        /// Names this question.
        ticket: Ticket,
        /// Who wants to join, vouched for by the third party.
        name: Name,
    },

    /// The group is open (leader), or the join is complete: a key is installed and known to be current (member).
    Joined {
        /// The group instance.
        group: Instance,
        /// The own member number.
        cid: MemberId,
        /// The installed epoch.
        epoch: Epoch,
    },
    /// (Member) The leader refuses; the refusal is authentic, but where joins are as published (E8, X15).
    JoinRefused(Refusal),
    /// (Member) The join came to nothing here.
    JoinFailed(JoinFailure),

    /// A member is in the view.
    MemberAdded {
        /// Its number.
        cid: MemberId,
        /// Its name.
        name: Name,
        /// The view that shows it first.
        view: Version,
    },
    /// A member is gone from the view.
    MemberRemoved {
        /// Its number.
        cid: MemberId,
        /// Its name.
        name: Name,
        /// Why (S6: no removal without its cause).
        cause: Cause,
        /// Who asked for it.
        by: MemberId,
        /// The view that no longer shows it.
        view: Version,
    },

    /// A group key is installed.
    Installed {
        /// Its epoch.
        epoch: Epoch,
        /// What made the leader change the key.
        causes: Causes,
    },
    /// A key of this epoch opens nothing any more.
    Erased {
        /// The epoch.
        epoch: Epoch,
    },
    /// (Member) The leader has a newer key than the one here: sending stops until it is installed. It comes again when
    /// something else is lacking.
    Behind {
        /// The leader's epoch.
        epoch: Epoch,
        /// What the install waits for.
        lacks: Lacking,
    },
    /// (Member) The key here is the leader's again.
    Current {
        /// The epoch.
        epoch: Epoch,
    },
    /// (Member) No fresh evidence that the key is current: neither sends nor delivers until there is some (S8).
    Stale,
    /// (Leader) This member is taken for dead. What follows is the policy's.
    Suspected {
        /// The member.
        cid: MemberId,
        /// Why.
        why: Suspicion,
    },

    /// (Leader) A member asks that another be ejected, and the policy leaves it to the application: answer with
    /// `Leader::decide_ejection`.
    EjectionWanted {
        /// Names this question.
        ticket: Ticket,
        /// Who asks.
        by: MemberId,
        /// Who should go.
        target: MemberId,
        /// Its name.
        name: Name,
    },
    /// (Member) The leader has answered `Member::request_ejection`.
    EjectionAnswered {
        /// Who should go.
        target: MemberId,
        /// What became of it.
        verdict: EjectVerdict,
    },
    /// A shared object has changed, here: `get` shows it. Versions of all objects are one order.
    ObjectChanged {
        /// The object.
        object: Name,
        /// The number of the change.
        version: Version,
        /// Who made it.
        by: MemberId,
    },
    /// (Member) The leader has taken a change: the answer to `Member::put`.
    ObjectTaken {
        /// What `put` answered.
        number: u64,
        /// The object.
        object: Name,
        /// The number of the change.
        version: Version,
    },
    /// (Member) The leader has refused a change: the answer to `Member::put`.
    ObjectRefused {
        /// What `put` answered.
        number: u64,
        /// The object.
        object: Name,
        /// Why.
        why: ObjectRefusal,
        /// The version of the object at the leader, where `why` is a conflict; else 0.
        version: Version,
    },
    /// (Member) What may be done with a shared object here is something else now.
    ObjectRight {
        /// The object.
        object: Name,
        /// What may be done.
        right: Right,
    },
    /// Another policy is in force, from the epoch just installed on.
    PolicyChanged {
        /// Its version.
        version: Version,
    },
    /// (Member) Epochs were jumped over: what was said under their keys cannot be read here (R23).
    Missed {
        /// The first epoch whose key never came.
        first: Epoch,
        /// The last one.
        last: Epoch,
    },

    /// (Member) The leader lives, and nothing of what it says on this shared link arrives here (R47). The group goes on
    /// over the link to the leader alone.
    MulticastSilent {
        /// The shared link.
        link: Link,
    },
    /// (Member) The leader is heard again on this shared link.
    MulticastHeard {
        /// The shared link.
        link: Link,
    },

    /// A message to the group.
    Data(Message),
    /// (Enclaves) A private message to some members, this one among them (gossip).
    Gossip(Message),
    /// (Enclaves) The own private message is on its way.
    GossipSent {
        /// Its number, as the command gave it.
        number: u64,
        /// Those named who were not reached: they are no members, or there was no room for them (D29).
        missed: Vec<MemberId>,
    },
    /// (Enclaves) The key of a private message came, and the message did not, in time.
    GossipMissed {
        /// Who sent it.
        from: MemberId,
        /// Its number.
        number: u64,
    },
    /// (Leader, Enclaves as published) A private message named somebody who is no member: nothing was sent there (D29).
    GossipDropped {
        /// Who sent it.
        from: MemberId,
        /// Who was named.
        to: Name,
    },
    /// (Member, Enclaves 1.0) A direct link is there: both ends have shown the key that the leader gave them.
    DirectOpened {
        /// The own number of who is at the other end.
        peer: MemberId,
        /// Its name.
        name: Name,
    },
    /// (Member, Enclaves 1.0) A message over a direct link. No group key is involved: its epoch is 0.
    Direct(Message),
    /// (Member, Enclaves 1.0) A direct link is over, or comes to nothing.
    DirectClosed {
        /// The own number of who was at the other end.
        peer: MemberId,
        /// Its name.
        name: Name,
        /// Why.
        why: DirectEnd,
    },

    /// The group has ended here, and why. Keys are wiped.
    Ended(Ending),

    /// An input was refused. It changed nothing but counters. What the reason means, and whether it is expected, says
    /// `explain`.
    Rejected {
        /// Where it came from.
        link: Link,
        /// Why.
        why: Reason,
        /// Data of this group that cannot be read: whose and of when it claims to be. Nothing of it is proven.
        claims: Option<Claims>,
    },
    /// Work that no caller waits for failed in the surroundings; it is tried again.
    Hindered(Failure),
}

/// A peer that the machine wants a link to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Peer {
    /// The third party.
    ThirdParty,
    /// The leader of this name.
    Leader(Name),
    /// The member of this name, for a direct link (Enclaves 1.0).
    Member(Name),
}

/// Names one question to the application; each is answered once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket(pub u64);

/// A message as it is delivered. Printed for debugging it shows how long the text is, not the text: what the group keeps
/// secret must not end in a log (R33).
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Who sent it, and what that claim is worth.
    pub from: Sender,
    /// Under which key it came.
    pub epoch: Epoch,
    /// For whom inside the application.
    pub port: Port,
    /// The text.
    pub payload: Bytes,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, epoch, port, payload } = self;
        let payload = format_args!("{} bytes", payload.len());
        let mut shown = f.debug_struct("Message");
        shown.field("from", from).field("epoch", epoch).field("port", port).field("payload", &payload).finish()
    }
}

/// The sender of a message, typed by what proves it (R28).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sender {
    /// Nothing proves it: the protection is `None`.
    Unauthenticated(MemberId),
    /// Some holder of the group key claims this number: any insider may have written it (A2).
    AnyMember(MemberId),
    /// It came under a key of two ends (Enclaves 1.0): this member wrote it, or the leader, who makes such keys.
    Pairwise(MemberId),
    /// This member signed it.
    Signed(MemberId),
    /// The leader says that it came from this member: a private message.
    Vouched(MemberId),
}

impl Sender {
    /// The claimed member number. What the claim is worth is said by the variant.
    pub fn claimed(self) -> MemberId {
        match self {
            Self::Unauthenticated(cid)
            | Self::AnyMember(cid)
            | Self::Pairwise(cid)
            | Self::Signed(cid)
            | Self::Vouched(cid) => cid,
        }
    }
}

/// The first byte of each message, inside its protection (RA §5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Port {
    /// The application.
    Application,
    /// Objects (`transfer`).
    Transfer,
}

/// Why a join was refused, by the third party or by the leader.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Refusal {
    /// The third party does not know the member.
    Unknown,
    /// The join request does not verify under the member's key.
    BadTag,
    /// The member's key is disabled.
    Disabled,
    /// The third party or the leader has no room now.
    Busy,
    /// The access list or the application says no.
    Denied,
}

/// Why a join came to nothing at the member itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum JoinFailure {
    /// No answer in time.
    Timeout,
    /// The leader's policy falls short of the member's floor.
    BelowFloor(Shortfall),
    /// The link carries shorter frames than the policy's.
    LinkTooSmall,
    /// The leader ended the channel before the join was complete.
    Ended(EndReason),
}

/// What of a leader's policy falls short of a member's floor.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Shortfall {
    /// No ephemeral exchange: no forward secrecy.
    ForwardSecrecy,
    /// A weaker protection of data.
    Protection,
    /// No signed origin.
    Origin,
    /// No failure detection: no staleness bound.
    FailureDetection,
    /// No rekey when somebody leaves.
    RekeyOnLeave,
    /// Evidence may get older than the floor allows.
    Staleness,
    /// Keys may get older than the floor allows.
    KeyLifetime,
    /// The roster is not exact.
    Views,
    /// Any member may throw out any other.
    FreeEjection,
    /// Parts are as published: a member of the repaired edition refuses that whatever its floor.
    AsPublished,
}

/// Why an epoch or a removal came to be.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
#[non_exhaustive]
pub enum Cause {
    /// The group was opened.
    Open = 0,
    /// Somebody joined.
    Join = 1,
    /// Somebody left.
    Leave = 2,
    /// Somebody was ejected.
    Eject = 3,
    /// Somebody was silent for too long.
    Failure = 4,
    /// Somebody joined again under the name of a live member.
    Takeover = 5,
    /// The policy changed.
    Policy = 6,
    /// The key was old enough.
    Period = 7,
    /// The key had sealed enough messages.
    Messages = 8,
    /// The key had sealed enough bytes.
    Bytes = 9,
    /// The application asked.
    Command = 10,
    /// Not known here: the changes that say why were missed, and the leader no longer remembers them. Never sent.
    Missed = 255,
}

impl Cause {
    /// All causes that a leader can state, by rising code.
    pub const ALL: [Self; 11] = [
        Self::Open,
        Self::Join,
        Self::Leave,
        Self::Eject,
        Self::Failure,
        Self::Takeover,
        Self::Policy,
        Self::Period,
        Self::Messages,
        Self::Bytes,
        Self::Command,
    ];

    /// Somebody must no longer have the key: older keys end at once (RA §4.4).
    pub fn evicts(self) -> bool {
        matches!(self, Self::Leave | Self::Eject | Self::Failure | Self::Takeover)
    }
}

/// A set of causes: changes that fall due together make one epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Causes(u16);

impl Causes {
    /// No cause.
    pub const NONE: Self = Self(0);

    /// The set of one cause.
    pub fn of(cause: Cause) -> Self {
        Self(1u16.checked_shl(u32::from(cause as u8)).unwrap_or(0))
    }

    /// This set and `cause`.
    #[must_use]
    pub fn with(self, cause: Cause) -> Self {
        Self(self.0 | Self::of(cause).0)
    }

    /// Whether `cause` is among them.
    pub fn contains(self, cause: Cause) -> bool {
        self.0 & Self::of(cause).0 != 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// A batch with one evicting cause is evicting (RA §4.4).
    pub fn evict(self) -> bool {
        self.iter().any(Cause::evicts)
    }

    /// The causes, by rising code.
    pub fn iter(self) -> impl Iterator<Item = Cause> {
        Cause::ALL.into_iter().filter(move |cause| self.contains(*cause))
    }

    /// The set as bits, bit n for the cause of code n.
    pub fn bits(self) -> u16 {
        self.0
    }

    /// The set of these bits, or `None` if a bit stands for nothing.
    pub fn from_bits(bits: u16) -> Option<Self> {
        (bits < 1 << Cause::ALL.len()).then_some(Self(bits))
    }
}

/// Why a channel ended, as said by the peer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
#[non_exhaustive]
pub enum EndReason {
    /// The member left.
    Left = 0,
    /// The leader ejected the member.
    Ejected = 1,
    /// The leader took the member for dead.
    Failed = 2,
    /// A newer join of the same name took over.
    TakenOver = 3,
    /// The policy no longer admits it.
    Policy = 4,
    /// The leader closes the group.
    Closing = 5,
    /// The peer broke the protocol.
    Protocol = 6,
    /// The leader has a live member of that name and refuses takeovers.
    Busy = 7,
    /// The numbers of the channel are used up: join again.
    Exhausted = 8,
}

/// Why a leader takes a member for dead (RA §4.2 to §4.4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Suspicion {
    /// Nothing fresh was heard of it for too long.
    Silence,
    /// It speaks, and has not shown the current key for too long (T_dead).
    KeyNotTaken,
    /// The records that it does not acknowledge pile up (R30).
    RecordsPileUp,
}

/// What became of a request to eject somebody.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
#[non_exhaustive]
pub enum EjectVerdict {
    /// It is out.
    Ejected = 0,
    /// The policy does not let members ask.
    NotAllowed = 1,
    /// No live member has that number and that name, or it is the leader.
    NoSuchMember = 2,
    /// The leader's application says no, or nothing.
    Denied = 3,
    /// The leader has no room for the question now.
    Busy = 4,
}

/// Why a change of a shared object was refused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
#[non_exhaustive]
pub enum ObjectRefusal {
    /// The member may not change it.
    NotAllowed = 0,
    /// The policy names no such object.
    NoSuchObject = 1,
    /// The contents are longer than the policy allows.
    TooLong = 2,
    /// The object is at another version than the change was made for.
    Conflict = 3,
    /// The leader has no room for the change now.
    Busy = 4,
}

/// What an install waits for, at a member that is behind (RA §4.4 (4)).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Lacking {
    /// The key has not come.
    Key,
    /// It has come, and the policy that it names has not.
    Policy,
    /// It has come, and the view that it names has not (class exact).
    View,
    /// All is here, and the suite failed while the key was derived. It is tried again.
    Suite,
}

/// What data that cannot be read say of themselves, in clear: a claim, for logs, and no proof of anything.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Claims {
    /// The member that is named as the sender.
    pub sender: MemberId,
    /// The epoch of the key.
    pub epoch: Epoch,
}

/// How the group ended here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Ending {
    /// Own wish, confirmed by the leader.
    Left,
    /// Own wish; the leader's confirmation did not come in time (it will notice by silence, X11).
    LeftUnconfirmed,
    /// The leader ended it.
    ByLeader(EndReason),
    /// The leader broke the protocol.
    LeaderViolation,
    /// The numbers of the channel were used up (R16): join again.
    Exhausted,
    /// The leader has changed its policy, and the new one falls short of the own floor.
    BelowFloor(Shortfall),
    /// Nothing fresh was heard of the leader for too long.
    LeaderLost,
    /// The leader closed its group.
    Closed,
}

/// Why a direct link is over, or came to nothing (Enclaves 1.0).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
#[non_exhaustive]
pub enum DirectEnd {
    /// Own wish.
    Closed = 0,
    /// The other end's wish.
    ByPeer = 1,
    /// Nothing was heard of the other end for too long.
    Silence = 2,
    /// The leader grants no link to that member, or it is none.
    Denied = 3,
    /// The leader, or the other end, did not answer in time.
    NoAnswer = 4,
    /// The leader gave both ends a newer key.
    Replaced = 5,
}

/// Counters. They are not part of the state: no behaviour depends on them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Frames taken in.
    pub frames_in: u64,
    /// Frames handed out.
    pub frames_out: u64,
    /// Frames dropped unread since the outgoing queues lacked room, as if the network had lost them (R45).
    pub overruns: u64,
    /// Links that were not taken since there were as many as the limits allow.
    pub links_refused: u64,
    /// Times at which the clock went back and was held.
    pub clock_back: u64,
    /// Refused inputs by reason.
    pub rejected: BTreeMap<Reason, u64>,
    /// Messages delivered.
    pub delivered: u64,
    /// Messages sealed.
    pub sealed: u64,
    /// Messages forwarded for others.
    pub relayed: u64,
}

impl Stats {
    /// All refused inputs.
    pub fn rejections(&self) -> u64 {
        self.rejected.values().sum()
    }
}
