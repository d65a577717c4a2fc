//! The leader's side, whole: the store under the rules in force, and a seat for each member.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::Bytes;

use super::{Arriving, ObjectView, Reader, Say, Store, StoreLimits};
use crate::event::{Event, ObjectRefusal};
use crate::identity::{MemberId, Name, NameRef, Version};
use crate::policy::Objects;
use crate::wire::field::{List, Payload};
use crate::wire::objects::{
    Expected, ObjectNews, ObjectPiece, ObjectRight, ObjectRights, PutAnswer, PutPiece, PutRefused, PutVerdict,
};

/// All shared objects, at the leader.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct Host {
    rules: Objects,
    store: Store,
    /// The most changes that arrive in pieces at once.
    most_arriving: usize,
    pub(super) arriving: usize,
}

fingerprint!(Host { store, arriving } skip { rules, most_arriving });

/// What the leader keeps for one member.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct Seat {
    reader: Reader,
    /// A change of this member that is arriving.
    arriving: Option<Arriving<Wanted>>,
    /// What became of its changes, not told yet.
    pub(super) answers: VecDeque<PutAnswer>,
    /// What it was told and has not acknowledged.
    said: Option<Said>,
}

fingerprint!(Seat { reader, arriving, answers, said });

/// The facts of a change that a member asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    number: u64,
    object: Name,
    expected: Option<Version>,
}

fingerprint!(Wanted { number, object, expected });

/// What was told.
#[derive(Debug, Clone)]
enum Said {
    News(Say),
    Answer,
}

#[cfg(any(test, feature = "sim"))]
impl crate::fingerprint::Fingerprint for Said {
    fn fingerprint(&self, now: crate::endpoint::Instant, sink: &mut dyn crate::fingerprint::Sink) {
        // What it is follows from the frame that is outstanding.
        matches!(self, Self::Answer).fingerprint(now, sink);
    }
}

#[cfg(any(test, feature = "sim"))]
impl crate::fingerprint::Fingerprint for PutAnswer {
    fn fingerprint(&self, now: crate::endpoint::Instant, sink: &mut dyn crate::fingerprint::Sink) {
        let mut bytes = bytes::BytesMut::new();
        crate::wire::Field::put(self, &mut bytes);
        bytes.fingerprint(now, sink);
    }
}

impl Host {
    /// Without contents, under these rules.
    pub const fn new(rules: Objects, limits: StoreLimits, most_arriving: usize) -> Self {
        Self { rules, store: Store::new(limits), most_arriving, arriving: 0 }
    }

    /// A seat for a member of this name, which comes now.
    pub fn seat(&self, name: Name) -> Seat {
        let reader = Reader::new(name, &self.store);
        Seat { reader, arriving: None, answers: VecDeque::new(), said: None }
    }

    /// A member is gone: a change of it that is not whole is no more.
    pub fn forget(&mut self, seat: &mut Seat) {
        if seat.arriving.take().is_some() {
            self.arriving = self.arriving.saturating_sub(1);
        }
    }

    /// A change of a member that is arriving has taken too long: it is refused, and others find its place.
    pub fn give_up(&mut self, seat: &mut Seat) {
        if let Some(Arriving { of, .. }) = seat.arriving.take() {
            self.arriving = self.arriving.saturating_sub(1);
            self.refuse(seat, &of, ObjectRefusal::Busy);
        }
    }

    /// Other rules are in force from now on, for these members.
    pub fn obey<'a>(&mut self, rules: &Objects, seats: impl Iterator<Item = &'a mut Seat>) {
        if self.rules == *rules {
            return;
        }
        self.store.obey(rules);
        for seat in seats {
            seat.reader.obey(&self.store, &self.rules, rules);
        }
        self.rules = rules.clone();
    }

    /// An object, if it has contents.
    pub fn get(&self, object: &Name) -> Option<&ObjectView> {
        self.store.get(object)
    }

    /// The version of an object; 0 if it has no contents.
    pub fn version(&self, object: &Name) -> Version {
        self.store.version(object)
    }

    /// The number of the last change.
    pub fn last(&self) -> Version {
        self.store.last()
    }

    /// The leader changes an object itself: it may change each.
    ///
    /// # Errors
    /// [`ObjectRefusal`].
    pub fn put(&mut self, object: &Name, expected: Option<Version>, contents: Bytes) -> Result<Version, ObjectRefusal> {
        let by = (MemberId::LEADER, crate::policy::Right::Change);
        let step = self.store.prepare(&self.rules, by, object.clone(), expected, contents)?;
        Ok(self.store.commit(step))
    }

    /// Takes a piece of a change from the member `by`. An event, if that changed an object. What became of it is owed to the
    /// member; [`Seat::answers`] tells how much is.
    pub fn take(&mut self, seat: &mut Seat, by: MemberId, piece: &PutPiece<'_>) -> Option<Event> {
        let PutPiece { number, size, offset, .. } = *piece;
        let object = piece.object.to_name();
        let expected = match piece.expected {
            Expected::Any => None,
            Expected::Exactly(version) => Some(version),
        };
        let wanted = Wanted { number, object, expected };
        let right = seat.reader.right(&self.rules, &wanted.object);
        if offset == 0 {
            self.forget(seat);
            let permitted = self.store.permits(&self.rules, right, &wanted.object, expected, u64::from(size));
            let room = if self.arriving < self.most_arriving { Ok(()) } else { Err(ObjectRefusal::Busy) };
            if let Err(why) = permitted.and(room) {
                self.refuse(seat, &wanted, why);
                return None;
            }
            self.arriving += 1;
            seat.arriving = Some(Arriving::new(wanted.clone(), size));
        }
        // What was refused, or has been taken, may have a piece under way still.
        let arriving = seat.arriving.as_mut().filter(|arriving| arriving.of == wanted)?;
        if !arriving.follows(offset, piece.bytes.0) {
            self.forget(seat);
            self.refuse(seat, &wanted, ObjectRefusal::Busy);
            return None;
        }
        let contents = arriving.take(piece.bytes.0)?;
        self.forget(seat);
        let Wanted { object, .. } = &wanted;
        // Rights and version may have changed since it began.
        match self.store.prepare(&self.rules, (by, right), object.clone(), expected, contents) {
            Ok(step) => {
                let version = self.store.commit(step);
                seat.answers.push_back(PutAnswer { number, verdict: PutVerdict::Taken(version) });
                Some(Event::ObjectChanged { object: wanted.object, version, by })
            }
            Err(why) => {
                self.refuse(seat, &wanted, why);
                None
            }
        }
    }

    fn refuse(&self, seat: &mut Seat, wanted: &Wanted, why: ObjectRefusal) {
        let version = match why {
            ObjectRefusal::Conflict => self.store.version(&wanted.object),
            _ => Version(0),
        };
        let verdict = PutVerdict::Refused(PutRefused { why, version });
        seat.answers.push_back(PutAnswer { number: wanted.number, verdict });
    }

    /// Tells a member what is next, if anything, by `tell`, which is given what to say. It counts as said if `tell` succeeds;
    /// [`Seat::told`] is to be called when the member has acknowledged it, and nothing more is told before. `room` is how many
    /// bytes of contents fit.
    ///
    /// # Errors
    /// What `tell` answers; then nothing was said.
    pub fn tell<R, E>(
        &self,
        seat: &mut Seat,
        room: usize,
        tell: impl FnOnce(ObjectNews<'_>) -> Result<R, E>,
    ) -> Result<Option<R>, E> {
        if let Some(answer) = seat.answers.front().copied() {
            let made = tell(ObjectNews::Answer(answer))?;
            seat.said = Some(Said::Answer);
            return Ok(Some(made));
        }
        let Some(say) = seat.reader.next(&self.store, &self.rules, room) else { return Ok(None) };
        let made = match &say {
            Say::Rights(rights) => {
                let told = |(object, right, size): &(Name, _, u32)| (object.clone(), *right, *size);
                let rights: Vec<_> = rights.iter().map(told).collect();
                let wire: Vec<_> = rights
                    .iter()
                    .map(|(object, right, size)| ObjectRight { object: object.by_ref(), right: *right, size: *size })
                    .collect();
                tell(ObjectNews::Rights(ObjectRights { rights: List::of(&wire) }))?
            }
            Say::Piece { object, version, by, size, offset, bytes } => {
                let (object, bytes): (NameRef<'_>, _) = (object.by_ref(), Payload(bytes));
                let (version, by, size, offset) = (*version, *by, *size, *offset);
                tell(ObjectNews::Piece(ObjectPiece { object, version, by, size, offset, bytes }))?
            }
        };
        seat.said = Some(Said::News(say));
        Ok(Some(made))
    }

    /// Whether there is something to tell a member.
    pub fn owes(&self, seat: &Seat) -> bool {
        !seat.answers.is_empty() || seat.reader.next(&self.store, &self.rules, 1).is_some()
    }
}

impl Seat {
    /// The member has acknowledged what it was told last.
    pub fn told(&mut self) {
        match self.said.take() {
            Some(Said::News(say)) => {
                self.reader.told(say);
            }
            Some(Said::Answer) => {
                self.answers.pop_front();
            }
            None => {}
        }
    }

    /// Whether a change is arriving.
    pub const fn is_arriving(&self) -> bool {
        self.arriving.is_some()
    }

    /// How many answers are owed.
    pub fn answers(&self) -> usize {
        self.answers.len()
    }
}
