//! Each way of authentication over each suite does what the contract says, and certificates hold for one name and a time.
#![cfg(all(feature = "sim", feature = "rustcrypto"))]
#![allow(clippy::unwrap_used)] // Helpers of tests, outside of test functions.

use std::sync::Arc;

use sodality::crypto::keys::role;
use sodality::crypto::symbolic::symbolic;
use sodality::crypto::{Key, Secret, Suite, aes_128_gcm, aes_256_gcm, chacha20_poly1305};
use sodality::enclaves::auth::conformance::{Pair, check};
use sodality::enclaves::auth::public_key::issue;
use sodality::enclaves::auth::{Account, Credential, Identity, PublicKey, Scene, SharedKey, Trust};
use sodality::endpoint::WallClock;
use sodality::error::Reason;
use sodality::identity::NameRef;
use sodality::sim::rng::SimRng;
use sodality::wire::field::{Nonce, VerifyingKey};
use sodality::wire::{Edition, Header, System};

fn name(text: &str) -> NameRef<'_> {
    NameRef::new(text).unwrap()
}

fn scene(suite: &dyn Suite) -> Scene<'_> {
    let header = Header { system: System::Enclaves, edition: Edition::Repaired, suite: suite.id() };
    let (app, leader, member) = (name("app"), name("leader"), name("alice"));
    Scene { suite, header, app, leader, member, wall: Some(WallClock(1_000)) }
}

fn suites() -> Vec<Arc<dyn Suite>> {
    vec![aes_128_gcm(), aes_256_gcm(), chacha20_poly1305(), symbolic().suite()]
}

fn signing(suite: &dyn Suite, rng: &mut SimRng) -> (Key<role::Signing>, VerifyingKey) {
    let (secret, public) = suite.signing_pair(rng).unwrap();
    (Key::new(secret), public)
}

/// Both sides with certificates of one issuer, the user's for `member`, from 500 to 2000.
fn certified(suite: &dyn Suite, rng: &mut SimRng, member: &str) -> (Credential, Account) {
    let (issuer, root) = signing(suite, rng);
    let mut side = |holder: &str| {
        let (secret, public) = signing(suite, rng);
        let certificate = issue(suite, &issuer, name(holder), public, WallClock(500), WallClock(2_000)).unwrap();
        PublicKey::new(Identity::certified(secret, &certificate).unwrap(), Trust::Issuer(root))
    };
    (Credential::PublicKey(side(member)), Account::PublicKey(side("leader")))
}

fn conforms(suite: &Arc<dyn Suite>, rng: &mut SimRng, way: &str, (credential, account): &(Credential, Account)) {
    let found = check(&Pair { credential, account, scene: scene(&**suite) }, suite, rng);
    assert_eq!(found, Ok(()), "{way} over {suite:?}");
}

#[test]
fn the_way_by_shared_key_conforms() {
    let mut rng = SimRng::new(1);
    for suite in suites() {
        let length = suite.sizes().long_term;
        let way = SharedKey::new(Key::new(suite.fresh_secret(&mut rng, length).unwrap()));
        let pair = (Credential::SharedKey(way.clone()), Account::SharedKey(way.clone()));
        conforms(&suite, &mut rng, "shared key", &pair);
        let way = way.without_forward_secrecy();
        conforms(&suite, &mut rng, "no exchange", &(Credential::SharedKey(way.clone()), Account::SharedKey(way)));
    }
}

#[test]
fn both_sides_must_agree_beforehand_whether_shares_are_exchanged() {
    let suite = aes_128_gcm();
    let (mut rng, scene) = (SimRng::new(1), scene(&*suite));
    let with = SharedKey::new(Key::new(Secret::new(&[7; 32])));
    let without = with.clone().without_forward_secrecy();
    let (n1, n2) = (Nonce::new(&[1; 16]).unwrap(), Nonce::new(&[2; 16]).unwrap());
    for (one, other) in [(with.clone(), without.clone()), (without, with)] {
        let (request, _) = Credential::SharedKey(one).ask(&scene, &n1, &mut rng).unwrap();
        let answered = Account::SharedKey(other).answer(&scene, &n1, &n2, &request, &mut rng);
        assert_eq!(answered.err(), Some(Reason::Violation));
    }
}

#[test]
fn the_way_by_public_keys_conforms() {
    let mut rng = SimRng::new(1);
    for suite in suites() {
        let (member, leader) = (signing(&*suite, &mut rng), signing(&*suite, &mut rng));
        let credential = Credential::PublicKey(PublicKey::new(Identity::known(member.0), Trust::Key(leader.1)));
        let account = Account::PublicKey(PublicKey::new(Identity::known(leader.0), Trust::Key(member.1)));
        conforms(&suite, &mut rng, "public keys", &(credential, account));
    }
}

#[test]
fn the_way_by_certificates_conforms() {
    let mut rng = SimRng::new(1);
    for suite in suites() {
        let pair = certified(&*suite, &mut rng, "alice");
        conforms(&suite, &mut rng, "certificates", &pair);
    }
}

/// What the leader, and then the user, says of a login at another time than the certificates were made for.
fn at(wall: Option<WallClock>, member: &str) -> (Option<Reason>, Option<Reason>) {
    let suite = chacha20_poly1305();
    let mut rng = SimRng::new(1);
    let (credential, account) = certified(&*suite, &mut rng, member);
    let (n1, n2) = (Nonce::new(&[1; 16]).unwrap(), Nonce::new(&[2; 16]).unwrap());
    let (good, other) = (scene(&*suite), Scene { wall, ..scene(&*suite) });
    let (request, asked) = credential.ask(&good, &n1, &mut rng).unwrap();
    let refused = account.answer(&other, &n1, &n2, &request, &mut rng).err();
    let answer = account.answer(&good, &n1, &n2, &request, &mut rng);
    (refused, answer.ok().and_then(|(answer, _)| asked.finish(&other, &n2, &answer).err()))
}

#[test]
fn a_certificate_holds_for_its_name_and_its_time_on_both_sides() {
    for good in [500, 1_000, 2_000] {
        assert_eq!(at(Some(WallClock(good)), "alice"), (None, None));
    }
    for bad in [None, Some(WallClock(499)), Some(WallClock(2_001))] {
        assert_eq!(at(bad, "alice"), (Some(Reason::Violation), Some(Reason::Violation)), "{bad:?}");
    }
    assert_eq!(at(Some(WallClock(1_000)), "bob").0, Some(Reason::Violation));
}

#[test]
fn a_certificate_of_another_issuer_is_refused() {
    let suite = aes_256_gcm();
    let mut rng = SimRng::new(1);
    let ((credential, _), (_, account)) =
        (certified(&*suite, &mut rng, "alice"), certified(&*suite, &mut rng, "alice"));
    let (n1, n2) = (Nonce::new(&[1; 16]).unwrap(), Nonce::new(&[2; 16]).unwrap());
    let scene = scene(&*suite);
    let (request, _) = credential.ask(&scene, &n1, &mut rng).unwrap();
    assert_eq!(account.answer(&scene, &n1, &n2, &request, &mut rng).err(), Some(Reason::Forged));
}

#[cfg(feature = "opaque")]
mod opaque {
    use sodality::crypto::opaque::{Enrolment, OpaqueServer};
    use sodality::crypto::password::Cost;
    use sodality::enclaves::auth::opaque::{OpaqueAccount, Password};

    use super::*;

    fn enrolled(server: &OpaqueServer, password: &[u8], rng: &mut SimRng) -> OpaqueAccount {
        let (leader, member) = (name("leader"), name("alice"));
        let (request, enrolment) = Enrolment::start(password, rng).unwrap();
        let answer = server.answer_enrolment(member, &request).unwrap();
        let upload = enrolment.finish(Cost::CHEAP, leader, member, &answer).unwrap();
        OpaqueAccount::new(server.clone(), OpaqueServer::record(&upload).unwrap())
    }

    #[test]
    fn the_way_by_opaque_conforms() {
        let mut rng = SimRng::new(1);
        for suite in suites() {
            let server = OpaqueServer::generate(&mut rng).unwrap();
            let account = Account::Opaque(enrolled(&server, b"hunter2", &mut rng));
            let credential = Credential::Opaque(Password::new(b"hunter2", Cost::CHEAP).unwrap());
            conforms(&suite, &mut rng, "opaque", &(credential, account));
        }
    }

    /// Another password and no record at all end alike at the user, and look alike to it.
    #[test]
    fn a_wrong_password_and_no_such_user_are_alike() {
        let (suite, mut rng) = (aes_128_gcm(), SimRng::new(1));
        let server = OpaqueServer::generate(&mut rng).unwrap();
        let restored = OpaqueServer::from_bytes(server.to_secret().expose()).unwrap();
        let scene = scene(&*suite);
        let (n1, n2) = (Nonce::new(&[1; 16]).unwrap(), Nonce::new(&[2; 16]).unwrap());
        let wrong = Credential::Opaque(Password::new(b"hunter3", Cost::CHEAP).unwrap());
        let known = enrolled(&server, b"hunter2", &mut rng);
        for account in [known, OpaqueAccount::stranger(restored)] {
            let (request, asked) = wrong.ask(&scene, &n1, &mut rng).unwrap();
            let (answer, answered) = Account::Opaque(account).answer(&scene, &n1, &n2, &request, &mut rng).unwrap();
            assert_eq!(answer.len(), 320);
            assert_eq!(asked.finish(&scene, &n2, &answer).err(), Some(Reason::Forged));
            assert_eq!(answered.confirm(&[0; 64]).err(), Some(Reason::Forged));
        }
    }
}
