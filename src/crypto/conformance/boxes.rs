//! Boxes.

use alloc::format;
use alloc::string::String;

use super::{NUMBER, Outcome, derive_key, done, each_bit, ensure, forged, longer, pattern, shorter};
use crate::crypto::{BoxNumber, Purpose, Secret, Suite, SuiteId};
use crate::endpoint::Entropy;
use crate::wire::field::Tag;

const LENGTHS: [usize; 9] = [0, 1, 15, 16, 17, 31, 64, 65, 1300];

fn key(suite: &dyn Suite, rng: &mut dyn Entropy) -> Result<Secret, String> {
    let prk = derive_key(suite, rng)?;
    done(suite.expand(&prk, &[b"box"], Purpose::Aead), "expand")
}

pub(super) fn open(suite: &dyn Suite, rng: &mut dyn Entropy) -> Outcome {
    let key = key(suite, rng)?;
    let sealing = done(suite.aead(&key), "aead")?;
    let opening = done(suite.aead(&key), "aead")?;
    for length in LENGTHS {
        for ad in [0, 1, 16, 100] {
            let (text, ad) = (pattern(length), pattern(ad));
            for number in [BoxNumber::ONLY, NUMBER, BoxNumber { domain: u32::MAX, counter: u64::MAX }] {
                let mut sealed = text.clone();
                let tag = done(sealing.seal(number, &ad, &mut sealed), "seal")?;
                let opened = opening.open(number, &ad, &mut sealed, &tag);
                ensure(opened.is_ok(), &format!("{length} bytes with {} bytes of data do not open", ad.len()))?;
                ensure(sealed == text, &format!("{length} bytes open to another text"))?;
            }
        }
    }
    Ok(())
}

pub(super) fn one_shot(suite: &dyn Suite, rng: &mut dyn Entropy) -> Outcome {
    let key = key(suite, rng)?;
    let prepared = done(suite.aead(&key), "aead")?;
    for length in LENGTHS {
        let text = pattern(length);
        let (mut one, mut many) = (text.clone(), text.clone());
        let one_tag = done(suite.seal(&key, NUMBER, b"data", &mut one), "seal")?;
        let many_tag = done(prepared.seal(NUMBER, b"data", &mut many), "seal")?;
        ensure(one_tag == many_tag && one == many, &format!("{length} bytes: not what a prepared key makes"))?;
        ensure(suite.open(&key, NUMBER, b"data", &mut one, &one_tag).is_ok(), &format!("{length} bytes do not open"))?;
        ensure(one == text, &format!("{length} bytes open to another text"))?;
    }
    Ok(())
}

pub(super) fn refuse(suite: &dyn Suite, rng: &mut dyn Entropy) -> Outcome {
    let key = key(suite, rng)?;
    let (text, ad) = (pattern(40), pattern(20));
    let mut sealed = text.clone();
    let tag = done(suite.seal(&key, NUMBER, &ad, &mut sealed), "seal")?;
    let open = |key: &[u8], number: BoxNumber, ad: &[u8], sealed: &[u8], tag: &[u8], what: &str| {
        // What is longer than any tag can be never comes to a suite.
        let Some(tag) = Tag::new(tag) else { return Ok(()) };
        let key = Secret::new(key);
        forged(suite.open(&key, number, ad, &mut sealed.to_vec(), &tag), &format!("{what}, one shot"))?;
        forged(done(suite.aead(&key), "aead")?.open(number, ad, &mut sealed.to_vec(), &tag), what)
    };
    let right = (key.expose(), tag.as_bytes());
    each_bit(right.0, |key, bit| open(key, NUMBER, &ad, &sealed, right.1, &format!("bit {bit} of the key")))?;
    each_bit(right.1, |tag, bit| open(right.0, NUMBER, &ad, &sealed, tag, &format!("bit {bit} of the tag")))?;
    each_bit(&ad, |ad, bit| open(right.0, NUMBER, ad, &sealed, right.1, &format!("bit {bit} of the data")))?;
    each_bit(&sealed, |sealed, bit| open(right.0, NUMBER, &ad, sealed, right.1, &format!("bit {bit} of the box")))?;
    for bit in 0..32 {
        let number = BoxNumber { domain: NUMBER.domain ^ (1 << bit), ..NUMBER };
        open(right.0, number, &ad, &sealed, right.1, &format!("bit {bit} of the domain"))?;
    }
    for bit in 0..64 {
        let number = BoxNumber { counter: NUMBER.counter ^ (1 << bit), ..NUMBER };
        open(right.0, number, &ad, &sealed, right.1, &format!("bit {bit} of the counter"))?;
    }
    open(right.0, NUMBER, shorter(&ad), &sealed, right.1, "shorter data")?;
    open(right.0, NUMBER, &longer(&ad), &sealed, right.1, "longer data")?;
    open(right.0, NUMBER, &ad, shorter(&sealed), right.1, "a shorter box")?;
    open(right.0, NUMBER, &ad, &longer(&sealed), right.1, "a longer box")?;
    open(right.0, NUMBER, &ad, &[], right.1, "an empty box")?;
    open(right.0, NUMBER, &ad, &sealed, shorter(right.1), "a shorter tag")?;
    open(right.0, NUMBER, &ad, &sealed, &longer(right.1), "a longer tag")?;
    open(right.0, NUMBER, &ad, &sealed, &[], "no tag")
}

pub(super) fn hide(suite: &dyn Suite, rng: &mut dyn Entropy) -> Outcome {
    // The one suite whose boxes are in the clear says so by its name.
    if suite.id() == SuiteId::NULL {
        return Ok(());
    }
    let key = key(suite, rng)?;
    let text = pattern(64);
    let mut one = text.clone();
    done(suite.seal(&key, NUMBER, b"", &mut one), "seal")?;
    ensure(!shares_a_run(&one, &text), "the text shows in the box")?;
    for number in [BoxNumber { domain: 1, ..NUMBER }, BoxNumber { counter: 1, ..NUMBER }] {
        let mut other = text.clone();
        done(suite.seal(&key, number, b"", &mut other), "seal")?;
        ensure(!shares_a_run(&one, &other), "two numbers give the same box")?;
    }
    Ok(())
}

pub(super) fn refused(suite: &dyn Suite, rng: &mut dyn Entropy) -> Outcome {
    let key = key(suite, rng)?;
    let prepared = done(suite.aead(&key), "aead")?;
    let text = pattern(100);
    let mut sealed = text.clone();
    let tag = done(prepared.seal(NUMBER, b"data", &mut sealed), "seal")?;
    for one_shot in [false, true] {
        let mut scratch = sealed.clone();
        let outcome = if one_shot {
            suite.open(&key, NUMBER, b"other", &mut scratch, &tag)
        } else {
            prepared.open(NUMBER, b"other", &mut scratch, &tag)
        };
        forged(outcome, "other data")?;
        ensure(scratch.len() == text.len() && !shares_a_run(&scratch, &text), "a refused box left plaintext (R36)")?;
    }
    Ok(())
}

/// Whether eight bytes in a row are the same in both.
fn shares_a_run(a: &[u8], b: &[u8]) -> bool {
    a.windows(8).zip(b.windows(8)).any(|(a, b)| a == b)
}
