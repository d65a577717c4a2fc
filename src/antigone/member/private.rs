//! Private words at a member: what it says to some, and what it hears.

use bytes::BytesMut;

use super::{EVENTS, FRAMES, Member, Phase};
use crate::antigone::private::wrap;
use crate::crypto::{Key, Secret};
use crate::endpoint::{Class, Cx, Instant, To, Transmit};
use crate::error::{CommandError, Failure, Misuse, Reason};
use crate::event::{Event, Message, Port, Sender};
use crate::group::private::{self, Stage, Word, digest, is_named, port_code, recipients};
use crate::identity::MemberId;
use crate::wire::antigone::{Passed, PrivateWord, Wrapped};

impl Member {
    /// Says something to some members alone, by number. It gives the number of the word; [`Event::GossipSent`] tells when it
    /// is on its way, and who was not reached. Best effort. The leader hands out the key: it could read the word.
    ///
    /// # Errors
    /// [`Misuse::NotJoined`], [`Misuse::NotCurrent`], [`Misuse::NoMember`] (nobody, or more than
    /// [`MAX_RECIPIENTS`](crate::wire::shared::MAX_RECIPIENTS)), [`Misuse::Oneself`], [`Misuse::TooLong`],
    /// [`Misuse::Unanswered`], [`CommandError::Full`], [`Failure`].
    pub fn say_privately(
        &mut self,
        cx: &mut Cx<'_>,
        to: &[MemberId],
        port: Port,
        payload: &[u8],
    ) -> Result<u64, CommandError> {
        let now = self.out.tick(cx.now);
        let (longest, room) = (self.max_private(), self.out.room(FRAMES, EVENTS));
        let (suite, header, retry) = (&*self.me.suite, self.me.header(), self.me.limits.retry);
        let Phase::In(session) = &mut self.phase else { return Err(Misuse::NotJoined.into()) };
        if !session.joined {
            return Err(Misuse::NotJoined.into());
        }
        if !session.current() {
            return Err(Misuse::NotCurrent.into());
        }
        let (group, cid) = (session.station.group, session.station.cid);
        let to = recipients(cid, to)?;
        if payload.len() > longest {
            return Err(Misuse::TooLong.into());
        }
        if !session.words.has_room() || !session.channel.has_room() {
            return Err(Misuse::Unanswered.into());
        }
        if !room {
            return Err(CommandError::Full);
        }
        let key = Key::new(suite.fresh_secret(cx.rng, suite.sizes().group_key).map_err(Failure::from)?);
        let number = session.channel.next_record();
        let word = Word { group, cid, number };
        let frame = private::seal::<PrivateWord>(suite, header, &key, word, port_code(port), payload)?;
        let record = wrap(&to, &key, digest(suite, &frame)?);
        // Nothing can fail from here on.
        session.channel.queue(record);
        session.words.say(now, number, Stage::Sealed(frame));
        session.channel.advance(retry, now, &mut self.jitter);
        session.ask(now);
        Ok(number)
    }

    /// The longest payload of [`Self::say_privately`], in bytes; 0 outside a group.
    pub fn max_private(&self) -> usize {
        let limit = self.session().map(|session| session.station.policy.frame_limit as usize);
        limit.map_or(0, |limit| private::max_payload(&*self.me.suite, limit))
    }

    /// The key of a word that is to come.
    pub(super) fn on_wrapped(&mut self, now: Instant, wrapped: &Wrapped<'_>) {
        let Wrapped { from, number, key, digest } = *wrapped;
        let Phase::In(session) = &mut self.phase else { return };
        let key = Key::new(Secret::new(key.0));
        if let Some((from, number)) = session.words.expect(now, from, number, key, digest) {
            self.out.event(Event::GossipMissed { from, number });
        }
    }

    /// RA-P. As with data, a member that is stale, or has never known its key to be current, delivers nothing (S8).
    pub(super) fn on_private(&mut self, now: Instant, mut frame: BytesMut) -> Result<(), Reason> {
        let rto = self.me.limits.retry.first;
        let session = match &mut self.phase {
            Phase::In(session) => session,
            Phase::Ending(_) => return Err(Reason::Ended),
            Phase::Idle | Phase::Asking(_) => return Err(Reason::NotJoined),
        };
        let Word { group, cid, number } = private::word_of::<PrivateWord>(&frame)?;
        if group != session.station.group {
            return Err(Reason::OtherGroup);
        }
        if cid == session.station.cid {
            return Err(Reason::Echo);
        }
        if session.evidence.current_as_of.is_none() || session.stale || session.outdated(rto, now) {
            return Err(Reason::NotCurrent);
        }
        let suite = &*self.me.suite;
        let expected = session.words.expected(cid, number).ok_or(Reason::Unknown)?;
        is_named(suite, &expected.digest, &frame)?;
        let (port, payload) = private::open::<PrivateWord>(suite, &expected.key, &mut frame)?;
        // The key goes with the word: a replay opens nothing.
        session.words.heard(cid, number);
        let (from, epoch) = (Sender::Vouched(cid), session.station.ring.installed());
        self.out.stats.delivered += 1;
        self.out.event(Event::Gossip(Message { from, epoch, port, payload }));
        Ok(())
    }

    /// What is due of private words: one frame at most.
    pub(super) fn word_time(&mut self, now: Instant) {
        let Phase::In(session) = &mut self.phase else { return };
        let link = session.link;
        while self.out.room(0, 1)
            && let Some((from, number)) = session.words.lost(now)
        {
            self.out.event(Event::GossipMissed { from, number });
        }
        if let (Some(frame), Some(link)) = (session.words.repeat(now, &mut self.jitter), link) {
            self.out.send(Transmit { to: To::Link(link), frame, class: Class::Data });
        }
    }

    /// The leader has said what became of an own word.
    pub(super) fn on_passed(&mut self, passed: &Passed<'_>) {
        let (number, missed) = (passed.number, passed.missed.iter().collect());
        let Phase::In(session) = &mut self.phase else { return };
        // One whose time was over may still be answered.
        session.words.answered(number);
        self.out.event(Event::GossipSent { number, missed });
    }
}
