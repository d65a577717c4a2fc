//! Known answers for DES, MD5 and RSA, through the suite that holds them: nobody else may call them.
//!
//! The suite draws an IV where DES is wanted on a block P, so a random source that gives P ⊕ 0808080808080808 makes the
//! padding of an empty text into P.
#![cfg(feature = "historic")]
#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing)] // Helpers of tests, outside of test functions.

use bytes::BytesMut;
use sodality::crypto::published::{des_key_of_password, des_md5_rsa};
use sodality::crypto::{Secret, VerifyError};
use sodality::endpoint::{Entropy, EntropyError};
use sodality::identity::NameRef;
use sodality::wire::field::{Nonce, Signature, VerifyingKey};

/// Gives these bytes, again and again.
struct Gives<'a>(&'a [u8]);

impl Entropy for Gives<'_> {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        out.iter_mut().zip(self.0.iter().cycle()).for_each(|(out, byte)| *out = *byte);
        Ok(())
    }
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn xor(a: &[u8], b: &[u8]) -> Vec<u8> {
    a.iter().zip(b).map(|(a, b)| a ^ b).collect()
}

/// IV ‖ CBC of the padded text.
fn cbc(key: &[u8], iv: &[u8], text: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    des_md5_rsa().encrypt(&mut Gives(iv), &Secret::new(key), text, &mut out).unwrap();
    assert_eq!(out[..8], *iv);
    out.to_vec()
}

fn des(key: &[u8], block: &[u8]) -> Vec<u8> {
    cbc(key, &xor(block, &[8; 8]), b"")[8..].to_vec()
}

/// Behind the block stands one that decrypts to padding.
fn des_inverse(key: &[u8], block: &[u8]) -> Vec<u8> {
    let sealed = [&[0; 8], block, &des(key, &xor(block, &[8; 8]))].concat();
    des_md5_rsa().decrypt(&Secret::new(key), &sealed).unwrap().to_vec()
}

/// Key, block, result: the 19 that try each S-box, and of the other tables the first rows (NBS SP 500-20, appendix). All
/// have been compared with OpenSSL 3.0.
const DES: &[(&str, &str, &str)] = &[
    ("7CA110454A1A6E57", "01A1D6D039776742", "690F5B0D9A26939B"),
    ("0131D9619DC1376E", "5CD54CA83DEF57DA", "7A389D10354BD271"),
    ("07A1133E4A0B2686", "0248D43806F67172", "868EBB51CAB4599A"),
    ("3849674C2602319E", "51454B582DDF440A", "7178876E01F19B2A"),
    ("04B915BA43FEB5B6", "42FD443059577FA2", "AF37FB421F8C4095"),
    ("0113B970FD34F2CE", "059B5E0851CF143A", "86A560F10EC6D85B"),
    ("0170F175468FB5E6", "0756D8E0774761D2", "0CD3DA020021DC09"),
    ("43297FAD38E373FE", "762514B829BF486A", "EA676B2CB7DB2B7A"),
    ("07A7137045DA2A16", "3BDD119049372802", "DFD64A815CAF1A0F"),
    ("04689104C2FD3B2F", "26955F6835AF609A", "5C513C9C4886C088"),
    ("37D06BB516CB7546", "164D5E404F275232", "0A2AEEAE3FF4AB77"),
    ("1F08260D1AC2465E", "6B056E18759F5CCA", "EF1BF03E5DFA575A"),
    ("584023641ABA6176", "004BD6EF09176062", "88BF0DB6D70DEE56"),
    ("025816164629B007", "480D39006EE762F2", "A1F9915541020B56"),
    ("49793EBC79B3258F", "437540C8698F3CFA", "6FBF1CAFCFFD0556"),
    ("4FB05E1515AB73A7", "072D43A077075292", "2F22E49BAB7CA1AC"),
    ("49E95D6D4CA229BF", "02FE55778117F12A", "5A6B612CC26CCE4A"),
    ("018310DC409B26D6", "1D9D5C5018F728C2", "5F4C038ED12B2E41"),
    ("1C587F1C13924FEF", "305532286D6F295A", "63FAC0D034D9F793"),
    ("0101010101010101", "8000000000000000", "95F8A5E5DD31D900"),
    ("0101010101010101", "4000000000000000", "DD7F121CA5015619"),
    ("0101010101010101", "0000000000000001", "166B40B44ABA4BD6"),
    ("8001010101010101", "0000000000000000", "95A8D72813DAA94D"),
    ("4001010101010101", "0000000000000000", "0EEC1487DD8C26D5"),
    ("0101010101010102", "0000000000000000", "869EFD7F9F265A09"),
    ("10316E028C8F3B4A", "0000000000000000", "82DCBAFBDEAB6602"),
];

#[test]
fn des_has_the_answers_of_nbs_500_20() {
    for (key, block, result) in DES {
        let (key, block, result) = (hex(key), hex(block), hex(result));
        assert_eq!(des(&key, &block), result, "{key:02x?}");
        assert_eq!(des_inverse(&key, &result), block, "{key:02x?}");
        // The parity of a key is ignored (D3).
        let parity: Vec<u8> = key.iter().map(|byte| byte ^ 1).collect();
        assert_eq!(des(&parity, &block), result, "{key:02x?}");
    }
}

/// Sixteen steps, each under the result of the one before (Rivest, "Testing Implementations of DES", 1985): a single
/// mistake anywhere changes the last.
#[test]
fn des_passes_the_test_of_rivest() {
    let mut x = hex("9474b8e8c73bca7d");
    for step in 0..16 {
        x = if step % 2 == 0 { des(&x, &x) } else { des_inverse(&x, &x) };
    }
    assert_eq!(x, hex("1b1a2ddb4c642438"));
}

/// FIPS 81, appendices B and C. The last block of the second is that of the padding, by `openssl enc -des-cbc`.
#[test]
fn modes_have_the_answers_of_fips_81() {
    let (key, iv, text) = (hex("0123456789abcdef"), hex("1234567890abcdef"), b"Now is the time for all ");
    // A name under a key is one block: the electronic codebook.
    let member = NameRef::new("alice").unwrap();
    for (block, result) in text.chunks(8).zip(["3fa40e8a984d4815", "6a271787ab8883f9", "893d51ec4b563b53"]) {
        let name = NameRef::new(core::str::from_utf8(block).unwrap()).unwrap();
        assert_eq!(des_md5_rsa().name_under(&Secret::new(&key), name, member).unwrap().expose(), hex(result));
        assert_eq!(des(&key, block), hex(result));
    }
    let sealed = cbc(&key, &iv, text);
    assert_eq!(sealed[8..], hex("e5c7cdde872bf27c43e934008c389c0f683788499a7c05f662c16a27e4fcf277"));
    assert_eq!(**des_md5_rsa().decrypt(&Secret::new(&key), &sealed).unwrap(), *text);
}

/// The same under a vector that belongs to the key (D5): nothing stands in front, and blocks in common show.
#[test]
fn a_vector_of_the_key_is_the_same_mode_without_it_in_front() {
    let (key, iv, text) = (Secret::new(&hex("0123456789abcdef")), hex("1234567890abcdef"), b"Now is the time for all ");
    let iv = Nonce::new(&iv).unwrap();
    let seal = |text: &[u8]| {
        let mut out = BytesMut::new();
        des_md5_rsa().encrypt_fixed(&key, &iv, text, &mut out).unwrap();
        out.to_vec()
    };
    let sealed = seal(text);
    assert_eq!(sealed, hex("e5c7cdde872bf27c43e934008c389c0f683788499a7c05f662c16a27e4fcf277"));
    assert_eq!(**des_md5_rsa().decrypt_fixed(&key, &iv, &sealed).unwrap(), *text);
    let other = seal(b"Now is the time to run. ");
    assert_eq!(other[..16], sealed[..16], "two blocks in common");
    assert_ne!(other[16..24], sealed[16..24]);
    // What decrypts to no padding is refused, and a vector of another length is no input.
    assert_eq!(des_md5_rsa().decrypt_fixed(&key, &iv, &sealed[..24]), Err(VerifyError::Forged));
    let long = Nonce::new(&[0; 16]).unwrap();
    assert!(matches!(des_md5_rsa().decrypt_fixed(&key, &long, &sealed), Err(VerifyError::Suite(_))));
}

/// Enclaves §3, a modern suite in this notation: by `encrypt_fixed` of tests/reference/suites.py.
#[cfg(feature = "rustcrypto")]
#[test]
fn a_vector_of_the_key_under_the_modern_suites() {
    use sodality::crypto::published::{Modern, PublishedSuite as _};
    use sodality::crypto::{aes_128_gcm, aes_256_gcm, chacha20_poly1305};
    let key = Secret::new(&(0..32).collect::<Vec<u8>>());
    let iv = Nonce::new(&(100..116).collect::<Vec<u8>>()).unwrap();
    let text = b"Now is the time for all ";
    let number = "b7684ff006cbe089cde31ce1";
    let cases = [
        (aes_128_gcm(), "750e31c5d18dfdfaad9a358df6c1fd7c34dff8aa8742c3c70daf8c7dbfab8927a933917ef2db00fb"),
        (aes_256_gcm(), "30d3347cf1a8b1049ec3a0cc2187dce141d88ee52ab2aafae885c98a1fbbac33e6a2c63b32815922"),
        (chacha20_poly1305(), "5044b466dd80a47d7de292caf7b2307606de8f5c37334b27a20c67232262bb0705b46e9efbc65362"),
    ];
    for (suite, rest) in cases {
        let suite = Modern::new(suite);
        let mut out = BytesMut::new();
        suite.encrypt_fixed(&key, &iv, text, &mut out).unwrap();
        assert_eq!(*out, hex(&format!("{number}{rest}")));
        assert_eq!(**suite.decrypt_fixed(&key, &iv, &out).unwrap(), *text);
    }
}

/// D26: by `printf sunshine | md5sum`.
#[test]
fn a_password_becomes_the_first_half_of_its_md5_digest() {
    assert_eq!(des_key_of_password(b"sunshine").expose(), hex("0571749e2ac330a7"));
    assert_eq!(des_key_of_password(b"").expose(), hex("d41d8cd98f00b204"));
}

/// RFC 1321, appendix A.5.
const MD5: &[(&str, &str)] = &[
    ("", "d41d8cd98f00b204e9800998ecf8427e"),
    ("a", "0cc175b9c0f1b6a831c399e269772661"),
    ("abc", "900150983cd24fb0d6963f7d28e17f72"),
    ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
    ("abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"),
    ("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", "d174ab98d277d9f5a5611c2c9f419d9f"),
    (
        "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
        "57edf4a22be3c955ac49da2e2107b67a",
    ),
];

#[test]
fn a_mac_is_the_md5_digest_of_rfc_1321_in_cbc_with_a_zero_iv() {
    let suite = des_md5_rsa();
    let key = hex("0123456789abcdef");
    for (text, digest) in MD5 {
        let tag = suite.mac(&Secret::new(&key), &[text.as_bytes()]).unwrap();
        assert_eq!(tag.as_bytes(), &cbc(&key, &[0; 8], &hex(digest))[8..24], "{text}");
        // Block by block, without the mode.
        let first = des(&key, &hex(digest)[..8]);
        let second = des(&key, &xor(&first, &hex(digest)[8..]));
        assert_eq!(tag.as_bytes(), [first, second].concat(), "{text}");
    }
}

// A key made by Python's `cryptography` 48 (`rsa.generate_private_key(65537, 1024)`), and the signature of "g and S_SL"
// that `openssl dgst -md5 -sign` (OpenSSL 3.0) and that package both make under it; RFC 8017 §9.2 by hand, with
// `pow(em, d, n)`, gives the same.
const PRIME_1: &str = concat!(
    "ff2a95482591d678d521842ab44832345678540fd0984e552cf1fda442c591cf361c19fe53e94ef897888f4606558683",
    "e17e46f0e1ceaf62702ae354db3aaf85",
);
const PRIME_2: &str = concat!(
    "faad88f473c5c9f296a4c11d0ea4c3c8f7d280dac2234d628e5b2eab038940345ffbf23e390f45c7fdd4f268533fd884",
    "1724c8727051e3d5b0a1874431dc8465",
);
const MODULUS: &str = concat!(
    "f9dc8e119dbbb1d7bdbeba9e48410e34a25e5413cc297bc622c4ece03955576af98978b012f24a23a77551d8532f63ea",
    "8ee16391afde96565ff6f92ad3cefcbbc689c779f26a1d4d2b1a77745364711ae36751d1c3c9412af69f6c07e8491973",
    "4a58d7cfae616d308b824d13c767d2139d06d4cd1bf2e16df9d0d5e00bf3d379",
);
const SIGNATURE: &str = concat!(
    "a467b31c2bdc761b9cb55daa6aa75d3d536b8d8f32e38a723858eeb526093c1f22733c6d3f62ecf1015910b1d530920b",
    "ff69600cf153c700887c2f31827d85049dbc1d291669ff651e65582836c4aa2b16ca93fac9f25cd8ee322fbec1a9103a",
    "220f4f7378977de0d34e2c60155a55196cda86a3dce2dfecf49d812d2a028eaf",
);

#[test]
fn rsa_signatures_are_those_of_openssl() {
    let suite = des_md5_rsa();
    let (public, signature) = (VerifyingKey::new(&hex(MODULUS)).unwrap(), Signature::new(&hex(SIGNATURE)).unwrap());
    suite.verify(&public, &[b"g and ", b"S_SL"], &signature).unwrap();
    assert_eq!(suite.verify(&public, &[b"g and S_SM"], &signature), Err(VerifyError::Forged));
    for primes in [[PRIME_1, PRIME_2], [PRIME_2, PRIME_1]] {
        let secret = Secret::new(&hex(&primes.concat()));
        // Blinding does not show.
        for seed in [&[1u8][..], &[2, 3]] {
            assert_eq!(suite.sign(&mut Gives(seed), &secret, &[b"g and ", b"S_SL"]).unwrap(), signature);
        }
    }
}

#[test]
fn what_is_no_modulus_verifies_nothing() {
    let suite = des_md5_rsa();
    let signature = Signature::new(&hex(SIGNATURE)).unwrap();
    let right = hex(MODULUS);
    let mut even = right.clone();
    even[127] ^= 1;
    let mut short = right.clone();
    short[0] &= 0x7F;
    let longer = [&[0][..], &right].concat();
    for wrong in [even, short, longer, vec![0; 128], vec![0xFF; 128], vec![0xFF; 160], right[1..].to_vec(), vec![]] {
        let key = VerifyingKey::new(&wrong).unwrap();
        assert_eq!(suite.verify(&key, &[b"g and S_SL"], &signature), Err(VerifyError::Forged), "{wrong:02x?}");
    }
    // 1 and n - 1 are powers of themselves: no text encodes to them.
    let mut one = vec![0; 128];
    one[127] = 1;
    let mut minus_one = right.clone();
    minus_one[127] ^= 1;
    for fixed in [one, minus_one, right.clone()] {
        let key = VerifyingKey::new(&right).unwrap();
        assert_eq!(suite.verify(&key, &[b""], &Signature::new(&fixed).unwrap()), Err(VerifyError::Forged));
    }
}

#[test]
fn weak_keys_are_known_in_each_parity() {
    let suite = des_md5_rsa();
    // FIPS 74 §3.6: weak, then semi-weak; one that is possibly weak.
    let weak = [
        "0101010101010101",
        "fefefefefefefefe",
        "1f1f1f1f0e0e0e0e",
        "e0e0e0e0f1f1f1f1",
        "011f011f010e010e",
        "1f011f010e010e01",
        "01e001e001f101f1",
        "e001e001f101f101",
        "01fe01fe01fe01fe",
        "fe01fe01fe01fe01",
        "1fe01fe00ef10ef1",
        "e01fe01ff10ef10e",
        "1ffe1ffe0efe0efe",
        "fe1ffe1ffe0efe0e",
        "e0fee0fef1fef1fe",
        "fee0fee0fef1fef1",
        "1f1f01010e0e0101",
    ];
    for key in weak {
        let key = hex(key);
        for parity in 0..=0xFFu8 {
            let flipped: Vec<u8> = key.iter().zip(0..).map(|(byte, at)| byte ^ (parity >> at & 1)).collect();
            assert!(suite.is_weak(&Secret::new(&flipped)), "{flipped:02x?}");
        }
        // A weak key undoes itself, which is what makes it weak.
        let strange = des(&key, &des(&key, b"one text")) == b"one text";
        assert_eq!(
            strange,
            ["0101010101010101", "fefefefefefefefe", "1f1f1f1f0e0e0e0e", "e0e0e0e0f1f1f1f1"].map(hex).contains(&key)
        );
        for bit in (0..64).filter(|bit| bit % 8 != 7) {
            let mut other = key.clone();
            other[bit / 8] ^= 0x80 >> (bit % 8);
            assert!(!suite.is_weak(&Secret::new(&other)), "{other:02x?}");
        }
    }
    for length in [0, 7, 9, 16] {
        assert!(suite.is_weak(&Secret::new(&vec![0x5A; length])), "{length} bytes");
    }
}
