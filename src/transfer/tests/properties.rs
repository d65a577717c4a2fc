//! What holds of whatever comes.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn no_bytes_from_outside_do_more_than_their_message(
        payload in prop::collection::vec(any::<u8>(), 0..200), code in 0..7u8, known: bool,
    ) {
        let object = manifest(1, 5 * ROOM as u64);
        let mut machine = receiver(&object);
        machine.offer_again(at(1), manifest(2, 9 * ROOM as u64)).unwrap();
        let mut bytes = alloc::vec![code];
        if known {
            bytes.extend_from_slice(&[1 + code % 2; 16]);
        }
        bytes.extend_from_slice(&payload);
        let before = state(&machine);
        if machine.handle_message(at(1), ADA, &Bytes::from(bytes)).is_err() {
            prop_assert!(state(&machine) == before);
        }
        prop_assert!(events(&mut machine).len() <= EVENTS_PER_MESSAGE);
    }

    /// Whatever is missing: the demands of one round name it, all of it, and nothing else.
    #[test]
    fn demands_name_what_is_missing(have in prop::collection::btree_set(0..3000u32, 0..200), dense: bool) {
        let object = Manifest { chunk: 1, ..manifest(1, 3000) };
        let mut bits = super::super::bitmap::Bitmap::new(3000);
        for index in 0..3000 {
            if have.contains(&index) != dense {
                bits.insert(index);
            }
        }
        let missing: Vec<u32> = (0..3000).filter(|index| !bits.contains(*index)).collect();
        prop_assume!(!missing.is_empty());
        let mut machine = machine(1);
        machine.resume(at(0), Progress { manifest: object.clone(), have: bits }).unwrap();
        machine.handle_message(at(0), ADA, &announce(&object, 1)).unwrap();
        let said = messages(&mut machine, at(60), &mut NoSource);
        let wants = wants_of(&said);
        prop_assert!(wants.len() <= 2);
        let mut named: Vec<u32> = Vec::new();
        for want in &wants {
            named.extend(super::super::sender::wanted_bits(want));
            if want.rest {
                named.extend(want.base + 8 * want.bits.0.len() as u32..3000);
            }
        }
        prop_assert_eq!(named, missing);
    }

    #[test]
    fn what_is_stored_of_an_object_is_read_back(size in 0..5000u64, have in prop::collection::btree_set(0..5000u32, 0..50), noise in any::<(usize, u8)>()) {
        let object = Manifest { chunk: 3, ..manifest(1, size) };
        let held: Vec<u32> = have.into_iter().filter(|index| *index < object.chunks()).collect();
        let there: usize = held.iter().map(|index| object.chunk_len(*index)).sum();
        // Twice, and one that the object does not have: neither counts.
        let claimed = held.iter().copied().chain(held.first().copied()).chain([object.chunks()]);
        let progress = Progress::claim(object, claimed);
        prop_assert_eq!((progress.chunks().0 as usize, progress.bytes()), (held.len(), there as u64));
        let mut bytes = progress.to_bytes();
        prop_assert_eq!(Progress::from_bytes(&bytes).unwrap(), progress);
        let at = noise.0 % bytes.len();
        bytes[at] ^= noise.1;
        if let Ok(other) = Progress::from_bytes(&bytes) {
            prop_assert_eq!(other.to_bytes(), bytes);
        }
    }
}
