//! Every file of the fuzzing corpora, fed to the function that the fuzz target calls: what a fuzzer once found stays fixed,
//! without a nightly compiler. `SODALITY_UPDATE=1 cargo test --test corpus_replay` writes the seeds anew.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../fuzz/machines/mod.rs"]
#[allow(unreachable_pub, dead_code, reason = "shared with the fuzz targets")]
mod machines;
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use machines::{Enclaves, InStar, Mixed, Scene};
use sodality::antigone::{Leader, Member};
use sodality::ttp::ThirdParty;
use sodality::wire::TABLES;
use sodality::wire::frame::HEADER_BYTES;
use sodality::wire::mutate::exercise_decoders;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

type Target = Box<dyn Fn(&[u8]) -> bool>;

/// What a target does with an input; the answer says whether the input got past the first check.
fn target(name: &str) -> Target {
    match name {
        "decode_antigone" => Box::new(|bytes| exercise_decoders(bytes) > 0),
        "member" => machine::<Member>(),
        "leader" => machine::<Leader>(),
        "third_party" => machine::<ThirdParty>(),
        "mixed" => {
            let scenes = Mixed::new().unwrap();
            Box::new(move |bytes| scenes.play(bytes) > 0)
        }
        "enclaves" => {
            let scenes = Enclaves::new().unwrap();
            Box::new(move |bytes| scenes.play(bytes) > 0)
        }
        _ => panic!("fuzz/corpus/{name}: no such target here: name its function"),
    }
}

fn machine<M: InStar>() -> Target {
    let scene = Scene::<M>::new().unwrap();
    assert!(scene.snapshots() > 2 && scene.frames() > 0, "{} {}", scene.snapshots(), scene.frames());
    Box::new(move |bytes| scene.play(bytes) > 0)
}

/// The seeds of `decode_antigone`: a frame of each message, each opened text, and some that must fail.
fn decode_antigone_seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for record in support::frames::handmade() {
        let id = record.id.to_lowercase();
        if record.id == "RA-R" {
            let mut bytes = record.frame.clone();
            let from = bytes.len() - 60;
            // The first block once more: not rising.
            let first = bytes[from - 60..from].to_vec();
            bytes[from..].copy_from_slice(&first);
            seeds.push((format!("{id}-disordered"), bytes));
        }
        let mut cut = record.frame.clone();
        cut.pop();
        if record.id == "RA-J1" {
            seeds.push((format!("{id}-cut"), cut));
        }
        if !record.frame.is_empty() {
            seeds.push((format!("{id}-frame"), record.frame));
        }
        seeds.extend(record.opened.map(|text| (format!("{id}-text"), text)));
    }
    seeds.push(("empty".into(), Vec::new()));
    seeds.push(("lengths".into(), vec![0xff; 64]));
    seeds
}

fn update(target: &str, seeds: &[(String, Vec<u8>)]) {
    if std::env::var_os("SODALITY_UPDATE").is_some() {
        let folder = corpus().join(target);
        fs::create_dir_all(&folder).unwrap();
        for (name, bytes) in seeds {
            fs::write(folder.join(name), bytes).unwrap();
        }
    }
}

#[test]
fn corpora_replay() {
    let seeds = decode_antigone_seeds();
    let folder = corpus().join("decode_antigone");
    update("decode_antigone", &seeds);
    // What these seeds mean depends on the session that they are played in, so they are only a start.
    update("member", &machines::seeds(&Scene::<Member>::new().unwrap()));
    update("leader", &machines::seeds(&Scene::<Leader>::new().unwrap()));
    update("third_party", &machines::seeds(&Scene::<ThirdParty>::new().unwrap()));
    update("mixed", &Mixed::new().unwrap().seeds());
    update("enclaves", &Enclaves::new().unwrap().seeds());
    for (name, bytes) in &seeds {
        let stored = fs::read(folder.join(name)).ok();
        assert!(
            stored.as_ref() == Some(bytes),
            "seed {name} is not what the declarations give: SODALITY_UPDATE=1 cargo test --test corpus_replay"
        );
        let must_fail = ["-disordered", "-cut"].iter().any(|end| name.ends_with(end)) || name == "lengths";
        // A text without a length of its own takes any bytes, so only whole frames can be seen to fail or pass.
        let frame = name.ends_with("-frame");
        // Under its own type: a shorter message may well begin like another.
        let code = bytes.get(HEADER_BYTES - 1);
        let mut named = TABLES.into_iter().flatten().filter(|info| Some(&info.code) == code);
        let edition = bytes.get(2);
        let own = named.any(|info| Some(&(info.edition as u8)) == edition && info.dissect(bytes).is_ok());
        assert!(!frame || own, "seed {name} is refused");
        assert!(!must_fail || !own, "seed {name} is accepted");
    }
    for target_folder in fs::read_dir(corpus()).unwrap().map(|entry| entry.unwrap().path()) {
        let name = target_folder.file_name().unwrap().to_string_lossy().into_owned();
        let run = target(&name);
        let (mut files, mut accepted) = (0, 0);
        let mut paths: Vec<_> = fs::read_dir(&target_folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            files += 1;
            let bytes = fs::read(&path).unwrap();
            let verdict = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&bytes)));
            accepted += usize::from(verdict.unwrap_or_else(|_| panic!("{} panics", path.display())));
        }
        println!("{name}: {files} files, {accepted} accepted");
        assert!(accepted > 0 && accepted <= files, "{name}: the corpus reaches nothing");
    }
}
