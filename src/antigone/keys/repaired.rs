//! Key distribution, repaired edition: how an issue travels. No state beyond the issue itself.

use bytes::{Bytes, BytesMut};

use crate::crypto::{Aead, BoxNumber, Key, Secret, Suite};
use crate::error::{Failure, Reason};
use crate::group::issue::{Issue, KeyBlock};
use crate::group::outbox::Pool;
use crate::group::{Check, Checks};
use crate::identity::{Epoch, INSTANCE_BYTES, Instance, MemberId};
use crate::wire::antigone::{Block, Rekey};
use crate::wire::field::{Digest, Field, List, Nested, SealedKey};
use crate::wire::frame::HEADER_BYTES;
use crate::wire::{Header, Message};

/// Key blocks under a channel key are numbered by their epoch in this domain; frames of the channel are in domain 0
/// (RA §2).
const BLOCK_DOMAIN: u32 = 1;

impl Issue {
    /// The block of one member, under the leader's key to it. Repeats are identical.
    ///
    /// # Errors
    /// [`Failure::Suite`].
    pub fn block(&self, header: Header, group: Instance, cid: MemberId, seal: &dyn Aead) -> Result<Block, Failure> {
        let mut text = [0; SealedKey::MAX];
        let key = self.key().expose();
        let text = text.get_mut(..key.len()).ok_or(Failure::Suite)?;
        text.copy_from_slice(key);
        let number = BoxNumber { domain: BLOCK_DOMAIN, counter: self.epoch().0 };
        // On failure the contents are undefined, and never used; on success they are sealed.
        let tag = match seal.seal(number, &associated(header, group, self.epoch(), self.digest(), cid), text) {
            Ok(tag) => tag,
            Err(error) => {
                drop(Secret::take(text));
                return Err(error.into());
            }
        };
        Ok(Block { cid, key: SealedKey::new(text).ok_or(Failure::Suite)?, tag })
    }

    /// A frame with these blocks, by rising member number. It stands alone.
    ///
    /// # Errors
    /// [`Failure::Suite`] only if the facts do not decode, which drawing them excludes.
    pub fn frame(&self, header: Header, group: Instance, blocks: &[Block], pool: &mut Pool) -> Result<Bytes, Failure> {
        let common = Nested::new(self.common()).map_err(|_| Failure::Suite)?;
        let rekey = Rekey { group, common, blocks: List::of(blocks) };
        pool.compose(self.common().len() + 128 * blocks.len() + 128, |out| {
            rekey.put_open(header, out);
            Ok(())
        })
    }
}

/// Opens a member's block: RA §4.4, "A on RA-R", steps (1) to (3). `installed` is the member's epoch, 0 for none.
///
/// # Errors
/// [`Reason::Unknown`]: another group, or no block for this member. [`Reason::Replayed`]: not newer than what is
/// installed. [`Reason::Forged`], [`Reason::Malformed`], [`Reason::Suite`].
pub fn open(
    header: Header,
    suite: &dyn Suite,
    group: Instance,
    cid: MemberId,
    installed: Epoch,
    key: &dyn Aead,
    frame: &[u8],
) -> Result<KeyBlock, Reason> {
    open_with(Checks::ALL, header, suite, group, cid, installed, key, frame)
}

/// As [`open`], with these checks: all of them, but in a simulation.
///
/// # Errors
/// As [`open`].
#[allow(clippy::too_many_arguments)]
pub(crate) fn open_with(
    checks: Checks,
    header: Header,
    suite: &dyn Suite,
    group: Instance,
    cid: MemberId,
    installed: Epoch,
    key: &dyn Aead,
    frame: &[u8],
) -> Result<KeyBlock, Reason> {
    let rekey = Rekey::parse(frame).map_err(|_| Reason::Malformed)?.message;
    if rekey.group != group {
        return Err(Reason::Unknown);
    }
    let block = rekey.blocks.iter().find(|block| block.cid == cid).ok_or(Reason::Unknown)?;
    let facts = rekey.common.value;
    if facts.epoch <= installed {
        return Err(Reason::Replayed);
    }
    let digest = suite.hash(&[rekey.common.bytes.0])?;
    let mut text = [0; SealedKey::MAX];
    let sealed = block.key.as_bytes();
    let text = text.get_mut(..sealed.len()).ok_or(Reason::Malformed)?;
    text.copy_from_slice(sealed);
    let number = BoxNumber { domain: BLOCK_DOMAIN, counter: facts.epoch.0 };
    let opened = key.open(number, &associated(header, group, facts.epoch, &digest, cid), text, &block.tag);
    key.scrub();
    if opened.is_err() && checks.on(Check::BlockBox) {
        opened?;
    }
    if facts.floor > facts.epoch {
        return Err(Reason::Violation);
    }
    Ok(KeyBlock::new(Bytes::copy_from_slice(rekey.common.bytes.0), Key::new(Secret::take(text))))
}

/// The associated data of a block: header ‖ G ‖ e ‖ digest of `common` ‖ cid (RA §2). Nothing in it varies between
/// frames of one epoch (I-2).
fn associated(header: Header, group: Instance, epoch: Epoch, digest: &Digest, cid: MemberId) -> BytesMut {
    let mut out = BytesMut::with_capacity(HEADER_BYTES + INSTANCE_BYTES + 16 + 2 + Digest::MAX);
    header.put(Rekey::INFO.code, &mut out);
    group.put(&mut out);
    epoch.put(&mut out);
    digest.put(&mut out);
    cid.put(&mut out);
    out
}
