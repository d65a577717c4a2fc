//! RA-R for many at once: each frame has the whole facts and as many blocks as fit it, and stands alone. Nothing is put
//! together again (X12); and nothing that is sealed depends on how the blocks are shared out among frames (I-2).

use alloc::vec::Vec;

use bytes::Bytes;

use super::repaired::Issue;
use crate::crypto::Aead;
use crate::error::Failure;
use crate::group::outbox::Pool;
use crate::identity::{INSTANCE_BYTES, Instance, MemberId};
use crate::wire::Header;
use crate::wire::antigone::{Block, MAX_BLOCKS};
use crate::wire::frame::HEADER_BYTES;

/// Bytes of a frame that are neither facts nor blocks: header, group, length of the facts, count of blocks.
const FIXED: usize = HEADER_BYTES + INSTANCE_BYTES + 2 + 4;

fn length(block: &Block) -> usize {
    8 + 2 + block.key.as_bytes().len() + 2 + block.tag.as_bytes().len()
}

impl Issue {
    /// The next frame of at most `limit` bytes for `members`, which come by rising number, each with the leader's key to
    /// it; and whose blocks are in it: those of the first members, of one at least. Nothing if there are none.
    ///
    /// # Errors
    /// [`Failure::Suite`].
    pub fn frame_for_many<'k>(
        &self,
        header: Header,
        group: Instance,
        limit: usize,
        members: impl Iterator<Item = (MemberId, &'k dyn Aead)>,
        pool: &mut Pool,
    ) -> Result<Option<(Bytes, Vec<MemberId>)>, Failure> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut left = limit.saturating_sub(FIXED + self.facts_len());
        for (cid, seal) in members.take(MAX_BLOCKS) {
            // All blocks of an epoch have one length.
            if blocks.last().is_some_and(|block| length(block) > left) {
                break;
            }
            let block = self.block(header, group, cid, seal)?;
            left = left.saturating_sub(length(&block));
            blocks.push(block);
        }
        if blocks.is_empty() {
            return Ok(None);
        }
        let frame = self.frame(header, group, &blocks, pool)?;
        Ok(Some((frame, blocks.iter().map(|block| block.cid).collect())))
    }
}
