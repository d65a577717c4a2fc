//! Who is admitted has asked, and both agree.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

use bytes::Bytes;

use super::Checker;
use super::session::{Session, over};
use crate::antigone::{Leader, Member};
use crate::crypto::{Aead, BoxNumber};
use crate::event::Event;
use crate::identity::{MemberId, Name, Version};
use crate::sim::rng::Mixer;
use crate::sim::step::{Input, Observed};
use crate::sim::world::NodeId;
use crate::wire::Message as _;
use crate::wire::antigone::{JoinAnswer, MemberFrame};
use crate::wire::field::{Digest, VerifyingKey};
use crate::wire::frame::HEADER_BYTES;

/// S3: the leader admits a member under a number exactly if there is one attempt of that member with the same RA-J1 and
/// RA-J2; both then agree on group, number, policy, signature key and channel keys; and each attempt makes at most one
/// member, each member joins at most once.
///
/// RA-J1 holds application, names, I0 and the member's share, RA-J2 both nonces and the leader's share, and the headers
/// of both edition and suite: who has the same bytes of both agrees on all of it.
#[derive(Clone, Debug, Default)]
pub struct JoinsAgree {
    corrupt: BTreeSet<Name>,
    rogues: BTreeSet<NodeId>,
    asking: BTreeMap<NodeId, Bytes>,
    offered: BTreeMap<Session, Side>,
    taken: BTreeMap<Session, Side>,
    admitted: BTreeMap<u128, Session>,
    members: BTreeSet<Session>,
    joined: BTreeSet<Session>,
}

/// What one side has of a join.
#[derive(Clone, Debug)]
struct Side {
    name: Name,
    request: u128,
    answer: u128,
    policy: (Version, Digest),
    leader_key: VerifyingKey,
    keys: (Arc<dyn Aead>, Arc<dyn Aead>),
}

/// Whether what one side seals with the first key the other opens with its second. The number is one that no rule uses.
fn fit(seal: &dyn Aead, open: &dyn Aead) -> bool {
    let number = BoxNumber { domain: u32::MAX, counter: u64::MAX };
    let mut text = *b"the same key";
    seal.seal(number, b"", &mut text).is_ok_and(|tag| open.open(number, b"", &mut text, &tag).is_ok())
}

impl JoinsAgree {
    /// Principals whose keys the adversary has: nothing is promised about their joins.
    #[must_use]
    pub fn except(mut self, corrupt: impl IntoIterator<Item = Name>) -> Self {
        self.corrupt.extend(corrupt);
        self
    }

    /// Nodes that the adversary runs: what they take is not what an honest member took.
    #[must_use]
    pub fn rogues(mut self, rogues: impl IntoIterator<Item = NodeId>) -> Self {
        self.rogues.extend(rogues);
        self
    }

    /// Admissions so far.
    pub fn admissions(&self) -> usize {
        self.members.len()
    }

    /// Members that came to say `Joined`.
    pub fn joins(&self) -> usize {
        self.joined.len()
    }

    fn leader(&mut self, step: &Observed<'_>, leader: &Leader) -> Result<(), String> {
        let group = leader.group();
        for offer in leader.open_offers() {
            let session = Session { group, cid: offer.cid };
            let answer = Mixer::of(offer.answer);
            if let Some(before) = self.offered.get(&session) {
                if before.answer != answer {
                    return Err(format!("number {} was offered twice", offer.cid));
                }
                continue;
            }
            let keys = (offer.seal.clone(), offer.open.clone());
            let (policy, leader_key) = (leader.policy_facts(), leader.signature_key());
            let name = offer.name.clone();
            let request = Mixer::of(offer.request);
            self.offered.insert(session, Side { name, request, answer, policy, leader_key, keys });
        }
        let Input::Frame(frame) = step.input else { return Ok(()) };
        let Some(cid) = cid_of(&frame.bytes) else { return Ok(()) };
        let session = Session { group, cid };
        if leader.channel(cid).is_none() || !self.members.insert(session) {
            return Ok(());
        }
        let Some(offer) = self.offered.get(&session) else {
            return Err(format!("member {cid} was admitted without an offer"));
        };
        if self.corrupt.contains(&offer.name) {
            return Ok(());
        }
        let Some(taken) = self.taken.get(&session) else {
            return Err(format!("member {cid} was admitted as {:?}, who took no such offer", offer.name));
        };
        agree(cid, offer, taken)?;
        if let Some(before) = self.admitted.insert(offer.request, session) {
            return Err(format!("one attempt of {:?} made the members {} and {cid}", offer.name, before.cid));
        }
        Ok(())
    }

    fn member(&mut self, step: &Observed<'_>, member: &Member) -> Result<(), String> {
        if self.rogues.contains(&step.node) || self.corrupt.contains(member.name()) {
            return Ok(());
        }
        let asked = match member.request() {
            Some(request) => self.asking.insert(step.node, request.clone()),
            None => self.asking.remove(&step.node),
        };
        if let (Some(channel), Some(asked), Input::Frame(frame)) = (member.channel(), asked, step.input)
            && let (Some(policy), Some(leader_key)) = (member.policy_facts(), member.signature_key())
            && frame.bytes.get(HEADER_BYTES - 1) == Some(&JoinAnswer::INFO.code)
        {
            let session = Session { group: channel.group(), cid: channel.cid() };
            let (request, answer) = (Mixer::of(&asked), Mixer::of(&frame.bytes));
            let keys = channel.keys();
            let taken = Side { name: member.name().clone(), request, answer, policy, leader_key, keys };
            let cid = session.cid;
            match self.offered.get(&session) {
                Some(offer) => agree(cid, offer, &taken)?,
                None => return Err(format!("{:?} took an offer of number {cid} that nobody made", taken.name)),
            }
            if self.taken.insert(session, taken).is_some() {
                return Err(format!("the offer of number {cid} was taken twice"));
            }
        }
        for event in step.events {
            let Event::Joined { group, cid, .. } = event else { continue };
            let session = Session { group: *group, cid: *cid };
            if !self.members.contains(&session) {
                return Err(format!("member {cid} says that it has joined, and was not admitted"));
            }
            if !self.joined.insert(session) {
                return Err(format!("member {cid} has joined twice"));
            }
        }
        Ok(())
    }
}

fn agree(cid: MemberId, offer: &Side, taken: &Side) -> Result<(), String> {
    let differ = |what: &str| Err(format!("the leader and member {cid} do not agree on {what}"));
    if offer.name != taken.name {
        return differ("its name");
    }
    if offer.request != taken.request {
        return differ("the request");
    }
    if offer.answer != taken.answer {
        return differ("the answer");
    }
    if offer.policy != taken.policy {
        return differ("the policy");
    }
    if offer.leader_key != taken.leader_key {
        return differ("the leader's signature key");
    }
    if !fit(&*offer.keys.0, &*taken.keys.1) || !fit(&*taken.keys.0, &*offer.keys.1) {
        return differ("the channel keys");
    }
    Ok(())
}

/// The member number in a frame of a member's channel.
fn cid_of(frame: &[u8]) -> Option<MemberId> {
    let ours = frame.get(HEADER_BYTES - 1) == Some(&MemberFrame::INFO.code);
    MemberFrame::parse(frame).ok().filter(|_| ours).map(|parsed| parsed.message.cid)
}

impl Checker for JoinsAgree {
    fn name(&self) -> &'static str {
        "JoinsAgree"
    }

    fn after(&mut self, step: &Observed<'_>) -> Result<(), String> {
        if over(step) {
            self.asking.remove(&step.node);
        }
        if let Some(leader) = step.machine::<Leader>() {
            self.leader(step, leader)
        } else if let Some(member) = step.machine::<Member>() {
            self.member(step, member)
        } else {
            Ok(())
        }
    }
}
