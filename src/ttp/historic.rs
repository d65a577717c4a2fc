//! What the third party answers beside RA-T1: AN-T1, and RA-T1m about a join as published (RA §2, mixed editions).

use alloc::sync::Arc;

use bytes::BytesMut;

use super::exchange::code;
use super::published::Pair;
use super::schedule::{LeaderKeys, question_digest};
use super::third_party::{Answer, Records};
use crate::crypto::keys::role;
use crate::crypto::published::PublishedSuite;
use crate::crypto::{BoxNumber, Key, Suite};
use crate::endpoint::Cx;
use crate::error::{DecodeError, Reason};
use crate::event::Event;
use crate::identity::{Name, NameRef};
use crate::wire::antigone::{KeyAnswer, Status};
use crate::wire::bridges::BridgedRequest;
use crate::wire::published::{JoinWish, PairRequest};
use crate::wire::{Edition, Header, Message, System};

/// How it answers as published.
#[derive(Debug, Clone)]
pub(super) struct Published {
    pub(super) suite: Arc<dyn PublishedSuite>,
    pub(super) strong: bool,
    /// I1 is taken whatever its length: a wrong rule (D14, X1).
    pub(super) any_numbers: bool,
}

fn malformed(_: DecodeError) -> Reason {
    Reason::Malformed
}

impl Published {
    fn header(&self) -> Header {
        Header { system: System::Antigone, edition: Edition::AsPublished, suite: self.suite.id() }
    }

    /// Whether this is one of the two questions; `repaired` is the header of repaired parts.
    pub(super) fn answers(&self, repaired: Header, frame: &[u8]) -> bool {
        self.header().code_of(frame).is_ok() || repaired.code_of(frame) == Ok(BridgedRequest::INFO.code)
    }

    fn is_clear(&self, frame: &[u8]) -> bool {
        self.header().code_of(frame) == Ok(PairRequest::INFO.code)
    }

    /// The member of an AN-J1.
    fn wisher<'f>(&self, join: &'f [u8]) -> Result<NameRef<'f>, Reason> {
        match self.header().code_of(join) {
            Ok(code) if code == JoinWish::INFO.code => Ok(JoinWish::parse(join).map_err(malformed)?.message.member),
            Ok(_) | Err(DecodeError::Header) => Err(Reason::Mismatch),
            Err(_) => Err(Reason::Malformed),
        }
    }

    /// The leader and the member that a question names.
    pub(super) fn parties(&self, frame: &[u8]) -> Result<(Name, Name), Reason> {
        let (leader, member) = if self.is_clear(frame) {
            let question = PairRequest::parse(frame).map_err(malformed)?.message;
            if question.i1.as_bytes().len() != self.suite.sizes().nonce && !self.any_numbers {
                return Err(Reason::Malformed);
            }
            (question.leader, question.member)
        } else if self.header().code_of(frame).is_ok() {
            return Err(Reason::Misdirected);
        } else {
            let question = BridgedRequest::parse(frame).map_err(malformed)?.message;
            (question.leader, self.wisher(question.join.0)?)
        };
        if !self.suite.admits(leader) || !self.suite.admits(member) {
            return Err(Reason::Unknown);
        }
        Ok((leader.to_name(), member.to_name()))
    }

    fn key(
        &self,
        modern: &dyn Suite,
        key: &Key<role::LongTerm>,
        name: &Name,
    ) -> Result<Key<role::PublishedLongTerm>, Reason> {
        Ok(Key::new(self.suite.long_term(modern, key.secret(), name.by_ref())?))
    }

    /// Answers a question. To AN-T1 there is no refusal: who is not registered is met with silence.
    pub(super) fn answer(
        &self,
        modern: &dyn Suite,
        repaired: Header,
        cx: &mut Cx<'_>,
        frame: &[u8],
        records: &Records,
    ) -> Result<Answer, Reason> {
        let (leader, member) = self.parties(frame)?;
        let of_leader = records.leader.as_ref().ok_or(Reason::Unknown)?;
        let of_member = records.member.as_ref().filter(|member| !member.disabled);
        if self.is_clear(frame) {
            let of_member = of_member.ok_or(Reason::Unknown)?;
            let i1 = PairRequest::parse(frame).map_err(malformed)?.message.i1;
            let leader_key = self.key(modern, &of_leader.key, &leader)?;
            let member_key = self.key(modern, &of_member.key, &member)?;
            let pair = Pair {
                leader_key: &leader_key,
                leader: leader.by_ref(),
                member_key: &member_key,
                member: member.by_ref(),
            };
            let frame = pair.answer(&*self.suite, self.header(), cx.rng, i1, self.strong)?;
            let event = Event::Vouched { leader: leader.clone(), member };
            return Ok(Answer { authentic: false, leader, frame, event });
        }
        let question = BridgedRequest::parse(frame).map_err(malformed)?;
        let keys = LeaderKeys::derive(modern, &of_leader.key, leader.by_ref())?;
        let covered = frame.get(..question.clear).unwrap_or_default();
        modern.verify_mac(keys.request.secret(), &[covered], &question.tag)?;
        let digest = question_digest(modern, covered)?;
        let sigma = match of_member {
            None => None,
            Some(record) => {
                let key = self.key(modern, &record.key, &member)?;
                let sigma = self.suite.name_under(key.secret(), leader.by_ref(), member.by_ref())?;
                if self.suite.is_weak(&sigma) { None } else { Some(sigma) }
            }
        };
        let disabled = records.member.as_ref().is_some_and(|member| member.disabled);
        let refused = if disabled { Status::Disabled } else { Status::Unknown };
        let status = if sigma.is_some() { Status::Vouched } else { refused };
        let key = keys.answer_box(modern, code(status), &digest)?;
        let mut out = BytesMut::with_capacity(192);
        KeyAnswer { i1: question.message.i1, status }.put_boxed(
            repaired,
            &mut out,
            |text| {
                if let Some(sigma) = &sigma {
                    text.extend_from_slice(sigma.expose());
                }
            },
            |ad, text| modern.seal(key.secret(), BoxNumber::ONLY, ad, text),
        )?;
        let event = if sigma.is_some() {
            Event::Vouched { leader: leader.clone(), member }
        } else {
            let why = if disabled { crate::event::Refusal::Disabled } else { crate::event::Refusal::Unknown };
            Event::NotVouched { name: member, why }
        };
        Ok(Answer { authentic: true, leader, frame: out.freeze(), event })
    }
}
