//! The third party as an endpoint. Its registry is the caller's: it asks by [`Event::LookupWanted`].

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use core::time::Duration;

use bytes::{Bytes, BytesMut};

use super::exchange::code;
use super::schedule::{LeaderKeys, MemberKeys, question_digest};
use crate::crypto::keys::role;
use crate::crypto::{BoxNumber, Key, Suite, SuiteId};
use crate::endpoint::{Class, Cx, Due, Endpoint, Instant, Link, LinkInfo, To, Transmit, Wake};
use crate::error::{CommandError, DecodeError, Failure, Fatal, Misuse, Reason};
use crate::event::{Event, Refusal, Stats, Ticket};
use crate::group::allowance::Allowance;
use crate::group::limits::Limits;
use crate::group::outbox::Outbox;
use crate::identity::Name;
use crate::wire::antigone::{JoinRequest, KeyAnswer, KeyRequest, Status};
use crate::wire::{Edition, Header, Message, System};

/// What the registry knows of a principal as a leader.
#[derive(Debug, Clone)]
pub struct LeaderRecord {
    /// Its long-term key.
    pub key: Key<role::LongTerm>,
}

/// What the registry knows of a principal as a member.
#[derive(Debug, Clone)]
pub struct MemberRecord {
    /// Its long-term key.
    pub key: Key<role::LongTerm>,
    /// Whether joins are refused for now.
    pub disabled: bool,
}

/// The answer to a look-up.
#[derive(Debug, Clone, Default)]
pub struct Records {
    /// The leader, if that name is registered and flagged as a leader (D38).
    pub leader: Option<LeaderRecord>,
    /// The member, if that name is registered.
    pub member: Option<MemberRecord>,
}

/// How long a look-up may take.
const LOOKUP_TIME: Duration = Duration::from_secs(10);

/// The third party. One serves many leaders and groups.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
pub struct ThirdParty {
    suite: Arc<dyn Suite>,
    limits: Limits,
    links: BTreeMap<Link, LinkInfo>,
    /// Those of the links on which a question was answered. Nothing here depends on it.
    known: BTreeSet<Link>,
    lookups: BTreeMap<Ticket, Lookup>,
    next_ticket: u64,
    /// How much each leader may still ask, for those that asked lately: as many as there may be look-ups. Counted only
    /// once a question is authentic.
    budgets: BTreeMap<Name, Allowance>,
    out: Outbox,
    #[cfg(feature = "historic")]
    published: Option<super::historic::Published>,
}

#[derive(Debug)]
#[cfg_attr(any(test, feature = "sim"), derive(Clone))]
struct Lookup {
    link: Link,
    /// A copy: the driver's read buffer, which is much longer, does not live as long as the question (R2).
    frame: Bytes,
    expires: Instant,
}

fingerprint!(Lookup { link, frame, expires });
#[cfg(not(feature = "historic"))]
fingerprint!(ThirdParty { lookups, budgets } skip { suite, limits, links, known, next_ticket, out });
#[cfg(feature = "historic")]
fingerprint!(ThirdParty { lookups, budgets } skip { suite, limits, links, known, next_ticket, out, published });

/// What one answer comes to.
pub(super) struct Answer {
    /// The question was authentic: it counts for its leader. One in clear is bounded by its link alone.
    pub(super) authentic: bool,
    pub(super) leader: Name,
    pub(super) frame: Bytes,
    pub(super) event: Event,
}

impl ThirdParty {
    /// A third party under this suite.
    pub fn new(suite: Arc<dyn Suite>, limits: Limits) -> Self {
        let out = Outbox::new(&limits);
        Self {
            suite,
            limits,
            links: BTreeMap::new(),
            known: BTreeSet::new(),
            lookups: BTreeMap::new(),
            next_ticket: 1,
            budgets: BTreeMap::new(),
            out,
            #[cfg(feature = "historic")]
            published: None,
        }
    }

    /// It also answers AN-T1, and questions of repaired leaders about joins as published, under the suite `published`:
    /// with AN-T2s if `strong` is set, else with AN-T2.
    #[cfg(feature = "historic")]
    #[must_use]
    pub fn with_published(
        mut self,
        _historic: crate::policy::Historic,
        published: Arc<dyn crate::crypto::published::PublishedSuite>,
        strong: bool,
    ) -> Self {
        self.published = Some(super::historic::Published { suite: published, strong, any_numbers: false });
        self
    }

    /// AN-T1 is answered whatever the length of its I1: a wrong rule, for the test kit (D14, X1).
    #[cfg(all(feature = "historic", feature = "sim"))]
    #[must_use]
    pub fn with_any_numbers(mut self) -> Self {
        if let Some(published) = &mut self.published {
            published.any_numbers = true;
        }
        self
    }

    fn header(&self) -> Header {
        Header { system: System::Antigone, edition: Edition::Repaired, suite: self.suite.id() }
    }

    /// The suite that it speaks.
    pub fn suite(&self) -> SuiteId {
        self.suite.id()
    }

    /// Open look-ups.
    pub fn open_lookups(&self) -> usize {
        self.lookups.len()
    }

    /// Answers a look-up. What is refused on the wire by silence is an [`Event::Rejected`] here.
    ///
    /// # Errors
    /// [`Misuse::NoTicket`] if the ticket is unknown, answered or expired; [`CommandError::Full`];
    /// [`Failure::Suite`] (the look-up stays open).
    pub fn answer(&mut self, cx: &mut Cx<'_>, ticket: Ticket, records: &Records) -> Result<(), CommandError> {
        let now = self.out.tick(cx.now);
        if !self.out.room(1, 1) {
            return Err(CommandError::Full);
        }
        let lookup = self.lookups.get(&ticket).ok_or(Misuse::NoTicket)?;
        let link = lookup.link;
        #[cfg(feature = "historic")]
        let step = match &self.published {
            Some(published) if published.answers(self.header(), &lookup.frame) => {
                published.answer(&*self.suite, self.header(), cx, &lookup.frame, records)
            }
            _ => self.compute(lookup, records),
        };
        #[cfg(not(feature = "historic"))]
        let step = self.compute(lookup, records);
        match step {
            Err(Reason::Suite) => return Err(Failure::Suite.into()),
            Err(Reason::Entropy) => return Err(Failure::Entropy.into()),
            Err(why) => self.out.reject(link, why),
            // (3) the budget of the leader, counted only now
            Ok(Answer { ref leader, authentic: true, .. }) if !self.afford(now, leader) => {
                self.out.reject(link, Reason::Budget);
            }
            Ok(Answer { frame, event, .. }) => {
                self.out.send(Transmit { to: To::Link(link), frame, class: Class::Control });
                self.out.event(event);
                if self.links.contains_key(&link) {
                    self.known.insert(link);
                }
            }
        }
        self.lookups.remove(&ticket);
        Ok(())
    }

    /// RA §4.1, "T on RA-T1", from step (1) on.
    fn compute(&self, lookup: &Lookup, records: &Records) -> Result<Answer, Reason> {
        let suite = &*self.suite;
        let malformed = |_: DecodeError| Reason::Malformed;
        let question = KeyRequest::parse(&lookup.frame).map_err(malformed)?;
        let join = JoinRequest::parse(question.message.join.0).map_err(malformed)?;
        // (1) registered as a leader, or silence
        let leader = records.leader.as_ref().ok_or(Reason::Unknown)?;
        let leader = LeaderKeys::derive(suite, &leader.key, join.message.leader)?;
        // (2) the leader's tag, or silence
        let covered = lookup.frame.get(..question.clear).unwrap_or_default();
        suite.verify_mac(leader.request.secret(), &[covered], &question.tag)?;
        // (4) what concerns the member is told to the leader, sealed
        let digest = question_digest(suite, covered)?;
        let vouched = match &records.member {
            None => Err(Status::Unknown),
            Some(member) => {
                let keys = MemberKeys::derive(suite, &member.key, join.message.member)?;
                let covered = question.message.join.0.get(..join.clear).unwrap_or_default();
                match suite.verify_mac(keys.tag.secret(), &[covered], &join.tag) {
                    Err(crate::crypto::VerifyError::Suite(_)) => return Err(Reason::Suite),
                    Err(crate::crypto::VerifyError::Forged) => Err(Status::BadTag),
                    Ok(()) if member.disabled => Err(Status::Disabled),
                    Ok(()) => Ok(keys.session_key(suite, &digest)?),
                }
            }
        };
        // (5) the answer
        let status = vouched.as_ref().err().copied().unwrap_or(Status::Vouched);
        let key = leader.answer_box(suite, code(status), &digest)?;
        let answer = KeyAnswer { i1: question.message.i1, status };
        let mut out = BytesMut::with_capacity(256);
        answer.put_boxed(
            self.header(),
            &mut out,
            |text| {
                if let Ok(session) = &vouched {
                    text.extend_from_slice(session.secret().expose());
                }
            },
            |ad, text| suite.seal(key.secret(), BoxNumber::ONLY, ad, text),
        )?;
        let (leader, member) = (join.message.leader.to_name(), join.message.member.to_name());
        let event = match status {
            Status::Vouched => Event::Vouched { leader: leader.clone(), member },
            other => Event::NotVouched {
                name: member,
                why: match other {
                    Status::BadTag => Refusal::BadTag,
                    Status::Disabled => Refusal::Disabled,
                    Status::Busy => Refusal::Busy,
                    Status::Unknown | Status::Vouched => Refusal::Unknown,
                },
            },
        };
        Ok(Answer { authentic: true, leader, frame: out.freeze(), event })
    }

    /// Takes one question off the budget of a leader, if it has one left.
    fn afford(&mut self, now: Instant, leader: &Name) -> bool {
        if self.budgets.len() >= self.limits.lookups {
            self.budgets.retain(|_, budget| !budget.is_full(now));
            if self.budgets.len() >= self.limits.lookups && !self.budgets.contains_key(leader) {
                return false;
            }
        }
        let rate = self.limits.requests_per_second;
        self.budgets.entry(leader.clone()).or_insert_with(|| Allowance::new(rate, now)).take(now)
    }

    /// Checks what can be checked without records, and opens a look-up.
    fn question(&self, now: Instant, link: Link, frame: &[u8]) -> Result<(Lookup, Event), Reason> {
        let info = self.links.get(&link).ok_or(Reason::Unknown)?;
        if frame.len() > info.max_frame {
            return Err(Reason::Oversize);
        }
        let (leader, member) = self.parties(frame)?;
        if leader == member {
            return Err(Reason::Violation);
        }
        let of_link = self.lookups.values().filter(|lookup| lookup.link == link);
        if self.lookups.len() >= self.limits.lookups || of_link.clone().count() >= self.limits.lookups_per_link {
            return Err(Reason::Budget);
        }
        if of_link.clone().any(|lookup| lookup.frame == frame) {
            return Err(Reason::Replayed);
        }
        let ticket = Ticket(self.next_ticket);
        let lookup = Lookup { link, frame: Bytes::copy_from_slice(frame), expires: now + LOOKUP_TIME };
        Ok((lookup, Event::LookupWanted { ticket, leader, member }))
    }

    /// Whom a question names.
    fn parties(&self, frame: &[u8]) -> Result<(Name, Name), Reason> {
        let header = self.header();
        #[cfg(feature = "historic")]
        if let Some(published) = self.published.as_ref().filter(|published| published.answers(header, frame)) {
            return published.parties(frame);
        }
        let code = header.code_of(frame).map_err(|error| match error {
            DecodeError::Header => Reason::Mismatch,
            _ => Reason::Malformed,
        })?;
        if code != KeyRequest::INFO.code {
            return Err(Reason::Misdirected);
        }
        let question = KeyRequest::parse(frame).map_err(|_| Reason::Malformed)?;
        let inner = question.message.join.0;
        match header.code_of(inner) {
            Ok(code) if code == JoinRequest::INFO.code => {}
            Ok(_) | Err(DecodeError::Header) => return Err(Reason::Mismatch),
            Err(_) => return Err(Reason::Malformed),
        }
        let join = JoinRequest::parse(inner).map_err(|_| Reason::Malformed)?;
        Ok((join.message.leader.to_name(), join.message.member.to_name()))
    }
}

impl Endpoint for ThirdParty {
    fn handle_link_opened(&mut self, cx: &mut Cx<'_>, link: Link, info: LinkInfo) -> Result<(), Fatal> {
        self.out.tick(cx.now);
        if self.links.len() < self.limits.links {
            self.links.insert(link, info);
        } else {
            self.out.stats.links_refused += 1;
        }
        Ok(())
    }

    fn handle_link_closed(&mut self, cx: &mut Cx<'_>, link: Link) -> Result<(), Fatal> {
        self.out.tick(cx.now);
        self.links.remove(&link);
        self.known.remove(&link);
        self.lookups.retain(|_, lookup| lookup.link != link);
        Ok(())
    }

    fn handle_frame(&mut self, cx: &mut Cx<'_>, link: Link, frame: BytesMut) -> Result<(), Fatal> {
        let now = self.out.tick(cx.now);
        self.out.stats.frames_in += 1;
        if !self.out.room(0, 1) {
            self.out.overrun();
            return Ok(());
        }
        match self.question(now, link, &frame) {
            Err(why) => self.out.reject(link, why),
            Ok((lookup, event)) => {
                self.lookups.insert(Ticket(self.next_ticket), lookup);
                self.next_ticket += 1;
                self.out.event(event);
            }
        }
        Ok(())
    }

    fn handle_timeout(&mut self, cx: &mut Cx<'_>) -> Result<(), Fatal> {
        let now = self.out.tick(cx.now);
        self.lookups.retain(|_, lookup| lookup.expires > now);
        Ok(())
    }

    fn poll_transmit(&mut self, _cx: &mut Cx<'_>) -> Option<Transmit> {
        self.out.pop_frame()
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.out.pop_event()
    }

    fn poll_timeout(&self) -> Wake {
        if !self.out.is_empty() {
            return Wake::Now(Due::Output);
        }
        Wake::at(self.lookups.values().map(|lookup| lookup.expires).min(), Due::Answer)
    }

    fn stats(&self) -> &Stats {
        &self.out.stats
    }

    /// A leader whose question was answered: it had the leader's tag, or, as published, nothing that shows more.
    fn knows(&self, link: Link) -> bool {
        self.known.contains(&link)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::symbolic::symbolic;

    #[test]
    fn budgets_are_bounded_and_free_themselves() {
        let limits = Limits { lookups: 2, requests_per_second: 1, ..Limits::default() };
        let mut third_party = ThirdParty::new(symbolic().silent(), limits);
        let [ada, bob, eve] = ["ada", "bob", "eve"].map(|name| Name::new(name).unwrap());
        let at = |seconds: u64| Instant::from_micros(seconds * 1_000_000);
        assert!(third_party.afford(at(1), &ada) && third_party.afford(at(1), &bob));
        assert!(!third_party.afford(at(1), &eve), "no room for one more");
        assert!(third_party.afford(at(3), &eve), "who has asked nothing for a while is forgotten");
        assert!(third_party.budgets.len() <= 2);
    }
}
