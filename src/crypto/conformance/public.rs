//! Signatures and ephemeral exchanges.

use alloc::format;

use super::{Outcome, done, each_bit, ensure, forged, longer, made, pattern, shorter};
use crate::crypto::{Suite, SuiteId};
use crate::endpoint::Entropy;
use crate::wire::field::{Share, Signature, VerifyingKey};

pub(super) fn verifies(suite: &dyn Suite, rng: &mut dyn Entropy) -> Outcome {
    let (secret, public) = made(suite.signing_pair(rng), "a signature pair")?;
    for length in [0, 1, 64, 300] {
        let text = pattern(length);
        let (left, right) = text.split_at(length / 3);
        let signature = done(suite.sign(&secret, &[left, right]), "sign")?;
        ensure(suite.verify(&public, &[&text], &signature).is_ok(), &format!("{length} bytes: does not verify"))?;
        ensure(suite.verify(&public, &[left, b"", right], &signature).is_ok(), "does not verify in other parts")?;
    }
    Ok(())
}

pub(super) fn refuses(suite: &dyn Suite, rng: &mut dyn Entropy) -> Outcome {
    let (secret, public) = made(suite.signing_pair(rng), "a signature pair")?;
    let (_, other) = made(suite.signing_pair(rng), "a signature pair")?;
    let text = pattern(40);
    let signature = done(suite.sign(&secret, &[&text]), "sign")?;
    let verify = |key: &[u8], text: &[u8], signature: &[u8], what: &str| {
        // What is longer than any key or signature can be never comes to a suite.
        let (Some(key), Some(signature)) = (VerifyingKey::new(key), Signature::new(signature)) else { return Ok(()) };
        forged(suite.verify(&key, &[text], &signature), what)
    };
    let right = (public.as_bytes(), signature.as_bytes());
    verify(other.as_bytes(), &text, right.1, "another key")?;
    each_bit(right.0, |key, bit| verify(key, &text, right.1, &format!("bit {bit} of the key")))?;
    each_bit(&text, |text, bit| verify(right.0, text, right.1, &format!("bit {bit} of the text")))?;
    each_bit(right.1, |signature, bit| verify(right.0, &text, signature, &format!("bit {bit} of the signature")))?;
    verify(right.0, shorter(&text), right.1, "a shorter text")?;
    verify(right.0, &longer(&text), right.1, "a longer text")?;
    verify(right.0, &text, shorter(right.1), "a shorter signature")?;
    verify(right.0, &text, &longer(right.1), "a longer signature")?;
    verify(right.0, &text, &[], "no signature")?;
    verify(shorter(right.0), &text, right.1, "a shorter key")?;
    verify(&longer(right.0), &text, right.1, "a longer key")?;
    verify(&[], &text, right.1, "no key")
}

pub(super) fn agrees(suite: &dyn Suite, rng: &mut dyn Entropy) -> Outcome {
    let (x, gx) = made(suite.agreement_pair(rng), "an agreement pair")?;
    let (y, gy) = made(suite.agreement_pair(rng), "an agreement pair")?;
    let (_, gz) = made(suite.agreement_pair(rng), "an agreement pair")?;
    let agree = |secret, share| suite.agree(secret, share).map_err(|error| format!("an honest share: {error}"));
    let shared = agree(&x, &gy)?;
    ensure(suite.same(&shared, &agree(&y, &gx)?), "both sides get different secrets")?;
    ensure(!suite.same(&shared, &agree(&x, &gz)?), "the share does not matter")?;
    ensure(!suite.same(&shared, &agree(&y, &gz)?), "the secret does not matter")?;
    // What came out can be derived from.
    done(suite.extract(b"", &[&shared]), "extract").map(drop)
}

pub(super) fn bad_shares(suite: &dyn Suite, rng: &mut dyn Entropy) -> Outcome {
    let (secret, share) = made(suite.agreement_pair(rng), "an agreement pair")?;
    let refuse = |share: &[u8], what: &str| {
        // What is longer than any share can be never comes to a suite.
        Share::new(share).map_or(Ok(()), |share| forged(suite.agree(&secret, &share), what))
    };
    refuse(&alloc::vec![0; suite.sizes().share], "the share of zeros")?;
    refuse(shorter(share.as_bytes()), "a shorter share")?;
    refuse(&longer(share.as_bytes()), "a longer share")?;
    refuse(&[], "no share")?;
    if [SuiteId::AES_128_GCM, SuiteId::AES_256_GCM, SuiteId::CHACHA20_POLY1305].contains(&suite.id()) {
        for (at, share) in SMALL_ORDER.iter().enumerate() {
            refuse(share, &format!("share {at} of small order"))?;
        }
    }
    Ok(())
}

/// Points of small order of Curve25519 and of its twist, by their u, with and without reduction (RFC 7748 §6.1 asks to
/// refuse what they give): 1, p - 1, p, p + 1, and the two of order 8.
const SMALL_ORDER: [[u8; 32]; 6] = [
    {
        let mut one = [0; 32];
        one[0] = 1;
        one
    },
    near_p(0xEC),
    near_p(0xED),
    near_p(0xEE),
    [
        0xE0, 0xEB, 0x7A, 0x7C, 0x3B, 0x41, 0xB8, 0xAE, 0x16, 0x56, 0xE3, 0xFA, 0xF1, 0x9F, 0xC4, 0x6A, 0xDA, 0x09,
        0x8D, 0xEB, 0x9C, 0x32, 0xB1, 0xFD, 0x86, 0x62, 0x05, 0x16, 0x5F, 0x49, 0xB8, 0x00,
    ],
    [
        0x5F, 0x9C, 0x95, 0xBC, 0xA3, 0x50, 0x8C, 0x24, 0xB1, 0xD0, 0xB1, 0x55, 0x9C, 0x83, 0xEF, 0x5B, 0x04, 0x44,
        0x5C, 0xC4, 0x58, 0x1C, 0x8E, 0x86, 0xD8, 0x22, 0x4E, 0xDD, 0xD0, 0x9F, 0x11, 0x57,
    ],
];

/// 2^255 - 256 + `low`.
const fn near_p(low: u8) -> [u8; 32] {
    let mut bytes = [0xFF; 32];
    bytes[0] = low;
    bytes[31] = 0x7F;
    bytes
}
