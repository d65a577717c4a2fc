//! The leader closes its group (RA §4.6, close; R7, S2).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.

mod scene;

use sodality::endpoint::{Cx, Endpoint as _};
use sodality::error::{CommandError, Misuse, Reason};
use sodality::event::{EndReason, Ending, Event, JoinFailure, Port};
use sodality::group::Checks;
use sodality::policy::Policy;
use sodality::sim::{Faults, LinkConfig};

use scene::{SECOND, Scene, config};

const CLOSED: Event = Event::Ended(Ending::Closed);
const TOLD: Event = Event::Ended(Ending::ByLeader(EndReason::Closing));

fn close(scene: &mut Scene) {
    scene.world.with(scene.star.leader, |leader, cx| leader.close(cx)).unwrap().unwrap();
}

/// All are told, and the leader knows when. Nothing but looking at it is possible from then on.
#[test]
fn all_are_told_and_nothing_goes_on() {
    let mut scene = Scene::joined(Checks::ALL, 3);
    close(&mut scene);
    let keys = scene.leader().stats().clone();
    assert!(!scene.told(scene.star.leader, &CLOSED), "nobody has answered");
    scene.run(SECOND);
    assert!(scene.told(scene.star.leader, &CLOSED));
    for member in scene.star.members.clone() {
        assert!(scene.told(member, &TOLD));
    }
    let closed = Err(CommandError::from(Misuse::Closed));
    let leader = scene.star.leader;
    scene
        .world
        .with(leader, |leader, cx: &mut Cx<'_>| {
            assert_eq!(leader.send(cx, Port::Application, b"still here"), closed);
            assert_eq!(leader.rekey(cx), closed);
            assert_eq!(leader.eject(cx, sodality::identity::MemberId(1)), closed);
            assert_eq!(leader.change_policy(cx, Policy::default()), closed);
            assert_eq!(leader.close(cx), closed);
            assert_eq!(leader.take_sealer(cx).map(drop), Err(Misuse::Closed));
        })
        .unwrap();
    assert!(scene.leader().is_closed());
    assert_eq!(scene.leader().stats().sealed, keys.sealed);
    // A request is met with silence.
    scene.join(0);
    scene.run(SECOND * 20);
    assert!(scene.told(scene.star.members[0], &Event::JoinFailed(JoinFailure::Timeout)));
    assert!(scene.leader().stats().rejected[&Reason::Ended] > 0);
}

/// The keys are gone at once, whoever has heard of it.
#[test]
fn what_was_said_before_opens_no_more() {
    let mut scene = Scene::joined(Checks::ALL, 2);
    scene.hold(|_, id| id == "RA-D");
    scene.say(0, b"late").unwrap();
    scene.run(SECOND);
    let late = scene.release();
    close(&mut scene);
    assert_eq!(scene.inject(late[0].to_link, late[0].bytes.clone()), Some(Reason::Ended));
}

/// Answers that are lost cost a wait: T_end, and no more.
#[test]
fn who_hears_nothing_is_not_waited_for() {
    let mut scene = Scene::joined(Checks::ALL, 2);
    let first = scene.star.members[0];
    scene.world.partition([first]).unwrap();
    close(&mut scene);
    scene.run(SECOND * 9);
    assert!(scene.told(scene.star.members[1], &TOLD));
    assert!(!scene.told(scene.star.leader, &CLOSED));
    scene.run(SECOND * 2);
    assert!(scene.told(scene.star.leader, &CLOSED));
    // It notices by silence, as if the leader had died.
    scene.run(SECOND * 40);
    assert!(scene.told(first, &Event::Ended(Ending::LeaderLost)));
}

/// A forged or replayed close ends nothing: only the channel of that member, in this session, does (R7).
#[test]
fn a_close_of_an_earlier_group_closes_nothing() {
    let mut scene = Scene::joined(Checks::ALL, 2);
    close(&mut scene);
    scene.run(SECOND);
    let ends = scene.frames("RA-CL", scene.star.members[0]);
    let machine = {
        let mut rng = sodality::sim::SimRng::new(77);
        let mut cx = Cx::new(scene.world.now(), &mut rng);
        sodality::sim::star::leader_machine(&scene.star.config, &mut cx).unwrap()
    };
    scene.world.crash(scene.star.leader).unwrap();
    scene.world.restart_with(scene.star.leader, machine).unwrap();
    scene.join(0);
    scene.join(1);
    scene.run(SECOND * 20);
    assert!(scene.member(0).is_current());
    let link = scene.frames("RA-CL", scene.star.members[0]).pop().unwrap().to_link;
    for end in ends {
        assert_eq!(scene.inject(link, end.bytes), Some(Reason::Unknown));
    }
    assert!(scene.member(0).is_current());
}

/// Two hundred members, under loss: nobody is forgotten for want of room, since the farewells are a cursor and not a queue.
#[test]
fn a_large_group_is_told_whole() {
    let names: Vec<String> = (1..=200).map(|n| format!("m{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut config = config(Policy::default(), Checks::ALL);
    config.limits.lingering = 4;
    config.limits.out_frames = 8;
    config.link = LinkConfig::DATAGRAM.max_frame(65_536).faults(Faults::NONE);
    let mut scene = Scene::settled(config, &names);
    close(&mut scene);
    scene.run(SECOND * 2);
    let told = scene.star.members.iter().filter(|member| scene.told(**member, &TOLD)).count();
    assert_eq!(told, 200);
    assert!(scene.told(scene.star.leader, &CLOSED));
}

/// Somebody is on its way in.
#[test]
fn a_join_under_way_comes_to_nothing() {
    let mut scene = Scene::joined(Checks::ALL, 1);
    scene.star.add_member(&mut scene.world, "m9").unwrap();
    scene.hold(|_, id| id == "RA-T2");
    scene.join(1);
    scene.run(SECOND);
    close(&mut scene);
    let held = scene.release();
    assert_eq!(scene.inject(held[0].to_link, held[0].bytes.clone()), Some(Reason::Unknown), "nobody asks for it");
    assert_eq!(scene.leader().pending_joins(), 0);
    scene.run(SECOND * 20);
    assert!(scene.told(scene.star.members[1], &Event::JoinFailed(JoinFailure::Timeout)));
}
