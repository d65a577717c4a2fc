//! What things cost beside one another: suites, dynamic dispatch, rekeys of groups of several sizes, relayed frames.
//!
//! Prints times and ratios; the ratios are what to look at. Asserts nothing about them. For regressions counted in
//! instructions run it under a profiler of your choice.
//!
//! ```text
//! cargo bench --bench side_by_side                 # about a minute
//! cargo bench --bench side_by_side -- --quick      # only that it runs
//! ```
#![allow(clippy::unwrap_used, clippy::disallowed_types, clippy::indexing_slicing, missing_docs)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant as Clock};

use aes_gcm::Aes128Gcm;
use aes_gcm::aead::{AeadInOut, KeyInit};
use bytes::BytesMut;
use sodality::antigone::keys::{Facts, Issue};
use sodality::crypto::null::insecure_null;
use sodality::crypto::{Aead, BoxNumber, Purpose, Secret, Suite, aes_128_gcm, aes_256_gcm, chacha20_poly1305};
use sodality::endpoint::{Cx, Endpoint, Instant, Link};
use sodality::event::{Cause, Causes, Port};
use sodality::group::Pool;
use sodality::identity::{Epoch, Instance, MemberId, Version};
use sodality::policy::Policy;
use sodality::sim::{SimRng, Star, StarConfig, World};
use sodality::wire::antigone::Delta;
use sodality::wire::{Edition, Header, System};

const GROUP: Instance = Instance([1; 16]);

/// How long one of many calls of `work` takes: the best of several rounds.
fn time(quick: bool, mut work: impl FnMut()) -> Duration {
    let (rounds, round) = if quick { (1, Duration::ZERO) } else { (7, Duration::from_millis(100)) };
    let mut best = Duration::MAX;
    for _ in 0..rounds {
        let (start, mut calls) = (Clock::now(), 0u32);
        loop {
            work();
            calls += 1;
            if calls.is_multiple_of(8) && start.elapsed() >= round {
                break;
            }
        }
        best = best.min(start.elapsed() / calls);
    }
    best
}

/// Prints a row: a name, a time, and its ratio to the first.
fn row(name: &str, took: Duration, base: Duration) {
    println!("  {name:<36} {:>10.2} µs  × {:.2}", took.as_secs_f64() * 1e6, took.as_secs_f64() / base.as_secs_f64());
}

fn suites() -> [(&'static str, Arc<dyn Suite>); 4] {
    [
        ("no security", insecure_null()),
        ("AES-128-GCM", aes_128_gcm()),
        ("AES-256-GCM", aes_256_gcm()),
        ("ChaCha20-Poly1305", chacha20_poly1305()),
    ]
}

fn prepared(suite: &dyn Suite) -> Arc<dyn Aead> {
    let root = Secret::new(&[7; 32]);
    suite.aead(&suite.expand(&root, &[b"bench"], Purpose::Aead).unwrap()).unwrap()
}

/// One seal and one open of `length` bytes under each suite, and a signature and its check.
fn boxes(quick: bool) {
    for length in [64, 1_200, 16_384] {
        println!("seal and open {length} bytes");
        let mut base = None;
        for (name, suite) in suites() {
            let aead = prepared(&*suite);
            let mut text = vec![0; length];
            let mut counter = 0;
            let took = time(quick, || {
                counter += 1;
                let number = BoxNumber { domain: 0, counter };
                let tag = aead.seal(number, &[0; 64], &mut text).unwrap();
                aead.open(number, &[0; 64], black_box(&mut text), &tag).unwrap();
            });
            row(name, took, *base.get_or_insert(took));
        }
    }
    println!("sign and check 1200 bytes");
    let mut base = None;
    for (name, suite) in suites().into_iter().take(2) {
        let (secret, public) = suite.signing_pair(&mut SimRng::new(1)).unwrap();
        let took = time(quick, || {
            let signature = suite.sign(&secret, &[&[0; 1_200]]).unwrap();
            suite.verify(&public, &[&[0; 1_200]], black_box(&signature)).unwrap();
        });
        row(name, took, *base.get_or_insert(took));
    }
}

/// The same cipher, called through the contract and directly.
fn dispatch(quick: bool) {
    println!("seal 64 bytes with AES-128-GCM");
    let cipher = Aes128Gcm::new_from_slice(&[7; 16]).unwrap();
    let mut text = [0; 64];
    let mut counter = 0u64;
    let direct = time(quick, || {
        counter += 1;
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&counter.to_be_bytes());
        let tag = cipher.encrypt_inout_detached(&nonce.into(), &[0; 64], black_box(&mut text[..]).into()).unwrap();
        black_box(tag);
    });
    row("the crate's own type", direct, direct);
    let aead = prepared(&*aes_128_gcm());
    let through = time(quick, || {
        counter += 1;
        black_box(aead.seal(BoxNumber { domain: 0, counter }, &[0; 64], black_box(&mut text)).unwrap());
    });
    row("through `Arc<dyn Aead>`", through, direct);
}

/// A new key for so many members: drawing it, and a frame of its own for each, as over point-to-point links.
fn rekeys(quick: bool) {
    println!("rekey, AES-128-GCM, a frame for each member");
    let suite = aes_128_gcm();
    let header = Header { system: System::Antigone, edition: Edition::Repaired, suite: suite.id() };
    let channel = prepared(&*suite);
    let mut base = None;
    for members in [1u64, 10, 100, 1_000] {
        let (mut pool, mut rng, mut epoch) = (Pool::new(), SimRng::new(1), 0);
        let took = time(quick, || {
            epoch += 1;
            let digest = suite.hash(&[]).unwrap();
            let facts = Facts {
                epoch: Epoch(epoch),
                floor: Epoch(epoch),
                causes: Causes::of(Cause::Leave),
                view: Version(epoch),
                view_digest: digest,
                policy: Version(1),
                policy_digest: digest,
                delta: Delta::Hidden,
            };
            let issue = Issue::draw(&*suite, &mut rng, GROUP, facts).unwrap();
            for cid in 1..=members {
                let block = issue.block(header, GROUP, MemberId(cid), &*channel).unwrap();
                black_box(issue.frame(header, GROUP, &[block], &mut pool).unwrap());
            }
        });
        row(&format!("{members} members"), took, *base.get_or_insert(took));
    }
}

/// A message of 1000 bytes, from the member that seals it to the leader that checks and delivers it and hands it out once
/// for all others.
fn relays(quick: bool) {
    println!("send and relay 1000 bytes, AES-128-GCM");
    let mut base = None;
    for origin in [false, true] {
        for members in [2usize, 8, 32] {
            let policy = Policy { origin, ..Policy::default() };
            let mut world = World::new(1);
            world.trace_mut().keep(0);
            let config = StarConfig { policy, ..StarConfig::new(aes_128_gcm()) };
            let star = Star::add(&mut world, config, members).unwrap();
            star.join_all(&mut world, Duration::from_secs(60)).unwrap();
            world.run_for(Duration::from_secs(2)).unwrap();
            let mut leader = world.get(star.leader).unwrap().clone();
            let mut member = world.get(star.members[0]).unwrap().clone();
            let link: Link = world.links_between(star.leader, star.members[0])[0];
            let (now, mut rng, mut buffer) = (world.now(), SimRng::new(2), BytesMut::new());
            let took = time(quick, || {
                let frame = sealed(&mut member, now, &mut rng, &mut buffer);
                leader.handle_frame(&mut Cx::new(now, &mut rng), link, frame).unwrap();
                while leader.poll_event().is_some() {}
                while let Some(transmit) = leader.poll_transmit(&mut Cx::new(now, &mut rng)) {
                    black_box(transmit.to.links().count());
                }
            });
            let name = format!("{members} members{}", if origin { ", signed" } else { "" });
            row(&name, took, *base.get_or_insert(took));
        }
    }
}

fn sealed(member: &mut sodality::antigone::Member, now: Instant, rng: &mut SimRng, buffer: &mut BytesMut) -> BytesMut {
    member.send(&mut Cx::new(now, rng), Port::Application, &[0; 1_000]).unwrap();
    let transmit = member.poll_transmit(&mut Cx::new(now, rng)).unwrap();
    buffer.extend_from_slice(&transmit.frame);
    buffer.split()
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick" || argument == "--test");
    boxes(quick);
    dispatch(quick);
    rekeys(quick);
    relays(quick);
}
