//! Each party a process of its own, on loopback, driven as a user drives it: by what is typed and what is shown.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.
#![allow(clippy::disallowed_types, reason = "real processes take real time")]

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// Nothing here takes so long, but on a machine that is very busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// A folder of its own for each test, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("verbs-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sodality"));
        command.current_dir(&self.0).env_remove("NO_COLOR").stdin(Stdio::null()).args(args);
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// What the program does well.
    fn good(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What the program refuses: one line, of which `words` are parts, and that exit status.
    fn bad(&self, args: &[&str], status: i32, words: &[&str]) {
        let output = self.run(args);
        let said = complaint(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{args:?}: {said}");
        words.iter().for_each(|word| assert!(said.contains(word), "{args:?}: {word}: {said}"));
    }

    /// A registry with a leader `lea` and these members.
    fn register(&self, members: &[&str]) {
        self.good(&["register", "lea", "--leader", "--registry", "reg"]);
        members.iter().for_each(|name| drop(self.good(&["register", name, "--registry", "reg"])));
    }

    fn ttp(&self) -> Party {
        Party::start(self, &["ttp", "--registry", "reg", "--listen", "127.0.0.1:0", "--json"])
    }

    fn lead(&self, ttp: &str, more: &[&str]) -> Party {
        let args = [
            &["lead", "lea", "--app", "tea", "--key", "lea.key", "--ttp", ttp, "--listen", "127.0.0.1:0", "--json"],
            more,
        ];
        Party::start(self, &args.concat())
    }

    fn join_args<'a>(name: &'a str, key: &'a str, at: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        [&["join", name, "--leader", "lea", "--app", "tea", "--key", key, "--at", at, "--json"], more].concat()
    }

    fn join(&self, name: &str, at: &str, more: &[&str]) -> Party {
        Party::start(self, &Self::join_args(name, &format!("{name}.key"), at, more))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn complaint(stderr: &[u8]) -> String {
    let text = String::from_utf8(stderr.to_vec()).unwrap();
    assert_eq!(text.lines().count(), 1, "one line: {text}");
    assert!(text.starts_with("sodality: "), "{text}");
    text
}

/// The text of a field of a line of JSON, as the program writes it.
fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let start = format!("\"{name}\":\"");
    let rest = line.split_once(&start).unwrap_or_else(|| panic!("{name}: {line}")).1;
    rest.split_once('"').unwrap().0
}

/// A running process.
struct Party {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Party {
    fn start(scratch: &Scratch, args: &[&str]) -> Self {
        let mut command = scratch.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (out, lines) = mpsc::channel();
        let shown = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || shown.lines().map_while(Result::ok).try_for_each(|line| out.send(line)));
        Self { input: child.stdin.take(), child, lines, seen: Vec::new() }
    }

    fn type_line(&mut self, line: &str) {
        let input = self.input.as_mut().unwrap();
        writeln!(input, "{line}").unwrap();
    }

    /// The next line of JSON of that kind that has `word`.
    #[track_caller]
    fn sees(&mut self, what: &str, word: &str) -> String {
        let (kind, until) = (format!("\"what\":\"{what}\""), Instant::now() + PATIENCE);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(&kind) && line.contains(word) {
                        return line;
                    }
                }
                Err(error) => {
                    let errors = self.errors(error);
                    panic!("{what} {word}: {error}: {:#?} {errors}", self.seen)
                }
            }
        }
    }

    fn errors(&mut self, error: RecvTimeoutError) -> String {
        let mut text = String::new();
        if error == RecvTimeoutError::Disconnected {
            self.child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        }
        text
    }

    /// Waits for the end: the exit status, and what stands on standard error.
    #[track_caller]
    fn ends(mut self) -> (Option<i32>, String) {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                let mut text = String::new();
                self.child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
                return (status.code(), text);
            }
            assert!(Instant::now() < until, "it does not end: {:#?}", self.lines.try_iter().collect::<Vec<_>>());
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn address(&mut self) -> String {
        field(&self.sees("listening", ""), "address").to_owned()
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Polls so often that a loss shows within a second or two.
const QUICK: &str = "[rekey]\ngrace_ms = 200\nsettle_ms = 50\n[detection]\nperiod_ms = 200\nmisses = 3\n";

#[test]
fn a_group_of_four_processes() {
    let scratch = Scratch::new("group");
    fs::write(scratch.path("quick.toml"), QUICK).unwrap();
    scratch.register(&["ada", "bob"]);
    let mut ttp = scratch.ttp();
    let mut lea = scratch.lead(&ttp.address(), &["--policy", "quick.toml"]);
    let at = lea.address();
    lea.sees("joined", "");

    let mut ada = scratch.join("ada", &at, &[]);
    ada.sees("joined", "");
    let mut bob = scratch.join("bob", &at, &[]);
    bob.sees("joined", "");
    ttp.sees("vouched", "\"member\":\"bob\"");
    ada.sees("member-added", "\"name\":\"bob\"");
    lea.sees("member-added", "\"name\":\"bob\"");

    // Chat, in both directions.
    thread::sleep(Duration::from_millis(300));
    ada.type_line("good day \"all\"");
    for party in [&mut lea, &mut bob] {
        let line = party.sees("heard", "good day");
        assert_eq!(field(&line, "from"), "ada");
        assert!(line.contains("\"signed\":true") && line.contains("good day \\\"all\\\""), "{line}");
    }
    lea.type_line("and to you");
    ada.sees("heard", "and to you");
    bob.type_line("/who");
    bob.sees("who", "\"name\":\"ada\"");
    bob.type_line("/status");
    let status = bob.sees("status", "");
    assert!(status.contains("\"members\":3") && status.contains("\"current\":true"), "{status}");
    bob.type_line("/rekey");
    bob.sees("error", "only the leader");
    bob.type_line("/send none");
    bob.sees("error", "no such file");

    // A new key, asked for.
    lea.type_line("/rekey");
    ada.sees("installed", "asked for");

    // A file, to all.
    let file: Vec<u8> = (0..3_000_001_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 23) as u8).collect();
    fs::write(scratch.path("a file.bin"), &file).unwrap();
    ada.type_line("/send a file.bin");
    let digest = field(&ada.sees("offers", "a file.bin"), "sha256").to_owned();
    assert_eq!(digest, sha256(&file));
    for (party, name) in [(&mut lea, "lea"), (&mut bob, "bob")] {
        assert_eq!(field(&party.sees("stored", "a file.bin"), "sha256"), digest, "{name}");
        assert_eq!(sha256(&fs::read(scratch.path(&format!("received-{name}/a file.bin"))).unwrap()), digest, "{name}");
    }
    ada.sees("delivered", "a file.bin");

    // A second time it is declined: nothing is overwritten.
    ada.type_line("/send a file.bin");
    bob.sees("declines", "exists already");

    // A member dies, and joins again under its name: a takeover, or a failure that was noticed before.
    bob.kill();
    let mut bob = scratch.join("bob", &at, &[]);
    bob.sees("joined", "");
    lea.sees("member-removed", "\"name\":\"bob\"");
    lea.sees("member-added", "\"name\":\"bob\"");
    thread::sleep(Duration::from_millis(300));
    bob.type_line("here again");
    ada.sees("heard", "here again");

    // Nonsense at the listeners is nobody's end.
    let listeners = [at.clone(), field(&ttp.seen[0], "address").to_owned()];
    for listener in &listeners {
        for nonsense in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 4096], &[0, 0, 0, 4, 1, 2, 3, 4], b""] {
            let mut stream = TcpStream::connect(listener).unwrap();
            // It may be closed before all is written.
            let _ = stream.write_all(nonsense);
        }
    }

    // A member leaves.
    bob.type_line("/leave");
    bob.sees("left", "\"confirmed\":true");
    assert_eq!(bob.ends(), (Some(0), String::new()));
    let removed = lea.sees("member-removed", "\"name\":\"bob\"");
    assert_eq!(field(&removed, "cause"), "leave");
    assert_eq!(field(&removed, "code"), "cause.leave");
    let mut bob = scratch.join("bob", &at, &[]);
    bob.sees("joined", "");

    // The leader dies: the members notice within the policy's bound, here (3 + 1) · 200 ms and one round trip.
    let mut cyd = scratch.join("bob", &at, &["--rejoin"]);
    cyd.sees("joined", "");
    let (status, said) = bob.ends();
    assert_eq!(status, Some(1));
    assert!(complaint(said.as_bytes()).contains("joined under this name"), "{said}");
    lea.kill();
    let killed = Instant::now();
    ada.sees("ended", "\"code\":\"ended.leader-lost\"");
    assert!(killed.elapsed() < Duration::from_secs(8), "{:?}", killed.elapsed());
    let (status, said) = ada.ends();
    assert_eq!(status, Some(4));
    assert!(complaint(said.as_bytes()).contains("lea was lost"), "{said}");

    // Who wants to joins again, as soon as there is a leader at that address.
    cyd.sees("rejoins", "lea was lost");
    let ttp_at = listeners[1].clone();
    let args = ["lead", "lea", "--app", "tea", "--key", "lea.key", "--ttp", &ttp_at, "--listen", &at, "--json"];
    let mut lea = Party::start(&scratch, &args);
    cyd.sees("joined", "");
    lea.sees("member-added", "\"name\":\"bob\"");

    // An interrupt is a leave.
    interrupt(&cyd.child);
    let (status, said) = cyd.ends();
    assert_eq!(status, Some(130), "{said}");
    lea.sees("member-removed", "\"cause\":\"leave\"");
    lea.type_line("/quit");
    assert_eq!(lea.ends(), (Some(0), String::new()));
    interrupt(&ttp.child);
    assert_eq!(ttp.ends().0, Some(130));
}

fn interrupt(child: &Child) {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
}

/// By another implementation than the program's.
fn sha256(bytes: &[u8]) -> String {
    let mut child =
        Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("sha256sum is there");
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

/// The lines of the README, as they stand but for the addresses.
#[test]
fn the_readme_makes_a_group() {
    let scratch = Scratch::new("readme");
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md")).unwrap();
    let mut ttp: Option<(Party, String)> = None;
    let mut lea: Option<(Party, String)> = None;
    let mut joined = 0;
    for line in readme.lines().filter_map(|line| line.strip_prefix("sodality ")) {
        let words = line.split_once('#').map_or(line, |(line, _)| line).split_whitespace();
        let address = |party: &Option<(Party, String)>| party.as_ref().unwrap().1.clone();
        let words: Vec<String> = words
            .map(|word| match word {
                "0.0.0.0:7400" | "0.0.0.0:7401" => "127.0.0.1:0".to_owned(),
                "ttp.example:7400" => address(&ttp),
                "lea.example:7401" => address(&lea),
                other => other.to_owned(),
            })
            .chain(["--json".to_owned()])
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if words[0] == "register" {
            scratch.good(&words);
            continue;
        }
        let mut party = Party::start(&scratch, &words);
        if words[0] == "join" {
            party.sees("joined", "");
            joined += 1;
            continue;
        }
        let address = party.address();
        *if words[0] == "ttp" { &mut ttp } else { &mut lea } = Some((party, address));
    }
    assert_eq!(joined, 1);
}

#[test]
fn who_may_join_is_the_leaders_and_the_registrys_choice() {
    let scratch = Scratch::new("admission");
    scratch.register(&["ada", "bob"]);
    let mut ttp = scratch.ttp();
    let ttp_at = ttp.address();

    // A list.
    let mut lea = scratch.lead(&ttp_at, &["--allow", "ada,nobody"]);
    let at = lea.address();
    scratch.bad(
        &Scratch::join_args("bob", "bob.key", &at, &[]),
        3,
        &["lea refuses", "does not admit", "[refuse.denied]"],
    );
    let mut ada = scratch.join("ada", &at, &[]);
    ada.sees("joined", "");

    // A wrong key, a name that nobody knows, one that is disabled: the leader hears why, the stranger no word.
    let quick = ["--wait", "2"];
    scratch.bad(&Scratch::join_args("bob", "ada.key", &at, &quick), 4, &["did not answer", "key"]);
    lea.sees("not-vouched", "its key is not the registered one");
    scratch.bad(&Scratch::join_args("eve", "ada.key", &at, &quick), 4, &["did not answer", "name"]);
    lea.sees("not-vouched", "not registered");
    // What is changed in the registry holds at once.
    scratch.good(&["register", "--disable", "bob", "--registry", "reg"]);
    scratch.bad(&Scratch::join_args("bob", "bob.key", &at, &quick), 4, &["did not answer"]);
    lea.sees("not-vouched", "disabled");
    scratch.good(&["register", "--enable", "bob", "--registry", "reg"]);
    scratch.good(&["register", "--rotate", "bob", "--registry", "reg", "--key-out", "bob2.key"]);
    scratch.bad(&Scratch::join_args("bob", "bob2.key", &at, &[]), 3, &["does not admit"]);

    // A second leader with the same third party: it asks its user.
    scratch.good(&["register", "max", "--leader", "--registry", "reg"]);
    let args = [
        "lead",
        "max",
        "--app",
        "tea",
        "--key",
        "max.key",
        "--ttp",
        &ttp_at,
        "--listen",
        "127.0.0.1:0",
        "--json",
        "--ask",
    ];
    let mut max = Party::start(&scratch, &args);
    let at = max.address();
    let join = |name: &'static str, key: &'static str| {
        let args = ["join", name, "--leader", "max", "--app", "tea", "--key", key, "--at", &at, "--json"];
        Party::start(&scratch, &args)
    };
    let mut bob = join("bob", "bob2.key");
    max.sees("admission", "\"name\":\"bob\",\"number\":1");
    max.type_line("/yes 7");
    max.sees("error", "nobody asked");
    max.type_line("/yes 1");
    bob.sees("joined", "");
    let lea2 = join("lea", "lea.key");
    max.sees("admission", "\"name\":\"lea\",\"number\":2");
    max.type_line("/no 2");
    let (status, said) = lea2.ends();
    assert_eq!(status, Some(3), "{said}");
    assert!(complaint(said.as_bytes()).contains("max refuses"), "{said}");

    // A principal that is not registered as a leader gets no answers.
    let args =
        ["lead", "ada", "--app", "tea", "--key", "ada.key", "--ttp", &ttp_at, "--listen", "127.0.0.1:0", "--json"];
    let mut false_leader = Party::start(&scratch, &args);
    let at = false_leader.address();
    let args = ["join", "bob", "--leader", "ada", "--app", "tea", "--key", "bob2.key", "--at", &at, "--wait", "2"];
    scratch.bad(&args, 4, &["ada did not answer"]);
}

#[test]
fn floors_and_policies() {
    let scratch = Scratch::new("policy");
    scratch.register(&["ada"]);
    let mut ttp = scratch.ttp();
    let ttp_at = ttp.address();
    let mut lea = scratch.lead(&ttp_at, &["--preset", "open-broadcast"]);
    let at = lea.address();
    scratch.bad(&Scratch::join_args("ada", "ada.key", &at, &[]), 3, &["protects data less", "--floor"]);
    let mut ada = scratch.join("ada", &at, &["--floor", "integrity,origin"]);
    ada.sees("joined", "");
    ada.type_line("/status");
    ada.sees("status", "integrity");

    let lead = |policy: &str, status, words: &[&str]| {
        fs::write(scratch.path("policy.toml"), policy).unwrap();
        let args = [
            "lead",
            "lea",
            "--app",
            "tea",
            "--key",
            "lea.key",
            "--ttp",
            &ttp_at,
            "--listen",
            &at,
            "--policy",
            "policy.toml",
        ];
        scratch.bad(&args, status, words);
    };
    lead("[data]\nprotection = \"some\"\n", 5, &["policy.toml:2:14:"]);
    lead("[rekey\n", 5, &["policy.toml:1:"]);
    lead("[data]\norigins = true\n", 5, &["policy.toml:2:1:", "origins"]);
    lead("[rekey]\ngrace_ms = 100\nsettle_ms = 100\n", 5, &["policy.toml:3:13:", "settle"]);
    // The port is taken.
    lead("", 5, &[&at, "another program listens", "--listen"]);
    scratch.bad(&["ttp", "--registry", "reg", "--listen", &at], 5, &["another program listens", "--listen"]);
}

#[test]
fn what_cannot_be_used_is_said_in_one_line() {
    let scratch = Scratch::new("bad");
    scratch.register(&["ada"]);
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let join = |key: &str, more: &[&str], status, words: &[&str]| {
        scratch.bad(&Scratch::join_args("ada", key, &free, more), status, words);
    };
    join("none.key", &[], 5, &["none.key: there is no such key"]);
    join("reg", &[], 5, &["is no key"]);
    join("-", &[], 5, &["standard input: is no key"]);
    join("ada.key", &["--out", "ada.key"], 6, &["--out"]);
    join("ada.key", &["--wait", "1"], 4, &["cannot reach lea", "--at"]);
    join("ada.key", &["--floor", "high"], 2, &["high", "--help"]);
    scratch.bad(&Scratch::join_args("lea", "lea.key", &free, &[]), 2, &["different names"]);
    scratch.bad(&Scratch::join_args("ada", "ada.key", "nowhere", &[]), 2, &["HOST:PORT"]);
    scratch.bad(&["join", "ada"], 2, &["--help"]);
    // Secrets are no arguments.
    scratch.bad(&["join", "ada", "--key", "sodality-key-1 00"], 2, &["--help"]);
    scratch.bad(&["register", "--registry", "reg"], 2, &["--help"]);
    scratch.bad(&["register", "a", "--list", "--registry", "reg"], 2, &["--help"]);

    // What others may read holds no secrets any more.
    private(&scratch, "ada.key", 0o644);
    join("ada.key", &[], 5, &["chmod 600 ada.key"]);
    private(&scratch, "reg", 0o640);
    scratch.bad(&["ttp", "--registry", "reg", "--listen", &free], 5, &["chmod 600 reg"]);
}

fn private(scratch: &Scratch, name: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(scratch.path(name), fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn the_registry_keeps_what_it_is_told() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new("registry");
    scratch.register(&["ada"]);
    for file in ["reg", "lea.key", "ada.key"] {
        assert_eq!(fs::metadata(scratch.path(file)).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
    let key = fs::read_to_string(scratch.path("ada.key")).unwrap();
    assert!(key.starts_with("sodality-key-1 ") && key.trim().len() == 15 + 64, "{key}");
    assert_ne!(key, fs::read_to_string(scratch.path("lea.key")).unwrap());
    let reg = |args: &[&str]| scratch.good(&[&["register", "--registry", "reg"], args].concat());
    assert_eq!(reg(&["--list"]), "member  enabled   ada\nleader  enabled   lea\n");
    reg(&["--disable", "ada"]);
    assert_eq!(reg(&["--list"]), "member  disabled  ada\nleader  enabled   lea\n");
    let json = reg(&["--list", "--json"]);
    assert!(json.contains("\"what\":\"principal\",\"name\":\"ada\",\"leader\":false,\"disabled\":true"), "{json}");
    assert!(!json.contains(&key[15..40]), "keys are not shown");

    let bad = |args: &[&str], status, words: &[&str]| {
        scratch.bad(&[&["register", "--registry", "reg"], args].concat(), status, words);
    };
    bad(&["ada"], 5, &["registered already", "--rotate"]);
    bad(&["bob", "--key-out", "ada.key"], 6, &["ada.key", "--key-out"]);
    bad(&["--rotate", "ada"], 6, &["ada.key", "--key-out"]);
    bad(&["--revoke", "bob"], 5, &["not registered", "--list"]);
    bad(&["a/b"], 2, &["--key-out"]);
    bad(&[""], 2, &["no name"]);
    assert_eq!(fs::read_to_string(scratch.path("ada.key")).unwrap(), key, "untouched");
    reg(&["--revoke", "ada"]);
    assert_eq!(reg(&["--list"]), "leader  enabled   lea\n", "what failed has changed nothing");
    scratch.bad(&["register", "--list", "--registry", "none"], 5, &["there is no registry"]);
    scratch.bad(&["register", "x", "--registry", "none/reg"], 6, &["--registry"]);
}

#[test]
fn many_register_at_once_and_none_is_lost() {
    let scratch = Scratch::new("at-once");
    let names: Vec<String> = (0..12).map(|number| format!("m{number:02}")).collect();
    let running: Vec<Child> = names
        .iter()
        .map(|name| scratch.command(&["register", name, "--registry", "reg"]).stdout(Stdio::null()).spawn().unwrap())
        .collect();
    for mut child in running {
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    let listed = scratch.good(&["register", "--list", "--registry", "reg"]);
    let expected: String = names.iter().map(|name| format!("member  enabled   {name}\n")).collect();
    assert_eq!(listed, expected);
    let left = fs::read_dir(&scratch.0).unwrap().count();
    assert_eq!(left, 13, "the registry and twelve keys, and nothing else");
}

/// Killed at any moment, a registration has happened or it has not.
#[test]
fn a_killed_registration_damages_nothing() {
    let scratch = Scratch::new("killed");
    scratch.register(&[]);
    let mut before = 1;
    for round in 0..25_u64 {
        let name = format!("m{round:02}");
        let args = ["register", &name, "--registry", "reg"];
        let mut child = scratch.command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_micros(700 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        let listed = scratch.good(&["register", "--list", "--registry", "reg"]);
        let after = listed.lines().count();
        assert!(after == before || after == before + 1, "{listed}");
        assert!(after == before || scratch.path(&format!("{name}.key")).exists(), "no principal without its key");
        before = after;
    }
}

#[test]
fn a_key_may_come_by_the_standard_input_or_a_descriptor() {
    let scratch = Scratch::new("key-in");
    scratch.register(&["ada"]);
    let mut ttp = scratch.ttp();
    let mut lea = scratch.lead(&ttp.address(), &[]);
    let at = lea.address();
    // The first line is the key; what follows is said once the group is there.
    let mut ada = Party::start(&scratch, &Scratch::join_args("ada", "-", &at, &[]));
    ada.type_line(fs::read_to_string(scratch.path("ada.key")).unwrap().trim());
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

/// Whatever a damaged file holds: one line and a status, never a panic.
#[test]
fn a_damaged_registry_is_told_and_nothing_else() {
    let scratch = Scratch::new("damaged");
    scratch.register(&["ada"]);
    let whole = fs::read(scratch.path("reg")).unwrap();
    let mut pieces: Vec<(String, Vec<u8>)> = Vec::new();
    for length in [0, 1, 64, 320, 4096, 5000, whole.len() / 2, whole.len() - 1] {
        pieces.push((format!("{length} bytes of it"), whole[..length].to_vec()));
    }
    pieces.push(("other bytes".into(), b"no registry, a letter\n".repeat(1000)));
    pieces.push(("no bytes but zeroes".into(), vec![0; whole.len()]));
    let (mut refused, mut report) = (0, String::new());
    for (what, bytes) in &pieces {
        fs::write(scratch.path("reg"), bytes).unwrap();
        for args in [&["register", "--list", "--registry", "reg"][..], &["register", "x", "--registry", "reg"]] {
            let output = scratch.run(args);
            let code = output.status.code();
            writeln!(report, "{what}: {code:?} {}", String::from_utf8_lossy(&output.stderr).trim_end()).unwrap();
            assert_eq!(code, Some(5), "{report}");
            assert!(complaint(&output.stderr).contains("reg: is no registry or is damaged"), "{report}");
            refused += 1;
        }
        scratch.bad(
            &["ttp", "--registry", "reg", "--listen", "127.0.0.1:0"],
            5,
            &["reg: is no registry or is damaged"],
        );
    }
    assert_eq!(refused, 2 * pieces.len());
    assert!(!scratch.path("x.key").exists(), "no key without its principal");
    // A few bytes that are others: it is told, or they were of no importance.
    let mut seed = 0x5eed_0001_u32;
    for _ in 0..40 {
        let mut bytes = whole.clone();
        for _ in 0..8 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = seed as usize % bytes.len().min(16 << 10);
            bytes[at] ^= 1 << (seed >> 29);
        }
        fs::write(scratch.path("reg"), &bytes).unwrap();
        let output = scratch.run(&["register", "--list", "--registry", "reg"]);
        match output.status.code() {
            Some(0) => assert_eq!(output.stderr, b""),
            Some(5) => drop(complaint(&output.stderr)),
            other => panic!("{other:?} {seed:#x} {}", String::from_utf8_lossy(&output.stderr)),
        }
    }
    fs::write(scratch.path("reg"), &whole).unwrap();
    scratch.good(&["register", "x", "--registry", "reg"]);
}
