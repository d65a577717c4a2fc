//! The codes of reasons: given once, never changed (`tests/reasons.txt`), and the page that explains them is what the table
//! says. After a change of the table: `SODALITY_UPDATE=1 cargo test --test reasons`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use sodality::explain::{self, Class, GROUPS};

const HEAD: &str = "\
# Reasons

Made from the table in `src/explain/table.rs`; `tests/reasons.rs` compares. A change there:
`SODALITY_UPDATE=1 cargo test --test reasons`.

Whenever something is refused, ends or has to wait, it is told with one reason of a closed list. The reason is told to the
application on this side and to nobody else: a peer that is refused hears nothing (R4, R46). In the code a reason is an enum;
`explain::Explained` gives its **code**, which is never changed once it is given, and a word on what it means. `sodality explain
CODE` prints the same.

A message that cannot be read is refused with a reason `reject.…`. Its class tells whether that is how it should be; whose the
message claims to be, and of which epoch, stands in the event ([RA §5](specification/antigone-repaired.md#5-data)).

";

fn place(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn render() -> String {
    let mut out = HEAD.to_owned();
    out.push_str("| class | what it means |\n|---|---|\n");
    for class in Class::ALL {
        writeln!(out, "| {} | {} |", class.name(), class.meaning()).unwrap();
    }
    for group in GROUPS {
        write!(out, "\n## {}\n\n{}\n\n", group.name, group.told).unwrap();
        out.push_str("| code | class | what happened | what to do |\n|---|---|---|---|\n");
        for reason in group.all {
            writeln!(out, "| `{}` | {} | {} | {} |", reason.code, reason.class, reason.happened, reason.advice)
                .unwrap();
        }
    }
    out
}

#[test]
fn the_page_of_reasons_is_current() {
    let (path, rendered) = (place("docs/reasons.md"), render());
    if std::env::var_os("SODALITY_UPDATE").is_some() {
        fs::write(&path, &rendered).unwrap();
    }
    let stored = fs::read_to_string(&path).unwrap_or_default();
    if stored != rendered {
        let at = stored.lines().zip(rendered.lines()).position(|(old, new)| old != new);
        panic!(
            "docs/reasons.md is not what the table says; first difference in line {}. Run `SODALITY_UPDATE=1 cargo test --test \
             reasons`, and read what changed.",
            at.unwrap_or_else(|| stored.lines().count().min(rendered.lines().count())) + 1
        );
    }
}

/// The list is kept by hand: a new code is added at its end, and nothing is ever taken away or altered.
#[test]
fn a_code_that_was_given_stays() {
    let listed = fs::read_to_string(place("tests/reasons.txt")).unwrap();
    let given: Vec<&str> = listed.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let known: BTreeSet<&str> = explain::all().map(|reason| reason.code).collect();
    let ever: BTreeSet<&str> = given.iter().copied().collect();
    assert_eq!(ever.len(), given.len(), "a code stands twice in tests/reasons.txt");
    let lost: Vec<_> = ever.difference(&known).collect();
    assert_eq!(lost, [&""; 0], "these codes were given and may not go: programs and people look them up");
    let new: Vec<_> = known.difference(&ever).collect();
    assert_eq!(new, [&""; 0], "new codes: add them at the end of tests/reasons.txt, for good");
}

#[test]
fn codes_and_texts_have_one_form() {
    let word = |word: &str| {
        let letters = word.chars().all(|c| c.is_ascii_lowercase());
        !word.is_empty() && letters
    };
    for reason in explain::all() {
        let code = reason.code;
        assert!(code.contains('.') && code.split('.').all(|part| part.split('-').all(word)), "{code}");
        assert!(code.len() <= 40, "{code} is long");
        for text in [reason.happened, reason.advice] {
            assert!(text.ends_with('.') && !text.contains('|') && !text.contains('\n'), "{code}: {text}");
            assert!(text.starts_with(|c: char| c.is_uppercase() || c == '`'), "{code}: {text}");
        }
        assert!(reason.happened.len() + reason.advice.len() <= 360, "{code}: say it in fewer words");
    }
}
