//! The layout document is what the declarations say. After a change of the declarations:
//! `SODALITY_UPDATE=1 cargo test --test wire_layout`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fs;
use std::path::Path;

use serde_json::Value;
use sodality::wire::antigone::{Change, MESSAGES};
use sodality::wire::layout::{Recorded, Section, Structure, render, render_sections};
use sodality::wire::policy::PolicyForm;
use sodality::wire::published::{
    ConfirmText, DataText, KeyText, PairText, RemovalText, ReplyText, StrongText, TargetText,
};
use sodality::wire::transfer::ObjectMessage;
use sodality::wire::{Field, MessageInfo, bridges, published};

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
[specification/antigone-published.md](specification/antigone-published.md#9-how-this-library-encodes-the-messages).
";

const VECTORS: &str = "From tests/vectors/antigone.json, which holds the keys and all steps in between.";

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
    ];
    let rendered =
        render_sections(PUBLISHED, &sections, VECTORS, &frames).expect("the samples are what they claim to be");
    compare("docs/wire-layout-published.md", &rendered);
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
