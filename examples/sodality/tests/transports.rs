//! Groups over each transport, each party a process of its own; multicast that does not arrive (R47); and what is refused.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.
#![allow(clippy::disallowed_types, reason = "real processes take real time")]

mod common;

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::thread::sleep;
use std::time::Duration;

use common::{ANYWHERE, Party, Scratch, field, payload, set_mode, sha256};

/// A loss shows within some seconds; a busy machine is none.
const POLICY: &str = "[rekey]\ngrace_ms = 200\nsettle_ms = 50\n[detection]\nperiod_ms = 400\nmisses = 10\n";

/// A group of multicast that no other test uses: by this process, and `number`.
fn group(number: u16) -> String {
    let id = std::process::id();
    format!("239.255.{}.{}:{}", id >> 8 & 0xff, id & 0xff, 20_000 + number)
}

/// Whether this host carries multicast over loopback. If not the tests say so.
fn multicast_works() -> bool {
    let group = Ipv4Addr::new(239, 255, 77, 20);
    let probe = || {
        let ear = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        ear.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST)?;
        ear.set_read_timeout(Some(Duration::from_secs(2)))?;
        let mouth = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        mouth.send_to(b"?", (group, ear.local_addr()?.port()))?;
        ear.recv(&mut [0; 8])
    };
    let works = probe();
    if let Err(error) = &works {
        eprintln!("SKIPPED: no multicast over loopback on this host: {error}");
    }
    works.is_ok()
}

fn says(speaker: &mut Party, hearers: &mut [&mut Party], text: &str) {
    // What is said in the moment in which somebody joins may go by it: messages are best effort.
    for attempt in 0..20 {
        let text = format!("{text} {attempt}");
        speaker.type_line(&text);
        let heard = hearers.iter_mut().all(|party| party.sees_within(Duration::from_secs(3), "heard", &text));
        if heard {
            return;
        }
    }
    panic!("{text} is not heard");
}

/// Talk, a file and a leave among three.
fn session(scratch: &Scratch, [lea, ada, bob]: [&mut Party; 3]) {
    sleep(common::group::SETTLED);
    says(ada, &mut [&mut *lea, &mut *bob], "good day");
    says(lea, &mut [&mut *ada, &mut *bob], "and to you");
    let file = payload(300_001);
    fs::write(scratch.path("a file.bin"), &file).unwrap();
    ada.type_line("/send a file.bin");
    for (party, name) in [(&mut *lea, "lea"), (&mut *bob, "bob")] {
        assert_eq!(field(&party.sees("stored", "a file.bin"), "sha256"), sha256(&file), "{name}");
        assert_eq!(fs::read(scratch.path(&format!("received-{name}/a file.bin"))).unwrap(), file, "{name}");
    }
    ada.sees("delivered", "a file.bin");
    bob.type_line("/leave");
    bob.sees("left", "\"confirmed\":true");
    lea.sees("member-removed", "\"name\":\"bob\"");
    sleep(common::group::SETTLED);
    says(lea, &mut [ada], "without bob");
    lea.type_line("/quit");
    ada.sees("ended", "");
}

/// A session of Antigone over that transport.
fn antigone(test: &str, options: &[&str]) {
    let scratch = Scratch::new(test);
    fs::write(scratch.path("policy.toml"), POLICY).unwrap();
    scratch.register(&["ada", "bob"]);
    let mut ttp = scratch.ttp();
    let mut lea = scratch.lead(&ttp.address(), &[&["--policy", "policy.toml"], options].concat());
    let listening = lea.sees("listening", "");
    let at = field(&listening, "address");
    let pin = listening.contains("\"pin\"").then(|| field(&listening, "pin"));
    let options = [options, &pin.map_or_else(Vec::new, |pin| vec!["--pin", pin])].concat();
    let mut ada = scratch.join("ada", at, &options);
    ada.sees("joined", "");
    let mut bob = scratch.join("bob", at, &options);
    bob.sees("joined", "");
    ada.sees("member-added", "\"name\":\"bob\"");
    session(&scratch, [&mut lea, &mut ada, &mut bob]);
}

/// A session of Enclaves over that transport.
fn enclaves(test: &str, options: &[&str]) {
    let scratch = Scratch::new(test);
    fs::write(scratch.path("policy.toml"), POLICY).unwrap();
    for name in ["ada", "bob"] {
        scratch.good(&["user", name, "--users", "users", "--leader", "lea"]);
    }
    let args =
        ["lead", "lea", "--system", "enclaves", "--app", "tea", "--users", "users", "--listen", ANYWHERE, "--json"];
    let mut lea = Party::start(&scratch, &[&args[..], &["--policy", "policy.toml"], options].concat());
    let listening = lea.sees("listening", "");
    let at = field(&listening, "address");
    let pin = listening.contains("\"pin\"").then(|| field(&listening, "pin"));
    let options = [options, &pin.map_or_else(Vec::new, |pin| vec!["--pin", pin])].concat();
    let join = |name: &str| {
        let (key, args) =
            (format!("{name}.key"), ["join", name, "--system", "enclaves", "--leader", "lea", "--app", "tea"]);
        let mut party =
            Party::start(&scratch, &[&args[..], &["--at", at, "--key", &key, "--json"], &options[..]].concat());
        party.sees("joined", "");
        party
    };
    let mut ada = join("ada");
    let mut bob = join("bob");
    ada.sees("member-added", "\"name\":\"bob\"");
    session(&scratch, [&mut lea, &mut ada, &mut bob]);
}

#[test]
fn antigone_over_udp() {
    antigone("udp", &["--transport", "udp"]);
}

#[test]
fn antigone_over_quic() {
    antigone("quic", &["--transport", "quic"]);
}

#[test]
fn antigone_in_mixed_mode() {
    if multicast_works() {
        antigone("mixed", &["--transport", "mixed", "--group", &group(1)]);
    }
}

#[test]
fn antigone_by_multicast() {
    if multicast_works() {
        antigone("multicast", &["--transport", "multicast", "--group", &group(2), "--interface", "127.0.0.1"]);
    }
}

#[test]
fn enclaves_over_udp() {
    enclaves("enclaves-udp", &["--transport", "udp"]);
}

#[test]
fn enclaves_over_quic() {
    enclaves("enclaves-quic", &["--transport", "quic"]);
}

#[test]
fn enclaves_in_mixed_mode_is_a_star_and_says_so() {
    enclaves("enclaves-mixed", &["--transport", "mixed", "--group", &group(3)]);
}

#[test]
fn r47_where_multicast_does_not_arrive_the_member_says_so_and_goes_on() {
    if !multicast_works() {
        return;
    }
    let scratch = Scratch::new("r47");
    fs::write(scratch.path("policy.toml"), POLICY).unwrap();
    scratch.register(&["ada", "bob"]);
    let mut ttp = scratch.ttp();
    let (right, wrong) = (group(4), group(5));
    let options = ["--transport", "mixed", "--group", &right];
    let mut lea = scratch.lead(&ttp.address(), &[&["--policy", "policy.toml"], &options[..]].concat());
    let at = lea.address();
    let mut ada = scratch.join("ada", &at, &options);
    ada.sees("joined", "");
    // Multicast works on this host, and what the leader sends goes elsewhere.
    let mut bob = scratch.join("bob", &at, &["--transport", "mixed", "--group", &wrong]);
    bob.sees("joined", "");
    let told = bob.sees("multicast-silent", "\"probe\":\"back\"");
    assert!(field(&told, "tried").contains(&format!("multicast to {wrong}, interface 127.0.0.1, TTL 1")), "{told}");
    // Whoever hears it there has nothing to tell, and all hear all.
    says(&mut lea, &mut [&mut ada, &mut bob], "do you hear");
    says(&mut bob, &mut [&mut lea, &mut ada], "we do");
    assert!(!ada.seen.iter().any(|line| line.contains("multicast-silent")), "{:?}", ada.seen);
}

#[test]
fn certificates_of_authorities_and_pins_that_are_wrong() {
    let scratch = Scratch::new("certificates");
    scratch.register(&["ada"]);
    let mut ttp = scratch.ttp();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let root = params.self_signed(&key).unwrap();
    let issuer = rcgen::Issuer::new(params, key);
    let host_key = rcgen::KeyPair::generate().unwrap();
    let host =
        rcgen::CertificateParams::new(vec!["lea.example".to_owned()]).unwrap().signed_by(&host_key, &issuer).unwrap();
    fs::write(scratch.path("root.pem"), root.pem()).unwrap();
    fs::write(scratch.path("host.pem"), host.pem() + &host_key.serialize_pem()).unwrap();
    let ttp_at = ttp.address();
    let quic = ["--transport", "quic"];
    let certified = [&quic[..], &["--certificate", "host.pem"]].concat();
    let args = Scratch::lead_args("lea", "lea.key", &ttp_at, ANYWHERE, &certified);
    set_mode(&scratch.path("host.pem"), 0o644);
    scratch.bad(&args, 5, &["host.pem", "chmod 600"]);
    set_mode(&scratch.path("host.pem"), 0o600);
    let mut lea = Party::start(&scratch, &args);
    let listening = lea.sees("listening", "");
    let (at, pin) = (field(&listening, "address"), field(&listening, "pin"));
    let join = |more: &[&str]| scratch.join("ada", at, &[&quic, more].concat());
    let mut ada = join(&["--authority", "root.pem", "--host", "lea.example"]);
    ada.sees("joined", "");
    ada.type_line("/leave");
    ada.sees("left", "");
    let mut ada = join(&["--pin", pin]);
    ada.sees("joined", "");
    ada.type_line("/leave");
    ada.sees("left", "");
    // Another key, and another name: nobody is reached who could be taken for the leader.
    for wrong in [
        &["--pin", &"0".repeat(64), "--wait", "2"][..],
        &["--authority", "root.pem", "--host", "eve.example", "--wait", "2"],
    ] {
        let args = Scratch::join_args("ada", "ada.key", at, &[&quic, wrong].concat())
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        scratch.bad(&args, 4, &["cannot reach lea"]);
    }
}

#[test]
fn what_transports_cannot_is_refused() {
    let scratch = Scratch::new("no-transport");
    fs::write(scratch.path("long.toml"), "[link]\nframe_limit = 9000\n").unwrap();
    scratch.register(&["ada"]);
    let lead = |more: &[&'static str]| Scratch::lead_args("lea", "lea.key", "127.0.0.1:9", ANYWHERE, more);
    let join = |more: &[&'static str]| Scratch::join_args("ada", "ada.key", "127.0.0.1:9", more);
    scratch.bad(&lead(&["--transport", "udp", "--policy", "long.toml"]), 2, &["9000", "frame_limit = 1200"]);
    scratch.bad(&lead(&["--group", "239.1.1.1:9"]), 2, &["--group", "multicast"]);
    scratch.bad(&lead(&["--transport", "mixed", "--group", "10.1.1.1:9"]), 2, &["multicast group"]);
    scratch.bad(&lead(&["--transport", "mixed", "--group", "239.1.1.1:0"]), 2, &["port"]);
    scratch.bad(&lead(&["--transport", "mixed", "--interface", "nowhere"]), 2, &["nowhere"]);
    scratch.bad(&lead(&["--certificate", "lea.key"]), 2, &["--transport quic"]);
    scratch.bad(&lead(&["--transport", "quic", "--certificate", "lea.key"]), 5, &["lea.key", "PEM"]);
    scratch.bad(&join(&["--transport", "quic"]), 2, &["--pin", "--authority"]);
    scratch.bad(&join(&["--transport", "quic", "--pin", "12"]), 2, &["--pin", "64"]);
    scratch.bad(&join(&["--transport", "udp", "--pin", "12"]), 2, &["QUIC"]);
    scratch.bad(&join(&["--transport", "pigeon"]), 2, &["pigeon"]);
    scratch.bad(&join(&["--transport", "udp", "--wait", "1"]), 4, &["lea"]);
}

#[test]
fn the_demonstration_over_each_transport() {
    for (transport, system) in [
        ("udp", "antigone"),
        ("mixed", "antigone"),
        ("multicast", "antigone"),
        ("quic", "antigone"),
        ("udp", "enclaves"),
        ("quic", "enclaves"),
    ] {
        if transport.starts_with('m') && !multicast_works() {
            continue;
        }
        let scratch = Scratch::new(&format!("demo-{transport}-{system}"));
        let mut args = vec!["demo", "--json", "--out", "out", "--transport", transport, "--system", system];
        let group = group(6);
        if transport.starts_with('m') {
            args.extend(["--group", &group]);
        }
        let shown = scratch.good(&args);
        shown.lines().for_each(common::page::check);
        let line = |what: &str| shown.lines().find(|line| line.contains(&format!("\"what\":\"{what}\""))).unwrap();
        assert!(line("result").contains("\"ok\":true"), "{shown}");
        assert_eq!(field(line("transport"), "transport"), transport);
        assert_eq!(common::number(line("search"), "found"), 0);
        // Under TLS the eavesdropper tells no frame from another; elsewhere it does.
        assert_eq!(shown.contains("\"what\":\"seen\""), transport != "quic", "{transport}");
    }
}
