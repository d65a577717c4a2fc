//! The README says what is there: its commands are those that the checks run, its tables and links are true. Its examples
//! are doctests of the library.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The lines of all blocks fenced as `sh`.
fn commands(text: &str) -> Vec<&str> {
    let mut inside = false;
    let keep = |line: &&str| {
        let fence = line.starts_with("```");
        let was = inside;
        inside = if fence { !inside && *line == "```sh" } else { inside };
        was && !fence
    };
    text.lines().filter(keep).collect()
}

#[test]
fn every_command_is_one_that_the_checks_run() {
    let (readme, checks) = (read("README.md"), read(".ci/run"));
    let commands = commands(&readme);
    for wanted in ["cargo run --release -- demo", "cargo test --workspace"] {
        assert!(commands.contains(&wanted), "{wanted} is missing");
        assert!(checks.contains(wanted), "{wanted} is not checked");
    }
    for command in commands {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words[..] {
            ["cargo", "run", "--example", name] => {
                // The checks run every file there.
                assert!(root().join(format!("examples/{name}.rs")).exists(), "{command}");
            }
            ["cargo", ..] => assert!(checks.contains(command), "{command} is not checked"),
            ["scripts/fuzz.sh", target, _seconds] => {
                assert!(root().join(words[0]).exists(), "{command}");
                assert!(root().join(format!("fuzz/fuzz_targets/{target}.rs")).exists(), "{command}");
            }
            // The tests of the program run them as they stand.
            ["sodality", "register" | "user" | "ttp" | "lead" | "join", ..] => {}
            [program] => assert!(root().join(program).exists(), "{command}"),
            _ => panic!("{command}: unknown to this test"),
        }
    }
}

/// Feature → whether it is on by default, by the manifest.
fn declared() -> BTreeMap<String, bool> {
    let manifest = read("Cargo.toml");
    let section = manifest.split("\n[features]\n").nth(1).unwrap().split("\n[").next().unwrap();
    let lines = section.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(" = "));
    let mut features: BTreeMap<String, bool> = lines.clone().map(|(name, _)| (name.into(), false)).collect();
    let (_, default) = lines.clone().find(|(name, _)| *name == "default").unwrap();
    features.remove("default");
    for name in default.trim_matches(['[', ']']).split(", ") {
        *features.get_mut(name.trim_matches('"')).unwrap() = true;
    }
    features
}

/// The rows of the table whose head begins with `feature | default`.
fn tabled(text: &str) -> BTreeMap<String, bool> {
    let lines = text.lines().map(|line| line.trim_start_matches("//! "));
    let rows = lines.skip_while(|line| !line.starts_with("| feature | default")).skip(2);
    let cells = rows.take_while(|line| line.starts_with('|')).map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let default = match cells[2] {
            "yes" => true,
            "no" => false,
            other => panic!("{other}"),
        };
        (cells[1].trim_matches('`').into(), default)
    });
    cells.collect()
}

#[test]
fn the_tables_of_features_are_the_manifests() {
    let declared = declared();
    assert!(declared["std"] && !declared["insecure-null"]);
    assert_eq!(tabled(&read("README.md")), declared, "README.md");
    assert_eq!(tabled(&read("src/lib.rs")), declared, "src/lib.rs");
}

#[test]
fn every_link_leads_somewhere() {
    let readme = read("README.md");
    let mut seen = 0;
    for target in readme.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
        let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
        let text = if path.is_empty() {
            readme.clone()
        } else {
            assert!(root().join(path).exists(), "{target}");
            if anchor.is_empty() { String::new() } else { read(path) }
        };
        let heading = |line: &str| line.starts_with('#') && slug(line) == anchor;
        assert!(anchor.is_empty() || text.lines().any(heading), "{target}");
        seen += 1;
    }
    assert!(seen > 10, "{seen}");
}

fn slug(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    text.chars().filter(|c| c.is_alphanumeric() || *c == '-').collect()
}

#[test]
fn the_version_of_rust_is_the_manifests() {
    let manifest = read("Cargo.toml");
    let version = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap().trim_matches('"');
    let readme = read("README.md");
    for sentence in [format!("Rust {version} or newer"), format!("minimum supported Rust version is {version}.")] {
        assert!(readme.contains(&sentence), "{sentence}");
    }
}
