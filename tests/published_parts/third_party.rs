//! AN-T1, AN-T2, AN-T2s and RA-T1m: the functions, and the third party that answers.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use sodality::antigone::join::published::wish;
use sodality::antigone::mixed::Historic;
use sodality::crypto::keys::role;
use sodality::crypto::published::{PublishedSuite, des_md5_rsa};
use sodality::crypto::{Key, Secret, Suite, aes_128_gcm};
use sodality::endpoint::{Cx, Endpoint as _, Entropy, EntropyError, Instant, Link, LinkInfo};
use sodality::error::{CommandError, Failure, Reason};
use sodality::event::{Event, Refusal, Ticket};
use sodality::group::Limits;
use sodality::identity::{Name, NameRef};
use sodality::sim::{FailingEntropy, SimRng};
use sodality::ttp::published::{Answer, Pair, own_pair_key, question};
use sodality::ttp::schedule::LeaderKeys;
use sodality::ttp::{LeaderRecord, MemberRecord, Records, ThirdParty};
use sodality::wire::antigone::{KeyAnswer, Status};
use sodality::wire::bridges::BridgedRequest;
use sodality::wire::{Blob, Edition, Header, Message as _, System};

use crate::{ADA, BOB, Fixed, LEA, header, is_1999, key, name, number, suites, turned};

type LongTerm = Key<role::PublishedLongTerm>;

struct Keys {
    lea: LongTerm,
    ada: LongTerm,
    bob: LongTerm,
}

fn keys(suite: &dyn PublishedSuite) -> Keys {
    Keys { lea: key(suite, 21), ada: key(suite, 22), bob: key(suite, 23) }
}

impl Keys {
    fn pair<'a>(&'a self, member: &'a str) -> Pair<'a> {
        let member_key = if member == ADA { &self.ada } else { &self.bob };
        Pair { leader_key: &self.lea, leader: name(LEA), member_key, member: name(member) }
    }
}

#[test]
fn both_sides_come_to_one_key_by_either_reply() {
    for suite in suites() {
        let suite = &*suite;
        let (keys, i1) = (keys(suite), number(suite, 1));
        let own = own_pair_key(suite, &keys.ada, name(LEA), name(ADA)).unwrap();
        assert!(own.secret().expose() == keys.pair(ADA).key(suite).unwrap().expose());
        for strong in [false, true] {
            let frame = keys.pair(ADA).answer(suite, header(suite), &mut Fixed(2), i1, strong).unwrap();
            let answer = Answer::open(suite, &keys.lea, strong, &frame).unwrap();
            assert_eq!(answer.i1, i1);
            let sigma = answer.pair_key(suite, &keys.lea, name(LEA), name(ADA)).unwrap();
            assert!(sigma.secret().expose() == own.secret().expose(), "{suite:?} {strong}");
            assert!(Answer::open(suite, &keys.lea, !strong, &frame).is_err(), "the other form");
            let of_ada = Answer::open(suite, &keys.ada, strong, &frame).map(|answer| answer.i1);
            assert!(of_ada != Ok(i1), "another cannot read it");
            // σ is directional: {SL}_{K_A} is not {A}_{K_SL}.
            let other = own_pair_key(suite, &keys.lea, name(ADA), name(LEA)).unwrap();
            assert!(other.secret().expose() != own.secret().expose());
            for length in 0..frame.len() {
                assert!(Answer::open(suite, &keys.lea, strong, &frame[..length]).is_err());
            }
            for (at, changed) in turned(&frame) {
                let read = Answer::open(suite, &keys.lea, strong, &changed);
                assert!(is_1999(suite) || read.is_err(), "{suite:?}: byte {at}");
            }
        }
        assert!(
            own_pair_key(suite, &keys.bob, name(LEA), name(BOB)).unwrap().secret().expose() != own.secret().expose()
        );
    }
}

/// A4: somebody puts B in the place of A in AN-T1. AN-T2 does not say whom it is about.
#[test]
fn a4_a_swapped_name_gives_a_key_that_nobody_has_or_is_refused() {
    for suite in suites() {
        let suite = &*suite;
        let (keys, i1) = (keys(suite), number(suite, 1));
        let right = keys.pair(ADA).key(suite).unwrap();
        let of_bob = keys.pair(BOB).key(suite).unwrap();
        let about_bob = |strong| {
            let frame = keys.pair(BOB).answer(suite, header(suite), &mut Fixed(2), i1, strong).unwrap();
            let answer = Answer::open(suite, &keys.lea, strong, &frame).unwrap();
            assert_eq!(answer.i1, i1, "it answers the question");
            answer.pair_key(suite, &keys.lea, name(LEA), name(ADA))
        };
        let wrong = about_bob(false).unwrap();
        let wrong = wrong.secret().expose();
        assert!(wrong != right.expose() && wrong != of_bob.expose(), "{suite:?}");
        assert_eq!(about_bob(true).unwrap_err(), Reason::Forged, "{suite:?}");
    }
}

/// Zeros: the IV of what is encrypted with them is known.
struct Zeros;

impl Entropy for Zeros {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        out.fill(0);
        Ok(())
    }
}

/// DES of one block backwards, by way of the suite: a second block makes the padding right.
fn backwards(suite: &dyn PublishedSuite, key: &Secret, block: [u8; 8]) -> Vec<u8> {
    let mut padding = BytesMut::new();
    suite.encrypt(&mut Zeros, key, &block.map(|byte| byte ^ 8), &mut padding).unwrap();
    let sealed = [&[0; 8], &block[..], &padding[8..16]].concat();
    suite.decrypt(key, &sealed).unwrap().to_vec()
}

/// A long-term key of `ada`, and a leader's name, that come to a weak σ.
fn weak(modern: &dyn Suite) -> (Secret, Name) {
    let suite = des_md5_rsa();
    for seed in 0.. {
        let long_term = modern.fresh_secret(&mut Fixed(seed), 32).unwrap();
        let published = suite.long_term(modern, &long_term, name(ADA)).unwrap();
        for (half, parity) in [[0x00, 0x00], [0xfe, 0xfe], [0x1e, 0x0e], [0xe0, 0xf0]]
            .into_iter()
            .flat_map(|half: [u8; 2]| (0..=u8::MAX).map(move |parity| (half, parity)))
        {
            let block = std::array::from_fn(|at| half[at / 4] | (parity >> at & 1));
            let leader = backwards(&*suite, &published, block);
            if let Some(leader) = std::str::from_utf8(&leader).ok().and_then(|text| Name::new(text).ok())
                && suite.admits(leader.by_ref())
            {
                return (long_term, leader);
            }
        }
    }
    unreachable!()
}

const LINK: Link = Link(1);

struct Third {
    machine: ThirdParty,
    rng: FailingEntropy,
}

impl Third {
    fn new(modern: &Arc<dyn Suite>, suite: &Arc<dyn PublishedSuite>, strong: bool) -> Self {
        let historic = Historic::i_know_that_this_protects_nothing();
        let machine = ThirdParty::new(modern.clone(), Limits::default());
        let mut third = Self {
            machine: machine.with_published(historic, suite.clone(), strong),
            rng: FailingEntropy::new(SimRng::new(1)),
        };
        let info = LinkInfo { max_frame: 65_536, reliable: true, proven: true, shared: false, answers: None };
        let cx = &mut Cx::new(Instant::ORIGIN, &mut third.rng);
        third.machine.handle_link_opened(cx, LINK, info).unwrap();
        third
    }

    /// Gives it a question; what it wants to look up, or why not.
    fn ask(&mut self, frame: &[u8]) -> Result<(Ticket, Name, Name), Reason> {
        let cx = &mut Cx::new(Instant::ORIGIN, &mut self.rng);
        self.machine.handle_frame(cx, LINK, BytesMut::from(frame)).unwrap();
        match self.machine.poll_event() {
            Some(Event::LookupWanted { ticket, leader, member }) => Ok((ticket, leader, member)),
            Some(Event::Rejected { why, .. }) => Err(why),
            other => panic!("{other:?}"),
        }
    }

    fn answer(
        &mut self,
        ticket: Ticket,
        records: &Records,
    ) -> (Result<(), CommandError>, Option<Bytes>, Option<Event>) {
        let cx = &mut Cx::new(Instant::ORIGIN, &mut self.rng);
        let answered = self.machine.answer(cx, ticket, records);
        let frame = self.machine.poll_transmit(cx).map(|transmit| transmit.frame);
        (answered, frame, self.machine.poll_event())
    }
}

fn long_term(modern: &dyn Suite, seed: u64) -> Key<role::LongTerm> {
    Key::new(modern.fresh_secret(&mut Fixed(seed), 32).unwrap())
}

fn records(modern: &dyn Suite, disabled: bool) -> Records {
    Records {
        leader: Some(LeaderRecord { key: long_term(modern, 31) }),
        member: Some(MemberRecord { key: long_term(modern, 32), disabled }),
    }
}

fn refused(event: Option<Event>) -> Option<Reason> {
    match event? {
        Event::Rejected { why, .. } => Some(why),
        _ => None,
    }
}

fn published_key(suite: &dyn PublishedSuite, modern: &dyn Suite, seed: u64, of: NameRef<'_>) -> LongTerm {
    Key::new(suite.long_term(modern, long_term(modern, seed).secret(), of).unwrap())
}

#[test]
fn the_third_party_answers_as_published() {
    let modern: Arc<dyn Suite> = aes_128_gcm();
    for suite in suites() {
        for strong in [false, true] {
            let mut third = Third::new(&modern, &suite, strong);
            let i1 = number(&*suite, 1);
            let asked = question(header(&*suite), name(LEA), name(ADA), i1);
            let (ticket, leader, member) = third.ask(&asked).unwrap();
            assert_eq!((leader.as_str(), member.as_str()), (LEA, ADA));
            assert_eq!(third.ask(&asked), Err(Reason::Replayed), "while it is looked up");
            // What fails may be tried again.
            third.rng.arm(1);
            let (answered, none, _) = third.answer(ticket, &records(&*modern, false));
            assert_eq!((answered, none), (Err(Failure::Entropy.into()), None));
            let (answered, frame, event) = third.answer(ticket, &records(&*modern, false));
            assert_eq!(answered, Ok(()));
            assert!(matches!(event, Some(Event::Vouched { .. })));
            let lea = published_key(&*suite, &*modern, 31, name(LEA));
            let ada = published_key(&*suite, &*modern, 32, name(ADA));
            let answer = Answer::open(&*suite, &lea, strong, &frame.unwrap()).unwrap();
            let sigma = answer.pair_key(&*suite, &lea, name(LEA), name(ADA)).unwrap();
            let own = own_pair_key(&*suite, &ada, name(LEA), name(ADA)).unwrap();
            assert!(answer.i1 == i1 && sigma.secret().expose() == own.secret().expose());
            // X1: nothing shows who asks, and who is not known is met with silence.
            for records in [
                Records { leader: None, ..records(&*modern, false) },
                Records { member: None, ..records(&*modern, false) },
                records(&*modern, true),
            ] {
                let (ticket, ..) = third.ask(&asked).unwrap();
                let (answered, frame, event) = third.answer(ticket, &records);
                assert_eq!((answered, frame, refused(event)), (Ok(()), None, Some(Reason::Unknown)));
            }
            // Nobody asks about itself; nobody has a name that is none under this suite; nothing else is for it.
            let own = question(header(&*suite), name(LEA), name(LEA), i1);
            assert_eq!(third.ask(&own), Err(Reason::Violation));
            let long = question(header(&*suite), name(LEA), name("a-long-name"), i1);
            assert_eq!(third.ask(&long).is_err(), is_1999(&*suite));
            assert_eq!(third.ask(&wish(header(&*suite), name(ADA), i1)), Err(Reason::Misdirected));
            for length in 0..asked.len() {
                assert!(third.ask(&asked[..length]).is_err());
            }
        }
    }
}

/// D14: a longer number could have blocks of its own in the answer (X1).
#[test]
fn a_number_of_another_length_is_refused() {
    let modern: Arc<dyn Suite> = aes_128_gcm();
    for suite in suites() {
        let own = suite.sizes().nonce;
        let asked = |length| {
            let i1 = sodality::wire::field::Nonce::new(&vec![7; length]).unwrap();
            question(header(&*suite), name(LEA), name(ADA), i1)
        };
        for length in (8..=32).filter(|length| *length != own) {
            let mut third = Third::new(&modern, &suite, false);
            assert_eq!(third.ask(&asked(length)), Err(Reason::Malformed), "{length}");
            third.machine = third.machine.with_any_numbers();
            assert!(third.ask(&asked(length)).is_ok(), "{length}");
        }
        assert!(Third::new(&modern, &suite, false).ask(&asked(own)).is_ok());
    }
}

/// D3: a weak σ is no key. AN-T1 about it is met with silence, RA-T1m with "unknown".
#[test]
fn a_weak_pair_key_is_refused() {
    let modern: Arc<dyn Suite> = aes_128_gcm();
    let suite = des_md5_rsa();
    let (of_ada, leader) = weak(&*modern);
    let ada = Key::new(suite.long_term(&*modern, &of_ada, name(ADA)).unwrap());
    let lea = published_key(&*suite, &*modern, 31, leader.by_ref());
    let pair = Pair { leader_key: &lea, leader: leader.by_ref(), member_key: &ada, member: name(ADA) };
    assert_eq!(pair.key(&*suite).err(), Some(Reason::Violation));
    let i1 = number(&*suite, 1);
    for strong in [false, true] {
        let answer = pair.answer(&*suite, header(&*suite), &mut Fixed(2), i1, strong);
        assert_eq!(answer, Err(Reason::Violation));
    }
    let records = Records {
        leader: Some(LeaderRecord { key: long_term(&*modern, 31) }),
        member: Some(MemberRecord { key: Key::new(of_ada), disabled: false }),
    };
    let mut third = Third::new(&modern, &suite, false);
    let (ticket, ..) = third.ask(&question(header(&*suite), leader.by_ref(), name(ADA), i1)).unwrap();
    let (answered, frame, event) = third.answer(ticket, &records);
    assert_eq!((answered, frame, refused(event)), (Ok(()), None, Some(Reason::Violation)));
    let asked = bridged(&*modern, &*suite, &leader, 31, &wish(header(&*suite), name(ADA), i1));
    let (ticket, ..) = third.ask(&asked).unwrap();
    let (answered, frame, event) = third.answer(ticket, &records);
    assert_eq!(answered, Ok(()));
    assert_eq!(KeyAnswer::parse(&frame.unwrap()).unwrap().message.status, Status::Unknown);
    assert!(matches!(event, Some(Event::NotVouched { why: Refusal::Unknown, .. })));
}

/// RA-T1m of `leader`, whose long-term key has this seed.
fn bridged(modern: &dyn Suite, suite: &dyn PublishedSuite, leader: &Name, seed: u64, join: &[u8]) -> Vec<u8> {
    let keys = LeaderKeys::derive(modern, &long_term(modern, seed), leader.by_ref()).unwrap();
    let header = Header { system: System::Antigone, edition: Edition::Repaired, suite: modern.id() };
    let i1 = suite.fresh_nonce(&mut Fixed(5), modern.sizes().nonce).unwrap();
    let mut out = BytesMut::new();
    let sealed = BridgedRequest { leader: leader.by_ref(), i1, join: Blob(join) };
    sealed.put_tagged(header, &mut out, |covered| modern.mac(keys.request.secret(), &[covered])).unwrap();
    out.to_vec()
}

#[test]
fn the_bridged_question_is_answered_to_its_leader_alone() {
    let modern: Arc<dyn Suite> = aes_128_gcm();
    for suite in suites() {
        let mut third = Third::new(&modern, &suite, false);
        let lea = Name::new(LEA).unwrap();
        let join = wish(header(&*suite), name(ADA), number(&*suite, 1));
        let asked = bridged(&*modern, &*suite, &lea, 31, &join);
        let (ticket, leader, member) = third.ask(&asked).unwrap();
        assert_eq!((leader.as_str(), member.as_str()), (LEA, ADA));
        let (answered, frame, _) = third.answer(ticket, &records(&*modern, false));
        assert_eq!(answered, Ok(()));
        let frame = frame.unwrap();
        let parsed = KeyAnswer::parse(&frame).unwrap();
        assert_eq!(parsed.message.status, Status::Vouched);
        assert_eq!(parsed.text.len(), suite.sizes().key, "σ, sealed");
        // Of somebody who is no leader, or has not its key.
        for (asked, records, why) in [
            (bridged(&*modern, &*suite, &lea, 77, &join), records(&*modern, false), Reason::Forged),
            (asked.clone(), Records { leader: None, ..records(&*modern, false) }, Reason::Unknown),
        ] {
            let (ticket, ..) = third.ask(&asked).unwrap();
            let (answered, frame, event) = third.answer(ticket, &records);
            assert_eq!((answered, frame, refused(event)), (Ok(()), None, Some(why)));
        }
        // To its leader the third party says why not.
        for (records, status) in [
            (records(&*modern, true), Status::Disabled),
            (Records { member: None, ..records(&*modern, false) }, Status::Unknown),
        ] {
            let (ticket, ..) = third.ask(&asked).unwrap();
            let (_, frame, event) = third.answer(ticket, &records);
            assert_eq!(KeyAnswer::parse(&frame.unwrap()).unwrap().message.status, status);
            assert!(matches!(event, Some(Event::NotVouched { .. })));
        }
        for (at, changed) in turned(&asked) {
            let Ok((ticket, ..)) = third.ask(&changed) else { continue };
            let (_, frame, event) = third.answer(ticket, &records(&*modern, false));
            assert_eq!((frame, refused(event)), (None, Some(Reason::Forged)), "byte {at}");
        }
        // Something else inside.
        let inner = question(header(&*suite), name(LEA), name(ADA), number(&*suite, 1));
        assert_eq!(third.ask(&bridged(&*modern, &*suite, &lea, 31, &inner)), Err(Reason::Mismatch));
        assert_eq!(third.ask(&bridged(&*modern, &*suite, &lea, 31, b"join")), Err(Reason::Malformed));
    }
}
