//! What a member insists on (R38).

use core::time::Duration;

use super::{EjectRequests, Policy, Protection, Views};
use crate::event::{Cause, Shortfall};

/// What a member insists on. A policy that falls short is refused at the join (R38).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Floor {
    /// Joins must carry an ephemeral exchange. Default: yes.
    pub ephemeral: bool,
    /// The least protection of data. Default: both.
    pub protection: Protection,
    /// Data must carry their sender's signature. Default: no.
    pub origin: bool,
    /// Failures must be noticed, so that staleness is bounded. Default: yes.
    pub detection: bool,
    /// The longest `misses · period` of detection that is good enough, so that evidence gets no older than that and an RTO
    /// (T_max, S8); `None`: any. Default: any.
    pub staleness: Option<Duration>,
    /// The key must change whenever somebody goes. Default: yes.
    pub rekey_on_leave: bool,
    /// How old a key may get at most; `None`: any age. Default: any age.
    pub key_lifetime: Option<Duration>,
    /// The roster must be exactly those who can hold the key. Default: no.
    pub exact_views: bool,
    /// It must not be that any member can throw out any other. Default: it may be.
    pub no_free_ejection: bool,
}

impl Default for Floor {
    fn default() -> Self {
        Self {
            ephemeral: true,
            protection: Protection::Both,
            origin: false,
            detection: true,
            staleness: None,
            rekey_on_leave: true,
            key_lifetime: None,
            exact_views: false,
            no_free_ejection: false,
        }
    }
}

impl Floor {
    /// A floor that every policy passes, for groups that protect nothing on purpose.
    pub fn none() -> Self {
        Self {
            ephemeral: false,
            protection: Protection::None,
            detection: false,
            rekey_on_leave: false,
            ..Self::default()
        }
    }

    /// Whether `policy` is good enough.
    ///
    /// # Errors
    /// The first [`Shortfall`].
    pub fn admits(&self, policy: &Policy) -> Result<(), Shortfall> {
        let evicting = [Cause::Leave, Cause::Eject, Cause::Failure, Cause::Takeover];
        if self.ephemeral && !policy.ephemeral {
            return Err(Shortfall::ForwardSecrecy);
        }
        if !policy.protection.at_least(self.protection) {
            return Err(Shortfall::Protection);
        }
        if self.origin && !policy.origin {
            return Err(Shortfall::Origin);
        }
        if self.detection && policy.detection.is_none() {
            return Err(Shortfall::FailureDetection);
        }
        if self.rekey_on_leave && !evicting.into_iter().all(|cause| policy.rekey_on.contains(cause)) {
            return Err(Shortfall::RekeyOnLeave);
        }
        let staleness = policy.detection.map(|detection| detection.staleness(Duration::ZERO));
        if self.staleness.is_some_and(|most| staleness.is_none_or(|bound| bound > most)) {
            return Err(Shortfall::Staleness);
        }
        if self.key_lifetime.is_some_and(|most| policy.key_lifetime.is_none_or(|lifetime| lifetime > most)) {
            return Err(Shortfall::KeyLifetime);
        }
        if self.exact_views && policy.views != Views::Exact {
            return Err(Shortfall::Views);
        }
        if self.no_free_ejection && policy.eject_requests == EjectRequests::Granted {
            return Err(Shortfall::FreeEjection);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Causes;
    use crate::policy::HOUR;

    #[test]
    fn the_floor_names_what_falls_short() {
        let short = |change: fn(&mut Policy)| {
            let mut policy = Policy::default();
            change(&mut policy);
            Floor { origin: true, ..Floor::default() }.admits(&policy).unwrap_err()
        };
        assert_eq!(short(|p| p.ephemeral = false), Shortfall::ForwardSecrecy);
        assert_eq!(short(|p| p.protection = Protection::Confidentiality), Shortfall::Protection);
        assert_eq!(short(|p| p.origin = false), Shortfall::Origin);
        assert_eq!(short(|p| p.detection = None), Shortfall::FailureDetection);
        assert_eq!(short(|p| p.rekey_on = Causes::of(Cause::Join)), Shortfall::RekeyOnLeave);
        let strict = |change: fn(&mut Floor)| {
            let mut floor = Floor::none();
            change(&mut floor);
            floor.admits(&Policy {
                views: Views::WithEachKey,
                eject_requests: EjectRequests::Granted,
                ..Policy::default()
            })
        };
        assert_eq!(strict(|f| f.staleness = Some(Duration::from_secs(14))), Err(Shortfall::Staleness));
        assert_eq!(strict(|f| f.staleness = Some(Duration::from_secs(15))), Ok(()));
        assert_eq!(strict(|f| f.key_lifetime = Some(HOUR)), Err(Shortfall::KeyLifetime));
        assert_eq!(strict(|f| f.exact_views = true), Err(Shortfall::Views));
        assert_eq!(strict(|f| f.no_free_ejection = true), Err(Shortfall::FreeEjection));
        Floor::none().admits(&Policy { ephemeral: false, ..Policy::default() }).unwrap();
    }
}
