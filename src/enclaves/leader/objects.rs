//! Shared objects at a leader: it keeps them, takes changes of them, and tells each member what that may read.

use bytes::Bytes;

use super::{Leader, Timer};
use crate::endpoint::{Cx, Instant};
use crate::error::{CommandError, Misuse, Reason};
use crate::event::{Event, ObjectRefusal, Suspicion};
use crate::group::Limits;
use crate::identity::{MemberId, Name, Version};
use crate::objects::{Host, ObjectView, StoreLimits};
use crate::policy::{MAX_OBJECT_BYTES, Policy};
use crate::wire::objects::PutPiece;

/// No contents yet, under the rules of this policy.
pub(super) fn host(policy: &Policy, limits: &Limits) -> Host {
    let log = StoreLimits { changes: limits.object_log, bytes: limits.object_log_bytes };
    Host::new(policy.objects.clone(), log, limits.object_puts)
}

impl Leader {
    /// Puts `contents` into a shared object, in the place of version `expected` if one is named (0: of no contents). Gives the
    /// number of the change, as the leader counts its own; [`Event::ObjectTaken`] or [`Event::ObjectRefused`] tells what became
    /// of it, at once. A leader may change each object that the policy names.
    ///
    /// # Errors
    /// [`Misuse::TooLong`] for more than 16 MiB, [`Misuse::Closed`], [`CommandError::Full`].
    pub fn put(
        &mut self,
        cx: &mut Cx<'_>,
        object: &Name,
        expected: Option<Version>,
        contents: Bytes,
    ) -> Result<u64, CommandError> {
        self.command(cx)?;
        if contents.len() > MAX_OBJECT_BYTES as usize {
            return Err(Misuse::TooLong.into());
        }
        self.puts += 1;
        let (number, object) = (self.puts, object.clone());
        match self.objects.put(&object, expected, contents) {
            Ok(version) => {
                self.out.event(Event::ObjectTaken { number, object: object.clone(), version });
                self.changed(Event::ObjectChanged { object, version, by: MemberId::LEADER });
            }
            Err(why) => {
                let version = match why {
                    ObjectRefusal::Conflict => self.objects.version(&object),
                    _ => Version(0),
                };
                self.out.event(Event::ObjectRefused { number, object, why, version });
            }
        }
        Ok(number)
    }

    /// A shared object as it is now, if it has contents.
    pub fn get(&self, object: &Name) -> Option<&ObjectView> {
        self.objects.get(object)
    }

    /// An object is other than it was: members that may read it are to hear of that.
    fn changed(&mut self, event: Event) {
        self.out.event(event);
        self.work.extend(self.peers.keys().copied());
    }

    /// A piece of a change that a member asks for. Nothing has changed if it fails.
    pub(super) fn on_put(&mut self, now: Instant, asker: MemberId, piece: &PutPiece<'_>) -> Result<(), Reason> {
        let most = self.me.limits.records;
        let Some(peer) = self.peers.get_mut(&asker) else { return Err(Reason::Unknown) };
        // Who waits for its own rekey is in no view yet: nobody would know who made the change (S6).
        if peer.waits() {
            return Err(Reason::Violation);
        }
        // Each change begins with its first piece and gets one answer. Who lets answers pile up is taken for dead (R30).
        if piece.offset == 0 && peer.seat.answers() >= most {
            self.condemn(now, asker, Suspicion::RecordsPileUp);
            return Ok(());
        }
        let event = self.objects.take(&mut peer.seat, asker, piece);
        let arriving = peer.seat.is_arriving();
        if !arriving {
            self.timers.set(Timer::Put(asker), None);
        } else if piece.offset == 0 {
            let steps = piece.size.div_ceil(Limits::OBJECT_STEP).max(1);
            let until = now + self.me.limits.object_put_time.saturating_mul(steps);
            self.timers.set(Timer::Put(asker), Some(until));
        }
        if let Some(event) = event {
            self.changed(event);
        }
        Ok(())
    }

    /// The change of a member takes too long: it does not hold its place for ever.
    pub(super) fn put_time(&mut self, asker: MemberId) {
        if let Some(peer) = self.peers.get_mut(&asker) {
            self.objects.give_up(&mut peer.seat);
            self.work.insert(asker);
        }
    }
}
