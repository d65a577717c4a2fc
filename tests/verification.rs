//! `docs/verification.md` and `docs/transports.md` name tests that exist, and a test for each requirement that binds what exists.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

const PAGE: &str = "docs/verification.md";

/// The requirements that bind what is implemented today. The others are named on the page too, with where they stand.
const BINDING: [u32; 37] = [
    1, 2, 3, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 22, 24, 25, 26, 27, 28, 32, 33, 34, 35, 36, 38, 40,
    41, 43, 44, 45, 46, 47, 48,
];

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What stands in backquotes and looks like `file.rs::name`.
fn tests_of(text: &str) -> Vec<(&str, &str)> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter_map(|quoted| quoted.split_once(".rs::").map(|_| quoted))
        .map(split)
        .collect()
}

fn split(quoted: &str) -> (&str, &str) {
    quoted.rsplit_once("::").unwrap()
}

/// The lines of a file that declare tests: `fn name`, with an attribute above it or inside `proptest!`.
fn declared(file: &str) -> BTreeSet<String> {
    let text = read(file);
    let mut names = BTreeSet::new();
    let mut marked = false;
    for line in text.lines().map(str::trim) {
        let rest = line.strip_prefix("async ").unwrap_or(line);
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            marked = true;
        } else if let Some(rest) = rest.strip_prefix("fn ") {
            if marked {
                let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                names.insert(name);
            }
            marked = false;
        }
    }
    names
}

/// The rows of all tables below this heading: first cell → the other cells.
fn rows<'t>(text: &'t str, heading: &str) -> BTreeMap<&'t str, &'t str> {
    let section = text.split(heading).nth(1).unwrap_or_else(|| panic!("{heading} is missing"));
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| "));
    rows.filter_map(|line| line.split_once(" | ")).collect()
}

#[test]
fn every_test_that_is_named_exists() {
    let text = [PAGE, "docs/transports.md"].map(read).join("\n");
    let mut files: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut missing = Vec::new();
    let named = tests_of(&text);
    for (file, name) in &named {
        let declared = files.entry(file).or_insert_with(|| declared(file));
        if !declared.contains(*name) {
            missing.push(format!("{file}::{name}"));
        }
    }
    assert_eq!(missing, [""; 0], "named in {PAGE} or docs/transports.md, and no such test");
    assert!(named.len() > 100, "{} tests are named", named.len());
}

#[test]
fn every_requirement_that_binds_has_a_test() {
    let text = read(PAGE);
    let rows = rows(&text, "\n## Requirements\n");
    for id in BINDING {
        let row = rows.get(format!("R{id}").as_str()).unwrap_or_else(|| panic!("R{id} has no row"));
        assert!(!tests_of(row).is_empty(), "R{id} names no test");
    }
    // Every other requirement is accounted for.
    let named: BTreeSet<u32> =
        rows.keys().flat_map(|ids| ids.split(", ")).filter_map(|id| id.strip_prefix('R')?.parse().ok()).collect();
    assert_eq!(named, (1..=50).collect());
}

#[test]
fn every_goal_and_invariant_has_its_row() {
    let text = read(PAGE);
    let goals = rows(&text, "\n## Goals\n");
    for id in 1..=10 {
        let starts = format!("S{id} ");
        let row = goals.iter().find(|(goal, _)| goal.starts_with(&starts)).unwrap_or_else(|| panic!("S{id}")).1;
        assert!(!tests_of(row).is_empty(), "S{id} names no test");
    }
    let invariants = rows(&text, "\n## Invariants\n");
    for id in 1..=8 {
        let starts = format!("I-{id} ");
        let row = invariants.iter().find(|(name, _)| name.starts_with(&starts)).unwrap_or_else(|| panic!("I-{id}")).1;
        assert!(!tests_of(row).is_empty() || row.contains("no test"), "I-{id}");
    }
}

#[test]
fn every_link_of_the_pages_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec!["README.md".into(), "SECURITY.md".into(), "CONTRIBUTING.md".into(), "CHANGELOG.md".into()];
    for folder in ["docs", "docs/specification"] {
        let names = fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().file_name());
        let pages_here = names.map(|name| format!("{folder}/{}", name.to_str().unwrap()));
        pages.extend(pages_here.filter(|path| path.ends_with(".md")));
    }
    let mut seen = 0;
    let mut wrong = Vec::new();
    for page in pages {
        let text = read(&page);
        for target in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            if target.contains("://") {
                continue;
            }
            seen += 1;
            // A link may be broken by a new line in the middle of its text, never of its target.
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let folder = Path::new(&page).parent().unwrap();
            let file = if path.is_empty() { root.join(&page) } else { root.join(folder).join(path) };
            let leads = match fs::read_to_string(&file) {
                Ok(_) if anchor.is_empty() => true,
                Ok(text) => text.lines().any(|line| line.starts_with('#') && slug(line) == anchor),
                Err(_) => file.is_dir() && anchor.is_empty(),
            };
            if !leads {
                wrong.push(format!("{page}: {target}"));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
    assert!(seen > 80, "{seen} links");
}

fn slug(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    text.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
}
