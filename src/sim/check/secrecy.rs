//! What the network, and whoever works with it, must not learn.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::Checker;
use super::attacker::Attacker;
use super::over::Over;
use super::roster::Roster;
use super::session::Session;
use crate::antigone::{Leader, Member};
use crate::crypto::Suite;
use crate::crypto::faulty::Recording;
use crate::crypto::symbolic::{Symbolic, symbolic};
use crate::event::Event;
use crate::identity::{Epoch, Instance, Name};
use crate::sim::craft::Tables;
use crate::sim::step::Observed;
use crate::sim::world::NodeId;
use crate::wire::Message as _;
use crate::wire::antigone::{JoinRequest, LeaderFrame, MemberFrame};
use crate::wire::frame::HEADER_BYTES;

/// S1, S2, S7: the attacker, who reads every frame and works with those whose keys it was given, learns no key of an epoch
/// that none of those may hold, no key of a private word that is for none of them, and no channel key of anybody else; nor does it when, after the run, all long-term keys
/// leak, if the policy demands the ephemeral exchange. The channel keys of sessions that are over may be handed to it, with
/// what they open ([`Self::hands_over_sessions`]).
///
/// For runs under the suite that it gives, in which keys are terms. It judges at each install of a leader, after every
/// hundredth frame, and when asked.
#[derive(Debug)]
pub struct Secrecy {
    terms: Symbolic,
    record: Recording,
    tables: Tables,
    attacker: Attacker,
    corrupt: BTreeSet<Name>,
    rogues: BTreeSet<NodeId>,
    leaks: Vec<Vec<u8>>,
    hands_over: bool,
    over: Over,
    spent: BTreeSet<Session>,
    ephemeral: bool,
    roster: Roster,
    keys: BTreeMap<(Instance, Epoch), Vec<u8>>,
    channels: BTreeMap<Vec<u8>, Session>,
    /// Keys of private words, with those for whom they are.
    words: BTreeMap<Vec<u8>, BTreeSet<Session>>,
    frames: u64,
    judged: u64,
}

/// How many frames pass between two judgements.
const FRAMES: u64 = 100;

impl Default for Secrecy {
    fn default() -> Self {
        Self::new()
    }
}

impl Secrecy {
    /// A world of terms, and a listener in it.
    pub fn new() -> Self {
        let terms = symbolic();
        Self {
            record: Recording::new(terms.suite()),
            tables: Tables::default(),
            attacker: Attacker::new(&terms),
            terms,
            corrupt: BTreeSet::new(),
            rogues: BTreeSet::new(),
            leaks: Vec::new(),
            hands_over: false,
            over: Over::default(),
            spent: BTreeSet::new(),
            ephemeral: true,
            roster: Roster::default(),
            keys: BTreeMap::new(),
            channels: BTreeMap::new(),
            words: BTreeMap::new(),
            frames: 0,
            judged: 0,
        }
    }

    /// The suite for all machines of the run.
    pub fn suite(&self) -> alloc::sync::Arc<dyn Suite> {
        self.record.suite()
    }

    /// The terms of the run.
    pub fn terms(&self) -> &Symbolic {
        &self.terms
    }

    /// The attacker is given the long-term key of `name`, and what the node draws for its joins. Do so before the run.
    pub fn corrupts(&mut self, name: Name, key: &[u8], node: NodeId) {
        self.corrupt.insert(name);
        self.runs(key, node);
    }

    /// The attacker runs this node, under a key of its own making: what the node draws is known to it.
    pub fn runs(&mut self, key: &[u8], node: NodeId) {
        self.attacker.learns(key);
        self.rogues.insert(node);
    }

    /// These long-term keys leak when all is over (S2).
    pub fn leaks_later(&mut self, keys: impl IntoIterator<Item = Vec<u8>>) {
        self.leaks.extend(keys);
    }

    /// The keys of a channel are given to the attacker once its session is over on both sides (RA §1).
    pub fn hands_over_sessions(&mut self) {
        self.hands_over = true;
    }

    /// How many sessions the attacker was given the keys of.
    pub fn spent(&self) -> usize {
        self.spent.len()
    }

    /// Whether the attacker could read these bytes.
    pub fn reads(&self, bytes: &[u8]) -> bool {
        self.attacker.reads(bytes)
    }

    /// Keys of epochs and of channels that were looked at so far, and how often they were.
    pub fn watched(&self) -> (usize, usize, u64) {
        (self.keys.len(), self.channels.len(), self.judged)
    }

    /// Keys of private words that were looked at so far.
    pub fn words(&self) -> usize {
        self.words.len()
    }

    /// Numbers that a key met with two different things (RA §2).
    pub fn repeated_numbers(&self) -> usize {
        self.record.violations().len()
    }

    /// Judges now.
    ///
    /// # Errors
    /// What the attacker has learnt.
    pub fn judge(&mut self) -> Result<(), String> {
        self.judged += 1;
        let secrets = self.record.secrets();
        self.attacker.deduce(&secrets);
        self.spares(&self.attacker, "")?;
        if self.ephemeral && !self.leaks.is_empty() {
            let mut later = self.attacker.clone();
            self.leaks.iter().for_each(|key| later.learns(key.clone()));
            later.deduce(&secrets);
            self.spares(&later, "once all long-term keys have leaked, ")?;
        }
        Ok(())
    }

    /// Whether the attacker may have what this session has.
    fn given(&self, session: &Session) -> bool {
        let corrupt = self.roster.names.get(session).is_some_and(|name| self.corrupt.contains(name));
        corrupt || self.spent.contains(session)
    }

    fn spares(&self, attacker: &Attacker, when: &str) -> Result<(), String> {
        for ((group, epoch), key) in &self.keys {
            if attacker.knows(key) && !self.roster.holders(*group, *epoch).any(|session| self.given(&session)) {
                return Err(format!("{when}the attacker has the key of epoch {epoch}"));
            }
        }
        for (key, holders) in &self.words {
            if attacker.knows(key) && !holders.iter().any(|session| self.given(session)) {
                return Err(format!("{when}the attacker has the key of a private word that is for none of its own"));
            }
        }
        for (key, session) in &self.channels {
            if attacker.knows(key) && !self.given(session) {
                return Err(format!("{when}the attacker has the channel key of member {}", session.cid));
            }
        }
        Ok(())
    }

    fn reads_frame(&mut self, step: &Observed<'_>, frame: &[u8]) {
        if !self.attacker.reads_frame(&self.tables, frame) {
            return;
        }
        self.frames += 1;
        let code = frame.get(HEADER_BYTES - 1).copied();
        if code == Some(JoinRequest::INFO.code)
            && self.rogues.contains(&step.node)
            && let Ok(parsed) = JoinRequest::parse(frame)
            && let Some(exponent) = self.attacker.exponent(parsed.message.share.as_bytes())
        {
            self.attacker.learns(exponent);
        }
        let sealed = if code == Some(LeaderFrame::INFO.code) && step.machine::<Leader>().is_some() {
            LeaderFrame::parse(frame).ok().map(|parsed| (parsed.message.group, parsed.message.cid, parsed.tag))
        } else if code == Some(MemberFrame::INFO.code) && step.machine::<Member>().is_some() {
            MemberFrame::parse(frame).ok().map(|parsed| (parsed.message.group, parsed.message.cid, parsed.tag))
        } else {
            None
        };
        if let Some((group, cid, tag)) = sealed
            && let Some(key) = self.attacker.key_of(tag.as_bytes())
        {
            self.channels.insert(key, Session { group, cid });
        }
    }
}

impl Checker for Secrecy {
    fn name(&self) -> &'static str {
        "Secrecy"
    }

    fn after(&mut self, step: &Observed<'_>) -> Result<(), String> {
        self.roster.step(step);
        let before = self.frames;
        for transmit in step.sent {
            self.reads_frame(step, &transmit.frame);
        }
        for session in self.over.step(step).into_iter().filter(|_| self.hands_over) {
            self.spent.insert(session);
            let keys = self.channels.iter().filter(|(_, of)| **of == session);
            keys.for_each(|(key, _)| self.attacker.learns(key.clone()));
        }
        let mut installed = false;
        if let Some(leader) = step.machine::<Leader>() {
            let (epoch, key) = leader.group_key();
            self.ephemeral = leader.policy().ephemeral;
            self.keys.entry((leader.group(), epoch)).or_insert_with(|| key.expose().to_vec());
            installed = step.events.iter().any(|event| matches!(event, Event::Installed { .. }));
            let group = leader.group();
            for (_, key, holders) in leader.word_keys() {
                // At first sight nobody has been passed the text yet: these are all.
                let holders = || holders.into_iter().map(|cid| Session { group, cid }).collect();
                self.words.entry(key.expose().to_vec()).or_insert_with(holders);
            }
        }
        if let Some(member) = step.machine::<Member>()
            && !self.rogues.contains(&step.node)
            && let (Some(group), Some((epoch, _))) = (member.group(), member.epoch_secret())
            && step.events.iter().any(|event| matches!(event, Event::Installed { .. }))
        {
            // A key that the leader never issued, and that a member takes, is no better kept.
            let known = self.keys.contains_key(&(group, epoch));
            if !known {
                return Err(format!("a member has installed epoch {epoch}, which no leader issued"));
            }
        }
        if installed || before / FRAMES != self.frames / FRAMES { self.judge() } else { Ok(()) }
    }
}
