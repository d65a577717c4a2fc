//! Digests, codes, derivations, fresh values.

use alloc::format;
use alloc::vec::Vec;

use super::{Counted, Outcome, derive_key, done, each_bit, ensure, forged, longer, made, pattern, shorter};
use crate::crypto::{BoxNumber, FreshError, Purpose, Secret, Suite, SuiteError};
use crate::endpoint::{Entropy, EntropyError};
use crate::wire::field::{Digest, Nonce, Share, Signature, Tag, VerifyingKey};

/// Shortest secret, digest or tag of a suite, in bytes (8 in the historic suite).
const SHORTEST: usize = 8;

pub(super) fn sizes(suite: &dyn Suite, rng: &mut dyn Entropy) -> Outcome {
    let sizes = suite.sizes();
    let limits = [
        ("long_term", sizes.long_term, usize::MAX),
        ("group_key", sizes.group_key, usize::MAX),
        ("nonce", sizes.nonce, Nonce::MAX),
        ("mac", sizes.mac, Tag::MAX),
        ("aead_tag", sizes.aead_tag, Tag::MAX),
        ("digest", sizes.digest, Digest::MAX),
        ("share", sizes.share, Share::MAX),
        ("verifying_key", sizes.verifying_key, VerifyingKey::MAX),
        ("signature", sizes.signature, Signature::MAX),
    ];
    for (name, size, max) in limits {
        ensure((SHORTEST..=max).contains(&size), &format!("{name} has {size} bytes"))?;
    }
    ensure(suite.sizes() == sizes && suite.id() == suite.id(), "two answers differ")?;

    let prk = derive_key(suite, rng)?;
    let mac_key = done(suite.expand(&prk, &[b"mac"], Purpose::Mac), "expand")?;
    let box_key = done(suite.expand(&prk, &[b"box"], Purpose::Aead), "expand")?;
    let (signing, public) = made(suite.signing_pair(rng), "a signature pair")?;
    let (_, share) = made(suite.agreement_pair(rng), "an agreement pair")?;
    let made = [
        ("mac", done(suite.mac(&mac_key, &[b"text"]), "mac")?.as_bytes().len(), sizes.mac),
        ("digest", done(suite.hash(&[b"text"]), "hash")?.as_bytes().len(), sizes.digest),
        ("share", share.as_bytes().len(), sizes.share),
        ("verifying_key", public.as_bytes().len(), sizes.verifying_key),
        ("signature", done(suite.sign(&signing, &[b"text"]), "sign")?.as_bytes().len(), sizes.signature),
        (
            "aead_tag",
            done(suite.seal(&box_key, BoxNumber::ONLY, b"", &mut [0; 5]), "seal")?.as_bytes().len(),
            sizes.aead_tag,
        ),
    ];
    made.into_iter()
        .try_for_each(|(name, found, stated)| ensure(found == stated, &format!("{name}: {found}, not {stated} bytes")))
}

pub(super) fn hash(suite: &dyn Suite, _rng: &mut dyn Entropy) -> Outcome {
    let mut seen = Vec::new();
    for length in [0, 1, 55, 56, 63, 64, 65, 127, 128, 1000] {
        let text = pattern(length);
        let whole = done(suite.hash(&[&text]), "hash")?;
        for cut in [0, 1, length / 2, length] {
            let (left, right) = text.split_at(cut.min(length));
            let parts = done(suite.hash(&[left, b"", right]), "hash")?;
            ensure(parts == whole, &format!("{length} bytes cut at {cut}: another digest"))?;
        }
        ensure(!seen.contains(&whole), &format!("{length} bytes: the digest of another text"))?;
        seen.push(whole);
    }
    ensure(done(suite.hash(&[]), "hash")? == done(suite.hash(&[b""]), "hash")?, "no part is not an empty part")?;
    let text = pattern(70);
    let whole = done(suite.hash(&[&text]), "hash")?;
    each_bit(&text, |changed, bit| {
        ensure(done(suite.hash(&[changed]), "hash")? != whole, &format!("bit {bit} does not matter"))
    })
}

pub(super) fn hasher(suite: &dyn Suite, _rng: &mut dyn Entropy) -> Outcome {
    let text = pattern(300);
    let whole = done(suite.hash(&[&text]), "hash")?;
    for piece in [1, 7, 64, 300] {
        let mut hasher = done(suite.hasher(), "hasher")?;
        text.chunks(piece).for_each(|piece| hasher.update(piece));
        ensure(done(hasher.finish(), "finish")? == whole, &format!("pieces of {piece}: not the digest of the whole"))?;
    }
    let empty = done(done(suite.hasher(), "hasher")?.finish(), "finish")?;
    ensure(empty == done(suite.hash(&[]), "hash")?, "fed nothing: not the digest of nothing")?;

    let (left, right) = text.split_at(100);
    let mut first = done(suite.hasher(), "hasher")?;
    first.update(left);
    let mut fork = first.fork();
    first.update(b"elsewhere");
    fork.update(right);
    ensure(done(fork.finish(), "finish")? == whole, "a fork does not go on from where it was made")?;
    let elsewhere = done(suite.hash(&[left, b"elsewhere"]), "hash")?;
    ensure(done(first.finish(), "finish")? == elsewhere, "a fork disturbs what it was made from")
}

pub(super) fn extract(suite: &dyn Suite, _rng: &mut dyn Entropy) -> Outcome {
    let length = suite.sizes().long_term;
    let material = Secret::new(&pattern(length));
    let right = done(suite.extract(b"salt", &[&material]), "extract")?;
    ensure(suite.same(&right, &done(suite.extract(b"salt", &[&material]), "extract")?), "not a function")?;
    let (left, rest) = material.expose().split_at(length / 2);
    let parts = [&Secret::new(left), &Secret::new(rest)];
    ensure(
        suite.same(&right, &done(suite.extract(b"salt", &parts), "extract")?),
        "the material is not taken as a concatenation",
    )?;
    for salt in [&b""[..], b"sal", b"salt2", &[0x55; 100]] {
        let other = done(suite.extract(salt, &[&material]), "extract")?;
        ensure(!suite.same(&right, &other), "the salt does not matter")?;
    }
    each_bit(material.expose(), |changed, bit| {
        let other = done(suite.extract(b"salt", &[&Secret::new(changed)]), "extract")?;
        ensure(!suite.same(&right, &other), &format!("bit {bit} of the material does not matter"))
    })
}

pub(super) fn expand(suite: &dyn Suite, rng: &mut dyn Entropy) -> Outcome {
    let prk = derive_key(suite, rng)?;
    for purpose in [Purpose::Mac, Purpose::Aead, Purpose::Derive] {
        let right = done(suite.expand(&prk, &[b"label", b"info"], purpose), "expand")?;
        ensure(right.len() >= SHORTEST, "too short")?;
        let joined = done(suite.expand(&prk, &[b"labelinfo"], purpose), "expand")?;
        ensure(suite.same(&right, &joined), "the info is not taken as a concatenation")?;
        for info in [&b""[..], b"label", b"labelinfo2", b"info", &[0x55; 200]] {
            let other = done(suite.expand(&prk, &[info], purpose), "expand")?;
            ensure(!suite.same(&right, &other), &format!("{purpose:?}: the info does not matter"))?;
        }
        each_bit(prk.expose(), |changed, bit| {
            let other = done(suite.expand(&Secret::new(changed), &[b"labelinfo"], purpose), "expand")?;
            ensure(!suite.same(&right, &other), &format!("bit {bit} of the key does not matter"))
        })?;
        // Each serves its purpose.
        match purpose {
            Purpose::Mac => done(suite.mac(&right, &[]), "a derived key for codes").map(drop)?,
            Purpose::Aead => done(suite.aead(&right), "a derived key for boxes").map(drop)?,
            Purpose::Derive => done(suite.expand(&right, &[], purpose), "a derived key to derive from").map(drop)?,
        }
    }
    Ok(())
}

fn mac_key(suite: &dyn Suite, rng: &mut dyn Entropy) -> Result<Secret, alloc::string::String> {
    let prk = derive_key(suite, rng)?;
    done(suite.expand(&prk, &[b"mac"], Purpose::Mac), "expand")
}

pub(super) fn mac(suite: &dyn Suite, rng: &mut dyn Entropy) -> Outcome {
    let key = mac_key(suite, rng)?;
    for length in [0, 1, 63, 64, 65, 200] {
        let text = pattern(length);
        let tag = done(suite.mac(&key, &[&text]), "mac")?;
        let (left, right) = text.split_at(length / 3);
        ensure(done(suite.mac(&key, &[left, right]), "mac")? == tag, "the parts are not taken as a concatenation")?;
        ensure(suite.verify_mac(&key, &[&text], &tag).is_ok(), &format!("{length} bytes: does not verify"))?;
        ensure(suite.verify_mac(&key, &[left, right], &tag).is_ok(), &format!("{length} bytes: does not verify cut"))?;
    }
    Ok(())
}

pub(super) fn mac_refuses(suite: &dyn Suite, rng: &mut dyn Entropy) -> Outcome {
    let key = mac_key(suite, rng)?;
    let text = pattern(70);
    let tag = done(suite.mac(&key, &[&text]), "mac")?;
    let verify = |key: &[u8], text: &[u8], tag: &[u8], what: &str| {
        // What is longer than any tag can be never comes to a suite.
        Tag::new(tag).map_or(Ok(()), |tag| forged(suite.verify_mac(&Secret::new(key), &[text], &tag), what))
    };
    each_bit(&text, |text, bit| verify(key.expose(), text, tag.as_bytes(), &format!("bit {bit} of the text")))?;
    each_bit(key.expose(), |key, bit| verify(key, &text, tag.as_bytes(), &format!("bit {bit} of the key")))?;
    each_bit(tag.as_bytes(), |tag, bit| verify(key.expose(), &text, tag, &format!("bit {bit} of the tag")))?;
    verify(key.expose(), shorter(&text), tag.as_bytes(), "a shorter text")?;
    verify(key.expose(), &longer(&text), tag.as_bytes(), "a longer text")?;
    verify(key.expose(), &text, shorter(tag.as_bytes()), "a shorter tag")?;
    verify(key.expose(), &text, &longer(tag.as_bytes()), "a longer tag")?;
    verify(key.expose(), &text, &[], "no tag")
}

pub(super) fn fresh(suite: &dyn Suite, rng: &mut dyn Entropy) -> Outcome {
    let mut rng = Counted { inner: rng, requests: 0, refuse: false };
    for length in [16, 24, 32, suite.sizes().long_term, suite.sizes().group_key] {
        let first = made(suite.fresh_secret(&mut rng, length), "a fresh secret")?;
        let second = made(suite.fresh_secret(&mut rng, length), "a fresh secret")?;
        ensure(first.len() == length, &format!("{} bytes, not {length}", first.len()))?;
        ensure(!suite.same(&first, &second), "the same secret twice")?;
    }
    ensure(rng.requests == 10, "a fresh secret is not one request")?;
    let (first, second) = (suite.signing_pair(&mut rng), suite.signing_pair(&mut rng));
    let (first, second) = (made(first, "a signature pair")?, made(second, "a signature pair")?);
    ensure(!suite.same(&first.0, &second.0) && first.1 != second.1, "the same signature pair twice")?;
    ensure(rng.requests == 12, "a signature pair is not one request")?;
    let (first, second) = (suite.agreement_pair(&mut rng), suite.agreement_pair(&mut rng));
    let (first, second) = (made(first, "an agreement pair")?, made(second, "an agreement pair")?);
    ensure(!suite.same(&first.0, &second.0) && first.1 != second.1, "the same agreement pair twice")?;
    ensure(rng.requests == 14, "an agreement pair is not one request")
}

pub(super) fn entropy_fails(suite: &dyn Suite, rng: &mut dyn Entropy) -> Outcome {
    let mut rng = Counted { inner: rng, requests: 0, refuse: true };
    let failed = FreshError::Entropy(EntropyError);
    ensure(suite.fresh_secret(&mut rng, 32).err() == Some(failed), "a fresh secret without entropy")?;
    ensure(suite.signing_pair(&mut rng).err() == Some(failed), "a signature pair without entropy")?;
    ensure(suite.agreement_pair(&mut rng).err() == Some(failed), "an agreement pair without entropy")
}

pub(super) fn same(suite: &dyn Suite, _rng: &mut dyn Entropy) -> Outcome {
    let bytes = pattern(32);
    let secret = Secret::new(&bytes);
    ensure(suite.same(&secret, &Secret::new(&bytes)), "equal secrets are not the same")?;
    ensure(!suite.same(&secret, &Secret::new(shorter(&bytes))), "a prefix is the same")?;
    ensure(!suite.same(&secret, &Secret::new(&[])), "nothing is the same")?;
    each_bit(&bytes, |changed, bit| {
        ensure(!suite.same(&secret, &Secret::new(changed)), &format!("bit {bit} does not matter"))
    })
}

pub(super) fn key_lengths(suite: &dyn Suite, rng: &mut dyn Entropy) -> Outcome {
    let prk = derive_key(suite, rng)?;
    let aead = done(suite.expand(&prk, &[b"box"], Purpose::Aead), "expand")?;
    let tag = done(suite.seal(&aead, BoxNumber::ONLY, b"", &mut [0]), "seal")?;
    let mac = mac_key(suite, rng)?;
    let (signing, _) = made(suite.signing_pair(rng), "a signature pair")?;
    let (agreement, share) = made(suite.agreement_pair(rng), "an agreement pair")?;
    let wrong =
        |right: &Secret| [Secret::new(&[]), Secret::new(shorter(right.expose())), Secret::new(&longer(right.expose()))];
    for key in wrong(&aead) {
        let length = key.len();
        ensure(suite.aead(&key).is_err(), &format!("a key for boxes of {length} bytes"))?;
        ensure(suite.seal(&key, BoxNumber::ONLY, b"", &mut [0]).is_err(), &format!("sealing with {length} bytes"))?;
        let opened = suite.open(&key, BoxNumber::ONLY, b"", &mut [0], &tag);
        ensure(
            opened == Err(SuiteError.into()),
            &format!("opening with a key of {length} bytes is no error of the suite"),
        )?;
    }
    for key in wrong(&mac) {
        ensure(suite.mac(&key, &[]).is_err(), &format!("a key for codes of {} bytes", key.len()))?;
    }
    for key in wrong(&signing) {
        ensure(suite.sign(&key, &[]).is_err(), &format!("a signature key of {} bytes", key.len()))?;
    }
    for key in wrong(&agreement) {
        let found = suite.agree(&key, &share).err();
        ensure(found == Some(SuiteError.into()), &format!("an exchange with {} bytes", key.len()))?;
    }
    wrong(&prk).iter().try_for_each(|key| {
        ensure(suite.expand(key, &[], Purpose::Mac).is_err(), &format!("derived from {} bytes", key.len()))
    })
}

pub(super) fn debug(suite: &dyn Suite, rng: &mut dyn Entropy) -> Outcome {
    let prk = derive_key(suite, rng)?;
    let key = done(suite.expand(&prk, &[b"box"], Purpose::Aead), "expand")?;
    let mut hasher = done(suite.hasher(), "hasher")?;
    hasher.update(key.expose());
    let aead = done(suite.aead(&key), "aead")?;
    for shown in [format!("{suite:?}"), format!("{aead:?}"), format!("{hasher:?}"), format!("{key:?}")] {
        ensure(!shows(&shown, key.expose()), "a secret is printed")?;
    }
    Ok(())
}

/// Whether `shown` has any four bytes of `secret` in a row, as numbers or in hexadecimal.
fn shows(shown: &str, secret: &[u8]) -> bool {
    let shown = shown.to_lowercase();
    secret.windows(4).any(|run| {
        let hex: alloc::string::String = run.iter().map(|byte| format!("{byte:02x}")).collect();
        let list: Vec<_> = run.iter().map(|byte| format!("{byte}")).collect();
        shown.contains(&hex) || shown.contains(&list.join(", "))
    })
}
