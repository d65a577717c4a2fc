//! Sessions with parts as published in the simulator, written to a file and read by the reference in Python with the
//! long-term keys alone (RA §2, mixed editions): whatever the mix, all that was said comes out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/session_file.rs"]
mod session_file;

use core::time::Duration;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use session_file::{Session, read};
use sodality::crypto::published::{Modern, PublishedSuite, des_md5_rsa};
use sodality::crypto::{Suite, aes_128_gcm, aes_256_gcm, chacha20_poly1305};
use sodality::event::{Cause, Causes};
use sodality::group::{Check, Checks, Limits};
use sodality::identity::Name;
use sodality::policy::{Editions, EjectRequests, Mix, Part, Policy, Protection, Views};
use sodality::sim::mixed::{MixedConfig, MixedStar};
use sodality::sim::star::LEADER;
use sodality::sim::{InTransit, Mallory, Net, Recorder, Verdict, World, shared};
use sodality::wire::Edition;

const SAID: [&str; 4] =
    ["to the group, from m1", "to the group, from the leader", "from m2, which has asked for its key", "without m2"];

/// A whole session: three join, one loses a key and gets it, one is ejected at another's request, one leaves.
fn record(name: &str, config: MixedConfig) -> Session {
    let mut world = World::new(1999);
    let tape = shared(Recorder::default());
    let losing = Rc::new(Cell::new(None));
    let (heard, lost) = (tape.clone(), losing.clone());
    world.set_adversary(Mallory(move |frame: &InTransit, net: &mut Net<'_>| {
        heard.borrow_mut().frames.push(frame.clone());
        let rekey = ["AN-R", "RA-R"].contains(&net.tables.id(&frame.bytes));
        // Once: what is sent again is to arrive.
        if rekey && lost.get() == Some(frame.to) {
            lost.set(None);
            return Verdict::Drop;
        }
        Verdict::Pass
    }));
    let (suite, published) = (config.suite.clone(), config.published.id());
    let star = MixedStar::add(&mut world, config, 3).unwrap();
    star.join_all(&mut world, Duration::from_secs(60)).unwrap();
    world.run_for(Duration::from_secs(11)).unwrap();
    star.say(&mut world, 0, SAID[0].as_bytes()).unwrap().unwrap();
    star.say(&mut world, usize::MAX, SAID[1].as_bytes()).unwrap().unwrap();
    world.run_for(Duration::from_secs(1)).unwrap();

    losing.set(Some(star.members[1].into()));
    world.with(star.leader, |leader, cx| leader.rekey(cx)).unwrap().unwrap();
    let converged = |world: &World| star.converged(world) && losing.get().is_none();
    world.eventually(Duration::from_secs(20), "m2 has asked for its key", converged).unwrap();
    star.say(&mut world, 1, SAID[2].as_bytes()).unwrap().unwrap();
    world.run_for(Duration::from_secs(1)).unwrap();

    let third = Name::new("m3").unwrap();
    world.with(star.members[0], |member, cx| member.request_ejection(cx, &third)).unwrap().unwrap();
    world.run_for(Duration::from_secs(1)).unwrap();
    assert_eq!(world.get(star.leader).unwrap().member_count(), 2, "{name}: m3 is still there");
    world.with(star.members[1], |member, cx| member.leave(cx)).unwrap().unwrap();
    world.run_for(Duration::from_secs(7)).unwrap();
    assert_eq!(world.get(star.leader).unwrap().member_count(), 1, "{name}: m2 is still there");
    star.say(&mut world, 0, SAID[3].as_bytes()).unwrap().unwrap();
    world.run_for(Duration::from_secs(2)).unwrap();
    for text in SAID.iter().filter(|text| **text != SAID[1]) {
        assert_eq!(MixedStar::heard(&world, star.leader, text.as_bytes()), 1, "{name}: {text}");
    }

    let names = [LEADER, "m1", "m2", "m3"];
    Session::of_world((published, "mixed"), (&*suite, &names), &world, &tape.borrow())
}

/// Has such a session read: all of it opens, and what was said comes out.
fn session(name: &str, config: MixedConfig) -> Option<String> {
    let readable = config.policy.protection == Protection::None;
    let mut session = record(name, config);
    let output = read(name, &session)?;
    let (said, complaints) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{name}: {said}\n{complaints}");
    for (from, text) in [("m1", SAID[0]), (LEADER, SAID[1]), ("m2", SAID[2]), ("m1", SAID[3])] {
        assert!(said.contains(&format!("said: {from}: '{text}'")), "{name}: {text:?} did not come out\n{said}");
    }
    let lines = said.lines().filter(|line| line.contains(" → ")).count();
    assert!(lines > 40 && said.contains(&format!("{lines} opened, 0 shut, 0 wrong")), "{name}: {said}");
    // A reader that takes everything would pass this too: a bit of a tag turned is noticed.
    if !readable {
        session.forge();
        let output = read(&format!("{name}-forged"), &session)?;
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.code() == Some(1) && said.contains(", 0 shut, 1 wrong"), "{name}: {said}");
    }
    Some(said.into_owned())
}

/// Without the ephemeral exchange, whose keys the long-term keys do not give.
fn config(suite: Arc<dyn Suite>, published: Arc<dyn PublishedSuite>, editions: Editions) -> MixedConfig {
    let mix = Mix { editions, ..Mix::published(published.id()) };
    let config = MixedConfig::new(suite, published, mix);
    let policy = Policy { ephemeral: false, eject_requests: EjectRequests::Granted, ..config.policy.clone() };
    let limits = Limits { checks: Checks::ALL.without(Check::Ephemeral), ..Limits::default() };
    MixedConfig { policy, limits, ..config }
}

#[test]
fn long_term_keys_open_whole_sessions_as_published() {
    let suites: [(&str, Arc<dyn PublishedSuite>); 2] =
        [("des", des_md5_rsa()), ("modern", Arc::new(Modern::new(aes_128_gcm())))];
    for (suite, published) in suites {
        let plain = config(aes_128_gcm(), published, Editions::PUBLISHED);
        for (at, protection, data) in [
            (0, Protection::None, "AN-Dn"),
            (1, Protection::Integrity, "AN-Di"),
            (2, Protection::Confidentiality, "AN-Dc"),
            (3, Protection::Both, "AN-Db"),
        ] {
            let mut policy = Policy { protection, ..plain.policy.clone() };
            // Each switch is once on and once off.
            if at % 2 == 1 {
                let others = policy.rekey_on.iter().filter(|cause| *cause != Cause::Join);
                policy.rekey_on = others.fold(Causes::NONE, Causes::with);
                policy.views = Views::Hidden;
            }
            let mix = policy.mix.as_mut().unwrap();
            (mix.strong_reply, mix.per_heartbeat) = (at >= 2, at % 2 == 0);
            let answer = if at >= 2 { "AN-T2s" } else { "AN-T2" };
            let name = format!("{suite}-{data}");
            let Some(said) = session(&name, MixedConfig { policy, ..plain.clone() }) else { continue };
            let ids = said.lines().find(|line| line.starts_with("frames: ")).unwrap();
            assert!(!ids.contains("RA-"), "{name}: {ids}");
            for id in
                ["AN-T1", answer, "AN-J1", "AN-J2", "AN-J3", "AN-K", "AN-R", "AN-L", "AN-HL", "AN-HM", "AN-Q", data]
            {
                assert!(ids.split([' ', ',']).any(|word| word == id), "{name}: no {id}: {ids}");
            }
            assert!(said.contains("AN-L: m2 leaves") && said.contains("AN-L: m1 asks that m3 go"), "{name}: {said}");
            assert!(said.contains("AN-Q: m2 asks for the key"), "{name}: {said}");
        }
    }
}

/// One part as published among repaired ones, one repaired among published ones, and mixes of both halves.
#[test]
fn long_term_keys_open_mixed_sessions() {
    use Part::{Data, Join, KeyRequest, Keys, LeaderHeartbeat, Leave, MemberHeartbeat, ThirdParty};
    let mut mixes = Vec::new();
    for part in Part::ALL {
        mixes.push((format!("{}-published", part.word()), Editions::REPAIRED.with(part, Edition::AsPublished)));
        mixes.push((format!("{}-repaired", part.word()), Editions::PUBLISHED.with(part, Edition::Repaired)));
    }
    let halves: [(&str, &[Part]); 4] = [
        ("the-way-in", &[ThirdParty, Join]),
        ("keys-and-data", &[Keys, Data]),
        ("liveness", &[LeaderHeartbeat, MemberHeartbeat, KeyRequest]),
        ("members", &[ThirdParty, Leave, MemberHeartbeat, Data]),
    ];
    for (name, parts) in halves {
        let editions = parts.iter().fold(Editions::REPAIRED, |all, part| all.with(*part, Edition::AsPublished));
        mixes.push((format!("{name}-published"), editions));
    }
    let (mut ids, mut said) = (String::new(), String::new());
    for (at, (name, editions)) in mixes.into_iter().enumerate() {
        // The suites of the two sides are independent.
        let suite = [aes_128_gcm, aes_256_gcm, chacha20_poly1305][at % 3]();
        let published: Arc<dyn PublishedSuite> =
            if at % 2 == 0 { Arc::new(Modern::new(aes_128_gcm())) } else { des_md5_rsa() };
        let plain = config(suite, published, editions);
        let protection =
            [Protection::Both, Protection::Integrity, Protection::Confidentiality, Protection::None][at % 4];
        let policy = Policy { protection, ..plain.policy.clone() };
        let Some(read) = session(&name, MixedConfig { policy, ..plain }) else { continue };
        ids.push_str(read.lines().find(|line| line.starts_with("frames: ")).unwrap());
        // What each witnesses, by the part that is repaired.
        for (part, witness) in [
            (LeaderHeartbeat, "the leader's heartbeat: challenge"),
            (MemberHeartbeat, "the member's heartbeat: challenge"),
            (KeyRequest, "key request"),
            (Leave, "record Eject"),
            (Leave, "end, Left"),
            (Join, "record Hello"),
        ] {
            assert_eq!(read.contains(witness), !editions.is_published(part), "{name}: {witness}\n{read}");
        }
        said.push_str(&read);
    }
    if !said.is_empty() {
        for id in ["RA-T1m", "RA-Dm", "RA-D", "RA-J2", "RA-R", "RA-CL", "RA-CM", "AN-HM", "AN-K", "AN-R"] {
            assert!(ids.split([' ', ',']).any(|word| word == id), "no {id}: {ids}");
        }
        assert!(!ids.contains("RA-H"), "there is no RA-H in a mix");
    }
}

/// The ephemeral exchange belongs to the join: where that is repaired, nothing of what follows opens (S2), though all else
/// is as published; where it is published, all of it does, though all else is repaired.
#[test]
fn forward_secrecy_comes_with_the_join() {
    let published: Arc<dyn PublishedSuite> = Arc::new(Modern::new(aes_128_gcm()));
    for edition in [Edition::Repaired, Edition::AsPublished] {
        let others = if edition == Edition::Repaired { Editions::PUBLISHED } else { Editions::REPAIRED };
        let plain = config(aes_128_gcm(), published.clone(), others.with(Part::Join, edition));
        let policy = Policy { ephemeral: true, ..plain.policy.clone() };
        let config = MixedConfig { policy, limits: Limits::default(), ..plain };
        if edition == Edition::AsPublished {
            session("ephemeral-join-published", config);
            continue;
        }
        let name = "ephemeral-join-repaired";
        let Some(output) = read(name, &record(name, config)) else { continue };
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(2), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
        assert!(said.contains(", 0 wrong") && SAID.iter().all(|text| !said.contains(text)), "{said}");
        for id in ["RA-J2", "RA-CM", "AN-K", "AN-R", "AN-L", "AN-Db"] {
            let opened = said.lines().any(|line| line.contains(&format!(" {id}: ")) && !line.contains(": shut: "));
            assert!(!opened, "{id} was opened\n{said}");
        }
    }
}
