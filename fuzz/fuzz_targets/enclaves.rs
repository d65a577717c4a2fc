//! Enclaves in its three editions: any frames, times and commands, in any state of a session: see `machines`. The corpus is
//! replayed on stable by `tests/corpus_replay.rs`.
#![no_main]

#[path = "../machines/mod.rs"]
#[allow(dead_code, unused_imports, reason = "each target uses a part of it")]
mod machines;

use machines::Enclaves;

thread_local! {
    static SCENES: Enclaves = Enclaves::new().expect("the sessions that states are taken from");
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    SCENES.with(|scenes| scenes.play(bytes));
});
