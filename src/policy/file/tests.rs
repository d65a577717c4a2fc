//! Policies and floors as files: what they say, and where they are wrong.

use super::*;
use crate::crypto::SuiteId;
use crate::policy::{Editions, Mix, ObjectRule, Objects, Part, Right};
use crate::wire::Edition;

fn fails(text: &str) -> (usize, usize, String) {
    let FileError { line, column, what } = Policy::from_toml(text).unwrap_err();
    (line, column, what)
}

#[test]
fn an_empty_file_is_the_default() {
    assert_eq!(Policy::from_toml("").unwrap(), Policy::default());
}

#[test]
fn presets_are_sound_and_differ() {
    let presets: Vec<_> = PRESETS
        .iter()
        .map(|(name, text)| Policy::from_toml(text).unwrap_or_else(|error| panic!("{name}: {error}")))
        .collect();
    for (index, preset) in presets.iter().enumerate() {
        assert!(presets.iter().skip(index + 1).all(|other| other != preset));
        assert_eq!(Policy::decode(&preset.encode()).as_ref(), Ok(preset));
    }
    assert_eq!(Policy::preset("conference").as_ref(), presets.first());
    assert_eq!(Policy::preset("none such"), None);
}

#[test]
fn what_is_wrong_is_said_with_line_and_column() {
    let (line, column, what) = fails("[data]\nprotection = \"both\"\norigins = true\n");
    assert_eq!((line, column), (3, 1), "{what}");
    assert!(what.contains("origins"), "{what}");
    let (line, column, what) = fails("[data]\nprotection = \"some\"\n");
    assert_eq!((line, column), (2, 14), "{what}");
    let (line, _, what) = fails("[rekey\n");
    assert_eq!(line, 1, "{what}");
    let (line, column, what) = fails("[rekey]\ngrace_ms = 100\nsettle_ms = 100\n");
    assert_eq!((line, column), (3, 13), "{what}");
    assert!(what.contains("settle"), "{what}");
    let (line, _, what) = fails("[rekey]\non = [\"join\"]\n");
    assert_eq!(line, 2, "{what}");
    let (line, column, what) = fails("[rekey]\non = [\"period\"]\n");
    assert_eq!((line, column), (2, 6), "{what}");
    let (line, column, what) = fails("[rekey]\nbytes = 5\n");
    assert_eq!((line, column), (2, 9), "{what}");
    let (line, _, what) = fails("[rekey]\non = [\"period\"]\nperiod_ms = 10\n[members]\nviews = \"with-each-key\"\n");
    assert_eq!((line, what.contains("grace")), (3, true), "{what}");
    let (line, column, what) = fails("[members]\neject_requests = \"everybody\"\n");
    assert_eq!((line, column), (2, 18), "{what}");
    let (line, _, what) = fails("[link]\nframe_limit = 100\n");
    assert_eq!((line, what.contains("1200")), (2, true), "{what}");
    let (line, _, what) = fails("[members]\nviews = \"hidden\"\n");
    assert_eq!(line, 2, "{what}");
}

#[test]
fn what_is_written_reads_back() {
    for (name, text) in PRESETS {
        let policy = Policy::from_toml(text).unwrap();
        assert_eq!(Policy::from_toml(&policy.to_toml()).as_ref(), Ok(&policy), "{name}");
    }
    assert_eq!(Policy::from_toml(&Policy::default().to_toml()), Ok(Policy::default()));
}

#[test]
fn a_floor_is_a_table_of_its_own() {
    assert_eq!(Floor::from_toml("[floor]\n"), Ok(Floor::default()));
    let text = "[floor]\nephemeral = false\nprotection = \"integrity\"\norigin = true\ndetection = false\nstaleness_ms = \
                9\nrekey_on_leave = false\nkey_lifetime_ms = 8\nexact_views = true\nno_free_ejection = true\n";
    let floor = Floor {
        ephemeral: false,
        protection: Protection::Integrity,
        origin: true,
        detection: false,
        staleness: Some(Duration::from_millis(9)),
        rekey_on_leave: false,
        key_lifetime: Some(Duration::from_millis(8)),
        exact_views: true,
        no_free_ejection: true,
    };
    assert_eq!(Floor::from_toml(text), Ok(floor));
    let found = Floor::from_toml("[floor]\nsuite = 1\n").unwrap_err();
    assert_eq!((found.line, found.column), (2, 1));
}

#[test]
fn every_key_has_its_effect() {
    let text = "[join]\nephemeral = false\ntakeover = false\n[rekey]\non = [\"join\", \"period\", \"messages\", \"bytes\", \"command\"]\ngrace_ms = 7\n\
                settle_ms = 3\nperiod_ms = 50\nmessages = 11\nbytes = 12\n[data]\nprotection = \"integrity\"\norigin = false\n[members]\nviews = \
                \"best-effort\"\neject_requests = \"asked\"\n[detection]\nperiod_ms = 20\nmisses = 9\non_silence = \"report\"\n[link]\ncommunication = \"mixed\"\nframe_limit = 1500\nhint = \"h\\u0007 \\\"\\\\\"\n";
    let policy = Policy::from_toml(text).unwrap();
    let millis = Duration::from_millis;
    assert_eq!(
        policy,
        Policy {
            ephemeral: false,
            takeover: false,
            rekey_on: [Cause::Join, Cause::Period, Cause::Messages, Cause::Bytes, Cause::Command]
                .into_iter()
                .fold(Causes::of(Cause::Open), Causes::with),
            key_lifetime: Some(millis(50)),
            key_messages: Some(11),
            key_bytes: Some(12),
            eject_requests: EjectRequests::Asked,
            on_silence: OnSilence::Report,
            grace: millis(7),
            settle: millis(3),
            protection: Protection::Integrity,
            origin: false,
            views: Views::BestEffort,
            detection: Some(Detection { period: millis(20), misses: 9 }),
            frame_limit: 1500,
            hint: Bytes::from_static(b"h\x07 \"\\"),
            communication: Communication::Mixed,
            mix: None,
            objects: Objects::none(),
        }
    );
    assert_eq!(Policy::from_toml(&policy.to_toml()).as_ref(), Ok(&policy));
    assert_eq!(Policy::from_toml("[detection]\nenabled = false\n").unwrap().detection, None);
}

#[test]
fn each_mode_of_communication_has_a_word() {
    for communication in Communication::ALL {
        let policy = Policy { communication, ..Policy::default() };
        assert_eq!(Policy::from_toml(&policy.to_toml()), Ok(policy));
    }
    let (line, column, what) = fails("[link]\ncommunication = \"broadcast\"\n");
    assert_eq!((line, column), (2, 17), "{what}");
}

/// What of a policy goes with parts as published.
const PLAIN: &str = "[data]\norigin = false\n[members]\nviews = \"with-each-key\"\n";

#[test]
fn each_part_has_its_key() {
    for part in Part::ALL {
        let text = std::format!("{PLAIN}[editions]\nsuite = \"des-md5-rsa\"\n{} = \"as-published\"\n", part.word());
        let policy = Policy::from_toml(&text).unwrap();
        let editions = Editions::REPAIRED.with(part, Edition::AsPublished);
        let suite = SuiteId::DES_MD5_RSA;
        assert_eq!(policy.mix, Some(Mix { editions, suite, strong_reply: false, per_heartbeat: true }));
        assert_eq!(Policy::from_toml(&policy.to_toml()), Ok(policy));
    }
    for (word, suite) in [
        ("des-md5-rsa", SuiteId::DES_MD5_RSA),
        ("aes-128-gcm", SuiteId::AES_128_GCM),
        ("aes-256-gcm", SuiteId::AES_256_GCM),
        ("chacha20-poly1305", SuiteId::CHACHA20_POLY1305),
    ] {
        let text = std::format!(
            "{PLAIN}[editions]\nsuite = \"{word}\"\nstrong_reply = true\nper_heartbeat = false\ndata = \"as-published\"\njoin = \
             \"repaired\"\n"
        );
        let policy = Policy::from_toml(&text).unwrap();
        let editions = Editions::REPAIRED.with(Part::Data, Edition::AsPublished);
        assert_eq!(policy.mix, Some(Mix { editions, suite, strong_reply: true, per_heartbeat: false }));
        assert_eq!(Policy::from_toml(&policy.to_toml()), Ok(policy));
    }
}

#[test]
fn what_is_wrong_with_editions_is_said_with_line_and_column() {
    let (line, column, what) =
        fails(&std::format!("{PLAIN}[editions]\nsuite = \"aes-128-gcm\"\njoin = \"repaired\"\n"));
    assert_eq!((line, column), (5, 1), "{what}");
    assert!(what.contains("as published"), "{what}");
    let (line, column, what) = fails(&std::format!("{PLAIN}[editions]\njoin = \"as-published\"\n"));
    assert_eq!((line, column), (5, 1), "{what}");
    assert!(what.contains("suite"), "{what}");
    let (line, _, what) = fails(&std::format!("{PLAIN}[editions]\nsuite = \"rot13\"\n"));
    assert_eq!(line, 6, "{what}");
    let (line, _, what) =
        fails(&std::format!("{PLAIN}[editions]\nsuite = \"aes-128-gcm\"\nheartbeat = \"repaired\"\n"));
    assert_eq!((line, what.contains("heartbeat")), (7, true), "{what}");
    let mixed = "[editions]\nsuite = \"des-md5-rsa\"\njoin = \"as-published\"\n";
    let (line, column, what) = fails(&std::format!("[members]\nviews = \"exact\"\n{mixed}"));
    assert_eq!((line, column), (2, 9), "{what}");
    let (line, _, what) = fails(&std::format!("[data]\norigin = true\n{mixed}"));
    assert_eq!(line, 2, "{what}");
    // Nothing stands there that could be pointed at but the table itself.
    let (line, column, what) = fails(mixed);
    assert_eq!((line, column), (1, 1), "{what}");
}

#[test]
fn shared_objects_are_tables_by_name() {
    let name = |text: &str| crate::identity::Name::new(text).unwrap();
    let text = "[objects.plan]\neverybody = \"read\"\nsize = 1048576\n[objects.plan.members]\nada = \"change\"\n\"old \\\"bob\\\"\" = \
                \"none\"\n[objects.\"a map\"]\n";
    let policy = Policy::from_toml(text).unwrap();
    let plan = ObjectRule::default().everybody(Right::Read).size(1 << 20);
    let plan = plan.member(name("ada"), Right::Change).member(name("old \"bob\""), Right::None);
    let built = Policy::builder().object(name("plan"), plan).object(name("a map"), ObjectRule::default()).build();
    assert_eq!(Ok(&policy), built.as_ref());
    assert_eq!(Policy::from_toml(&policy.to_toml()), Ok(policy));
}

#[test]
fn what_is_wrong_with_objects_is_said_with_line_and_column() {
    let (line, column, what) = fails("[objects.plan]\nsize = 5\n[objects.map]\nsize = 16777217\n");
    assert_eq!((line, column), (4, 8), "{what}");
    let (line, column, what) = fails("[objects.plan]\nsize = 0\n");
    assert_eq!((line, column), (2, 8), "{what}");
    let (line, column, what) = fails("[objects.plan]\neverybody = \"write\"\n");
    assert_eq!((line, column), (2, 13), "{what}");
    let (line, column, what) = fails("[objects.plan]\n[objects.plan.members]\nada = \"read\"\n\"\" = \"read\"\n");
    assert_eq!((line, column), (4, 1), "{what}");
    let (line, _, what) = fails("[join]\n[objects.\"a\\u0007b\"]\n");
    assert_eq!(line, 2, "{what}");
    let many: alloc::string::String = (100..165).map(|n| std::format!("[objects.o{n}]\n")).collect();
    let (line, _, what) = fails(&many);
    assert_eq!(line, 65, "{what}");
    let (line, column, what) = fails("[objects.plan]\nowner = \"ada\"\n");
    assert_eq!((line, column), (2, 1), "{what}");
}
