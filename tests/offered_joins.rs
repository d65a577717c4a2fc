//! What a join costs a leader once it is offered a place: with the longest names, under each suite, and with the longest hint
//! in the policy (R2). `tests/flood.rs` measures those that never get so far.
#![allow(unsafe_code, missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/heap.rs"]
mod heap;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use sodality::antigone::{Access, Leader, LeaderConfig, Member, MemberConfig};
use sodality::crypto::{Suite, aes_128_gcm, aes_256_gcm, chacha20_poly1305};
use sodality::endpoint::{Cx, Endpoint, Instant, Link, LinkInfo, LinkTicket};
use sodality::event::Event;
use sodality::group::Limits;
use sodality::identity::Name;
use sodality::policy::{Floor, Policy};
use sodality::sim::SimRng;
use sodality::sim::star::long_term_key;
use sodality::ttp::{LeaderRecord, MemberRecord, Records, ThirdParty};

/// As many as the third party may be asked about at once, and below what may pend.
const JOINS: u64 = 900;
const WARM: u64 = 20;
const THIRD_PARTY: Link = Link(7);

fn ticket(machine: &mut dyn Endpoint) -> Option<LinkTicket> {
    std::iter::from_fn(|| machine.poll_event()).fold(None, |found, event| match event {
        Event::LinkWanted { ticket, .. } => Some(ticket),
        _ => found,
    })
}

/// Names of that length, which end in a number.
fn named(length: usize, letter: &str, number: u64) -> Name {
    let tail = format!("{number:06}");
    Name::new(&format!("{}{tail}", letter.repeat(length - tail.len()))).unwrap()
}

/// The bytes that one offered join costs, on average.
fn cost(suite: &Arc<dyn Suite>, length: usize) -> usize {
    let limits = Limits { requests_per_second: 1_000_000, ..Limits::default() };
    let (app, leads, now) = (named(length, "a", 0), named(length, "l", 0), Instant::from_micros(1_000_000));
    let (info, mut rng) = (LinkInfo::stream(65_536), SimRng::new(1));
    let key = |name: &Name| long_term_key(&**suite, name.as_str());
    let policy = Policy { hint: Bytes::from_static(&[b'h'; 64]), ..Policy::default() };
    let config = LeaderConfig {
        suite: suite.clone(),
        app: app.clone(),
        name: leads.clone(),
        key: key(&leads),
        policy,
        access: Access::Registered,
        limits,
    };
    let mut cx = Cx::new(now, &mut rng);
    let mut leader = Leader::open(config, &mut cx).unwrap();
    let mut third_party = ThirdParty::new(suite.clone(), limits);
    third_party.handle_link_opened(&mut cx, Link(9), info).unwrap();
    let requests: Vec<Bytes> = (0..JOINS)
        .map(|n| {
            let name = named(length, "m", n);
            let config = MemberConfig {
                suite: suite.clone(),
                app: app.clone(),
                leader: leads.clone(),
                key: key(&name),
                name,
                floor: Floor::none(),
                limits,
            };
            let mut member = Member::new(config).unwrap();
            member.join(&mut cx).unwrap();
            let answers = ticket(&mut member);
            member.handle_link_opened(&mut cx, Link(1), LinkInfo { answers, ..info }).unwrap();
            member.handle_timeout(&mut cx).unwrap();
            Bytes::copy_from_slice(&member.poll_transmit(&mut cx).unwrap().frame)
        })
        .collect();
    // The first makes the leader wish for the third party.
    for n in 0..JOINS {
        leader.handle_link_opened(&mut cx, Link(100 + n), info).unwrap();
    }
    leader.handle_frame(&mut cx, Link(100), BytesMut::from(&requests[0][..])).unwrap();
    let answers = ticket(&mut leader);
    assert!(answers.is_some());
    leader.handle_link_opened(&mut cx, THIRD_PARTY, LinkInfo { answers, ..info }).unwrap();
    leader.handle_timeout(&mut cx).unwrap();
    let mut before = 0;
    for n in 0..JOINS {
        if n == WARM {
            // Pools and queues have their size by now.
            before = heap::live();
        }
        if n > 0 {
            leader.handle_frame(&mut cx, Link(100 + n), BytesMut::from(&requests[n as usize][..])).unwrap();
        }
        while let Some(transmit) = leader.poll_transmit(&mut cx) {
            if !transmit.to.links().any(|link| link == THIRD_PARTY) {
                continue;
            }
            third_party.handle_frame(&mut cx, Link(9), BytesMut::from(&transmit.frame[..])).unwrap();
            while let Some(event) = third_party.poll_event() {
                if let Event::LookupWanted { ticket, leader, member } = event {
                    let records = Records {
                        leader: Some(LeaderRecord { key: key(&leader) }),
                        member: Some(MemberRecord { key: key(&member), disabled: false }),
                    };
                    third_party.answer(&mut cx, ticket, &records).unwrap();
                }
            }
            while let Some(answer) = third_party.poll_transmit(&mut cx) {
                leader.handle_frame(&mut cx, THIRD_PARTY, BytesMut::from(&answer.frame[..])).unwrap();
            }
        }
        while leader.poll_event().is_some() {}
    }
    let held = heap::held_since(before);
    assert_eq!(leader.pending_joins() as u64, JOINS);
    for n in [0, JOINS - 1] {
        assert_eq!(leader.label_of_name(&named(length, "m", n)), "offered");
    }
    held / (JOINS - WARM) as usize
}

#[test]
fn an_offered_join_costs_no_more_than_is_stated() {
    for suite in [aes_128_gcm(), aes_256_gcm(), chacha20_poly1305()] {
        for length in [8, 255] {
            let bytes = cost(&suite, length);
            println!("{:?}, names of {length} bytes: {bytes} bytes for each offered join", suite.id());
            assert!(bytes <= Limits::PENDING_BYTES, "{bytes}");
            assert!(bytes > 1_500, "something is measured: {bytes}");
        }
    }
}
