//! What is typed: lines, a few of them commands.

use std::io::{self, BufRead, Read};
use std::path::PathBuf;
use std::thread;

use tokio::sync::mpsc;

/// A longer line is taken in pieces.
const LONGEST: u64 = 32 << 10;

/// What the commands are.
pub(super) const HELP: &[&str] = &[
    "a line            says it to the group",
    "/send FILE        sends a file to all",
    "/gossip A,B TEXT  says TEXT to A and B alone",
    "/direct NAME      (member, Enclaves 1.0) asks the leader for a direct link to NAME, which then needs no leader",
    "/direct NAME TEXT (member, Enclaves 1.0) says TEXT to NAME over it",
    "/objects          (repaired Enclaves) shows the shared objects, and what may be done with each here",
    "/put OBJECT FILE  (repaired Enclaves) changes a shared object to what FILE holds",
    "/get OBJECT       (repaired Enclaves) stores a shared object as it is now",
    "/who              shows who is in the group",
    "/status           shows what protects the group, and how fresh the key is (the leader: how each member is)",
    "/policy           shows the policy in force",
    "/eject NAME       ejects somebody (a member: asks the leader to)",
    "/leave            leaves (the leader: closes the group); also /quit",
    "/rekey            (leader) changes the key",
    "/yes N, /no N     (leader) answers the question of that number: an admission, with --ask, or an ejection",
    "//line            says /line",
];

/// One line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Typed {
    Say(String),
    Send(PathBuf),
    Who,
    Leave,
    Status,
    Rekey,
    Policy,
    Eject(String),
    /// To whom, and what.
    Gossip(Vec<String>, String),
    /// To whom, and what, if anything.
    Direct(String, Option<String>),
    /// Which object, and from where.
    Put(String, PathBuf),
    Get(String),
    Objects,
    Answer(u64, bool),
    Help,
    /// Nothing that is known, and why.
    Wrong(String),
}

pub(super) fn parse(line: &str) -> Option<Typed> {
    let line = line.trim_end_matches(['\r', '\n']);
    if line.trim().is_empty() {
        return None;
    }
    let Some(command) = line.strip_prefix('/') else { return Some(Typed::Say(line.to_owned())) };
    if command.starts_with('/') {
        return Some(Typed::Say(command.to_owned()));
    }
    let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
    let rest = rest.trim();
    Some(match (verb, rest) {
        ("send", "") => Typed::Wrong("/send needs the name of a file".into()),
        ("send", file) => Typed::Send(file.into()),
        ("who", "") => Typed::Who,
        ("leave" | "quit", "") => Typed::Leave,
        ("status", "") => Typed::Status,
        ("rekey", "") => Typed::Rekey,
        ("help", "") => Typed::Help,
        ("policy", "") => Typed::Policy,
        ("eject", "") => Typed::Wrong("/eject needs a name; /who shows them".into()),
        ("eject", name) => Typed::Eject(name.to_owned()),
        ("gossip", whole) => gossip(whole),
        ("direct", "") => Typed::Wrong("/direct needs a name; /who shows them".into()),
        ("direct", whole) => {
            let (name, text) = whole.split_once(' ').unwrap_or((whole, ""));
            let text = text.trim();
            Typed::Direct(name.to_owned(), (!text.is_empty()).then(|| text.to_owned()))
        }
        ("put", whole) => match whole.split_once(' ') {
            Some((object, file)) => Typed::Put(object.to_owned(), file.trim().into()),
            None => Typed::Wrong("/put needs an object and a file; /objects shows the objects".into()),
        },
        ("get", "") => Typed::Wrong("/get needs an object; /objects shows them".into()),
        ("get", object) => Typed::Get(object.to_owned()),
        ("objects", "") => Typed::Objects,
        ("yes" | "no", number) => match number.parse() {
            Ok(number) => Typed::Answer(number, verb == "yes"),
            Err(_) => Typed::Wrong(format!("/{verb} needs the number of a question")),
        },
        _ => Typed::Wrong(format!("/{verb}: no such command, or too much after it; /help shows all")),
    })
}

/// What follows `/gossip`: names with commas between them, a blank, and a text.
fn gossip(whole: &str) -> Typed {
    let (names, text) = whole.split_once(' ').unwrap_or((whole, ""));
    let names: Vec<String> = names.split(',').map(str::to_owned).collect();
    if text.trim().is_empty() || names.iter().any(String::is_empty) {
        return Typed::Wrong("/gossip needs names with commas between them, and what to say; /who shows names".into());
    }
    Typed::Gossip(names, text.trim_start().to_owned())
}

/// Reads the standard input in a thread of its own, which may wait for ever. Its end is no command: a participant that
/// nobody types for stays until it is told otherwise.
pub(super) fn lines() -> mpsc::Receiver<Typed> {
    let (typed, lines) = mpsc::channel(16);
    let read = move || {
        let mut line = Vec::new();
        loop {
            line.clear();
            match io::stdin().lock().take(LONGEST).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            if let Some(parsed) = parse(&String::from_utf8_lossy(&line))
                && typed.blocking_send(parsed).is_err()
            {
                return;
            }
        }
    };
    // Without a thread there is nothing to read: the group goes on.
    let _ = thread::Builder::new().name("input".into()).spawn(read);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_chat_and_slashes_are_commands() {
        assert_eq!(parse("hello / there\n"), Some(Typed::Say("hello / there".into())));
        assert_eq!(parse(" \r\n"), None);
        assert_eq!(parse("//who"), Some(Typed::Say("/who".into())));
        assert_eq!(parse("/send a b.txt\n"), Some(Typed::Send("a b.txt".into())));
        assert_eq!(parse("/yes 3"), Some(Typed::Answer(3, true)));
        assert_eq!(parse("/no 4"), Some(Typed::Answer(4, false)));
        assert_eq!((parse("/quit"), parse("/leave")), (Some(Typed::Leave), Some(Typed::Leave)));
        assert_eq!(parse("/eject bob the other\n"), Some(Typed::Eject("bob the other".into())));
        assert_eq!(parse("/policy"), Some(Typed::Policy));
        let to = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            parse("/gossip ada,bob  at noon, no?\n"),
            Some(Typed::Gossip(to(&["ada", "bob"]), "at noon, no?".into()))
        );
        assert_eq!(parse("/direct bob"), Some(Typed::Direct("bob".into(), None)));
        assert_eq!(parse("/direct bob  at noon \n"), Some(Typed::Direct("bob".into(), Some("at noon".into()))));
        assert_eq!(parse("/put plan a b.txt"), Some(Typed::Put("plan".into(), "a b.txt".into())));
        assert_eq!((parse("/get plan"), parse("/objects")), (Some(Typed::Get("plan".into())), Some(Typed::Objects)));
        for wrong in [
            "/direct",
            "/put plan",
            "/get",
            "/objects plan",
            "/send",
            "/eject ",
            "/policy x",
            "/yes",
            "/no x",
            "/",
            "/who am i",
            "/nonsense",
            "/gossip",
            "/gossip ada",
            "/gossip ,ada x",
        ] {
            assert!(matches!(parse(wrong), Some(Typed::Wrong(_))), "{wrong}");
        }
    }
}
