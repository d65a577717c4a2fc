//! What every way of authentication must do (feature `sim`).

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;

use super::{Account, Answered, Asked, Credential, Scene, Shown};
use crate::crypto::conformance::Failed;
use crate::crypto::faulty::Faulty;
use crate::crypto::{Suite, SuiteId};
use crate::endpoint::{Entropy, EntropyError};
use crate::error::Reason;
use crate::identity::Name;
use crate::wire::field::Nonce;
use crate::wire::{Edition, Header};

/// A user's credential and the leader's account of that user, which fit each other in `scene`.
#[derive(Debug)]
pub struct Pair<'a> {
    /// The user's.
    pub credential: &'a Credential,
    /// The leader's.
    pub account: &'a Account,
    /// Where. Its suite is replaced by the one that [`check`] takes.
    pub scene: Scene<'a>,
}

type Outcome = Result<(), String>;
type Check = (&'static str, fn(&Pair<'_>, &Arc<dyn Suite>, &mut dyn Entropy) -> Outcome);

const CHECKS: [Check; 6] = [
    ("agreement", agreement),
    ("altered bodies", altered),
    ("another scene", scenes),
    ("a replayed request", replayed),
    ("failing surroundings", failing),
    ("nothing is printed", printed),
];

/// Runs all checks of `pair` over `suite`, over which its keys were made.
///
/// # Errors
/// [`Failed`]: the first check that does not hold.
pub fn check(pair: &Pair<'_>, suite: &Arc<dyn Suite>, rng: &mut dyn Entropy) -> Result<(), Failed> {
    for (check, run) in CHECKS {
        run(pair, suite, rng).map_err(|found| Failed { check, found })?;
    }
    Ok(())
}

/// One whole exchange.
struct Login {
    n1: Nonce,
    n2: Nonce,
    request: Bytes,
    asked: Asked,
    answer: Bytes,
    answered: Answered,
    shown: Shown,
}

fn nonce(byte: u8) -> Result<Nonce, String> {
    Nonce::new(&[byte; 16]).ok_or_else(|| String::from("no number"))
}

fn login(pair: &Pair<'_>, suite: &dyn Suite, rng: &mut dyn Entropy) -> Result<Login, Reason> {
    let scene = Scene { suite, ..pair.scene };
    let (n1, n2) = (nonce(1).map_err(|_| Reason::Malformed)?, nonce(2).map_err(|_| Reason::Malformed)?);
    let (request, asked) = pair.credential.ask(&scene, &n1, rng)?;
    let (answer, answered) = pair.account.answer(&scene, &n1, &n2, &request, rng)?;
    let shown = asked.finish(&scene, &n2, &answer)?;
    Ok(Login { n1, n2, request, asked, answer, answered, shown })
}

fn done(pair: &Pair<'_>, suite: &Arc<dyn Suite>, rng: &mut dyn Entropy) -> Result<Login, String> {
    login(pair, &**suite, rng).map_err(|reason| format!("no login: {reason}"))
}

fn ensure(holds: bool, found: &str) -> Outcome {
    if holds { Ok(()) } else { Err(found.into()) }
}

fn agreement(pair: &Pair<'_>, suite: &Arc<dyn Suite>, rng: &mut dyn Entropy) -> Outcome {
    let one = done(pair, suite, rng)?;
    ensure(suite.same(one.shown.key.secret(), one.answered.key().secret()), "two keys")?;
    ensure(one.answered.confirm(&one.shown.proof).is_ok(), "the proof is refused")?;
    let mut longer = one.shown.proof.to_vec();
    longer.push(0);
    ensure(one.answered.confirm(&longer).is_err(), "a longer proof is taken")?;
    let other = done(pair, suite, rng)?;
    ensure(!suite.same(one.shown.key.secret(), other.shown.key.secret()), "one key twice")
}

fn altered(pair: &Pair<'_>, suite: &Arc<dyn Suite>, rng: &mut dyn Entropy) -> Outcome {
    let scene = Scene { suite: &**suite, ..pair.scene };
    let one = done(pair, suite, rng)?;
    for body in variants(&one.request) {
        let answered = pair.account.answer(&scene, &one.n1, &one.n2, &body, rng);
        ensure(harmless(&scene, &one, &one.n2, answered), "an altered request gives a session")?;
    }
    for body in variants(&one.answer) {
        ensure(one.asked.finish(&scene, &one.n2, &body).is_err(), "an altered answer is taken")?;
    }
    Ok(())
}

/// What is not the user's request is refused, or (OPAQUE, whose first message nothing protects) its answer is of no use to the
/// user and gives the leader another key.
fn harmless(user: &Scene<'_>, one: &Login, n2: &Nonce, answered: Result<(Bytes, Answered), Reason>) -> bool {
    answered.map_or(true, |(answer, answered)| {
        let same = user.suite.same(answered.key().secret(), one.shown.key.secret());
        !same && one.asked.finish(user, n2, &answer).is_err()
    })
}

/// Each byte altered in its lowest and in its highest bit, each beginning, and one byte more.
fn variants(body: &[u8]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for at in 0..body.len() {
        for mask in [1, 0x80] {
            let mut altered = body.to_vec();
            altered.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= mask);
            out.push(altered);
        }
        out.push(body.iter().take(at).copied().collect());
    }
    out.push(body.iter().copied().chain([0]).collect());
    out
}

fn scenes(pair: &Pair<'_>, suite: &Arc<dyn Suite>, rng: &mut dyn Entropy) -> Outcome {
    let scene = Scene { suite: &**suite, ..pair.scene };
    let one = done(pair, suite, rng)?;
    let other = Name::new("somebody else").map_err(|error| format!("{error}"))?;
    let other = other.by_ref();
    let edition = Header { edition: Edition::AsPublished, ..scene.header };
    let number = Header { suite: SuiteId(0x7F), ..scene.header };
    let others = [
        ("application", Scene { app: other, ..scene }),
        ("leader", Scene { leader: other, ..scene }),
        ("user", Scene { member: other, ..scene }),
        ("edition", Scene { header: edition, ..scene }),
        ("suite", Scene { header: number, ..scene }),
    ];
    for (what, scene) in others {
        let answered = pair.account.answer(&scene, &one.n1, &one.n2, &one.request, rng);
        let harmless = harmless(&Scene { suite: &**suite, ..pair.scene }, &one, &one.n2, answered);
        ensure(harmless, &format!("a request of another {what} gives a session"))?;
        let finished = one.asked.finish(&scene, &one.n2, &one.answer);
        ensure(finished.is_err(), &format!("an answer of another {what} is taken"))?;
    }
    let n3 = nonce(3)?;
    let answered = pair.account.answer(&scene, &n3, &one.n2, &one.request, rng);
    ensure(harmless(&scene, &one, &one.n2, answered), "another N1 gives a session")?;
    ensure(one.asked.finish(&scene, &n3, &one.answer).is_err(), "another N2 is taken")?;
    let again = done(pair, suite, rng)?;
    // Without shares a request is made of N1 alone, so that the same N1 gives the same request.
    let same = one.request == again.request;
    let taken = one.asked.finish(&scene, &one.n2, &again.answer).is_ok();
    ensure(same || !taken, "the answer to another request is taken")
}

fn replayed(pair: &Pair<'_>, suite: &Arc<dyn Suite>, rng: &mut dyn Entropy) -> Outcome {
    let scene = Scene { suite: &**suite, ..pair.scene };
    let one = done(pair, suite, rng)?;
    // With the same N2 even: what is fresh is the leader's own.
    let Ok((_, replayed)) = pair.account.answer(&scene, &one.n1, &one.n2, &one.request, rng) else { return Ok(()) };
    ensure(!suite.same(replayed.key().secret(), one.shown.key.secret()), "a replay gives the key of the first session")
}

fn failing(pair: &Pair<'_>, suite: &Arc<dyn Suite>, rng: &mut dyn Entropy) -> Outcome {
    let faulty = Faulty::new(suite.clone());
    let shared = faulty.suite();
    done(pair, &shared, rng)?;
    let calls = faulty.calls();
    for k in 1..=calls {
        faulty.fail_at(k);
        let failed = login(pair, &*shared, rng).err();
        ensure(
            failed == Some(Reason::Suite),
            &format!("call {k} of {calls} fails, and the login ends with {failed:?}"),
        )?;
    }
    faulty.disarm();
    let mut source = Failing { inner: rng, left: 0, draws: 0 };
    done(pair, suite, &mut source)?;
    let draws = source.draws;
    ensure(draws > 0, "no randomness is drawn")?;
    for k in 1..=draws {
        source.left = k;
        let failed = login(pair, &**suite, &mut source).err();
        ensure(
            failed == Some(Reason::Entropy),
            &format!("draw {k} of {draws} fails, and the login ends with {failed:?}"),
        )?;
    }
    Ok(())
}

/// Fails at one draw.
struct Failing<'a> {
    inner: &'a mut dyn Entropy,
    left: usize,
    draws: usize,
}

impl Entropy for Failing<'_> {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        self.draws += 1;
        let last = self.left == 1;
        self.left = self.left.saturating_sub(1);
        if last { Err(EntropyError) } else { self.inner.fill(out) }
    }
}

fn printed(pair: &Pair<'_>, suite: &Arc<dyn Suite>, rng: &mut dyn Entropy) -> Outcome {
    let one = done(pair, suite, rng)?;
    let texts = [format!("{:?}{:?}", one.answered, one.shown), format!("{:?}{:?}", pair.credential, pair.account)];
    let key = one.shown.key.secret().expose();
    let hex: String = key.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let list: Vec<String> = key.iter().take(4).map(|byte| format!("{byte}")).collect();
    let list = list.join(", ");
    for text in texts {
        ensure(!text.contains(&hex) && !text.contains(&list), "a session key is printed")?;
        ensure(text.contains("(..)"), "a key is printed otherwise than as a key")?;
    }
    Ok(())
}
