//! Vectors of the repaired edition, made and opened by the library.

use core::time::Duration;

use bytes::{Bytes, BytesMut};
use sodality::antigone::failure::heartbeat::{Beacon, Hearing, Said};
use sodality::antigone::join::asking::{Answer, Attempt, Parties};
use sodality::antigone::keys::open as open_block;
use sodality::antigone::leave::requests::{answer as verdict, request};
use sodality::antigone::leave::{leader_end, member_end};
use sodality::antigone::private;
use sodality::antigone::schedule::{ChannelKeys, transcript};
use sodality::crypto::{BoxNumber, Purpose, Secret, Suite, SuiteId};
use sodality::endpoint::Link;
use sodality::event::{EjectVerdict, EndReason};
use sodality::group::channel::{Body, Carry, Channel, Side, Standing};
use sodality::group::private::{self as words, Word};
use sodality::group::{Checks, Jitter, Pool, Probes, Retry, View};
use sodality::identity::Epoch;
use sodality::ttp::exchange::{Question, Verdict};
use sodality::ttp::schedule::{LeaderKeys, MemberKeys, question_digest};
use sodality::wire::antigone::*;
use sodality::wire::bridges::{BridgedData, BridgedRequest};
use sodality::wire::field::{Digest, Share, Signature, Tag, VerifyingKey, to_vec};
use sodality::wire::frame::split_frame;
use sodality::wire::published::GroupId;
use sodality::wire::{Blob, Edition, Field, Header, Message, Rest, System};

use super::json::{Fields, Made, Script, chosen, no, same};
use super::modern;
use super::shared::{NOW, changes, coded, data, issue, open_data, with_delta, with_page};

const RETRY: Retry = Retry { first: Duration::from_millis(500), ceiling: Duration::from_secs(8) };

pub(crate) fn header(id: u8) -> Header {
    Header { system: System::Antigone, edition: Edition::Repaired, suite: SuiteId(id) }
}

/// I1 and the RA-J1 of an RA-T1, and its h.
fn question<'f>(suite: &dyn Suite, frame: &'f [u8]) -> Result<(KeyRequest<'f>, Digest), String> {
    let parsed = KeyRequest::parse(frame).map_err(no)?;
    let h = question_digest(suite, frame.get(..parsed.clear).ok_or("short")?).map_err(no)?;
    Ok((parsed.message, h))
}

fn attempt(suite: &dyn Suite, header: Header, inputs: Fields<'_>) -> Result<(MemberKeys, Attempt), String> {
    let (app, leader, member) = (inputs.name("app")?, inputs.name("leader")?, inputs.name("member")?);
    let keys = MemberKeys::derive(suite, &inputs.key("member_key")?, member).map_err(no)?;
    let x_a = inputs.bytes("x_a")?;
    let ephemeral = !x_a.is_empty();
    let mut rng = Script::new([inputs.bytes("i0")?, x_a]);
    let attempt = Attempt::new(suite, header, &mut rng, &keys, Parties { app, leader, member }, ephemeral);
    attempt.map(|attempt| (keys, attempt)).map_err(no)
}

fn answer(suite: &dyn Suite, header: Header, inputs: Fields<'_>) -> Made {
    let request = inputs.bytes("request")?;
    let (asked, h) = question(suite, &request)?;
    let join = JoinRequest::parse(asked.join.0).map_err(no)?.message;
    let keys = MemberKeys::derive(suite, &inputs.key("member_key")?, inputs.name("member")?).map_err(no)?;
    let k = keys.session_key(suite, &h).map_err(no)?;
    let x_l = inputs.bytes("x_l")?;
    let (share, dh) = if x_l.is_empty() {
        (Share::NONE, None)
    } else {
        let (secret, share) = suite.agreement_pair(&mut Script::new([x_l])).map_err(no)?;
        (share, Some(suite.agree(&secret, &join.share).map_err(no)?))
    };
    let message = JoinAnswer { i0: join.i0, i1: asked.i1, share };
    let mut clear = BytesMut::new();
    message.put_clear(header, &mut clear);
    let transcript = transcript(suite, &h, &clear).map_err(no)?;
    let keys = ChannelKeys::derive(suite, &k, dh.as_ref(), &transcript).map_err(no)?;
    let (seal, _) = keys.prepare(suite).map_err(no)?;
    let (which, inner) = inputs.choice("offer")?;
    let policy;
    let offer = match which {
        "Accept" => {
            policy = inner.bytes("policy")?;
            Offer::Accept(Accept {
                group: inner.instance("group")?,
                cid: inner.cid("cid")?,
                leader_key: inner.verifying_key("leader_key")?,
                policy_version: inner.version("policy_version")?,
                policy: Blob(&policy),
            })
        }
        "Refuse" => Offer::Refuse(coded(inputs.at("offer")?.text("Refuse")?)?),
        other => return Err(format!("offer {other}")),
    };
    let mut out = BytesMut::new();
    let number = BoxNumber { domain: 0, counter: 0 };
    message.put_boxed(header, &mut out, |text| offer.put(text), |ad, text| seal.seal(number, ad, text)).map_err(no)?;
    Ok(out.to_vec())
}

/// The body of a channel frame as it is queued, and whether it is a record; none for an empty one.
fn body(id: &str, inputs: Fields<'_>) -> Result<Option<(Bytes, bool)>, String> {
    let (which, inner) = inputs.choice("body")?;
    let member = id == "RA-CM";
    match which {
        "Nothing" => return Ok(None),
        "End" => {
            let reason: EndReason = coded(inner.text("reason")?)?;
            let end = if member { member_end } else { leader_end };
            return Ok(Some((end(reason, inner.cid("by")?), false)));
        }
        "Record" => {}
        other => return Err(format!("body {other}")),
    }
    let (which, inner) = chosen(inner.0.as_object().map(|_| inner.0).ok_or("no record")?)?;
    let bytes: Bytes = match (member, which) {
        (true, "Hello") => {
            let hello = Hello { origin_key: inner.verifying_key("origin_key")? };
            to_vec(&MemberBody::Record(MemberRecord::Hello(hello))).into()
        }
        (true, "Eject") => request(inner.cid("cid")?, &inner.name("name")?.to_name()),
        (true, "Wrap") => private::wrap(&inner.cids("to")?, &inner.key("key")?, inner.digest("digest")?),
        (false, "Wrapped") => {
            let (key, digest) = (inner.key("key")?, inner.digest("digest")?);
            private::wrapped(inner.cid("from")?, inner.number("number")?, &key, digest)
        }
        (false, "Passed") => private::passed(inner.number("number")?, &inner.cids("missed")?),
        (false, "Answer") => {
            let said: EjectVerdict = coded(inner.text("verdict")?)?;
            verdict(inner.number("rseq")?, said)
        }
        (false, "Policy") => {
            let policy = inner.bytes("policy")?;
            let change = PolicyChange { version: inner.version("version")?, policy: Blob(&policy) };
            to_vec(&LeaderBody::Record(LeaderRecord::Policy(change))).into()
        }
        (false, "View") => with_page(inner, |page| to_vec(&LeaderBody::Record(LeaderRecord::View(page))))?.into(),
        (_, other) => return Err(format!("record {other}")),
    };
    Ok(Some((bytes, true)))
}

/// What a private word says of itself in clear.
fn word(inputs: Fields<'_>) -> Result<Word, String> {
    Ok(Word { group: inputs.instance("group")?, cid: inputs.cid("cid")?, number: inputs.number("number")? })
}

/// One end of a channel that seals with `own` and opens with `peer`.
fn end(
    suite: &dyn Suite,
    header: Header,
    side: Side,
    inputs: Fields<'_>,
    own: &Secret,
    peer: &Secret,
) -> Result<Channel, String> {
    let (seal, open) = (suite.aead(own).map_err(no)?, suite.aead(peer).map_err(no)?);
    let (group, cid) = (inputs.instance("group")?, inputs.cid("cid")?);
    Ok(Channel::new(side, header, group, cid, seal, open, Probes::many(8), 4))
}

fn channel(id: &str, suite: &dyn Suite, header: Header, inputs: Fields<'_>, opening: Fields<'_>) -> Made {
    let side = if id == "RA-CM" { Side::Member } else { Side::Leader };
    let mut channel = end(suite, header, side, inputs, &inputs.secret("key")?, &opening.secret("key")?)?;
    if side == Side::Leader {
        // What it says it has seen, it has to have heard.
        let heard = channel.hear(&mut opening.bytes("heard")?).map_err(no)?;
        channel.commit(&heard);
    }
    let standing = Standing {
        epoch: Epoch(inputs.number("epoch")?),
        view: inputs.version("view")?,
        policy: inputs.version("policy")?,
        hears: side == Side::Member && inputs.get("hears")?.as_bool().ok_or("hears")?,
    };
    let body = body(id, inputs)?;
    let carry = match &body {
        Some((bytes, false)) => Carry::End(bytes),
        Some((bytes, true)) => {
            channel.put_first(bytes.clone(), RETRY, NOW, &mut Jitter::none());
            Carry::Due
        }
        None => Carry::Due,
    };
    channel.seal(&mut Pool::new(), NOW, standing, true, carry).map(|frame| frame.to_vec()).map_err(no)
}

/// RA-Dm, from the words of RA §2 and the suite alone.
fn bridged_data(suite: &dyn Suite, header: Header, inputs: Fields<'_>) -> Made {
    let group = inputs.at("group")?;
    let group = GroupId { app: group.name("app")?, nonce: group.nonce("nonce")? };
    let (sender, salt, counter) = (inputs.name("sender")?, inputs.nonce("salt")?, inputs.number("counter")?);
    let kind: Kind = coded(inputs.text("kind")?)?;
    let message = BridgedData { group, sender, salt, counter, kind };
    let payload = inputs.bytes("payload")?;
    let port = u8::try_from(inputs.number("port")?).map_err(no)?;
    let content = Content { origin: Signature::NONE, port, payload: Rest(&payload) };
    let key = match kind {
        Kind::Clear => None,
        _ => {
            let digest = suite.hash(&[&to_vec(&group)]).map_err(no)?;
            let base = suite.extract(digest.as_bytes(), &[&inputs.secret("group_key")?]).map_err(no)?;
            let info = [b"sodality ra 1 data".as_slice(), &[kind as u8], &to_vec(&sender), salt.as_bytes()];
            Some(suite.expand(&base, &info, Purpose::Aead).map_err(no)?)
        }
    };
    let mut out = BytesMut::new();
    let write = |out: &mut BytesMut, _| {
        content.put(out);
        Ok(())
    };
    let sealed = message.put_boxed_whole(header, &mut out, write, |frame, clear, text| {
        let number = BoxNumber { domain: 0, counter };
        match (&key, kind) {
            (Some(key), Kind::Integrity) => suite.seal(key, number, frame, &mut []),
            (Some(key), _) => {
                let (ad, text) = split_frame(frame, clear, &text);
                suite.seal(key, number, ad, text)
            }
            (None, _) => Ok(Tag::NONE),
        }
    });
    sealed.map_err(no)?;
    Ok(out.to_vec())
}

/// The bytes of the vector `id`, made from its inputs.
pub(crate) fn make(id: &str, number: u8, inputs: Fields<'_>, opening: Fields<'_>) -> Made {
    let (suite, header) = (&*modern(number), header(number));
    let leader = || LeaderKeys::derive(suite, &inputs.key("leader_key")?, inputs.name("leader")?).map_err(no);
    match id {
        "RA-J1" => attempt(suite, header, inputs).map(|(_, attempt)| attempt.frame.to_vec()),
        "RA-T1" => {
            let asked = Question::new(suite, header, &leader()?, inputs.nonce("i1")?, &inputs.bytes("join")?);
            asked.map(|asked| asked.frame.to_vec()).map_err(no)
        }
        "RA-T1m" => {
            let (join, mut out) = (inputs.bytes("join")?, BytesMut::new());
            let asked = BridgedRequest { leader: inputs.name("leader")?, i1: inputs.nonce("i1")?, join: Blob(&join) };
            let key = leader()?;
            asked.put_tagged(header, &mut out, |covered| suite.mac(key.request.secret(), &[covered])).map_err(no)?;
            Ok(out.to_vec())
        }
        "RA-T2" => {
            let request = inputs.bytes("request")?;
            let (asked, h) = question(suite, &request)?;
            let status: Status = coded(inputs.text("status")?)?;
            let text = match status {
                Status::Vouched => {
                    let keys = MemberKeys::derive(suite, &inputs.key("member_key")?, inputs.name("member")?);
                    keys.and_then(|keys| keys.session_key(suite, &h)).map_err(no)?.secret().expose().to_vec()
                }
                _ => Vec::new(),
            };
            let code = *to_vec(&status).first().ok_or("no status")?;
            let key = leader()?.answer_box(suite, code, &h).map_err(no)?;
            let mut out = BytesMut::new();
            let seal = |ad: &[u8], text: &mut [u8]| suite.seal(key.secret(), BoxNumber::ONLY, ad, text);
            let answer = KeyAnswer { i1: asked.i1, status };
            answer.put_boxed(header, &mut out, |out| Rest::<64>(&text).put(out), seal).map_err(no)?;
            Ok(out.to_vec())
        }
        "RA-J2" => answer(suite, header, inputs),
        "RA-CM" | "RA-CL" => channel(id, suite, header, inputs, opening),
        "D_v" => {
            let view = View::new(100, 100);
            let step = view.prepare(suite, &inputs.instance("group")?, changes(inputs)?).map_err(no)?;
            Ok(step.digest().as_bytes().to_vec())
        }
        "policy digest" => Ok(suite.hash(&[&inputs.bytes("policy")?]).map_err(no)?.as_bytes().to_vec()),
        "RA-R" => {
            let (issue, group) = (issue(suite, inputs)?, inputs.instance("group")?);
            let mut blocks = Vec::new();
            for member in inputs.list("members")? {
                let key = suite.aead(&member.secret("key")?).map_err(no)?;
                blocks.push(issue.block(header, group, member.cid("cid")?, &*key).map_err(no)?);
            }
            issue.frame(header, group, &blocks, &mut Pool::new()).map(|frame| frame.to_vec()).map_err(no)
        }
        "RA-H" => with_delta(inputs, |delta| {
            let mut beacon = Beacon::new(inputs.key("secret")?);
            let said = Said {
                epoch: Epoch(inputs.number("epoch")?),
                view: inputs.version("view")?,
                view_digest: inputs.digest("view_digest")?,
                delta,
            };
            let group = inputs.instance("group")?;
            let mut frame = Bytes::new();
            for _ in 0..inputs.number("beat")? {
                frame = beacon.frame(suite, header, group, said, &mut Pool::new()).map_err(no)?;
            }
            Ok(frame.to_vec())
        }),
        "RA-D" => data(header, inputs),
        "RA-P" => {
            let port = u8::try_from(inputs.number("port")?).map_err(no)?;
            let (key, payload) = (inputs.key("key")?, inputs.bytes("payload")?);
            let frame = words::seal::<PrivateWord>(suite, header, &key, word(inputs)?, port, &payload);
            frame.map(|frame| frame.to_vec()).map_err(no)
        }
        "RA-Dm" => bridged_data(suite, header, inputs),
        _ => Err(format!("no vector {id} here")),
    }
}

/// Opens the frame of the vector `id` as its receiver does, and compares what comes out with the inputs.
pub(crate) fn open(id: &str, number: u8, inputs: Fields<'_>, opening: Fields<'_>, frame: &[u8]) -> Result<(), String> {
    let (suite, header) = (&*modern(number), header(number));
    match id {
        "RA-T2" => {
            let request = inputs.bytes("request")?;
            let (asked, digest) = question(suite, &request)?;
            let asked = Question { i1: asked.i1, frame: Bytes::new(), digest };
            let keys = LeaderKeys::derive(suite, &inputs.key("leader_key")?, inputs.name("leader")?).map_err(no)?;
            let verdict = asked.read_answer(suite, &keys, Checks::ALL, &mut frame.to_vec()).map_err(no)?;
            same(matches!(verdict, Verdict::Vouched(_)) == (inputs.text("status")? == "Vouched"))
        }
        "RA-J2" => {
            let (keys, attempt) = attempt(suite, header, opening)?;
            match attempt.read(suite, header, &keys, &mut frame.to_vec()).map_err(no)? {
                Answer::Accepted(accepted) => {
                    let accept = inputs.at("offer")?.at("Accept")?;
                    same(accepted.cid == accept.cid("cid")? && accepted.policy == accept.bytes("policy")?)
                }
                Answer::Refused(_) => inputs.at("offer")?.text("Refuse").map(drop),
            }
        }
        "RA-CM" | "RA-CL" => {
            let side = if id == "RA-CM" { Side::Leader } else { Side::Member };
            let mut channel = end(suite, header, side, inputs, &opening.secret("key")?, &inputs.secret("key")?)?;
            if side == Side::Member {
                // It has to have sent what the leader says it has seen.
                let hello = to_vec(&MemberBody::Record(MemberRecord::Hello(Hello { origin_key: VerifyingKey::NONE })));
                channel.put_first(hello.into(), RETRY, NOW, &mut Jitter::none());
                channel.seal(&mut Pool::new(), NOW, Standing::default(), true, Carry::Due).map_err(no)?;
            }
            let mut frame = frame.to_vec();
            let heard = channel.hear(&mut frame).map_err(no)?;
            let body = body(id, inputs)?;
            let expected = match body {
                None => Body::Nothing,
                Some((_, true)) => Body::Record,
                Some((_, false)) => Body::End,
            };
            let said = frame.get(heard.range).ok_or("range")?;
            same(heard.body == expected && body.is_none_or(|(bytes, _)| bytes == said))
        }
        "RA-R" => {
            for member in inputs.list("members")? {
                let key = suite.aead(&member.secret("key")?).map_err(no)?;
                let (group, cid) = (inputs.instance("group")?, member.cid("cid")?);
                let block = open_block(header, suite, group, cid, Epoch(0), &*key, frame).map_err(no)?;
                let base = block.base(suite, group).map_err(no)?;
                same(base.secret().expose() == issue(suite, inputs)?.base().secret().expose())?;
            }
            Ok(())
        }
        "RA-H" => {
            let link = Link(1);
            let mut hearing = Hearing::new(NOW, [link].into_iter());
            let (group, key) = (inputs.instance("group")?, opening.verifying_key("public_key")?);
            let pace = (Duration::from_secs(5), 10);
            let verified = hearing.check(suite, Checks::ALL, group, &key, pace, NOW, link, frame).map_err(no)?;
            same(verified.is_some())
        }
        "RA-D" => open_data(header, inputs, opening, frame),
        "RA-P" => {
            words::is_named(suite, &opening.digest("digest")?, frame).map_err(no)?;
            same(words::word_of::<PrivateWord>(frame).map_err(no)? == word(inputs)?)?;
            let mut opened = frame.to_vec();
            let (port, payload) = words::open::<PrivateWord>(suite, &inputs.key("key")?, &mut opened).map_err(no)?;
            same(u64::from(words::port_code(port)) == inputs.number("port")? && payload == inputs.bytes("payload")?)
        }
        _ => Ok(()),
    }
}
