//! Passwords can be guessed from what the way by shared key shows (X3) and from what its leader stores (G2).
#![cfg(all(feature = "sim", feature = "rustcrypto", feature = "argon2"))]
#![allow(clippy::unwrap_used)] // Helpers of tests, outside of test functions.

use sodality::crypto::keys::role;
use sodality::crypto::password::{Cost, MAX_PASSWORD, PasswordError, user_key};
use sodality::crypto::{Key, Suite, aes_128_gcm};
use sodality::enclaves::auth::{Account, Credential, Scene, SharedKey};
use sodality::error::Reason;
use sodality::identity::NameRef;
use sodality::sim::rng::SimRng;
use sodality::wire::field::Nonce;
use sodality::wire::{Edition, Header, System};

const DICTIONARY: [&str; 6] = ["123456", "letmein", "dragon", "correct horse", "hunter2", "swordfish"];

fn name(text: &str) -> NameRef<'_> {
    NameRef::new(text).unwrap()
}

fn key(suite: &dyn Suite, password: &str) -> Key<role::User> {
    user_key(suite, Cost::CHEAP, password.as_bytes(), name("leader"), name("alice")).unwrap()
}

fn scene(suite: &dyn Suite) -> Scene<'_> {
    let header = Header { system: System::Enclaves, edition: Edition::Repaired, suite: suite.id() };
    Scene { suite, header, app: name("app"), leader: name("leader"), member: name("alice"), wall: None }
}

/// The words of the dictionary that fit a recorded request: one guess each, without a word to the leader.
fn guessed(password: &str) -> Vec<&'static str> {
    let suite = aes_128_gcm();
    let (scene, mut rng) = (scene(&*suite), SimRng::new(1));
    let (n1, n2) = (Nonce::new(&[1; 16]).unwrap(), Nonce::new(&[2; 16]).unwrap());
    let user = Credential::SharedKey(SharedKey::new(key(&*suite, password)));
    let (recorded, _) = user.ask(&scene, &n1, &mut rng).unwrap();
    let mut fits = |word: &&str| {
        let guess = Account::SharedKey(SharedKey::new(key(&*suite, word)));
        let tried = guess.answer(&scene, &n1, &n2, &recorded, &mut rng);
        assert!(tried.is_ok() || tried.err() == Some(Reason::Forged));
        guess.answer(&scene, &n1, &n2, &recorded, &mut rng).is_ok()
    };
    DICTIONARY.into_iter().filter(|word| fits(word)).collect()
}

#[test]
fn a_recorded_request_by_shared_key_gives_a_weak_password_away() {
    assert_eq!(guessed("hunter2"), ["hunter2"]);
    assert_eq!(guessed("u8#kW-no dictionary has it"), [""; 0]);
}

#[test]
fn what_the_leader_stores_gives_it_away_too_and_is_enough_without_it() {
    let suite = aes_128_gcm();
    let stored = key(&*suite, "hunter2");
    let found: Vec<&str> =
        DICTIONARY.into_iter().filter(|word| suite.same(key(&*suite, word).secret(), stored.secret())).collect();
    assert_eq!(found, ["hunter2"]);
    // The thief needs no password: the stored key itself logs in.
    let (scene, mut rng) = (scene(&*suite), SimRng::new(1));
    let (n1, n2) = (Nonce::new(&[1; 16]).unwrap(), Nonce::new(&[2; 16]).unwrap());
    let (request, _) = Credential::SharedKey(SharedKey::new(stored.clone())).ask(&scene, &n1, &mut rng).unwrap();
    let account = Account::SharedKey(SharedKey::new(stored));
    assert!(account.answer(&scene, &n1, &n2, &request, &mut rng).is_ok());
}

#[test]
fn user_leader_and_cost_make_different_keys_of_one_password() {
    let suite = aes_128_gcm();
    let make = |cost, leader, member| user_key(&*suite, cost, b"hunter2", name(leader), name(member)).unwrap();
    let keys = [
        make(Cost::CHEAP, "leader", "alice"),
        make(Cost::CHEAP, "leader", "bob"),
        make(Cost::CHEAP, "other", "alice"),
        make(Cost::CHEAP, "leadera", "lice"),
        make(Cost::new(16, 1, 1).unwrap(), "leader", "alice"),
    ];
    for (at, one) in keys.iter().enumerate() {
        assert_eq!(one.secret().len(), suite.sizes().long_term);
        assert!(keys.iter().skip(at + 1).all(|other| !suite.same(one.secret(), other.secret())));
    }
}

#[test]
fn passwords_and_costs_have_bounds() {
    let suite = aes_128_gcm();
    let make = |password: &[u8]| user_key(&*suite, Cost::CHEAP, password, name("leader"), name("alice")).err();
    assert_eq!(make(b""), Some(PasswordError::Length));
    assert_eq!(make(&[b'a'; MAX_PASSWORD]), None);
    assert_eq!(make(&[b'a'; MAX_PASSWORD + 1]), Some(PasswordError::Length));
    for (memory, passes, lanes) in
        [(7, 1, 1), (8, 0, 1), (8, 1, 0), (8, 1, 2), (1 << 21, 1, 1), (8, 65, 1), (999, 1, 17)]
    {
        assert_eq!(Cost::new(memory, passes, lanes), None);
    }
    assert!(Cost::new(16, 1, 2).is_some());
}

/// Under OPAQUE neither helps, without the leader's own keys; with them, a dictionary can be tried as under any scheme.
#[cfg(feature = "opaque")]
#[test]
fn under_opaque_neither_traffic_nor_records_give_a_password_away() {
    use sodality::crypto::opaque::{Enrolment, OpaqueServer};
    use sodality::enclaves::auth::opaque::{OpaqueAccount, Password};

    let suite = aes_128_gcm();
    let (scene, mut rng) = (scene(&*suite), SimRng::new(1));
    let (n1, n2) = (Nonce::new(&[1; 16]).unwrap(), Nonce::new(&[2; 16]).unwrap());
    let server = OpaqueServer::generate(&mut rng).unwrap();
    let (request, enrolment) = Enrolment::start(b"hunter2", &mut rng).unwrap();
    let answer = server.answer_enrolment(scene.member, &request).unwrap();
    let upload = enrolment.finish(Cost::CHEAP, scene.leader, scene.member, &answer).unwrap();
    let record = OpaqueServer::record(&upload).unwrap();
    let password = |word: &str| Credential::Opaque(Password::new(word.as_bytes(), Cost::CHEAP).unwrap());

    // A login that is recorded as a whole.
    let account = Account::Opaque(OpaqueAccount::new(server.clone(), record.clone()));
    let (first, asked) = password("hunter2").ask(&scene, &n1, &mut rng).unwrap();
    let (second, answered) = account.answer(&scene, &n1, &n2, &first, &mut rng).unwrap();
    let third = asked.finish(&scene, &n2, &second).unwrap().proof;
    answered.confirm(&third).unwrap();

    // With the traffic: each word is tried against the answer that was recorded.
    let mut tried = |word: &&str| {
        let (_, guess) = password(word).ask(&scene, &n1, &mut rng).unwrap();
        guess.finish(&scene, &n2, &second).is_ok()
    };
    assert_eq!(DICTIONARY.into_iter().filter(|word| tried(word)).count(), 0);
    // What was proven last proves nothing in another login.
    let (_, other) = account.answer(&scene, &n1, &n2, &first, &mut rng).unwrap();
    assert_eq!(other.confirm(&third), Err(Reason::Forged));

    // With the record, and keys of one's own in the place of the leader's: each word is tried in a whole login.
    let found = |server: &OpaqueServer, rng: &mut SimRng| -> Vec<&'static str> {
        let account = Account::Opaque(OpaqueAccount::new(server.clone(), record.clone()));
        let mut opens = |word: &&str| {
            let (first, guess) = password(word).ask(&scene, &n1, rng).unwrap();
            let (second, _) = account.answer(&scene, &n1, &n2, &first, rng).unwrap();
            guess.finish(&scene, &n2, &second).is_ok()
        };
        DICTIONARY.into_iter().filter(|word| opens(word)).collect()
    };
    let mut thief = SimRng::new(2);
    let own = OpaqueServer::generate(&mut thief).unwrap();
    assert_eq!(found(&own, &mut thief), [""; 0]);
    // Who has the leader's keys as well finds it: the price is a guess each, and no more.
    assert_eq!(found(&server, &mut thief), ["hunter2"]);
}
