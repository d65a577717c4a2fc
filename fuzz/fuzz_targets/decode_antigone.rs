//! Any bytes as every message and every opened text: no panic; typed decoder and declaration agree; what is accepted is
//! encoded to the same bytes. The corpus is replayed on stable by `tests/corpus_replay.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    sodality::wire::mutate::exercise_decoders(bytes);
});
