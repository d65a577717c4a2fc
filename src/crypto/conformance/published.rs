//! What every suite of the published edition must do (feature `historic` too).
//!
//! A cipher without authentication passes, so a changed `{x}_K` need not be refused; what has the wrong length must be.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use bytes::BytesMut;

use super::{Counted, Failed, Outcome, done, each_bit, ensure, flipped, forged, longer, made, pattern, shorter};
use crate::crypto::published::PublishedSuite;
use crate::crypto::symbolic::symbolic;
use crate::crypto::{FreshError, Secret, SuiteError, VerifyError};
use crate::endpoint::{Entropy, EntropyError};
use crate::identity::NameRef;
use crate::wire::field::{Nonce, Signature, Tag, VerifyingKey};
use crate::wire::published::MAX_SEALING;

/// A check by name.
pub type Check = (&'static str, fn(&dyn PublishedSuite, &mut dyn Entropy) -> Result<(), String>);

/// All checks. Each makes its own keys, and each can be run alone.
pub const CHECKS: &[Check] = &[
    ("sizes", sizes),
    ("names", names),
    ("pair key", pair_key),
    ("exclusive or", exclusive_or),
    ("weak keys", weak_keys),
    ("sealed opens", opens),
    ("sealed refuses lengths", refuses_lengths),
    ("sealed hides", hides),
    ("fixed vectors", fixed),
    ("fixed vectors differ", fixed_differs),
    ("mac", mac),
    ("mac refuses", mac_refuses),
    ("signatures verify", verifies),
    ("signatures refuse", refuses),
    ("fresh", fresh),
    ("entropy fails", entropy_fails),
    ("key lengths", key_lengths),
    ("long-term keys", long_term),
];

/// Runs all checks, up to the first that does not hold.
///
/// # Errors
/// [`Failed`]: that check.
pub fn check(suite: &dyn PublishedSuite, rng: &mut dyn Entropy) -> Result<(), Failed> {
    CHECKS.iter().try_for_each(|(name, run)| run(suite, rng).map_err(|found| Failed { check: name, found }))
}

fn name(text: &str) -> Result<NameRef<'_>, String> {
    NameRef::new(text).map_err(|error| format!("{text:?}: {error}"))
}

fn fresh_key(suite: &dyn PublishedSuite, rng: &mut dyn Entropy) -> Result<Secret, String> {
    made(suite.fresh_key(rng), "a fresh key")
}

fn seal(suite: &dyn PublishedSuite, rng: &mut dyn Entropy, key: &Secret, text: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = BytesMut::new();
    made(suite.encrypt(rng, key, text, &mut out), "encrypt")?;
    Ok(out.to_vec())
}

fn same(a: &Secret, b: &Secret) -> bool {
    a.same(b)
}

fn sizes(suite: &dyn PublishedSuite, rng: &mut dyn Entropy) -> Outcome {
    let sizes = suite.sizes();
    let limits = [
        ("key", sizes.key, 8, usize::MAX),
        ("nonce", sizes.nonce, 8, Nonce::MAX),
        ("mac", sizes.mac, 8, Tag::MAX),
        ("sealing", sizes.sealing, 1, MAX_SEALING),
        ("iv", sizes.iv, 8, Nonce::MAX),
    ];
    for (name, size, min, max) in limits {
        ensure((min..=max).contains(&size), &format!("{name} has {size} bytes"))?;
    }
    ensure(suite.sizes() == sizes && suite.id() == suite.id(), "two answers differ")?;
    let key = fresh_key(suite, rng)?;
    ensure(key.len() == sizes.key, "a fresh key has not its length")?;
    for length in [8, sizes.nonce, Nonce::MAX] {
        let nonce = made(suite.fresh_nonce(rng, length), "a fresh nonce")?;
        ensure(nonce.as_bytes().len() == length, "a fresh nonce has not its length")?;
    }
    for length in [0, 7, Nonce::MAX + 1] {
        let drawn = suite.fresh_nonce(rng, length);
        ensure(drawn == Err(FreshError::Suite(SuiteError)), &format!("a nonce of {length} bytes"))?;
    }
    ensure(done(suite.mac(&key, &[b"text"]), "mac")?.as_bytes().len() == sizes.mac, "a mac has not its length")
}

fn names(suite: &dyn PublishedSuite, rng: &mut dyn Entropy) -> Outcome {
    let key = fresh_key(suite, rng)?;
    let (leader, member) = (name("lead")?, name("alice")?);
    ensure(suite.admits(leader) && suite.admits(member), "short names are refused")?;
    let under = done(suite.name_under(&key, leader, member), "a name under a key")?;
    ensure(under.len() == suite.sizes().key, "a name under a key is no key")?;
    ensure(same(&under, &done(suite.name_under(&key, leader, member), "again")?), "not a function")?;
    for other in ["leae", "lea", "leadd", "Lead", "dael"] {
        let other = done(suite.name_under(&key, name(other)?, member), "another name")?;
        ensure(!same(&under, &other), "the name does not matter")?;
    }
    let other = fresh_key(suite, rng)?;
    ensure(!same(&under, &done(suite.name_under(&other, leader, member), "another key")?), "the key does not matter")?;
    // Two names never run into each other.
    let (a, b) = ((name("ab")?, name("c")?), (name("a")?, name("bc")?));
    let a = done(suite.name_under(&key, a.0, a.1), "a name")?;
    ensure(!same(&a, &done(suite.name_under(&key, b.0, b.1), "a name")?), "names run into each other")?;
    // What is no name here is refused in both places, and what is one in neither.
    for length in [1, 7, 8, 9, 16, 64, 255] {
        let long = "n".repeat(length);
        let long = name(&long)?;
        let admitted = suite.admits(long);
        for (named, owner) in [(long, member), (leader, long)] {
            let taken = suite.name_under(&key, named, owner).is_ok();
            ensure(taken == admitted, &format!("a name of {length} bytes: admitted {admitted}, taken {taken}"))?;
        }
    }
    Ok(())
}

/// Report §2.2.1: the third party gives π = {SL}_{K_A} ⊕ {A}_{K_SL}; the leader takes {A}_{K_SL} off again.
fn pair_key(suite: &dyn PublishedSuite, rng: &mut dyn Entropy) -> Outcome {
    let (of_leader, of_member) = (fresh_key(suite, rng)?, fresh_key(suite, rng)?);
    let (leader, member) = (name("lead")?, name("alice")?);
    let sigma = done(suite.name_under(&of_member, leader, member), "the pair key")?;
    let mask = done(suite.name_under(&of_leader, member, leader), "the mask")?;
    let pi = done(suite.xor(&sigma, &mask), "xor")?;
    ensure(!same(&pi, &sigma) && !same(&pi, &mask), "nothing is masked")?;
    let found = done(suite.xor(&pi, &done(suite.name_under(&of_leader, member, leader), "the mask")?), "xor")?;
    ensure(same(&found, &sigma), "leader and member have different pair keys")?;
    let sealed = seal(suite, rng, &found, b"text")?;
    ensure(suite.decrypt(&sigma, &sealed).is_ok_and(|text| *text == b"text"), "a pair key does not serve as a key")
}

fn exclusive_or(suite: &dyn PublishedSuite, rng: &mut dyn Entropy) -> Outcome {
    let (a, b) = (fresh_key(suite, rng)?, fresh_key(suite, rng)?);
    let both = done(suite.xor(&a, &b), "xor")?;
    let right: Vec<u8> = a.expose().iter().zip(b.expose()).map(|(a, b)| a ^ b).collect();
    ensure(both.expose() == right, "not the exclusive or of all bits")?;
    for wrong in [shorter(a.expose()).to_vec(), longer(a.expose()), vec![]] {
        let wrong = Secret::new(&wrong);
        ensure(suite.xor(&a, &wrong).is_err(), "keys of two lengths are taken")?;
        ensure(suite.xor(&wrong, &a).is_err(), "keys of two lengths are taken")?;
        ensure(suite.xor(&wrong, &wrong).is_err(), "what are no keys are taken")?;
    }
    Ok(())
}

fn weak_keys(suite: &dyn PublishedSuite, rng: &mut dyn Entropy) -> Outcome {
    for _ in 0..100 {
        ensure(!suite.is_weak(&fresh_key(suite, rng)?), "a fresh key is weak")?;
    }
    Ok(())
}

fn opens(suite: &dyn PublishedSuite, rng: &mut dyn Entropy) -> Outcome {
    let key = fresh_key(suite, rng)?;
    for length in (0..=40).chain([255, 256, 1_000, 65_000]) {
        let text = pattern(length);
        let mut out = BytesMut::from(&b"before"[..]);
        made(suite.encrypt(rng, &key, &text, &mut out), "encrypt")?;
        let sealed = out.strip_prefix(b"before").ok_or("what stood before is gone")?;
        let added = sealed.len().checked_sub(length).ok_or("it is shorter than its text")?;
        ensure(added <= suite.sizes().sealing, &format!("{length} bytes: {added} more"))?;
        let opened = suite.decrypt(&key, sealed).map_err(|error| format!("{length} bytes: {error}"))?;
        ensure(*opened == text, &format!("{length} bytes: another text"))?;
        let other = suite.decrypt(&fresh_key(suite, rng)?, sealed);
        ensure(length < 8 || other.map_or(true, |other| *other != text), "the key does not matter")?;
    }
    Ok(())
}

fn refuses_lengths(suite: &dyn PublishedSuite, rng: &mut dyn Entropy) -> Outcome {
    let key = fresh_key(suite, rng)?;
    let sealed = seal(suite, rng, &key, &pattern(20))?;
    forged(suite.decrypt(&key, &[]), "nothing")?;
    forged(suite.decrypt(&key, &longer(&sealed)), "one byte more")?;
    let mut cut = &sealed[..];
    while let Some((_, rest)) = cut.split_last() {
        cut = rest;
        // Under a cipher without authentication a shorter text may come out, by chance. Never an error of the suite.
        match suite.decrypt(&key, cut) {
            Err(VerifyError::Suite(_)) => return Err(format!("{} bytes: an error of the suite", cut.len())),
            Ok(_) if cut.len() % 8 != 0 || cut.len() < 16 => return Err(format!("{} bytes: taken", cut.len())),
            Err(VerifyError::Forged) | Ok(_) => (),
        }
    }
    each_bit(&sealed, |changed, bit| match suite.decrypt(&key, changed) {
        Err(VerifyError::Suite(_)) => Err(format!("bit {bit}: an error of the suite")),
        Ok(text) if *text == pattern(20) => Err(format!("bit {bit} does not matter")),
        Err(VerifyError::Forged) | Ok(_) => Ok(()),
    })
}

/// Equal texts are sealed differently, and no text shows (D4).
fn hides(suite: &dyn PublishedSuite, rng: &mut dyn Entropy) -> Outcome {
    let key = fresh_key(suite, rng)?;
    let text = [0x55; 64];
    let mut seen: Vec<Vec<u8>> = Vec::new();
    for _ in 0..8 {
        let sealed = seal(suite, rng, &key, &text)?;
        for (at, block) in sealed.chunks(8).enumerate() {
            ensure(block != [0x55; 8], "the text shows")?;
            let repeated = seen.iter().any(|seen| seen.chunks(8).nth(at) == Some(block));
            ensure(!repeated, "equal texts have equal blocks")?;
        }
        seen.push(sealed);
    }
    Ok(())
}

fn fresh_iv(suite: &dyn PublishedSuite, rng: &mut dyn Entropy) -> Result<Nonce, String> {
    made(suite.fresh_nonce(rng, suite.sizes().iv), "a fresh vector")
}

fn seal_fixed(suite: &dyn PublishedSuite, key: &Secret, iv: &Nonce, text: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = BytesMut::from(&b"before"[..]);
    done(suite.encrypt_fixed(key, iv, text, &mut out), "encrypt under a fixed vector")?;
    Ok(out.strip_prefix(b"before").ok_or("what stood before is gone")?.to_vec())
}

/// Under the vector of a key equal texts look equal, and open again; what has the wrong length is refused (D5).
fn fixed(suite: &dyn PublishedSuite, rng: &mut dyn Entropy) -> Outcome {
    let (key, iv) = (fresh_key(suite, rng)?, fresh_iv(suite, rng)?);
    let mut seen: Vec<Vec<u8>> = Vec::new();
    for length in (0..=40).chain([255, 256, 1_000, 65_000]) {
        let text = pattern(length);
        let sealed = seal_fixed(suite, &key, &iv, &text)?;
        ensure(seal_fixed(suite, &key, &iv, &text)? == sealed, &format!("{length} bytes: equal texts differ"))?;
        ensure(!seen.contains(&sealed), &format!("{length} bytes: as another text"))?;
        let added = sealed.len().checked_sub(length).ok_or("it is shorter than its text")?;
        ensure(added <= suite.sizes().sealing, &format!("{length} bytes: {added} more"))?;
        let opened = suite.decrypt_fixed(&key, &iv, &sealed).map_err(|error| format!("{length} bytes: {error}"))?;
        ensure(*opened == text, &format!("{length} bytes: another text"))?;
        seen.push(sealed);
    }
    forged(suite.decrypt_fixed(&key, &iv, &[]), "nothing")?;
    let sealed = seal_fixed(suite, &key, &iv, &pattern(20))?;
    forged(suite.decrypt_fixed(&key, &iv, &longer(&sealed)), "one byte more")?;
    forged(suite.decrypt_fixed(&key, &iv, shorter(&sealed)), "one byte less")
}

/// Key and vector matter, and must have their lengths; the two forms of `{x}_K` are not each other's.
fn fixed_differs(suite: &dyn PublishedSuite, rng: &mut dyn Entropy) -> Outcome {
    let (key, iv, text) = (fresh_key(suite, rng)?, fresh_iv(suite, rng)?, pattern(40));
    let sealed = seal_fixed(suite, &key, &iv, &text)?;
    let (other_key, other_iv) = (fresh_key(suite, rng)?, fresh_iv(suite, rng)?);
    for (what, key, iv) in [("the key", &other_key, &iv), ("the vector", &key, &other_iv)] {
        ensure(seal_fixed(suite, key, iv, &text)? != sealed, &format!("{what} does not matter"))?;
        let opened = suite.decrypt_fixed(key, iv, &sealed);
        ensure(opened.map_or(true, |opened| *opened != text), &format!("{what} does not matter to open"))?;
    }
    let taken = suite.decrypt(&key, &sealed).is_ok_and(|opened| *opened == text);
    ensure(!taken, "it opens as if its vector stood in front")?;
    let (mut out, long) = (BytesMut::new(), Nonce::new(&longer(iv.as_bytes())));
    if let Some(long) = long {
        let made = suite.encrypt_fixed(&key, &long, &text, &mut out);
        ensure(made == Err(SuiteError) && out.is_empty(), "a vector of another length is taken")?;
        let opened = suite.decrypt_fixed(&key, &long, &sealed);
        ensure(matches!(opened, Err(VerifyError::Suite(_))), "a vector of another length is taken to open")?;
    }
    for wrong in [shorter(key.expose()).to_vec(), longer(key.expose())] {
        let made = suite.encrypt_fixed(&Secret::new(&wrong), &iv, &text, &mut out);
        ensure(made == Err(SuiteError) && out.is_empty(), "a key of another length is taken")?;
    }
    Ok(())
}

fn mac(suite: &dyn PublishedSuite, rng: &mut dyn Entropy) -> Outcome {
    let (key, text) = (fresh_key(suite, rng)?, pattern(100));
    let tag = done(suite.mac(&key, &[&text]), "mac")?;
    let (left, right) = text.split_at(33);
    ensure(done(suite.mac(&key, &[left, b"", right]), "mac")? == tag, "not of the concatenation")?;
    each_bit(&text, |changed, bit| {
        ensure(done(suite.mac(&key, &[changed]), "mac")? != tag, &format!("bit {bit} does not matter"))
    })?;
    for other in [shorter(&text), &longer(&text), &[]] {
        ensure(done(suite.mac(&key, &[other]), "mac")? != tag, "the length does not matter")?;
    }
    let other = fresh_key(suite, rng)?;
    ensure(done(suite.mac(&other, &[&text]), "mac")? != tag, "the key does not matter")?;
    suite.verify_mac(&key, &[left, right], &tag).map_err(|error| format!("its own tag: {error}"))
}

fn mac_refuses(suite: &dyn PublishedSuite, rng: &mut dyn Entropy) -> Outcome {
    let (key, text) = (fresh_key(suite, rng)?, pattern(30));
    let tag = done(suite.mac(&key, &[&text]), "mac")?;
    let refuse = |tag: &[u8], what: &str| {
        Tag::new(tag).map_or(Ok(()), |tag| forged(suite.verify_mac(&key, &[&text], &tag), what))
    };
    each_bit(tag.as_bytes(), |changed, bit| refuse(changed, &format!("bit {bit}")))?;
    refuse(shorter(tag.as_bytes()), "a shorter tag")?;
    refuse(&longer(tag.as_bytes()), "a longer tag")?;
    refuse(&[], "no tag")?;
    forged(suite.verify_mac(&key, &[&flipped(&text, 0)], &tag), "another text")?;
    forged(suite.verify_mac(&fresh_key(suite, rng)?, &[&text], &tag), "another key")
}

fn verifies(suite: &dyn PublishedSuite, rng: &mut dyn Entropy) -> Outcome {
    let (secret, public) = made(suite.signing_pair(rng), "a signature pair")?;
    for length in [0, 1, 64, 1_000] {
        let text = pattern(length);
        let (left, right) = text.split_at(length / 2);
        let signature = made(suite.sign(rng, &secret, &[left, right]), "sign")?;
        suite.verify(&public, &[&text], &signature).map_err(|error| format!("{length} bytes: {error}"))?;
        // A repeated heartbeat repeats its bytes.
        ensure(made(suite.sign(rng, &secret, &[&text]), "sign")? == signature, "two signatures of one text differ")?;
    }
    Ok(())
}

fn refuses(suite: &dyn PublishedSuite, rng: &mut dyn Entropy) -> Outcome {
    let (secret, public) = made(suite.signing_pair(rng), "a signature pair")?;
    let (_, other) = made(suite.signing_pair(rng), "a signature pair")?;
    let text = pattern(40);
    let signature = made(suite.sign(rng, &secret, &[&text]), "sign")?;
    let bytes = signature.as_bytes();
    let refuse = |signature: &[u8], what: &str| {
        Signature::new(signature).map_or(Ok(()), |given| forged(suite.verify(&public, &[&text], &given), what))
    };
    each_bit(bytes, |changed, bit| refuse(changed, &format!("bit {bit} of the signature")))?;
    refuse(shorter(bytes), "a shorter signature")?;
    refuse(&longer(bytes), "a longer signature")?;
    refuse(&[], "no signature")?;
    refuse(&vec![0; bytes.len()], "zeros")?;
    refuse(&vec![0xFF; bytes.len()], "ones")?;
    each_bit(&text, |changed, bit| {
        forged(suite.verify(&public, &[changed], &signature), &format!("bit {bit} of the text"))
    })?;
    let under = |key: &[u8], what: &str| {
        VerifyingKey::new(key).map_or(Ok(()), |key| forged(suite.verify(&key, &[&text], &signature), what))
    };
    under(other.as_bytes(), "another key")?;
    each_bit(public.as_bytes(), |changed, bit| under(changed, &format!("bit {bit} of the key")))?;
    under(shorter(public.as_bytes()), "a shorter key")?;
    under(&longer(public.as_bytes()), "a longer key")?;
    under(&[], "no key")?;
    under(&vec![0; public.as_bytes().len()], "the key of zeros")
}

fn fresh(suite: &dyn PublishedSuite, rng: &mut dyn Entropy) -> Outcome {
    let mut counted = Counted { inner: rng, requests: 0, refuse: false };
    let one = |rng: &mut Counted<'_>, what: &str| {
        ensure(core::mem::take(&mut rng.requests) == 1, &format!("{what}: not one request"))
    };
    let key = fresh_key(suite, &mut counted)?;
    one(&mut counted, "a key")?;
    ensure(!same(&key, &fresh_key(suite, &mut counted)?), "two fresh keys are the same")?;
    one(&mut counted, "a key")?;
    let length = suite.sizes().nonce;
    let nonce = made(suite.fresh_nonce(&mut counted, length), "a nonce")?;
    one(&mut counted, "a nonce")?;
    ensure(nonce != made(suite.fresh_nonce(&mut counted, length), "a nonce")?, "two nonces are the same")?;
    one(&mut counted, "a nonce")?;
    let sealed = seal(suite, &mut counted, &key, b"text")?;
    one(&mut counted, "encrypt")?;
    ensure(sealed != seal(suite, &mut counted, &key, b"text")?, "two ciphertexts are the same")?;
    one(&mut counted, "encrypt")?;
    let (secret, public) = made(suite.signing_pair(&mut counted), "a signature pair")?;
    one(&mut counted, "a signature pair")?;
    let (other, other_public) = made(suite.signing_pair(&mut counted), "a signature pair")?;
    one(&mut counted, "a signature pair")?;
    ensure(!same(&secret, &other) && public != other_public, "two signature pairs are the same")?;
    made(suite.sign(&mut counted, &secret, &[b"text"]), "sign")?;
    ensure(counted.requests <= 1, "sign: more than one request")
}

fn entropy_fails(suite: &dyn PublishedSuite, rng: &mut dyn Entropy) -> Outcome {
    let key = fresh_key(suite, rng)?;
    let (secret, _) = made(suite.signing_pair(rng), "a signature pair")?;
    let mut refusing = Counted { inner: rng, requests: 0, refuse: true };
    let failed = FreshError::Entropy(EntropyError);
    let expect = |error: Option<FreshError>, what: &str| {
        ensure(error == Some(failed), &format!("{what} does not tell that the random source failed"))
    };
    expect(suite.fresh_key(&mut refusing).err(), "a key")?;
    expect(suite.fresh_nonce(&mut refusing, suite.sizes().nonce).err(), "a nonce")?;
    expect(suite.signing_pair(&mut refusing).err(), "a signature pair")?;
    let mut out = BytesMut::from(&b"before"[..]);
    expect(suite.encrypt(&mut refusing, &key, b"text", &mut out).err(), "encrypt")?;
    ensure(*out == *b"before", "a failed encryption appended something")?;
    let asked = core::mem::take(&mut refusing.requests);
    ensure(asked == 4, "a failed request was repeated")?;
    let signed = suite.sign(&mut refusing, &secret, &[b"text"]);
    if refusing.requests == 0 { made(signed, "sign").map(drop) } else { expect(signed.err(), "sign") }
}

fn key_lengths(suite: &dyn PublishedSuite, rng: &mut dyn Entropy) -> Outcome {
    let key = fresh_key(suite, rng)?;
    let sealed = seal(suite, rng, &key, b"text")?;
    let tag = done(suite.mac(&key, &[b"text"]), "mac")?;
    let (signing, _) = made(suite.signing_pair(rng), "a signature pair")?;
    let member = name("alice")?;
    for wrong in [shorter(key.expose()).to_vec(), longer(key.expose()), vec![]] {
        let length = wrong.len();
        let wrong = Secret::new(&wrong);
        let mut out = BytesMut::from(&b"before"[..]);
        let refused = [
            suite.encrypt(rng, &wrong, b"text", &mut out) == Err(FreshError::Suite(SuiteError)) && *out == *b"before",
            suite.decrypt(&wrong, &sealed).is_err_and(|error| error == VerifyError::Suite(SuiteError)),
            suite.mac(&wrong, &[b"text"]).is_err(),
            suite.verify_mac(&wrong, &[b"text"], &tag) == Err(VerifyError::Suite(SuiteError)),
            suite.name_under(&wrong, member, member).is_err(),
        ];
        if let Some(at) = refused.iter().position(|refused| !refused) {
            return Err(format!("a key of {length} bytes is taken (call {at})"));
        }
    }
    for wrong in [shorter(signing.expose()).to_vec(), longer(signing.expose()), vec![]] {
        let signed = suite.sign(rng, &Secret::new(&wrong), &[b"text"]);
        ensure(signed == Err(FreshError::Suite(SuiteError)), "a private key of another length is taken")?;
    }
    Ok(())
}

fn long_term(suite: &dyn PublishedSuite, rng: &mut dyn Entropy) -> Outcome {
    let modern = symbolic().silent();
    let fresh = |rng: &mut dyn Entropy| made(modern.fresh_secret(rng, modern.sizes().long_term), "a long-term key");
    let (first, second) = (fresh(rng)?, fresh(rng)?);
    let of = |key: &Secret, text: &str| done(suite.long_term(&*modern, key, name(text)?), "a long-term key");
    let key = of(&first, "alice")?;
    ensure(key.len() == suite.sizes().key, "it has not the length of a key")?;
    ensure(same(&key, &of(&first, "alice")?), "not a function")?;
    ensure(!same(&key, &of(&first, "alicf")?), "the name does not matter")?;
    ensure(!same(&key, &of(&second, "alice")?), "the key does not matter")?;
    ensure(!key.expose().windows(8).any(|run| first.expose().windows(8).any(|of| of == run)), "it is the key itself")
}
