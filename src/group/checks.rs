//! Which checks a machine makes: all of them. A simulation may switch one off, to see the attack that it is there for
//! succeed; without the feature `sim` there is nothing to switch, and asking costs nothing.

/// A check of the repaired Antigone that stands between an attack and its success.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
#[non_exhaustive]
pub enum Check {
    /// A join request is taken from proven links only (X9).
    ProvenLink = 0,
    /// A pending join is safe from being replaced for T_min (R6, X9).
    PendingGuard = 1,
    /// The leader's policy is not below the member's floor (R8, R38).
    PolicyFloor = 2,
    /// A frame of the channel has a higher number than all before (A13, A19, A20).
    ChannelNumber = 3,
    /// Evidence counts from when the own probe was *sent* (A16, A18). Off: from when its echo came.
    EvidenceTime = 4,
    /// An echo shows the key as current only if it names the epoch installed here (A17). Off: whatever it names.
    EchoEpoch = 5,
    /// Nothing is delivered or sent on evidence that is too old (S8). Off: a key is current for ever.
    Staleness = 6,
    /// A key block is of a newer epoch than the one installed (A7, A8, A11, R14).
    NewerEpoch = 7,
    /// Epochs below the floor end at once, whatever grace says (A15).
    Floor = 8,
    /// A change of the view leads to the digest that the leader states (A10, R27).
    ViewDigest = 9,
    /// Data have the protection that the policy demands (I-6).
    DataKind = 10,
    /// The sender of data is in the view (S7).
    DataSender = 11,
    /// A number of a sender is used once in an epoch (A1, R13).
    DataNumber = 12,
    /// Data carry their sender's signature, where the policy demands it (A2, R28).
    DataOrigin = 13,
    /// A request to eject somebody is honoured only where the policy lets members ask (R24).
    EjectRight = 14,
    /// A request to eject names the number of its target, and hits no later incarnation of the name (A13).
    EjectTarget = 15,
    /// A heartbeat on a shared link has a higher number than all before (R47).
    HeartbeatNumber = 24,
    /// So many signatures of heartbeats are looked at in a period, and no more (R5).
    HeartbeatBudget = 25,
    /// A heartbeat is signed by the leader (A22, X8).
    HeartbeatSignature = 26,
    /// A heartbeat moves no clock (A16, A17). Off: it is evidence that the leader lives and that its epoch is current.
    HeartbeatAdvice = 27,
    // Those that only the goals need are numbered from 32 on: the numbers between are free for checks of rules to come.
    /// The third party's answer opens under the key of this question (A4, R29). Off: it is taken as it stands.
    AnswerBox = 32,
    /// A session has an ephemeral exchange, where the policy demands one (S2).
    Ephemeral = 33,
    /// No more joins pend than `Limits` say (R2, X9).
    PendingBudget = 34,
    /// No block of an epoch from before its admission is sealed for a member (S7).
    FirstEpoch = 35,
    /// A frame of the channel opens under the key of the channel (A5, A21, R7). Off: it is taken as it stands.
    ChannelBox = 36,
    /// Records are accepted in order, each once (S4).
    RecordOrder = 37,
    /// A key block opens under the key of the channel (A7, A11). Off: it is taken as it stands.
    BlockBox = 38,
    /// Data open under the sender's key, where the policy protects them (X5). Off: they are taken as they stand.
    DataBox = 39,
    /// The leader's answer to a join opens under the key of that join (X15). Off: it is taken as it stands.
    OfferBox = 40,
    /// (Enclaves) An AdminMsg names the number that the member made last: what is replayed is accepted otherwise.
    AdminNonce = 48,
    /// (Enclaves) An Ack answers the AdminMsg that is outstanding: an old one counts otherwise.
    AckOrder = 49,
    /// (Enclaves) The AdminMsg accepted last is answered again: a lost Ack stops all otherwise.
    AckRepeat = 50,
    /// (Enclaves) The boxes of a session open: anybody speaks for leader and member otherwise.
    ChainBox = 51,
    /// (Enclaves) A live session ends only when the new one is confirmed: a replayed EN-R1 ends it otherwise (X9).
    LiveSession = 52,
    /// (Enclaves 1.0) The head of a message names its recipient and its type (D30, E14).
    HeadPlace = 56,
    /// (Enclaves 1.0) Its number is greater than all before from its sender under its key (D30; E2, E5, E9, E11, E13).
    HeadNumber = 57,
    /// (Enclaves 1.0) Its time is that of the own clock, but for a window (D30).
    HeadTime = 58,
}

impl Check {
    /// All checks.
    pub const ALL: [Self; 37] = [
        Self::ProvenLink,
        Self::PendingGuard,
        Self::PolicyFloor,
        Self::ChannelNumber,
        Self::EvidenceTime,
        Self::EchoEpoch,
        Self::Staleness,
        Self::NewerEpoch,
        Self::Floor,
        Self::ViewDigest,
        Self::DataKind,
        Self::DataSender,
        Self::DataNumber,
        Self::DataOrigin,
        Self::EjectRight,
        Self::EjectTarget,
        Self::AnswerBox,
        Self::Ephemeral,
        Self::PendingBudget,
        Self::FirstEpoch,
        Self::ChannelBox,
        Self::RecordOrder,
        Self::BlockBox,
        Self::DataBox,
        Self::OfferBox,
        Self::HeartbeatNumber,
        Self::HeartbeatBudget,
        Self::HeartbeatSignature,
        Self::HeartbeatAdvice,
        Self::AdminNonce,
        Self::AckOrder,
        Self::AckRepeat,
        Self::ChainBox,
        Self::LiveSession,
        Self::HeadPlace,
        Self::HeadNumber,
        Self::HeadTime,
    ];

    /// Where the specification demands it.
    pub const fn source(self) -> &'static str {
        match self {
            Self::ProvenLink => "RA §4.1, L on RA-J1 (2)",
            Self::PendingGuard => "RA §4.1, L on RA-J1 (4)",
            Self::PolicyFloor => "RA §4.1, A on RA-J2 (4)",
            Self::ChannelNumber => "RA §4.2 (1)",
            Self::EvidenceTime => "RA §4.3, alive_as_of",
            Self::EchoEpoch => "RA §4.3, current_as_of",
            Self::Staleness => "RA §4.3, stale",
            Self::NewerEpoch => "RA §4.4, A on RA-R (1)",
            Self::Floor => "RA §4.4, floor",
            Self::ViewDigest => "RA §4.5",
            Self::DataKind => "RA §5, kind",
            Self::DataSender => "RA §5 (2)",
            Self::DataNumber => "RA §5 (3)",
            Self::DataOrigin => "RA §5 (5)",
            Self::EjectRight | Self::EjectTarget => "RA §4.6, eject request",
            Self::AnswerBox => "RA §4.1, L on RA-T2 (2)",
            Self::Ephemeral => "RA §4.1, L on RA-T2 (5), A starts",
            Self::PendingBudget => "RA §4.1, L on RA-J1 (4)",
            Self::FirstEpoch => "RA §4.1, first",
            Self::ChannelBox => "RA §4.2, receiver",
            Self::RecordOrder => "RA §4.2 (4)",
            Self::BlockBox => "RA §4.4, A on RA-R (3)",
            Self::DataBox => "RA §5 (4)",
            Self::OfferBox => "RA §4.1, A on RA-J2 (3)",
            Self::HeartbeatNumber | Self::HeartbeatBudget | Self::HeartbeatSignature => "RA §4.3, A on RA-H",
            Self::HeartbeatAdvice => "RA §4.3, RA-H",
            Self::AdminNonce | Self::AckRepeat => "enclaves §4.3, A on EN-R4",
            Self::AckOrder => "enclaves §4.3, L on EN-R5",
            Self::ChainBox => "enclaves §4.3",
            Self::LiveSession => "enclaves §4.2, L on EN-R1",
            Self::HeadPlace | Self::HeadNumber | Self::HeadTime => "enclaves §2, head",
        }
    }
}

/// A set of checks that are made: all, unless a simulation says otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Checks {
    #[cfg(any(test, feature = "sim"))]
    off: u64,
}

impl Checks {
    /// All of them.
    pub const ALL: Self = Self {
        #[cfg(any(test, feature = "sim"))]
        off: 0,
    };

    /// Whether `check` is made.
    #[cfg(any(test, feature = "sim"))]
    #[inline]
    pub const fn on(self, check: Check) -> bool {
        self.off & (1 << check as u64) == 0
    }

    /// Whether `check` is made: it is.
    #[cfg(not(any(test, feature = "sim")))]
    #[inline(always)]
    pub const fn on(self, check: Check) -> bool {
        let _ = check;
        true
    }

    /// All of these but `check`, to show what it is there for.
    #[cfg(any(test, feature = "sim"))]
    #[must_use]
    pub const fn without(self, check: Check) -> Self {
        Self { off: self.off | 1 << check as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_made_unless_one_is_named() {
        assert!(Check::ALL.iter().all(|check| Checks::ALL.on(*check) && Checks::default().on(*check)));
        for off in Check::ALL {
            let checks = Checks::ALL.without(off);
            assert!(Check::ALL.iter().all(|check| checks.on(*check) == (*check != off)), "{off:?}");
        }
    }
}
