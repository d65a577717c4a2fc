//! Data at a leader (RA §5): it sends, checks and relays, and is a receiver like the others.
//!
//! Where a message goes is one rule for all modes of communication: over each shared link once, but not over that which it
//! came by; and point to point to whoever has not said that it hears the leader over a shared link, but not to its sender.
//! In the mode *relay*, and where no member hears, shared links carry no data.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use super::{FRAMES, Leader};
use crate::endpoint::{Class, Cx, Instant, Link, To, Transmit};
use crate::error::{CommandError, Misuse, Reason};
use crate::event::{Event, Port};
use crate::group::alike::leader_seals;
use crate::group::data::DataSealer;
use crate::policy::Communication;

impl Leader {
    leader_seals!();

    /// Sends a message to the group.
    ///
    /// # Errors
    /// [`Misuse::TooLong`], [`Misuse::SealerTaken`], [`Misuse::KeyExhausted`], [`Misuse::Closed`],
    /// [`CommandError::Full`], [`Failure::Suite`](crate::error::Failure::Suite).
    pub fn send(&mut self, cx: &mut Cx<'_>, port: Port, payload: &[u8]) -> Result<(), CommandError> {
        let frame = self.seal_data(cx, port, payload)?;
        for to in self.data_ways() {
            self.out.send(Transmit { to, frame: frame.clone(), class: Class::Data });
        }
        Ok(())
    }

    /// Moves the sealer of the current epoch out: the data plane on its own. It stops by itself when its key ends. Until
    /// the next epoch, [`Self::send`] has nothing to seal with. What it seals does not count for the causes *messages* and
    /// *bytes*, and to send it is the application's business: see [`Self::data_ways`]. What bounds it is [`SealLimits`](crate::group::sealer::SealLimits).
    ///
    /// # Errors
    /// [`Misuse::SealerTaken`].
    pub fn take_sealer(&mut self, cx: &mut Cx<'_>) -> Result<DataSealer, Misuse> {
        let now = self.out.tick(cx.now);
        if self.closing.is_some() {
            return Err(Misuse::Closed);
        }
        self.station.take_sealer(now)
    }

    /// Where a message of the leader goes now, by the policy's mode of communication and by what members have said of what
    /// they hear: at most two ways, over shared links and point to point. For what a sealer seals that was taken.
    pub fn data_ways(&self) -> impl Iterator<Item = To> + use<> {
        let ways = [self.shared.data.clone(), self.singly.clone()];
        ways.into_iter().filter(|links| !links.is_empty()).map(To::Many)
    }

    /// Finds anew where data go: a member has come, gone or moved, or hears otherwise, or a shared link has, or the policy has
    /// changed. Who waits for its rekey could open nothing yet.
    pub(super) fn reconnect(&mut self) {
        let present = || self.peers.values().filter(|peer| !peer.waits());
        let policy = &self.station.policy;
        // Without heartbeats nobody would notice that it hears nothing any more.
        let shares = policy.communication != Communication::Relay && policy.detection.is_some();
        let shares = shares && present().any(|peer| peer.shown.hears);
        self.shared.data = if shares { self.shared.links.clone() } else { Arc::new([]) };
        let shares = !self.shared.data.is_empty();
        let singly = present().filter(|peer| !(shares && peer.shown.hears));
        let links: BTreeSet<Link> = singly.filter_map(|peer| peer.link).collect();
        self.singly = links.into_iter().collect::<Vec<_>>().into();
    }

    /// RA §5 at a leader: it relays what it has checked, and is a receiver like the others.
    pub(super) fn on_data(&mut self, now: Instant, link: Link, frame: BytesMut) -> Result<(), Reason> {
        if self.closing.is_some() {
            return Err(Reason::Ended);
        }
        let besides = |links: &[Link], but: Link| links.iter().any(|link| *link != but);
        // Opening is in place, so the ciphertext for the others is copied first.
        let forwards = besides(&self.shared.data, link) || self.singly.len() > 1 || besides(&self.singly, link);
        let copy = if forwards {
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
        let from = checked.cid();
        // Without protection, the link is all there is: that member's own, or, where everybody sends over shared links, one of
        // these, which shows nothing of who it is (RA §5).
        let clear = checked.is_clear();
        let symmetric = self.station.policy.communication == Communication::Symmetric;
        let anybodys = symmetric && self.shared.links.contains(&link);
        let peer = self.peers.get(&from).ok_or(Reason::NotMember)?;
        if clear && peer.link != Some(link) && !anybodys {
            return Err(Reason::NotMember);
        }
        // Not back to its sender; wherever the frame came from, that is its own link (R40).
        let own = peer.link.unwrap_or(link);
        // What is clear uses up no number; and it uses up the rate only if nothing else is wrong with it (R25).
        let message = self.station.deliver(checked)?;
        if clear {
            let allowance = if anybodys {
                Some(&mut self.shared.clear)
            } else {
                self.peers.get_mut(&from).map(|peer| &mut peer.clear)
            };
            if !allowance.is_some_and(|allowance| allowance.take(now)) {
                return Err(Reason::Budget);
            }
        } else if message.epoch == self.issue.epoch() {
            self.use_key(now, message.payload.len());
        }
        // Without a number, nothing would stop it from going round between shared links.
        let over = if clear && anybodys { &[][..] } else { &self.shared.data };
        let over = besides(over, link).then(|| To::AllBut(self.shared.data.clone(), link));
        let singly = besides(&self.singly, own).then(|| To::AllBut(self.singly.clone(), own));
        self.out.stats.relayed += u64::from(over.is_some() || singly.is_some());
        for to in over.into_iter().chain(singly) {
            self.out.send(Transmit { to, frame: copy.clone(), class: Class::Data });
        }
        self.out.stats.delivered += 1;
        self.out.event(Event::Data(message));
        Ok(())
    }
}
