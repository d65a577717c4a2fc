//! The layout document is what the declarations say. After a change of the declarations:
//! `SODALITY_UPDATE=1 cargo test --test wire_layout`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;
mod version_1;
mod version_2;

use std::fs;
use std::path::Path;

use serde_json::Value;
use sodality::crypto::Secret;
use sodality::event::Port;
use sodality::sim::enclaves_version_1::VersionOneConfig;
use sodality::sim::enclaves_version_2::{VersionTwoConfig, user_key};
use sodality::wire::antigone::{Change, MESSAGES};
use sodality::wire::enclaves::version_2::GossipKeyText as GossipKeyTextForm;
use sodality::wire::field::Nonce;
use sodality::wire::layout::{Recorded, Section, Structure, render, render_sections};
use sodality::wire::policy::PolicyForm;
use sodality::wire::published::{
    ConfirmText, DataText, KeyText, PairText, RemovalText, ReplyText, StrongText, TargetText,
};
use sodality::wire::transfer::ObjectMessage;
use sodality::wire::{Field, Message as _, MessageInfo, bridges, enclaves, published};

const SOURCE: &str = "From a run in the simulator under the suite without security, so that boxes can be read: under the \
                      others the text is ciphertext of the same length.";

#[test]
fn the_layout_document_is_current() {
    let frames = support::recorded::recorded();
    for info in MESSAGES {
        assert!(frames.iter().any(|frame| frame.id == info.id), "{}: no frame to show", info.id);
    }
    let structures = [
        Structure { title: "Change: what the digest of a view runs over", shape: &Change::SHAPE, samples: Vec::new() },
        Structure {
            title: "PolicyForm: the policy in RA-J2, and what its digest runs over",
            shape: &PolicyForm::SHAPE,
            samples: vec![sodality::policy::Policy::default().encode().to_vec()],
        },
        Structure {
            title: "ObjectMessage: the payload of port 1",
            shape: &ObjectMessage::SHAPE,
            samples: support::recorded::object_messages(),
        },
    ];
    let rendered = render(MESSAGES, &structures, SOURCE, &frames).expect("the frames are what they claim to be");
    compare("docs/wire-layout.md", &rendered);
}

const PUBLISHED: &str = "\
# Wire layout: as published, and mixes

<!-- Generated from the declarations in src/wire. After a change: SODALITY_UPDATE=1 cargo test --test wire_layout -->

The rules, the header, the guards and the encodings are those of [wire-layout.md](wire-layout.md). Which keys stand behind
`{…}`, a digest or a signature, and what these cover, is in
[specification/antigone-published.md](specification/antigone-published.md#9-how-this-library-encodes-the-messages) and, for
Enclaves, in [specification/enclaves.md](specification/enclaves.md).
";

const VECTORS: &str =
    "From tests/vectors/antigone.json, which holds the keys and all steps in between; those of Enclaves from a run.";

fn bytes(value: &Value) -> Vec<u8> {
    let digits = value.as_str().unwrap().strip_prefix("0x").unwrap();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// The first vector of that id: of the published edition under the suite of 1999.
fn first<'v>(vectors: &'v Value, id: &str) -> Option<&'v Value> {
    vectors["vectors"].as_array().unwrap().iter().find(|vector| vector["id"] == id)
}

/// A frame of each message that is as published or a bridge.
fn shown(vectors: &Value) -> Vec<Recorded> {
    let frame = |info: &&'static MessageInfo| {
        let vector = first(vectors, info.id).unwrap_or_else(|| panic!("{}: no vector", info.id));
        Recorded { id: info.id, frame: bytes(&vector["bytes"]), opened: None }
    };
    [published::MESSAGES, bridges::MESSAGES].into_iter().flatten().map(frame).collect()
}

/// A frame of each message of Enclaves 2.0, and the texts inside, from one session under the suite of 1996.
fn version_2_shown() -> (Vec<Recorded>, Vec<Structure>) {
    use enclaves::version_2 as two;
    let suite = version_2::des();
    let config = VersionTwoConfig::new(suite.clone());
    let mut bench = version_2::Bench::joined(&config, 3);
    let name = version_2::name;
    let (session, group) = {
        let member = &bench.members[0];
        (member.session_key().unwrap().clone(), member.group_key().unwrap().clone())
    };
    bench.say(1, b"hello, all");
    bench.member(1, |machine, cx| machine.gossip(cx, &[name("m2"), name("m3")], Port::Application, b"psst")).unwrap();
    bench.settle();
    let to = bench.members[1].session_key().unwrap().clone();
    bench.lead(|leader, cx| leader.rekey(cx)).unwrap();
    bench.settle();
    let renewed = bench.members[0].group_key().unwrap().clone();
    bench.member(3, |machine, cx| machine.leave(cx)).unwrap();
    bench.settle();
    let places = [
        ("EN-P1", 1, 0),
        ("EN-P2", 0, 1),
        ("EN-A1", 1, 0),
        ("EN-A2", 0, 1),
        ("EN-A3", 1, 0),
        ("EN-M+", 0, 1),
        ("EN-M-", 0, 1),
        ("EN-NK", 0, 1),
        ("EN-NKA", 1, 0),
        ("EN-C1", 3, 0),
        ("EN-C2", 0, 3),
        ("EN-D1", 1, 0),
        ("EN-D2", 0, 2),
        ("EN-G1", 1, 0),
        ("EN-G2", 0, 2),
    ];
    let frame = |id: &str| {
        let (_, from, to) = places.iter().find(|(of, ..)| *of == id).unwrap();
        bench.last(id, *from, *to)
    };
    let user = user_key(&*suite, "m1");
    let random = |key: &Secret, sealed: &[u8]| suite.decrypt(key, sealed).unwrap().to_vec();
    let fixed = |key: &Secret, iv: &Nonce, sealed: &[u8]| suite.decrypt_fixed(key, iv, sealed).unwrap().to_vec();
    let (ka, kg, kn) = (session.key.secret(), group.held.key.secret(), renewed.held.key.secret());
    macro_rules! sealed {
        ($type:ident, $id:literal, $field:ident) => {
            two::$type::parse(&frame($id)).unwrap().message.$field.bytes.to_vec()
        };
    }
    let gossip_key = fixed(to.key.secret(), &to.iv, &sealed!(GossipToMember, "EN-G2", key));
    let once = Secret::new(GossipKeyTextForm::decode(&gossip_key).unwrap().key.0);
    let text = |title, shape, sample: Vec<u8>| Structure { title, shape, samples: vec![sample] };
    let texts = vec![
        text(
            "AuthRequestText: in EN-A1, under P_a",
            &two::AuthRequestText::SHAPE,
            random(user.secret(), &sealed!(AuthRequest, "EN-A1", sealed)),
        ),
        text(
            "AuthReplyText: in EN-A2, under P_a",
            &two::AuthReplyText::SHAPE,
            random(user.secret(), &sealed!(AuthReply, "EN-A2", sealed)),
        ),
        text(
            "AuthConfirmText: in EN-A3, under K_a",
            &two::AuthConfirmText::SHAPE,
            fixed(ka, &session.iv, &sealed!(AuthConfirm, "EN-A3", sealed)),
        ),
        text(
            "MemberText: in EN-M+ and EN-M-, under K_g",
            &two::MemberText::SHAPE,
            fixed(kg, &group.held.iv, &sealed!(MemberAdded, "EN-M+", sealed)),
        ),
        text(
            "NewKeyText: in EN-NK, under K_a",
            &two::NewKeyText::SHAPE,
            fixed(ka, &session.iv, &sealed!(NewKey, "EN-NK", sealed)),
        ),
        text(
            "NewKeyAckText: in EN-NKA, under K_g'",
            &two::NewKeyAckText::SHAPE,
            fixed(kn, &renewed.held.iv, &sealed!(NewKeyAck, "EN-NKA", sealed)),
        ),
        text(
            "DataText: in EN-D1 and EN-D2, under K_g; in EN-G2, under K'",
            &two::DataText::SHAPE,
            random(&once, &sealed!(GossipToMember, "EN-G2", sealed)),
        ),
        text(
            "GossipText: in EN-G1, under K_a",
            &two::GossipText::SHAPE,
            fixed(ka, &session.iv, &sealed!(GossipToLeader, "EN-G1", sealed)),
        ),
        text("GossipKeyText: in EN-G2, under K_b", &two::GossipKeyText::SHAPE, gossip_key),
    ];
    let frames = places.iter().map(|(id, ..)| Recorded { id, frame: frame(id), opened: None }).collect();
    (frames, texts)
}

/// The same of Enclaves 1.0.
fn version_1_shown() -> (Vec<Recorded>, Vec<Structure>) {
    use enclaves::version_1 as one;
    use sodality::enclaves::version_1::{Access, DirectLinks};
    let suite = version_1::des();
    let plain = || VersionOneConfig::new(suite.clone());
    let name = version_1::name;
    // Two in which the leader says no.
    let strict = VersionOneConfig { access: Access::List([name("m2")].into()), ..plain() };
    let refused = version_1::Bench::joined(&strict, 1);
    let mut denied = version_1::Bench::joined(&VersionOneConfig { direct: DirectLinks::Denied, ..plain() }, 2);
    denied.link_directly(1, 2);
    let denied_key = denied.machine(1).session_key().unwrap().clone();
    // And one in which it says yes.
    let mut bench = version_1::Bench::joined(&plain(), 3);
    let session = bench.machine(1).session_key().unwrap().clone();
    let second = bench.machine(2).session_key().unwrap().clone();
    let third = bench.machine(3).session_key().unwrap().clone();
    let group = bench.machine(1).group_key().unwrap().clone();
    bench.say(1, b"hello, all");
    bench.member(1, |machine, cx| machine.send_to(cx, &name("m2"), Port::Application, b"psst")).unwrap();
    bench.settle();
    bench.link_directly(1, 2);
    let direct = bench.machine(1).direct_key(&name("m2")).unwrap().clone();
    bench.say_directly(1, 2, b"between us");
    bench.pass(version_1::SECOND * 4);
    bench.member(1, |machine, cx| machine.close_direct(cx, &name("m2"))).unwrap();
    bench.member(2, |machine, cx| machine.leave(cx)).unwrap();
    bench.settle();
    let expelled = bench.leader().number_of(&name("m3")).unwrap();
    bench.lead(|leader, cx| leader.eject(cx, expelled)).unwrap();
    bench.settle();
    let places = [
        ("EN-1J", 1, 0),
        ("EN-1K", 0, 1),
        ("EN-1A", 1, 0),
        ("EN-1L", 2, 0),
        ("EN-1LA", 0, 2),
        ("EN-1C", 0, 3),
        ("EN-1N", 0, 1),
        ("EN-1NA", 1, 0),
        ("EN-1M", 0, 1),
        ("EN-1D", 1, 0),
        ("EN-1P", 1, 0),
        ("EN-1PD", 0, 2),
        ("EN-1XR", 1, 0),
        ("EN-1XK", 0, 1),
        ("EN-1XH", 1, 2),
        ("EN-1XW", 2, 1),
        ("EN-1XP", 1, 2),
        ("EN-1XA", 1, 2),
        ("EN-1XE", 1, 2),
    ];
    let frame = |id: &str| match id {
        "EN-1E" => refused.last(id, 0, 1),
        "EN-1XD" => denied.last(id, 0, 1),
        id => {
            let (_, from, to) = places.iter().find(|(of, ..)| *of == id).unwrap();
            bench.last(id, *from, *to)
        }
    };
    let user = user_key(&*suite, "m1");
    let (ka, kab, kg) = (session.secret(), direct.secret(), group.secret());
    macro_rules! text {
        ($title:literal, $text:ident, $type:ident, $id:literal, $key:expr) => {{
            let frame = frame($id);
            let sealed = one::$type::parse(&frame).unwrap().message.sealed.bytes;
            Structure {
                title: concat!(stringify!($text), ": ", $title),
                shape: &one::$text::SHAPE,
                samples: vec![suite.decrypt($key, sealed).unwrap().to_vec()],
            }
        }};
    }
    let texts = vec![
        text!(
            "in EN-1J, under P_a; in EN-1L, under K_a; in EN-1XH, EN-1XA, EN-1XE, under K_ab",
            PlainText,
            JoinRequest,
            "EN-1J",
            user.secret()
        ),
        text!("in EN-1K, under P_a", KeysText, JoinReply, "EN-1K", user.secret()),
        text!("in EN-1E, under P_a", RefusalText, JoinRefused, "EN-1E", user.secret()),
        text!("in EN-1A, under K_a", HereText, Here, "EN-1A", ka),
        text!("in EN-1LA and EN-1NA, under K_a; in EN-1XW, under K_ab", AnswerText, DirectWelcome, "EN-1XW", kab),
        text!("in EN-1C, under K_a", CloseText, Close, "EN-1C", third.secret()),
        text!("in EN-1N, under K_a", NewKeyText, NewKey, "EN-1N", ka),
        text!("in EN-1M, under K_a", NoticeText, Notice, "EN-1M", ka),
        text!("in EN-1D, under K_g; in EN-1XP, under K_ab", DataText, Data, "EN-1D", kg),
        text!(
            "in EN-1P and EN-1PD, under the K_a of each end",
            PrivateText,
            PrivateDelivery,
            "EN-1PD",
            second.secret()
        ),
        text!("in EN-1XR and EN-1XD, under K_a", DirectRequestText, DirectDenied, "EN-1XD", denied_key.secret()),
        text!("in EN-1XK, under K_a", DirectKeyText, DirectKey, "EN-1XK", ka),
    ];
    let ids = one::MESSAGES.iter().map(|info| info.id);
    let frames = ids.map(|id| Recorded { id, frame: frame(id), opened: None }).collect();
    (frames, texts)
}

const TEXTS: &str = "\
What stands in `{…}`: the text before it is encrypted, and after it was decrypted. In the frame `{…}` is a `payload`: the
length (4 bytes) is that of all that the suite makes of the text, IV or nonce, padding and tag included.";

#[test]
fn the_layout_document_of_the_published_edition_is_current() {
    let vectors: Value = serde_json::from_str(include_str!("vectors/antigone.json")).unwrap();
    let frames = shown(&vectors);
    // The text of the first vector of a message, where it is one of the steps that the vector tells.
    let text = |title, shape, id: &str, step: &str| {
        let step = first(&vectors, id).and_then(|vector| vector["derived"].get(step));
        Structure { title, shape, samples: step.map(bytes).into_iter().collect() }
    };
    let texts = [
        text("PairText: in AN-T2, under K_SL", &PairText::SHAPE, "AN-T2", "text"),
        text("StrongText: in AN-T2s, under K_SL", &StrongText::SHAPE, "AN-T2s", "text"),
        text("ReplyText: in AN-J2, under σ", &ReplyText::SHAPE, "AN-J2", "text"),
        text("ConfirmText: in AN-J3, under σ", &ConfirmText::SHAPE, "AN-J3", "text"),
        text("KeyText: in AN-K and in each block of AN-R, under that member's σ", &KeyText::SHAPE, "AN-K", "text"),
        text("RemovalText: in AN-L, under σ", &RemovalText::SHAPE, "AN-L", "text"),
        text("TargetText: in the `inner` of a RemovalText, under K_g", &TargetText::SHAPE, "AN-L", "inner_text"),
        text("DataText: in AN-Dc and AN-Db, under K_g", &DataText::SHAPE, "AN-Dc", "text"),
    ];
    let (two, two_texts) = version_2_shown();
    let (one, one_texts) = version_1_shown();
    let frames: Vec<Recorded> = frames.into_iter().chain(two).chain(one).collect();
    let sections = [
        Section {
            title: "Antigone as published",
            text: "No message is guarded as a whole: each guards its own parts, or fails to.",
            messages: published::MESSAGES,
            structures: &[],
        },
        Section { title: "Texts", text: TEXTS, messages: &[], structures: &texts },
        Section {
            title: "Bridges",
            text: "What repaired parts send in groups that have published parts too. In such groups RA-J2 has the \
                   alternative `AcceptMixed`.",
            messages: bridges::MESSAGES,
            structures: &[],
        },
        Section {
            title: "Enclaves 2.0 as published",
            text: "No message is guarded as a whole. Under P_a and K' a random vector stands in front of what `{…}` holds; under \
                   K_a and K_g the vector belongs to the key and is not sent again (D5). The frames are those of one session \
                   under the suite of 1996, from a run of the machines.",
            messages: enclaves::version_2::MESSAGES,
            structures: &[],
        },
        Section { title: "Texts of Enclaves 2.0", text: TEXTS, messages: &[], structures: &two_texts },
        Section {
            title: "Enclaves 1.0",
            text: "Nothing but the name in EN-1J is in clear. A random vector stands in front of what `{…}` holds, under each \
                   key. The frames are those of three sessions under the suite of 1996, from runs of the machines.",
            messages: enclaves::version_1::MESSAGES,
            structures: &[],
        },
        Section { title: "Texts of Enclaves 1.0", text: TEXTS, messages: &[], structures: &one_texts },
    ];
    let rendered =
        render_sections(PUBLISHED, &sections, VECTORS, &frames).expect("the samples are what they claim to be");
    compare("docs/wire-layout-published.md", &rendered);
}

const REPAIRED: &str = "\
# Wire layout: repaired Enclaves

<!-- Generated from the declarations in src/wire. After a change: SODALITY_UPDATE=1 cargo test --test wire_layout -->

The rules, the header, the guards and the encodings are those of [wire-layout.md](wire-layout.md). Which keys stand behind a box,
and what the parts of the ways to authenticate hold, is in [specification/enclaves.md](specification/enclaves.md#42-keys) and
[specification/enclaves-authentication.md](specification/enclaves-authentication.md).
";

const REPAIRED_VECTORS: &str = "From tests/vectors/enclaves.json, which holds the keys and all steps in between.";

#[test]
fn the_layout_document_of_repaired_enclaves_is_current() {
    use enclaves::repaired;
    let vectors: Value = serde_json::from_str(include_str!("vectors/enclaves.json")).unwrap();
    let frame = |info: &&'static MessageInfo| {
        let vector = first(&vectors, info.id).unwrap_or_else(|| panic!("{}: no vector", info.id));
        Recorded { id: info.id, frame: bytes(&vector["bytes"]), opened: None }
    };
    let frames: Vec<Recorded> = repaired::MESSAGES.iter().map(frame).collect();
    let sections = [Section {
        title: "Repaired Enclaves",
        text: "What is boxed is shown as it is sealed.",
        messages: repaired::MESSAGES,
        structures: &[],
    }];
    let rendered =
        render_sections(REPAIRED, &sections, REPAIRED_VECTORS, &frames).expect("the frames are what they claim");
    compare("docs/wire-layout-enclaves.md", &rendered);
}

fn compare(file: &str, rendered: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("SODALITY_UPDATE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, rendered).unwrap();
    }
    let stored = fs::read_to_string(&path).unwrap_or_default();
    if stored != rendered {
        let at = stored.lines().zip(rendered.lines()).position(|(old, new)| old != new);
        let at = at.unwrap_or_else(|| stored.lines().count().min(rendered.lines().count()));
        panic!(
            "{file} is not what the declarations say; first difference in line {}:\n  stored:   {}\n  \
             rendered: {}\nRun `SODALITY_UPDATE=1 cargo test --test wire_layout`, and read what changed: a change of \
             the layout needs a new version of the format.",
            at + 1,
            stored.lines().nth(at).unwrap_or("(nothing)"),
            rendered.lines().nth(at).unwrap_or("(nothing)"),
        );
    }
}
