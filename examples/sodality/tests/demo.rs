//! The program as a user runs it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A folder of its own for each test, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("demo-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// With its temporary files in `scratch`.
fn program(scratch: &Scratch) -> Command {
    let temporary = scratch.path("tmp");
    fs::create_dir_all(&temporary).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sodality"));
    command.stdin(Stdio::null()).env("TMPDIR", &temporary).env_remove("NO_COLOR").arg("demo");
    command
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The one line on standard error.
fn complaint(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("sodality: "), "{text}");
    text
}

fn good(output: &Output) {
    assert!(output.status.success(), "{}\n{}", stdout(output), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stderr, b"");
}

/// All files below `folder`, by their path in it.
fn files(folder: &Path) -> Vec<String> {
    fn walk(folder: &Path, root: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, root, found);
            } else {
                found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let mut found = Vec::new();
    walk(folder, folder, &mut found);
    found.sort();
    found
}

/// The members that get files.
fn receivers() -> &'static [&'static str] {
    &["lea", "bob", "cyd", "dan"]
}

/// How many files come in: everybody gets one, and who has not left another one.
fn arrivals() -> usize {
    2 * receivers().len() - 1
}

const LATE: &str = "after-the-leave.txt";

#[test]
fn without_anything_it_shows_a_group_at_work() {
    let scratch = Scratch::new("default");
    let output = program(&scratch).output().unwrap();
    good(&output);
    let shown = stdout(&output);
    // Two files, but the second not for the one who left.
    assert_eq!(shown.matches("hash ok").count(), arrivals(), "{shown}");
    for who in receivers() {
        assert!(shown.contains(&format!("  {who:<9} the-book-of-lines.txt")), "{who}: {shown}");
    }
    for part in [
        "vouches for ada",
        "admits cyd",
        "bob     leaves the group",
        "lea     is killed",
        "RA-J1",
        "RA-D",
        "none occurs in the record",
        "  ada counted its key as stale after",
        "  cyd counted its key as stale after",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    for part in ["dan     is put out of the group", "sees dan go (ejected)"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert_eq!(shown.matches("its machine opens 0").count(), 2, "{shown}");
    assert!(!shown.contains('\u{1b}'), "no terminal, no escapes: {shown}");
    // The folder that it says is there, and holds the files; the record is gone.
    let place = shown.lines().find_map(|line| line.split_once("what is received goes to ")).unwrap().1;
    let found = files(Path::new(place));
    assert_eq!(found.len(), arrivals(), "{found:?}");
    assert_eq!(files(&scratch.path("tmp")).len(), arrivals(), "and nothing else is left");
}

#[test]
fn a_file_of_an_odd_size_arrives_as_it_is() {
    let scratch = Scratch::new("odd");
    let (file, out) = (scratch.path("odd one.bin"), scratch.path("out"));
    let bytes: Vec<u8> = (0..1_234_567_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(&file, &bytes).unwrap();
    let output = program(&scratch).arg(&file).arg("--out").arg(&out).output().unwrap();
    good(&output);
    for who in receivers() {
        assert!(fs::read(out.join(who).join("odd one.bin")).unwrap() == bytes, "{who}");
    }
    assert!(!out.join("bob").join(LATE).exists() && out.join("cyd").join(LATE).exists());
    assert_eq!(files(&out).len(), arrivals(), "{:?}", files(&out));
    // A second time: nothing is overwritten, and the words say what to do.
    fs::write(out.join("cyd/odd one.bin"), b"mine").unwrap();
    let again = program(&scratch).arg(&file).arg("--out").arg(&out).output().unwrap();
    assert_eq!(again.status.code(), Some(6));
    assert!(complaint(&again).contains("--force"));
    assert_eq!(fs::read(out.join("cyd/odd one.bin")).unwrap(), b"mine");
    // With consent it is.
    let forced = program(&scratch).arg(&file).arg("--out").arg(&out).args(["--force", "--quiet"]).output().unwrap();
    good(&forced);
    assert!(fs::read(out.join("cyd/odd one.bin")).unwrap() == bytes);
    let shown = stdout(&forced);
    assert!(shown.contains("hash ok") && !shown.contains("vouches"), "{shown}");
}

#[test]
fn an_empty_file_arrives_too() {
    let scratch = Scratch::new("empty");
    let (file, out) = (scratch.path("empty"), scratch.path("out"));
    fs::write(&file, b"").unwrap();
    let output = program(&scratch).arg(&file).arg("--out").arg(&out).output().unwrap();
    good(&output);
    assert_eq!(fs::read(out.join("bob/empty")).unwrap(), b"");
}

#[test]
fn a_file_may_have_the_name_of_the_one_that_comes_later() {
    let scratch = Scratch::new("name");
    let (file, out) = (scratch.path(LATE), scratch.path("out"));
    fs::write(&file, b"mine").unwrap();
    let output = program(&scratch).arg(&file).arg("--out").arg(&out).arg("--quiet").output().unwrap();
    good(&output);
    assert_eq!(fs::read(out.join("cyd").join(LATE)).unwrap(), b"mine");
    assert_eq!(files(&out).len(), arrivals(), "{:?}", files(&out));
}

#[test]
fn machines_get_a_line_of_json_for_each_thing() {
    let scratch = Scratch::new("json");
    let file = scratch.path("quote \u{e9}.txt");
    fs::write(&file, "contents that are long enough to be looked for").unwrap();
    let output = program(&scratch).arg(&file).arg("--json").output().unwrap();
    good(&output);
    let shown = stdout(&output);
    shown.lines().for_each(common::page::check);
    let shown_arrivals =
        shown.lines().filter(|line| line.contains("\"what\":\"arrival\"") && line.contains("\"hash_ok\":true"));
    assert_eq!(shown_arrivals.count(), arrivals());
    for member in ["ada", "cyd"] {
        // Stale first, then lost.
        let noticed = format!("\"what\":\"noticed\",\"member\":\"{member}\"");
        let line = shown.lines().find(|line| line.contains(&noticed)).unwrap_or_else(|| panic!("{member}: {shown}"));
        let (stale, lost) = (common::number(line, "stale_micros"), common::number(line, "lost_micros"));
        assert!(0 < stale && stale < lost, "{line}");
    }
    assert!(shown.lines().last().unwrap().contains("\"what\":\"result\",\"ok\":true"));
}

#[test]
fn bad_input_gets_one_line_and_its_own_status() {
    let scratch = Scratch::new("bad");
    let (file, plain, hidden) = (scratch.path("file"), scratch.path("plain"), scratch.path(".hidden"));
    for path in [&file, &plain, &hidden] {
        fs::write(path, b"x").unwrap();
    }
    let cases: [(&[&Path], i32, &str); 6] = [
        (&[&scratch.path("none")], 5, "no such file"),
        (&[&scratch.0], 5, "is a folder"),
        (&[&hidden], 5, "plain name"),
        (&[&file, Path::new("--out"), &plain], 6, "--out"),
        (&[&file, Path::new("--out"), &plain.join("below")], 6, "--out"),
        (&[Path::new("--out"), Path::new("/proc/none")], 6, "--out"),
    ];
    for (args, status, word) in cases {
        let output = program(&scratch).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{args:?}");
        let said = complaint(&output);
        assert!(said.contains(word), "{args:?}: {said}");
        assert_eq!(stdout(&output), "", "{args:?}");
    }
    assert_eq!(files(&scratch.path("tmp")), Vec::<String>::new());
    assert_eq!(fs::read_dir(scratch.path("tmp")).unwrap().count(), 0, "no folder is left behind");
    for args in [&["--no-such-option"][..], &["--json", "--quiet"], &["a", "b"]] {
        let output = program(&scratch).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(complaint(&output).contains("--help"), "{args:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_is_no_file() {
    let scratch = Scratch::new("pipe");
    let output = program(&scratch).arg("/dev/null").output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    assert!(complaint(&output).contains("not a plain file"));
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_it_in_order_and_leaves_no_pieces() {
    let scratch = Scratch::new("interrupt");
    let (file, out) = (scratch.path("large.bin"), scratch.path("out"));
    // Long enough not to be through at once, and without blocks on the disk.
    fs::File::create(&file).unwrap().set_len(512 << 20).unwrap();
    let mut child = program(&scratch)
        .arg(&file)
        .arg("--out")
        .arg(&out)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = || files(&scratch.0).iter().any(|name| name.contains("/.sodality-"));
    for _ in 0..2000 {
        if out.exists() && begun() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(begun(), "the file is on its way");
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130));
    assert_eq!(files(&out), Vec::<String>::new());
}

#[test]
fn help_tells_the_exit_status() {
    let scratch = Scratch::new("help");
    let output = program(&scratch).arg("--help").output().unwrap();
    good(&output);
    let shown = stdout(&output);
    for word in ["--out", "--force", "--json", "--quiet", "Exit status", "130"] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
}
