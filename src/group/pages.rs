//! Pages of a view: made by the leader from one shared snapshot, put together by the member.

use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use crate::group::view::ChangeRecord;
use crate::identity::Version;
use crate::wire::antigone::{LeaderBody, LeaderRecord, ViewPage};
use crate::wire::field::{Digest, Field, List};

/// What a page needs besides its changes: status, header, lengths, tags, rounded up.
const PAGE_OVERHEAD: usize = 512;
/// The longest change: code, number, name, key.
const LONGEST_CHANGE: usize = 1 + 8 + 256 + 2 + 160;

/// The pages that one member still has to get: a cursor over a snapshot that all members share (RA §4.5).
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct Pages {
    changes: Arc<[ChangeRecord]>,
    from: Version,
    to: Version,
    digest: Digest,
    next: usize,
}

fingerprint!(Pages { changes, from, to, digest, next });

impl Pages {
    /// All pages from version `from` (0: the whole roster, as additions) to version `to`.
    pub fn new(changes: Arc<[ChangeRecord]>, from: Version, to: Version, digest: Digest) -> Self {
        Self { changes, from, to, digest, next: 0 }
    }

    /// The version that they lead to.
    pub fn to(&self) -> Version {
        self.to
    }

    /// The next page as the body of an RA-CL of at most `frame_limit` bytes, and the cursor after it, if pages are left.
    pub fn page(&self, frame_limit: usize) -> (Bytes, Option<Self>) {
        self.page_for(frame_limit, |page| {
            let mut out = BytesMut::with_capacity(frame_limit);
            LeaderBody::Record(LeaderRecord::View(page)).put(&mut out);
            out.freeze()
        })
    }

    /// The next page for a frame of at most `frame_limit` bytes, as `put` makes something of it, and the cursor after it, if
    /// pages are left.
    pub fn page_for<R>(&self, frame_limit: usize, put: impl FnOnce(ViewPage<'_>) -> R) -> (R, Option<Self>) {
        let budget = frame_limit.saturating_sub(PAGE_OVERHEAD).max(LONGEST_CHANGE);
        let rest = self.changes.get(self.next..).unwrap_or_default();
        let mut scratch = BytesMut::new();
        let mut page = Vec::new();
        for change in rest {
            let change = change.to_wire();
            change.put(&mut scratch);
            if scratch.len() > budget || page.len() >= crate::wire::antigone::MAX_CHANGES {
                break;
            }
            page.push(change);
        }
        let next = self.next + page.len();
        let last = next >= self.changes.len();
        let made = put(ViewPage {
            from: self.from,
            to: self.to,
            digest: self.digest,
            first: self.next == 0,
            last,
            changes: List::of(&page),
        });
        let left = (!last).then(|| Self { changes: self.changes.clone(), next, ..*self });
        (made, left)
    }
}

/// Pages that a member is putting together.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct Assembly {
    /// The version that the changes start from; 0: they are the whole roster.
    pub from: Version,
    /// The version that they lead to.
    pub to: Version,
    /// Its digest.
    pub digest: Digest,
    /// The changes so far.
    pub changes: Vec<ChangeRecord>,
}

fingerprint!(Assembly { from, to, digest, changes });

/// What a page adds up to.
#[derive(Debug, PartialEq, Eq)]
pub enum Paged {
    /// The first of more pages.
    First(Assembly),
    /// One more page, with these changes: [`Assembly::append`] them.
    Next(Vec<ChangeRecord>),
    /// All are here.
    Whole(Assembly),
}

impl Assembly {
    /// Adds `page` to what is here so far. `most` bounds the changes (the roster limit).
    ///
    /// # Errors
    /// Nothing, if the page does not belong here: the leader breaks the protocol, since records come in order.
    pub fn add(so_far: Option<&Self>, page: &ViewPage<'_>, most: usize) -> Option<Paged> {
        let begun = match so_far {
            _ if page.first => None,
            Some(begun) if (begun.from, begun.to, begun.digest) == (page.from, page.to, page.digest) => Some(begun),
            _ => return None,
        };
        let before: &[ChangeRecord] = begun.map_or(&[], |begun| &begun.changes);
        if before.len() + page.changes.len() > most {
            return None;
        }
        let new = page.changes.iter().map(ChangeRecord::from);
        if !page.last && begun.is_some() {
            return Some(Paged::Next(new.collect()));
        }
        let changes = before.iter().cloned().chain(new).collect();
        let assembly = Self { from: page.from, to: page.to, digest: page.digest, changes };
        Some(if page.last { Paged::Whole(assembly) } else { Paged::First(assembly) })
    }

    /// Takes in a further page.
    pub fn append(&mut self, changes: Vec<ChangeRecord>) {
        self.changes.extend(changes);
    }
}
