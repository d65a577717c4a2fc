//! The channel alone: two ends and a bad network between them.

use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::*;
use crate::crypto::symbolic::symbolic;
use crate::crypto::{Secret, Suite};
use crate::wire::antigone::{End, Hello, LeaderBody, MemberBody, MemberRecord};
use crate::wire::field::VerifyingKey;
use crate::wire::{Edition, Header, System};

const RETRY: Retry =
    Retry { first: core::time::Duration::from_millis(500), ceiling: core::time::Duration::from_secs(8) };

fn at(millis: u64) -> Instant {
    Instant::from_micros(millis * 1000)
}

struct Ends {
    leader: Channel,
    member: Channel,
    pool: Pool,
    jitter: Jitter,
}

fn ends() -> Ends {
    let suite: Arc<dyn Suite> = symbolic().silent();
    let header = Header { system: System::Antigone, edition: Edition::Repaired, suite: suite.id() };
    let (group, cid) = (Instance([7; 16]), MemberId(3));
    let length = suite.expand(&Secret::new(&[1; 32]), &[], crate::crypto::Purpose::Aead).unwrap().len();
    let key = |byte: u8| suite.aead(&Secret::new(&alloc::vec![byte; length])).unwrap();
    let end = |side, seal, open| Channel::new(side, header, group, cid, seal, open, Probes::many(5), 16);
    Ends {
        leader: end(Side::Leader, key(1), key(2)),
        member: end(Side::Member, key(2), key(1)),
        pool: Pool::new(),
        jitter: Jitter::none(),
    }
}

/// A record with a text of its own: the channel does not look inside.
fn record(n: u8) -> Bytes {
    let key = VerifyingKey::new(&[n; 32]).unwrap();
    let mut out = BytesMut::new();
    MemberBody::Record(MemberRecord::Hello(Hello { origin_key: key })).put(&mut out);
    out.freeze()
}

impl Ends {
    fn end(&mut self, side: Side) -> (&mut Channel, &mut Pool, &mut Jitter) {
        let channel = if side == Side::Leader { &mut self.leader } else { &mut self.member };
        (channel, &mut self.pool, &mut self.jitter)
    }

    fn send(&mut self, side: Side, now: Instant, answer: bool) -> Bytes {
        let (channel, pool, jitter) = self.end(side);
        channel.advance(RETRY, now, jitter);
        channel.seal(pool, now, Standing::default(), answer, Carry::Due).unwrap()
    }

    /// Takes a frame in; gives what was heard and the text of a new record.
    fn take(&mut self, side: Side, frame: &Bytes) -> Result<(Heard, Option<Vec<u8>>), Refused> {
        let (channel, ..) = self.end(side);
        let mut frame = BytesMut::from(&frame[..]);
        let heard = channel.hear(&mut frame)?;
        let text = (heard.body == Body::Record).then(|| frame[heard.range.clone()].to_vec());
        channel.commit(&heard);
        Ok((heard, text))
    }
}

#[test]
fn a_record_goes_over_once_and_is_acknowledged() {
    let mut ends = ends();
    ends.member.queue(record(1));
    let first = ends.send(Side::Member, at(0), false);
    let (heard, text) = ends.take(Side::Leader, &first).unwrap();
    assert!(heard.answer, "a record asks for an answer");
    assert_eq!(text.unwrap(), record(1));
    // Repeated as the same text in another frame, and not accepted again.
    let again = ends.send(Side::Member, at(500), false);
    assert_ne!(again, first);
    let (_, text) = ends.take(Side::Leader, &again).unwrap();
    assert_eq!(text, None);
    let answer = ends.send(Side::Leader, at(501), false);
    let (heard, _) = ends.take(Side::Member, &answer).unwrap();
    assert!(heard.acknowledged && !heard.answer);
    assert!(ends.member.idle());
    assert_eq!(heard.evidence, Some(at(500)), "evidence counts from the time at which the echoed frame was sent");
}

#[test]
fn replays_and_overtaken_frames_are_dropped() {
    let mut ends = ends();
    let first = ends.send(Side::Member, at(0), true);
    let second = ends.send(Side::Member, at(1), true);
    ends.take(Side::Leader, &second).unwrap();
    for frame in [&first, &second] {
        assert_eq!(ends.take(Side::Leader, frame).unwrap_err(), Refused::Drop(Reason::Replayed));
    }
}

#[test]
fn a_frame_does_not_open_at_the_side_that_sealed_it() {
    let mut ends = ends();
    let frame = ends.send(Side::Member, at(0), true);
    // X6: as it is, it is for another role; with the type of the other direction it does not open.
    assert_eq!(ends.take(Side::Member, &frame).unwrap_err(), Refused::Drop(Reason::Forged));
    let mut turned = BytesMut::from(&frame[..]);
    turned[4] = LeaderFrame::INFO.code;
    assert_eq!(ends.member.hear(&mut turned).unwrap_err(), Refused::Drop(Reason::Forged));
}

#[test]
fn what_acknowledges_the_unsent_breaks_the_protocol() {
    let mut ends = ends();
    let status = |seen, ack, rseq| ChannelStatus {
        seen,
        ack,
        epoch: Epoch(0),
        view: Version(0),
        policy: Version(0),
        flags: Flags::default(),
        rseq,
    };
    let header = ends.leader.header;
    let craft = |ends: &Ends, status: ChannelStatus, body: &[u8]| {
        let mut out = BytesMut::new();
        let (group, cid) = (ends.leader.group, ends.leader.cid);
        let write = |out: &mut BytesMut| {
            status.put(out);
            out.extend_from_slice(body);
        };
        LeaderFrame { group, cid, n: 1 }
            .put_boxed(header, &mut out, write, |ad, text| {
                ends.leader.seal.seal(BoxNumber { domain: 0, counter: 1 }, ad, text)
            })
            .unwrap();
        out.freeze()
    };
    let record = record(1);
    let broken: [(ChannelStatus, &[u8]); 6] = [
        (status(1, 0, 0), &[0]),
        (status(0, 1, 0), &[0]),
        (status(0, 0, 2), &record),
        (status(0, 0, 0), &record),
        (status(0, 0, 0), &[9]),
        (status(0, 0, 0), &[]),
    ];
    for (status, body) in broken {
        let frame = craft(&ends, status, body);
        let before = crate::fingerprint::fingerprint_of(&ends.member, at(0));
        let mut bytes = BytesMut::from(&frame[..]);
        assert_eq!(ends.member.hear(&mut bytes).unwrap_err(), Refused::Violation, "{status:?}");
        assert_eq!(crate::fingerprint::fingerprint_of(&ends.member, at(0)), before);
    }
    // What only members say.
    let hears = ChannelStatus { flags: Flags { answer: false, hears: true }, ..status(0, 0, 1) };
    let frame = craft(&ends, hears, &record);
    assert_eq!(ends.member.hear(&mut BytesMut::from(&frame[..])).unwrap_err(), Refused::Violation);
    let sound = craft(&ends, status(0, 0, 1), &record);
    assert_eq!(ends.take(Side::Member, &sound).unwrap().1.unwrap(), record);
}

#[test]
fn an_end_overtakes_a_record() {
    let mut ends = ends();
    ends.leader.queue(record(1));
    ends.send(Side::Leader, at(0), false);
    let mut body = BytesMut::new();
    LeaderBody::End(End { reason: crate::event::EndReason::Closing, by: MemberId(0) }).put(&mut body);
    let (channel, pool, _) = ends.end(Side::Leader);
    let end = channel.seal(pool, at(1), Standing::default(), true, Carry::End(&body)).unwrap();
    assert_eq!(ends.take(Side::Member, &end).unwrap().0.body, Body::End);
}

#[test]
fn numbers_stop_before_they_wrap() {
    let mut ends = ends();
    ends.member.sent = LAST_NUMBER - 2;
    assert!(!ends.member.exhausted());
    ends.send(Side::Member, at(0), true);
    assert!(ends.member.exhausted(), "one number is kept for the end");
    ends.send(Side::Member, at(1), true);
    let (channel, pool, _) = ends.end(Side::Member);
    assert!(channel.seal(pool, at(2), Standing::default(), true, Carry::Due).is_err());
}

proptest! {
    #![proptest_config(crate::group::testing::fixed())]

    /// S4: what either side accepts is a prefix of what the other queued, in order, once each, whatever the network
    /// loses, repeats and reorders; and when it stops doing so, everything arrives.
    #[test]
    fn records_arrive_in_order_once(moves in proptest::collection::vec((0u8..6, any::<prop::sample::Index>()), 1..200)) {
        let mut ends = ends();
        let mut flying: Vec<(Side, Bytes)> = Vec::new();
        let mut queued = [0u8; 2];
        let mut accepted: [Vec<Vec<u8>>; 2] = [Vec::new(), Vec::new()];
        let index = |side| usize::from(side == Side::Member);
        let other = |side| if side == Side::Member { Side::Leader } else { Side::Member };
        let mut now = 0;
        for (what, which) in moves {
            now += 1;
            let side = if which.index(2) == 0 { Side::Leader } else { Side::Member };
            match what {
                0 => {
                    let (channel, ..) = ends.end(side);
                    if channel.has_room() {
                        queued[index(side)] += 1;
                        let record = record(queued[index(side)]);
                        ends.end(side).0.queue(record);
                    }
                }
                1 | 2 => {
                    let frame = ends.send(side, at(now), true);
                    flying.push((other(side), frame));
                }
                3 if !flying.is_empty() => drop(flying.swap_remove(which.index(flying.len()))),
                _ if !flying.is_empty() => {
                    // Delivered, and sometimes kept to be delivered again.
                    let (to, frame) = flying[which.index(flying.len())].clone();
                    if what == 5 {
                        flying.swap_remove(which.index(flying.len()));
                    }
                    match ends.take(to, &frame) {
                        Ok((_, text)) => accepted[index(to)].extend(text),
                        Err(refused) => prop_assert_eq!(refused, Refused::Drop(Reason::Replayed)),
                    }
                }
                _ => {}
            }
        }
        // The network is good from now on.
        for _ in 0..80 {
            for side in [Side::Leader, Side::Member] {
                now += 1;
                let frame = ends.send(side, at(now), true);
                let (_, text) = ends.take(other(side), &frame).unwrap();
                accepted[index(other(side))].extend(text);
            }
        }
        for side in [Side::Leader, Side::Member] {
            let sent: Vec<Vec<u8>> = (1..=queued[index(side)]).map(|n| record(n).to_vec()).collect();
            prop_assert_eq!(&accepted[index(other(side))], &sent);
        }
    }
}
