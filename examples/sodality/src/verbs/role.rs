//! What leaders and members have in common for their users.

use std::time::Duration;

use sodality::enclaves::gossip::Form;
use sodality::endpoint::{Cx, Instant};
use sodality::error::{CommandError, Misuse};
use sodality::event::{Port, Ticket};
use sodality::group::Participant;
use sodality::identity::{Epoch, MemberId, Name};
use sodality::policy::Policy;
use sodality::{antigone, enclaves};

use super::links::Links;
use super::shared::Shared;

/// How good the evidence is that the key here is the leader's (S8).
pub(crate) enum Freshness {
    /// It is the own key.
    Own,
    /// For so long, if nothing more is heard.
    For(Duration),
    /// The policy demands none.
    Unwatched,
    /// As published, none that is worth the name: nothing shows when a heartbeat was made.
    #[cfg_attr(not(feature = "study"), expect(dead_code, reason = "nothing is as published"))]
    Unfounded,
}

/// What a leader knows of a member.
pub(crate) struct Watched {
    /// The epoch whose key it has shown to have; 0 for none.
    pub(crate) epoch: Epoch,
    /// How long ago it lived for certain.
    pub(crate) silent: Duration,
}

/// What a user can do beyond what every participant can.
pub(crate) trait Role: Participant + Links + Shared + Sync {
    /// Whether it leads.
    const LEADS: bool;
    /// The policy in force.
    fn policy(&self) -> Option<&Policy>;
    /// Joins, if it is not in.
    fn join(&mut self, cx: &mut Cx<'_>) -> Result<(), CommandError>;
    /// Leaves; what follows is told by events.
    fn leave(&mut self, cx: &mut Cx<'_>) -> Result<(), CommandError>;
    /// Changes the key, at a leader.
    fn rekey(&mut self, _cx: &mut Cx<'_>) -> Result<(), CommandError> {
        Ok(())
    }
    /// Answers a question about admission, at a leader.
    fn admit(&mut self, _cx: &mut Cx<'_>, _ticket: Ticket, _admit: bool) -> Result<(), CommandError> {
        Err(Misuse::NoTicket.into())
    }
    /// Ejects a member, or asks the leader to.
    fn put_out(&mut self, cx: &mut Cx<'_>, cid: MemberId) -> Result<(), CommandError>;
    /// Answers a question about ejection, where members may ask for one.
    fn decide(&mut self, _cx: &mut Cx<'_>, _ticket: Ticket, _eject: bool) -> Result<(), CommandError> {
        Err(Misuse::NoTicket.into())
    }
    /// How good the evidence for the key is.
    fn freshness(&self, now: Instant) -> Freshness;
    /// What is known of each member, at a leader.
    fn watched(&self, _now: Instant) -> Vec<(MemberId, Watched)> {
        Vec::new()
    }
    /// Whether it is in no group, and on its way to or from none.
    fn is_idle(&self) -> bool;
    /// The name behind a number that no event has told.
    fn known_as(&self, _cid: MemberId) -> Option<Name> {
        None
    }
    /// Whether it can say something to some members alone.
    const GOSSIPS: bool = false;
    /// Says something to some members alone; gives the number of the message, or 0 where nobody tells what became of it.
    fn gossip(&mut self, _cx: &mut Cx<'_>, _to: &[MemberId], _payload: &[u8]) -> Result<u64, CommandError> {
        Err(Misuse::NoPrivateWords.into())
    }
}

/// What members of all systems and editions have in common, in their implementation of [`Role`].
macro_rules! joins {
    () => {
        const LEADS: bool = false;

        fn join(&mut self, cx: &mut sodality::endpoint::Cx<'_>) -> Result<(), sodality::error::CommandError> {
            Self::join(self, cx)
        }

        fn leave(&mut self, cx: &mut sodality::endpoint::Cx<'_>) -> Result<(), sodality::error::CommandError> {
            Self::leave(self, cx)
        }

        fn is_idle(&self) -> bool {
            Self::is_idle(self)
        }
    };
}

/// The same of leaders.
macro_rules! leads {
    () => {
        const LEADS: bool = true;

        fn policy(&self) -> Option<&sodality::policy::Policy> {
            Some(Self::policy(self))
        }

        fn join(&mut self, _cx: &mut sodality::endpoint::Cx<'_>) -> Result<(), sodality::error::CommandError> {
            Ok(())
        }

        fn leave(&mut self, cx: &mut sodality::endpoint::Cx<'_>) -> Result<(), sodality::error::CommandError> {
            Self::close(self, cx)
        }

        fn rekey(&mut self, cx: &mut sodality::endpoint::Cx<'_>) -> Result<(), sodality::error::CommandError> {
            Self::rekey(self, cx)
        }

        fn admit(
            &mut self,
            cx: &mut sodality::endpoint::Cx<'_>,
            ticket: sodality::event::Ticket,
            admit: bool,
        ) -> Result<(), sodality::error::CommandError> {
            Self::admit(self, cx, ticket, admit)
        }

        fn put_out(
            &mut self,
            cx: &mut sodality::endpoint::Cx<'_>,
            cid: sodality::identity::MemberId,
        ) -> Result<(), sodality::error::CommandError> {
            Self::eject(self, cx, cid)
        }

        fn freshness(&self, _now: sodality::endpoint::Instant) -> $crate::verbs::role::Freshness {
            $crate::verbs::role::Freshness::Own
        }

        fn is_idle(&self) -> bool {
            self.is_closed()
        }
    };
}

#[cfg(feature = "study")]
pub(crate) use {joins, leads};

/// What members of the repaired editions can, whichever system it is; and what one of them can besides.
macro_rules! member_role {
    ($machine:ty { $($own:tt)* }) => {
        impl Role for $machine {
            joins!();

            fn policy(&self) -> Option<&Policy> {
                Self::policy(self)
            }

            fn put_out(&mut self, cx: &mut Cx<'_>, cid: MemberId) -> Result<(), CommandError> {
                Self::request_ejection(self, cx, cid)
            }

            fn freshness(&self, now: Instant) -> Freshness {
                match self.evidence_until() {
                    Some(until) if until == Instant::from_micros(u64::MAX) => Freshness::Unwatched,
                    Some(until) => Freshness::For(until.since(now)),
                    None => Freshness::For(Duration::ZERO),
                }
            }

            $($own)*
        }
    };
}

/// The same of leaders.
macro_rules! leader_role {
    ($machine:ty { $($own:tt)* }) => {
        impl Role for $machine {
            leads!();

            fn decide(&mut self, cx: &mut Cx<'_>, ticket: Ticket, eject: bool) -> Result<(), CommandError> {
                Self::decide_ejection(self, cx, ticket, eject)
            }

            fn watched(&self, now: Instant) -> Vec<(MemberId, Watched)> {
                let view = self.view().members();
                view.keys()
                    .filter_map(|cid| {
                        let (epoch, alive) = (self.installed(*cid)?, self.alive_as_of(*cid)?);
                        Some((*cid, Watched { epoch, silent: now.since(alive) }))
                    })
                    .collect()
            }

            $($own)*
        }
    };
}

member_role!(antigone::Member {
    const GOSSIPS: bool = true;

    fn gossip(&mut self, cx: &mut Cx<'_>, to: &[MemberId], payload: &[u8]) -> Result<u64, CommandError> {
        Self::say_privately(self, cx, to, Port::Application, payload)
    }
});
leader_role!(antigone::Leader {
    const GOSSIPS: bool = true;

    fn gossip(&mut self, cx: &mut Cx<'_>, to: &[MemberId], payload: &[u8]) -> Result<u64, CommandError> {
        Self::say_privately(self, cx, to, Port::Application, payload)
    }
});

member_role!(enclaves::Member {
    const GOSSIPS: bool = true;

    fn gossip(&mut self, cx: &mut Cx<'_>, to: &[MemberId], payload: &[u8]) -> Result<u64, CommandError> {
        // The leader hands out the key, and seals nothing (E6).
        Self::gossip(self, cx, Form::Own, to, Port::Application, payload)
    }
});
leader_role!(enclaves::Leader {
    const GOSSIPS: bool = true;

    fn gossip(&mut self, cx: &mut Cx<'_>, to: &[MemberId], payload: &[u8]) -> Result<u64, CommandError> {
        Self::gossip(self, cx, to, Port::Application, payload)
    }
});
