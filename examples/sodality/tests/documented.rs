//! `docs/program.md` says what the program prints and how it ends. What the other tests see is compared with the page as they
//! see it (`common::page`); here is what no test may come across.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use common::{Scratch, page};

/// The kinds that the source tells: what stands first in a call that tells something.
fn told() -> BTreeSet<String> {
    fn walk(folder: &Path, kinds: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, kinds);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            for call in ["say(", "tell(", "closing("] {
                for after in text.split(call).skip(1) {
                    let quoted = after.trim_start().strip_prefix('"').and_then(|rest| rest.split_once("\","));
                    // The heading of a table has no kind, and no machine gets it.
                    let kind = quoted.map(|(kind, _)| kind).filter(|kind| !kind.is_empty() && !kind.contains('"'));
                    kinds.extend(kind.map(str::to_owned));
                }
            }
        }
    }
    let mut kinds = BTreeSet::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut kinds);
    kinds
}

#[test]
fn every_kind_of_line_is_on_the_page() {
    let (told, known) = (told(), page::kinds());
    assert!(told.len() > 50, "the search works: {told:?}");
    let missing: Vec<_> = told.iter().filter(|kind| !known.contains_key(*kind)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_page_has_no_kind_that_the_source_lacks() {
    let mut source = String::new();
    fn walk(folder: &Path, source: &mut String) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, source);
            } else {
                source.push_str(&fs::read_to_string(&path).unwrap());
            }
        }
    }
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut source);
    for (kind, fields) in page::kinds() {
        for word in fields.iter().chain([kind]) {
            assert!(source.contains(&format!("\"{word}\"")), "{word} of {kind} is in no source");
        }
    }
}

#[test]
fn every_verb_tells_the_exit_statuses_of_the_page() {
    let scratch = Scratch::new("statuses");
    let page = page::text();
    let study = cfg!(feature = "study").then_some("attack");
    for verb in ["register", "user", "ttp", "lead", "join", "demo"].into_iter().chain(study) {
        let help = scratch.good(&[verb, "--help"]);
        let statuses = help.split("Exit status:\n").nth(1).unwrap_or_else(|| panic!("{verb}: {help}"));
        let mut rows = 0;
        for line in statuses.lines().filter(|line| !line.trim().is_empty()) {
            let (status, meaning) = line.trim().split_once(' ').unwrap();
            assert!(page.contains(&format!("| {status} | {} |", meaning.trim())), "{verb}: {line}");
            rows += 1;
        }
        assert_eq!(rows, 8, "{help}");
    }
}

#[test]
fn every_command_of_the_help_is_on_the_page() {
    let source = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/verbs/input.rs")).unwrap();
    let page = page::text();
    let mut commands = 0;
    for line in source.lines().filter_map(|line| line.trim().strip_prefix("\"/")) {
        let word: String = line.chars().take_while(char::is_ascii_lowercase).collect();
        if !word.is_empty() && line.contains("  ") {
            assert!(page.contains(&format!("`/{word}")), "{word}");
            commands += 1;
        }
    }
    assert!(commands > 7, "{commands}");
}
