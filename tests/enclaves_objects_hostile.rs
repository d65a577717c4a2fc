//! Shared objects in repaired Enclaves: what leaders and members come to that hold the keys and break the rules.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod shared_objects;

use core::time::Duration;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use shared_objects::*;
use sodality::crypto::null::insecure_null;
use sodality::crypto::{
    Aead, BoxNumber, FreshError, Hasher, Purpose, Secret, Sizes, Suite, SuiteError, SuiteId, VerifyError,
};
use sodality::endpoint::Entropy;
use sodality::event::{Ending, Event, Suspicion};
use sodality::identity::{MemberId, Version};
use sodality::policy::{MAX_OBJECT_BYTES, Objects, Policy, Right};
use sodality::sim::{EnclaveConfig, InTransit, Mallory, Net, Verdict, shared};
use sodality::wire::Message as _;
use sodality::wire::enclaves::repaired::{AdminMsg, AdminPayload, AdminText, Request, RequestText};
use sodality::wire::field::{Digest, Field, List, Payload, Share, Signature, Tag, VerifyingKey};
use sodality::wire::objects::{
    Expected, ObjectNews, ObjectPiece, ObjectRight, ObjectRights, PutAnswer, PutPiece, PutVerdict,
};
use sodality::wire::{Edition, Header, System};

/// A suite under which everything that is sealed can be read, and whatever is made up opens.
#[derive(Debug)]
struct Gullible(Arc<dyn Suite>);

#[derive(Debug)]
struct GullibleAead(Arc<dyn Aead>);

impl Aead for GullibleAead {
    fn seal(&self, number: BoxNumber, ad: &[u8], text: &mut [u8]) -> Result<Tag, SuiteError> {
        self.0.seal(number, ad, text)
    }

    fn open(&self, _: BoxNumber, _: &[u8], _: &mut [u8], _: &Tag) -> Result<(), VerifyError> {
        Ok(())
    }

    fn scrub(&self) {}
}

impl Suite for Gullible {
    fn id(&self) -> SuiteId {
        self.0.id()
    }

    fn sizes(&self) -> Sizes {
        self.0.sizes()
    }

    fn hash(&self, parts: &[&[u8]]) -> Result<Digest, SuiteError> {
        self.0.hash(parts)
    }

    fn hasher(&self) -> Result<Box<dyn Hasher>, SuiteError> {
        self.0.hasher()
    }

    fn extract(&self, salt: &[u8], material: &[&Secret]) -> Result<Secret, SuiteError> {
        self.0.extract(salt, material)
    }

    fn expand(&self, prk: &Secret, info: &[&[u8]], purpose: Purpose) -> Result<Secret, SuiteError> {
        self.0.expand(prk, info, purpose)
    }

    fn mac(&self, key: &Secret, parts: &[&[u8]]) -> Result<Tag, SuiteError> {
        self.0.mac(key, parts)
    }

    fn verify_mac(&self, key: &Secret, parts: &[&[u8]], tag: &Tag) -> Result<(), VerifyError> {
        self.0.verify_mac(key, parts, tag)
    }

    fn aead(&self, key: &Secret) -> Result<Arc<dyn Aead>, SuiteError> {
        Ok(Arc::new(GullibleAead(self.0.aead(key)?)))
    }

    fn seal(&self, key: &Secret, number: BoxNumber, ad: &[u8], text: &mut [u8]) -> Result<Tag, SuiteError> {
        self.0.seal(key, number, ad, text)
    }

    fn open(&self, _: &Secret, _: BoxNumber, _: &[u8], _: &mut [u8], _: &Tag) -> Result<(), VerifyError> {
        Ok(())
    }

    fn fresh_secret(&self, rng: &mut dyn Entropy, length: usize) -> Result<Secret, FreshError> {
        self.0.fresh_secret(rng, length)
    }

    fn signing_pair(&self, rng: &mut dyn Entropy) -> Result<(Secret, VerifyingKey), FreshError> {
        self.0.signing_pair(rng)
    }

    fn sign(&self, key: &Secret, parts: &[&[u8]]) -> Result<Signature, SuiteError> {
        self.0.sign(key, parts)
    }

    fn verify(&self, key: &VerifyingKey, parts: &[&[u8]], signature: &Signature) -> Result<(), VerifyError> {
        self.0.verify(key, parts, signature)
    }

    fn agreement_pair(&self, rng: &mut dyn Entropy) -> Result<(Secret, Share), FreshError> {
        self.0.agreement_pair(rng)
    }

    fn agree(&self, secret: &Secret, share: &Share) -> Result<Secret, VerifyError> {
        self.0.agree(secret, share)
    }

    fn same(&self, a: &Secret, b: &Secret) -> bool {
        self.0.same(a, b)
    }
}

/// A group where what is in boxes can be read and made up: their keys stand for nothing.
fn open_boxes(seed: u64, objects: Objects) -> Bench {
    let of = EnclaveConfig::new(Arc::new(Gullible(insecure_null())));
    Bench::new(seed, EnclaveConfig { policy: Policy { objects, ..Policy::default() }, ..of }, 2)
}

fn header() -> Header {
    Header { system: System::Enclaves, edition: Edition::Repaired, suite: insecure_null().id() }
}

/// The same AdminMsg with something else in it.
fn tell_instead(frame: &[u8], news: ObjectNews<'_>) -> Bytes {
    let parsed = AdminMsg::parse(frame).unwrap();
    let text = AdminText::decode(&frame[parsed.text.clone()]).unwrap();
    let (text, mut out) = (AdminText { payload: AdminPayload::Object(news), ..text }, BytesMut::new());
    parsed.message.put_boxed(header(), &mut out, |out| text.put(out), |_, _| Ok::<_, ()>(parsed.tag)).unwrap();
    out.freeze()
}

/// The same request, asking for something else.
fn ask_instead(frame: &[u8], piece: PutPiece<'_>) -> Bytes {
    let (parsed, mut out) = (Request::parse(frame).unwrap(), BytesMut::new());
    let text = RequestText::Put(piece);
    parsed.message.put_boxed(header(), &mut out, |out| text.put(out), |_, _| Ok::<_, ()>(parsed.tag)).unwrap();
    out.freeze()
}

#[test]
fn a_leader_that_tells_what_may_not_be_is_left() {
    let (plan, other) = (name("plan"), name("other"));
    let (plan, other) = (plan.by_ref(), other.by_ref());
    let piece = |object, version, size, offset, bytes| {
        let (version, by, bytes) = (Version(version), MemberId(1), Payload(bytes));
        ObjectNews::Piece(ObjectPiece { object, version, by, size, offset, bytes })
    };
    let too_long = [ObjectRight { object: plan, right: Right::Read, size: MAX_OBJECT_BYTES + 1 }];
    let verdict = PutVerdict::Taken(Version(1));
    let told = [
        ("what may be", piece(plan, 1, 1, 0, b"x")),
        ("no right", piece(other, 1, 1, 0, b"x")),
        ("no version", piece(plan, 0, 1, 0, b"x")),
        ("in the middle", piece(plan, 1, 9, 3, b"x")),
        ("more than announced", piece(plan, 1, 1, 0, b"xy")),
        ("nothing of something", piece(plan, 1, 5, 0, b"")),
        ("longer than may be", piece(plan, 1, 3 << 20, 0, b"x")),
        ("a right to more than there is", ObjectNews::Rights(ObjectRights { rights: List::of(&too_long) })),
        ("no such question", ObjectNews::Answer(PutAnswer { number: 1, verdict })),
    ];
    for (what, news) in told {
        let mut bench = open_boxes(51, all_change(&["plan"]));
        let (to, mut left) = (bench.node(0), 1);
        let link = bench.world.links_of(to)[0];
        let replacement = shared(None);
        let tape = replacement.clone();
        bench.world.set_adversary(Mallory(move |frame: &InTransit, net: &mut Net<'_>| {
            if frame.to == to.into() && net.tables.id(&frame.bytes) == "EN-R4" && left > 0 {
                left -= 1;
                *tape.borrow_mut() = Some(frame.bytes.clone());
                return Verdict::Drop;
            }
            Verdict::Pass
        }));
        bench.world.with(bench.star.leader, |leader, cx| leader.rekey(cx)).unwrap().unwrap();
        bench.world.run_until(bench.world.now() + SECOND * 5, |_| replacement.borrow().is_some()).unwrap();
        let frame = tell_instead(&replacement.borrow_mut().take().unwrap(), news);
        bench
            .world
            .with(to, |member, cx| {
                let _ = sodality::endpoint::Endpoint::handle_frame(member, cx, link, frame.as_ref().into());
            })
            .unwrap();
        if what == "what may be" {
            assert_eq!(bench.changes(0), [(1, "plan".to_owned(), MemberId(1))], "the frame opens");
            continue;
        }
        bench.run(SECOND * 5);
        assert!(bench.events(0).contains(&Event::Ended(Ending::LeaderViolation)), "{what}: {:?}", bench.events(0));
        assert_eq!(bench.changes(0), [], "{what}");
    }
}

/// A member whose pieces are out of order, of nothing, or of what is not there changes nothing, and others go on.
#[test]
fn pieces_that_do_not_follow_change_nothing() {
    for (size, offset, bytes) in [(9, 3, &b"xyz"[..]), (3, 0, b"more than that"), (5, 0, b""), (u32::MAX, 0, b"x")] {
        let mut bench = open_boxes(52, all_change(&["plan"]));
        let mut left = 1;
        bench.world.set_adversary(Mallory(move |frame: &InTransit, net: &mut Net<'_>| {
            if net.tables.id(&frame.bytes) == "EN-R8" && left > 0 {
                left -= 1;
                let (object, bytes) = (name("plan"), Payload(bytes));
                let (object, expected) = (object.by_ref(), Expected::Any);
                let piece = PutPiece { number: 1, object, expected, size, offset, bytes };
                return Verdict::Replace(ask_instead(&frame.bytes, piece));
            }
            Verdict::Pass
        }));
        let number = bench.put(0, "plan", None, b"honest").unwrap();
        bench.run(SECOND * 5);
        assert_eq!(bench.changes(2), [], "{size} {offset}: {:?}", bench.events(2));
        if offset == 0 {
            assert!(matches!(bench.answer(0, number), Some(Err(_))), "{size}");
        }
        assert_eq!(bench.puts(1, "plan", None, b"the next"), Ok(1));
    }
}

/// R30: who asks on and acknowledges nothing is taken for dead; what is kept for it is bounded.
#[test]
fn answers_do_not_pile_up() {
    let mut bench = open_boxes(53, all_change(&["plan"]));
    let most = bench.star.config.limits.records as u64;
    let tape = shared(None);
    let kept = tape.clone();
    bench.world.set_adversary(Mallory(move |frame: &InTransit, net: &mut Net<'_>| match net.tables.id(&frame.bytes) {
        "EN-R8" => {
            kept.borrow_mut().get_or_insert(frame.clone());
            Verdict::Drop
        }
        "EN-R5" => Verdict::Drop,
        _ => Verdict::Pass,
    }));
    bench.put(0, "plan", None, b"x").unwrap();
    bench.run(Duration::from_millis(10));
    let first = tape.borrow().clone().unwrap();
    for more in 0..most + 5 {
        let parsed = Request::parse(&first.bytes).unwrap();
        let (object, expected, bytes) = (name("plan"), Expected::Any, Payload(b"x"));
        let message = Request { number: parsed.message.number + more, ..parsed.message };
        let piece = PutPiece { number: 1 + more, object: object.by_ref(), expected, size: 1, offset: 0, bytes };
        let (text, mut out) = (RequestText::Put(piece), BytesMut::new());
        message.put_boxed(header(), &mut out, |out| text.put(out), |_, _| Ok::<_, ()>(parsed.tag)).unwrap();
        bench
            .world
            .with(bench.star.leader, |leader, cx| {
                let _ = sodality::endpoint::Endpoint::handle_frame(leader, cx, first.to_link, out);
            })
            .unwrap();
    }
    let cid = bench.cid(0);
    assert_eq!(bench.changes(2).len() as u64, most, "and nothing of what was too much");
    let suspected = Event::Suspected { cid, why: Suspicion::RecordsPileUp };
    assert!(bench.events(2).contains(&suspected));
    bench.run(SECOND * 10);
    assert!(bench.world.get(bench.star.leader).unwrap().view().get(cid).is_none());
}
