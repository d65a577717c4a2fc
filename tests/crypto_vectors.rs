//! Published values, through the contract. None was computed by this library.
#![cfg(feature = "rustcrypto")]
#![allow(clippy::indexing_slicing, clippy::unwrap_used)] // Helpers of tests, outside of test functions.

use sodality::crypto::{BoxNumber, Secret, Suite, SuiteId, VerifyError, aes_128_gcm, aes_256_gcm, chacha20_poly1305};
use sodality::endpoint::{Entropy, EntropyError};
use sodality::wire::field::{Share, Signature, Tag, VerifyingKey};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    assert_eq!(digits.len() % 2, 0, "{text}");
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn all() -> [std::sync::Arc<dyn Suite>; 3] {
    [aes_128_gcm(), aes_256_gcm(), chacha20_poly1305()]
}

/// A source that gives one value.
struct Gives(Vec<u8>);

impl Entropy for Gives {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        out.copy_from_slice(&self.0);
        Ok(())
    }
}

struct Sealed<'a> {
    key: &'a str,
    nonce: &'a str,
    ad: &'a str,
    text: &'a str,
    sealed: &'a str,
    tag: &'a str,
}

/// A nonce of 96 bits is `u32 domain ‖ u64 counter` (RA §2), so each published one is the number of some box.
fn number(nonce: &str) -> BoxNumber {
    let nonce = hex(nonce);
    BoxNumber {
        domain: u32::from_be_bytes(nonce[..4].try_into().unwrap()),
        counter: u64::from_be_bytes(nonce[4..].try_into().unwrap()),
    }
}

fn check(suite: &dyn Suite, name: &str, case: &Sealed<'_>) {
    let (key, number, ad) = (Secret::new(&hex(case.key)), number(case.nonce), hex(case.ad));
    let (text, sealed, tag) = (hex(case.text), hex(case.sealed), Tag::new(&hex(case.tag)).unwrap());
    let prepared = suite.aead(&key).unwrap();
    let mut buffer = text.clone();
    assert_eq!(prepared.seal(number, &ad, &mut buffer).unwrap(), tag, "{name}: tag");
    assert_eq!(buffer, sealed, "{name}: box");
    prepared.open(number, &ad, &mut buffer, &tag).unwrap();
    assert_eq!(buffer, text, "{name}: text");
    assert_eq!(suite.seal(&key, number, &ad, &mut buffer).unwrap(), tag, "{name}: tag, one shot");
    assert_eq!(buffer, sealed, "{name}: box, one shot");
    suite.open(&key, number, &ad, &mut buffer, &tag).unwrap();
    assert_eq!(buffer, text, "{name}: text, one shot");
}

const ZERO_16: &str = "00000000000000000000000000000000";
const ZERO_32: &str = "0000000000000000000000000000000000000000000000000000000000000000";
const ZERO_12: &str = "000000000000000000000000";
const GCM_TEXT: &str = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72
                        1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255";
const GCM_SHORT: &str = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72
                         1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39";
const GCM_AD: &str = "feedfacedeadbeeffeedfacedeadbeefabaddad2";

/// McGrew and Viega, "The Galois/Counter Mode of Operation (GCM)", submission to NIST, appendix B: test cases 1 to 4.
/// Cases 5 and 6 have IVs of 64 and 480 bits, which no box has.
#[test]
fn aes_128_gcm_of_the_gcm_specification() {
    let key = "feffe9928665731c6d6a8f9467308308";
    let nonce = "cafebabefacedbaddecaf888";
    let cases = [
        Sealed { key: ZERO_16, nonce: ZERO_12, ad: "", text: "", sealed: "", tag: "58e2fccefa7e3061367f1d57a4e7455a" },
        Sealed {
            key: ZERO_16,
            nonce: ZERO_12,
            ad: "",
            text: ZERO_16,
            sealed: "0388dace60b6a392f328c2b971b2fe78",
            tag: "ab6e47d42cec13bdf53a67b21257bddf",
        },
        Sealed {
            key,
            nonce,
            ad: "",
            text: GCM_TEXT,
            sealed: "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e
                     21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091473f5985",
            tag: "4d5c2af327cd64a62cf35abd2ba6fab4",
        },
        Sealed {
            key,
            nonce,
            ad: GCM_AD,
            text: GCM_SHORT,
            sealed: "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e
                     21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091",
            tag: "5bc94fbc3221a5db94fae95ae7121a47",
        },
    ];
    for (at, case) in cases.iter().enumerate() {
        check(&*aes_128_gcm(), &format!("test case {}", at + 1), case);
    }
}

/// The same, test cases 13 to 16. Cases 17 and 18 have the other IVs.
#[test]
fn aes_256_gcm_of_the_gcm_specification() {
    let key = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
    let nonce = "cafebabefacedbaddecaf888";
    let cases = [
        Sealed { key: ZERO_32, nonce: ZERO_12, ad: "", text: "", sealed: "", tag: "530f8afbc74536b9a963b4f1c4cb738b" },
        Sealed {
            key: ZERO_32,
            nonce: ZERO_12,
            ad: "",
            text: ZERO_16,
            sealed: "cea7403d4d606b6e074ec5d3baf39d18",
            tag: "d0d1c8a799996bf0265b98b5d48ab919",
        },
        Sealed {
            key,
            nonce,
            ad: "",
            text: GCM_TEXT,
            sealed: "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa
                     8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad",
            tag: "b094dac5d93471bdec1a502270e3cc6c",
        },
        Sealed {
            key,
            nonce,
            ad: GCM_AD,
            text: GCM_SHORT,
            sealed: "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa
                     8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
            tag: "76fc6ece0f4e1768cddf8853bb2d551b",
        },
    ];
    for (at, case) in cases.iter().enumerate() {
        check(&*aes_256_gcm(), &format!("test case {}", at + 13), case);
    }
}

/// RFC 8439 §2.8.2.
#[test]
fn chacha20_poly1305_of_rfc_8439() {
    let text = "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
                sunscreen would be it.";
    let text: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    let case = Sealed {
        key: "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
        nonce: "070000004041424344454647",
        ad: "50515253c0c1c2c3c4c5c6c7",
        text: &text,
        sealed: "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6
                 3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36
                 92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc
                 3ff4def08e4b7a9de576d26586cec64b6116",
        tag: "1ae10b594f09e26a7e902ecbd0600691",
    };
    check(&*chacha20_poly1305(), "section 2.8.2", &case);
}

/// FIPS 180-2 appendix B.1 and B.2 ("abc" and the message of 56 bytes), and NIST's example of the empty message.
#[test]
fn sha_256_of_fips_180() {
    let cases = [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
        ),
    ];
    for suite in all() {
        for (text, digest) in cases {
            assert_eq!(suite.hash(&[text.as_bytes()]).unwrap().as_bytes(), hex(digest), "{text:?}");
        }
    }
}

/// The message of test 1024 in RFC 8032 §7.1: 1,023 bytes.
const RFC_8032_LONG: &str = "
    08b8b2b733424243760fe426a4b54908632110a66c2f6591eabd3345e3e4eb98fa6e264bf09efe12ee50f8f54e9f77b1
    e355f6c50544e23fb1433ddf73be84d879de7c0046dc4996d9e773f4bc9efe5738829adb26c81b37c93a1b270b20329d
    658675fc6ea534e0810a4432826bf58c941efb65d57a338bbd2e26640f89ffbc1a858efcb8550ee3a5e1998bd177e93a
    7363c344fe6b199ee5d02e82d522c4feba15452f80288a821a579116ec6dad2b3b310da903401aa62100ab5d1a36553e
    06203b33890cc9b832f79ef80560ccb9a39ce767967ed628c6ad573cb116dbefefd75499da96bd68a8a97b928a8bbc10
    3b6621fcde2beca1231d206be6cd9ec7aff6f6c94fcd7204ed3455c68c83f4a41da4af2b74ef5c53f1d8ac70bdcb7ed1
    85ce81bd84359d44254d95629e9855a94a7c1958d1f8ada5d0532ed8a5aa3fb2d17ba70eb6248e594e1a2297acbbb39d
    502f1a8c6eb6f1ce22b3de1a1f40cc24554119a831a9aad6079cad88425de6bde1a9187ebb6092cf67bf2b13fd65f270
    88d78b7e883c8759d2c4f5c65adb7553878ad575f9fad878e80a0c9ba63bcbcc2732e69485bbc9c90bfbd62481d9089b
    eccf80cfe2df16a2cf65bd92dd597b0707e0917af48bbb75fed413d238f5555a7a569d80c3414a8d0859dc65a46128ba
    b27af87a71314f318c782b23ebfe808b82b0ce26401d2e22f04d83d1255dc51addd3b75a2b1ae0784504df543af8969b
    e3ea7082ff7fc9888c144da2af58429ec96031dbcad3dad9af0dcbaaaf268cb8fcffead94f3c7ca495e056a9b47acdb7
    51fb73e666c6c655ade8297297d07ad1ba5e43f1bca32301651339e22904cc8c42f58c30c04aafdb038dda0847dd988d
    cda6f3bfd15c4b4c4525004aa06eeff8ca61783aacec57fb3d1f92b0fe2fd1a85f6724517b65e614ad6808d6f6ee34df
    f7310fdc82aebfd904b01e1dc54b2927094b2db68d6f903b68401adebf5a7e08d78ff4ef5d63653a65040cf9bfd4aca7
    984a74d37145986780fc0b16ac451649de6188a7dbdf191f64b5fc5e2ab47b57f7f7276cd419c17a3ca8e1b939ae49e4
    88acba6b965610b5480109c8b17b80e1b7b750dfc7598d5d5011fd2dcc5600a32ef5b52a1ecc820e308aa342721aac09
    43bf6686b64b2579376504ccc493d97e6aed3fb0f9cd71a43dd497f01f17c0e2cb3797aa2a2f256656168e6c496afc5f
    b93246f6b1116398a346f1a641f3b041e989f7914f90cc2c7fff357876e506b50d334ba77c225bc307ba537152f3f161
    0e4eafe595f6d9d90d11faa933a15ef1369546868a7f3a45a96768d40fd9d03412c091c6315cf4fde7cb68606937380d
    b2eaaa707b4c4185c32eddcdd306705e4dc1ffc872eeee475a64dfac86aba41c0618983f8741c5ef68d3a101e8a3b8ca
    c60c905c15fc910840b94c00a0b9d0
";

/// RFC 8032 §7.1: tests 1, 2, 3, 1024 and SHA(abc).
#[test]
fn ed25519_of_rfc_8032() {
    let cases = [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155
             5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac
             18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
        (
            "f5e5767cf153319517630f226876b86c8160cc583bc013744c6bf255f5cc0ee5",
            "278117fc144c72340f67d0f2316e8386ceffbf2b2428c9c51fef7c597f1d426e",
            RFC_8032_LONG,
            "0aab4c900501b3e24d7cdf4663326a3a87df5e4843b2cbdb67cbf6e460fec350
             aa5371b1508f9f4528ecea23c436d94b5e8fcd4f681e30a6ac00a9704a188a03",
        ),
        (
            "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
            "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b589
             09351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
        ),
    ];
    for suite in all() {
        for (secret, public, text, signature) in cases {
            let text = hex(text);
            let (left, right) = text.split_at(text.len() / 2);
            let (key, made) = suite.signing_pair(&mut Gives(hex(secret))).unwrap();
            assert_eq!(made.as_bytes(), hex(public), "public key of {secret}");
            let signature = Signature::new(&hex(signature)).unwrap();
            assert_eq!(suite.sign(&key, &[left, right]).unwrap(), signature, "signature of {secret}");
            suite.verify(&VerifyingKey::new(&hex(public)).unwrap(), &[&text], &signature).unwrap();
        }
    }
}

/// RFC 7748 §5.2: the two single steps, and 1 and 1,000 iterations.
#[test]
fn x25519_of_rfc_7748_section_5_2() {
    let steps = [
        (
            "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
            "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
            "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
        ),
        (
            "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
            "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
            "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
        ),
    ];
    let suite = aes_128_gcm();
    let step = |k: &[u8], u: &[u8]| suite.agree(&Secret::new(k), &Share::new(u).unwrap()).unwrap().expose().to_vec();
    for (k, u, out) in steps {
        assert_eq!(step(&hex(k), &hex(u)), hex(out));
    }
    let mut k = hex("0900000000000000000000000000000000000000000000000000000000000000");
    let mut u = k.clone();
    for at in 1..=1000 {
        let out = step(&k, &u);
        (u, k) = (k, out);
        if at == 1 {
            assert_eq!(k, hex("422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"));
        }
    }
    assert_eq!(k, hex("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"));
}

/// RFC 7748 §6.1.
#[test]
fn x25519_of_rfc_7748_section_6_1() {
    for suite in all() {
        let alice = hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
        let bob = hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
        let (alice, alice_share) = suite.agreement_pair(&mut Gives(alice)).unwrap();
        let (bob, bob_share) = suite.agreement_pair(&mut Gives(bob)).unwrap();
        let public = hex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
        assert_eq!(alice_share.as_bytes(), public);
        let public = hex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
        assert_eq!(bob_share.as_bytes(), public);
        let shared = hex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
        assert_eq!(suite.agree(&alice, &bob_share).unwrap().expose(), shared);
        assert_eq!(suite.agree(&bob, &alice_share).unwrap().expose(), shared);
    }
}

/// RFC 8032 §5.1.7 wants S below the group order, and strict verification a key that is not of small order.
#[test]
fn malleable_and_weak_signatures_are_refused() {
    let suite = aes_128_gcm();
    // The neutral point as key and as R, with S = 0: the equation holds for every text.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let mut weak = [0; 64];
    weak[..32].copy_from_slice(&neutral);
    let (key, weak) = (VerifyingKey::new(&neutral).unwrap(), Signature::new(&weak).unwrap());
    assert_eq!(suite.verify(&key, &[b"any text"], &weak), Err(VerifyError::Forged));

    // S + L in place of S (L of RFC 8032 §5.1, little endian).
    let order = hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let (secret, public) = suite.signing_pair(&mut Gives(vec![7; 32])).unwrap();
    let mut signature = suite.sign(&secret, &[b"text"]).unwrap().as_bytes().to_vec();
    let mut carry = 0;
    for (byte, add) in signature[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        (*byte, carry) = (sum as u8, sum >> 8);
    }
    let signature = Signature::new(&signature).unwrap();
    assert_eq!(suite.verify(&public, &[b"text"], &signature), Err(VerifyError::Forged));
}

#[test]
fn each_suite_has_its_number() {
    let numbers = all().map(|suite| suite.id());
    assert_eq!(numbers, [SuiteId::AES_128_GCM, SuiteId::AES_256_GCM, SuiteId::CHACHA20_POLY1305]);
}
