//! Every attack, run by the rules, and the page that says what came of it. After a change that is meant:
//! `SODALITY_UPDATE=1 cargo test -p attacks --test matrix`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use attacks::{ROWS, SEED, System, matrix};

fn place(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

#[test]
fn every_attack_keeps_the_rules_and_the_page_says_what_came_of_it() {
    let matrix = matrix::all(SEED);
    println!("seed {SEED}");
    matrix::plain(&matrix).iter().for_each(|line| println!("{line}"));
    let mut against = Vec::new();
    for report in matrix.iter().flatten() {
        against.extend(report.objections.iter().map(|why| format!("{} ({}): {why}", report.row.id, report.cell)));
    }
    assert!(against.is_empty(), "{}", against.join("\n"));
    let (path, made) = (place("docs/attack-matrix.md"), matrix::markdown(&matrix, SEED));
    if std::env::var_os("SODALITY_UPDATE").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let stored = fs::read_to_string(&path).unwrap_or_default();
    for (old, new) in stored.lines().zip(made.lines()) {
        assert_eq!(old, new, "docs/attack-matrix.md is not what the runs give: see the head of tests/matrix.rs");
    }
    assert_eq!(
        stored.len(),
        made.len(),
        "docs/attack-matrix.md is not what the runs give: see the head of tests/matrix.rs"
    );
}

#[test]
fn each_row_of_the_specification_that_a_system_shows_is_there_once() {
    let text = fs::read_to_string(place("docs/specification/attacks.md")).unwrap();
    let numbered = |letter: &'static str, numbers: Vec<u32>| numbers.into_iter().map(move |n| format!("{letter}{n}"));
    let antigone = numbered("G", (1..=7).collect())
        .chain(numbered("A", (1..=23).collect()))
        .chain(numbered("X", vec![1, 2, 4, 5, 7, 12, 13, 15]));
    let enclaves = numbered("G", vec![2])
        .chain(numbered("E", (1..=16).collect()))
        .chain(numbered("X", vec![3, 6, 7, 8, 9, 10, 11]));
    let wanted: Vec<(System, String)> =
        antigone.map(|id| (System::Antigone, id)).chain(enclaves.map(|id| (System::Enclaves, id))).collect();
    let listed: Vec<(System, String)> = ROWS.iter().map(|row| (row.system, row.id.to_owned())).collect();
    assert_eq!(listed, wanted);
    // Each row of the specification but for X14, which needs several leaders.
    let all = text.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next()).filter(|id| {
        let number = id.strip_prefix(['G', 'A', 'E', 'X']);
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    });
    let shown: BTreeSet<&str> = ROWS.iter().map(|row| row.id).collect();
    assert_eq!(all.filter(|id| !shown.contains(id)).collect::<Vec<_>>(), ["X14"]);
    for row in ROWS {
        let line = text.lines().find(|line| line.starts_with(&format!("| {} |", row.id))).unwrap();
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        assert!(!row.steps.is_empty() && !row.holds.is_empty() && !row.reaches.is_empty(), "{}", row.id);
        if row.id.starts_with(['A', 'E', 'G']) {
            assert!(cells.contains(&row.class.letter()), "{}: {line}", row.id);
        }
    }
}

/// What comes of an attack is no accident of one seed.
#[test]
fn other_seeds_come_to_the_same() {
    let first = std::env::var("SODALITY_FIRST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(100);
    let count = std::env::var("SODALITY_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    let short = |seed| -> Vec<_> {
        let all = matrix::all(seed);
        for report in all.iter().flatten() {
            assert!(report.objections.is_empty(), "seed {seed}, {}: {:?}", report.row.id, report.objections);
        }
        all.iter().flatten().map(|report| report.outcome.as_ref().map(attacks::Outcome::short)).collect()
    };
    let usual = short(SEED);
    for seed in first..first + count {
        println!("seed {seed}");
        assert_eq!(short(seed), usual, "seed {seed}");
    }
}
