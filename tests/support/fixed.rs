//! Random sources for tests of suites.

use sodality::endpoint::{Entropy, EntropyError};

/// A fixed sequence (Steele, Lea and Flood's SplitMix64), the same in each run.
pub(crate) struct Fixed(pub(crate) u64);

impl Entropy for Fixed {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        for bytes in out.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut word = self.0;
            word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            bytes.copy_from_slice(&(word ^ (word >> 31)).to_le_bytes()[..bytes.len()]);
        }
        Ok(())
    }
}
