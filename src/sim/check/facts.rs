//! What an epoch is, and for whom it was made.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;

use super::Checker;
use super::roster::Roster;
use super::session::Session;
use crate::antigone::{Leader, Member};
use crate::crypto::Secret;
use crate::event::{Cause, Causes, Event};
use crate::identity::{Epoch, Instance, Version};
use crate::sim::rng::Mixer;
use crate::sim::step::Observed;
use crate::wire::field::Digest;

/// S5: what a member installs is what the leader issued for this member, with the same key and the same facts.
///
/// The secret that data keys derive from depends on the group key and on all facts of the epoch, so who has the same
/// secret has the same view digest, policy digest, floor and causes. Those that events and machines tell are compared
/// one by one too, for the words.
#[derive(Clone, Debug, Default)]
pub struct EpochsAgree {
    roster: Roster,
    issued: BTreeMap<(Instance, Epoch), Issued>,
    installs: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Issued {
    secret: u128,
    causes: Causes,
    policy: (Version, Digest),
}

fn digest(secret: &Secret) -> u128 {
    Mixer::of(secret.expose())
}

impl EpochsAgree {
    /// Installs by members so far: a run without one has shown nothing.
    pub fn installs(&self) -> u64 {
        self.installs
    }

    fn installed(&mut self, session: Session, epoch: Epoch, here: Issued) -> Result<(), String> {
        self.installs += 1;
        let Session { group, cid } = session;
        let Some(issued) = self.issued.get(&(group, epoch)) else {
            return Err(format!("member {cid} installed epoch {epoch}, which the leader never issued"));
        };
        if issued.causes != here.causes {
            return Err(format!("epoch {epoch} came by {:?}, and at member {cid} by {:?}", issued.causes, here.causes));
        }
        if issued.policy != here.policy {
            return Err(format!("member {cid} has another policy in epoch {epoch} than the leader"));
        }
        if issued.secret != here.secret {
            return Err(format!("member {cid} has another key or other facts in epoch {epoch} than the leader"));
        }
        if !self.roster.was_in(session, epoch) {
            return Err(format!("epoch {epoch} was not issued for member {cid}"));
        }
        Ok(())
    }
}

impl Checker for EpochsAgree {
    fn name(&self) -> &'static str {
        "EpochsAgree"
    }

    fn after(&mut self, step: &Observed<'_>) -> Result<(), String> {
        self.roster.step(step);
        let causes_of = |wanted: Epoch| {
            step.events.iter().find_map(|event| match event {
                Event::Installed { epoch, causes } if *epoch == wanted => Some(*causes),
                _ => None,
            })
        };
        if let Some(leader) = step.machine::<Leader>() {
            let (epoch, secret) = leader.epoch_secret();
            let key = (leader.group(), epoch);
            self.issued.entry(key).or_insert_with(|| {
                let causes = causes_of(epoch).unwrap_or(Causes::of(Cause::Open));
                Issued { secret: digest(secret), causes, policy: leader.policy_facts() }
            });
        } else if let Some(member) = step.machine::<Member>()
            && let (Some(group), Some(cid)) = (member.group(), member.cid())
            && let (Some((epoch, secret)), Some(policy)) = (member.epoch_secret(), member.policy_facts())
            && let Some(causes) = causes_of(epoch)
        {
            let here = Issued { secret: digest(secret), causes, policy };
            self.installed(Session { group, cid }, epoch, here)?;
        }
        Ok(())
    }
}

/// S7: a newcomer has no key from before its admission, if the policy rekeys on join.
#[derive(Clone, Debug, Default)]
pub struct NoKeyBeforeAdmission {
    roster: Roster,
    installs: u64,
}

impl NoKeyBeforeAdmission {
    /// Installs by members so far.
    pub fn installs(&self) -> u64 {
        self.installs
    }
}

impl Checker for NoKeyBeforeAdmission {
    fn name(&self) -> &'static str {
        "NoKeyBeforeAdmission"
    }

    fn after(&mut self, step: &Observed<'_>) -> Result<(), String> {
        self.roster.step(step);
        let Some(member) = step.machine::<Member>() else { return Ok(()) };
        let (Some(group), Some(cid)) = (member.group(), member.cid()) else { return Ok(()) };
        for event in step.events {
            let Event::Installed { epoch, .. } = event else { continue };
            self.installs += 1;
            let first = self.roster.first.get(&Session { group, cid });
            if let Some(first) = first.filter(|first| epoch < *first) {
                return Err(format!(
                    "member {cid} has the key of epoch {epoch}; the first that it may have is {first}"
                ));
            }
        }
        Ok(())
    }
}
