//! Groups with parts as published against whoever has all keys: mutants of the fuzzing seeds, under a suite of whose boxes
//! anybody can make one that opens (fuzz/machines). What must hold stands there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../fuzz/machines/mod.rs"]
#[allow(unreachable_pub, dead_code, unused_imports, reason = "shared with the fuzz targets")]
mod machines;

use std::panic::{AssertUnwindSafe, catch_unwind};

use machines::Mixed;
use sodality::wire::mutate::{mix, mutate};

/// How many inputs, unless `SODALITY_SEEDS` says so.
const INPUTS: u64 = 6_000;

#[test]
fn whoever_has_all_keys_breaks_no_machine_of_a_mixed_group() {
    let inputs = std::env::var("SODALITY_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(INPUTS);
    let scenes = Mixed::new().unwrap();
    let seeds: Vec<Vec<u8>> = scenes.seeds().into_iter().map(|(_, bytes)| bytes).collect();
    let (mut rng, mut taken) = (0x1f5e_0ed5_u64, 0);
    for number in 0..inputs {
        let mut random = || mix(&mut rng);
        let [one, other] = [(); 2].map(|()| seeds[random() as usize % seeds.len()].clone());
        let mut input = mutate(&one, &other, &mut random);
        for _ in 0..random() % 3 {
            input = mutate(&input, &other, &mut random);
        }
        // Any machine, in any of its states.
        for byte in input.iter_mut().take(3) {
            *byte = random() as u8;
        }
        let played = catch_unwind(AssertUnwindSafe(|| scenes.play(&input)));
        taken += played.unwrap_or_else(|_| panic!("input {number} panics: {input:02x?}"));
    }
    assert!(taken > inputs, "{taken} frames were not refused");
    println!("{inputs} inputs, {taken} frames not refused");
}
