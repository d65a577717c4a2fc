//! Seeded randomness, randomness that fails, and a digest that is not cryptographic.

use core::convert::Infallible;
use core::fmt;
use core::time::Duration;

use rand_core::{TryCryptoRng, TryRng};

use crate::endpoint::EntropyError;
use crate::fingerprint::Sink;

/// A small generator (xoshiro256++): the same on every target, cloneable, forkable.
///
/// It claims to be cryptographic so that suites take it. It is not: for simulations only.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SimRng([u64; 4]);

/// One step of splitmix64, which spreads seeds.
fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    scramble(*state)
}

fn scramble(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

impl SimRng {
    /// The generator of this seed.
    pub fn new(seed: u64) -> Self {
        let mut state = seed;
        Self(core::array::from_fn(|_| splitmix(&mut state)))
    }

    /// Another generator, which depends on this one's state and on `label` and leaves this one as it is.
    #[must_use]
    pub fn fork(&self, label: u64) -> Self {
        let mut state = self.0.iter().fold(scramble(label), |sum, word| scramble(sum.rotate_left(17) ^ word));
        Self(core::array::from_fn(|_| splitmix(&mut state)))
    }

    /// The next 64 bits.
    pub fn draw(&mut self) -> u64 {
        let [a, b, c, d] = self.0;
        let out = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c2, d2) = (c ^ a, d ^ b);
        self.0 = [a ^ d2, b ^ c2, c2 ^ (b << 17), d2.rotate_left(45)];
        out
    }

    /// A number below `end`; 0 if `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.draw()) * u128::from(end)) >> 64) as u64
    }

    /// True in `permille` of a thousand cases. Draws nothing where the answer is certain.
    pub fn chance(&mut self, permille: u16) -> bool {
        permille > 0 && (permille >= 1000 || self.below(1000) < u64::from(permille))
    }

    /// A time from zero to `longest`. Draws nothing if that is zero.
    pub fn span(&mut self, longest: Duration) -> Duration {
        let micros = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX - 1);
        if micros == 0 { Duration::ZERO } else { Duration::from_micros(self.below(micros.saturating_add(1))) }
    }

    /// One of `items`.
    pub fn pick<'i, T>(&mut self, items: &'i [T]) -> Option<&'i T> {
        usize::try_from(self.below(items.len() as u64)).ok().and_then(|at| items.get(at))
    }

    fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let word = self.draw().to_le_bytes();
            chunk.iter_mut().zip(word).for_each(|(to, from)| *to = from);
        }
    }
}

impl TryRng for SimRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.draw() as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.draw())
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        self.fill(out);
        Ok(())
    }
}

impl TryCryptoRng for SimRng {}

/// How a source fails (R18).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Failing {
    /// It does not.
    #[default]
    Never,
    /// The draw of this number, counted from 1 over the life of the source, fails; the others do not.
    Once(u64),
    /// This draw and all later ones fail.
    From(u64),
    /// No draw fails, but each gives the bytes of the same generator state.
    Repeating,
}

/// A random source that counts its draws and can be made to fail at any of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FailingEntropy<R = SimRng> {
    inner: R,
    draws: u64,
    failed: u64,
    failing: Failing,
}

impl<R> FailingEntropy<R> {
    /// A source that does not fail until it is armed.
    pub fn new(inner: R) -> Self {
        Self { inner, draws: 0, failed: 0, failing: Failing::Never }
    }

    /// Lets the `k`-th draw from now fail (1 is the next one), and only that one.
    pub fn arm(&mut self, k: u64) {
        self.failing = Failing::Once(self.draws.saturating_add(k));
    }

    /// Sets how it fails.
    pub fn set(&mut self, failing: Failing) {
        self.failing = failing;
    }

    /// Lets no draw fail any more.
    pub fn disarm(&mut self) {
        self.failing = Failing::Never;
    }

    /// How many draws were asked of it, the failed ones included.
    pub fn draws(&self) -> u64 {
        self.draws
    }

    /// How many of them failed.
    pub fn failed(&self) -> u64 {
        self.failed
    }
}

impl<R: TryCryptoRng + Clone> FailingEntropy<R> {
    fn serve<T>(&mut self, draw: impl FnOnce(&mut R) -> Result<T, R::Error>) -> Result<T, EntropyError> {
        self.draws = self.draws.saturating_add(1);
        let fails = match self.failing {
            Failing::Never | Failing::Repeating => false,
            Failing::Once(at) => self.draws == at,
            Failing::From(at) => self.draws >= at,
        };
        let result = match (fails, self.failing) {
            (true, _) => Err(EntropyError),
            (false, Failing::Repeating) => draw(&mut self.inner.clone()).map_err(|_| EntropyError),
            (false, _) => draw(&mut self.inner).map_err(|_| EntropyError),
        };
        self.failed += u64::from(result.is_err());
        result
    }
}

impl<R: TryCryptoRng + Clone> TryRng for FailingEntropy<R> {
    type Error = EntropyError;

    fn try_next_u32(&mut self) -> Result<u32, EntropyError> {
        self.serve(|inner| inner.try_next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, EntropyError> {
        self.serve(|inner| inner.try_next_u64())
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        self.serve(|inner| inner.try_fill_bytes(out))
    }
}

impl<R: TryCryptoRng + Clone> TryCryptoRng for FailingEntropy<R> {}

/// A running digest of 128 bits, for traces and state digests. Not cryptographic: nobody chooses its input to deceive.
///
/// How the input is cut into pieces makes no difference.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mixer {
    lanes: (u64, u64),
    word: u64,
    filled: u32,
    length: u64,
}

impl Default for Mixer {
    fn default() -> Self {
        Self { lanes: (0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344), word: 0, filled: 0, length: 0 }
    }
}

impl Mixer {
    /// A digest of nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> u128 {
        let mut mixer = Self::new();
        mixer.feed(bytes);
        mixer.digest()
    }

    /// Takes in a number.
    pub fn number(&mut self, value: u64) {
        self.feed(&value.to_le_bytes());
    }

    /// Takes in bytes and their length, so that neighbours cannot run into each other.
    pub fn text(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.feed(bytes);
    }

    fn absorb(&mut self, word: u64) {
        let (a, b) = self.lanes;
        let a = (a ^ word).wrapping_mul(0x9fb2_1c65_1e98_df25);
        let a = a ^ (a >> 29);
        let b = (b.rotate_left(23) ^ word.wrapping_add(a)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        self.lanes = (a.wrapping_add(b >> 32), b ^ (b >> 31));
    }

    /// The digest of all that was taken in so far.
    pub fn digest(&self) -> u128 {
        let mut last = self.clone();
        last.absorb(self.word);
        last.absorb(self.length);
        let (a, b) = last.lanes;
        let (high, low) = (scramble(a ^ b.rotate_left(32)), scramble(b.wrapping_add(a.rotate_left(11))));
        (u128::from(high) << 64) | u128::from(low)
    }
}

impl Sink for Mixer {
    fn feed(&mut self, bytes: &[u8]) {
        self.length = self.length.wrapping_add(bytes.len() as u64);
        for byte in bytes {
            self.word |= u64::from(*byte) << (8 * self.filled);
            self.filled += 1;
            if self.filled == 8 {
                self.absorb(self.word);
                (self.word, self.filled) = (0, 0);
            }
        }
    }
}

impl fmt::Write for Mixer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.feed(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::endpoint::Entropy;

    #[test]
    fn a_seed_gives_one_sequence_and_forks_give_others() {
        let draws = |mut rng: SimRng| (0..4).map(|_| rng.draw()).collect::<Vec<_>>();
        let root = SimRng::new(7);
        assert_eq!(draws(root.clone()), draws(SimRng::new(7)));
        assert_ne!(draws(root.clone()), draws(SimRng::new(8)));
        assert_ne!(draws(root.fork(1)), draws(root.fork(2)));
        assert_eq!(draws(root.fork(1)), draws(root.fork(1)));
        // Fixed once and for all: other targets must draw the same (R43).
        assert_eq!(SimRng::new(1).draw(), FIRST_OF_SEED_1);
    }

    const FIRST_OF_SEED_1: u64 = 0xcfc5_d07f_6f03_c29b;

    #[test]
    fn chances_are_roughly_kept() {
        let mut rng = SimRng::new(3);
        let hits = (0..10_000).filter(|_| rng.chance(250)).count();
        assert!((2_300..2_700).contains(&hits), "{hits}");
        assert!(!rng.chance(0) && rng.chance(1000));
        assert!((0..100).all(|_| rng.span(Duration::from_micros(5)) <= Duration::from_micros(5)));
        assert_eq!(rng.pick::<u8>(&[]), None);
    }

    #[test]
    fn the_armed_draw_fails_and_no_other() {
        let mut source = FailingEntropy::new(SimRng::new(1));
        let draw = |source: &mut FailingEntropy| Entropy::fill(source, &mut [0; 8]).is_ok();
        assert!(draw(&mut source));
        source.arm(2);
        assert_eq!([draw(&mut source), draw(&mut source), draw(&mut source)], [true, false, true]);
        source.set(Failing::From(6));
        assert_eq!([draw(&mut source), draw(&mut source), draw(&mut source)], [true, false, false]);
        source.disarm();
        assert!(draw(&mut source));
        assert_eq!((source.draws(), source.failed()), (8, 3));
    }

    #[test]
    fn a_repeating_source_repeats() {
        let mut source = FailingEntropy::new(SimRng::new(1));
        source.set(Failing::Repeating);
        let mut draw = || {
            let mut out = [0; 16];
            Entropy::fill(&mut source, &mut out).map(|()| out)
        };
        assert_eq!(draw(), draw());
    }

    #[test]
    fn the_digest_sees_every_byte_and_no_seams() {
        let mut pieces = Mixer::new();
        b"abcdefghijk".chunks(3).for_each(|piece| pieces.feed(piece));
        assert_eq!(pieces.digest(), Mixer::of(b"abcdefghijk"));
        assert_ne!(Mixer::of(b"abcdefghijk"), Mixer::of(b"abcdefghijl"));
        assert_ne!(Mixer::of(b"a"), Mixer::of(b"a\0"));
        assert_ne!(Mixer::of(b""), Mixer::of(b"\0\0\0\0\0\0\0\0"));
        let mut seen = alloc::collections::BTreeSet::new();
        assert!((0..20_000u32).all(|n| seen.insert(Mixer::of(&n.to_be_bytes()))));
    }
}
