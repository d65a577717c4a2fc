//! The suites of the published edition on generated keys, names and texts: what D2 to D10 promise, and what a cipher without
//! authentication does not.
#![cfg(all(feature = "historic", feature = "rustcrypto"))]
#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing)] // Helpers of tests, outside of test functions.

#[path = "support/fixed.rs"]
mod fixed;

use std::sync::Arc;

use bytes::BytesMut;
use fixed::Fixed;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use sodality::crypto::published::{Modern, PublishedSuite, des_md5_rsa};
use sodality::crypto::{Secret, VerifyError, aes_128_gcm, aes_256_gcm, chacha20_poly1305};
use sodality::identity::{Name, NameRef};
use sodality::wire::field::Tag;

/// The same cases on each run.
fn config() -> Config {
    Config { cases: 256, rng_seed: RngSeed::Fixed(0x50DA), failure_persistence: None, ..Config::default() }
}

fn suites() -> [Arc<dyn PublishedSuite>; 4] {
    [
        des_md5_rsa(),
        Arc::new(Modern::new(aes_128_gcm())),
        Arc::new(Modern::new(aes_256_gcm())),
        Arc::new(Modern::new(chacha20_poly1305())),
    ]
}

fn modern() -> Modern {
    Modern::new(aes_128_gcm())
}

fn seal(suite: &dyn PublishedSuite, seed: u64, key: &Secret, text: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    suite.encrypt(&mut Fixed(seed), key, text, &mut out).unwrap();
    out.to_vec()
}

fn fresh(suite: &dyn PublishedSuite, seed: u64) -> Secret {
    suite.fresh_key(&mut Fixed(seed)).unwrap()
}

fn flip(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    changed[bit / 8 % bytes.len()] ^= 1 << (bit % 8);
    changed
}

/// PKCS#5 by its definition: 1 to 8 bytes, each saying how many.
fn without_padding(text: &[u8]) -> Option<&[u8]> {
    (1..=8).find(|count| text.ends_with(&vec![*count as u8; *count])).map(|count| &text[..text.len() - count])
}

/// Texts of whole blocks, most of which end in something like padding.
fn blocks() -> impl Strategy<Value = Vec<u8>> {
    (vec(any::<u8>(), 8..64), 0u8..10, 0usize..10).prop_map(|(mut text, byte, count)| {
        text.truncate(text.len() / 8 * 8);
        let from = text.len() - count.min(8);
        text[from..].fill(byte);
        text
    })
}

fn short_name() -> impl Strategy<Value = Name> {
    "[ -~]{1,8}".prop_map(|text| Name::new(&text).unwrap())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_is_sealed_opens(seed: u64, text in vec(any::<u8>(), 0..600)) {
        for suite in suites() {
            let key = fresh(&*suite, seed);
            let sealed = seal(&*suite, seed ^ 1, &key, &text);
            prop_assert!(sealed.len() <= text.len() + suite.sizes().sealing);
            prop_assert_eq!(&**suite.decrypt(&key, &sealed).unwrap(), &text[..]);
        }
    }

    #[test]
    fn padding_is_taken_by_its_definition_and_refused_with_one_error(seed: u64, text in blocks()) {
        let suite = des_md5_rsa();
        let key = fresh(&*suite, seed);
        let mut sealed = seal(&*suite, seed ^ 1, &key, &text);
        // Without its last block it ends with the last of the text, whatever that is.
        sealed.truncate(sealed.len() - 8);
        let opened = suite.decrypt(&key, &sealed).map(|opened| opened.to_vec());
        prop_assert_eq!(opened, without_padding(&text).map(<[u8]>::to_vec).ok_or(VerifyError::Forged));
    }

    #[test]
    fn whatever_comes_opens_or_is_forged(seed: u64, sealed in vec(any::<u8>(), 0..80)) {
        for suite in suites() {
            let opened = suite.decrypt(&fresh(&*suite, seed), &sealed);
            prop_assert!(opened.is_ok() || opened == Err(VerifyError::Forged));
            prop_assert!(opened.is_err() || (suite.sizes().key == 8 && sealed.len() % 8 == 0 && sealed.len() >= 16));
        }
    }

    #[test]
    fn an_authenticated_cipher_refuses_each_changed_bit(seed: u64, text in vec(any::<u8>(), 0..100), bit: usize) {
        let key = fresh(&modern(), seed);
        let sealed = seal(&modern(), seed ^ 1, &key, &text);
        prop_assert_eq!(modern().decrypt(&key, &flip(&sealed, bit)), Err(VerifyError::Forged));
    }

    /// X5: nobody notices, and the text changes where it was meant to.
    #[test]
    fn in_des_a_changed_bit_of_the_iv_changes_that_bit_of_the_text(seed: u64, text in vec(any::<u8>(), 8..100), bit in 0usize..64) {
        let suite = des_md5_rsa();
        let key = fresh(&*suite, seed);
        let sealed = seal(&*suite, seed ^ 1, &key, &text);
        prop_assert_eq!(&**suite.decrypt(&key, &flip(&sealed, bit)).unwrap(), &flip(&text, bit)[..]);
    }

    #[test]
    fn each_bit_of_a_text_matters_to_its_mac(seed: u64, text in vec(any::<u8>(), 1..300), bit: usize, cut: usize) {
        for suite in suites() {
            let key = fresh(&*suite, seed);
            let (left, right) = text.split_at(cut % text.len());
            let tag = suite.mac(&key, &[left, right]).unwrap();
            prop_assert_eq!(suite.verify_mac(&key, &[&text], &tag), Ok(()));
            prop_assert_eq!(suite.verify_mac(&key, &[&flip(&text, bit)], &tag), Err(VerifyError::Forged));
            let changed = Tag::new(&flip(tag.as_bytes(), bit)).unwrap();
            prop_assert_eq!(suite.verify_mac(&key, &[&text], &changed), Err(VerifyError::Forged));
        }
    }

    #[test]
    fn leader_and_member_come_to_one_pair_key(seed: u64, leader in short_name(), member in short_name()) {
        for suite in suites() {
            let (of_leader, of_member) = (fresh(&*suite, seed), fresh(&*suite, seed ^ 1));
            // The third party.
            let sigma = suite.name_under(&of_member, leader.by_ref(), member.by_ref()).unwrap();
            let mask = suite.name_under(&of_leader, member.by_ref(), leader.by_ref()).unwrap();
            let pi = suite.xor(&sigma, &mask).unwrap();
            // π ⊕ {A}_{K_SL} = {SL}_{K_A}
            prop_assert_eq!(suite.xor(&pi, &mask).unwrap().expose().to_vec(), sigma.expose().to_vec());
            prop_assert_eq!(suite.xor(&mask, &pi).unwrap().expose().to_vec(), sigma.expose().to_vec());
            prop_assert_eq!(suite.xor(&pi, &sigma).unwrap().expose().to_vec(), mask.expose().to_vec());
        }
    }

    #[test]
    fn names_longer_than_a_block_are_none_under_des(text in "\\PC{1,40}") {
        let suite = des_md5_rsa();
        let key = fresh(&*suite, 1);
        let (name, member) = (NameRef::new(&text).unwrap(), NameRef::new("alice").unwrap());
        let fits = text.len() <= 8;
        prop_assert_eq!(suite.admits(name), fits);
        prop_assert_eq!(suite.name_under(&key, name, member).is_ok(), fits);
        prop_assert_eq!(suite.name_under(&key, member, name).is_ok(), fits);
        prop_assert!(modern().admits(name) && modern().name_under(&fresh(&modern(), 1), name, member).is_ok());
    }

    #[test]
    fn different_names_have_different_keys(seed: u64, one in short_name(), other in short_name()) {
        prop_assume!(one != other);
        let member = NameRef::new("alice").unwrap();
        for suite in suites() {
            let key = fresh(&*suite, seed);
            let of = |name: &Name| suite.name_under(&key, name.by_ref(), member).unwrap();
            prop_assert_ne!(of(&one).expose().to_vec(), of(&other).expose().to_vec());
        }
        // Under a modern suite the owner is part of it as well; under DES, K says whose it is.
        let key = fresh(&modern(), seed);
        let of = |owner: &Name| modern().name_under(&key, member, owner.by_ref()).unwrap();
        prop_assert_ne!(of(&one).expose().to_vec(), of(&other).expose().to_vec());
    }

    #[test]
    fn signatures_bind_their_text(seed: u64, text in vec(any::<u8>(), 1..100), bit: usize) {
        // RSA pairs take long to make: one in 16.
        for suite in suites().into_iter().skip(usize::from(seed % 16 != 0)) {
            let (secret, public) = suite.signing_pair(&mut Fixed(seed)).unwrap();
            let signature = suite.sign(&mut Fixed(seed ^ 1), &secret, &[&text]).unwrap();
            prop_assert_eq!(suite.verify(&public, &[&text], &signature), Ok(()));
            prop_assert_eq!(suite.verify(&public, &[&flip(&text, bit)], &signature), Err(VerifyError::Forged));
        }
    }
}
