//! Groups with parts as published, as a user runs them: over loopback, and only where it was asked for.
#![cfg(all(unix, feature = "study"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.
#![allow(clippy::disallowed_types, reason = "real processes take real time")]

mod common;

use std::fs;
use std::time::{Duration, Instant};

use common::group::SETTLED;
use common::{ANYWHERE, Party, QUICK, Scratch, complaint, field, page};

/// What all say who take part in a group of which everything is as published.
const ALL: [&str; 3] = ["--as-published", "--edition", "as-published"];

/// A third party and a leader with these options, and members as they are asked for.
struct Group {
    scratch: Scratch,
    options: Vec<&'static str>,
    ttp: Party,
    lea: Party,
    at: String,
}

impl Group {
    fn new(test: &str, members: &[&str], options: &[&'static str]) -> Self {
        let scratch = Scratch::new(test);
        fs::write(scratch.path("quick.toml"), QUICK).unwrap();
        scratch.register(members);
        let args = [&["ttp", "--registry", "reg", "--listen", ANYWHERE, "--json"], options].concat();
        let mut ttp = Party::start(&scratch, &args);
        ttp.sees("historic", "");
        let mut lea = scratch.lead(&ttp.address(), &[&["--policy", "quick.toml"], options].concat());
        lea.sees("historic", "");
        let at = lea.address();
        lea.sees("joined", "");
        Self { scratch, options: options.to_vec(), ttp, lea, at }
    }

    fn member(&self, name: &str) -> Party {
        let mut member = self.scratch.join(name, &self.at, &self.options);
        member.sees("historic", "");
        member.sees("joined", "");
        member
    }
}

#[test]
fn a_session_of_1999_over_tcp() {
    let scratch = Scratch::new("session-1999");
    let mut command = scratch.command(&["demo", "--edition", "as-published", "--suite", "des-md5-rsa"]);
    let output = command.env("TMPDIR", &scratch.0).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{shown}\n{}", String::from_utf8_lossy(&output.stderr));
    let first = shown.lines().next().unwrap();
    for word in ["all parts; des-md5-rsa", "THIS PROTECTS NOTHING", "sodality attack list"] {
        assert!(first.contains(word), "{word}: {first}");
    }
    for part in [
        "Antigone with all parts as published (des-md5-rsa)",
        "plain joins",
        "ttp     vouches for ada towards lea",
        "lea     admits cyd as member",
        "hears ada",
        "bob     has left; as published nothing confirms it",
        "sees bob go",
        "dan     is put out of the group; as published nobody told it",
        "lea     is killed",
        "  ada counted its key as stale after",
        "  cyd counted its key as stale after",
        "none occurs in the record",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    // Everything that eve saw is a message as published, and all of it was taken apart.
    let seen = shown.lines().skip_while(|line| !line.starts_with("What eve saw")).skip(2);
    let seen: Vec<&str> = seen.take_while(|line| line.contains(" frames ")).collect();
    assert!(seen.iter().all(|line| line.starts_with("  AN-") || line.starts_with("  data: ")), "{seen:#?}");
    for id in ["AN-J1", "AN-J2", "AN-J3", "AN-R", "AN-HL", "AN-HM", "AN-Db"] {
        assert!(seen.iter().any(|line| line.starts_with(&format!("  {id} "))), "{id}: {seen:#?}");
    }
    assert!(!shown.contains("no messages of Antigone"), "{shown}");
    assert_eq!(shown.matches("hash ok").count(), 7, "{shown}");
    assert_eq!(shown.matches("its machine opens 0").count(), 2, "{shown}");
}

#[test]
fn a_mix_and_its_frames_for_machines() {
    let scratch = Scratch::new("mix-1999");
    let mut command = scratch.command(&["demo", "--published", "data,key-request", "--suite", "aes-256-gcm", "--json"]);
    let output = command.env("TMPDIR", &scratch.0).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{shown}\n{}", String::from_utf8_lossy(&output.stderr));
    shown.lines().for_each(page::check);
    let first = shown.lines().next().unwrap();
    assert_eq!((field(first, "what"), field(first, "parts")), ("historic", "key-request, data"));
    let ids: Vec<&str> =
        shown.lines().filter(|line| line.contains("\"what\":\"seen\"")).map(|line| field(line, "id")).collect();
    assert!(
        ids.contains(&"AN-Db") && ids.contains(&"RA-J1") && ids.contains(&"RA-R") && !ids.contains(&"RA-D"),
        "{ids:?}"
    );
}

#[test]
fn a_group_of_processes_as_published() {
    let mut group = Group::new("as-published", &["ada", "bob", "cyd"], &ALL);
    let mut ada = group.member("ada");
    let mut bob = group.member("bob");
    group.ttp.sees("vouched", "\"member\":\"bob\"");
    ada.sees("member-added", "\"name\":\"bob\"");
    group.lea.sees("member-added", "\"name\":\"bob\"");
    std::thread::sleep(SETTLED);

    // Chat and a file. Nothing is signed.
    ada.type_line("good day");
    for party in [&mut group.lea, &mut bob] {
        let line = party.sees("heard", "good day");
        assert!(field(&line, "from") == "ada" && line.contains("\"signed\":false"), "{line}");
    }
    let file = common::payload(300_001);
    fs::write(group.scratch.path("a file.bin"), &file).unwrap();
    ada.type_line("/send a file.bin");
    for party in [&mut group.lea, &mut bob] {
        assert_eq!(field(&party.sees("stored", "a file.bin"), "sha256"), common::sha256(&file));
    }
    ada.sees("delivered", "a file.bin");

    // Who is there, by name; how it stands; what the policy is.
    bob.type_line("/gossip ada not as published");
    bob.sees("error", "parts as published have no private messages");
    bob.type_line("/who");
    bob.sees_all(["lea", "bob", "ada"].map(|name| ("who", name)));
    bob.type_line("/status");
    let status = bob.sees("status", "");
    assert!(status.contains("\"current\":true") && status.contains("\"members\":3"), "{status}");
    bob.type_line("/policy");
    let policy = bob.sees("policy", "\"published\":\"all parts\"");
    assert_eq!(field(&policy, "published_suite"), "des-md5-rsa");

    // A new key.
    group.lea.type_line("/rekey");
    group.lea.sees("installed", "asked for");
    for party in [&mut ada, &mut bob] {
        party.sees("installed", "");
    }

    // A leave, which nothing confirms, and nothing repeats: under the old key it would be lost.
    bob.type_line("/leave");
    group.lea.sees("member-removed", "\"cause\":\"leave\"");
    ada.sees("member-removed", "\"name\":\"bob\"");
    bob.sees("left", "\"confirmed\":false");
    assert_eq!(bob.ends(), (Some(0), String::new()));

    // An ejection, of which nobody tells who is out: it hears nothing any more.
    let mut cyd = group.member("cyd");
    ada.sees("member-added", "\"name\":\"cyd\"");
    group.lea.sees("member-added", "\"name\":\"cyd\"");
    group.lea.type_line("/eject cyd");
    group.lea.sees("ejects", "\"name\":\"cyd\"");
    ada.sees("member-removed", "\"name\":\"cyd\"");
    cyd.sees("ended", "\"code\":\"ended.leader-lost\"");
    assert_eq!(cyd.ends().0, Some(4));

    // The leader dies, and the member notices.
    group.lea.kill();
    let killed = Instant::now();
    ada.sees("stale", "");
    ada.sees("ended", "\"code\":\"ended.leader-lost\"");
    assert!(killed.elapsed() < Duration::from_secs(8), "{:?}", killed.elapsed());
    let (status, said) = ada.ends();
    assert_eq!(status, Some(4));
    assert!(complaint(said.as_bytes()).contains("lea was lost"), "{said}");
}

#[test]
fn a_policy_file_names_the_parts_only_with_the_flag() {
    let scratch = Scratch::new("table");
    let rest = "[data]\norigin = false\n[members]\nviews = \"with-each-key\"\n";
    let text = format!("{QUICK}{rest}[editions]\nsuite = \"des-md5-rsa\"\njoin = \"as-published\"\n");
    fs::write(scratch.path("mix.toml"), text).unwrap();
    scratch.register(&["ada"]);
    let lead = |more: &[&'static str]| {
        let policy = ["--policy", "mix.toml"];
        Scratch::lead_args("lea", "lea.key", ANYWHERE, ANYWHERE, &[&policy, more].concat()).join("\n")
    };
    let bad = |args: &str, words: &[&str]| scratch.bad(&args.split('\n').collect::<Vec<_>>(), 2, words);
    bad(&lead(&[]), &["protect nothing", "--as-published"]);
    bad(&lead(&["--as-published", "--edition", "as-published"]), &["table [editions]"]);

    // With it the group is there, and who says the same joins it.
    let mut ttp =
        Party::start(&scratch, &["ttp", "--registry", "reg", "--listen", ANYWHERE, "--json", ALL[0], ALL[1], ALL[2]]);
    let mut lea = scratch.lead(&ttp.address(), &["--policy", "mix.toml", "--as-published"]);
    assert_eq!(field(&lea.sees("historic", ""), "parts"), "join");
    let at = lea.address();
    let mut ada = scratch.join("ada", &at, &["--as-published", "--published", "join"]);
    ada.sees("joined", "");
    // A member knows who has spoken; here no list tells of others.
    std::thread::sleep(SETTLED);
    lea.type_line("good day");
    ada.sees("heard", "\"from\":\"lea\"");
    // Leaving is repaired: it is confirmed, and the end of the group is told.
    lea.type_line("/leave");
    ada.sees("ended", "");
    assert_eq!((ada.ends().0, lea.ends().0), (Some(0), Some(0)));
}

#[test]
fn nothing_leads_there_but_the_options() {
    let scratch = Scratch::new("refused-1999");
    scratch.register(&["ada", "alexandra"]);
    let both = ["--edition", "as-published"];
    // The word that says that it is known.
    scratch.bad(&["ttp", "--registry", "reg", "--listen", ANYWHERE, both[0], both[1]], 2, &["--as-published"]);
    scratch.bad(&Scratch::lead_args("lea", "lea.key", ANYWHERE, ANYWHERE, &both), 2, &["protect nothing"]);
    scratch.bad(&Scratch::join_args("ada", "ada.key", ANYWHERE, &both), 2, &["protect nothing"]);
    // And what it is said of.
    scratch.bad(&Scratch::join_args("ada", "ada.key", ANYWHERE, &["--as-published"]), 2, &["--published PART"]);
    scratch.bad(&["demo", "--suite", "des-md5-rsa"], 2, &["--suite", "--edition as-published"]);
    scratch.bad(&["demo", "--published", "everything"], 2, &["everything"]);
    scratch.bad(&["demo", "--published", "join", "--edition", "repaired"], 2, &["cannot be used"]);
    // Names are blocks of the cipher.
    let long = Scratch::join_args("alexandra", "alexandra.key", ANYWHERE, &ALL);
    scratch.bad(&long, 2, &["alexandra: too long a name", "des-md5-rsa", "1 to 8 bytes"]);
}

#[test]
fn nothing_is_negotiated() {
    let group = Group::new("suites", &["ada"], &ALL);
    let args = |more: &[&'static str]| {
        let args = Scratch::join_args("ada", "ada.key", &group.at, &[&["--wait", "2"], more].concat()).join("\n");
        args.replace("\n--json", "")
    };
    let refused = |more: &[&'static str], words: &[&str]| {
        let output = group.scratch.run(&args(more).split('\n').collect::<Vec<_>>());
        let said = complaint(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{said}");
        words.iter().for_each(|word| assert!(said.contains(word), "{word}: {said}"));
    };
    // Another suite, another edition.
    refused(
        &["--as-published", "--edition", "as-published", "--suite", "aes-128-gcm"],
        &["nothing is negotiated", "--suite"],
    );
    refused(&[], &["did not answer in time"]);
}
