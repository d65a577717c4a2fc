//! Names that would lead elsewhere, and races for a name.

use std::collections::BTreeSet;

use super::*;

/// A folder of its own for each test, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        Self(Folder::temporary().unwrap())
    }

    fn folder(&self, force: bool) -> Folder {
        Folder::open(&self.0.join("in"), force).unwrap()
    }

    fn names(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(self.0.join("in")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.0.join("in").join(name)).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn only(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn names_that_are_not_plain_get_no_file() {
    let scratch = Scratch::new();
    for force in [false, true] {
        let folder = scratch.folder(force);
        let names = [
            "..",
            ".",
            "",
            "../escape",
            "/etc/passwd",
            "a/b",
            "a\\b",
            ".hidden",
            "c:x",
            "con",
            "NUL.txt",
            "a\nb",
            "\u{1b}[2J",
            "evil\u{202e}txt.exe",
            "end.",
            " x",
        ];
        for name in names {
            assert_eq!(folder.begin(name).unwrap_err().kind(), ErrorKind::InvalidInput, "{name:?}");
            assert!(folder.place(name).is_err() && folder.check(name).is_err(), "{name:?}");
        }
    }
    assert_eq!(scratch.names(), only(&[]));
    assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 1, "nothing beside the folder");
}

#[test]
fn a_file_is_visible_when_it_is_whole_and_not_before() {
    let scratch = Scratch::new();
    let mut incoming = scratch.folder(false).begin("book.txt").unwrap();
    incoming.write_at(4, b"5678").unwrap();
    incoming.write_at(0, b"1234").unwrap();
    let mut piece = [0; 4];
    incoming.read_at(2, &mut piece).unwrap();
    assert_eq!(&piece, b"3456");
    assert!(incoming.read_at(6, &mut piece).is_err(), "past the end");
    assert!(scratch.names().iter().all(|name| name.starts_with('.')), "{:?}", scratch.names());
    Box::new(incoming).finish().unwrap();
    assert_eq!(scratch.names(), only(&["book.txt"]));
    assert_eq!(scratch.read("book.txt"), b"12345678");
}

#[test]
fn what_is_dropped_leaves_nothing() {
    let scratch = Scratch::new();
    let mut incoming = scratch.folder(false).begin("book.txt").unwrap();
    incoming.write_at(0, b"half of").unwrap();
    assert_eq!(scratch.names().len(), 1);
    drop(incoming);
    assert_eq!(scratch.names(), only(&[]));
}

#[test]
fn an_empty_file_is_a_file() {
    let scratch = Scratch::new();
    Box::new(scratch.folder(false).begin("empty").unwrap()).finish().unwrap();
    assert_eq!(scratch.read("empty"), b"");
}

#[test]
fn nothing_is_overwritten_without_consent_however_late_it_comes() {
    let scratch = Scratch::new();
    let folder = scratch.folder(false);
    let mut incoming = folder.begin("book.txt").unwrap();
    incoming.write_at(0, b"received").unwrap();
    // Somebody else takes the name while the file is on its way.
    fs::write(scratch.0.join("in/book.txt"), b"mine").unwrap();
    assert_eq!(Box::new(incoming).finish().unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(scratch.read("book.txt"), b"mine");
    assert_eq!(folder.begin("book.txt").unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert!(folder.check("book.txt").is_err());
    assert_eq!(scratch.names(), only(&["book.txt"]));
    let mut incoming = scratch.folder(true).begin("book.txt").unwrap();
    incoming.write_at(0, b"received").unwrap();
    Box::new(incoming).finish().unwrap();
    assert_eq!(scratch.read("book.txt"), b"received");
    assert_eq!(scratch.names(), only(&["book.txt"]));
}

#[test]
fn of_two_that_race_for_a_name_one_gets_it() {
    let scratch = Scratch::new();
    let folder = scratch.folder(false);
    // All have begun before the first ends: who begins later is refused at once.
    let begun: Vec<_> = (0..8u8)
        .map(|number| {
            let mut incoming = folder.begin("book.txt").unwrap();
            incoming.write_at(0, &[number; 100]).unwrap();
            (number, incoming)
        })
        .collect();
    let racers: Vec<_> = begun
        .into_iter()
        .map(|(number, incoming)| std::thread::spawn(move || Box::new(incoming).finish().map(|()| number)))
        .collect();
    let ends: Vec<_> = racers.into_iter().map(|racer| racer.join().unwrap()).collect();
    let winners: Vec<u8> = ends.iter().filter_map(|end| end.as_ref().ok().copied()).collect();
    assert_eq!(winners.len(), 1, "{ends:?}");
    assert_eq!(scratch.read("book.txt"), [winners[0]; 100]);
    assert_eq!(scratch.names(), only(&["book.txt"]));
}

#[cfg(unix)]
#[test]
fn a_link_that_lies_there_is_not_followed() {
    let scratch = Scratch::new();
    let (outside, link) = (scratch.0.join("outside"), scratch.0.join("in/book.txt"));
    fs::write(&outside, b"precious").unwrap();
    for (force, target) in [(false, "outside"), (false, "nowhere"), (true, "outside")] {
        let folder = scratch.folder(true);
        let mut incoming = folder.begin("book.txt").unwrap();
        incoming.force = force;
        incoming.write_at(0, b"received").unwrap();
        std::os::unix::fs::symlink(scratch.0.join(target), &link).unwrap();
        assert_eq!(Box::new(incoming).finish().is_ok(), force);
        assert_eq!(fs::read(&outside).unwrap(), b"precious");
        assert!(!scratch.0.join("nowhere").exists());
        fs::remove_file(&link).unwrap();
    }
}

#[test]
fn a_folder_that_is_none_is_said_to_be_none() {
    let scratch = Scratch::new();
    let file = scratch.0.join("file");
    fs::write(&file, b"").unwrap();
    for path in [file.clone(), file.join("below")] {
        let said = Folder::open(&path, false).unwrap_err();
        assert!(matches!(said, Failed::Output(_)) && said.to_string().contains("--out"), "{said}");
    }
}

#[test]
fn what_cannot_be_sent_is_refused_with_a_reason() {
    let scratch = Scratch::new();
    let hidden = scratch.0.join(".secret");
    fs::write(&hidden, b"x").unwrap();
    for (path, word) in [
        (scratch.0.join("none"), "no such file"),
        (scratch.0.clone(), "is a folder"),
        (hidden, "file name"),
        (PathBuf::new(), "no such file"),
        (PathBuf::from("a\0b"), "not the name"),
    ] {
        let said = Outgoing::open(&path).map(drop).unwrap_err();
        assert!(said.to_string().contains(word) && said.code() == 5, "{path:?}: {said}");
    }
}

#[test]
fn a_text_is_read_within_its_bounds() {
    let mut load = Load::text("t", b"0123456789".to_vec());
    let mut piece = [0; 3];
    load.bytes.read_at(7, &mut piece).unwrap();
    assert_eq!(&piece, b"789");
    assert!(load.bytes.read_at(8, &mut piece).is_err() && load.bytes.read_at(u64::MAX, &mut piece).is_err());
}
