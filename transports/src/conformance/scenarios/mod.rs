//! The scenarios. Each begins with a stage, and gives what it measured or what did not hold.

mod cancelled;
mod ends;
mod objects;
mod pressure;
mod sessions;
mod wire;

use std::time::Duration;

use sodality::event::{Cause, Ending, Event};
use sodality::identity::MemberId;

pub(super) use cancelled::operations_that_are_cancelled;
pub(super) use ends::{a_leader_that_crashes, a_member_that_crashes, links_that_are_cut};
pub(super) use objects::objects_of_any_size;
pub(super) use pressure::{a_flood_of_nonsense, a_peer_that_stops_reading, an_application_that_reads_no_events};
pub(super) use sessions::{a_whole_session, farewells_arrive, sixty_four_members};
pub(super) use wire::what_crosses_the_network;

fn ended(event: &Event) -> Option<Ending> {
    match event {
        Event::Ended(ending) => Some(*ending),
        _ => None,
    }
}

fn removed(whom: MemberId) -> impl FnMut(&Event) -> Option<Cause> {
    move |event| match event {
        Event::MemberRemoved { cid, cause, .. } if *cid == whom => Some(*cause),
        _ => None,
    }
}

fn longest(times: &[Duration]) -> Duration {
    times.iter().copied().max().unwrap_or_default()
}
