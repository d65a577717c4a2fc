//! Data at a leader (EN-R9): it sends, checks and relays, and is a receiver like the others.

use bytes::{Bytes, BytesMut};

use super::{FRAMES, Leader};
use crate::endpoint::{Class, Cx, Instant, Link, To, Transmit};
use crate::error::{CommandError, Misuse, Reason};
use crate::event::{Event, Port};
use crate::group::alike::leader_seals;
use crate::group::data::DataSealer;

impl Leader {
    leader_seals!();

    /// Sends a message to the group.
    ///
    /// # Errors
    /// [`Misuse::TooLong`], [`Misuse::SealerTaken`], [`Misuse::KeyExhausted`], [`Misuse::Closed`],
    /// [`CommandError::Full`], [`Failure::Suite`](crate::error::Failure::Suite).
    pub fn send(&mut self, cx: &mut Cx<'_>, port: Port, payload: &[u8]) -> Result<(), CommandError> {
        let frame = self.seal_data(cx, port, payload)?;
        if !self.present.is_empty() {
            self.out.send(Transmit { to: To::Many(self.present.clone()), frame, class: Class::Data });
        }
        Ok(())
    }

    /// Moves the sealer of the current epoch out: the data plane on its own. It stops by itself when its key ends. What it
    /// seals does not count for the causes *messages* and *bytes*, and goes to [`Self::data_ways`].
    ///
    /// # Errors
    /// [`Misuse::SealerTaken`], [`Misuse::Closed`].
    pub fn take_sealer(&mut self, cx: &mut Cx<'_>) -> Result<DataSealer, Misuse> {
        let now = self.out.tick(cx.now);
        if self.closing.is_some() { Err(Misuse::Closed) } else { self.station.take_sealer(now) }
    }

    /// Where a message of the leader goes now. For what a sealer seals that was taken.
    pub fn data_ways(&self) -> impl Iterator<Item = To> + use<> {
        let present = self.present.clone();
        (!present.is_empty()).then_some(To::Many(present)).into_iter()
    }

    /// EN-R9 at a leader.
    pub(super) fn on_data(&mut self, now: Instant, link: Link, frame: BytesMut) -> Result<(), Reason> {
        if self.closing.is_some() {
            return Err(Reason::Ended);
        }
        // Opening is in place, so the ciphertext for the others is copied first.
        let copy = if self.present.iter().any(|present| *present != link) {
            self.out.pool.compose(frame.len(), |out| {
                out.extend_from_slice(&frame);
                Ok::<_, Reason>(())
            })?
        } else {
            Bytes::new()
        };
        let checked = self.station.check(now, frame, true).map_err(|why| match why {
            // Whoever makes the keys has them first.
            Reason::EarlyEpoch => Reason::NoSuchEpoch,
            why => why,
        })?;
        let (from, clear) = (checked.cid(), checked.is_clear());
        let peer = self.peers.get(&from).ok_or(Reason::NotMember)?;
        // Without protection, the link is all there is.
        if clear && peer.link != Some(link) {
            return Err(Reason::NotMember);
        }
        // Not back to its sender; wherever the frame came from, that is its own link (R40).
        let own = peer.link.unwrap_or(link);
        let message = self.station.deliver(checked)?;
        if clear {
            if !self.peers.get_mut(&from).is_some_and(|peer| peer.clear.take(now)) {
                return Err(Reason::Budget);
            }
        } else if message.epoch == self.issue.epoch() {
            self.use_key(now, message.payload.len());
        }
        if self.present.iter().any(|present| *present != own) {
            let to = To::AllBut(self.present.clone(), own);
            self.out.relay(Transmit { to, frame: copy, class: Class::Data });
        }
        self.out.stats.delivered += 1;
        self.out.event(Event::Data(message));
        Ok(())
    }
}
