//! Sessions of Enclaves in the simulator, repaired and 2.0, written to a file and read by the reference in Python: every frame
//! is taken apart, and what opens is what the keys that are told may open (S2).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/session_file.rs"]
mod session_file;

use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use session_file::{Session, hex, read};
use sodality::crypto::faulty::Recording;
use sodality::crypto::published::{Modern, PublishedSuite, des_md5_rsa};
use sodality::crypto::{Key, Suite, aes_128_gcm, aes_256_gcm, chacha20_poly1305};
use sodality::enclaves::auth::public_key::issue;
use sodality::enclaves::auth::{Account, Credential, Identity, PublicKey, SharedKey, Trust};
use sodality::enclaves::gossip::Form;
use sodality::enclaves::version_2::prudent_policy;
use sodality::endpoint::WallClock;
use sodality::event::Port;
use sodality::identity::{MemberId, Name, Version};
use sodality::policy::{EjectRequests, ObjectRule, Policy, Protection, Right};
use sodality::sim::enclaves::user_key;
use sodality::sim::enclaves_version_1::{VersionOneConfig, VersionOneStar};
use sodality::sim::enclaves_version_2::{VersionTwoConfig, VersionTwoStar, user_key as published_user_key};
use sodality::sim::star::LEADER;
use sodality::sim::{EnclaveConfig, EnclaveStar, Recorder, SimRng, World, shared};

const MINUTE: Duration = Duration::from_secs(60);
const WALL: WallClock = WallClock(1_000_000);
/// Under DES, m3 would have the key of m2: they differ in a bit of parity.
const USERS: [&str; 3] = ["m1", "m2", "m4"];
const SAID: [&str; 3] = ["to the group, from m1", "to the group, from the leader", "without m4 and m2"];
const FORMS: [(Form, &str); 3] = [
    (Form::Documented, "in private, by the leader"),
    (Form::Asked, "in private, by a key of the leader"),
    (Form::Own, "in private, by an own key"),
];

/// A whole session of repaired Enclaves: three join, they talk to all and to some, one is ejected at another's request, one
/// leaves, and the group is closed.
fn record(config: EnclaveConfig, session: &mut Session) {
    let mut world = World::new(2001);
    let tape = shared(Recorder::default());
    world.set_adversary(tape.clone());
    let star = EnclaveStar::with_users(&mut world, config, &USERS.map(String::from)).unwrap();
    // For certificates.
    world.set_wall(star.leader, Some(WALL)).unwrap();
    star.members.iter().for_each(|member| world.set_wall(*member, Some(WALL)).unwrap());
    star.join_all(&mut world, MINUTE).unwrap();
    world.run_for(Duration::from_secs(5)).unwrap();
    star.say(&mut world, 0, SAID[0].as_bytes()).unwrap().unwrap();
    star.say(&mut world, usize::MAX, SAID[1].as_bytes()).unwrap().unwrap();
    let cid = |world: &World, at: usize| world.get(star.members[at]).unwrap().cid().unwrap();
    for (form, text) in FORMS {
        let to = [cid(&world, 1), MemberId::LEADER];
        let gossip =
            world.with(star.members[0], |member, cx| member.gossip(cx, form, &to, Port::Application, text.as_bytes()));
        gossip.unwrap().unwrap();
        world.run_for(Duration::from_secs(3)).unwrap();
    }
    let plan = Name::new("plan").unwrap();
    for (at, expected) in [(0, None), (1, Some(Version(99))), (2, None)] {
        let contents = Bytes::from(vec![7; 3_000]);
        world.with(star.members[at], |member, cx| member.put(cx, &plan, expected, contents)).unwrap().unwrap();
        world.run_for(Duration::from_secs(3)).unwrap();
    }
    let third = cid(&world, 2);
    world.with(star.members[0], |member, cx| member.request_ejection(cx, third)).unwrap().unwrap();
    world.run_for(Duration::from_secs(5)).unwrap();
    world.with(star.members[1], |member, cx| member.leave(cx)).unwrap().unwrap();
    world.run_for(Duration::from_secs(5)).unwrap();
    star.say(&mut world, 0, SAID[2].as_bytes()).unwrap().unwrap();
    world.run_for(Duration::from_secs(5)).unwrap();
    world.with(star.leader, |leader, cx| leader.close(cx)).unwrap().unwrap();
    world.run_for(Duration::from_secs(5)).unwrap();
    session.hear(&world, &tape.borrow());
}

fn policy(protection: Protection) -> Policy {
    let mut policy = Policy { protection, eject_requests: EjectRequests::Granted, ..Policy::default() };
    let rule = ObjectRule::default().everybody(Right::Change).member(Name::new("m4").unwrap(), Right::Read);
    policy.objects.insert(Name::new("plan").unwrap(), rule.size(8_192));
    policy
}

fn secrets(recording: &Recording) -> Value {
    recording.ephemeral_secrets().iter().map(|secret| hex(secret)).collect()
}

/// All of it opens, which is more than `least` frames, and what was said to the group comes out.
fn all_opens(name: &str, session: &Session, least: usize) -> Option<String> {
    let output = read(name, session)?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{name}: {said}\n{}", String::from_utf8_lossy(&output.stderr));
    let frames = said.lines().filter(|line| line.contains(" → ")).count();
    assert!(frames > least && said.contains(&format!("{frames} opened, 0 shut, 0 wrong")), "{name}: {said}");
    for (from, text) in [("m1", SAID[0]), (LEADER, SAID[1]), ("m1", SAID[2])] {
        assert!(said.contains(&format!("said: {from}: '{text}'")), "{name}: {text:?} did not come out\n{said}");
    }
    Some(said)
}

/// All of it opens, what was said in private too; a turned bit is noticed.
fn opens(name: &str, mut session: Session) -> Option<String> {
    let said = all_opens(name, &session, 60)?;
    for (_, text) in FORMS {
        assert!(said.contains(&format!("m1, in private,: '{text}'")), "{name}: {text:?} did not come out\n{said}");
    }
    for id in 1..=10 {
        assert!(said.contains(&format!(" EN-R{id}: ")), "{name}: no EN-R{id}\n{said}");
    }
    for told in ["rights: plan Change", "rights: plan Read", "a piece of plan, version 1: 3000 of 3000 bytes"] {
        assert!(said.contains(told), "{name}: {told:?} did not come out\n{said}");
    }
    for told in ["m1 puts 3000 of 3000 bytes into plan", "change 1: Taken", "change 1: Refused"] {
        assert!(said.contains(told), "{name}: {told:?} did not come out\n{said}");
    }
    session.forge();
    let output = read(&format!("{name}-forged"), &session)?;
    assert_eq!(output.status.code(), Some(1), "{name}: {}", String::from_utf8_lossy(&output.stdout));
    Some(said)
}

/// Requests open, and nothing after them.
fn stays_shut(name: &str, session: &Session) {
    let Some(output) = read(name, session) else { return };
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        said.contains("shut: lea and m1 made K_a by an ephemeral exchange") && said.contains(", 0 wrong"),
        "{said}"
    );
    assert!(said.contains("the long-term keys do not open it"), "{said}");
    let texts = SAID.into_iter().chain(FORMS.map(|(_, text)| text));
    assert!(texts.into_iter().all(|text| !said.contains(text)), "{said}");
    for id in 2..=10 {
        let opened = said.lines().any(|line| line.contains(&format!(" EN-R{id}: ")) && !line.contains(": shut: "));
        assert!(!opened, "EN-R{id} was opened\n{said}");
    }
}

fn by_shared_key(suite: &dyn Suite) -> Session {
    let keys = USERS.map(|user| (user, user_key(suite, user).secret().expose().to_vec()));
    Session::new(suite.id(), "repaired Enclaves", keys.into_iter())
}

#[test]
fn shared_keys_open_sessions_only_with_the_ephemeral_secrets() {
    let suites: [(&str, Arc<dyn Suite>, Protection); 3] = [
        ("aes-128", aes_128_gcm(), Protection::Both),
        ("aes-256", aes_256_gcm(), Protection::Integrity),
        ("chacha20", chacha20_poly1305(), Protection::Confidentiality),
    ];
    for (name, suite, protection) in suites {
        let (recording, mut session) = (Recording::new(suite.clone()), by_shared_key(&*suite));
        let policy = policy(protection);
        record(EnclaveConfig { policy, ..EnclaveConfig::new(recording.suite()) }, &mut session);
        if protection != Protection::Integrity {
            stays_shut(&format!("enclaves-{name}-shut"), &session);
        }
        session.tell("ephemeral", secrets(&recording));
        opens(&format!("enclaves-{name}"), session);
    }
}

#[test]
fn shared_keys_alone_open_sessions_without_an_exchange() {
    let suite = aes_128_gcm();
    let of = suite.clone();
    let ways = Arc::new(move |user: &str| {
        let key = SharedKey::new(user_key(&*of, user)).without_forward_secrecy();
        (Credential::SharedKey(key.clone()), Account::SharedKey(key))
    });
    let mut session = by_shared_key(&*suite);
    let policy = Policy { ephemeral: false, ..policy(Protection::Both) };
    record(EnclaveConfig { policy, ways, ..EnclaveConfig::new(suite) }, &mut session);
    let Some(said) = opens("enclaves-plain", session) else { return };
    assert!(said.contains("by shared key, without an ephemeral share"), "{said}");
}

#[test]
fn public_keys_open_sessions_only_with_the_ephemeral_secrets() {
    for certified in [false, true] {
        let suite = aes_128_gcm();
        let pair = |number| suite.signing_pair(&mut SimRng::new(number)).unwrap();
        let (issuer, issuer_key) = pair(99);
        let issuer = Key::new(issuer);
        let identity = |name: &str| {
            let (secret, public) = pair(name.bytes().map(u64::from).sum());
            let name = Name::new(name).unwrap();
            let certificate = issue(&*suite, &issuer, name.by_ref(), public, WALL, WallClock(u64::MAX)).unwrap();
            let secret = Key::new(secret);
            let own =
                if certified { Identity::certified(secret, &certificate).unwrap() } else { Identity::known(secret) };
            (own, public)
        };
        let trust = |key| if certified { Trust::Issuer(issuer_key) } else { Trust::Key(key) };
        let (leader, leader_key) = identity(LEADER);
        let users: Vec<_> = USERS
            .iter()
            .map(|user| {
                let (own, key) = identity(user);
                let credential = Credential::PublicKey(PublicKey::new(own, trust(leader_key)));
                let account = Account::PublicKey(PublicKey::new(leader.clone(), trust(key)));
                (user.to_string(), key, credential, account)
            })
            .collect();
        let public: Value = if certified {
            json!({"issuer": hex(issuer_key.as_bytes())})
        } else {
            let keys = users.iter().map(|(user, key, ..)| (user.clone(), json!(hex(key.as_bytes()))));
            keys.chain([(LEADER.to_string(), json!(hex(leader_key.as_bytes())))])
                .collect::<serde_json::Map<_, _>>()
                .into()
        };
        let ways = Arc::new(move |name: &str| {
            let (.., credential, account) = users.iter().find(|(user, ..)| user == name).unwrap();
            (credential.clone(), account.clone())
        });
        let recording = Recording::new(suite.clone());
        let mut session = Session::new(suite.id(), "repaired Enclaves", core::iter::empty());
        session.tell("public", public);
        let policy = policy(Protection::Both);
        record(EnclaveConfig { policy, ways, ..EnclaveConfig::new(recording.suite()) }, &mut session);
        let name = if certified { "enclaves-certified" } else { "enclaves-known" };
        stays_shut(&format!("{name}-shut"), &session);
        session.tell("ephemeral", secrets(&recording));
        let Some(said) = opens(name, session) else { return };
        assert!(said.contains("by public keys, with an ephemeral share"), "{said}");
    }
}

/// Of Enclaves 2.0 the keys of the users open everything, under either suite.
#[test]
fn long_term_keys_open_everything_of_version_2() {
    let modern: Arc<dyn PublishedSuite> = Arc::new(Modern::new(chacha20_poly1305()));
    for (name, suite) in [("des", des_md5_rsa()), ("modern", modern)] {
        let mut world = World::new(1996);
        let tape = shared(Recorder::default());
        world.set_adversary(tape.clone());
        let policy = Policy { grace: Duration::ZERO, settle: Duration::ZERO, ..prudent_policy() };
        let config = VersionTwoConfig { policy, ..VersionTwoConfig::new(suite.clone()) };
        let star = VersionTwoStar::with_names(&mut world, config, &USERS.map(String::from)).unwrap();
        star.join_all(&mut world, MINUTE).unwrap();
        world.run_for(Duration::from_secs(2)).unwrap();
        star.say(&mut world, 0, SAID[0].as_bytes()).unwrap().unwrap();
        star.say(&mut world, usize::MAX, SAID[1].as_bytes()).unwrap().unwrap();
        let (to, private) = ([Name::new("m2").unwrap()], FORMS[0].1);
        let gossip = |world: &mut World| {
            world.with(star.members[0], |member, cx| member.gossip(cx, &to, Port::Application, private.as_bytes()))
        };
        gossip(&mut world).unwrap().unwrap();
        world.run_for(Duration::from_secs(2)).unwrap();
        let third = world.get(star.leader).unwrap().number_of(&Name::new("m4").unwrap()).unwrap();
        world.with(star.leader, |leader, cx| leader.eject(cx, third)).unwrap().unwrap();
        world.run_for(Duration::from_secs(2)).unwrap();
        world.with(star.members[1], |member, cx| member.leave(cx)).unwrap().unwrap();
        world.run_for(Duration::from_secs(2)).unwrap();
        star.say(&mut world, 0, SAID[2].as_bytes()).unwrap().unwrap();
        world.run_for(Duration::from_secs(2)).unwrap();

        let keys = USERS.map(|user| (user, published_user_key(&*suite, user).secret().expose().to_vec()));
        let mut session = Session::new(suite.id(), "Enclaves 2.0", keys.into_iter());
        session.hear(&world, &tape.borrow());
        let Some(said) = all_opens(&format!("version-2-{name}"), &session, 40) else { continue };
        assert!(said.contains(&format!("m1, to m2 only,: '{private}'")), "{name}: {said}");
        for info in sodality::wire::enclaves::version_2::MESSAGES {
            assert!(said.contains(&format!(" {}: ", info.id)), "{name}: no {}\n{said}", info.id);
        }
        // A reader that takes everything would pass this too. The key of one member opens what that member could read.
        let only = published_user_key(&*suite, "m2").secret().expose().to_vec();
        let mut session = Session::new(suite.id(), "Enclaves 2.0", [("m2", only)].into_iter());
        session.hear(&world, &tape.borrow());
        let Some(output) = read(&format!("version-2-{name}-m2"), &session) else { continue };
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.code() == Some(2) && said.contains(" EN-A1: shut: no P_a of m1"), "{name}: {said}");
        assert!(said.contains(" EN-G1: shut: ") && said.contains(&format!(" EN-G2: m1, to m2 only, says '{private}'")));
        assert!(said.contains(&format!("said: m1: '{}'", SAID[0])) && !said.contains(SAID[2]), "{name}: {said}");
    }
}

/// And everything of Enclaves 1.0, what goes over direct links too.
#[test]
fn long_term_keys_open_everything_of_version_1() {
    let modern: Arc<dyn PublishedSuite> = Arc::new(Modern::new(chacha20_poly1305()));
    for (name, suite) in [("des", des_md5_rsa()), ("modern", modern)] {
        let mut world = World::new(1995);
        let tape = shared(Recorder::default());
        world.set_adversary(tape.clone());
        let star =
            VersionOneStar::with_names(&mut world, VersionOneConfig::new(suite.clone()), &USERS.map(String::from))
                .unwrap();
        star.join_all(&mut world, MINUTE).unwrap();
        world.run_for(Duration::from_secs(2)).unwrap();
        star.say(&mut world, 0, SAID[0].as_bytes()).unwrap().unwrap();
        star.say(&mut world, usize::MAX, SAID[1].as_bytes()).unwrap().unwrap();
        let (second, private, direct) = (Name::new("m2").unwrap(), FORMS[0].1, "past the leader");
        let first = star.members[0];
        let (port, text) = (Port::Application, private.as_bytes());
        world.with(first, |member, cx| member.send_to(cx, &second, port, text)).unwrap().unwrap();
        world.with(first, |member, cx| member.link_to(cx, &second)).unwrap().unwrap();
        world.run_for(Duration::from_secs(10)).unwrap();
        world.with(first, |member, cx| member.send_direct(cx, &second, port, direct.as_bytes())).unwrap().unwrap();
        world.run_for(Duration::from_secs(10)).unwrap();
        world.with(first, |member, cx| member.close_direct(cx, &second)).unwrap().unwrap();
        let third = world.get(star.leader).unwrap().number_of(&Name::new("m4").unwrap()).unwrap();
        world.with(star.leader, |leader, cx| leader.eject(cx, third)).unwrap().unwrap();
        world.run_for(Duration::from_secs(5)).unwrap();
        world.with(star.members[1], |member, cx| member.leave(cx)).unwrap().unwrap();
        world.run_for(Duration::from_secs(5)).unwrap();
        star.say(&mut world, 0, SAID[2].as_bytes()).unwrap().unwrap();
        world.run_for(Duration::from_secs(5)).unwrap();

        let keys = USERS.map(|user| (user, published_user_key(&*suite, user).secret().expose().to_vec()));
        let mut session = Session::new(suite.id(), "Enclaves 1.0", keys.into_iter());
        session.hear(&world, &tape.borrow());
        let Some(said) = all_opens(&format!("version-1-{name}"), &session, 40) else { continue };
        for (way, text) in [
            ("m1 to lea (m2 at the far end)", private),
            ("lea to m2 (m1 at the far end)", private),
            ("m1 to m2", direct),
        ] {
            assert!(said.contains(&format!("said: {way}: '{text}'")), "{name}: {text:?} did not come out\n{said}");
        }
        // Refusals apart: nobody is refused here.
        let told = sodality::wire::enclaves::version_1::MESSAGES.iter().map(|info| info.id);
        for id in told.filter(|id| !["EN-1E", "EN-1XD"].contains(id)) {
            assert!(said.contains(&format!(" {id}: ")), "{name}: no {id}\n{said}");
        }
        // The key of one who was thrown out opens nothing that was said afterwards: K_g changes then.
        let only = published_user_key(&*suite, "m4").secret().expose().to_vec();
        let mut session = Session::new(suite.id(), "Enclaves 1.0", [("m4", only)].into_iter());
        session.hear(&world, &tape.borrow());
        let Some(output) = read(&format!("version-1-{name}-m4"), &session) else { continue };
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.code() == Some(2) && said.contains(&format!("said: m1: '{}'", SAID[0])),
            "{name}: {said}"
        );
        assert!(!said.contains(SAID[2]) && !said.contains(private) && !said.contains(direct), "{name}: {said}");
    }
}
