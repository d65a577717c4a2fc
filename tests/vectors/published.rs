//! Vectors of the published edition, made and opened by the library.

use std::sync::Arc;

use sodality::antigone::data::published as data;
use sodality::antigone::failure::published as failure;
use sodality::antigone::join::published as join;
use sodality::antigone::keys::published::{Group, GroupKey, open_delivery, open_rekey};
use sodality::antigone::leave::published as leave;
use sodality::crypto::keys::role;
use sodality::crypto::published::{Modern, PublishedSuite, des_md5_rsa};
use sodality::crypto::{Key, SuiteId, aes_128_gcm};
use sodality::event::Refusal;
use sodality::identity::NameRef;
use sodality::policy::Protection;
use sodality::ttp::published as exchange;
use sodality::wire::field::Field;
use sodality::wire::published::{GroupId, IntegrityData, PairText};
use sodality::wire::{Edition, Header, Message, System};

use super::json::{Blinding, Fields, Made, Script, no, same};
use super::modern;
use super::shared::port;

pub(crate) fn suite(id: u8) -> Arc<dyn PublishedSuite> {
    if SuiteId(id) == SuiteId::DES_MD5_RSA { des_md5_rsa() } else { Arc::new(Modern::new(modern(id))) }
}

pub(crate) fn header(id: u8) -> Header {
    Header { system: System::Antigone, edition: Edition::AsPublished, suite: SuiteId(id) }
}

fn group(inputs: Fields<'_>) -> Result<Group, String> {
    let group = inputs.at("group")?;
    Ok(Group::of(&GroupId { app: group.name("app")?, nonce: group.nonce("nonce")? }))
}

fn group_key(inputs: Fields<'_>) -> Result<GroupKey, String> {
    Ok(GroupKey { group: group(inputs)?, key: inputs.key("group_key")? })
}

pub(crate) fn names<'v>(inputs: Fields<'v>, list: &str) -> Result<Vec<NameRef<'v>>, String> {
    inputs.list(list)?.map(|name| NameRef::new(name.0.as_str().ok_or("no name")?).map_err(no)).collect()
}

/// Whoever a message does not name.
fn anybody() -> NameRef<'static> {
    NameRef::new("anybody").unwrap()
}

fn protection(id: &str) -> Protection {
    match id {
        "AN-Di" => Protection::Integrity,
        "AN-Dc" => Protection::Confidentiality,
        "AN-Db" => Protection::Both,
        _ => Protection::None,
    }
}

fn welcome(inputs: Fields<'_>) -> Result<join::Welcome, String> {
    let more = inputs.at("more")?;
    Ok(join::Welcome {
        group: group(inputs)?,
        i2: inputs.nonce("i2")?,
        instance: more.instance("instance")?,
        cid: more.cid("cid")?,
        policy_version: more.version("policy_version")?,
        policy: more.bytes("policy")?.into(),
        sequence: more.number("sequence")?,
        leader_key: more.verifying_key("leader_key")?,
        key: inputs.verifying_key("public_key")?,
    })
}

struct Keys {
    leader: Key<role::PublishedLongTerm>,
    member: Key<role::PublishedLongTerm>,
}

impl Keys {
    fn of(inputs: Fields<'_>) -> Result<Self, String> {
        Ok(Self { leader: inputs.key("leader_key")?, member: inputs.key("member_key")? })
    }

    fn pair<'a>(&'a self, inputs: Fields<'a>) -> Result<exchange::Pair<'a>, String> {
        let (leader, member) = (inputs.name("leader")?, inputs.name("member")?);
        Ok(exchange::Pair { leader_key: &self.leader, leader, member_key: &self.member, member })
    }
}

/// The bytes of the vector `id`, made from its inputs.
pub(crate) fn make(id: &str, number: u8, inputs: Fields<'_>) -> Made {
    let (suite, header) = (&*suite(number), header(number));
    let iv = || inputs.bytes("iv").map(|iv| Script::new([iv]));
    let sigma = || inputs.key::<role::Pair>("sigma");
    let frame = match id {
        "I-8" => {
            let key =
                suite.long_term(&*aes_128_gcm(), &inputs.secret("long_term")?, inputs.name("name")?).map_err(no)?;
            return Ok(key.expose().to_vec());
        }
        "sigma" => {
            let member = inputs.name("member").unwrap_or(anybody());
            let key = suite.name_under(&inputs.secret("member_key")?, inputs.name("leader")?, member).map_err(no)?;
            return Ok(key.expose().to_vec());
        }
        "pi" => {
            // As AN-T2 has it.
            let (keys, i1) = (Keys::of(inputs)?, sodality::wire::field::Nonce::new(&[0; 8]).ok_or("nonce")?);
            let frame = keys.pair(inputs)?.answer(suite, header, &mut Blinding, i1, false).map_err(no)?;
            let sealed = sodality::wire::published::PairAnswer::parse(&frame).map_err(no)?.message.sealed;
            let text = suite.decrypt(keys.leader.secret(), sealed.bytes).map_err(no)?;
            return Ok(PairText::decode(&text).map_err(no)?.pair.0.to_vec());
        }
        "AN-T1" => exchange::question(header, inputs.name("leader")?, inputs.name("member")?, inputs.nonce("i1")?),
        "AN-T2" | "AN-T2s" => {
            let (keys, strong) = (Keys::of(inputs)?, id == "AN-T2s");
            keys.pair(inputs)?.answer(suite, header, &mut iv()?, inputs.nonce("i1")?, strong).map_err(no)?
        }
        "AN-J1" => join::wish(header, inputs.name("member")?, inputs.nonce("i0")?),
        "AN-J2" => {
            let sigma = sigma()?;
            let pair = join::Pair { leader: inputs.name("leader")?, member: inputs.name("member")?, sigma: &sigma };
            pair.reply(suite, header, &mut iv()?, inputs.nonce("i0")?, &welcome(inputs)?).map_err(no)?
        }
        "AN-J3" => {
            let sigma = sigma()?;
            let pair = join::Pair { leader: anybody(), member: inputs.name("member")?, sigma: &sigma };
            pair.confirm(suite, header, &mut iv()?, inputs.nonce("i2")?).map_err(no)?
        }
        "AN-JE" => {
            let why = match inputs.text("reason")? {
                "Denied" => Refusal::Denied,
                "Busy" => Refusal::Busy,
                other => return Err(format!("reason {other}")),
            };
            join::error(header, inputs.name("leader")?, inputs.name("member")?, why)
        }
        "AN-K" => {
            let (sigma, members) = (sigma()?, names(inputs, "members")?);
            let to = (inputs.name("member")?, &sigma);
            let sequence = inputs.number("sequence")?;
            group_key(inputs)?.delivery(suite, header, &mut iv()?, sequence, to, &members).map_err(no)?
        }
        "AN-R" => {
            let mut members = Vec::new();
            let mut ivs = Vec::new();
            for block in inputs.list("blocks")? {
                members.push((block.name("member")?, block.key::<role::Pair>("sigma")?));
                ivs.insert(0, block.bytes("iv")?);
            }
            let members = members.iter().map(|(member, sigma)| (*member, sigma));
            let sequence = inputs.number("sequence")?;
            group_key(inputs)?.rekey(suite, header, &mut Script(ivs), sequence, members).map_err(no)?
        }
        "AN-L" => {
            let mut ivs = Script::new([inputs.bytes("inner_iv")?, inputs.bytes("iv")?]);
            let (sigma, target) = (sigma()?, inputs.name("target")?);
            let from = (inputs.name("member")?, &sigma);
            leave::removal(suite, header, &mut ivs, &group_key(inputs)?, from, target).map_err(no)?
        }
        "AN-HL" => {
            let (leader, sequence) = (inputs.name("leader")?, inputs.number("sequence")?);
            let (key, group) = (inputs.key("secret")?, group(inputs)?);
            failure::leader_beat(suite, header, &mut Blinding, &key, &group, leader, sequence).map_err(no)?
        }
        "AN-HM" => {
            let (member, sequence) = (inputs.name("member")?, inputs.number("sequence")?);
            failure::member_beat(suite, header, &inputs.secret("sigma")?, &group(inputs)?, member, sequence)
                .map_err(no)?
        }
        "AN-Q" => failure::key_wish(header, &group(inputs)?, inputs.name("member")?),
        "AN-Di" | "AN-Dc" | "AN-Db" | "AN-Dn" => {
            let protection = protection(id);
            let mut rng = if inputs.get("iv").is_ok() { iv()? } else { Script::new([]) };
            let key = if protection == Protection::None {
                Key::new(sodality::crypto::Secret::new(&[]))
            } else {
                inputs.key("group_key")?
            };
            let key = GroupKey { group: group(inputs)?, key };
            let (sender, port, payload) = (inputs.name("sender")?, port(inputs)?, inputs.bytes("payload")?);
            data::seal(suite, header, &mut rng, &key, protection, sender, port, &payload).map_err(no)?
        }
        _ => return Err(format!("no vector {id} here")),
    };
    Ok(frame.to_vec())
}

/// Opens the frame of the vector `id` as its receiver does, and compares what comes out with the inputs.
pub(crate) fn open(id: &str, number: u8, inputs: Fields<'_>, opening: Fields<'_>, frame: &[u8]) -> Result<(), String> {
    let suite = &*suite(number);
    let sigma = || inputs.key::<role::Pair>("sigma");
    match id {
        "AN-T2" | "AN-T2s" => {
            let (keys, strong) = (Keys::of(inputs)?, id == "AN-T2s");
            let answer = exchange::Answer::open(suite, &keys.leader, strong, frame).map_err(no)?;
            let (leader, member) = (inputs.name("leader")?, inputs.name("member")?);
            let sigma = answer.pair_key(suite, &keys.leader, leader, member).map_err(no)?;
            let own = exchange::own_pair_key(suite, &keys.member, leader, member).map_err(no)?;
            same(answer.i1 == inputs.nonce("i1")? && sigma.secret().expose() == own.secret().expose())
        }
        "AN-J2" => {
            let (sigma, expected) = (sigma()?, welcome(inputs)?);
            let pair = join::Pair { leader: inputs.name("leader")?, member: inputs.name("member")?, sigma: &sigma };
            let welcome = pair.read_reply(suite, &inputs.nonce("i0")?, frame).map_err(no)?;
            same(welcome.group == expected.group && welcome.policy == expected.policy && welcome.key == expected.key)
        }
        "AN-J3" => {
            let sigma = sigma()?;
            let pair = join::Pair { leader: anybody(), member: inputs.name("member")?, sigma: &sigma };
            pair.check_confirm(suite, &inputs.nonce("i2")?, frame).map_err(no)
        }
        "AN-K" => {
            let delivered = open_delivery(suite, inputs.name("member")?, &sigma()?, frame).map_err(no)?;
            let key = group_key(inputs)?;
            same(delivered.key.group == key.group && delivered.key.key.secret().expose() == key.key.secret().expose())
        }
        "AN-R" => {
            for block in inputs.list("blocks")? {
                let delivered = open_rekey(suite, block.name("member")?, &block.key("sigma")?, frame).map_err(no)?;
                same(delivered.key.group == group(inputs)? && delivered.sequence == inputs.number("sequence")?)?;
            }
            Ok(())
        }
        "AN-L" => {
            let from = (inputs.name("member")?, &sigma()?);
            let target = leave::open_removal(suite, &group_key(inputs)?, from, frame).map_err(no)?;
            same(target.by_ref() == inputs.name("target")?)
        }
        "AN-HL" => {
            let key = opening.verifying_key("public_key")?;
            failure::open_leader_beat(suite, &key, inputs.name("leader")?, frame).map(drop).map_err(no)
        }
        "AN-HM" => failure::open_member_beat(suite, &inputs.secret("sigma")?, frame).map(drop).map_err(no),
        "AN-Di" | "AN-Dc" | "AN-Db" => {
            let code = *frame.get(4).ok_or("no header")?;
            let opened = data::open(suite, &group_key(inputs)?, protection(id), code, frame).map_err(no)?;
            same(opened.sender.by_ref() == inputs.name("sender")? && opened.payload == inputs.bytes("payload")?)
        }
        // In clear: that it is made to the byte says all.
        _ => same(!id.starts_with("AN-Di") || IntegrityData::parse(frame).is_ok()),
    }
}
