//! Ended channels, kept for a while, repaired edition (RA §4.6).

use bytes::{Bytes, BytesMut};

use crate::endpoint::{Instant, Link};
use crate::event::{EndReason, Ending};
use crate::group::channel::{Body, Channel, Heard, Standing};
use crate::group::{Backoff, Jitter};
use crate::identity::MemberId;
use crate::wire::Field;
use crate::wire::antigone::{End, LeaderBody, MemberBody};

/// The *end* that a leader says.
pub fn leader_end(reason: EndReason, by: MemberId) -> Bytes {
    let mut body = BytesMut::with_capacity(16);
    LeaderBody::End(End { reason, by }).put(&mut body);
    body.freeze()
}

/// The *end* that a member says.
pub fn member_end(reason: EndReason, by: MemberId) -> Bytes {
    let mut body = BytesMut::with_capacity(16);
    MemberBody::End(End { reason, by }).put(&mut body);
    body.freeze()
}

/// At a member: the end of its session, until the leader knows of it.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct Farewell {
    /// The channel.
    pub channel: Channel,
    /// Where the leader is.
    pub link: Option<Link>,
    /// What was installed when it ended.
    pub standing: Standing,
    /// The own end.
    pub body: Bytes,
    /// What is told to the application when the leader has confirmed.
    pub said: Ending,
    /// Repeats the end.
    pub backoff: Backoff,
    /// From when on the end is owed.
    pub owed: Option<Instant>,
    /// When to give up.
    pub until: Instant,
}

fingerprint!(Farewell { channel, link, body, backoff, owed, until } skip { standing, said });

/// At a leader: the channel of somebody who is gone, to repeat or to answer an end.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct Lingering {
    /// The channel.
    pub channel: Channel,
    /// Where the peer was last.
    pub link: Option<Link>,
    /// The own end.
    pub body: Bytes,
    /// Repeats the own end until the peer's; none if the peer began, or has answered.
    pub backoff: Option<Backoff>,
    /// The own end is to be sent.
    pub owed: bool,
    /// When the channel is forgotten.
    pub until: Instant,
}

fingerprint!(Lingering { channel, link, body, backoff, owed, until });

impl Lingering {
    /// Takes in a verified frame of the peer. Its end stops the repeats of the own one; who asks gets one answer.
    pub fn hear(&mut self, heard: &Heard, link: Option<Link>) {
        self.channel.commit(heard);
        self.link = link.or(self.link);
        if heard.body == Body::End {
            self.backoff = None;
        }
        self.owed |= heard.answer;
    }

    /// Does what is due and gives the next deadline; `None` once the channel is to be forgotten.
    pub fn handle_time(&mut self, now: Instant, jitter: &mut Jitter) -> Option<Instant> {
        if self.until <= now {
            return None;
        }
        if let Some(backoff) = &mut self.backoff
            && backoff.due() <= now
        {
            backoff.again(now, jitter);
            self.owed = true;
        }
        Some(self.deadline())
    }

    /// The next deadline.
    pub fn deadline(&self) -> Instant {
        self.backoff.as_ref().map_or(self.until, |backoff| backoff.due().min(self.until))
    }
}

#[cfg(test)]
mod tests {
    use alloc::sync::Arc;
    use core::time::Duration;

    use super::*;
    use crate::crypto::{Aead, BoxNumber, SuiteError, VerifyError};
    use crate::group::channel::{Carry, Side};
    use crate::group::{Pool, Probes, Retry};
    use crate::identity::Instance;
    use crate::wire::field::Tag;
    use crate::wire::{Edition, Header, System};

    /// Enough of a box for a channel that nobody attacks.
    #[derive(Debug)]
    struct Clear;

    impl Aead for Clear {
        fn seal(&self, _: BoxNumber, _: &[u8], _: &mut [u8]) -> Result<Tag, SuiteError> {
            Tag::new(&[0; 16]).ok_or(SuiteError)
        }

        fn open(&self, _: BoxNumber, _: &[u8], _: &mut [u8], _: &Tag) -> Result<(), VerifyError> {
            Ok(())
        }
    }

    fn channel(side: Side) -> Channel {
        let header = Header { system: System::Antigone, edition: Edition::Repaired, suite: crate::crypto::SuiteId(9) };
        let keys: (Arc<dyn Aead>, Arc<dyn Aead>) = (Arc::new(Clear), Arc::new(Clear));
        Channel::new(side, header, Instance([7; 16]), MemberId(1), keys.0, keys.1, Probes::first_and_newest(), 1)
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    /// The leader dismisses, with no leader and no member at hand.
    #[test]
    fn an_end_is_repeated_until_the_peers_own_or_for_a_while() {
        let retry = Retry { first: Duration::from_secs(1), ceiling: Duration::from_secs(4) };
        let (mut jitter, mut pool) = (Jitter::none(), Pool::new());
        let mut lingering = Lingering {
            channel: channel(Side::Leader),
            link: Some(Link(1)),
            body: leader_end(EndReason::Ejected, MemberId(3)),
            backoff: Some(Backoff::start(retry, at(0), &mut jitter)),
            owed: false,
            until: at(10),
        };
        assert_eq!(lingering.deadline(), at(1));
        assert_eq!(lingering.handle_time(at(1), &mut jitter), Some(at(3)));
        assert!(core::mem::take(&mut lingering.owed));
        // The peer's own end stops the repeats; it did not ask, so nothing is owed.
        let mut peer = channel(Side::Member);
        let end = member_end(EndReason::Left, MemberId(1));
        let sealed = peer.seal(&mut pool, at(2), Standing::default(), false, Carry::End(&end)).unwrap();
        let mut frame = BytesMut::from(&*sealed);
        let heard = lingering.channel.hear(&mut frame).unwrap();
        lingering.hear(&heard, None);
        assert_eq!((lingering.owed, lingering.link), (false, Some(Link(1))));
        assert_eq!(lingering.handle_time(at(3), &mut jitter), Some(at(10)));
        assert!(!lingering.owed);
        assert_eq!(lingering.handle_time(at(10), &mut jitter), None);
    }
}
