//! Vectors of Enclaves 2.0 as published, made and opened by the library.

use sodality::crypto::keys::role;
use sodality::crypto::published::des_key_of_password;
use sodality::crypto::{Key, SuiteId};
use sodality::enclaves::version_2::messages::{Opened, Pair, Scheme, Welcome};
use sodality::enclaves::version_2::{GroupKey, KeyWithIv};
use sodality::wire::enclaves::version_2::{DataToLeader, DataToMember, GossipToMember, OpenAnswer, OpenVerdict};
use sodality::wire::{Edition, Header, Message, System};

use super::json::{Fields, Made, Script, no, same};
use super::published::{names, suite};
use super::shared::port;

/// A key with the vector that belongs to it.
fn key<R>(inputs: Fields<'_>) -> Result<KeyWithIv<R>, String> {
    Ok(KeyWithIv { key: inputs.key("key")?, iv: inputs.nonce("key_iv")? })
}

/// K_g of a message that it guards.
fn guards(scheme: Scheme<'_>, inputs: Fields<'_>) -> Result<GroupKey, String> {
    GroupKey::of(scheme.suite, key(inputs)?).map_err(no)
}

/// K_g of a message that brings it.
fn brought(scheme: Scheme<'_>, inputs: Fields<'_>) -> Result<GroupKey, String> {
    let held = KeyWithIv { key: inputs.key("group")?, iv: inputs.nonce("group_iv")? };
    GroupKey::of(scheme.suite, held).map_err(no)
}

fn pair<'a>(inputs: Fields<'a>, user: &'a Key<role::PublishedUser>) -> Result<Pair<'a>, String> {
    Ok(Pair { leader: inputs.name("leader")?, member: inputs.name("member")?, user })
}

fn welcome(scheme: Scheme<'_>, inputs: Fields<'_>) -> Result<Welcome, String> {
    let group = brought(scheme, inputs)?;
    let session = KeyWithIv { key: inputs.key("session")?, iv: group.held.iv };
    Ok(Welcome { n2: inputs.nonce("n2")?, session, group })
}

/// The bytes of the vector `id`, made from its inputs.
pub(crate) fn make(id: &str, number: u8, inputs: Fields<'_>) -> Made {
    let suite = &*suite(number);
    let header = Header { system: System::Enclaves, edition: Edition::AsPublished, suite: SuiteId(number) };
    let scheme = Scheme { suite, header };
    let (name, user) = (|field| inputs.name(field), || inputs.key("user"));
    let said = || Ok::<_, String>((port(inputs)?, inputs.bytes("payload")?));
    let iv = || inputs.bytes("iv").map(|iv| Script::new([iv]));
    let frame = match id {
        "P_a" => return Ok(des_key_of_password(&inputs.bytes("password")?).expose().to_vec()),
        "number" => {
            let sizes = suite.sizes();
            let iv = sodality::wire::field::Nonce::new(&vec![0; sizes.iv]).ok_or("vector")?;
            let held = KeyWithIv { key: inputs.key("key")?, iv };
            return Ok(GroupKey::of(suite, held).map_err(no)?.number.0.to_be_bytes().to_vec());
        }
        "EN-P1" => scheme.open_request(name("member")?),
        "EN-P2" => scheme.open_answer(name("leader")?, inputs.get("accepted")?.as_bool().ok_or("accepted")?),
        "EN-A1" => scheme.request(&mut iv()?, pair(inputs, &user()?)?, inputs.nonce("n1")?).map_err(no)?,
        "EN-A2" => {
            let welcome = welcome(scheme, inputs)?;
            scheme.reply(&mut iv()?, pair(inputs, &user()?)?, inputs.nonce("n1")?, &welcome).map_err(no)?
        }
        "EN-A3" => scheme.confirm(name("member")?, &key(inputs)?, inputs.nonce("n2")?).map_err(no)?,
        "EN-M+" | "EN-M-" => {
            scheme.notice(name("leader")?, &guards(scheme, inputs)?, id == "EN-M+", name("who")?).map_err(no)?
        }
        "EN-NK" => scheme.new_key(name("leader")?, &key(inputs)?, &brought(scheme, inputs)?).map_err(no)?,
        "EN-NKA" => scheme.new_key_ack(name("member")?, &guards(scheme, inputs)?).map_err(no)?,
        "EN-C1" => scheme.close_request(name("member")?),
        "EN-C2" => scheme.close(name("leader")?),
        "EN-D1" | "EN-D2" => {
            let ((port, payload), key) = (said()?, guards(scheme, inputs)?);
            scheme.data(name("sender")?, &key, id == "EN-D2", port, &payload).map_err(no)?
        }
        "EN-G1" => {
            let ((port, payload), recipients) = (said()?, names(inputs, "recipients")?);
            scheme.gossip(name("sender")?, &key(inputs)?, &recipients, port, &payload).map_err(no)?
        }
        "EN-G2" => {
            let ((port, payload), one_use) = (said()?, inputs.key("one_use")?);
            let data = Opened { port, payload: payload.into() };
            let data = scheme.gossip_data(&mut iv()?, &one_use, &data).map_err(no)?;
            let session = key(inputs)?;
            scheme.gossip_for(name("sender")?, (name("recipient")?, &session), &one_use, &data).map_err(no)?
        }
        _ => return Err(format!("no vector {id} here")),
    };
    Ok(frame.to_vec())
}

fn same_data(opened: &Opened, inputs: Fields<'_>) -> Result<(), String> {
    same(opened.port == port(inputs)? && opened.payload == inputs.bytes("payload")?)
}

fn same_key<R>(one: &KeyWithIv<R>, other: &KeyWithIv<R>) -> bool {
    one.iv == other.iv && one.key.secret().expose() == other.key.secret().expose()
}

/// Opens the frame of the vector `id` as its receiver does, and compares what comes out with the inputs.
pub(crate) fn open(id: &str, number: u8, inputs: Fields<'_>, frame: &[u8]) -> Result<(), String> {
    let suite = &*suite(number);
    let header = Header { system: System::Enclaves, edition: Edition::AsPublished, suite: SuiteId(number) };
    let (scheme, user) = (Scheme { suite, header }, || inputs.key("user"));
    match id {
        "EN-P2" => {
            let accepted = OpenAnswer::parse(frame).map_err(no)?.message.answer == OpenVerdict::Accepted;
            same(Some(accepted) == inputs.get("accepted")?.as_bool())
        }
        "EN-A1" => {
            let n1 = scheme.read_request(pair(inputs, &user()?)?, frame).map_err(no)?;
            same(n1 == inputs.nonce("n1")?)
        }
        "EN-A2" => {
            let welcome = scheme.read_reply(pair(inputs, &user()?)?, &inputs.nonce("n1")?, frame).map_err(no)?;
            let expected = self::welcome(scheme, inputs)?;
            let keys =
                same_key(&welcome.session, &expected.session) && same_key(&welcome.group.held, &expected.group.held);
            same(keys && welcome.n2 == expected.n2)
        }
        "EN-A3" => scheme.check_confirm(&key(inputs)?, &inputs.nonce("n2")?, frame).map_err(no),
        "EN-M+" | "EN-M-" => {
            let who = scheme.read_notice(&guards(scheme, inputs)?, id == "EN-M+", frame).map_err(no)?;
            same(who.by_ref() == inputs.name("who")?)
        }
        "EN-NK" => {
            let read = scheme.read_new_key(&key(inputs)?, frame).map_err(no)?;
            same(same_key(&read.held, &brought(scheme, inputs)?.held))
        }
        "EN-NKA" => scheme.check_new_key_ack(&guards(scheme, inputs)?, frame).map_err(no),
        "EN-D1" | "EN-D2" => {
            let sealed = if id == "EN-D1" {
                DataToLeader::parse(frame).map_err(no)?.message.sealed.bytes
            } else {
                DataToMember::parse(frame).map_err(no)?.message.sealed.bytes
            };
            same_data(&scheme.read_data(&guards(scheme, inputs)?, sealed).map_err(no)?, inputs)
        }
        "EN-G1" => {
            let gossip = scheme.read_gossip(&key(inputs)?, frame).map_err(no)?;
            let recipients: Vec<_> = gossip.recipients.iter().map(sodality::identity::Name::by_ref).collect();
            same(recipients == names(inputs, "recipients")?)?;
            same_data(&gossip.data, inputs)
        }
        "EN-G2" => {
            let message = GossipToMember::parse(frame).map_err(no)?.message;
            let opened = scheme.read_gossip_for(inputs.name("recipient")?, &key(inputs)?, &message);
            same_data(&opened.map_err(no)?, inputs)
        }
        // In clear, or no message: that it is made to the byte says all.
        _ => Ok(()),
    }
}
