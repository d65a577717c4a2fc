//! Shared objects at a member: what it asks for, and what it has.

use bytes::Bytes;

use super::requests::Wanted;
use super::session::Session;
use super::{Member, Phase};
use crate::endpoint::Cx;
use crate::error::{CommandError, Misuse};
use crate::identity::{Name, Version};
use crate::objects::{ObjectView, room};
use crate::policy::Right;
use crate::wire::field::Payload;
use crate::wire::objects::{Expected, PutPiece};

/// A piece of a change, as it is asked for.
#[derive(Debug, Clone)]
pub(super) struct Put {
    number: u64,
    object: Name,
    expected: Expected,
    size: u32,
    offset: u32,
    bytes: Bytes,
}

impl Put {
    fn of(piece: &PutPiece<'_>) -> Self {
        let PutPiece { number, object, expected, size, offset, bytes } = *piece;
        Self { number, object: object.to_name(), expected, size, offset, bytes: Bytes::copy_from_slice(bytes.0) }
    }

    /// The same as it is sent.
    pub(super) fn wire(&self) -> PutPiece<'_> {
        let Self { number, object, expected, size, offset, bytes } = self;
        let (object, bytes) = (object.by_ref(), Payload(bytes));
        PutPiece { number: *number, object, expected: *expected, size: *size, offset: *offset, bytes }
    }
}

impl Session {
    /// Makes the next piece of a change a request, unless one waits already: so others come in between.
    pub(super) fn want_piece(&mut self) {
        if self.requests.has_piece() {
            return;
        }
        if let Some(put) = self.objects.next(room(&self.station.policy)).as_ref().map(Put::of) {
            self.objects.said(put.bytes.len());
            self.requests.want(Wanted::Put(put));
        }
    }
}

impl Member {
    /// Asks the leader to put `contents` into a shared object, in the place of version `expected` if one is named (0: of no
    /// contents). Gives the number of the change in this session;
    /// [`Event::ObjectTaken`](crate::event::Event::ObjectTaken) or
    /// [`Event::ObjectRefused`](crate::event::Event::ObjectRefused) tells what became of it, unless the session ends before.
    ///
    /// # Errors
    /// [`Misuse::NotJoined`], [`Misuse::TooLong`] for more than 16 MiB, [`Misuse::Unanswered`]
    /// ([`Limits::records`](crate::group::Limits::records) changes are not answered), [`CommandError::Full`].
    pub fn put(
        &mut self,
        cx: &mut Cx<'_>,
        object: &Name,
        expected: Option<Version>,
        contents: Bytes,
    ) -> Result<u64, CommandError> {
        let now = self.out.tick(cx.now);
        self.room()?;
        let most = self.me.limits.records;
        let Phase::In(session) = &mut self.phase else { return Err(Misuse::NotJoined.into()) };
        if !session.joined {
            return Err(Misuse::NotJoined.into());
        }
        let number = session.objects.put(object, expected, contents, most)?;
        // What cannot be sent now goes out with a timeout.
        let _ = self.ask_next(now);
        Ok(number)
    }

    /// A shared object as the leader has told it last in this session, if it has. One that may be read no longer stays as it was
    /// then.
    pub fn get(&self, object: &Name) -> Option<&ObjectView> {
        self.session()?.objects.get(object)
    }

    /// What this member may do with a shared object, as the leader has told.
    pub fn right(&self, object: &Name) -> Right {
        self.session().map_or(Right::None, |session| session.objects.right(object))
    }

    /// The shared objects that this member may read: what it may do with each, and the longest contents in bytes.
    pub fn objects(&self) -> impl Iterator<Item = (&Name, Right, u32)> {
        self.session().into_iter().flat_map(|session| session.objects.rights())
    }
}
