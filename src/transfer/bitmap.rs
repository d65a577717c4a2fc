//! Sets of chunks, a bit each: bounded by the object, whatever loss makes of them.

use alloc::vec::Vec;

/// A set of numbers below a fixed bound.
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Bitmap {
    words: Vec<u64>,
    len: u32,
    ones: u32,
}

fingerprint!(Bitmap { words, len, ones });

/// Where the bit of `index` stands.
fn place(index: u32) -> (usize, u64) {
    ((index / 64) as usize, 1 << (index % 64))
}

/// How many bytes the bits of `len` chunks take.
pub(super) fn byte_len(len: u32) -> usize {
    len.div_ceil(8) as usize
}

impl Bitmap {
    /// The empty set of numbers below `len`.
    pub(super) fn new(len: u32) -> Self {
        Self { words: alloc::vec![0; len.div_ceil(64) as usize], len, ones: 0 }
    }

    /// The set that `bytes` spell: exactly as many as needed, and no bit at or above `len`.
    pub(super) fn from_bytes(len: u32, bytes: &[u8]) -> Option<Self> {
        if bytes.len() != byte_len(len) {
            return None;
        }
        let mut set = Self::new(len);
        for (word, eight) in set.words.iter_mut().zip(bytes.chunks(8)) {
            let mut padded = [0; 8];
            padded.get_mut(..eight.len())?.copy_from_slice(eight);
            *word = u64::from_le_bytes(padded);
        }
        set.recount();
        (set.last_word_mask() & set.words.last().copied().unwrap_or(0) == set.words.last().copied().unwrap_or(0))
            .then_some(set)
    }

    /// The set as bytes, in the layout of the wire.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.truncate(byte_len(self.len));
        bytes
    }

    /// Another set of the same numbers.
    pub(super) fn copy(&self) -> Self {
        Self { words: self.words.clone(), len: self.len, ones: self.ones }
    }

    /// The bound.
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// How many numbers are in it.
    pub(super) fn count(&self) -> u32 {
        self.ones
    }

    /// Whether none is.
    pub(super) fn is_empty(&self) -> bool {
        self.ones == 0
    }

    /// Whether all are.
    pub(super) fn is_full(&self) -> bool {
        self.ones == self.len
    }

    pub(super) fn contains(&self, index: u32) -> bool {
        let (word, bit) = place(index);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    /// Puts `index` in. Whether it is new; numbers out of bounds never are.
    pub(super) fn insert(&mut self, index: u32) -> bool {
        let (word, bit) = place(index);
        match self.words.get_mut(word) {
            Some(word) if index < self.len && *word & bit == 0 => {
                *word |= bit;
                self.ones += 1;
                true
            }
            _ => false,
        }
    }

    /// Takes `index` out. Whether it was in.
    pub(super) fn remove(&mut self, index: u32) -> bool {
        let (word, bit) = place(index);
        match self.words.get_mut(word) {
            Some(word) if *word & bit != 0 => {
                *word &= !bit;
                self.ones -= 1;
                true
            }
            _ => false,
        }
    }

    /// Takes all out.
    pub(super) fn clear(&mut self) {
        if self.ones != 0 {
            self.words.fill(0);
            self.ones = 0;
        }
    }

    /// Puts in all numbers from `from` on that are in none of `except`, sets of the same bound.
    pub(super) fn fill_from(&mut self, from: u32, except: [Option<&Self>; 2]) {
        let (first, _) = place(from);
        let last = self.words.len().saturating_sub(1);
        let tail = self.last_word_mask();
        for (at, word) in self.words.iter_mut().enumerate().skip(first) {
            let mut mask = u64::MAX;
            if at == first {
                mask &= u64::MAX << (from % 64);
            }
            if at == last {
                mask &= tail;
            }
            for set in except.into_iter().flatten() {
                mask &= !set.words.get(at).copied().unwrap_or(0);
            }
            self.ones += (mask & !*word).count_ones();
            *word |= mask;
        }
    }

    /// The first number at or after `from` that is in.
    pub(super) fn next_set(&self, from: u32) -> Option<u32> {
        self.find(from, |_, word| word)
    }

    /// The first number at or after `from` that is neither in this set nor in `other`, one of the same bound.
    pub(super) fn next_in_neither(&self, other: &Self, from: u32) -> Option<u32> {
        self.find(from, |at, word| !(word | other.words.get(at).copied().unwrap_or(0)))
    }

    /// The highest number in it, and one more: 0 if it is empty.
    pub(super) fn end(&self) -> u32 {
        let at = self.words.iter().rposition(|word| *word != 0);
        at.map_or(0, |at| (at as u32) * 64 + 64 - self.words.get(at).map_or(0, |word| word.leading_zeros()))
    }

    fn find(&self, from: u32, view: impl Fn(usize, u64) -> u64) -> Option<u32> {
        let (first, _) = place(from);
        for (at, word) in self.words.iter().enumerate().skip(first) {
            let mut seen = view(at, *word);
            if at == first {
                seen &= u64::MAX << (from % 64);
            }
            if seen != 0 {
                return Some((at as u32) * 64 + seen.trailing_zeros()).filter(|index| *index < self.len);
            }
        }
        None
    }

    /// The bits of the last word that stand for a number below the bound.
    fn last_word_mask(&self) -> u64 {
        match self.len % 64 {
            0 => u64::MAX,
            used => (1 << used) - 1,
        }
    }

    fn recount(&mut self) {
        self.ones = self.words.iter().map(|word| word.count_ones()).sum();
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// One thing done to a set.
    #[derive(Clone, Debug)]
    enum Op {
        Insert(u32),
        Remove(u32),
        Fill(u32),
        Clear,
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            8 => (0..330u32).prop_map(Op::Insert),
            4 => (0..330u32).prop_map(Op::Remove),
            1 => (0..330u32).prop_map(Op::Fill),
            1 => Just(Op::Clear),
        ]
    }

    proptest! {
        #[test]
        fn a_bitmap_is_a_set(len in 0..320u32, ops in prop::collection::vec(op(), 0..200), held in prop::collection::btree_set(0..320u32, 0..40)) {
            let mut map = Bitmap::new(len);
            let mut set = BTreeSet::new();
            let mut except = Bitmap::new(len);
            held.iter().for_each(|index| { except.insert(*index); });
            for op in ops {
                match op {
                    Op::Insert(index) => prop_assert_eq!(map.insert(index), index < len && set.insert(index)),
                    Op::Remove(index) => prop_assert_eq!(map.remove(index), set.remove(&index)),
                    Op::Fill(from) => {
                        map.fill_from(from, [Some(&except), None]);
                        set.extend((from..len).filter(|index| !held.contains(index)));
                    }
                    Op::Clear => { map.clear(); set.clear(); }
                }
                prop_assert_eq!(map.count() as usize, set.len());
                prop_assert_eq!(map.is_full(), set.len() == len as usize);
                prop_assert_eq!(map.end(), set.last().map_or(0, |last| last + 1));
            }
            for from in 0..330 {
                prop_assert_eq!(map.contains(from), set.contains(&from));
                prop_assert_eq!(map.next_set(from), set.range(from..).next().copied());
                prop_assert_eq!(
                    map.next_in_neither(&except, from),
                    (from..len).find(|index| !set.contains(index) && !held.contains(index))
                );
            }
            prop_assert_eq!(Bitmap::from_bytes(len, &map.to_bytes()), Some(map));
        }

        #[test]
        fn bytes_from_outside_are_checked(len in 0..100u32, bytes in prop::collection::vec(any::<u8>(), 0..16)) {
            match Bitmap::from_bytes(len, &bytes) {
                Some(map) => {
                    prop_assert_eq!(&map.to_bytes(), &bytes);
                    prop_assert!(map.end() <= len);
                }
                None => prop_assert!(
                    bytes.len() != byte_len(len) || (len..8 * bytes.len() as u32).any(|bit| bytes[bit as usize / 8] >> (bit % 8) & 1 == 1)
                ),
            }
        }
    }
}
