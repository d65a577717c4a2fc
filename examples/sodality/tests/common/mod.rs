//! What the tests of the running program share: a folder for each test, and processes driven as a user drives them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.
#![allow(clippy::disallowed_types, reason = "real processes take real time")]
#![allow(dead_code, reason = "no test file needs all of it")]

#[cfg(unix)]
pub(crate) mod enclaves;
pub(crate) mod group;
pub(crate) mod page;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// Nothing here takes so long, but on a machine that is very busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Some port that is free.
pub(crate) const ANYWHERE: &str = "127.0.0.1:0";

/// Polls so often that a loss shows within a second or two.
pub(crate) const QUICK: &str = "[rekey]\ngrace_ms = 200\nsettle_ms = 50\n[detection]\nperiod_ms = 200\nmisses = 3\n";

/// A folder of its own for each test, removed at its end.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("verbs-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sodality"));
        command.current_dir(&self.0).env_remove("NO_COLOR").stdin(Stdio::null()).args(args);
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// What the program does well.
    pub(crate) fn good(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What the program refuses: one line, of which `words` are parts, and that exit status.
    pub(crate) fn bad(&self, args: &[&str], status: i32, words: &[&str]) {
        let output = self.run(args);
        let said = complaint(&output.stderr);
        println!("{args:?} is refused: {:?}, {said}", output.status.code());
        assert_eq!(output.status.code(), Some(status), "{args:?}: {said}");
        words.iter().for_each(|word| assert!(said.contains(word), "{args:?}: {word}: {said}"));
    }

    /// A registry with a leader `lea` and these members.
    pub(crate) fn register(&self, members: &[&str]) {
        self.good(&["register", "lea", "--leader", "--registry", "reg"]);
        members.iter().for_each(|name| drop(self.good(&["register", name, "--registry", "reg"])));
    }

    pub(crate) fn ttp(&self) -> Party {
        Party::start(self, &["ttp", "--registry", "reg", "--listen", ANYWHERE, "--json"])
    }

    pub(crate) fn lead(&self, ttp: &str, more: &[&str]) -> Party {
        Party::start(self, &Self::lead_args("lea", "lea.key", ttp, ANYWHERE, more))
    }

    pub(crate) fn lead_args<'a>(
        name: &'a str,
        key: &'a str,
        ttp: &'a str,
        listen: &'a str,
        more: &[&'a str],
    ) -> Vec<&'a str> {
        let args = ["lead", name, "--app", "tea", "--key", key, "--ttp", ttp, "--listen", listen, "--json"];
        [&args, more].concat()
    }

    pub(crate) fn join_args<'a>(name: &'a str, key: &'a str, at: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        [&["join", name, "--leader", "lea", "--app", "tea", "--key", key, "--at", at, "--json"], more].concat()
    }

    pub(crate) fn join(&self, name: &str, at: &str, more: &[&str]) -> Party {
        Party::start(self, &Self::join_args(name, &format!("{name}.key"), at, more))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

pub(crate) fn complaint(stderr: &[u8]) -> String {
    let text = String::from_utf8(stderr.to_vec()).unwrap();
    assert_eq!(text.lines().count(), 1, "one line: {text}");
    assert!(text.starts_with("sodality: "), "{text}");
    text
}

/// The text of a field of a line of JSON, as the program writes it.
pub(crate) fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let start = format!("\"{name}\":\"");
    let rest = line.split_once(&start).unwrap_or_else(|| panic!("{name}: {line}")).1;
    rest.split_once('"').unwrap().0
}

/// A running process.
pub(crate) struct Party {
    who: String,
    pub(crate) child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    pub(crate) seen: Vec<String>,
}

impl Party {
    pub(crate) fn start(scratch: &Scratch, args: &[&str]) -> Self {
        Self::spawn(scratch.command(args), args)
    }

    /// As it stands, but for its standard channels.
    pub(crate) fn spawn(mut command: Command, args: &[&str]) -> Self {
        let who = args[..args.len().min(2)].join(" ");
        println!("starts {args:?}");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (out, lines) = mpsc::channel();
        let shown = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || shown.lines().map_while(Result::ok).try_for_each(|line| out.send(line)));
        Self { who, input: child.stdin.take(), child, lines, seen: Vec::new() }
    }

    pub(crate) fn type_line(&mut self, line: &str) {
        println!("{} is told: {line}", self.who);
        self.give_line(line);
    }

    /// Types what is not shown here.
    pub(crate) fn give_line(&mut self, line: &str) {
        let input = self.input.as_mut().unwrap();
        writeln!(input, "{line}").unwrap();
    }

    /// The next line of JSON of that kind that has `word`.
    #[track_caller]
    pub(crate) fn sees(&mut self, what: &str, word: &str) -> String {
        self.sees_all([(what, word)]).remove(0)
    }

    /// Whether such a line comes within that time.
    pub(crate) fn sees_within(&mut self, limit: Duration, what: &str, word: &str) -> bool {
        let until = Instant::now() + limit;
        while let Ok(line) = self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            println!("{}: {line}", self.who);
            page::check(&line);
            let is = line.contains(&format!("\"what\":\"{what}\"")) && line.contains(word);
            self.seen.push(line);
            if is {
                return true;
            }
        }
        false
    }

    /// The next lines of these kinds that have these words, in whatever order they come.
    #[track_caller]
    pub(crate) fn sees_all<const N: usize>(&mut self, wanted: [(&str, &str); N]) -> Vec<String> {
        let mut found = [const { None }; N];
        let until = Instant::now() + PATIENCE;
        while found.iter().any(Option::is_none) {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    println!("{}: {line}", self.who);
                    page::check(&line);
                    for ((what, word), found) in wanted.iter().zip(&mut found) {
                        if found.is_none() && line.contains(&format!("\"what\":\"{what}\"")) && line.contains(word) {
                            *found = Some(line.clone());
                        }
                    }
                    self.seen.push(line);
                }
                Err(error) => {
                    let errors = self.errors(error);
                    panic!("{} does not show {wanted:?}: {error}; {errors}", self.who)
                }
            }
        }
        found.into_iter().flatten().collect()
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
    pub(crate) fn ends(mut self) -> (Option<i32>, String) {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                let mut text = String::new();
                self.child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
                // What it has shown is documented, also what nobody waited for.
                while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
                    page::check(&line);
                }
                println!("{} ends: {status}, {text}", self.who);
                return (status.code(), text);
            }
            assert!(Instant::now() < until, "it does not end: {:#?}", self.lines.try_iter().collect::<Vec<_>>());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// As by the system, at once and without a word.
    pub(crate) fn kill(mut self) {
        println!("{} is killed", self.who);
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn address(&mut self) -> String {
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

pub(crate) fn interrupt(child: &Child) {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
}

/// By another implementation than the program's.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let mut child =
        Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("sha256sum is there");
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

/// Bytes that repeat nowhere near.
pub(crate) fn payload(length: usize) -> Vec<u8> {
    (0..length as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 29) as u8).collect()
}

/// Gives a file this mode.
pub(crate) fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

pub(crate) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// A number of a line of JSON.
pub(crate) fn number(line: &str, name: &str) -> u64 {
    let start = format!("\"{name}\":");
    let rest = line.split_once(&start).unwrap_or_else(|| panic!("{name}: {line}")).1;
    rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or_else(|_| panic!("{line}"))
}
