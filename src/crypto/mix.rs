//! A fast mixer of bytes into 256 bits. It keeps different inputs apart by chance, not against anybody: only for the
//! suites without security and for test tools.

/// Odd multipliers: the first digits of the fractional parts of the square roots of 2, 3, 5 and 7, made odd.
const LANES: [u64; 4] = [0x6A09_E667_F3BC_C909, 0xBB67_AE85_84CA_A73B, 0x3C6E_F372_FE94_F82B, 0xA54F_F53A_5F1D_36F1];

#[derive(Clone)]
pub(super) struct Mix {
    lanes: [u64; 4],
    pending: u64,
    filled: u32,
    total: u64,
}

impl Mix {
    /// A mixer that keeps what is mixed for different `domain`s apart.
    pub(super) fn new(domain: &str) -> Self {
        let mut mix = Self { lanes: LANES, pending: 0, filled: 0, total: 0 };
        mix.field(domain.as_bytes());
        mix
    }

    /// Mixes in more bytes; where one call ends and the next begins makes no difference.
    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        self.total = self.total.wrapping_add(bytes.len() as u64);
        while self.filled != 0 {
            let Some((first, rest)) = bytes.split_first() else { return };
            self.push(*first);
            bytes = rest;
        }
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.word(u64::from_le_bytes(*word)));
        rest.iter().for_each(|byte| self.push(*byte));
    }

    /// Mixes in a length and so many bytes.
    pub(super) fn field(&mut self, bytes: &[u8]) {
        self.update(&(bytes.len() as u64).to_le_bytes());
        self.update(bytes);
    }

    /// The result.
    pub(super) fn finish(mut self) -> [u8; 32] {
        let (pending, total) = (self.pending, self.total);
        self.word(pending);
        self.word(total);
        let [mut a, mut b, mut c, mut d] = self.lanes;
        for _ in 0..3 {
            a ^= avalanche(d);
            b ^= avalanche(a);
            c ^= avalanche(b);
            d ^= avalanche(c);
        }
        let mut out = [0; 32];
        out.as_chunks_mut::<8>().0.iter_mut().zip([a, b, c, d]).for_each(|(out, lane)| *out = lane.to_le_bytes());
        out
    }

    fn push(&mut self, byte: u8) {
        self.pending |= u64::from(byte) << (8 * self.filled);
        self.filled += 1;
        if self.filled == 8 {
            self.word(self.pending);
            (self.pending, self.filled) = (0, 0);
        }
    }

    // A bijection of each lane for a fixed word, and of words for a fixed lane: a change in one word always shows.
    fn word(&mut self, word: u64) {
        for ((lane, odd), turn) in self.lanes.iter_mut().zip(LANES).zip([0, 17, 31, 47]) {
            *lane = (*lane ^ word.rotate_left(turn)).wrapping_mul(odd).wrapping_add(odd);
            *lane ^= *lane >> 29;
        }
    }
}

fn avalanche(mut word: u64) -> u64 {
    word = (word ^ (word >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    word = (word ^ (word >> 29)).wrapping_mul(0xA54F_F53A_5F1D_36F1);
    word ^ (word >> 32)
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;
    use alloc::vec;

    use super::*;

    fn mixed(bytes: &[u8]) -> [u8; 32] {
        let mut mix = Mix::new("test");
        mix.update(bytes);
        mix.finish()
    }

    #[test]
    fn pieces_make_no_difference() {
        let whole: vec::Vec<u8> = (0..=255).collect();
        for cut in 0..=whole.len() {
            let mut mix = Mix::new("test");
            mix.update(&whole[..cut]);
            mix.update(&whole[cut..]);
            assert_eq!(mix.finish(), mixed(&whole), "cut at {cut}");
        }
    }

    #[test]
    fn different_inputs_differ_in_both_halves() {
        let (mut left, mut right) = (BTreeSet::new(), BTreeSet::new());
        let mut count = 0;
        for length in 0..70 {
            let plain = vec![0u8; length];
            for bit in 0..=length * 8 {
                let mut changed = plain.clone();
                if let Some(byte) = changed.get_mut(bit / 8) {
                    *byte ^= 1 << (bit % 8);
                }
                let out = mixed(&changed);
                left.insert(out[..16].to_vec());
                right.insert(out[16..].to_vec());
                count += 1;
            }
        }
        assert_eq!((left.len(), right.len()), (count, count));
    }

    #[test]
    fn domains_are_apart() {
        assert_ne!(Mix::new("a").finish(), Mix::new("b").finish());
    }
}
