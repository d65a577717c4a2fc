//! `sodality explain`, as a user calls it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::process::{Command, Output};

use sodality::explain;

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sodality")).arg("explain").args(args).output().unwrap()
}

fn good(args: &[&str]) -> String {
    let output = run(args);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_code_is_explained_with_what_to_do() {
    let said = good(&["reject.before-join"]);
    assert!(said.starts_with("reject.before-join (expected)\n"), "{said}");
    assert!(said.contains("before this member joined") && said.contains("What to do: Nothing."), "{said}");
    // As it stands in a line of the program.
    assert_eq!(good(&["[reject.before-join]"]), said);
}

#[test]
fn without_a_code_all_are_listed() {
    let said = good(&[]);
    let json = good(&["--json"]);
    assert_eq!(json.lines().count(), explain::all().count());
    for reason in explain::all() {
        assert!(said.lines().any(|line| line.split_whitespace().next() == Some(reason.code)), "{}", reason.code);
        let field = format!("\"code\":\"{}\",\"class\":\"{}\"", reason.code, reason.class);
        assert!(json.lines().any(|line| line.contains(&field)), "{field}");
    }
    let one = good(&["--json", "end.busy"]);
    assert!(one.lines().count() == 1 && one.contains("\"list\":\"EndReason\""), "{one}");
}

#[test]
fn a_code_that_does_not_exist_is_a_wrong_command_line_with_a_hint() {
    for args in [&["reject.befor-join"][..], &["--json", "befor-join"]] {
        let output = run(args);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.lines().count() == 1 && said.contains("reject.before-join"), "{said}");
        assert!(output.stdout.is_empty());
    }
}
