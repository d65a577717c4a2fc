//! Leave and eject, published edition (report §2.2.4): AN-L, and AN-E of the same form.
//!
//! **Guarantees.** σ shows who speaks, and g that it does not speak of another group key; the same request can be played
//! again while g lasts (A13). The inner box is redundant (A14): it is written and checked as printed.

use bytes::{Bytes, BytesMut};

use crate::antigone::keys::published::GroupKey;
use crate::crypto::Key;
use crate::crypto::keys::role;
use crate::crypto::published::PublishedSuite;
use crate::crypto::published::sealing::{decrypt, encrypt};
use crate::endpoint::Entropy;
use crate::error::Reason;
use crate::identity::{Name, NameRef};
use crate::wire::published::{Removal, RemovalText, Sealed, TargetText};
use crate::wire::{Field, Header, Message};

/// AN-L if `target` is `member`, else AN-E.
///
/// # Errors
/// [`Reason::Entropy`], [`Reason::Suite`].
pub fn removal(
    suite: &dyn PublishedSuite,
    header: Header,
    rng: &mut dyn Entropy,
    key: &GroupKey,
    from: (NameRef<'_>, &Key<role::Pair>),
    target: NameRef<'_>,
) -> Result<Bytes, Reason> {
    let (member, sigma) = from;
    let group = key.group.wire();
    let inner = encrypt(suite, rng, key.key.secret(), &TargetText { group, target })?;
    let text = RemovalText { group, member, inner: Sealed::new(&inner) };
    let sealed = encrypt(suite, rng, sigma.secret(), &text)?;
    let mut out = BytesMut::with_capacity(sealed.len() + 64);
    Removal { member, sealed: Sealed::new(&sealed) }.put_open(header, &mut out);
    Ok(out.freeze())
}

/// Reads AN-L or AN-E of `from`: under σ, of the group key in use in both boxes, and of the member that it names in front.
/// Gives who is to go: compare it with the speaker, for nothing else tells the two messages apart.
///
/// # Errors
/// [`Reason::Forged`]; [`Reason::OldEpoch`] for another g.
pub fn open_removal(
    suite: &dyn PublishedSuite,
    key: &GroupKey,
    from: (NameRef<'_>, &Key<role::Pair>),
    frame: &[u8],
) -> Result<Name, Reason> {
    let (member, sigma) = from;
    let removal = Removal::parse(frame).map_err(|_| Reason::Malformed)?.message;
    let text = decrypt(suite, sigma.secret(), removal.sealed.bytes)?;
    let text = RemovalText::decode(&text).map_err(|_| Reason::Forged)?;
    if text.member != member {
        return Err(Reason::Forged);
    }
    if !key.group.is(&text.group) {
        return Err(Reason::OldEpoch);
    }
    let inner = decrypt(suite, key.key.secret(), text.inner.bytes)?;
    let inner = TargetText::decode(&inner).map_err(|_| Reason::Forged)?;
    if key.group.is(&inner.group) { Ok(inner.target.to_name()) } else { Err(Reason::OldEpoch) }
}
