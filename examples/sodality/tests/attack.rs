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
        assert_eq!(field(line, "system"), row.system.word());
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
fn an_attack_on_the_edition_as_published_wins_and_its_control_run_does_not() {
    let scratch = Scratch::new("attack-published");
    let alone = ["attack", "run", "A11", "--edition", "as-published", "--suite", "des-md5-rsa", "--json"];
    let json = scratch.good(&alone);
    let lines: Vec<&str> = json.lines().collect();
    lines.iter().for_each(|line| page::check(line));
    assert_eq!((lines.len(), field(lines[1], "outcome"), field(lines[1], "control")), (2, "wins", "stopped"));
    // Without an edition: all columns.
    assert_eq!(scratch.good(&["attack", "run", "A11", "--json"]).lines().count(), 4);
}

#[test]
fn an_attack_that_both_systems_show_is_run_on_both_or_on_the_one_that_is_named() {
    let scratch = Scratch::new("attack-both");
    let systems = |arguments: &[&str]| -> Vec<String> {
        let json = scratch.good(&[&["attack", "run", "G2", "--edition", "repaired", "--json"], arguments].concat());
        json.lines().inspect(|line| page::check(line)).map(|line| field(line, "system").to_owned()).collect()
    };
    assert_eq!(systems(&[]), ["antigone", "antigone", "enclaves", "enclaves"]);
    assert_eq!(systems(&["--system", "enclaves"]), ["enclaves"; 2]);
    let listed = scratch.good(&["attack", "list", "--system", "enclaves"]);
    assert!(listed.lines().count() > 16 && listed.lines().all(|line| line.contains(" enclaves ")));
}

#[test]
fn an_attack_on_enclaves_wins_as_published_and_is_stopped_as_repaired() {
    let scratch = Scratch::new("attack-enclaves");
    let json = scratch.good(&["attack", "run", "E12", "--json"]);
    let outcomes: Vec<&str> = json.lines().skip(1).map(|line| field(line, "outcome")).collect();
    assert_eq!(outcomes, ["wins", "wins", "stopped: ChainBox"]);
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
    scratch.bad(&["attack", "run", "A11", "--system", "enclaves"], 2, &["A11", "on Enclaves"]);
    scratch.bad(&["attack", "run", "A1", "--edition", "repaired", "--suite", "des-md5-rsa"], 2, &["--suite modern"]);
}
