//! The layout document is what the declarations say. After a change of the declarations:
//! `SODALITY_UPDATE=1 cargo test --test wire_layout`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fs;
use std::path::Path;

use sodality::wire::Field;
use sodality::wire::antigone::{Change, MESSAGES};
use sodality::wire::layout::{Structure, render};
use sodality::wire::policy::PolicyForm;
use sodality::wire::transfer::ObjectMessage;

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
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/wire-layout.md");
    if std::env::var_os("SODALITY_UPDATE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &rendered).unwrap();
    }
    let stored = fs::read_to_string(&path).unwrap_or_default();
    if stored != rendered {
        let at = stored.lines().zip(rendered.lines()).position(|(old, new)| old != new);
        let at = at.unwrap_or_else(|| stored.lines().count().min(rendered.lines().count()));
        panic!(
            "docs/wire-layout.md is not what the declarations say; first difference in line {}:\n  stored:   {}\n  \
             rendered: {}\nRun `SODALITY_UPDATE=1 cargo test --test wire_layout`, and read what changed: a change of \
             the layout needs a new version of the format.",
            at + 1,
            stored.lines().nth(at).unwrap_or("(nothing)"),
            rendered.lines().nth(at).unwrap_or("(nothing)"),
        );
    }
}
