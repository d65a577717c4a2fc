//! Vectors of Enclaves 1.0, made and opened by the library.

use core::time::Duration;

use bytes::Bytes;
use sodality::crypto::keys::role;
use sodality::crypto::{Key, SuiteId};
use sodality::enclaves::version_1::head::{From, Gate, Line, Stamp, Time};
use sodality::enclaves::version_1::messages::{Opened, Scheme};
use sodality::event::{Causes, EndReason};
use sodality::group::Checks;
use sodality::identity::{Epoch, NameRef};
use sodality::wire::enclaves::version_1::RefusalCode;
use sodality::wire::{Edition, Header, System};

use super::json::{Fields, Made, Script, no, same};
use super::published::suite;
use super::shared::{causes, coded, port};

type Session = Key<role::PublishedSession>;
type Group = Key<role::Group>;

fn header(id: u8) -> Header {
    Header { system: System::FirstEnclaves, edition: Edition::AsPublished, suite: SuiteId(id) }
}

fn recipient(inputs: Fields<'_>) -> Result<Option<NameRef<'_>>, String> {
    if inputs.get("recipient")?.is_null() { Ok(None) } else { inputs.name("recipient").map(Some) }
}

fn changes(inputs: Fields<'_>) -> Result<Vec<(NameRef<'_>, bool)>, String> {
    let change = |change: Fields<'_>| change.text("presence").and_then(|text| flag(text, "Here", "Gone"));
    inputs.list("changes")?.map(|line| Ok((line.name("name")?, change(line)?))).collect()
}

fn flag(text: &str, yes: &str, no: &str) -> Result<bool, String> {
    match text {
        text if text == yes => Ok(true),
        text if text == no => Ok(false),
        other => Err(format!("neither {yes} nor {no}: {other}")),
    }
}

/// The bytes of the vector `id`, made from its inputs.
pub(crate) fn make(id: &str, number: u8, inputs: Fields<'_>) -> Made {
    let suite = &*suite(number);
    let (scheme, key) = (Scheme { suite, header: header(number) }, inputs.secret("key")?);
    let stamp = Stamp { sequence: inputs.number("sequence")?, timestamp: inputs.number("timestamp")? };
    let line = Line { key: &key, sender: inputs.name("sender")?, recipient: recipient(inputs)?, stamp };
    let rng = &mut Script::new([inputs.bytes("iv")?]);
    let answers = || inputs.number("answers");
    let frame = match id {
        "EN-1J" => scheme.join_request(rng, line),
        "EN-1K" => {
            let (session, group): (Session, Group) = (inputs.key("session")?, inputs.key("group")?);
            scheme.join_reply(rng, line, (answers()?, &session, Epoch(inputs.number("epoch")?), &group))
        }
        "EN-1E" => scheme.refusal(rng, line, answers()?, coded(inputs.text("why")?)?),
        "EN-1A" => scheme.here(rng, line, &inputs.bytes("hint")?),
        "EN-1L" => scheme.leave_request(rng, line),
        "EN-1LA" => scheme.leave_answer(rng, line, answers()?),
        "EN-1C" => scheme.close(rng, line, coded(inputs.text("why")?)?),
        "EN-1N" => {
            let (epoch, group): (_, Group) = (Epoch(inputs.number("epoch")?), inputs.key("group")?);
            scheme.new_key(rng, line, (epoch, causes(inputs)?, &group))
        }
        "EN-1NA" => scheme.acknowledgement(rng, line, answers()?),
        "EN-1M" => scheme.notice(rng, line, &changes(inputs)?),
        "EN-1D" => scheme.data(rng, line, port(inputs)?, &inputs.bytes("text")?),
        "EN-1P" => scheme.private(rng, line, inputs.name("other")?, (port(inputs)?, &inputs.bytes("text")?)),
        "EN-1PD" => scheme.delivery(rng, line, inputs.name("other")?, (port(inputs)?, &inputs.bytes("text")?)),
        "EN-1XR" => scheme.direct_request(rng, line, inputs.name("peer")?),
        "EN-1XK" => {
            let (key, hint): (Session, _) = (inputs.key("direct")?, inputs.bytes("hint")?);
            let dials = flag(inputs.text("side")?, "Dials", "Waits")?;
            scheme.direct_key(rng, line, inputs.name("peer")?, (dials, &key, &hint))
        }
        "EN-1XD" => scheme.direct_denied(rng, line, inputs.name("peer")?),
        "EN-1XH" => scheme.direct_hello(rng, line),
        "EN-1XW" => scheme.direct_welcome(rng, line, answers()?),
        "EN-1XP" => scheme.direct_data(rng, line, port(inputs)?, &inputs.bytes("text")?),
        "EN-1XA" => scheme.direct_alive(rng, line),
        "EN-1XE" => scheme.direct_end(rng, line),
        _ => return Err(format!("no vector {id} here")),
    };
    frame.map(|frame| frame.to_vec()).map_err(no)
}

/// What a message says, beside its number: what is compared.
#[derive(PartialEq)]
enum Told {
    Nothing,
    Answers(u64),
    Keys(u64, Vec<u8>, Epoch, Vec<u8>),
    Refusal(u64, RefusalCode),
    Hint(Bytes),
    End(EndReason),
    NewKey(Epoch, Causes, Vec<u8>),
    Notice(Vec<(String, bool)>),
    Data(String, Opened),
    Peer(String),
    Direct(String, bool, Vec<u8>, Bytes),
}

fn bytes<R>(key: &Key<R>) -> Vec<u8> {
    key.secret().expose().to_vec()
}

fn expected(id: &str, inputs: Fields<'_>) -> Result<Told, String> {
    let answers = || inputs.number("answers");
    let data = |name: &str| {
        let opened = Opened { port: port(inputs)?, payload: inputs.bytes("text")?.into() };
        Ok::<_, String>(Told::Data(inputs.text(name)?.into(), opened))
    };
    let epoch = || inputs.number("epoch").map(Epoch);
    Ok(match id {
        "EN-1K" => Told::Keys(answers()?, inputs.bytes("session")?, epoch()?, inputs.bytes("group")?),
        "EN-1E" => Told::Refusal(answers()?, coded(inputs.text("why")?)?),
        "EN-1A" => Told::Hint(inputs.bytes("hint")?.into()),
        "EN-1C" => Told::End(coded(inputs.text("why")?)?),
        "EN-1N" => Told::NewKey(epoch()?, causes(inputs)?, inputs.bytes("group")?),
        "EN-1LA" | "EN-1NA" | "EN-1XW" => Told::Answers(answers()?),
        "EN-1M" => {
            Told::Notice(changes(inputs)?.into_iter().map(|(name, here)| (name.as_str().into(), here)).collect())
        }
        "EN-1D" | "EN-1XP" => data("sender")?,
        "EN-1P" | "EN-1PD" => data("other")?,
        "EN-1XR" | "EN-1XD" => Told::Peer(inputs.text("peer")?.into()),
        "EN-1XK" => Told::Direct(
            inputs.text("peer")?.into(),
            flag(inputs.text("side")?, "Dials", "Waits")?,
            inputs.bytes("direct")?,
            inputs.bytes("hint")?.into(),
        ),
        _ => Told::Nothing,
    })
}

/// Opens the frame of the vector `id` as its receiver does, and compares what comes out with the inputs.
pub(crate) fn open(id: &str, number: u8, inputs: Fields<'_>, frame: &[u8]) -> Result<(), String> {
    let suite = &*suite(number);
    let (scheme, key) = (Scheme { suite, header: header(number) }, inputs.secret("key")?);
    let (sequence, millis) = (inputs.number("sequence")?, inputs.number("timestamp")?);
    let time = Time { millis, window: Duration::ZERO, checks: Checks::ALL };
    let gate = Gate { key: &key, from: From::One(inputs.name("sender")?, sequence - 1), to: recipient(inputs)?, time };
    let plain = |number| (number, Told::Nothing);
    let answers = |(number, answers)| (number, Told::Answers(answers));
    let data =
        |(number, (name, data)): (_, (sodality::identity::Name, _))| (number, Told::Data(name.to_string(), data));
    let peer = |(number, name): (_, sodality::identity::Name)| (number, Told::Peer(name.to_string()));
    let read = match id {
        "EN-1J" => {
            same(scheme.claimed(frame).map_err(no)? == inputs.name("sender")?)?;
            scheme.read_join_request(gate, frame).map(plain)
        }
        "EN-1K" => scheme.read_join_reply(gate, frame).map(|(number, welcome)| {
            let (session, group): (Session, Group) = (welcome.session, welcome.group);
            (number, Told::Keys(welcome.answers, bytes(&session), welcome.epoch, bytes(&group)))
        }),
        "EN-1E" => scheme.read_refusal(gate, frame).map(|(number, (of, why))| (number, Told::Refusal(of, why))),
        "EN-1A" => scheme.read_here(gate, frame).map(|(number, hint)| (number, Told::Hint(hint))),
        "EN-1L" => scheme.read_leave_request(gate, frame).map(plain),
        "EN-1LA" => scheme.read_leave_answer(gate, frame).map(answers),
        "EN-1C" => scheme.read_close(gate, frame).map(|(number, why)| (number, Told::End(why))),
        "EN-1N" => scheme.read_new_key(gate, frame).map(|(number, (epoch, causes, key))| {
            let key: Group = key;
            (number, Told::NewKey(epoch, causes, bytes(&key)))
        }),
        "EN-1NA" => scheme.read_acknowledgement(gate, frame).map(answers),
        "EN-1M" => scheme.read_notice(gate, frame).map(|(number, changes)| {
            (number, Told::Notice(changes.into_iter().map(|(name, here)| (name.to_string(), here)).collect()))
        }),
        "EN-1D" => scheme.read_data(gate, frame).map(data),
        "EN-1P" => scheme.read_private(gate, frame).map(data),
        "EN-1PD" => scheme.read_delivery(gate, frame).map(data),
        "EN-1XR" => scheme.read_direct_request(gate, frame).map(peer),
        "EN-1XK" => scheme.read_direct_key(gate, frame).map(|(number, offer)| {
            let key: Session = offer.key;
            (number, Told::Direct(offer.peer.to_string(), offer.dials, bytes(&key), offer.hint))
        }),
        "EN-1XD" => scheme.read_direct_denied(gate, frame).map(peer),
        "EN-1XH" => scheme.read_direct_hello(gate, frame).map(plain),
        "EN-1XW" => scheme.read_direct_welcome(gate, frame).map(answers),
        "EN-1XP" => scheme.read_direct_data(gate, frame).map(data),
        "EN-1XA" => scheme.read_direct_alive(gate, frame).map(plain),
        "EN-1XE" => scheme.read_direct_end(gate, frame).map(plain),
        _ => return Err(format!("no vector {id} here")),
    };
    let (number, told) = read.map_err(no)?;
    same(number == sequence && told == expected(id, inputs)?)
}
