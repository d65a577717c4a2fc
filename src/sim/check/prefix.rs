//! The published theorem about the chain of repaired Enclaves (enclaves §4.3): what a member accepts is a prefix of what its
//! leader told it, in order, without duplicates; and the leader takes nothing for accepted that was not.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::Checker;
use super::session::Session;
use crate::enclaves::{Leader, Member};
use crate::error::Reason;
use crate::event::Event;
use crate::sim::step::{Input, Observed};
use crate::wire::Message as _;
use crate::wire::enclaves::repaired::{Ack, AdminMsg};
use crate::wire::frame::HEADER_BYTES;

/// Checks the theorem at every transition, and counts what came of the frames of the chain.
#[derive(Clone, Debug, Default)]
pub struct AdminPrefix {
    told: BTreeMap<Session, Vec<u64>>,
    accepted: BTreeMap<Session, Vec<u64>>,
    acked: BTreeMap<Session, u64>,
    /// AdminMsgs that members have accepted.
    pub taken: u64,
    /// Frames of the chain that were refused as replays.
    pub replayed: u64,
    /// Frames of the chain that were refused as forged.
    pub forged: u64,
}

impl AdminPrefix {
    fn holds(&self, session: Session) -> Result<(), String> {
        let none = Vec::new();
        let told = self.told.get(&session).unwrap_or(&none);
        let accepted = self.accepted.get(&session).unwrap_or(&none);
        if !told.starts_with(accepted) {
            let at = accepted.iter().zip(told).take_while(|(accepted, told)| accepted == told).count();
            return Err(format!(
                "{session:?} accepted {} of {} told, and number {at} is another",
                accepted.len(),
                told.len()
            ));
        }
        let acked = self.acked.get(&session).copied().unwrap_or(0);
        if acked > accepted.len() as u64 {
            return Err(format!(
                "the leader takes {acked} for accepted by {session:?}, which accepted {}",
                accepted.len()
            ));
        }
        Ok(())
    }

    fn count(&mut self, step: &Observed<'_>) {
        let Input::Frame(frame) = step.input else { return };
        let code = frame.bytes.get(HEADER_BYTES - 1).copied();
        if code != Some(AdminMsg::INFO.code) && code != Some(Ack::INFO.code) {
            return;
        }
        for event in step.events {
            match event {
                Event::Rejected { why: Reason::Replayed | Reason::Ended, .. } => self.replayed += 1,
                Event::Rejected { why: Reason::Forged | Reason::Malformed | Reason::Unknown, .. } => self.forged += 1,
                _ => {}
            }
        }
    }
}

impl Checker for AdminPrefix {
    fn name(&self) -> &'static str {
        "AdminPrefix"
    }

    fn after(&mut self, step: &Observed<'_>) -> Result<(), String> {
        self.count(step);
        if let Some(leader) = step.machine::<Leader>() {
            for (cid, _) in leader.live_members() {
                let session = Session { group: leader.group(), cid };
                let Some((told, acked)) = leader.told_to(cid) else { continue };
                let known = self.told.entry(session).or_default();
                known.extend(told.get(known.len()..).unwrap_or_default());
                if self.acked.insert(session, acked) != Some(acked) {
                    self.holds(session)?;
                }
            }
        }
        if let Some(member) = step.machine::<Member>()
            && let (Some(group), Some(cid)) = (member.group(), member.cid())
        {
            let (session, told) = (Session { group, cid }, member.told());
            let known = self.accepted.entry(session).or_default();
            if known.len() != told.len() {
                self.taken += (told.len() - known.len().min(told.len())) as u64;
                *known = told.to_vec();
                self.holds(session)?;
            }
        }
        Ok(())
    }
}
