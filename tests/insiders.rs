//! Groups with parts as published, and Enclaves in all editions, against whoever has all keys: mutants of the fuzzing seeds,
//! under a suite of whose boxes anybody can make one that opens (fuzz/machines). What must hold stands there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../fuzz/machines/mod.rs"]
#[allow(unreachable_pub, dead_code, unused_imports, reason = "shared with the fuzz targets")]
mod machines;

use std::panic::{AssertUnwindSafe, catch_unwind};

use machines::{Enclaves, Mixed};
use sodality::wire::mutate::{mix, mutate};

/// How many inputs, unless `SODALITY_SEEDS` says so.
const INPUTS: u64 = 6_000;

/// Plays mutants of the seeds on any machine, in any of its states; `chosen` bytes at the beginning say on which and in which.
fn play(seeds: Vec<(String, Vec<u8>)>, chosen: usize, play: impl Fn(&[u8]) -> u64) {
    let inputs = std::env::var("SODALITY_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(INPUTS);
    let (mut rng, mut taken) = (0x1f5e_0ed5_u64, 0);
    for number in 0..inputs {
        let mut random = || mix(&mut rng);
        let [one, other] = [(); 2].map(|()| seeds[random() as usize % seeds.len()].1.clone());
        let mut input = mutate(&one, &other, &mut random);
        for _ in 0..random() % 3 {
            input = mutate(&input, &other, &mut random);
        }
        for byte in input.iter_mut().take(chosen) {
            *byte = random() as u8;
        }
        let played = catch_unwind(AssertUnwindSafe(|| play(&input)));
        taken += played.unwrap_or_else(|_| panic!("input {number} panics: {input:02x?}"));
    }
    assert!(taken > inputs / 2, "{taken} frames were not refused");
    println!("{inputs} inputs, {taken} frames not refused");
}

#[test]
fn whoever_has_all_keys_breaks_no_machine_of_a_mixed_group() {
    let scenes = Mixed::new().unwrap();
    play(scenes.seeds(), 3, |input| scenes.play(input));
}

#[test]
fn whoever_has_all_keys_breaks_no_machine_of_enclaves() {
    let scenes = Enclaves::new().unwrap();
    play(scenes.seeds(), 3, |input| scenes.play(input));
}
