//! The closing summary: who got what, what it cost, and what the eavesdropper saw.

use std::path::Path;

use bytes::BytesMut;
use sodality::endpoint::{Cx, Endpoint, Link, LinkInfo};
use sodality::event::Event;
use sodality::explain::Explained;
use sodality_transports::clock::Clock;

use super::party::{ANSWER, Account, Noticed, WHISPER, WITHOUT};
use super::person::short;
use super::tap::{NEEDLE, Seen, clear_fields};
use super::{EJECTED, LEADER, LEAVER, MEMBERS, SENDER, TAPPED, late_name, receivers};
use crate::exit::Failed;
use crate::timeline::{Fields, Printer, bytes};
use crate::verbs::system::{System, Version};

/// All that is known in the end.
pub(crate) struct Finale {
    /// Which system.
    pub(crate) system: System,
    /// How it went for each party.
    pub(crate) accounts: Vec<Account>,
    /// What the eavesdropper's record shows.
    pub(crate) seen: Seen,
    /// How many pieces of known plaintexts were searched for in it.
    pub(crate) pieces: usize,
    /// How many the same search finds in the plaintexts themselves.
    pub(crate) control: u64,
    /// Some parts are as published.
    pub(crate) past: bool,
    /// Which edition of Enclaves it is, if it is one as published.
    pub(crate) version: Option<Version>,
}

/// What became of the frames that somebody without a key was given.
#[derive(Debug, Default)]
struct Tried {
    frames: u64,
    opened: u64,
    why: String,
    code: &'static str,
}

/// Hands recorded frames to the machine of who left, as if it still listened on the wire.
fn try_keyless(machine: &mut dyn Endpoint, frames: &[Vec<u8>]) -> Tried {
    let (clock, mut rng) = (Clock::new(), getrandom::SysRng);
    let mut tried = Tried::default();
    let link = Link(u64::MAX);
    let mut cx = Cx::new(clock.now(), &mut rng);
    // What it answers to that, or fails with, would show below: nothing would be refused.
    let _ = machine.handle_link_opened(&mut cx, link, LinkInfo::stream(1 << 20));
    while machine.poll_event().is_some() {}
    for frame in frames {
        tried.frames += 1;
        let _ = machine.handle_frame(&mut cx, link, BytesMut::from(frame.as_slice()));
        while let Some(event) = machine.poll_event() {
            match event {
                Event::Data(_) | Event::Gossip(_) => tried.opened += 1,
                Event::Rejected { why, .. } => (tried.why, tried.code) = (why.to_string(), why.code()),
                _ => {}
            }
        }
    }
    tried
}

/// Prints it, and says whether all is as it should be.
pub(crate) fn print(
    printer: &mut Printer,
    mut finale: Finale,
    file: &str,
    size: u64,
    out: &Path,
) -> Result<(), Failed> {
    let mut wrong = arrivals(printer, &finale, file);
    parties(printer, &finale);
    wrong.extend(eavesdropper(printer, &finale));
    printer.heading("What who has gone can read");
    for who in MEMBERS.iter().filter(|who| [LEAVER, EJECTED].contains(who)) {
        wrong.extend(keyless(printer, &mut finale, who));
    }
    if finale.system == System::Enclaves || !finale.past {
        wrong.extend(whispers(printer, &finale));
    }
    wrong.extend(noticed(printer, &finale));
    if finale.version == Some(Version::First) {
        wrong.extend(went_on(printer, &finale));
    }
    printer.heading("Result");
    let good = wrong.is_empty();
    let text = if good {
        let (out, all) = (out.display(), receivers().collect::<Vec<_>>().join(", "));
        format!("  {file} ({}) is whole in the folders {all} of {out}", bytes(size))
    } else {
        "  Something is wrong: see above.".to_owned()
    };
    let fields = vec![("ok", good.into()), ("out", out.display().to_string().into())];
    printer.closing("result", &text, &fields);
    match wrong.into_iter().next() {
        None => Ok(()),
        Some(why) => Err(Failed::Group(why)),
    }
}

fn arrivals(printer: &mut Printer, finale: &Finale, file: &str) -> Vec<String> {
    printer.heading("What arrived");
    let mut wrong = Vec::new();
    let header =
        format!("  {:<9} {:<24} {:>12} {:>10} {:>10}  {:<9}", "receiver", "file", "bytes", "time", "MB/s", "sha-256");
    if !printer.is_json() {
        printer.closing("", &header, &Fields::new());
    }
    let sent: Vec<_> = finale.accounts.iter().flat_map(|account| &account.sent).collect();
    for (name, _, digest) in &sent {
        for who in receivers().filter(|who| *who != LEAVER || name != late_name(file)) {
            let arrival = finale
                .accounts
                .iter()
                .filter(|account| account.name == who)
                .flat_map(|account| &account.arrivals)
                .find(|arrival| arrival.file == *name);
            let Some(arrival) = arrival else {
                wrong.push(format!("{who} did not get {name}"));
                continue;
            };
            let ok = arrival.hash_ok && arrival.digest == *digest;
            if !ok {
                wrong.push(format!("{who} has another {name} than was sent"));
            }
            let seconds = arrival.micros as f64 / 1e6;
            let rate = arrival.size as f64 / seconds.max(1e-6) / 1e6;
            let verdict = if ok { "hash ok" } else { "HASH WRONG" };
            let text = format!(
                "  {who:<9} {name:<24} {:>12} {seconds:>8.3} s {rate:>10.1}  {verdict} {}…",
                arrival.size,
                short(&arrival.digest)
            );
            let fields = vec![
                ("receiver", who.into()),
                ("file", (&**name).into()),
                ("bytes", arrival.size.into()),
                ("micros", arrival.micros.into()),
                ("hash_ok", ok.into()),
                ("sha256", (&*arrival.digest).into()),
            ];
            printer.closing("arrival", &text, &fields);
        }
    }
    let mains = finale.accounts.iter().flat_map(|account| &account.arrivals).filter(|arrival| arrival.file == file);
    let (total, slowest) =
        mains.fold((0, 0), |(total, slowest), arrival| (total + arrival.size, slowest.max(arrival.micros)));
    if slowest > 0 {
        let rate = total as f64 / (slowest as f64 / 1e6) / 1e6;
        let text = format!("  goodput of {file} to all receivers together: {rate:.1} MB/s");
        printer.closing("goodput", &text, &vec![("bytes", total.into()), ("micros", slowest.into())]);
    }
    wrong
}

fn parties(printer: &mut Printer, finale: &Finale) {
    printer.heading("What it took");
    if !printer.is_json() {
        let header = format!(
            "  {:<12} {:>9} {:>10} {:>8} {:>9} {:>8} {:>8}  epochs",
            "party", "frames in", "frames out", "sealed", "delivered", "relayed", "refused"
        );
        printer.closing("", &header, &Fields::new());
    }
    for account in &finale.accounts {
        let (stats, driver) = (&account.stats, &account.driver);
        let epochs: Vec<_> = account.epochs.iter().map(u64::to_string).collect();
        let text = format!(
            "  {:<12} {:>9} {:>10} {:>8} {:>9} {:>8} {:>8}  {}",
            account.name,
            driver.frames_in,
            driver.frames_out,
            stats.sealed,
            stats.delivered,
            stats.relayed,
            stats.rejections(),
            if epochs.is_empty() { "-".to_owned() } else { epochs.join(" ") }
        );
        let fields = vec![
            ("party", (&*account.name).into()),
            ("frames_in", driver.frames_in.into()),
            ("frames_out", driver.frames_out.into()),
            ("dropped", driver.data_dropped.into()),
            ("sealed", stats.sealed.into()),
            ("delivered", stats.delivered.into()),
            ("relayed", stats.relayed.into()),
            ("refused", stats.rejections().into()),
            ("epochs", epochs.join(" ").into()),
        ];
        printer.closing("party", &text, &fields);
        if driver.data_dropped > 0 {
            let text = format!("  {:<12} {} frames found a full queue and were sent again", "", driver.data_dropped);
            printer.closing("dropped", &text, &vec![("frames", driver.data_dropped.into())]);
        }
    }
}

fn eavesdropper(printer: &mut Printer, finale: &Finale) -> Vec<String> {
    let seen = &finale.seen;
    printer.heading(&format!("What eve saw between {TAPPED} and {LEADER}"));
    let what = if seen.opaque { "datagrams of QUIC, all under TLS" } else { "frames" };
    let text = format!("  {} in {} {what}, all recorded", bytes(seen.bytes), seen.frames);
    printer.closing("record", &text, &vec![("bytes", seen.bytes.into()), ("frames", seen.frames.into())]);
    for ((id, up), kind) in &seen.kinds {
        let way = if *up { "to the leader" } else { "to the member" };
        let clear = clear_fields(id);
        let note = if *id == "RA-R" { "; each key is sealed for its member" } else { "" };
        let text = format!(
            "  {id:<6} {way:<14} {:>6} frames {:>11}, {:>5.1} % sealed; in clear: {clear}{note}",
            kind.frames,
            bytes(kind.bytes),
            100.0 * kind.sealed as f64 / (kind.bytes as f64).max(1.0)
        );
        let fields = vec![
            ("id", (*id).into()),
            ("to_leader", (*up).into()),
            ("frames", kind.frames.into()),
            ("bytes", kind.bytes.into()),
            ("sealed", kind.sealed.into()),
            ("clear", clear.into()),
        ];
        printer.closing("seen", &text, &fields);
    }
    if seen.strange > 0 {
        let text = format!("  {} frames are no messages of the group", seen.strange);
        printer.closing("strange", &text, &vec![("frames", seen.strange.into())]);
    }
    if !seen.opaque {
        data_seen(printer, seen);
    }
    for (word, places) in &seen.words {
        let places: Vec<_> = places.iter().map(|(id, count)| format!("{count} × {id}")).collect();
        let text = format!("  the name \"{word}\" stands in clear: {}", places.join(", "));
        printer.closing("name", &text, &vec![("name", (&**word).into()), ("places", places.join(", ").into())]);
    }
    let mut wrong = Vec::new();
    let verdict = match (seen.found, finale.control) {
        (0, 1..) => "none occurs in the record",
        (0, 0) => "but the search does not work",
        _ => "SOME OCCUR IN THE RECORD",
    };
    let text = format!(
        "  searched for {} pieces of {NEEDLE} bytes of what was sent: {verdict} (in the plaintexts: {} hits)",
        finale.pieces, finale.control
    );
    let fields = vec![
        ("pieces", (finale.pieces as u64).into()),
        ("found", seen.found.into()),
        ("control", finale.control.into()),
    ];
    printer.closing("search", &text, &fields);
    if seen.found > 0 || finale.control == 0 {
        wrong.push("plaintext is in the eavesdropper's record, or the search for it does not work".to_owned());
    }
    let text = match (finale.past, finale.version) {
        _ if seen.opaque => {
            "  So eve knows which hosts talk, when, and how much: TLS hides even the names. The group does not count on that."
        }
        (_, Some(Version::First)) => {
            "  That is what she gets by listening alone; passwords she can search for (X3), and insiders write in other names (E3)."
        }
        (true, _) | (_, Some(Version::Second)) => {
            "  That is what she gets by listening alone. As published she can have the rest: `sodality attack list`."
        }
        (false, None) => "  So eve knows who talks to whom, when, and how much; not what is said.",
    };
    printer.closing("hidden", text, &vec![("visible", "names, numbers, epochs, sizes, times".into())]);
    wrong
}

/// Which data frames there were.
fn data_seen(printer: &mut Printer, seen: &Seen) {
    let keys: Vec<_> = seen
        .keys
        .iter()
        .map(|key| match key.epoch {
            0 => format!("{} frames, {}, under keys that nothing names", key.frames, bytes(key.bytes)),
            epoch => format!("{} frames, {}, in epoch {epoch}", key.frames, bytes(key.bytes)),
        })
        .collect();
    let senders: Vec<_> = seen.senders.iter().map(String::as_str).collect();
    let from = if senders.is_empty() { "members that are not named".to_owned() } else { senders.join(", ") };
    let text = format!("  data: {}; from {from}", keys.join("; "));
    printer.closing("data", &text, &vec![("epochs", keys.join("; ").into()), ("senders", senders.join(" ").into())]);
}

fn keyless(printer: &mut Printer, finale: &mut Finale, who: &str) -> Vec<String> {
    let of_leader = finale.accounts.iter().find(|account| account.name == LEADER);
    let newest = of_leader.and_then(|account| account.epochs.last().copied()).unwrap_or(0);
    let Some(account) = finale.accounts.iter_mut().find(|account| account.name == who) else { return Vec::new() };
    let last = account.epochs.last().copied().unwrap_or(0);
    if finale.seen.opaque {
        let text = format!(
            "  {who}: its last key was that of epoch {last}; eve has no frames that its machine could be given"
        );
        printer.closing("keyless", &text, &vec![("name", who.into()), ("last_epoch", last.into())]);
        return Vec::new();
    }
    // Where frames do not tell it, the last of them are under the leader's newest key.
    let latest = finale.seen.keys.last().map_or(0, |key| if key.epoch == 0 { newest } else { key.epoch });
    let had = latest == 0 || account.epochs.contains(&latest);
    let tried =
        account.gone.as_mut().map(|machine| try_keyless(&mut **machine, &finale.seen.latest)).unwrap_or_default();
    let text = format!(
        "  {who}: its last key was that of epoch {last}; given {} of eve's frames of epoch {latest}, its machine opens {} ({}) [{}]",
        tried.frames, tried.opened, tried.why, tried.code
    );
    let fields = vec![
        ("name", who.into()),
        ("last_epoch", last.into()),
        ("epoch", latest.into()),
        ("frames", tried.frames.into()),
        ("opened", tried.opened.into()),
        ("why", tried.why.clone().into()),
        ("code", tried.code.into()),
    ];
    printer.closing("keyless", &text, &fields);
    let mut wrong = Vec::new();
    if tried.opened > 0 || tried.frames == 0 || had {
        wrong.push(format!("{who} can read what was sent after it had gone, or that was not tried"));
    }
    wrong
}

/// Who has read what one member said to another alone.
fn whispers(printer: &mut Printer, finale: &Finale) -> Vec<String> {
    printer.heading(&format!("Who has read what {TAPPED} said to {SENDER} alone"));
    let heard = |account: &&Account| account.whispers.iter().any(|said| said == WHISPER.as_bytes());
    let all: Vec<_> = finale.accounts.iter().filter(heard).map(|account| account.name.as_str()).collect();
    let all = all.join(", ");
    let leader = match finale.version {
        Some(_) => "the leader passes it on, and reads it",
        None => "the leader hands out its key, and could read it",
    };
    let text = format!("  {all}, of {} who took part; {leader}", finale.accounts.len());
    printer.closing("whispered", &text, &vec![("members", (&*all).into())]);
    if all == SENDER { Vec::new() } else { vec![format!("what was for {SENDER} alone was read by: {all}")] }
}

/// Who noticed that the leader was killed, and how.
fn noticed(printer: &mut Printer, finale: &Finale) -> Vec<String> {
    printer.heading(&format!("What the others noticed when {LEADER} was killed"));
    let mut wrong = Vec::new();
    for who in [SENDER, TAPPED] {
        let noticed = finale.accounts.iter().find(|account| account.name == who).and_then(|account| account.noticed);
        let seconds = |micros: u64| micros as f64 / 1e6;
        if let (Some(Noticed { stale: None, lost }), Some(version)) = (noticed, finale.version) {
            let text = format!(
                "  {who} saw its link close after {:.1} s; nothing that {} says would have told it (E16)",
                seconds(lost),
                version.number()
            );
            printer.closing("noticed", &text, &vec![("member", who.into()), ("lost_micros", lost.into())]);
            continue;
        }
        let Some(Noticed { stale: Some(stale), lost }) = noticed else {
            wrong.push(format!("{who} did not notice that {LEADER} was killed"));
            continue;
        };
        let text = format!(
            "  {who} counted its key as stale after {:.1} s and sent nothing from then on; after {:.1} s {LEADER} was lost",
            seconds(stale),
            seconds(lost)
        );
        let fields = vec![("member", who.into()), ("stale_micros", stale.into()), ("lost_micros", lost.into())];
        printer.closing("noticed", &text, &fields);
    }
    wrong
}

/// What two members said over their direct link without the leader.
fn went_on(printer: &mut Printer, finale: &Finale) -> Vec<String> {
    printer.heading(&format!("What went on without {LEADER}"));
    let mut wrong = Vec::new();
    for (who, from, said) in [(SENDER, TAPPED, WITHOUT), (TAPPED, SENDER, ANSWER)] {
        let account = finale.accounts.iter().find(|account| account.name == who);
        let heard = account.and_then(|account| account.direct.iter().find(|(text, _)| text == said));
        let Some((_, after)) = heard else {
            wrong.push(format!("{who} heard nothing of {from} over their direct link after {LEADER} was killed"));
            continue;
        };
        let text = format!(
            "  {who} heard {from} over their direct link, {:.1} s after {LEADER} was killed: \"{said}\"",
            *after as f64 / 1e6
        );
        let fields = vec![("member", who.into()), ("from", from.into()), ("micros", (*after).into())];
        printer.closing("went-on", &text, &fields);
    }
    wrong
}
