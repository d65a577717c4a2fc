//! R32: no freed block holds a secret. An allocator looks into each block that is given back. It also counts, to show
//! that sealing and opening with a prepared key allocate nothing.
//!
//! The stack is out of its reach, and so are round keys other than those that equal the key.
#![cfg(all(feature = "sim", feature = "rustcrypto"))]
#![allow(unsafe_code)]
#![allow(clippy::indexing_slicing)] // Helpers of tests, outside of test functions.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::sync::Arc;

use sodality::crypto::{
    BoxNumber, Key, Purpose, Secret, Suite, aes_128_gcm, aes_256_gcm, chacha20_poly1305, keys::role, symbolic::symbolic,
};
use sodality::endpoint::{Entropy, EntropyError};

/// The longest secret that is looked for, in bytes.
const LONGEST: usize = 64;

thread_local! {
    // Of this thread alone, so that tests do not disturb each other; without destructors, so that they need no memory.
    static WANTED: Cell<[u8; LONGEST]> = const { Cell::new([0; LONGEST]) };
    static LENGTH: Cell<usize> = const { Cell::new(0) };
    static FOUND: Cell<usize> = const { Cell::new(0) };
    static MADE: Cell<usize> = const { Cell::new(0) };
}

struct Searching;

// SAFETY: all memory comes from `System`, under its own rules; `realloc` is the default one, made of these two.
unsafe impl GlobalAlloc for Searching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = MADE.try_with(|made| made.set(made.get() + 1));
        // Zeroed, so that a whole block can be read when it is freed.
        // SAFETY: the caller keeps the rules of `alloc`, which are those of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let length = LENGTH.try_with(Cell::get).unwrap_or(0);
        if length > 0 && layout.size() >= length {
            let wanted = WANTED.with(Cell::get);
            // SAFETY: the block is still ours, and was zeroed when it was made.
            let bytes = unsafe { std::slice::from_raw_parts(block, layout.size()) };
            if bytes.windows(length).any(|window| window == &wanted[..length]) {
                FOUND.with(|found| found.set(found.get() + 1));
            }
        }
        // SAFETY: as the caller's.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Searching = Searching;

/// How many blocks that held `secret` were freed while `run` ran.
fn found<T>(secret: &[u8], run: impl FnOnce() -> T) -> usize {
    let mut wanted = [0; LONGEST];
    wanted[..secret.len()].copy_from_slice(secret);
    WANTED.with(|cell| cell.set(wanted));
    FOUND.with(|found| found.set(0));
    LENGTH.with(|length| length.set(secret.len()));
    drop(black_box(run()));
    LENGTH.with(|length| length.set(0));
    FOUND.with(Cell::get)
}

/// A secret of `length` bytes that nothing else looks like; on the stack.
fn bytes(length: usize) -> ([u8; LONGEST], usize) {
    let mut bytes = [0; LONGEST];
    bytes.iter_mut().enumerate().for_each(|(at, byte)| *byte = (at as u8).wrapping_mul(37) ^ 0xC3);
    (bytes, length)
}

struct Gives<'a>(&'a [u8]);

impl Entropy for Gives<'_> {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        out.copy_from_slice(self.0);
        Ok(())
    }
}

fn suites() -> Vec<Arc<dyn Suite>> {
    vec![
        aes_128_gcm(),
        aes_256_gcm(),
        chacha20_poly1305(),
        symbolic().silent(),
        #[cfg(feature = "insecure-null")]
        sodality::crypto::null::insecure_null(),
    ]
}

#[test]
fn the_search_finds_what_is_not_wiped() {
    let (all, length) = bytes(32);
    let secret = &all[..length];
    assert_eq!(found(secret, || secret.to_vec()), 1);
    assert_eq!(found(secret, || [&[1, 2, 3], secret, &[4]].concat()), 1, "inside a block");
    assert_eq!(found(secret, || Box::new(<[u8; 32]>::try_from(secret).unwrap())), 1);
    let grown = found(secret, || {
        let mut grown = secret.to_vec();
        grown.reserve_exact(4096);
        grown.fill(0);
        grown
    });
    assert_eq!(grown, 1, "what growing left behind");
    assert_eq!(found(secret, || secret[..31].to_vec()), 0, "a part is not the whole");
}

#[test]
fn secrets_and_keys_are_wiped() {
    let (all, length) = bytes(32);
    let secret = &all[..length];
    assert_eq!(found(secret, || Secret::new(secret)), 0);
    assert_eq!(found(secret, || Secret::new(secret).clone()), 0);
    assert_eq!(found(secret, || Key::<role::Group>::new(Secret::new(secret)).clone()), 0);
    assert_eq!(found(secret, || (0..9).map(|_| Key::<role::Session>::new(Secret::new(secret))).collect::<Vec<_>>()), 0);
    assert_eq!(found(secret, || Box::new(Secret::new(secret))), 0);
    let failed = found(secret, || {
        Secret::filled(32, |out| {
            out.copy_from_slice(secret);
            Err(EntropyError)
        })
    });
    assert_eq!(failed, 0, "a draw that fails late");
}

#[test]
fn suites_wipe_the_keys_that_they_use() {
    let (all, length) = bytes(32);
    let secret = &all[..length];
    for suite in suites() {
        let key = || Secret::new(secret);
        let clean = |run: &dyn Fn(), what: &str| assert_eq!(found(secret, run), 0, "{suite:?}: {what}");
        let (_, share) = suite.agreement_pair(&mut Gives(&[9; 32])).unwrap();
        let tag = suite.mac(&key(), &[b"text"]).unwrap();
        clean(&|| drop(suite.extract(b"salt", &[&key(), &key()]).unwrap()), "extract");
        clean(&|| drop(suite.extract(secret, &[&key()]).unwrap()), "extract with it as salt");
        clean(&|| drop(suite.expand(&key(), &[b"info"], Purpose::Mac).unwrap()), "expand");
        clean(&|| _ = suite.mac(&key(), &[b"text"]).unwrap(), "mac");
        clean(&|| suite.verify_mac(&key(), &[b"text"], &tag).unwrap(), "verify_mac");
        clean(&|| drop(suite.fresh_secret(&mut Gives(secret), 32).unwrap()), "fresh_secret");
        clean(&|| drop(suite.signing_pair(&mut Gives(secret)).unwrap()), "signing_pair");
        clean(&|| _ = suite.sign(&key(), &[b"text"]).unwrap(), "sign");
        clean(&|| _ = suite.sign(&Secret::new(&[5; 32]), &[secret]).unwrap(), "sign a secret");
        clean(&|| drop(suite.agreement_pair(&mut Gives(secret)).unwrap()), "agreement_pair");
        clean(&|| drop(suite.agree(&key(), &share).unwrap()), "agree");
        clean(&|| _ = suite.hash(&[secret]).unwrap(), "hash");
        let fed = || {
            let mut hasher = suite.hasher().unwrap();
            hasher.update(secret);
            hasher
        };
        clean(&|| drop(fed()), "a hasher that is dropped");
        clean(&|| drop(fed().fork()), "a fork that is dropped");
        clean(&|| _ = fed().finish().unwrap(), "a hasher that is finished");
    }
}

#[test]
fn suites_wipe_what_they_derive() {
    for suite in suites() {
        let prk = Secret::new(&[3; 32]);
        let (secret, share) = suite.agreement_pair(&mut Gives(&[4; 32])).unwrap();
        let makers: [(&str, &dyn Fn() -> Secret); 5] = [
            ("extract", &|| suite.extract(b"salt", &[&prk]).unwrap()),
            ("expand to a mac key", &|| suite.expand(&prk, &[b"info"], Purpose::Mac).unwrap()),
            ("expand to a box key", &|| suite.expand(&prk, &[b"info"], Purpose::Aead).unwrap()),
            ("expand to derive from", &|| suite.expand(&prk, &[b"info"], Purpose::Derive).unwrap()),
            ("agree", &|| suite.agree(&secret, &share).unwrap()),
        ];
        for (what, make) in makers {
            let mut copy = [0; LONGEST];
            let length = {
                let made = make();
                copy[..made.len()].copy_from_slice(made.expose());
                made.len()
            };
            assert_eq!(found(&copy[..length], make), 0, "{suite:?}: {what}");
        }
    }
}

#[test]
fn prepared_keys_are_wiped() {
    for suite in suites() {
        let long = suite.expand(&Secret::new(&[3; 32]), &[], Purpose::Aead).unwrap().len();
        let (all, length) = bytes(long);
        let secret = &all[..length];
        let number = BoxNumber::ONLY;
        let used = found(secret, || {
            let prepared = suite.aead(&Secret::new(secret)).unwrap();
            let mut text = *b"some text";
            let tag = prepared.seal(number, b"data", &mut text).unwrap();
            prepared.open(number, b"data", &mut text, &tag).unwrap();
            assert!(prepared.open(number, b"other", &mut text, &tag).is_err());
        });
        assert_eq!(used, 0, "{suite:?}: a prepared key");
        let one_shot = found(secret, || {
            let key = Secret::new(secret);
            let mut text = *b"some text";
            let tag = suite.seal(&key, number, b"data", &mut text).unwrap();
            suite.open(&key, number, b"data", &mut text, &tag).unwrap();
            assert!(suite.open(&key, number, b"other", &mut text, &tag).is_err());
        });
        assert_eq!(one_shot, 0, "{suite:?}: a box in one shot");
    }
}

#[test]
fn prepared_keys_allocate_nothing() {
    let number = BoxNumber { domain: 1, counter: 2 };
    // All but the suites of terms, whose boxes are for searches.
    for suite in [aes_128_gcm(), aes_256_gcm(), chacha20_poly1305()] {
        let key = suite.expand(&Secret::new(&[3; 32]), &[], Purpose::Aead).unwrap();
        let prepared = suite.aead(&key).unwrap();
        let mut text = [7; 5000];
        let before = MADE.with(Cell::get);
        let tag = prepared.seal(number, b"data", &mut text).unwrap();
        prepared.open(number, b"data", &mut text, &tag).unwrap();
        assert!(prepared.open(number, b"other", &mut text, &tag).is_err());
        assert_eq!(MADE.with(Cell::get), before, "{suite:?}");
        drop(black_box(Box::new(1)));
        assert_eq!(MADE.with(Cell::get), before + 1, "the count counts");
    }
}

#[test]
#[cfg(feature = "historic")]
fn published_suites_wipe_keys_and_texts() {
    use sodality::crypto::published::{Modern, PublishedSuite, des_md5_rsa};
    use sodality::identity::NameRef;

    let name = NameRef::new("alice").unwrap();
    let modern: [Arc<dyn PublishedSuite>; 3] = [aes_128_gcm(), aes_256_gcm(), chacha20_poly1305()]
        .map(|suite| Arc::new(Modern::new(suite)) as Arc<dyn PublishedSuite>);
    for suite in modern.into_iter().chain([des_md5_rsa()]) {
        let (all, length) = bytes(suite.sizes().key);
        let secret = &all[..length];
        let key = || Secret::new(secret);
        let mut sealed = bytes::BytesMut::new();
        let mut rng = [3; 12];
        let front = if length == 8 { &mut rng[..8] } else { &mut rng[..] };
        // The key as the text: what is sealed in these protocols is keys.
        suite.encrypt(&mut Gives(front), &key(), secret, &mut sealed).unwrap();
        let clean = |run: &dyn Fn(), what: &str| assert_eq!(found(secret, run), 0, "{suite:?}: {what}");
        clean(&|| drop(suite.fresh_key(&mut Gives(secret)).unwrap()), "fresh_key");
        clean(&|| drop(suite.name_under(&key(), name, name).unwrap()), "name_under");
        clean(&|| drop(suite.xor(&key(), &Secret::new(&[0; 32][..length])).unwrap()), "xor");
        clean(&|| assert!(suite.mac(&key(), &[b"text"]).is_ok()), "mac");
        clean(&|| drop(suite.decrypt(&key(), &sealed).unwrap()), "decrypt");
        let mut short = sealed.to_vec();
        short.truncate(sealed.len() - 8);
        clean(&|| drop(suite.decrypt(&key(), &short)), "decrypt what is cut");
        let sealing = || suite.encrypt(&mut Gives(front), &key(), secret, &mut bytes::BytesMut::new()).unwrap();
        assert_eq!(found(secret, sealing), 0, "{suite:?}: encrypt");
    }
}

/// Only the copies that are made here, with the highest byte first. The `rsa` crate leaves the limbs of both primes in freed
/// memory each time it makes a key or a signature (SECURITY.md).
#[test]
#[cfg(feature = "historic")]
fn bytes_of_rsa_keys_are_wiped() {
    struct Sevens;

    impl Entropy for Sevens {
        fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
            out.fill(7);
            Ok(())
        }
    }

    let suite = sodality::crypto::published::des_md5_rsa();
    let (secret, _) = suite.signing_pair(&mut Sevens).unwrap();
    for prime in secret.expose().chunks(64) {
        assert_eq!(found(prime, || suite.sign(&mut Sevens, &secret, &[b"text"]).unwrap()), 0);
        assert_eq!(found(prime, || suite.signing_pair(&mut Sevens).unwrap()), 0);
    }
}
