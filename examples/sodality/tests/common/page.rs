//! `docs/program.md`, against what the program prints.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::OnceLock;

/// The text of the page.
pub(crate) fn text() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/program.md")).unwrap()
}

fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// Kind of line → the fields that it may have: the rows of all tables whose first cell is a kind.
pub(crate) fn kinds() -> &'static BTreeMap<String, BTreeSet<String>> {
    static KINDS: OnceLock<BTreeMap<String, BTreeSet<String>>> = OnceLock::new();
    KINDS.get_or_init(|| {
        let text = text();
        let section = text.split("\n## What `--json` prints").nth(1).unwrap().split("\n## ").next().unwrap();
        let mut kinds = BTreeMap::<String, BTreeSet<String>>::new();
        for row in section.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
            assert_eq!(cells.len(), 3, "{row}");
            for kind in quoted(cells[0]) {
                kinds.entry(kind.to_owned()).or_default().extend(quoted(cells[2]).map(str::to_owned));
            }
        }
        kinds
    })
}

/// The names of the fields of a line of JSON, in order: what stands before a colon and in no text.
fn fields(line: &str) -> Vec<String> {
    let (mut names, mut text, mut inside, mut escaped) = (Vec::new(), String::new(), false, false);
    for c in line.chars() {
        match c {
            '"' if !escaped => {
                inside = !inside;
                if inside {
                    text.clear();
                }
            }
            ':' if !inside => names.push(text.clone()),
            _ if inside => text.push(c),
            _ => {}
        }
        escaped = inside && c == '\\' && !escaped;
    }
    names
}

/// The page has the kind of a line and all of its fields.
#[track_caller]
pub(crate) fn check(line: &str) {
    assert!(line.starts_with("{\"t\":") && line.ends_with('}'), "{line}");
    let fields = fields(line);
    assert_eq!(fields[..3], ["t", "who", "what"], "{line}");
    let kind = super::field(line, "what");
    let known = kinds().get(kind).unwrap_or_else(|| panic!("docs/program.md does not have {kind}: {line}"));
    for name in &fields[3..] {
        assert!(known.contains(name), "docs/program.md does not have {name} of {kind}: {line}");
    }
}
