//! The third party and its exchange, each transition.

use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use super::exchange::{Question, Verdict};
use super::schedule::{LeaderKeys, MemberKeys};
use super::*;
use crate::crypto::keys::role;
use crate::crypto::symbolic::symbolic;
use crate::crypto::{Key, Secret, Suite};
use crate::endpoint::{Cx, Endpoint, EntropyError, Instant, Link, LinkInfo};
use crate::error::{CommandError, Misuse, Reason};
use crate::event::{Event, Refusal, Ticket};
use crate::group::Limits;
use crate::identity::NameRef;
use crate::wire::antigone::{JoinRequest, KeyRequest};
use crate::wire::field::{Blob, Nonce, Share};
use crate::wire::{Edition, Header, Message as _, System};

struct NoEntropy;

impl crate::endpoint::Entropy for NoEntropy {
    fn fill(&mut self, _: &mut [u8]) -> Result<(), EntropyError> {
        // The third party draws nothing (I-3).
        Err(EntropyError)
    }
}

const LINK: Link = Link(1);

struct Desk {
    suite: Arc<dyn Suite>,
    third_party: ThirdParty,
    now: Instant,
}

fn key(suite: &dyn Suite, byte: u8) -> Key<role::LongTerm> {
    Key::new(Secret::new(&alloc::vec![byte; suite.sizes().long_term]))
}

fn name(text: &'static str) -> NameRef<'static> {
    NameRef::new(text).unwrap()
}

impl Desk {
    fn new(limits: Limits) -> Self {
        let suite = symbolic().silent();
        let mut third_party = ThirdParty::new(suite.clone(), limits);
        let mut rng = NoEntropy;
        let mut cx = Cx::new(Instant::ORIGIN, &mut rng);
        third_party.handle_link_opened(&mut cx, LINK, LinkInfo::stream(65_536)).unwrap();
        Self { suite, third_party, now: Instant::ORIGIN }
    }

    fn header(&self) -> Header {
        Header { system: System::Antigone, edition: Edition::Repaired, suite: self.suite.id() }
    }

    fn leader_keys(&self, byte: u8) -> LeaderKeys {
        LeaderKeys::derive(&*self.suite, &key(&*self.suite, byte), name("lea")).unwrap()
    }

    fn nonce(&self, byte: u8) -> Nonce {
        Nonce::new(&alloc::vec![byte; self.suite.sizes().nonce]).unwrap()
    }

    fn join(&self, member: &'static str, byte: u8) -> Bytes {
        let keys = MemberKeys::derive(&*self.suite, &key(&*self.suite, byte), name(member)).unwrap();
        let request = JoinRequest {
            app: name("app"),
            leader: name("lea"),
            member: name(member),
            i0: self.nonce(1),
            share: Share::NONE,
        };
        let mut out = BytesMut::new();
        request.put_tagged(self.header(), &mut out, |covered| self.suite.mac(keys.tag.secret(), &[covered])).unwrap();
        out.freeze()
    }

    fn question(&self, i1: u8, join: &[u8]) -> Question {
        Question::new(&*self.suite, self.header(), &self.leader_keys(9), self.nonce(i1), join).unwrap()
    }

    fn feed(&mut self, frame: &[u8]) -> Vec<Event> {
        let mut rng = NoEntropy;
        let mut cx = Cx::new(self.now, &mut rng);
        self.third_party.handle_frame(&mut cx, LINK, BytesMut::from(frame)).unwrap();
        core::iter::from_fn(|| self.third_party.poll_event()).collect()
    }

    fn records(&self, member: Option<(u8, bool)>) -> Records {
        let member = member.map(|(byte, disabled)| MemberRecord { key: key(&*self.suite, byte), disabled });
        Records { leader: Some(LeaderRecord { key: key(&*self.suite, 9) }), member }
    }

    /// Feeds a question, answers the look-up, and gives the reply and what was told.
    fn ask(&mut self, frame: &[u8], records: &Records) -> (Option<Bytes>, Vec<Event>) {
        let events = self.feed(frame);
        let [Event::LookupWanted { ticket, .. }] = events[..] else { return (None, events) };
        let mut rng = NoEntropy;
        let mut cx = Cx::new(self.now, &mut rng);
        self.third_party.answer(&mut cx, ticket, records).unwrap();
        let reply = self.third_party.poll_transmit(&mut cx).map(|transmit| transmit.frame);
        (reply, core::iter::from_fn(|| self.third_party.poll_event()).collect())
    }

    fn read(&self, question: &Question, reply: &[u8]) -> Result<Verdict, Reason> {
        question.read_answer(&*self.suite, &self.leader_keys(9), crate::group::Checks::ALL, &mut BytesMut::from(reply))
    }
}

#[test]
fn it_vouches_for_a_member_that_asked_itself() {
    let mut desk = Desk::new(Limits::default());
    let join = desk.join("ann", 5);
    let question = desk.question(2, &join);
    let records = desk.records(Some((5, false)));
    let (reply, events) = desk.ask(&question.frame, &records);
    assert!(matches!(&events[..], [Event::Vouched { leader, member }]
        if leader.as_str() == "lea" && member.as_str() == "ann"));
    let reply = reply.unwrap();
    let Ok(Verdict::Vouched(session)) = desk.read(&question, &reply) else { panic!("not vouched") };
    // The member computes the same key.
    let keys = MemberKeys::derive(&*desk.suite, &key(&*desk.suite, 5), name("ann")).unwrap();
    let same = keys.session_key(&*desk.suite, &question.digest).unwrap();
    assert!(desk.suite.same(session.secret(), same.secret()));
    // A repeated question gets the same bytes: no state, no randomness, no number used twice (I-3).
    assert_eq!(desk.ask(&question.frame, &records).0.unwrap(), reply);
}

#[test]
fn what_concerns_the_member_is_told_to_the_leader() {
    for (record, refusal) in
        [(None, Refusal::Unknown), (Some((6, false)), Refusal::BadTag), (Some((5, true)), Refusal::Disabled)]
    {
        let mut desk = Desk::new(Limits::default());
        let join = desk.join("ann", 5);
        let question = desk.question(2, &join);
        let (reply, _) = desk.ask(&question.frame, &desk.records(record));
        let reply = reply.unwrap();
        assert!(matches!(desk.read(&question, &reply), Ok(Verdict::Refused(why)) if why == refusal), "{refusal:?}");
        // I-3: a no is sealed under another key than a yes, so that its status cannot be turned.
        let (yes, _) = desk.ask(&question.frame, &desk.records(Some((5, false))));
        let yes = yes.unwrap();
        for (frame, status) in [(&reply, 0u8), (&yes, 1)] {
            let mut turned = BytesMut::from(&frame[..]);
            let at = 5 + 2 + desk.suite.sizes().nonce;
            turned[at] = status;
            assert_eq!(desk.read(&question, &turned).unwrap_err(), Reason::Forged);
        }
    }
}

#[test]
fn silence_for_whoever_is_no_leader() {
    let mut desk = Desk::new(Limits::default());
    let join = desk.join("ann", 5);
    let question = desk.question(2, &join);
    let none = Records { leader: None, member: None };
    let (reply, events) = desk.ask(&question.frame, &none);
    assert_eq!(
        (reply, events),
        (None, alloc::vec![Event::Rejected { link: LINK, why: Reason::Unknown, claims: None }])
    );
    // Another's tag.
    let mut wrong = desk.records(Some((5, false)));
    wrong.leader = Some(LeaderRecord { key: key(&*desk.suite, 8) });
    let (reply, events) = desk.ask(&question.frame, &wrong);
    assert_eq!((reply, events), (None, alloc::vec![Event::Rejected { link: LINK, why: Reason::Forged, claims: None }]));
}

#[test]
fn a_link_is_known_once_a_leader_was_answered_on_it() {
    let mut desk = Desk::new(Limits::default());
    let join = desk.join("ann", 5);
    let question = desk.question(2, &join);
    assert!(!desk.third_party.knows(LINK));
    desk.feed(b"nonsense");
    desk.ask(&question.frame, &Records { leader: None, member: None });
    let mut wrong = desk.records(Some((5, false)));
    wrong.leader = Some(LeaderRecord { key: key(&*desk.suite, 8) });
    desk.ask(&question.frame, &wrong);
    assert!(!desk.third_party.knows(LINK), "who was met with silence is a stranger");
    let records = desk.records(None);
    assert!(desk.ask(&question.frame, &records).0.is_some());
    assert!(desk.third_party.knows(LINK), "also if the member is refused");
    let mut rng = NoEntropy;
    desk.third_party.handle_link_closed(&mut Cx::new(desk.now, &mut rng), LINK).unwrap();
    assert!(!desk.third_party.knows(LINK));
}

#[test]
fn a_swapped_name_is_found() {
    // A4: the attacker puts its own request into the leader's question. The tag no longer fits; and an answer to a
    // question of its own does not open as an answer to the leader's.
    let mut desk = Desk::new(Limits::default());
    let (join, other) = (desk.join("ann", 5), desk.join("bob", 6));
    let question = desk.question(2, &join);
    let tag = KeyRequest::parse(&question.frame).unwrap().tag;
    let mut swapped = BytesMut::new();
    KeyRequest { i1: question.i1, join: Blob(&other) }
        .put_tagged(desk.header(), &mut swapped, |_| Ok::<_, CommandError>(tag))
        .unwrap();
    let (reply, events) = desk.ask(&swapped, &desk.records(Some((6, false))));
    assert_eq!((reply, events), (None, alloc::vec![Event::Rejected { link: LINK, why: Reason::Forged, claims: None }]));
    let foreign = desk.question(2, &other);
    let (reply, _) = desk.ask(&foreign.frame, &desk.records(Some((6, false))));
    assert_eq!(desk.read(&question, &reply.unwrap()).unwrap_err(), Reason::Forged);
}

#[test]
fn look_ups_are_bounded_and_expire() {
    let limits = Limits { lookups: 8, lookups_per_link: 4, ..Limits::default() };
    let mut desk = Desk::new(limits);
    let join = desk.join("ann", 5);
    for i1 in 0..4 {
        assert!(matches!(desk.feed(&desk.question(i1, &join).frame)[..], [Event::LookupWanted { .. }]));
    }
    assert_eq!(
        desk.feed(&desk.question(3, &join).frame)[..],
        [Event::Rejected { link: LINK, why: Reason::Budget, claims: None }]
    );
    assert_eq!(
        desk.feed(&desk.question(9, &join).frame)[..],
        [Event::Rejected { link: LINK, why: Reason::Budget, claims: None }]
    );
    assert_eq!(desk.third_party.open_lookups(), 4);
    desk.now = desk.now + core::time::Duration::from_secs(11);
    let mut rng = NoEntropy;
    let mut cx = Cx::new(desk.now, &mut rng);
    desk.third_party.handle_timeout(&mut cx).unwrap();
    assert_eq!(desk.third_party.open_lookups(), 0);
    let late = desk.third_party.answer(&mut cx, Ticket(1), &Records::default());
    assert_eq!(late, Err(CommandError::Misuse(Misuse::NoTicket)));
}

#[test]
fn a_look_up_keeps_its_question_and_not_the_read_buffer() {
    let mut desk = Desk::new(Limits::default());
    let question = desk.question(1, &desk.join("ada", 1)).frame;
    // A driver splits frames off a block of 64 KiB.
    let mut block = BytesMut::with_capacity(1 << 16);
    block.extend_from_slice(&question);
    let (frame, mut rng) = (block.split(), NoEntropy);
    desk.third_party.handle_frame(&mut Cx::new(desk.now, &mut rng), LINK, frame).unwrap();
    assert_eq!(desk.third_party.open_lookups(), 1);
    assert!(block.try_reclaim(1 << 16), "nobody else holds the block");
}

#[test]
fn a_frame_longer_than_its_link_allows_is_refused() {
    let mut desk = Desk::new(Limits::default());
    let question = desk.question(1, &desk.join("ada", 1)).frame;
    let mut rng = NoEntropy;
    let info = LinkInfo::stream(question.len() - 1);
    desk.third_party.handle_link_opened(&mut Cx::new(desk.now, &mut rng), LINK, info).unwrap();
    assert_eq!(desk.feed(&question), [Event::Rejected { link: LINK, why: Reason::Oversize, claims: None }]);
}

#[test]
fn the_budget_of_a_leader_is_counted_once_it_is_known() {
    let mut desk = Desk::new(Limits { requests_per_second: 3, ..Limits::default() });
    let join = desk.join("ann", 5);
    // What is not authentic costs the leader nothing.
    for i1 in 10..30 {
        let mut wrong = desk.records(Some((5, false)));
        wrong.leader = Some(LeaderRecord { key: key(&*desk.suite, 8) });
        desk.ask(&desk.question(i1, &join).frame.clone(), &wrong);
    }
    let answered = (0..10).filter(|i1| {
        let frame = desk.question(*i1, &join).frame;
        let records = desk.records(Some((5, false)));
        desk.ask(&frame, &records).0.is_some()
    });
    assert_eq!(answered.count(), 3);
}

#[test]
fn nonsense_is_refused_with_its_reason() {
    let mut desk = Desk::new(Limits::default());
    let join = desk.join("ann", 5);
    let frame = desk.question(2, &join).frame;
    let mut other_suite = BytesMut::from(&frame[..]);
    other_suite[3] ^= 1;
    let mut inner = BytesMut::from(&frame[..]);
    let at = frame.len() - desk.suite.sizes().mac - 2 - join.len();
    inner[at + 3] ^= 1;
    let selfish = desk.join("lea", 9);
    let cases: [(Vec<u8>, Reason); 5] = [
        (Vec::new(), Reason::Malformed),
        (join.to_vec(), Reason::Misdirected),
        (other_suite.to_vec(), Reason::Mismatch),
        (inner.to_vec(), Reason::Mismatch),
        (desk.question(2, &selfish).frame.to_vec(), Reason::Violation),
    ];
    for (frame, why) in cases {
        assert_eq!(desk.feed(&frame)[..], [Event::Rejected { link: LINK, why, claims: None }], "{why:?}");
    }
    assert_eq!(desk.third_party.open_lookups(), 0);
}
