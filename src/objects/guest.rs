//! The member's side, whole: its replicas, and the changes that it asks for.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::Bytes;

use super::{ObjectView, Piece, Replicas, RightTold};
use crate::error::{Misuse, Reason};
use crate::event::Event;
use crate::identity::{Name, Version};
use crate::policy::{MAX_OBJECT_BYTES, Right};
use crate::wire::field::Payload;
use crate::wire::objects::{Expected, ObjectNews, PutPiece, PutVerdict};

/// A member's shared objects.
#[derive(Debug, Default)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct Guest {
    replicas: Replicas,
    /// The number of the last change that was asked for.
    made: u64,
    /// Changes that are not answered, the oldest first.
    asked: VecDeque<Put>,
}

fingerprint!(Guest { replicas, made, asked });

/// A change that is asked for.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
struct Put {
    number: u64,
    object: Name,
    expected: Option<Version>,
    contents: Bytes,
    /// How much of it has been said; `None`: nothing, not even that it is empty.
    said: Option<u32>,
}

fingerprint!(Put { number, object, expected, contents, said });

impl Put {
    fn size(&self) -> u32 {
        u32::try_from(self.contents.len()).unwrap_or(u32::MAX)
    }

    fn is_said(&self) -> bool {
        self.said.is_some_and(|said| said >= self.size())
    }
}

impl Guest {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self { replicas: Replicas::new(), made: 0, asked: VecDeque::new() }
    }

    /// Asks for a change of `object`, in the place of version `expected` if one is named (0: of no contents). Gives the number
    /// that the answer names. At most `most` are under way.
    ///
    /// # Errors
    /// [`Misuse::TooLong`] for more than 16 MiB, [`Misuse::Unanswered`].
    pub fn put(
        &mut self,
        object: &Name,
        expected: Option<Version>,
        contents: Bytes,
        most: usize,
    ) -> Result<u64, Misuse> {
        if contents.len() > MAX_OBJECT_BYTES as usize {
            return Err(Misuse::TooLong);
        }
        if self.asked.len() >= most {
            return Err(Misuse::Unanswered);
        }
        self.made += 1;
        let (number, object) = (self.made, object.clone());
        self.asked.push_back(Put { number, object, expected, contents, said: None });
        Ok(number)
    }

    /// Whether a piece of a change is to be said.
    pub fn wants(&self) -> bool {
        self.asked.iter().any(|put| !put.is_said())
    }

    /// How many changes are not answered.
    pub fn unanswered(&self) -> usize {
        self.asked.len()
    }

    /// The next piece of a change that is asked for, of at most `room` bytes. [`Self::said`] counts it as said.
    pub fn next(&self, room: usize) -> Option<PutPiece<'_>> {
        let put = self.asked.iter().find(|put| !put.is_said())?;
        let (offset, size) = (put.said.unwrap_or(0), put.size());
        let from = (offset as usize).min(put.contents.len());
        let to = put.contents.len().min(from.saturating_add(room.max(1)));
        let bytes = Payload(put.contents.get(from..to).unwrap_or_default());
        let expected = put.expected.map_or(Expected::Any, Expected::Exactly);
        Some(PutPiece { number: put.number, object: put.object.by_ref(), expected, size, offset, bytes })
    }

    /// The piece that [`Self::next`] gave, of so many bytes, is on its way, and is repeated until it arrives.
    pub fn said(&mut self, bytes: usize) {
        if let Some(put) = self.asked.iter_mut().find(|put| !put.is_said()) {
            let said = u32::try_from(bytes).unwrap_or(u32::MAX);
            put.said = Some(put.said.unwrap_or(0).saturating_add(said));
        }
    }

    /// Whether the leader may tell this.
    ///
    /// # Errors
    /// [`Reason::Violation`].
    pub fn may_hear(&self, news: &ObjectNews<'_>) -> Result<(), Reason> {
        let sound = match news {
            ObjectNews::Rights(told) => self.replicas.may_hear(&rights(told)),
            ObjectNews::Piece(piece) => with_piece(piece, |piece| self.replicas.may_take(piece)),
            ObjectNews::Answer(answer) => self.asked.iter().any(|put| put.number == answer.number),
        };
        if sound { Ok(()) } else { Err(Reason::Violation) }
    }

    /// Takes what [`Self::may_hear`]; gives what is to be told here.
    pub fn hear(&mut self, news: &ObjectNews<'_>) -> Vec<Event> {
        match news {
            ObjectNews::Rights(told) => {
                let told = rights(told);
                let news = |(object, right, _): &RightTold| {
                    let changed = self.replicas.right(object) != *right;
                    changed.then(|| Event::ObjectRight { object: object.clone(), right: *right })
                };
                let events = told.iter().filter_map(news).collect();
                self.replicas.hear(told);
                events
            }
            ObjectNews::Piece(piece) => {
                if !with_piece(piece, |piece| self.replicas.take(piece)) {
                    return Vec::new();
                }
                let (object, version, by) = (piece.object.to_name(), piece.version, piece.by);
                alloc::vec![Event::ObjectChanged { object, version, by }]
            }
            ObjectNews::Answer(answer) => {
                let Some(at) = self.asked.iter().position(|put| put.number == answer.number) else {
                    return Vec::new();
                };
                let Some(Put { number, object, .. }) = self.asked.remove(at) else { return Vec::new() };
                alloc::vec![match answer.verdict {
                    PutVerdict::Taken(version) => Event::ObjectTaken { number, object, version },
                    PutVerdict::Refused(refused) => {
                        Event::ObjectRefused { number, object, why: refused.why, version: refused.version }
                    }
                }]
            }
        }
    }

    /// An object as it was told last. One that may be read no longer stays as it was then.
    pub fn get(&self, object: &Name) -> Option<&ObjectView> {
        self.replicas.get(object)
    }

    /// What may be done with an object.
    pub fn right(&self, object: &Name) -> Right {
        self.replicas.right(object)
    }

    /// The objects that may be read, with the longest contents of each in bytes.
    pub fn rights(&self) -> impl Iterator<Item = (&Name, Right, u32)> {
        self.replicas.rights()
    }

    /// The bytes of all contents here.
    pub fn bytes(&self) -> usize {
        self.replicas.bytes()
    }
}

fn rights(told: &crate::wire::objects::ObjectRights<'_>) -> Vec<RightTold> {
    told.rights.iter().map(|told| (told.object.to_name(), told.right, told.size)).collect()
}

fn with_piece<R>(piece: &crate::wire::objects::ObjectPiece<'_>, use_it: impl FnOnce(&Piece<'_>) -> R) -> R {
    let object = piece.object.to_name();
    let (version, by, size, offset) = (piece.version, piece.by, piece.size, piece.offset);
    use_it(&Piece { object: &object, version, by, size, offset, bytes: piece.bytes.0 })
}
