//! Published values for shapes that the contract hides: codes before they are cut and under keys of any length, and
//! derivations of any length. The others stand in `tests/crypto_vectors.rs`.

use alloc::vec::Vec;

use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    assert_eq!(digits.len() % 2, 0, "{text}");
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// RFC 4231 §4.2 to §4.8: HMAC-SHA-256. Case 5 is cut to 128 bits.
#[test]
fn hmac_sha_256_of_rfc_4231() {
    let counting: Vec<u8> = (1..=25).collect();
    let cases: [(&[u8], &[u8], &str); 7] = [
        (&[0x0B; 20], b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
        (b"Jefe", b"what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (&[0xAA; 20], &[0xDD; 50], "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
        (&counting, &[0xCD; 50], "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"),
        (&[0x0C; 20], b"Test With Truncation", "a3b6167473100ee06e0c796c2955552b"),
        (
            &[0xAA; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
        (
            &[0xAA; 131],
            b"This is a test using a larger than block-size key and a larger than block-size data. \
              The key needs to be hashed before being used by the HMAC algorithm.",
            "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
        ),
    ];
    for (at, (key, text, code)) in cases.into_iter().enumerate() {
        let code = hex(code);
        let (left, right) = text.split_at(text.len() / 2);
        assert_eq!(&hmac(key, &[left, right]).unwrap()[..code.len()], code, "case {}", at + 1);
    }
}

/// The code of the contract is the first 16 bytes of HMAC (RFC 2104 §5), which the vectors above pin down.
#[test]
fn a_code_is_the_first_half_of_hmac() {
    let key = Secret::new(&[0x0B; 32]);
    let whole = hmac(key.expose(), &[b"Hi There"]).unwrap();
    assert_eq!(aes_128_gcm().mac(&key, &[b"Hi ", b"There"]).unwrap().as_bytes(), &whole[..16]);
}

/// RFC 5869 appendices A.1 to A.3: HKDF with SHA-256.
#[test]
fn hkdf_sha_256_of_rfc_5869() {
    let range = |from: u8, to: u8| (from..=to).collect::<Vec<u8>>();
    let cases = [
        (
            [0x0B; 22].to_vec(),
            range(0x00, 0x0C),
            range(0xF0, 0xF9),
            "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        ),
        (
            range(0x00, 0x4F),
            range(0x60, 0xAF),
            range(0xB0, 0xFF),
            "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09
             da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
        ),
        (
            [0x0B; 22].to_vec(),
            Vec::new(),
            Vec::new(),
            "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        ),
    ];
    for (at, (material, salt, info, prk, okm)) in cases.into_iter().enumerate() {
        let (prk, okm) = (hex(prk), hex(okm));
        let (left, right) = material.split_at(9);
        let parts = [&Secret::new(left), &Secret::new(right)];
        for suite in [aes_128_gcm(), aes_256_gcm(), chacha20_poly1305()] {
            assert_eq!(suite.extract(&salt, &parts).unwrap().expose(), prk, "case {}", at + 1);
            // The lengths that the contract allows are prefixes.
            for (purpose, length) in [(Purpose::Derive, 32), (Purpose::Mac, 32), (Purpose::Aead, suite_key(&*suite))] {
                let key = suite.expand(&Secret::new(&prk), &[&info], purpose).unwrap();
                assert_eq!(key.expose(), &okm[..length], "case {}", at + 1);
            }
        }
        assert_eq!(expand(&Secret::new(&prk), &[&info], okm.len()).unwrap().expose(), okm, "case {}", at + 1);
    }
}

fn suite_key(suite: &dyn Suite) -> usize {
    if suite.id() == SuiteId::AES_128_GCM { 16 } else { 32 }
}

#[test]
fn a_derivation_of_more_than_255_blocks_is_an_error() {
    let prk = Secret::new(&[1; 32]);
    assert!(expand(&prk, &[], 255 * 32).is_ok());
    assert_eq!(expand(&prk, &[], 255 * 32 + 1).unwrap_err(), SuiteError);
}

/// The strict check of the crate takes a text in one piece; ours, in parts, gives the same verdicts.
#[test]
fn strict_verification_in_parts_is_the_crates_own() {
    let signing = SigningKey::from_bytes(&[7; 32]);
    let text = b"a text in parts";
    let right = signing.try_multipart_sign(&[text]).unwrap().to_bytes();
    // The points of order 1, 2 and 4 (and one that is no point), as R and as key.
    let mut low = [[0; 32]; 4];
    low[0][0] = 1;
    low[1] = [0xff; 32];
    (low[1][0], low[1][31]) = (0xec, 0x7f);
    low[3][0] = 2;
    let own = *signing.verifying_key().as_bytes();
    let mut cases = alloc::vec![(own, right)];
    cases.extend((0..512).map(|bit: usize| {
        let mut bent = right;
        bent[bit / 8] ^= 1 << (bit % 8);
        (own, bent)
    }));
    for point in low {
        for key in [own, point] {
            let mut bent = right;
            bent[..32].copy_from_slice(&point);
            cases.push((key, bent));
            bent[32..].fill(0);
            cases.push((key, bent));
        }
    }
    let mut accepted = 0;
    for (key, signature) in cases {
        let theirs = ed25519_dalek::VerifyingKey::from_bytes(&key)
            .is_ok_and(|key| key.verify_strict(text, &ed25519_dalek::Signature::from_bytes(&signature)).is_ok());
        let (key, signature) = (VerifyingKey::new(&key).unwrap(), Signature::new(&signature).unwrap());
        let ours = aes_128_gcm().verify(&key, &[b"a text", b"", b" in parts"], &signature);
        assert_eq!(ours.is_ok(), theirs);
        accepted += usize::from(theirs);
    }
    assert_eq!(accepted, 1);
}
