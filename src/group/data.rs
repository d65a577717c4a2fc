//! Messages to the group as both repaired systems send them (RA §5, EN-R9): a key for each sender, a window, a signature where
//! the policy demands one.

use alloc::sync::Arc;

use bytes::{Buf, BytesMut};

use crate::crypto::keys::role;
use crate::crypto::{BoxNumber, Key, Purpose, Suite, SuiteError};
use crate::endpoint::Instant;
use crate::error::{CommandError, DecodeError, Misuse, Reason};
use crate::event::{Message, Port, Sender};
use crate::group::checks::{Check, Checks};
use crate::group::keyring::{EpochKeys, KeyRing, Mark, Rules};
use crate::group::private::{port_code, port_of};
use crate::group::sealer::{SealLimits, Sealer};
use crate::group::view::View;
use crate::identity::{Epoch, Instance, MemberId, Name};
use crate::wire::antigone::{Content, Data, Kind};
use crate::wire::field::{MaybeName, Rest, Signature, VerifyingKey};
use crate::wire::frame::{HEADER_BYTES, MAX_TEXT, split_frame};
use crate::wire::{Field, Header, Message as _};

const DATA: &[u8] = b"sodality ra 1 data";
const ORIGIN: &[u8] = b"sodality ra 1 origin";

/// Bytes of a frame that are neither payload nor of a length that depends on suite or names: header, group, epoch,
/// sender, counter, kind, length of label, length of text, length of signature, port, length of tag.
const FIXED: usize = HEADER_BYTES + 16 + 8 + 8 + 8 + 1 + 1 + 4 + 2 + 1 + 2;

/// The data key of one sender: `d[cid, kind]` (RA §2).
///
/// # Errors
/// [`SuiteError`].
pub fn data_key(
    suite: &dyn Suite,
    base: &Key<role::DataBase>,
    kind: Kind,
    cid: MemberId,
) -> Result<Key<role::DataKey>, SuiteError> {
    let info: [&[u8]; 3] = [DATA, &[kind as u8], &cid.0.to_be_bytes()];
    suite.expand(base.secret(), &info, Purpose::Aead).map(Key::new)
}

/// What a sender says the same in each of its frames.
#[derive(Debug, Clone)]
pub struct Sending {
    /// The suite of data.
    pub suite: Arc<dyn Suite>,
    /// The header of data.
    pub header: Header,
    /// The group instance.
    pub group: Instance,
    /// The own number.
    pub cid: MemberId,
    /// The own name, where the policy shows no views.
    pub label: Option<Name>,
    /// The own private origin key, where the policy demands signatures.
    pub origin: Option<Key<role::Signing>>,
}

fingerprint!(Sending { group, cid, label, origin } skip { suite, header });

impl Sending {
    /// The own sealer for an epoch: one for each epoch, ever (R16).
    ///
    /// # Errors
    /// [`SuiteError`].
    pub fn sealer(
        &self,
        epoch: Epoch,
        base: &Key<role::DataBase>,
        kind: Kind,
        limits: SealLimits,
        valid_until: Instant,
    ) -> Result<Sealer, SuiteError> {
        let aead = match kind {
            Kind::Clear => None,
            _ => Some(self.suite.aead(data_key(&*self.suite, base, kind, self.cid)?.secret())?),
        };
        Ok(Sealer::new(epoch, self.cid, kind, aead, limits, valid_until))
    }

    /// How much longer than its payload a frame is, in bytes.
    pub fn overhead(&self, kind: Kind) -> usize {
        let sizes = self.suite.sizes();
        let label = self.label.as_ref().map_or(0, |name| name.as_str().len());
        let signature = if self.origin.is_some() { sizes.signature } else { 0 };
        let tag = if kind == Kind::Clear { 0 } else { sizes.aead_tag };
        FIXED + label + signature + tag
    }

    /// The longest payload that fits a frame of `frame_limit` bytes.
    pub fn max_message(&self, kind: Kind, frame_limit: usize) -> usize {
        let text = 3 + if self.origin.is_some() { self.suite.sizes().signature } else { 0 };
        frame_limit.saturating_sub(self.overhead(kind)).min(MAX_TEXT - text)
    }

    /// Appends the frame that says `payload`: signed if there is an origin key, then sealed in place. Allocates nothing
    /// if `out` has room for [`Self::overhead`] and the payload. Nothing is appended if it fails.
    ///
    /// # Errors
    /// [`Misuse::NotCurrent`], [`Misuse::KeyExhausted`] as [`Sealer::ready`]; [`Misuse::TooLong`] above what any frame
    /// holds; [`CommandError::Failure`].
    pub fn seal(
        &self,
        sealer: &mut Sealer,
        now: Instant,
        port: Port,
        payload: &[u8],
        out: &mut BytesMut,
    ) -> Result<(), CommandError> {
        if payload.len() > self.max_message(sealer.kind(), usize::MAX) {
            return Err(Misuse::TooLong.into());
        }
        // The sealer says whose it is: another's numbers under this name would open for nobody.
        let clear = Data {
            group: self.group,
            epoch: sealer.epoch(),
            cid: sealer.cid(),
            counter: sealer.ready(now, payload.len())?,
            kind: sealer.kind(),
            label: MaybeName(self.label.as_ref().map(Name::by_ref)),
        };
        let port = port_code(port);
        let write = |out: &mut BytesMut, clear: core::ops::Range<usize>| {
            let origin = match &self.origin {
                Some(key) => {
                    let covered = out.get(clear).unwrap_or_default();
                    self.suite.sign(key.secret(), &[ORIGIN, covered, &[port], payload])?
                }
                None => Signature::NONE,
            };
            Content { origin, port, payload: Rest(payload) }.put(out);
            Ok(())
        };
        let kind = sealer.kind();
        clear.put_boxed_whole(self.header, out, write, |frame, clear, text| {
            let (ad, text) = match kind {
                Kind::Clear | Kind::Integrity => (&*frame, &mut [][..]),
                Kind::Confidentiality | Kind::Both => split_frame(frame, clear, &text),
            };
            sealer.seal(now, payload.len(), ad, text)
        })?;
        Ok(())
    }
}

/// A sealer that has been moved out of its machine, with all it needs: the data plane on its own.
#[derive(Debug)]
pub struct DataSealer {
    sending: Sending,
    sealer: Sealer,
}

impl DataSealer {
    /// The two parts together.
    pub fn new(sending: Sending, sealer: Sealer) -> Self {
        Self { sending, sealer }
    }

    /// Appends the frame that says `payload`: see [`Sending::seal`].
    ///
    /// # Errors
    /// As [`Sending::seal`].
    pub fn seal(&mut self, now: Instant, port: Port, payload: &[u8], out: &mut BytesMut) -> Result<(), CommandError> {
        self.sending.seal(&mut self.sealer, now, port, payload, out)
    }

    /// How much longer than its payload a frame is, in bytes.
    pub fn overhead(&self) -> usize {
        self.sending.overhead(self.sealer.kind())
    }

    /// The sealer: its epoch, its counters, its lease.
    pub fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    /// Renews the lease, by what the machine says is the end of its evidence.
    pub fn extend(&mut self, until: Instant) {
        self.sealer.extend(until);
    }
}

/// Who may send, as far as the receiver knows.
#[derive(Clone, Copy, Debug)]
pub enum Members<'a> {
    /// The policy shows no views: whoever has the key.
    Hidden,
    /// Those in the view, the leader among them.
    View(&'a View),
}

impl Members<'_> {
    /// The origin key of `cid`, empty if it has none.
    fn origin_key(self, cid: MemberId) -> Result<VerifyingKey, Reason> {
        match self {
            Self::Hidden => Ok(VerifyingKey::NONE),
            Self::View(view) => view.get(cid).map(|entry| entry.origin_key).ok_or(Reason::NotMember),
        }
    }
}

/// What a receiver, or a relay, knows when a frame comes.
#[derive(Clone, Copy, Debug)]
pub struct Receiving<'a> {
    /// The suite of data.
    pub suite: &'a dyn Suite,
    /// The header of data.
    pub header: Header,
    /// The group instance.
    pub group: Instance,
    /// The own number: what it sent itself is an echo.
    pub own: MemberId,
    /// Who may send.
    pub members: Members<'a>,
    /// Whether the own key is known to be current (S8); a leader's always is.
    pub current: bool,
}

/// A frame that has passed all but the signature: steps (0) to (4) of RA §5.
#[derive(Debug)]
pub struct Checked {
    frame: BytesMut,
    clear: usize,
    text: core::ops::Range<usize>,
    mark: Option<Mark>,
    epoch: Epoch,
    cid: MemberId,
    rules: Rules,
    labelled: bool,
    viewed: bool,
    key: VerifyingKey,
    checks: Checks,
}

impl Receiving<'_> {
    /// Checks a frame and delivers it: RA §5, steps (0) to (6). Opens in place; allocates nothing but for the first frame
    /// of a sender in an epoch.
    ///
    /// # Errors
    /// [`Reason`], in the order of the steps; nothing has changed then.
    pub fn open(&self, ring: &mut KeyRing, frame: BytesMut, now: Instant) -> Result<Message, Reason> {
        let mut checked = self.check(ring, frame, now)?;
        let mark = checked.mark.take();
        let message = checked.deliver(self.suite)?;
        if let Some(mark) = mark {
            ring.mark(mark);
        }
        Ok(message)
    }

    /// Steps (0) to (4): what a relay checks before it forwards a frame. It opens in place, so a relay keeps a copy of
    /// the ciphertext. Then [`Checked::relayed`] and [`KeyRing::mark`]; one that is a member too calls
    /// [`Checked::deliver`] besides.
    ///
    /// # Errors
    /// [`Reason::Mismatch`], [`Reason::Misdirected`], [`Reason::Malformed`], [`Reason::OtherGroup`];
    /// (0) [`Reason::Echo`]; (1) [`Reason::NotCurrent`], what [`KeyRing::opening`] says, [`Reason::Protection`]; (2) [`Reason::NotMember`]; (3) [`Reason::Replayed`]; (4) [`Reason::Forged`],
    /// [`Reason::Budget`], [`Reason::Suite`].
    pub fn check(&self, ring: &KeyRing, mut frame: BytesMut, now: Instant) -> Result<Checked, Reason> {
        match self.header.code_of(&frame) {
            Ok(code) if code == Data::INFO.code => {}
            Ok(_) => return Err(Reason::Misdirected),
            Err(DecodeError::Header) => return Err(Reason::Mismatch),
            Err(_) => return Err(Reason::Malformed),
        }
        let parsed = Data::parse(&frame).map_err(|_| Reason::Malformed)?;
        let Data { group, epoch, cid, counter, kind, label } = parsed.message;
        let labelled = label.0.is_some();
        let (clear, text, tag) = (parsed.clear, parsed.text, parsed.tag);
        if group != self.group {
            return Err(Reason::OtherGroup);
        }
        if cid == self.own {
            return Err(Reason::Echo);
        }
        if !self.current {
            return Err(Reason::NotCurrent);
        }
        let keys = ring.opening(epoch, now)?;
        let checks = ring.checks();
        if kind != keys.rules.kind && checks.on(Check::DataKind) {
            return Err(Reason::Protection);
        }
        let key = match self.members.origin_key(cid) {
            Err(_) if !checks.on(Check::DataSender) => VerifyingKey::NONE,
            key => key?,
        };
        let viewed = matches!(self.members, Members::View(_));
        let mark = if kind == Kind::Clear {
            if !tag.is_empty() {
                return Err(Reason::Malformed);
            }
            None
        } else {
            if checks.on(Check::DataNumber) {
                keys.check(cid, counter)?;
            }
            ring.admits(keys, cid)?;
            let aead = self.aead(keys, cid)?;
            let number = BoxNumber { domain: 0, counter };
            let opened = match kind {
                Kind::Clear | Kind::Integrity => {
                    aead.open(number, frame.get(..text.end).unwrap_or_default(), &mut [], &tag)
                }
                Kind::Confidentiality | Kind::Both => {
                    let (ad, text) = split_frame(&mut frame, clear, &text);
                    aead.open(number, ad, text, &tag)
                }
            };
            if opened.is_err() && checks.on(Check::DataBox) {
                opened?;
            }
            Some(Mark { epoch, sender: cid, counter, aead })
        };
        Ok(Checked { frame, clear, text, mark, epoch, cid, rules: keys.rules, labelled, viewed, key, checks })
    }

    /// The prepared key of a sender: the one kept, or one made for its first frame and kept only if that verifies.
    fn aead(&self, keys: &EpochKeys, cid: MemberId) -> Result<Arc<dyn crate::crypto::Aead>, SuiteError> {
        match keys.opener(cid) {
            Some(aead) => Ok(aead.clone()),
            None => self.suite.aead(data_key(self.suite, &keys.base, keys.rules.kind, cid)?.secret()),
        }
    }
}

impl Checked {
    /// Who sent it, as far as a relay knows.
    pub fn cid(&self) -> MemberId {
        self.cid
    }

    /// Whether nothing protects it: then the link it came over is all there is.
    pub fn is_clear(&self) -> bool {
        self.rules.kind == Kind::Clear
    }

    /// What the frame uses up, to be committed by a relay that forwards it; none for [`Kind::Clear`], which a relay
    /// forwards from the link of that live member only.
    pub fn relayed(&mut self) -> Option<Mark> {
        self.mark.take()
    }

    /// Step (5), and the message: its payload is a part of the frame.
    ///
    /// # Errors
    /// [`Reason::Protection`]: a signature where the policy has none, or none where it has one. [`Reason::Violation`]: a
    /// label beside a view, or an unknown port. [`Reason::Forged`], [`Reason::Malformed`], [`Reason::Suite`].
    pub fn deliver(mut self, suite: &dyn Suite) -> Result<Message, Reason> {
        let text = self.frame.get(self.text.clone()).unwrap_or_default();
        let content = Content::decode(text).map_err(|_| Reason::Malformed)?;
        let signs = self.checks.on(Check::DataOrigin);
        if content.origin.is_empty() == self.rules.origin && signs {
            return Err(Reason::Protection);
        }
        if self.labelled && self.viewed {
            return Err(Reason::Violation);
        }
        let port = port_of(content.port)?;
        if self.rules.origin && signs {
            let covered = self.frame.get(..self.clear).unwrap_or_default();
            if self.key.is_empty() {
                return Err(Reason::Forged);
            }
            suite.verify(&self.key, &[ORIGIN, covered, &[content.port], content.payload.0], &content.origin)?;
        }
        let from = match self.rules {
            Rules { kind: Kind::Clear, .. } => Sender::Unauthenticated(self.cid),
            Rules { origin: true, .. } => Sender::Signed(self.cid),
            Rules { origin: false, .. } => Sender::AnyMember(self.cid),
        };
        let length = content.payload.0.len();
        self.frame.truncate(self.text.end);
        self.frame.advance(self.text.end - length);
        Ok(Message { from, epoch: self.epoch, port, payload: self.frame.freeze() })
    }
}

#[cfg(test)]
#[cfg(feature = "rustcrypto")]
#[path = "data_tests.rs"]
mod tests;
