//! What the application chooses, what a member insists on, and what contradicts itself.
//!
//! A [`Policy`] travels authenticated in the join and its digest is bound into every epoch; a member has a [`Floor`]
//! below which it refuses. Nothing is negotiated (R38).

mod builder;
#[cfg(feature = "toml")]
pub mod file;
mod floor;
#[cfg(feature = "historic")]
mod historic;
mod mix;
mod objects;

use core::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::error::DecodeError;
use crate::event::{Cause, Causes};
use crate::wire::antigone::MAX_POLICY;
use crate::wire::field::{Blob, Field};
use crate::wire::policy::{CommunicationForm, EjectForm, PolicyForm, ViewForm};
use crate::wire::shared::Kind;

pub use builder::PolicyBuilder;
pub use floor::Floor;
#[cfg(feature = "historic")]
pub use historic::Historic;
pub use mix::{Editions, Mix, Part};
pub(crate) use objects::rights_of;
pub use objects::{MAX_NAMED_RIGHTS, MAX_OBJECT_BYTES, MAX_OBJECTS, ObjectRule, Objects, Right, USUAL_OBJECT_BYTES};

/// Shortest frame that every link must carry, in bytes: what RA-J2 and `common` with one block need (RA §4.4).
pub const MIN_FRAME: usize = 1_200;
/// Longest communication hint, in bytes.
pub const MAX_HINT: usize = 64;

/// What protects a message.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Protection {
    /// Nothing: anybody on the path may read, change, invent and repeat.
    None,
    /// Readable by anybody; changed, invented and repeated by insiders only.
    Integrity,
    /// Readable by insiders only. In the repaired edition it protects integrity too.
    Confidentiality,
    /// Both, by promise.
    Both,
}

impl Protection {
    /// All four.
    pub const ALL: [Self; 4] = [Self::None, Self::Integrity, Self::Confidentiality, Self::Both];

    /// As it stands in frames.
    pub fn kind(self) -> Kind {
        match self {
            Self::None => Kind::Clear,
            Self::Integrity => Kind::Integrity,
            Self::Confidentiality => Kind::Confidentiality,
            Self::Both => Kind::Both,
        }
    }

    fn of(kind: Kind) -> Self {
        match kind {
            Kind::Clear => Self::None,
            Kind::Integrity => Self::Integrity,
            Kind::Confidentiality => Self::Confidentiality,
            Kind::Both => Self::Both,
        }
    }

    /// Whether it promises at least what `other` promises.
    pub fn at_least(self, other: Self) -> bool {
        match other {
            Self::None => true,
            Self::Integrity => self != Self::None,
            Self::Confidentiality => matches!(self, Self::Confidentiality | Self::Both),
            Self::Both => self == Self::Both,
        }
    }
}

/// How members learn who is in the group (RA §4.5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Views {
    /// Not at all.
    Hidden,
    /// With each key.
    WithEachKey,
    /// With each key, and with each heartbeat on shared links. Where there is no such link it is [`Self::WithEachKey`].
    BestEffort,
    /// With each key, and no key is installed without it: the roster is exactly those who can hold the key.
    Exact,
}

/// How failures are noticed (RA §4.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Detection {
    /// Time between two polls.
    pub period: Duration,
    /// How many polls in a row may be lost.
    pub misses: u8,
}

impl Detection {
    /// `T_max`: the age of evidence from which a member no longer counts its key as current (S8).
    pub fn staleness(&self, rto: Duration) -> Duration {
        self.period.saturating_mul(u32::from(self.misses)).saturating_add(rto)
    }

    /// The silence after which a leader suspects a member.
    pub fn silence(&self, rto: Duration) -> Duration {
        self.period.saturating_mul(u32::from(self.misses) + 1).saturating_add(rto)
    }
}

/// What becomes of a member's request to eject another (report §2.2.4, RA §4.6).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum EjectRequests {
    /// It is refused.
    Refused,
    /// The leader's application is asked by an event.
    Asked,
    /// It is granted: any member may throw out any other.
    Granted,
}

/// How data reach the group (report §2.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Communication {
    /// Members send to the leader, which relays to each of the others.
    Relay,
    /// Members send to the leader, which relays over the shared link to all that hear it there, and to the others singly.
    Mixed,
    /// Everybody sends over the shared link: the leader is not on the way of data. Who hears nothing there is served by the
    /// leader.
    Symmetric,
}

impl Communication {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Relay, Self::Mixed, Self::Symmetric];
}

/// What a leader does with a member that it takes for dead (RA §4.3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum OnSilence {
    /// It reports it and goes on.
    Report,
    /// It removes the member, with the cause *failure*.
    Remove,
}

/// What a group is like. Chosen by the leader, sent to each newcomer, the same for all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Mix an ephemeral exchange into each join: forward secrecy for sessions (S2). Default: yes.
    pub ephemeral: bool,
    /// Which causes change the key (D22). Default: join, leave, eject, failure, takeover, policy, command. *Period*,
    /// *messages* and *bytes* need their measure below, and a measure needs its cause.
    pub rekey_on: Causes,
    /// How long an old key opens after a plain rekey (D23). Default: 5 s.
    pub grace: Duration,
    /// How long sending stays with the old key after a plain rekey. Less than `grace`. Default: 1 s.
    pub settle: Duration,
    /// How old a key gets: the cause *period*. At most 49 days. Default: any age.
    pub key_lifetime: Option<Duration>,
    /// How many messages of all senders are sealed under a key, as counted by the leader: the cause *messages*. Default:
    /// any number.
    pub key_messages: Option<u64>,
    /// How many bytes of messages of all senders are sealed under a key, as counted by the leader: the cause *bytes*.
    /// Default: any number.
    pub key_bytes: Option<u64>,
    /// What protects data. Default: both.
    pub protection: Protection,
    /// Whether data carry their sender's signature (S9). Default: yes.
    pub origin: bool,
    /// How members learn who is in the group. Default: exact.
    pub views: Views,
    /// How failures are noticed; `None` voids the staleness bound (S8). Default: 5 s, 3 misses.
    pub detection: Option<Detection>,
    /// What a leader does with a member that it takes for dead. Default: it removes it.
    pub on_silence: OnSilence,
    /// What becomes of a member's request to eject another. Default: it is refused.
    pub eject_requests: EjectRequests,
    /// Whether a second join of a live name replaces the first once it is authenticated. Default: yes.
    pub takeover: bool,
    /// Longest frame in bytes. Default: 65,536.
    pub frame_limit: u32,
    /// A communication hint that members pass to their drivers, at most 64 bytes. Default: none.
    pub hint: Bytes,
    /// How data reach the group. Without a shared link, and without detection of failures, which alone shows that a shared link
    /// works, every mode is relay (RA §5, modes). Default: relay.
    pub communication: Communication,
    /// Which parts are as published, if any. Groups of the repaired edition refuse a policy that names some. Default: none.
    pub mix: Option<Mix>,
    /// Shared objects, and who may read or change them. They do not travel with the policy: each member is told its own rights.
    /// Groups of Antigone have none. Default: none.
    pub objects: Objects,
}

impl Default for Policy {
    fn default() -> Self {
        let rekey_on =
            [Cause::Join, Cause::Leave, Cause::Eject, Cause::Failure, Cause::Takeover, Cause::Policy, Cause::Command];
        Self {
            ephemeral: true,
            rekey_on: rekey_on.into_iter().fold(Causes::of(Cause::Open), Causes::with),
            grace: Duration::from_secs(5),
            settle: Duration::from_secs(1),
            key_lifetime: None,
            key_messages: None,
            key_bytes: None,
            protection: Protection::Both,
            origin: true,
            views: Views::Exact,
            detection: Some(Detection { period: Duration::from_secs(5), misses: 3 }),
            on_silence: OnSilence::Remove,
            eject_requests: EjectRequests::Refused,
            takeover: true,
            frame_limit: 65_536,
            hint: Bytes::new(),
            communication: Communication::Relay,
            mix: None,
            objects: Objects::none(),
        }
    }
}

/// A contradiction in a policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Contradiction {
    /// Sending would stay with a key that opens no more.
    #[error("`settle` must be shorter than `grace`, or both zero")]
    SettleOutlastsGrace,
    /// An exact roster with keys that outlive changes.
    #[error("exact views need a new key on join, leave, eject, failure and takeover")]
    ExactWithoutRekey,
    /// Signatures that nobody can check.
    #[error("signed origin needs views: members learn origin keys from them")]
    OriginWithoutViews,
    /// A signature inside a protection that is not there.
    #[error("signed origin needs a protection of data")]
    OriginWithoutProtection,
    /// Frames too short for the protocol.
    #[error("`frame_limit` must be at least 1200 bytes")]
    FramesTooShort,
    /// Frames too long for the protocol.
    #[error("`frame_limit` must be at most 1 MiB")]
    FramesTooLong,
    /// Polls without pause, or never.
    #[error("the period of detection must be between 10 ms and 1 hour, with at least one miss")]
    Detection,
    /// A newcomer could not wait for its key: nothing would show it that the leader lives.
    #[error("without detection of failures `grace` is at most 10 s")]
    GraceWithoutDetection,
    /// A trigger that no part of this policy gives a measure for.
    #[error("rekey on period, messages or bytes needs the key's lifetime, messages or bytes, above zero")]
    TriggerWithoutMeasure,
    /// A measure that triggers nothing.
    #[error("the key's lifetime, messages or bytes need the trigger period, messages or bytes")]
    MeasureWithoutTrigger,
    /// A key that ends before the last one may be followed.
    #[error("the key's lifetime must be longer than `grace`, and at most 49 days")]
    Lifetime,
    /// A hint that does not fit.
    #[error("the hint has at most 64 bytes")]
    HintTooLong,
    /// A time that does not fit its field.
    #[error("`grace` and `settle` are at most one hour")]
    TooLong,
    /// Numbered views, or signed origin, where parts are as published.
    #[error("where parts are as published, views are hidden or come with each key, and origin is not signed")]
    MixedViews,
    /// A mix in which nothing is as published.
    #[error("a mix has at least one part as published")]
    EmptyMix,
    /// A time that the canonical form would cut: members would rule by another policy than their leader.
    #[error("times must be whole milliseconds")]
    PartOfMillisecond,
    /// More shared objects than members keep room for.
    #[error("a policy names at most 64 shared objects")]
    TooManyObjects,
    /// Contents that cannot be, or that are too long to keep.
    #[error("the contents of a shared object are at least 1 byte and at most 16 MiB")]
    ObjectSize,
    /// A list of rights without end.
    #[error("a shared object gives rights of their own to at most 10,000 members")]
    TooManyRights,
}

/// A join may wait so long for its rekey, and must still be complete within `Limits::join_time`.
const LONGEST_BLIND_GRACE: Duration = Duration::from_secs(10);
/// What the canonical form has room for, in days that anybody can count.
const LONGEST_LIFETIME: Duration = Duration::from_secs(49 * 24 * 3600);
const HOUR: Duration = Duration::from_secs(3600);

impl Policy {
    /// Finds what contradicts itself.
    ///
    /// # Errors
    /// The first [`Contradiction`].
    pub fn check(&self) -> Result<(), Contradiction> {
        let changes = [Cause::Join, Cause::Leave, Cause::Eject, Cause::Failure, Cause::Takeover];
        if self.grace > HOUR || self.settle > HOUR {
            return Err(Contradiction::TooLong);
        }
        let period = self.detection.map(|detection| detection.period);
        let mut times = [Some(self.grace), Some(self.settle), self.key_lifetime, period].into_iter().flatten();
        if times.any(|time| !time.subsec_nanos().is_multiple_of(1_000_000)) {
            return Err(Contradiction::PartOfMillisecond);
        }
        let measures = [
            (Cause::Period, self.key_lifetime.map(|lifetime| lifetime.as_millis() > 0)),
            (Cause::Messages, self.key_messages.map(|messages| messages > 0)),
            (Cause::Bytes, self.key_bytes.map(|bytes| bytes > 0)),
        ];
        for (cause, measure) in measures {
            match (self.rekey_on.contains(cause), measure) {
                (true, None) | (_, Some(false)) => return Err(Contradiction::TriggerWithoutMeasure),
                (false, Some(true)) => return Err(Contradiction::MeasureWithoutTrigger),
                (true, Some(true)) | (false, None) => {}
            }
        }
        if self.key_lifetime.is_some_and(|lifetime| lifetime <= self.grace || lifetime > LONGEST_LIFETIME) {
            return Err(Contradiction::Lifetime);
        }
        if self.detection.is_none() && self.grace > LONGEST_BLIND_GRACE {
            return Err(Contradiction::GraceWithoutDetection);
        }
        if self.settle >= self.grace && !self.settle.is_zero() {
            return Err(Contradiction::SettleOutlastsGrace);
        }
        if self.views == Views::Exact && !changes.into_iter().all(|cause| self.rekey_on.contains(cause)) {
            return Err(Contradiction::ExactWithoutRekey);
        }
        if self.origin && self.views == Views::Hidden {
            return Err(Contradiction::OriginWithoutViews);
        }
        if self.origin && self.protection == Protection::None {
            return Err(Contradiction::OriginWithoutProtection);
        }
        if (self.frame_limit as usize) < MIN_FRAME {
            return Err(Contradiction::FramesTooShort);
        }
        if self.frame_limit > 1 << 20 {
            return Err(Contradiction::FramesTooLong);
        }
        if let Some(Detection { period, misses }) = self.detection
            && (period < Duration::from_millis(10) || period > HOUR || misses == 0)
        {
            return Err(Contradiction::Detection);
        }
        if let Some(mix) = &self.mix {
            if mix.editions == Editions::REPAIRED {
                return Err(Contradiction::EmptyMix);
            }
            // Published messages name members and never number them: there is no roster with digests to agree on.
            if self.origin || !matches!(self.views, Views::Hidden | Views::WithEachKey) {
                return Err(Contradiction::MixedViews);
            }
        }
        if self.hint.len() > MAX_HINT {
            return Err(Contradiction::HintTooLong);
        }
        self.objects.check()
    }

    /// The canonical form, at most 600 bytes, without the shared objects. The policy must pass [`Self::check`].
    pub fn encode(&self) -> Bytes {
        let millis = |span: Duration| u32::try_from(span.as_millis()).unwrap_or(u32::MAX);
        let detection = self.detection.unwrap_or(Detection { period: Duration::ZERO, misses: 0 });
        let form = PolicyForm {
            form: 1,
            ephemeral: self.ephemeral,
            rekey_on: self.rekey_on,
            grace: millis(self.grace),
            settle: millis(self.settle),
            key_lifetime: self.key_lifetime.map_or(0, millis),
            key_messages: self.key_messages.unwrap_or(0),
            key_bytes: self.key_bytes.unwrap_or(0),
            protection: self.protection.kind(),
            origin: self.origin,
            views: match self.views {
                Views::Hidden => ViewForm::Hidden,
                Views::WithEachKey => ViewForm::WithEachKey,
                Views::BestEffort => ViewForm::BestEffort,
                Views::Exact => ViewForm::Exact,
            },
            detection: self.detection.is_some(),
            period: millis(detection.period),
            misses: detection.misses,
            remove_silent: self.on_silence == OnSilence::Remove,
            eject_requests: match self.eject_requests {
                EjectRequests::Refused => EjectForm::Refused,
                EjectRequests::Asked => EjectForm::Asked,
                EjectRequests::Granted => EjectForm::Granted,
            },
            takeover: self.takeover,
            frame_limit: self.frame_limit,
            hint: Blob(&self.hint),
            communication: match self.communication {
                Communication::Relay => CommunicationForm::Relay,
                Communication::Mixed => CommunicationForm::Mixed,
                Communication::Symmetric => CommunicationForm::Symmetric,
            },
            mix: Mix::form(self.mix),
        };
        let mut out = BytesMut::with_capacity(MAX_POLICY);
        form.put(&mut out);
        out.freeze()
    }

    /// Reads the canonical form. Shared objects are not in it.
    ///
    /// # Errors
    /// [`DecodeError`] if it is not one, or says what [`Self::check`] refuses.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let form = PolicyForm::decode(bytes)?;
        let span = |millis: u32| Duration::from_millis(u64::from(millis));
        if form.form != 1 || (!form.detection && (form.period, form.misses) != (0, 0)) {
            return Err(DecodeError::Value);
        }
        let policy = Self {
            ephemeral: form.ephemeral,
            rekey_on: form.rekey_on,
            grace: span(form.grace),
            settle: span(form.settle),
            key_lifetime: (form.key_lifetime > 0).then(|| span(form.key_lifetime)),
            key_messages: (form.key_messages > 0).then_some(form.key_messages),
            key_bytes: (form.key_bytes > 0).then_some(form.key_bytes),
            protection: Protection::of(form.protection),
            origin: form.origin,
            views: match form.views {
                ViewForm::Hidden => Views::Hidden,
                ViewForm::WithEachKey => Views::WithEachKey,
                ViewForm::BestEffort => Views::BestEffort,
                ViewForm::Exact => Views::Exact,
            },
            detection: form.detection.then(|| Detection { period: span(form.period), misses: form.misses }),
            on_silence: if form.remove_silent { OnSilence::Remove } else { OnSilence::Report },
            eject_requests: match form.eject_requests {
                EjectForm::Refused => EjectRequests::Refused,
                EjectForm::Asked => EjectRequests::Asked,
                EjectForm::Granted => EjectRequests::Granted,
            },
            takeover: form.takeover,
            frame_limit: form.frame_limit,
            hint: Bytes::copy_from_slice(form.hint.0),
            communication: match form.communication {
                CommunicationForm::Relay => Communication::Relay,
                CommunicationForm::Mixed => Communication::Mixed,
                CommunicationForm::Symmetric => Communication::Symmetric,
            },
            mix: Mix::read(form.mix)?,
            objects: Objects::none(),
        };
        policy.check().map_err(|_| DecodeError::Value)?;
        Ok(policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_sound_and_survives_the_wire() {
        let policy = Policy::default();
        policy.check().unwrap();
        assert_eq!(Policy::decode(&policy.encode()).unwrap(), policy);
        assert!(policy.encode().len() <= MAX_POLICY);
        Floor::default().admits(&policy).unwrap();
    }

    #[test]
    fn each_contradiction_is_found() {
        let broken = |change: fn(&mut Policy)| {
            let mut policy = Policy::default();
            change(&mut policy);
            let found = policy.check().unwrap_err();
            assert!(Policy::decode(&policy.encode()).is_err(), "{found}");
            found
        };
        assert_eq!(broken(|p| p.settle = p.grace), Contradiction::SettleOutlastsGrace);
        assert_eq!(broken(|p| p.rekey_on = Causes::of(Cause::Open)), Contradiction::ExactWithoutRekey);
        assert_eq!(broken(|p| p.views = Views::Hidden), Contradiction::OriginWithoutViews);
        assert_eq!(broken(|p| p.protection = Protection::None), Contradiction::OriginWithoutProtection);
        assert_eq!(broken(|p| p.frame_limit = 1_199), Contradiction::FramesTooShort);
        assert_eq!(broken(|p| p.frame_limit = 2 << 20), Contradiction::FramesTooLong);
        assert_eq!(
            broken(|p| p.detection = Some(Detection { period: Duration::from_secs(1), misses: 0 })),
            Contradiction::Detection
        );
        assert_eq!(broken(|p| p.hint = Bytes::from_static(&[0; 65])), Contradiction::HintTooLong);
        assert_eq!(broken(|p| p.grace = HOUR * 2), Contradiction::TooLong);
        // Each would rule at the leader, and not be one at a member.
        let cut = |micros| Duration::from_micros(micros);
        let pairs: [(&str, Policy); 2] = [
            ("settle", Policy { grace: cut(1_700), settle: cut(1_200), ..Policy::default() }),
            ("lifetime", {
                let rekey_on = Policy::default().rekey_on.with(Cause::Period);
                let (grace, settle) = (cut(1_200), Duration::ZERO);
                Policy { rekey_on, key_lifetime: Some(cut(1_700)), grace, settle, ..Policy::default() }
            }),
        ];
        for (what, policy) in pairs {
            assert_eq!(policy.check(), Err(Contradiction::PartOfMillisecond), "{what}");
            assert!(Policy::decode(&policy.encode()).is_err(), "{what}");
        }
        let detection = Some(Detection { period: cut(20_001), misses: 1 });
        assert_eq!(Policy { detection, ..Policy::default() }.check(), Err(Contradiction::PartOfMillisecond));
        let unmeasured = broken(|p| p.rekey_on = p.rekey_on.with(Cause::Period));
        assert_eq!(unmeasured, Contradiction::TriggerWithoutMeasure);
        assert_eq!(broken(|p| p.key_bytes = Some(1)), Contradiction::MeasureWithoutTrigger);
        let short_lived = broken(|p| {
            p.rekey_on = p.rekey_on.with(Cause::Period);
            p.key_lifetime = Some(p.grace);
        });
        assert_eq!(short_lived, Contradiction::Lifetime);
        let blind = broken(|p| (p.detection, p.grace) = (None, Duration::from_secs(11)));
        assert_eq!(blind, Contradiction::GraceWithoutDetection);
    }
}
