//! Vectors of repaired Enclaves, made and opened by the library.

use core::time::Duration;

use bytes::{Bytes, BytesMut};
use sodality::crypto::{Aead, Suite, SuiteId};
use sodality::enclaves::auth::public_key::issue;
use sodality::enclaves::auth::{Account, Asked, Credential, Identity, PublicKey, Scene, SharedKey, Trust};
use sodality::enclaves::chain::{Heard, JOIN, LeaderChain, MemberChain, Place, SessionKeys};
use sodality::enclaves::{chain, gossip};
use sodality::endpoint::WallClock;
use sodality::group::channel::Standing;
use sodality::group::private::is_named;
use sodality::group::{Backoff, Checks, Jitter, Pool, Retry};
use sodality::identity::{Epoch, Instance, Name, Version};
use sodality::policy::Right;
use sodality::wire::antigone::{EjectRequest, PolicyChange, RequestAnswer};
use sodality::wire::enclaves::repaired::*;
use sodality::wire::field::{Nested, Nonce, Payload, VerifyingKey, to_vec};
use sodality::wire::frame::split_frame;
use sodality::wire::objects::{
    Expected, ObjectNews, ObjectPiece, ObjectRight, ObjectRights, PutAnswer, PutPiece, PutRefused, PutVerdict,
};
use sodality::wire::{Blob, Edition, Field, Header, List, Message, Rest, System};

use super::json::{Fields, Made, Script, chosen, no, same};
use super::modern;
use super::shared::{self, NOW, coded, data, issue_of, open_data, with_page};

const RETRY: Retry = Retry { first: Duration::from_millis(500), ceiling: Duration::from_secs(8) };

/// When the certificates of the vectors hold.
const WALL: WallClock = WallClock(1_000_000);

fn header(id: u8) -> Header {
    Header { system: System::Enclaves, edition: Edition::Repaired, suite: SuiteId(id) }
}

fn scene<'a>(suite: &'a dyn Suite, header: Header, fields: Fields<'a>) -> Result<Scene<'a>, String> {
    let (app, leader, member) = (fields.name("app")?, fields.name("leader")?, fields.name("member")?);
    Ok(Scene { suite, header, app, leader, member, wall: Some(WALL) })
}

/// By shared key, if there is one.
fn shared_key(fields: Fields<'_>) -> Result<Option<SharedKey>, String> {
    if fields.get("user_key").is_err() {
        return Ok(None);
    }
    let way = SharedKey::new(fields.key("user_key")?);
    Ok(Some(if fields.bytes("x")?.is_empty() { way.without_forward_secrecy() } else { way }))
}

/// By public keys: the certificate of the sender, if it has one, says whether the other side's is wanted too.
fn public_key(fields: Fields<'_>, trusted: Option<VerifyingKey>) -> Result<PublicKey, String> {
    let (signing, certificate) = (fields.key("signing")?, fields.bytes("certificate")?);
    let key = trusted.unwrap_or(VerifyingKey::NONE);
    Ok(if certificate.is_empty() {
        PublicKey::new(Identity::known(signing), Trust::Key(key))
    } else {
        PublicKey::new(Identity::certified(signing, &certificate).ok_or("certificate")?, Trust::Issuer(key))
    })
}

/// The random bytes of a side that draws its ephemeral secret, if it does, and `more`.
fn draws(fields: Fields<'_>, more: &str) -> Result<Script, String> {
    let drawn = [fields.bytes("x")?, fields.bytes(more).unwrap_or_default()];
    Ok(Script(drawn.into_iter().rev().filter(|draw| !draw.is_empty()).collect()))
}

/// The body of EN-R1, and the user that waits for the answer of somebody with the key `trusted`.
fn ask(scene: &Scene<'_>, fields: Fields<'_>, trusted: Option<VerifyingKey>) -> Result<(Bytes, Asked), String> {
    let credential = match shared_key(fields)? {
        Some(way) => Credential::SharedKey(way),
        None => Credential::PublicKey(public_key(fields, trusted)?),
    };
    credential.ask(scene, &fields.nonce("n1")?, &mut draws(fields, "none")?).map_err(no)
}

/// A message whose box is the one that its side seals before there is a session: EN-R2 or EN-R3.
fn joining<'a>(message: &impl Message<'a>, header: Header, key: &dyn Aead, text: &[u8]) -> Made {
    let mut out = BytesMut::new();
    let write = |out: &mut BytesMut| out.extend_from_slice(text);
    message.put_boxed(header, &mut out, write, |ad, text| key.seal(JOIN, ad, text)).map_err(no)?;
    Ok(out.to_vec())
}

fn offer(inputs: Fields<'_>) -> Made {
    let (which, inner) = inputs.choice("offer")?;
    Ok(match which {
        "Accept" => {
            let policy = inner.bytes("policy")?;
            to_vec(&Offer::Accept(Accept {
                group: inner.instance("group")?,
                cid: inner.cid("cid")?,
                leader_key: inner.verifying_key("leader_key")?,
                policy_version: inner.version("policy_version")?,
                policy: Blob(&policy),
            }))
        }
        "Refuse" => to_vec(&Offer::Refuse(coded(inputs.at("offer")?.text("Refuse")?)?)),
        other => return Err(format!("offer {other}")),
    })
}

/// EN-R2.
fn answer(suite: &dyn Suite, header: Header, inputs: Fields<'_>) -> Made {
    let request = inputs.bytes("request")?;
    let asked = AuthInitReq::parse(&request).map_err(no)?.message;
    let account = match shared_key(inputs)? {
        Some(way) => Account::SharedKey(way),
        None => Account::PublicKey(public_key(inputs, Some(inputs.verifying_key("trusted")?))?),
    };
    let AuthInitReq { app, leader, member, n1, request } = asked;
    let scene = Scene { suite, header, app, leader, member, wall: Some(WALL) };
    let n2 = inputs.nonce("n2")?;
    let (body, answered) = account.answer(&scene, &n1, &n2, request.0, &mut draws(inputs, "fresh")?).map_err(no)?;
    let keys = SessionKeys::derive(suite, answered.key()).map_err(no)?;
    joining(&AuthKeyDist { n1, n2, answer: Blob(&body) }, header, &*keys.leader, &offer(inputs)?)
}

/// Opens EN-R2 as the user that has asked.
fn read_answer(scene: &Scene<'_>, inputs: Fields<'_>, opening: Fields<'_>, frame: &[u8]) -> Result<(), String> {
    let trusted = opening.get("trusted").is_ok().then(|| opening.verifying_key("trusted")).transpose()?;
    let (_, asked) = ask(scene, opening.at("asked")?, trusted)?;
    let mut frame = frame.to_vec();
    let parsed = AuthKeyDist::parse(&frame).map_err(no)?;
    let (n2, body) = (parsed.message.n2, parsed.message.answer.0);
    let shown = asked.finish(scene, &n2, body).map_err(no)?;
    same(shown.proof.is_empty() && shown.key.secret().expose() == opening.bytes("K_a")?)?;
    let keys = SessionKeys::derive(scene.suite, &shown.key).map_err(no)?;
    let (clear, text, tag) = (parsed.clear, parsed.text, parsed.tag);
    let (ad, sealed) = split_frame(&mut frame, clear, &text);
    keys.leader.open(JOIN, ad, sealed, &tag).map_err(no)?;
    same(sealed == offer(inputs)?)
}

fn place(suite: &dyn Suite, header: Header, inputs: Fields<'_>) -> Result<Place, String> {
    let keys = SessionKeys::derive(suite, &inputs.key("session")?).map_err(no)?;
    let (group, cid) = (inputs.instance("group")?, inputs.cid("cid")?);
    Ok(Place { header, group, cid, keys, checks: Checks::ALL })
}

/// The leader's end, that has told and heard so much that the next AdminMsg has the number `seq` and names `last`.
fn leader(suite: &dyn Suite, place: Place, last: Nonce, seq: u64) -> Result<LeaderChain, String> {
    let mut chain = LeaderChain::new(place, last);
    for _ in 1..seq {
        let mut rng = Script::new([vec![0; suite.sizes().nonce]]);
        tell(suite, &mut chain, &mut rng, Standing::default(), AdminPayload::Ping)?;
        chain.commit_ack(last);
    }
    Ok(chain)
}

fn tell(
    suite: &dyn Suite,
    chain: &mut LeaderChain,
    rng: &mut Script,
    standing: Standing,
    payload: AdminPayload<'_>,
) -> Made {
    let backoff = Backoff::start(RETRY, NOW, &mut Jitter::none());
    let frame = chain.tell(suite, rng, &mut Pool::new(), NOW, backoff, standing, payload);
    frame.map(|frame| frame.to_vec()).map_err(no)
}

/// Does `with` with what an AdminMsg tells.
fn with_payload<T>(
    suite: &dyn Suite,
    inputs: Fields<'_>,
    with: impl FnOnce(AdminPayload<'_>) -> Result<T, String>,
) -> Result<T, String> {
    let (which, inner) = inputs.choice("payload")?;
    match which {
        "Ping" => with(AdminPayload::Ping),
        "Key" => {
            let key = inner.bytes("key")?;
            let issue = issue_of(suite, Instance([0; 16]), inner.at("common")?, key.clone())?;
            let common = Nested::new(issue.common()).map_err(no)?;
            with(AdminPayload::Key(NewKey { common, key: KeyBytes(&key) }))
        }
        "View" => with_page(inner, |page| with(AdminPayload::View(page)))?,
        "Policy" => {
            let policy = inner.bytes("policy")?;
            with(AdminPayload::Policy(PolicyChange { version: inner.version("version")?, policy: Blob(&policy) }))
        }
        "Ejection" => {
            let (rseq, verdict) = (inner.number("rseq")?, coded(inner.text("verdict")?)?);
            with(AdminPayload::Ejection(RequestAnswer { rseq, verdict }))
        }
        "GossipKey" => {
            let (from, number, key) = (inner.cid("from")?, inner.number("number")?, inner.bytes("key")?);
            let (key, digest) = (KeyBytes(&key), inner.digest("digest")?);
            with(AdminPayload::GossipKey(GossipKey { from, number, key, digest }))
        }
        "GossipGrant" => {
            let (number, key) = (inner.number("number")?, inner.bytes("key")?);
            with(AdminPayload::GossipGrant(GossipGrant { number, key: KeyBytes(&key) }))
        }
        "Gossiped" => {
            let (number, missed) = (inner.number("number")?, inner.cids("missed")?);
            with(AdminPayload::Gossiped(Gossiped { number, missed: List::of(&missed) }))
        }
        "Object" => with_news(inner, |news| with(AdminPayload::Object(news)))?,
        other => Err(format!("payload {other}")),
    }
}

/// Does `with` with what the leader tells about shared objects.
fn with_news<T>(inputs: Fields<'_>, with: impl FnOnce(ObjectNews<'_>) -> T) -> Result<T, String> {
    let (which, inner) = chosen(inputs.0)?;
    match which {
        "Rights" => {
            let right = |one: Fields<'_>| -> Result<(Name, Right, u32), String> {
                Ok((one.name("object")?.to_name(), coded(one.text("right")?)?, one.short("size")?))
            };
            let rights: Vec<_> = inner.list("rights")?.map(right).collect::<Result<_, _>>()?;
            let rights: Vec<_> = rights
                .iter()
                .map(|(object, right, size)| ObjectRight { object: object.by_ref(), right: *right, size: *size })
                .collect();
            Ok(with(ObjectNews::Rights(ObjectRights { rights: List::of(&rights) })))
        }
        "Piece" => {
            let (size, offset, bytes) = (inner.short("size")?, inner.short("offset")?, inner.bytes("bytes")?);
            let (object, version, by) = (inner.name("object")?, inner.version("version")?, inner.cid("by")?);
            Ok(with(ObjectNews::Piece(ObjectPiece { object, version, by, size, offset, bytes: Payload(&bytes) })))
        }
        "Answer" => {
            let (number, (verdict, of)) = (inner.number("number")?, inner.choice("verdict")?);
            let verdict = match verdict {
                "Taken" => PutVerdict::Taken(Version(of.0.as_u64().ok_or("no version")?)),
                _ => {
                    let (why, version) = (coded(of.text("why")?)?, of.version("version")?);
                    PutVerdict::Refused(PutRefused { why, version })
                }
            };
            Ok(with(ObjectNews::Answer(PutAnswer { number, verdict })))
        }
        other => Err(format!("news {other}")),
    }
}

fn port_code(fields: Fields<'_>) -> Result<u8, String> {
    u8::try_from(fields.number("port")?).map_err(no)
}

/// Does `with` with what a member asks for.
fn with_wish<T>(inputs: Fields<'_>, with: impl FnOnce(RequestText<'_>) -> T) -> Result<T, String> {
    let (which, inner) = inputs.choice("wish")?;
    match which {
        "Here" => Ok(with(RequestText::Here)),
        "Eject" => Ok(with(RequestText::Eject(EjectRequest { cid: inner.cid("cid")?, name: inner.name("name")? }))),
        "Gossip" | "GossipKey" | "GossipWrap" => {
            let members = inner.cids("to")?;
            let to = List::of(&members);
            match which {
                "Gossip" => {
                    let said = inner.at("text")?;
                    let payload = said.bytes("payload")?;
                    let text = GossipText { port: port_code(said)?, payload: Rest(&payload) };
                    Ok(with(RequestText::Gossip(GossipWhole { to, text })))
                }
                "GossipKey" => Ok(with(RequestText::GossipKey(GossipTo { to }))),
                _ => Ok(with(RequestText::GossipWrap(GossipWrap { to, key: KeyBytes(&inner.bytes("key")?) }))),
            }
        }
        "Put" => {
            let expected = match inner.choice("expected")? {
                ("Any", _) => Expected::Any,
                (_, version) => Expected::Exactly(Version(version.0.as_u64().ok_or("no version")?)),
            };
            let (number, object, bytes) = (inner.number("number")?, inner.name("object")?, inner.bytes("bytes")?);
            let (size, offset, bytes) = (inner.short("size")?, inner.short("offset")?, Payload(&bytes));
            Ok(with(RequestText::Put(PutPiece { number, object, expected, size, offset, bytes })))
        }
        other => Err(format!("wish {other}")),
    }
}

/// EN-R5, the answer to the AdminMsg `told`.
fn ack(suite: &dyn Suite, place: Place, inputs: Fields<'_>) -> Made {
    let chain = MemberChain::new(place, inputs.nonce("last")?, NOW);
    let Heard::New(new) = chain.hear(&mut inputs.bytes("told")?).map_err(no)? else { return Err("a repeat".into()) };
    let mut rng = Script::new([inputs.bytes("next")?]);
    chain.reply(suite, &mut rng, &mut Pool::new(), &new).map(|reply| reply.ack.to_vec()).map_err(no)
}

fn end(inputs: Fields<'_>) -> Result<EndText, String> {
    Ok(EndText { reason: coded(inputs.text("reason")?)?, by: inputs.cid("by")? })
}

/// The bytes of the vector `id`, made from its inputs.
pub(crate) fn make(id: &str, number: u8, inputs: Fields<'_>) -> Made {
    let (suite, header) = (&*modern(number), header(number));
    let place = || place(suite, header, inputs);
    // Where it does not show what was said before.
    let (any, mut pool) = (Nonce::new(&[0; 16]).ok_or("nonce")?, Pool::new());
    let member = || Ok::<_, String>(MemberChain::new(place()?, any, NOW));
    match id {
        "certificate" => {
            let (issuer, holder) = (inputs.key("issuer")?, inputs.bytes("holder")?);
            let (_, key) = suite.signing_pair(&mut Script::new([holder])).map_err(no)?;
            let (from, to) = (inputs.number("not_before")?, inputs.number("not_after")?);
            let made = issue(suite, &issuer, inputs.name("name")?, key, WallClock(from), WallClock(to));
            made.map(|made| made.to_vec()).map_err(no)
        }
        "EN-R1" => {
            let scene = scene(suite, header, inputs)?;
            let (request, _) = ask(&scene, inputs, None)?;
            let Scene { app, leader, member, .. } = scene;
            let message = AuthInitReq { app, leader, member, n1: inputs.nonce("n1")?, request: Blob(&request) };
            let mut out = BytesMut::new();
            message.put_open(header, &mut out);
            Ok(out.to_vec())
        }
        "EN-R2" => answer(suite, header, inputs),
        "EN-R3" => {
            let keys = SessionKeys::derive(suite, &inputs.key("session")?).map_err(no)?;
            let proof = inputs.bytes("proof")?;
            let text = Confirm {
                n3: inputs.nonce("n3")?,
                proof: Blob(&proof),
                origin_key: inputs.verifying_key("origin_key")?,
            };
            joining(&AuthAckKey { n2: inputs.nonce("n2")? }, header, &*keys.member, &to_vec(&text))
        }
        "EN-R4" => {
            let mut chain = leader(suite, place()?, inputs.nonce("last")?, inputs.number("seq")?)?;
            chain.commit_request(inputs.number("taken")?);
            let standing = Standing {
                epoch: Epoch(inputs.number("epoch")?),
                view: inputs.version("view")?,
                policy: inputs.version("policy")?,
                ..Standing::default()
            };
            let mut rng = Script::new([inputs.bytes("next")?]);
            with_payload(suite, inputs, |payload| tell(suite, &mut chain, &mut rng, standing, payload))
        }
        "EN-R5" => ack(suite, place()?, inputs),
        "EN-R6" => {
            let close = member()?.close(&mut pool, inputs.name("member")?, inputs.name("leader")?);
            close.map(|frame| frame.to_vec()).map_err(no)
        }
        "EN-R7" => {
            let end = LeaderChain::new(place()?, any).end(&mut pool, end(inputs)?);
            end.map(|frame| frame.to_vec()).map_err(no)
        }
        "EN-R8" => {
            let (chain, count) = (member()?, inputs.number("number")?);
            let request = with_wish(inputs, |wish| chain.request(&mut pool, count, &wish))?;
            request.map(|frame| frame.to_vec()).map_err(no)
        }
        "EN-R9" => data(header, inputs),
        "EN-R10" => {
            let (group, cid, count) = (inputs.instance("group")?, inputs.cid("cid")?, inputs.number("number")?);
            let (key, port, payload) = (inputs.key("key")?, port_code(inputs)?, inputs.bytes("payload")?);
            let frame = gossip::seal(suite, header, &key, group, cid, count, port, &payload);
            frame.map(|frame| frame.to_vec()).map_err(no)
        }
        _ => Err(format!("no vector {id} here")),
    }
}

/// Opens the frame of the vector `id` as its receiver does, and compares what comes out with the inputs.
pub(crate) fn open(id: &str, number: u8, inputs: Fields<'_>, opening: Fields<'_>, frame: &[u8]) -> Result<(), String> {
    let (suite, header) = (&*modern(number), header(number));
    let place = || place(suite, header, inputs);
    let any = Nonce::new(&[0; 16]).ok_or("nonce")?;
    let mut opened = frame.to_vec();
    match id {
        "EN-R2" => read_answer(&scene(suite, header, opening.at("asked")?)?, inputs, opening, frame),
        "EN-R3" => {
            let keys = SessionKeys::derive(suite, &inputs.key("session")?).map_err(no)?;
            let parsed = AuthAckKey::parse(frame).map_err(no)?;
            let (ad, sealed) = split_frame(&mut opened, parsed.clear, &parsed.text);
            keys.member.open(JOIN, ad, sealed, &parsed.tag).map_err(no)?;
            let Confirm { n3, proof, origin_key } = Confirm::decode(sealed).map_err(no)?;
            let expected = inputs.nonce("n3")? == n3 && inputs.verifying_key("origin_key")? == origin_key;
            same(expected && proof.0 == inputs.bytes("proof")?)
        }
        "EN-R4" => {
            let chain = MemberChain::new(place()?, inputs.nonce("last")?, NOW);
            let Heard::New(new) = chain.hear(&mut opened).map_err(no)? else { return Err("a repeat".into()) };
            let text = AdminText::decode(opened.get(new.text).ok_or("range")?).map_err(no)?;
            let expected = with_payload(suite, inputs, |payload| Ok(to_vec(&payload)))?;
            same(text.taken == inputs.number("taken")? && to_vec(&text.payload) == expected)
        }
        "EN-R5" => {
            let mut chain = leader(suite, place()?, any, opening.number("seq")?)?;
            let mut rng = Script::new([opening.bytes("n4")?]);
            tell(suite, &mut chain, &mut rng, Standing::default(), AdminPayload::Ping)?;
            same(chain.hear_ack(&mut opened).map_err(no)? == inputs.nonce("next")?)
        }
        "EN-R6" => LeaderChain::new(place()?, any).hear_close(&mut opened).map_err(no),
        "EN-R7" => same(MemberChain::new(place()?, any, NOW).hear_end(&mut opened).map_err(no)? == end(inputs)?),
        "EN-R8" => {
            let mut chain = LeaderChain::new(place()?, any);
            chain.commit_request(inputs.number("number")? - 1);
            let heard = chain.hear_request(&mut opened).map_err(no)?;
            let chain::Asked::New(count, text) = heard else { return Err("a repeat".into()) };
            let said = opened.get(text).ok_or("range")?;
            same(count == inputs.number("number")? && with_wish(inputs, |wish| to_vec(&wish) == said)?)
        }
        "EN-R9" => open_data(header, inputs, opening, frame),
        "EN-R10" => {
            is_named(suite, &opening.digest("digest")?, frame).map_err(no)?;
            let (port, payload) = gossip::open(suite, &inputs.key("key")?, &mut opened).map_err(no)?;
            same(port == shared::port(inputs)? && payload == inputs.bytes("payload")?)
        }
        _ => Ok(()),
    }
}
