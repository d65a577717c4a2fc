//! What a hostile network, a late timer, and a link that cannot be had must not do to a whole group.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use core::time::Duration;

use bytes::{Bytes, BytesMut};
use sodality::antigone::{Leader, Member};
use sodality::crypto::chacha20_poly1305;
use sodality::endpoint::{Cx, Endpoint, Link};
use sodality::event::{EndReason, Event, JoinFailure, Port, Refusal, Suspicion};
use sodality::group::Limits;
use sodality::identity::{Epoch, MemberId};
use sodality::policy::{Detection, OnSilence, Policy};
use sodality::sim::{LinkConfig, Node, Star, StarConfig, Stop, World};
use sodality::wire::antigone::{Data, Kind};
use sodality::wire::field::{MaybeName, Tag};
use sodality::wire::{Edition, Header, Message as _, System};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn star(world: &mut World, members: usize, change: impl FnOnce(&mut StarConfig)) -> Result<Star, Stop> {
    let mut config = StarConfig::new(chacha20_poly1305());
    change(&mut config);
    Star::add(world, config, members)
}

/// Where `member` hears the leader.
fn leader_link(world: &World, star: &Star, member: Node<Member>) -> Link {
    *world.links_between(member, star.leader).last().unwrap()
}

/// A message of an epoch that nobody has, which anybody on the path can write.
fn forged_early(world: &World, star: &Star, counter: u64) -> Bytes {
    let suite = chacha20_poly1305();
    let header = Header { system: System::Antigone, edition: Edition::Repaired, suite: suite.id() };
    let group = world.get(star.leader).unwrap().group();
    let (epoch, cid) = (Epoch(u64::MAX), MemberId(7));
    let mut out = BytesMut::new();
    let data = Data { group, epoch, cid, counter, kind: Kind::Both, label: MaybeName(None) };
    let boxed = data.put_boxed_whole(
        header,
        &mut out,
        |text, _| {
            text.extend_from_slice(&[0; 24]);
            Ok::<_, ()>(())
        },
        |_, _, _| Ok(Tag::new(&[0; 16]).unwrap()),
    );
    boxed.unwrap();
    out.freeze()
}

/// Frames of epochs that never come must not keep a member busy, nor hold the room of those that do come.
#[test]
fn forged_early_frames_are_dropped_at_the_next_install() -> Result<(), Stop> {
    let mut world = World::new(11);
    let star = star(&mut world, 2, |_| ())?;
    star.join_all(&mut world, MINUTE)?;
    let link = leader_link(&world, &star, star.members[0]);
    for counter in 0..5 {
        let frame = forged_early(&world, &star, counter);
        world.inject(link, frame, Duration::ZERO);
    }
    world.run_for(Duration::from_millis(10))?;
    world.with(star.leader, |leader, cx| leader.rekey(cx))?.unwrap();
    // A machine that spins stops the world.
    world.run_for(MINUTE)?;
    let member = world.get(star.members[0]).unwrap();
    assert!(member.is_current());
    let refused = member.stats().rejected.get(&sodality::error::Reason::EarlyEpoch);
    assert_eq!(refused, Some(&5));
    Ok(())
}

/// A driver gives a wish up after a while, and nobody tells the machine.
#[test]
fn a_leader_wishes_again_for_the_third_party() -> Result<(), Stop> {
    let mut world = World::new(12);
    let star = star(&mut world, 1, |_| ())?;
    star.join_always(&mut world)?;
    world.partition([star.third_party])?;
    world.run_for(MINUTE)?;
    let wishes = world.events(star.leader).iter().filter(|event| matches!(event, Event::LinkWanted { .. })).count();
    assert!((4..20).contains(&wishes), "{wishes} wishes in a minute");
    world.heal();
    world.eventually(MINUTE, "joined", |world| world.get(star.members[0]).unwrap().is_current())
}

/// As above, for a member that has no polls to remind it.
#[test]
fn a_member_wishes_again_for_its_leader() -> Result<(), Stop> {
    for detection in [None, Policy::default().detection] {
        let mut world = World::new(13);
        let star = star(&mut world, 1, |config| config.policy.detection = detection)?;
        star.join_all(&mut world, MINUTE)?;
        world.partition([star.members[0]])?;
        world.run_for(20 * SECOND)?;
        let seen = world.take_events(star.members[0]);
        let wishes = seen.iter().filter(|event| matches!(event, Event::LinkWanted { .. })).count();
        assert!(wishes >= 3, "{wishes} wishes");
        world.heal();
        world.eventually(MINUTE, "back again", |world| star.converged(world))?;
    }
    Ok(())
}

/// What `leader` says to the group, taken off the wire.
fn said(world: &mut World, leader: Node<Leader>, text: &'static [u8]) -> Result<BytesMut, Stop> {
    world.with(leader, |leader, cx| {
        leader.send(cx, Port::Application, text).unwrap();
        let transmit = leader.poll_transmit(cx).unwrap();
        BytesMut::from(&*transmit.frame)
    })
}

/// S8 is a matter of time, not of whether the timer has been served: after a suspension frames come first.
#[test]
fn nothing_stale_is_delivered_before_the_timer_is_served() -> Result<(), Stop> {
    let mut world = World::new(14);
    let star = star(&mut world, 2, |_| ())?;
    star.join_all(&mut world, MINUTE)?;
    world.run_for(2 * SECOND)?;
    let member = star.members[0];
    let link = leader_link(&world, &star, member);
    let Detection { period, misses } = Policy::default().detection.unwrap();
    let (early, late) = (said(&mut world, star.leader, b"early")?, said(&mut world, star.leader, b"late")?);
    let delivered = world.with(member, |member, cx| {
        member.handle_frame(cx, link, early).unwrap();
        let heard = matches!(member.poll_event(), Some(Event::Data(_)));
        let later = cx.now + period * (u32::from(misses) + 1) + SECOND;
        let mut cx = Cx::new(later, cx.rng);
        member.handle_frame(&mut cx, link, late).unwrap();
        let events = std::iter::from_fn(|| member.poll_event());
        (heard, events.filter(|event| matches!(event, Event::Data(_))).count())
    })?;
    assert_eq!(delivered, (true, 0));
    Ok(())
}

/// Many join at once: the change of the view is too long to travel with the key. Who was there before holds the key
/// back, and fetches the view.
#[test]
fn a_change_that_is_too_long_for_the_key_is_fetched() -> Result<(), Stop> {
    for detection in [None, Policy::default().detection] {
        let mut world = World::new(18);
        let star = star(&mut world, 12, |config| config.policy.detection = detection)?;
        star.join_all(&mut world, MINUTE)?;
    }
    Ok(())
}

/// A roster longer than the queue of events comes all the same.
#[test]
fn a_roster_longer_than_the_queue_of_events() -> Result<(), Stop> {
    let mut world = World::new(15);
    let star = star(&mut world, 20, |config| config.limits = Limits { out_events: 12, ..Limits::default() })?;
    star.join_all(&mut world, MINUTE)
}

/// A member whose link breaks while its join is on offer asks again, over another link, with the same bytes.
#[test]
fn a_join_goes_on_over_another_link() -> Result<(), Stop> {
    let mut world = World::new(16);
    let star = star(&mut world, 1, |_| ())?;
    let member = star.members[0];
    world.with(member, |member, cx| member.join(cx))?.unwrap();
    world.run_until(world.now() + MINUTE, |world| world.get(star.leader).unwrap().stats().frames_out == 2)?;
    let link = leader_link(&world, &star, member);
    world.close(link)?;
    world.eventually(10 * SECOND, "joined", |world| world.get(member).unwrap().is_current())
}

/// What strangers asked for is forgotten with their links, deadlines included (R2).
#[test]
fn a_closed_link_leaves_no_deadline_behind() -> Result<(), Stop> {
    let mut world = World::new(17);
    let star = star(&mut world, 1, |_| ())?;
    let member = star.members[0];
    world.partition([star.third_party])?;
    world.connect(member, star.leader, LinkConfig::STREAM)?;
    world.with(member, |member, cx| member.join(cx))?.unwrap();
    world.run_for(Duration::from_millis(300))?;
    assert_eq!(world.get(star.leader).unwrap().pending_joins(), 1);
    world.partition([member])?;
    world.run_for(Duration::from_millis(300))?;
    assert_eq!(world.get(star.leader).unwrap().pending_joins(), 0);
    assert_eq!(world.get(star.leader).unwrap().poll_timeout(), sodality::endpoint::Wake::OnInput);
    Ok(())
}

/// A group without room for another still takes back a member that comes again.
#[test]
fn a_full_group_takes_a_member_back() -> Result<(), Stop> {
    let mut world = World::new(19);
    let star = star(&mut world, 2, |config| config.limits = Limits { members: 2, ..Limits::default() })?;
    star.join_all(&mut world, MINUTE)?;
    let machine = sodality::sim::star::member_machine(&star.config, "m1").unwrap();
    world.crash(star.members[0])?;
    world.restart_with(star.members[0], machine)?;
    world.with(star.members[0], |member, cx| member.join(cx))?.unwrap();
    world.eventually(MINUTE, "back again", |world| {
        world.get(star.members[0]).unwrap().is_current() && star.converged(world)
    })
}

/// Where takeovers are refused, whoever was admitted meanwhile is told so under the seal of the channel.
#[test]
fn a_second_of_one_name_is_told_that_there_is_one() -> Result<(), Stop> {
    let mut world = World::new(20);
    let names = ["m1".to_owned(), "m1".to_owned()];
    let mut config = StarConfig::new(chacha20_poly1305());
    config.policy.takeover = false;
    let star = Star::with_names(&mut world, config, &names)?;
    for member in &star.members {
        world.with(*member, |member, cx| member.join(cx))?.unwrap();
    }
    world.run_for(MINUTE)?;
    let ends: Vec<_> = star.members.iter().map(|member| world.events(*member)).collect();
    let busy = |events: &&[Event]| {
        let busy = Event::JoinFailed(JoinFailure::Ended(EndReason::Busy));
        events.contains(&busy)
    };
    assert_eq!(ends.into_iter().filter(busy).count(), 1);
    assert_eq!(world.get(star.leader).unwrap().view().members().len(), 2);
    Ok(())
}

/// Who missed more changes than there are members gets the roster: a longer list would look like a breach.
#[test]
fn many_changes_in_a_small_group() -> Result<(), Stop> {
    let mut world = World::new(21);
    let star = star(&mut world, 2, |config| {
        config.limits = Limits { members: 2, ..Limits::default() };
        // Who is silent is not removed: it is to find its way back.
        config.policy.on_silence = OnSilence::Report;
    })?;
    star.join_all(&mut world, MINUTE)?;
    world.partition([star.members[0]])?;
    for _ in 0..2 {
        world.with(star.members[1], |member, cx| member.leave(cx))?.unwrap();
        world.run_for(6 * SECOND)?;
        world.with(star.members[1], |member, cx| member.join(cx))?.unwrap();
        world.run_for(6 * SECOND)?;
    }
    world.heal();
    world.eventually(MINUTE, "agree again", |world| star.converged(world))?;
    let ended = world.events(star.members[0]).iter().any(|event| matches!(event, Event::Ended(_)));
    assert!(!ended);
    Ok(())
}

/// Where takeovers are refused, the name of a member that has fallen silent is not lost to it for ever.
#[test]
fn a_crashed_member_comes_back_where_takeovers_are_refused() -> Result<(), Stop> {
    let mut world = World::new(22);
    let star = star(&mut world, 2, |config| config.policy.takeover = false)?;
    star.join_all(&mut world, MINUTE)?;
    let first = star.members[0];
    let cid = world.get(first).unwrap().cid().unwrap();
    world.crash(first)?;
    world.run_for(SECOND)?;
    world.restart_with(first, sodality::sim::star::member_machine(&star.config, "m1").unwrap())?;
    world.with(first, |member, cx| member.join(cx))?.unwrap();
    world.run_for(10 * SECOND)?;
    assert!(world.events(first).contains(&Event::JoinRefused(Refusal::Busy)), "it is not suspected yet");
    world.run_for(20 * SECOND)?;
    assert!(world.events(star.leader).contains(&Event::Suspected { cid, why: Suspicion::Silence }));
    world.with(first, |member, cx| member.join(cx))?.unwrap();
    world.eventually(MINUTE, "joined again", |world| star.converged(world))?;
    assert_eq!(world.get(star.leader).unwrap().view().members().len(), 3);
    Ok(())
}
