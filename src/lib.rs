//! Secure groups as pure state machines.
//!
//! A leader admits members, gives them a shared key, changes that key as people come and go, and relays what they say,
//! over a network that anybody may read, drop, replay or rewrite. In [`antigone`] a third party vouches for who is who, in
//! [`enclaves`] the leader knows its users. This crate holds the protocols and nothing else: it opens no socket, reads no clock, draws no randomness and starts no thread. It is
//! `no_std` and forbids `unsafe`.
//!
//! For whom: those who embed secure groups in a networking stack of their own; those who drive the machines from property
//! tests, fuzzers or model checkers; those who study group protocols. Who wants a transport ready made takes
//! `sodality-transports`, which drives these machines.
//!
//! What is implemented, and what is only specified so far, stands in one place: the table in
//! `docs/specification/README.md`. The crate has had no outside review.
//!
//! # The contract
//!
//! A [`Leader`](antigone::Leader), a [`Member`](antigone::Member) and a [`ThirdParty`](ttp::ThirdParty) are each an
//! [`Endpoint`](endpoint::Endpoint), with four families of methods:
//!
//! | family | methods | rule |
//! |---|---|---|
//! | input | `handle_link_opened`, `handle_link_closed`, `handle_frame`, `handle_timeout` | what is hostile or stale is an event, not an error; an `Err` is a bug of this crate |
//! | commands | inherent: `join`, `send`, `leave`, `rekey`, `admit`, … | refused before any change, or carried out |
//! | output | `poll_transmit`, `poll_event`, `poll_timeout` | drain the first two after each input, then ask the third |
//! | view | all that takes `&self` | changes nothing |
//!
//! Each input and command brings a [`Cx`](endpoint::Cx): the time, in microseconds since an origin of your choice, and a
//! source of randomness that may fail. The same calls with the same context give the same bytes on every target.
//!
//! # The loop
//!
//! Any order of calls is correct and spurious calls are harmless, so one loop drives every machine. Here a member tries to
//! join a leader whom nobody can reach, on a clock that jumps:
//!
#![cfg_attr(feature = "rustcrypto", doc = "```")]
#![cfg_attr(not(feature = "rustcrypto"), doc = "```ignore")]
//! use std::time::Duration;
//! # use getrandom::SysRng;
//! use sodality::antigone::{Member, MemberConfig};
//! # use sodality::crypto::{Key, chacha20_poly1305};
//! use sodality::endpoint::{Cx, Endpoint, Instant, Link, LinkInfo, Wake};
//! use sodality::event::{Event, JoinFailure};
//! # use sodality::group::Limits;
//! # use sodality::identity::Name;
//! # use sodality::policy::Floor;
//!
//! # let suite = chacha20_poly1305();
//! # let key = Key::new(suite.fresh_secret(&mut SysRng, suite.sizes().long_term)?);
//! # let (app, leader, name) = (Name::new("chess")?, Name::new("lea")?, Name::new("ada")?);
//! # let limits = Limits { join_time: Duration::from_secs(15), ..Limits::default() };
//! # let config = MemberConfig { suite, app, leader, name, key, floor: Floor::none(), limits };
//! let mut now = Instant::ORIGIN;
//! let mut member = Member::new(config)?;
//! member.join(&mut Cx::new(now, &mut SysRng))?;
//! let (mut frames, mut verdict) = (0, None);
//! while verdict.is_none() {
//!     // 1. Drain: all that the last input caused is there now.
//!     while let Some(transmit) = member.poll_transmit(&mut Cx::new(now, &mut SysRng)) {
//!         // Send `transmit.frame` to each of `transmit.to.links()`. Under pressure, drop what is `Class::Data` first.
//!         frames += transmit.to.links().count();
//!     }
//!     while let Some(event) = member.poll_event() {
//!         match event {
//!             // Connect, make up a number for the link, and say which wish it answers.
//!             Event::LinkWanted { ticket, .. } => {
//!                 let info = LinkInfo { answers: Some(ticket), ..LinkInfo::stream(65_536) };
//!                 member.handle_link_opened(&mut Cx::new(now, &mut SysRng), Link(1), info)?;
//!             }
//!             Event::JoinFailed(why) => verdict = Some(why),
//!             other => println!("{other:?}"),
//!         }
//!     }
//!     // 2. Wait for a frame, a command or the deadline, whichever is first. Nobody sends frames here; one that did come
//!     //    would go to `member.handle_frame(&mut cx, link, frame)?`, stamped with the time of its receipt.
//!     match member.poll_timeout() {
//!         Wake::Now(_) => {}
//!         Wake::At(at, _why) => now = now.max(at),
//!         Wake::OnInput => break,
//!     }
//!     // 3. The deadline has come. Too early or too late would do no harm.
//!     member.handle_timeout(&mut Cx::new(now, &mut SysRng))?;
//! }
//! assert_eq!(verdict, Some(JoinFailure::Timeout));
//! assert!(frames > 1, "the request is repeated, at a falling pace");
//! assert_eq!(now.since(Instant::ORIGIN), Duration::from_secs(15));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A whole group, with a third party and a leader, is driven by the same loop in `examples/drive_it_yourself.rs`. For tests
//! of your own, `sim` does it over a bad network.
//!
//! # Features
//!
//! Additive; none changes behaviour or security.
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `std` | yes | the standard library: tables that make signatures and exchanges faster |
//! | `rustcrypto` | yes | suites on the RustCrypto and dalek crates |
//! | `sim` | no | the test kit: simulator, adversary, checkers, symbolic and recording suites, state digests, machines that can be cloned |
//! | `proptest` | no | proptest strategies for every message |
//! | `argon2` | no | keys from passwords, for Enclaves |
//! | `opaque` | no | users of Enclaves by passwords that their leader never sees (OPAQUE, RFC 9807); brings `argon2` along |
//! | `historic` | no | Antigone as published in 1999, its suite, and every mix of the editions; Enclaves 1.0 and 2.0: for study, they protect nothing |
//! | `toml` | no | policies as TOML files; needs `std` |
//! | `insecure-null` | no | a suite without security, for fuzzing and for measuring everything else |
//!
//! # Where things are
//!
//! | module | what it holds |
//! |---|---|
//! | [`endpoint`] | the contract between a machine and its driver |
//! | [`event`], [`error`] | what happened; what was refused, and why |
//! | [`explain`] | a stable code for each reason, whether it is expected, and what to do |
//! | [`identity`] | names, group instances, member numbers, epochs, versions |
//! | [`policy`] | what a leader chooses, and what a member insists on |
//! | [`antigone`] | leader and member, and each micro-protocol on its own |
//! | [`enclaves`] | leader and member, private words, and the ways to know a user; `version_1` and `version_2` as published (feature `historic`) |
//! | [`ttp`] | the third party and its exchange with a leader (Antigone) |
//! | [`transfer`] | objects (files, states) over messages |
//! | [`objects`] | shared objects with access rights |
//! | [`group`] | what groups are made of: key ring, view, windows, sealer, channel, limits |
//! | [`crypto`] | the contract of a suite, keys by role, and the suites |
//! | [`wire`] | bytes ⇄ messages, each declared once |
//! | `sim` | the test kit (feature `sim`) |
//! | `fingerprint` | digests of states (feature `sim`) |
//!
//! Ids in comments, such as RA §4.4, S8, D23, A11 or R25, name sections and table rows under `docs/specification` of the
//! repository. `docs/architecture.md` says what each part knows and why.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

#[cfg(any(test, feature = "sim"))]
#[macro_use]
pub mod fingerprint;
#[cfg(not(any(test, feature = "sim")))]
macro_rules! fingerprint {
    ($($anything:tt)*) => {};
}

pub mod antigone;
pub mod crypto;
pub mod enclaves;
pub mod endpoint;
pub mod error;
pub mod event;
pub mod explain;
pub mod group;
pub mod identity;
pub mod objects;
pub mod policy;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
pub mod transfer;
pub mod ttp;
pub mod wire;

/// The examples of the README compile and run.
#[cfg(all(doctest, feature = "rustcrypto"))]
#[doc = include_str!("../README.md")]
struct Readme;
