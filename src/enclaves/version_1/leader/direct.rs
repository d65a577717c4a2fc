//! How a leader joins two members directly: it makes a key for the two, and tells each how to find the other.

use super::super::{DirectLinks, MAX_DIRECT};
use super::Leader;
use super::peer::{Offer, Owed};
use crate::crypto::Key;
use crate::enclaves::published::control;
use crate::endpoint::{Cx, Instant, Link};
use crate::error::{Failure, Reason};

impl Leader {
    /// EN-1XR.
    pub(super) fn on_direct_request(
        &mut self,
        cx: &mut Cx<'_>,
        now: Instant,
        link: Link,
        frame: &[u8],
    ) -> Result<(), Reason> {
        let (asker, peer) = self.seated(link)?;
        let (scheme, leader, time) = (self.me.scheme(), self.me.name.by_ref(), self.time(now));
        let (number, wanted) = scheme.read_direct_request(peer.pair.gate(peer.name.by_ref(), leader, time), frame)?;
        let other = self.names.get(&wanted).filter(|cid| **cid != asker);
        let other = other.and_then(|cid| Some((*cid, self.peers.get(cid)?)));
        let granted = other.filter(|_| self.me.direct == DirectLinks::Granted);
        let Some((cid, other)) = granted else {
            let line = peer.pair.line(leader, peer.name.by_ref(), time.millis);
            let denied = scheme.direct_denied(cx.rng, line, wanted.by_ref())?;
            let said = line.stamp.sequence;
            self.heard(asker, number);
            self.said(asker, said);
            self.out.send(control(link, denied));
            return Ok(());
        };
        let under_way = peer.directs.contains_key(&wanted) || other.directs.contains_key(&peer.name);
        if under_way {
            // One of them has still to acknowledge the last key: it is told again, and no other key is made.
            let name = peer.name.clone();
            self.heard(asker, number);
            for (cid, about) in [(asker, wanted), (cid, name)] {
                if let Some(offer) = self.peers.get_mut(&cid).and_then(|peer| peer.directs.get_mut(&about)) {
                    offer.owed.now = true;
                    self.work.insert(cid);
                }
            }
            return Ok(());
        }
        if peer.directs.len() >= MAX_DIRECT || other.directs.len() >= MAX_DIRECT {
            return Err(Reason::Budget);
        }
        let key = Key::new(self.me.suite.fresh_key(cx.rng).map_err(Failure::from)?);
        // Whoever cannot be reached dials. If both can, or neither says so, the one that asked does.
        let asker_dials = !other.hint.is_empty() || peer.hint.is_empty();
        let (name, hint, other_hint) = (peer.name.clone(), peer.hint.clone(), other.hint.clone());
        let to_asker = Offer { key: key.clone(), dials: asker_dials, hint: other_hint, owed: Owed::NEW };
        let to_other = Offer { key, dials: !asker_dials, hint, owed: Owed::NEW };
        self.heard(asker, number);
        for (cid, about, offer) in [(cid, name, to_other), (asker, wanted, to_asker)] {
            if let Some(peer) = self.peers.get_mut(&cid) {
                peer.directs.insert(about, offer);
                self.work.insert(cid);
            }
        }
        Ok(())
    }
}
