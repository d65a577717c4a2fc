//! Which parts of Antigone are as published, and which are repaired (A23; RA §2, mixed editions).
//!
//! A policy that names parts as published is a description. To run one takes a
//! `antigone::mixed::Historic`, which says aloud what that means.

use crate::crypto::SuiteId;
use crate::error::DecodeError;
use crate::wire::Edition;
use crate::wire::policy::{MaybeMix, MixForm};

/// A part of Antigone whose edition is chosen by itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Part {
    /// The exchange with the third party (report §2.2.1).
    ThirdParty = 0,
    /// Authentication and join (report §2.2.2).
    Join = 1,
    /// Key distribution (report §2.2.3).
    Keys = 2,
    /// Leave and eject (report §2.2.4).
    Leave = 3,
    /// The leader's heartbeat (report §2.2.5).
    LeaderHeartbeat = 4,
    /// Members' heartbeats (report §2.2.5).
    MemberHeartbeat = 5,
    /// The request for the current key (report §2.2.5).
    KeyRequest = 6,
    /// Data (report §2.1).
    Data = 7,
}

impl Part {
    /// All parts, in the order in which the report describes them.
    pub const ALL: [Self; 8] = [
        Self::ThirdParty,
        Self::Join,
        Self::Keys,
        Self::Leave,
        Self::LeaderHeartbeat,
        Self::MemberHeartbeat,
        Self::KeyRequest,
        Self::Data,
    ];

    /// Its word in policy files and on command lines.
    pub const fn word(self) -> &'static str {
        match self {
            Self::ThirdParty => "third-party",
            Self::Join => "join",
            Self::Keys => "keys",
            Self::Leave => "leave",
            Self::LeaderHeartbeat => "leader-heartbeat",
            Self::MemberHeartbeat => "member-heartbeat",
            Self::KeyRequest => "key-request",
            Self::Data => "data",
        }
    }

    /// The part of that word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.word() == word)
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The edition of each part.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Editions {
    published: u8,
}

impl Editions {
    /// Every part repaired.
    pub const REPAIRED: Self = Self { published: 0 };
    /// Every part as published in 1999.
    pub const PUBLISHED: Self = Self { published: u8::MAX };

    /// All 256 combinations, from all repaired to all published.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..=u8::MAX).map(|published| Self { published })
    }

    /// With this part of that edition.
    #[must_use]
    pub const fn with(self, part: Part, edition: Edition) -> Self {
        match edition {
            Edition::AsPublished => Self { published: self.published | part.bit() },
            Edition::Repaired => Self { published: self.published & !part.bit() },
        }
    }

    /// The edition of a part.
    pub const fn of(self, part: Part) -> Edition {
        if self.is_published(part) { Edition::AsPublished } else { Edition::Repaired }
    }

    /// Whether a part is as published.
    pub const fn is_published(self, part: Part) -> bool {
        self.published & part.bit() != 0
    }

    /// A bit for each part that is as published; 0 the lowest.
    pub const fn bits(self) -> u8 {
        self.published
    }

    /// The combination with these bits.
    pub const fn from_bits(published: u8) -> Self {
        Self { published }
    }
}

/// A group with parts as published.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mix {
    /// The edition of each part. At least one is as published.
    pub editions: Editions,
    /// The suite of the parts that are as published.
    pub suite: SuiteId,
    /// The third party answers with AN-T2s, which names the member, in place of AN-T2 (report §2.2.1).
    pub strong_reply: bool,
    /// Each heartbeat of the leader has a sequence number of its own, which members do not take twice; otherwise the
    /// number changes with the key alone (D12).
    pub per_heartbeat: bool,
}

impl Mix {
    /// Every part as published, under `suite`: the plain reply of the third party, and a number for each heartbeat.
    pub const fn published(suite: SuiteId) -> Self {
        Self { editions: Editions::PUBLISHED, suite, strong_reply: false, per_heartbeat: true }
    }

    pub(super) fn form(mix: Option<Self>) -> MaybeMix {
        match mix {
            None => MaybeMix::AllRepaired,
            Some(Self { editions, suite, strong_reply, per_heartbeat }) => {
                MaybeMix::Mix(MixForm { published: editions.bits(), suite: suite.0, strong_reply, per_heartbeat })
            }
        }
    }

    pub(super) fn read(form: MaybeMix) -> Result<Option<Self>, DecodeError> {
        match form {
            MaybeMix::AllRepaired => Ok(None),
            // One way to write it down: a mix of nothing is none.
            MaybeMix::Mix(form) if form.published == 0 => Err(DecodeError::Value),
            MaybeMix::Mix(MixForm { published, suite, strong_reply, per_heartbeat }) => Ok(Some(Self {
                editions: Editions::from_bits(published),
                suite: SuiteId(suite),
                strong_reply,
                per_heartbeat,
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_has_a_bit_and_a_word_of_its_own() {
        for part in Part::ALL {
            assert_eq!(Part::of_word(part.word()), Some(part));
            let editions = Editions::REPAIRED.with(part, Edition::AsPublished);
            let published: alloc::vec::Vec<_> =
                Part::ALL.into_iter().filter(|part| editions.is_published(*part)).collect();
            assert_eq!(published, [part]);
            assert_eq!(editions.with(part, Edition::Repaired), Editions::REPAIRED);
        }
        assert_eq!(Editions::all().count(), 256);
    }
}
