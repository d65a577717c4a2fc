//! `sodality attack`, as a user calls it.
#![cfg(all(unix, feature = "study"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.
#![allow(dead_code)] // A part of what the tests share.

mod common;

use common::{Scratch, field, page};

#[test]
fn the_catalogue_is_listed_with_all_that_the_page_says() {
    let scratch = Scratch::new("attack-list");
    let (said, json) = (scratch.good(&["attack", "list"]), scratch.good(&["attack", "list", "--json"]));
    assert_eq!(json.lines().count(), attacks::ROWS.len());
    for (row, line) in attacks::ROWS.iter().zip(json.lines()) {
        page::check(line);
        assert_eq!((field(line, "id"), field(line, "class")), (row.id, row.class.letter()));
        assert!(said.lines().any(|line| line.starts_with(row.id) && line.ends_with(row.title)), "{}", row.id);
    }
}

#[test]
fn an_attack_on_the_repaired_edition_is_stopped_by_a_check_that_has_a_name() {
    let scratch = Scratch::new("attack-run");
    let json = scratch.good(&["attack", "run", "a11", "--edition", "repaired", "--json"]);
    let lines: Vec<&str> = json.lines().collect();
    lines.iter().for_each(|line| page::check(line));
    assert_eq!((lines.len(), field(lines[1], "what")), (2, "outcome"));
    assert_eq!((field(lines[1], "outcome"), field(lines[1], "without")), ("stopped: NewerEpoch", "wins"));
    let said = scratch.good(&["attack", "run", "A11", "--suite", "modern", "--seed", "12"]);
    assert!(said.contains("repaired, modern, seed 12: stopped: NewerEpoch") && said.contains("control run: stopped"));
}

#[test]
fn the_matrix_as_a_page_is_the_page() {
    let scratch = Scratch::new("attack-matrix");
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/attack-matrix.md");
    assert_eq!(scratch.good(&["attack", "matrix", "--markdown"]), std::fs::read_to_string(page).unwrap());
}

#[test]
fn what_does_not_exist_is_a_wrong_command_line() {
    let scratch = Scratch::new("attack-none");
    scratch.bad(&["attack", "run", "A99"], 2, &["A99", "attack list"]);
    scratch.bad(&["attack", "run", "A1", "--edition", "repaired", "--suite", "des-md5-rsa"], 2, &["--suite modern"]);
}
