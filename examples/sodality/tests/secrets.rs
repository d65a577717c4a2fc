//! Where keys may come from and go to, and where none is ever found (R34).
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.
#![allow(clippy::disallowed_types, reason = "real processes take real time")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

use common::{Party, Scratch, complaint, set_mode};

#[test]
fn a_key_may_come_by_the_standard_input_or_a_descriptor() {
    let scratch = Scratch::new("key-in");
    scratch.register(&["ada"]);
    let mut ttp = scratch.ttp();
    let mut lea = scratch.lead(&ttp.address(), &[]);
    let at = lea.address();
    // The first line is the key; what follows is said once the group is there.
    let mut ada = Party::start(&scratch, &Scratch::join_args("ada", "-", &at, &[]));
    ada.give_line(fs::read_to_string(scratch.path("ada.key")).unwrap().trim());
    ada.type_line("typed before");
    lea.sees("heard", "typed before");
    ada.type_line("/leave");
    assert_eq!(ada.ends(), (Some(0), String::new()));
    let args = Scratch::join_args("ada", "/dev/fd/0", &at, &["--wait", "10"]);
    let mut command = scratch.command(&args);
    command.stdin(fs::File::open(scratch.path("ada.key")).unwrap()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut shown = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(shown.any(|line| line.unwrap().contains("\"what\":\"joined\"")));
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The digits of a key file.
fn digits(scratch: &Scratch, file: &str) -> String {
    let key = fs::read_to_string(scratch.path(file)).unwrap();
    let digits = key.trim().strip_prefix("sodality-key-1 ").unwrap().to_owned();
    assert_eq!(digits.len(), 64);
    digits
}

/// R34: others on a machine see the arguments of a process, and its owner's other processes its environment.
#[cfg(target_os = "linux")]
#[test]
fn no_running_process_shows_a_key() {
    let scratch = Scratch::new("proc");
    scratch.register(&["ada", "bob"]);
    let mut ttp = scratch.ttp();
    let mut lea = scratch.lead(&ttp.address(), &[]);
    let at = lea.address();
    let mut ada = scratch.join("ada", &at, &[]);
    let mut bob = Party::start(&scratch, &Scratch::join_args("bob", "-", &at, &[]));
    bob.give_line(fs::read_to_string(scratch.path("bob.key")).unwrap().trim());
    ada.sees("joined", "");
    bob.sees("joined", "");
    let keys = ["lea.key", "ada.key", "bob.key"].map(|file| digits(&scratch, file));
    let bytes = keys.clone().map(|key| {
        let byte = |at: usize| u8::from_str_radix(&key[at..at + 2], 16).unwrap();
        (0..64).step_by(2).map(byte).collect::<Vec<u8>>()
    });
    for party in [&ttp, &lea, &ada, &bob] {
        let mut looked = 0;
        for file in ["cmdline", "environ"] {
            let shown = fs::read(format!("/proc/{}/{file}", party.child.id())).unwrap();
            looked += shown.len();
            for (text, bytes) in keys.iter().zip(&bytes) {
                let has = |needle: &[u8]| shown.windows(needle.len()).any(|window| window == needle);
                assert!(!has(text.as_bytes()) && !has(bytes), "{file} of {}", party.child.id());
            }
        }
        assert!(looked > 20, "the look shows something");
    }
    // Nor is it printed, whatever is asked.
    for party in [&mut lea, &mut ada, &mut bob] {
        for command in ["/help", "/policy", "/status", "/who", "/nonsense"] {
            party.type_line(command);
        }
        party.sees("error", "no such command");
    }
    for party in [ttp, lea, ada, bob] {
        let shown = party.seen.join("\n");
        keys.iter().for_each(|key| assert!(!shown.contains(&key[..32]), "{shown}"));
    }
}

#[test]
fn a_key_goes_to_the_standard_output_only_where_that_is_asked_for() {
    let scratch = Scratch::new("key-out");
    let said = scratch.good(&["register", "lea", "--leader", "--registry", "reg"]);
    assert!(!said.contains(&digits(&scratch, "lea.key")[..16]) && said.contains("lea.key"), "{said}");
    let key = scratch.good(&["register", "ada", "--registry", "reg", "--key-out", "-"]);
    assert!(key.starts_with("sodality-key-1 ") && key.trim().len() == 15 + 64 && key.lines().count() == 1, "{key}");
    assert!(!scratch.path("ada.key").exists() && !scratch.path("-").exists());
    let other = scratch.good(&["register", "--rotate", "ada", "--registry", "reg", "--key-out", "-"]);
    assert!(other.starts_with("sodality-key-1 ") && other != key, "{other}");
    // It is the one that the registry has.
    let mut ttp = scratch.ttp();
    let mut lea = scratch.lead(&ttp.address(), &[]);
    let at = lea.address();
    for (key, in_time) in [(&key, false), (&other, true)] {
        fs::write(scratch.path("ada.key"), key).unwrap();
        set_mode(&scratch.path("ada.key"), 0o600);
        let mut ada = scratch.join("ada", &at, &["--wait", "3"]);
        if in_time {
            ada.sees("joined", "");
        } else {
            assert_eq!(ada.ends().0, Some(4));
            lea.sees("not-vouched", "its key is not the registered one");
        }
    }
}

/// The shell opens it: no other program than this one has the number.
#[test]
fn a_key_may_come_by_any_descriptor() {
    let scratch = Scratch::new("key-fd");
    scratch.register(&["ada"]);
    let mut ttp = scratch.ttp();
    let mut lea = scratch.lead(&ttp.address(), &[]);
    let at = lea.address();
    let program = env!("CARGO_BIN_EXE_sodality");
    let join = |input: &str| {
        let line = format!("exec {program} join ada --leader lea --app tea --key-fd 7 --at {at} --json 7<{input}");
        let mut command = Command::new("sh");
        command.current_dir(&scratch.0).args(["-c", &line]);
        command
    };
    let mut ada = Party::spawn(join("ada.key"), &["join", "ada"]);
    ada.sees("joined", "");
    ada.type_line("/leave");
    assert_eq!(ada.ends(), (Some(0), String::new()));
    // A pipe is nobody else's.
    fs::write(scratch.path("feed.sh"), format!("cat ada.key | {program} \"$@\" --key-fd 0\n")).unwrap();
    let mut command = Command::new("sh");
    let args = ["feed.sh", "join", "ada", "--leader", "lea", "--app", "tea", "--at", &at, "--json"];
    command.current_dir(&scratch.0).args(args);
    let mut ada = Party::spawn(command, &["join", "ada"]);
    ada.sees("joined", "");
    drop(ada);

    let bad = |mut command: Command, word: &str| {
        let output = command.output().unwrap();
        let said = complaint(&output.stderr);
        assert!(said.contains(word) && output.status.code() == Some(5), "{said} {:?}", output.status);
    };
    bad(join("/dev/null"), "is no key");
    set_mode(&scratch.path("ada.key"), 0o640);
    bad(join("ada.key"), "others may use it");
    let args = ["join", "ada", "--leader", "lea", "--app", "tea", "--key-fd", "77", "--at", &at];
    scratch.bad(&args, 5, &["--key-fd 77: no such descriptor"]);
    scratch.bad(&[&args[..], &["--key", "ada.key"]].concat(), 2, &["--help"]);
    scratch.bad(&["join", "ada", "--leader", "lea", "--app", "tea", "--at", &at], 2, &["--help"]);
}

#[test]
fn a_terminal_does_not_show_the_key_that_is_typed() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use std::os::unix::fs::OpenOptionsExt;
    let scratch = Scratch::new("terminal");
    scratch.register(&["ada"]);
    let mut ttp = scratch.ttp();
    let mut lea = scratch.lead(&ttp.address(), &[]);
    let at = lea.address();

    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let path = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let no_control = i32::try_from(rustix::fs::OFlags::NOCTTY.bits()).unwrap();
    let slave = fs::OpenOptions::new().read(true).write(true).custom_flags(no_control).open(path).unwrap();
    let mut command = scratch.command(&Scratch::join_args("ada", "-", &at, &[]));
    command.stdin(slave.try_clone().unwrap()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Once it asks, the terminal is silent.
    let mut asked = [0; 5];
    child.stderr.as_mut().unwrap().read_exact(&mut asked).unwrap();
    assert_eq!(&asked, b"key: ");
    let mut terminal = fs::File::from(master);
    terminal.write_all(fs::read(scratch.path("ada.key")).unwrap().trim_ascii()).unwrap();
    terminal.write_all(b"\n").unwrap();
    let mut shown = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(shown.any(|line| line.unwrap().contains("\"what\":\"joined\"")));
    // What follows is shown again.
    terminal.write_all(b"good day\n").unwrap();
    lea.sees("heard", "good day");
    let mut echo = vec![0; 4096];
    let length = terminal.read(&mut echo).unwrap();
    let echo = String::from_utf8_lossy(&echo[..length]);
    assert_eq!(echo.trim(), "good day", "the echo of the terminal");
    child.kill().unwrap();
    child.wait().unwrap();
    drop(slave);
}
