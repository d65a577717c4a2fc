//! Wiping the stack.

use zeroize::Zeroize;

/// Overwrites the part of the stack below the caller, where contexts and key schedules were. The best that can be done
/// without `unsafe`: it keeps stale keys out of what is put there next.
#[inline(never)]
pub(super) fn scrub<const WORDS: usize>() {
    let mut below = [0u64; WORDS];
    below.zeroize();
    core::hint::black_box(&mut below);
}

/// Deep enough for contexts and key schedules: 8 KiB.
pub(super) fn scrub_stack() {
    scrub::<1024>();
}
