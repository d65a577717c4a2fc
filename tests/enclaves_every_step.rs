//! Repaired Enclaves, exhaustively in time: somebody joins, leaves, crashes and comes back, or plays an old request again, at
//! every step of a session with every handshake in it (enclaves §4.2, §4.6; D32, D33, X9, X11). Nobody is stuck, nobody who is
//! gone stays a member beyond the bound, and no replay ends a live session.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sodality::crypto::{Key, Suite, chacha20_poly1305};
use sodality::enclaves::Member;
use sodality::enclaves::auth::public_key::issue;
use sodality::enclaves::auth::{Account, Credential, Identity, PublicKey, Trust};
use sodality::endpoint::{Cx, Endpoint, WallClock};
use sodality::event::{Ending, Event, Port};
use sodality::group::{Check, Checks, Limits};
use sodality::identity::Name;
use sodality::policy::Policy;
use sodality::sim::check::{EpochsGrow, NoDeliveryAfterRemoval, NoReplayDelivered, ViewsAgree};
use sodality::sim::enclaves::{Ways, leader_machine, member_machine};
use sodality::sim::star::LEADER;
use sodality::sim::{
    Adversary, EnclaveConfig, EnclaveStar, InTransit, LinkConfig, Net, Node, NodeId, SimRng, Stop, Verdict, World,
    shared,
};

const SECOND: Duration = Duration::from_secs(1);
/// Two join, one talks, one leaves and returns, the key changes, one is ejected and returns.
const SESSION: Duration = Duration::from_secs(16);
/// For certificates.
const WALL: WallClock = WallClock(1_700_000_000_000);

fn config(link: LinkConfig, checks: Checks) -> EnclaveConfig {
    let policy = Policy { frame_limit: 1_200, grace: SECOND, settle: SECOND / 4, ..Policy::default() };
    let limits = Limits { checks, ..Limits::default() };
    EnclaveConfig { policy, limits, link, ..EnclaveConfig::new(chacha20_poly1305()) }
}

/// How long a member that says nothing any more is in the view at most (D33): until the leader asks for a sign of life, its
/// silence, an RTO for others to go with it, and as much again for what the leader does first.
fn ghost_bound(config: &EnclaveConfig) -> Duration {
    let rto = config.limits.retry.first;
    let detection = config.policy.detection.unwrap();
    detection.period / 2 + detection.silence(rto) + rto * 4
}

/// Until when all agree again, whatever happened: a member that believes in a dead leader finds out, a join that was spoilt
/// goes on until it is over, and what was left pending gives way.
fn bound(config: &EnclaveConfig) -> Duration {
    let rto = config.limits.retry.first;
    let lost = config.policy.detection.unwrap().staleness(rto) * 2;
    lost.max(ghost_bound(config)) + config.limits.join_time + config.limits.pending_guard + SECOND * 10
}

/// A group whose members join, and join again whenever they are out, unless they are told to stay away.
fn group(world: &mut World, config: EnclaveConfig, away: &Rc<RefCell<Vec<NodeId>>>) -> Result<EnclaveStar, Stop> {
    world.add_checker(EpochsGrow::default());
    world.add_checker(ViewsAgree::default());
    world.add_checker(NoReplayDelivered::default());
    world.add_checker(NoDeliveryAfterRemoval::default());
    let star = EnclaveStar::add(world, config.clone(), 2)?;
    world.set_wall(star.leader, Some(WALL))?;
    for member in star.members.iter().copied() {
        let (config, name) = (config.clone(), world.name(member).to_string());
        world.set_wall(member, Some(WALL))?;
        world.set_factory(member, move |_| member_machine(&config, &name).unwrap())?;
        for tick in 0..240 {
            let away = Rc::clone(away);
            world.after(SECOND / 2 * tick, move |world| {
                let stays = away.borrow().contains(&member.into());
                if world.get(member).is_some_and(Member::is_idle) && !stays {
                    world.command(member, "join", |member, cx| {
                        let _ = member.join(cx);
                    })?;
                }
                Ok(())
            });
        }
    }
    let users = ["m1", "m2"].map(String::from);
    world.set_factory(star.leader, move |life| {
        let mut rng = SimRng::new(u64::from(life));
        leader_machine(&config, &users, &mut Cx::new(sodality::endpoint::Instant::ORIGIN, &mut rng)).unwrap()
    })?;
    Ok(star)
}

/// A command to whoever is up.
fn tell<E: Endpoint + 'static>(
    world: &mut World,
    after: Duration,
    node: Node<E>,
    words: &'static str,
    act: impl FnOnce(&mut E, &mut Cx<'_>) + 'static,
) {
    world.after(after, move |world| if world.is_up(node) { world.command(node, words, act) } else { Ok(()) });
}

fn script(world: &mut World, star: &EnclaveStar) {
    let (leader, [one, two]) = (star.leader, [star.members[0], star.members[1]]);
    tell(world, SECOND * 3, one, "say hello", |member, cx| {
        let _ = member.send(cx, Port::Application, b"hello");
    });
    tell(world, SECOND * 4, two, "leave", |member, cx| {
        let _ = member.leave(cx);
    });
    tell(world, SECOND * 8, leader, "rekey", |leader, cx| {
        let _ = leader.rekey(cx);
    });
    tell(world, SECOND * 11, leader, "eject", |leader, cx| {
        let first = leader.live_members().map(|(cid, _)| cid).next();
        let _ = first.map(|cid| leader.eject(cx, cid));
    });
}

/// All that are not away are in, and nobody else.
fn settled(world: &World, star: &EnclaveStar, away: &[NodeId]) -> bool {
    let Some(leader) = world.get(star.leader) else { return false };
    let wanted: Vec<Node<Member>> =
        star.members.iter().copied().filter(|member| !away.contains(&NodeId::from(*member))).collect();
    let agrees = |member: &Member| {
        let view = member.view().unwrap();
        let same = (view.version(), view.digest()) == (leader.view().version(), leader.view().digest());
        member.is_current() && member.epoch() == leader.epoch() && same
    };
    leader.live_members().count() == wanted.len()
        && leader.view().members().len() == wanted.len() + 1
        && wanted.iter().all(|member| world.get(*member).is_some_and(agrees))
}

/// Runs the session to that step, lets `act` happen, and runs it to its end. `None` if there are not so many steps.
fn at_step(
    seed: u64,
    config: &EnclaveConfig,
    step: u64,
    act: impl FnOnce(&mut World, &EnclaveStar, &Rc<RefCell<Vec<NodeId>>>) -> Result<(), Stop>,
) -> Result<Option<(World, EnclaveStar)>, Stop> {
    let mut world = World::new(seed);
    let away = Rc::default();
    let star = group(&mut world, config.clone(), &away)?;
    script(&mut world, &star);
    let end = world.now() + SESSION;
    if !world.run_until(end, |world| world.steps() >= step)? {
        return Ok(None);
    }
    act(&mut world, &star, &away)?;
    let acted = world.now();
    // Nobody who has gone is a member longer than the bound, whatever else goes on.
    let gone = away.borrow().clone();
    world.run_until(acted + ghost_bound(config), |_| false)?;
    for node in &gone {
        let name = world.name(*node).to_string();
        let stays =
            world.get(star.leader).is_some_and(|leader| leader.live_members().any(|(_, live)| live.as_str() == name));
        assert!(!stays, "step {step}: {name} is gone and still a member\n{}", world.trace().tail(60));
    }
    world.run_until(end, |_| false)?;
    let text = format!("step {step}: all that are there agree");
    world.eventually(bound(config), &text, |world| settled(world, &star, &gone))?;
    Ok(Some((world, star)))
}

const LINKS: [LinkConfig; 2] = [LinkConfig::STREAM, LinkConfig::DATAGRAM];

/// `act` at every step over each kind of links; gives how many steps there were.
fn at_every_step(
    act: impl FnMut(&mut World, &EnclaveStar, &Rc<RefCell<Vec<NodeId>>>) -> Result<(), Stop>,
    after: impl FnMut(&World, &EnclaveStar),
) -> u64 {
    at_every_step_of(&LINKS.map(|link| config(link, Checks::ALL)), act, after)
}

fn at_every_step_of(
    groups: &[EnclaveConfig],
    mut act: impl FnMut(&mut World, &EnclaveStar, &Rc<RefCell<Vec<NodeId>>>) -> Result<(), Stop>,
    mut after: impl FnMut(&World, &EnclaveStar),
) -> u64 {
    let mut runs = 0;
    for config in groups {
        // The first steps set the group up.
        for step in 5.. {
            match at_step(48, config, step, &mut act) {
                Ok(Some((world, star))) => after(&world, &star),
                Ok(None) => break,
                Err(stop) => panic!("{config:?}, step {step}: {stop}"),
            }
            runs += 1;
        }
    }
    println!("{runs} runs");
    runs
}

#[test]
fn a_member_crashes_at_every_step_and_comes_back() {
    for victim in 0..2 {
        let runs = at_every_step(
            |world, star, _| {
                world.crash(star.members[victim])?;
                world.restart(star.members[victim])
            },
            |_, _| {},
        );
        assert!(runs > 100, "{runs}");
    }
}

/// Whatever is under way is lost with the link, and goes on over the next one: no join fails for it, and nobody is taken for gone.
#[test]
fn a_link_drops_at_every_step() {
    for victim in 0..2 {
        let runs = at_every_step(
            |world, star, _| {
                let between = world.links_between(star.members[victim], star.leader);
                between.first().map_or(Ok(()), |link| world.reopen(*link).map(drop))
            },
            |world, star| {
                for member in star.members.iter().copied() {
                    let failed = |event: &&Event| {
                        matches!(event, Event::JoinFailed(_) | Event::JoinRefused(_) | Event::Ended(Ending::LeaderLost))
                    };
                    let failed: Vec<&Event> = world.events(member).iter().filter(failed).collect();
                    assert!(failed.is_empty(), "{}: {failed:?}\n{}", world.name(member), world.trace().tail(60));
                }
            },
        );
        assert!(runs > 100, "{runs}");
    }
}

/// How users log in with keys of Ed25519, with or without certificates.
fn by_public_keys(suite: &Arc<dyn Suite>, certified: bool) -> Ways {
    let pair = |number| suite.signing_pair(&mut SimRng::new(number)).unwrap();
    let (issuer, root) = pair(99);
    let issuer = Key::new(issuer);
    let identity = |holder: &str| {
        let (secret, public) = pair(holder.bytes().map(u64::from).sum());
        let (secret, holder) = (Key::new(secret), Name::new(holder).unwrap());
        let certificate = issue(&**suite, &issuer, holder.by_ref(), public, WALL, WallClock(u64::MAX)).unwrap();
        let own = if certified { Identity::certified(secret, &certificate).unwrap() } else { Identity::known(secret) };
        (own, if certified { Trust::Issuer(root) } else { Trust::Key(public) })
    };
    let (leader, leader_key) = identity(LEADER);
    let users: BTreeMap<String, _> = ["m1", "m2"].map(|user| (user.to_string(), identity(user))).into();
    Arc::new(move |user| {
        let (own, key) = users[user].clone();
        let credential = Credential::PublicKey(PublicKey::new(own, leader_key));
        (credential, Account::PublicKey(PublicKey::new(leader.clone(), key)))
    })
}

/// How users log in with passwords that the leader has not.
#[cfg(feature = "opaque")]
fn by_opaque() -> Ways {
    use sodality::crypto::opaque::{Enrolment, OpaqueServer};
    use sodality::crypto::password::Cost;
    use sodality::enclaves::auth::opaque::{OpaqueAccount, Password};

    let mut rng = SimRng::new(3);
    let (server, leader) = (OpaqueServer::generate(&mut rng).unwrap(), Name::new(LEADER).unwrap());
    let mut enrol = |user: &str| {
        let (request, enrolment) = Enrolment::start(user.as_bytes(), &mut rng).unwrap();
        let name = Name::new(user).unwrap();
        let answer = server.answer_enrolment(name.by_ref(), &request).unwrap();
        let upload = enrolment.finish(Cost::CHEAP, leader.by_ref(), name.by_ref(), &answer).unwrap();
        (user.to_string(), OpaqueServer::record(&upload).unwrap())
    };
    let records = BTreeMap::from(["m1", "m2"].map(&mut enrol));
    Arc::new(move |user| {
        let password = Password::new(user.as_bytes(), Cost::CHEAP).unwrap();
        let account = OpaqueAccount::new(server.clone(), records[user].clone());
        (Credential::Opaque(password), Account::Opaque(account))
    })
}

#[test]
fn a_member_crashes_at_every_step_of_each_way_to_log_in() {
    let suite = chacha20_poly1305();
    let mut ways = vec![by_public_keys(&suite, false), by_public_keys(&suite, true)];
    #[cfg(feature = "opaque")]
    ways.push(by_opaque());
    for ways in ways {
        let config = EnclaveConfig { ways, ..config(LinkConfig::STREAM, Checks::ALL) };
        let runs = at_every_step_of(
            &[config],
            |world, star, _| {
                world.crash(star.members[0])?;
                world.restart(star.members[0])
            },
            |_, _| {},
        );
        assert!(runs > 50, "{runs}");
    }
}

#[test]
fn a_member_crashes_at_every_step_and_stays_away() {
    let runs = at_every_step(
        |world, star, away| {
            away.borrow_mut().push(star.members[1].into());
            world.crash(star.members[1])
        },
        |_, _| {},
    );
    assert!(runs > 100, "{runs}");
}

#[test]
fn the_leader_crashes_at_every_step() {
    let runs = at_every_step(
        |world, star, _| {
            world.crash(star.leader)?;
            world.restart(star.leader)
        },
        |_, _| {},
    );
    assert!(runs > 100, "{runs}");
}

#[test]
fn a_member_leaves_at_every_step() {
    let runs = at_every_step(
        |world, star, away| {
            away.borrow_mut().push(star.members[1].into());
            world.command(star.members[1], "leave", |member, cx| {
                let _ = member.leave(cx);
            })
        },
        |world, star| {
            let member = world.get(star.members[1]).unwrap();
            assert!(member.is_idle(), "it knows that it is out");
            let ended = world
                .events(star.members[1])
                .iter()
                .filter(|event| matches!(event, Event::Ended(Ending::LeftUnconfirmed)) && member.is_idle());
            // Over links that lose nothing each leave of a session is confirmed; only a join that is given up is not.
            assert!(ended.count() <= 1);
        },
    );
    assert!(runs > 100, "{runs}");
}

#[test]
fn a_member_that_leaves_at_every_step_and_is_never_heard_is_no_ghost() {
    let runs = at_every_step(
        |world, star, away| {
            away.borrow_mut().push(star.members[1].into());
            // What it says from now on is lost (X11).
            world.partition([star.members[1]])?;
            world.command(star.members[1], "leave", |member, cx| {
                let _ = member.leave(cx);
            })
        },
        |_, _| {},
    );
    assert!(runs > 100, "{runs}");
}

#[test]
fn somebody_joins_at_every_step() {
    // Of its own accord or not: a second join begins while the first is somewhere on its way.
    let runs = at_every_step(
        |world, star, _| {
            world.crash(star.members[0])?;
            world.restart(star.members[0])?;
            world.command(star.members[0], "join", |member, cx| {
                let _ = member.join(cx);
            })
        },
        |_, _| {},
    );
    assert!(runs > 100, "{runs}");
}

/// Writes down all requests to join, and plays the oldest of m1 again when told.
#[derive(Default)]
struct Replayer {
    requests: Vec<Bytes>,
}

impl Adversary for Replayer {
    fn on_frame(&mut self, frame: &InTransit, net: &mut Net<'_>) -> Verdict {
        if net.tables.id(&frame.bytes) == "EN-R1" && net.name(frame.from) == "m1" {
            self.requests.push(frame.bytes.clone());
        }
        Verdict::Pass
    }
}

/// Two are in; every request of m1 is played again, at each step of a rekey and a poll. Gives whether m1 stayed what it was.
fn replayed_at(step: u64, checks: Checks) -> Result<Option<bool>, Stop> {
    let mut world = World::new(7);
    let config = config(LinkConfig::STREAM, checks);
    let star = EnclaveStar::add(&mut world, config, 2)?;
    let replayer = shared(Replayer::default());
    world.set_adversary(replayer.clone());
    star.join_all(&mut world, SECOND * 10)?;
    let (cid, before) = (world.get(star.members[0]).unwrap().cid(), world.steps());
    world.after(SECOND, move |world| {
        world.with(star.leader, |leader, cx| {
            let _ = leader.rekey(cx);
        })
    });
    let end = world.now() + SECOND * 6;
    if !world.run_until(end, |world| world.steps() >= before + step)? {
        return Ok(None);
    }
    for request in replayer.borrow().requests.clone() {
        for link in world.links_of(star.leader) {
            world.inject(link, request.clone(), Duration::ZERO);
        }
    }
    world.run_for(SECOND * 25)?;
    let member = world.get(star.members[0]).unwrap();
    let stayed = member.is_current() && member.cid() == cid;
    let leader = world.get(star.leader).unwrap();
    assert_eq!(leader.pending_joins(), 0, "what was begun by the replay is over");
    Ok(Some(stayed && leader.view().contains(cid.unwrap_or_default())))
}

#[test]
fn a_replayed_request_at_every_step_ends_no_live_session() {
    let mut runs = 0;
    for step in 0.. {
        match replayed_at(step, Checks::ALL).unwrap_or_else(|stop| panic!("step {step}: {stop}")) {
            Some(stayed) => assert!(stayed, "step {step}"),
            None => break,
        }
        runs += 1;
    }
    assert!(runs > 10, "{runs}");
    // The rule that it is for: without it the request alone ends the session.
    assert_eq!(replayed_at(0, Checks::ALL.without(Check::LiveSession)).unwrap(), Some(false));
}
