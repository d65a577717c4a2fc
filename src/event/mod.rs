//! One vocabulary of events and counters for both systems, so that charts, traces, checkers and programs need one.

mod cause;
mod outcome;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use crate::endpoint::{Link, LinkTicket};
use crate::error::{Failure, Reason};
use crate::identity::{Epoch, Instance, MemberId, Name, Version};
use crate::policy::Right;

pub use cause::{Cause, Causes};
pub use outcome::{
    DirectEnd, EjectVerdict, EndReason, Ending, JoinFailure, Lacking, ObjectRefusal, Refusal, Shortfall, Suspicion,
};

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
    /// (Enclaves) A change of a shared object is made: the answer to `put`.
    ObjectTaken {
        /// What `put` answered.
        number: u64,
        /// The object.
        object: Name,
        /// The number of the change.
        version: Version,
    },
    /// (Enclaves) A change of a shared object is refused: the answer to `put`.
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
    /// A private word to some members, this one among them (Enclaves: gossip).
    Gossip(Message),
    /// The own private word is on its way.
    GossipSent {
        /// Its number, as the command gave it.
        number: u64,
        /// Those named who were not reached: they are no members, or there was no room for them (D29).
        missed: Vec<MemberId>,
    },
    /// (Member) The key of a private word came, and the word did not, in time.
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

/// What data that cannot be read say of themselves, in clear: a claim, for logs, and no proof of anything.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Claims {
    /// The member that is named as the sender.
    pub sender: MemberId,
    /// The epoch of the key.
    pub epoch: Epoch,
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
