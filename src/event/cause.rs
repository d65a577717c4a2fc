//! What epochs and removals are for.

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
