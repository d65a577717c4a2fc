//! RA-R for many at once: each frame has the whole facts and as many blocks as fit it, and stands alone. Nothing is put
//! together again (X12); and nothing that is sealed depends on how the blocks are shared out among frames (I-2).

use alloc::vec::Vec;

use bytes::Bytes;

use crate::crypto::Aead;
use crate::error::Failure;
use crate::group::issue::Issue;
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
        let mut left = limit.saturating_sub(FIXED + self.common().len());
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

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;
    use alloc::sync::Arc;

    use super::super::{Facts, open};
    use super::*;
    use crate::crypto::{Purpose, Secret, Suite, chacha20_poly1305};
    use crate::endpoint::{Entropy, EntropyError};
    use crate::event::{Cause, Causes};
    use crate::identity::{Epoch, Version};
    use crate::wire::antigone::Delta;
    use crate::wire::field::Digest;
    use crate::wire::{Edition, System};

    const GROUP: Instance = Instance([5; 16]);

    struct Counting(u8);

    impl Entropy for Counting {
        fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
            out.iter_mut().for_each(|byte| {
                self.0 = self.0.wrapping_mul(5).wrapping_add(17);
                *byte = self.0;
            });
            Ok(())
        }
    }

    fn header(suite: &dyn Suite) -> Header {
        Header { system: System::Antigone, edition: Edition::Repaired, suite: suite.id() }
    }

    fn issue(suite: &dyn Suite) -> Issue {
        let facts = Facts {
            epoch: Epoch(9),
            floor: Epoch(3),
            causes: Causes::of(Cause::Command),
            view: Version(0),
            view_digest: Digest::NONE,
            policy: Version(1),
            policy_digest: Digest::NONE,
            delta: Delta::Hidden,
        };
        Issue::draw(suite, &mut Counting(3), GROUP, facts).unwrap()
    }

    fn keys(suite: &dyn Suite, members: u64) -> BTreeMap<MemberId, Arc<dyn Aead>> {
        let root = Secret::new(&[1; 32]);
        let key = |cid: u64| suite.expand(&root, &[&cid.to_be_bytes()], Purpose::Aead).unwrap();
        // Numbers with gaps: some have gone.
        (1..=members).map(|cid| (MemberId(cid * 3), suite.aead(&key(cid)).unwrap())).collect()
    }

    fn frames(suite: &dyn Suite, limit: usize, keys: &BTreeMap<MemberId, Arc<dyn Aead>>) -> Vec<Bytes> {
        let (issue, mut pool, mut next, mut all) = (issue(suite), Pool::new(), MemberId(0), Vec::new());
        loop {
            let members = keys.range(next..).map(|(cid, key)| (*cid, &**key));
            let frame = issue.frame_for_many(header(suite), GROUP, limit, members, &mut pool).unwrap();
            let Some((frame, numbers)) = frame else { return all };
            next = MemberId(numbers.last().unwrap().0 + 1);
            all.push(frame);
        }
    }

    #[test]
    fn every_member_opens_its_block_in_one_frame_and_each_frame_fits() {
        let suite = chacha20_poly1305();
        for (members, limit) in [(1, 1_200), (18, 1_200), (19, 1_200), (100, 1_200), (100, 65_536)] {
            let keys = keys(&*suite, members);
            let frames = frames(&*suite, limit, &keys);
            assert!(frames.iter().all(|frame| frame.len() <= limit), "{members} members in {limit} bytes");
            for (cid, key) in &keys {
                let opens = frames
                    .iter()
                    .filter(|frame| open(header(&*suite), &*suite, GROUP, *cid, Epoch(8), &**key, frame).is_ok());
                assert_eq!(opens.count(), 1, "{members} members in {limit} bytes: {cid:?}");
            }
        }
    }

    /// I-2: whoever gets its block alone later gets the very same block.
    #[test]
    fn a_block_is_the_same_in_whatever_frame() {
        let suite = chacha20_poly1305();
        let keys = keys(&*suite, 40);
        let blocks = |frames: Vec<Bytes>| -> Vec<Block> {
            let of = |frame: &Bytes| {
                let rekey = <crate::wire::antigone::Rekey<'_> as crate::wire::Message<'_>>::parse(frame).unwrap();
                rekey.message.blocks.iter().collect::<Vec<_>>()
            };
            frames.iter().flat_map(of).collect()
        };
        // Even one block is too long for the last: it goes out alone all the same.
        let all = blocks(frames(&*suite, 65_536, &keys));
        assert_eq!(all.len(), 40);
        for limit in [1_200, 600, 10] {
            assert_eq!(blocks(frames(&*suite, limit, &keys)), all);
        }
    }
}
