//! How what was asked for, or a membership, came out: refusals, failures, verdicts and ends.

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
    /// The leader has no room for the change now, or it took too long to arrive.
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
