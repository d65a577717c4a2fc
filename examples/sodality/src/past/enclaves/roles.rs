//! Leaders and members of Enclaves as published, for their users.

use sodality::enclaves::{version_1, version_2};
use sodality::endpoint::{Cx, Instant};
use sodality::error::{CommandError, Misuse};
use sodality::event::Port;
use sodality::identity::{MemberId, Name};
use sodality::policy::Policy;

use crate::verbs::links::Links;
use crate::verbs::role::{Freshness, Role, joins, leads};
use crate::verbs::shared::Shared;

/// What is said to members alone has no number here: nobody tells what became of it.
const UNTOLD: u64 = 0;

/// What a participant of either edition can, and what it has besides. `gossip` says something to members of these names.
macro_rules! published_role {
    ($machine:ty, $gossip:expr, { $($own:tt)* }) => {
        impl Role for $machine {
            $($own)*

            const GOSSIPS: bool = true;

            fn known_as(&self, cid: MemberId) -> Option<Name> {
                self.name_of(cid).cloned()
            }

            fn gossip(&mut self, cx: &mut Cx<'_>, to: &[MemberId], payload: &[u8]) -> Result<u64, CommandError> {
                let to = names(to, |cid| self.name_of(cid))?;
                $gossip(self, cx, &to, payload).map(|()| UNTOLD)
            }
        }

        impl Shared for $machine {}
    };
}

macro_rules! member_role {
    ($machine:ty, $gossip:expr) => {
        published_role!($machine, $gossip, {
            joins!();

            /// No message tells it.
            fn policy(&self) -> Option<&Policy> {
                None
            }

            /// No message asks for it.
            fn put_out(&mut self, _cx: &mut Cx<'_>, _cid: MemberId) -> Result<(), CommandError> {
                Err(Misuse::NoMember.into())
            }

            fn freshness(&self, _now: Instant) -> Freshness {
                Freshness::Unfounded
            }
        });
    };
}

macro_rules! leader_role {
    ($machine:ty, $gossip:expr) => {
        published_role!($machine, $gossip, {
            leads!();
        });

        impl Links for $machine {}
    };
}

/// The names behind these numbers: messages name members.
fn names<'a>(of: &[MemberId], name_of: impl Fn(MemberId) -> Option<&'a Name>) -> Result<Vec<Name>, CommandError> {
    of.iter().map(|cid| name_of(*cid).cloned().ok_or_else(|| Misuse::NoMember.into())).collect()
}

/// The one of `to`: in 1.0 a private message is for one.
fn one(to: &[Name]) -> Result<&Name, CommandError> {
    match to {
        [one] => Ok(one),
        _ => Err(Misuse::NoMember.into()),
    }
}

const PORT: Port = Port::Application;

member_role!(version_1::Member, |machine: &mut Self, cx, to: &[Name], payload| {
    machine.send_to(cx, one(to)?, PORT, payload)
});
leader_role!(version_1::Leader, |machine: &mut Self, cx, to: &[Name], payload| {
    machine.send_to(cx, one(to)?, PORT, payload)
});
member_role!(version_2::Member, |machine: &mut Self, cx, to: &[Name], payload| machine.gossip(cx, to, PORT, payload));
leader_role!(version_2::Leader, |machine: &mut Self, cx, to: &[Name], payload| machine.gossip(cx, to, PORT, payload));

impl Links for version_2::Member {}

impl Links for version_1::Member {
    const LINKS: bool = true;

    fn ask_link(&mut self, cx: &mut Cx<'_>, to: &Name) -> Result<(), CommandError> {
        self.link_to(cx, to)
    }

    fn say_directly(&mut self, cx: &mut Cx<'_>, to: &Name, payload: &[u8]) -> Result<(), CommandError> {
        self.send_direct(cx, to, PORT, payload)
    }

    fn end_links(&mut self, cx: &mut Cx<'_>) {
        for name in self.linked() {
            // Without room for a word the other end notices by silence.
            let _ = self.close_direct(cx, &name);
        }
    }

    fn linked(&self) -> Vec<Name> {
        self.direct_links().map(|(_, name)| name.clone()).collect()
    }
}
