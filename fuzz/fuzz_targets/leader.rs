//! Any frames, times and commands, in any state of a session: see `machines`. The corpus is replayed on stable by
//! `tests/corpus_replay.rs`.
#![no_main]

#[path = "../machines/mod.rs"]
#[allow(dead_code, unused_imports, reason = "each target uses a part of it")]
mod machines;

use machines::Scene;
use sodality::antigone::Leader;

thread_local! {
    static SCENE: Scene<Leader> = Scene::new().expect("the session that states are taken from");
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    SCENE.with(|scene| scene.play(bytes));
});
