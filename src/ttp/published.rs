//! Third-party exchange, published edition (report §2.2.1): AN-T1, AN-T2 and AN-T2s.
//!
//! **Goal.** The leader learns σ = `{SL}_{K_A}`, which A computes by itself, and nobody else does.
//!
//! **Assumes.** Both long-term keys are with the third party; the cipher hides and ties together what it encrypts.
//!
//! **Guarantees.** The number I1 shows that the answer is fresh. AN-T2 does not say whom it is about: whoever replaces the
//! name in AN-T1 makes the leader compute a wrong key (A4); AN-T2s does. σ never changes (A5). Nothing shows who asks: the
//! third party encrypts for everybody (X1).

use bytes::{Bytes, BytesMut};

use crate::crypto::keys::role;
use crate::crypto::published::PublishedSuite;
use crate::crypto::{FreshError, Key, Secret};
use crate::endpoint::Entropy;
use crate::error::{Failure, Reason};
use crate::identity::NameRef;
use crate::wire::field::{Blob, Field, Nonce};
use crate::wire::published::{PairAnswer, PairRequest, PairText, Sealed, StrongAnswer, StrongText};
use crate::wire::{Header, Message};

fn failed(error: FreshError) -> Reason {
    Failure::from(error).into()
}

/// AN-T1.
pub fn question(header: Header, leader: NameRef<'_>, member: NameRef<'_>, i1: Nonce) -> Bytes {
    let mut out = BytesMut::with_capacity(64);
    PairRequest { leader, member, i1 }.put_open(header, &mut out);
    out.freeze()
}

/// σ as its member computes it: `{SL}_{K_A}`.
///
/// # Errors
/// [`Failure::Suite`].
pub fn own_pair_key(
    suite: &dyn PublishedSuite,
    key: &Key<role::PublishedLongTerm>,
    leader: NameRef<'_>,
    member: NameRef<'_>,
) -> Result<Key<role::Pair>, Failure> {
    Ok(Key::new(suite.name_under(key.secret(), leader, member)?))
}

/// What the third party's answer holds.
#[derive(Debug)]
pub struct Answer {
    /// The leader's number, by which it finds its question.
    pub i1: Nonce,
    held: Held,
}

#[derive(Debug)]
enum Held {
    Pair(Secret),
    Strong(Secret, crate::identity::Name),
}

impl Answer {
    /// Opens AN-T2 or, with `strong`, AN-T2s.
    ///
    /// # Errors
    /// [`Reason::Malformed`], [`Reason::Forged`], [`Reason::Suite`].
    pub fn open(
        suite: &dyn PublishedSuite,
        key: &Key<role::PublishedLongTerm>,
        strong: bool,
        frame: &[u8],
    ) -> Result<Self, Reason> {
        if strong {
            let sealed = StrongAnswer::parse(frame).map_err(|_| Reason::Malformed)?.message.sealed;
            let text = suite.decrypt(key.secret(), sealed.bytes)?;
            let text = StrongText::decode(&text).map_err(|_| Reason::Forged)?;
            let held = Held::Strong(Secret::new(text.key.0), text.member.to_name());
            return Ok(Self { i1: text.i1, held });
        }
        let sealed = PairAnswer::parse(frame).map_err(|_| Reason::Malformed)?.message.sealed;
        let text = suite.decrypt(key.secret(), sealed.bytes)?;
        let text = PairText::decode(&text).map_err(|_| Reason::Forged)?;
        Ok(Self { i1: text.i1, held: Held::Pair(Secret::new(text.pair.0)) })
    }

    /// σ for the member that the leader asked about: `π ⊕ {A}_{K_SL}`, whoever π is about (A4); or what AN-T2s says, if it
    /// is about that member.
    ///
    /// # Errors
    /// [`Reason::Forged`] if AN-T2s is about another; [`Reason::Suite`].
    pub fn pair_key(
        &self,
        suite: &dyn PublishedSuite,
        key: &Key<role::PublishedLongTerm>,
        leader: NameRef<'_>,
        member: NameRef<'_>,
    ) -> Result<Key<role::Pair>, Reason> {
        match &self.held {
            Held::Pair(pair) => {
                let own = suite.name_under(key.secret(), member, leader)?;
                Ok(Key::new(suite.xor(pair, &own)?))
            }
            Held::Strong(sigma, of) if of.by_ref() == member => Ok(Key::new(sigma.clone())),
            Held::Strong(..) => Err(Reason::Forged),
        }
    }
}

/// Whom the third party answers about, and to whom, with the keys of both.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// The leader's key.
    pub leader_key: &'a Key<role::PublishedLongTerm>,
    /// The leader.
    pub leader: NameRef<'a>,
    /// The member's key.
    pub member_key: &'a Key<role::PublishedLongTerm>,
    /// The member.
    pub member: NameRef<'a>,
}

impl Pair<'_> {
    /// σ, as the third party computes it. A weak one is refused (D3).
    ///
    /// # Errors
    /// [`Reason::Violation`] for a weak key; [`Reason::Suite`].
    pub fn key(&self, suite: &dyn PublishedSuite) -> Result<Secret, Reason> {
        let sigma = suite.name_under(self.member_key.secret(), self.leader, self.member)?;
        if suite.is_weak(&sigma) { Err(Reason::Violation) } else { Ok(sigma) }
    }

    /// AN-T2 or, with `strong`, AN-T2s.
    ///
    /// # Errors
    /// [`Reason::Violation`] for a weak σ; [`Reason::Entropy`], [`Reason::Suite`].
    pub fn answer(
        &self,
        suite: &dyn PublishedSuite,
        header: Header,
        rng: &mut dyn Entropy,
        i1: Nonce,
        strong: bool,
    ) -> Result<Bytes, Reason> {
        let sigma = self.key(suite)?;
        let (mut text, mut sealed) = (BytesMut::with_capacity(512), BytesMut::with_capacity(512));
        let mut out = BytesMut::with_capacity(192);
        if strong {
            StrongText { key: Blob(sigma.expose()), member: self.member, i1 }.put(&mut text);
        } else {
            let other = suite.name_under(self.leader_key.secret(), self.member, self.leader)?;
            let pair = suite.xor(&other, &sigma)?;
            PairText { pair: Blob(pair.expose()), i1 }.put(&mut text);
        }
        let encrypted = suite.encrypt(rng, self.leader_key.secret(), &text, &mut sealed);
        drop(Secret::take(&mut text));
        encrypted.map_err(failed)?;
        if strong {
            StrongAnswer { sealed: Sealed::new(&sealed) }.put_open(header, &mut out);
        } else {
            PairAnswer { sealed: Sealed::new(&sealed) }.put_open(header, &mut out);
        }
        Ok(out.freeze())
    }
}
