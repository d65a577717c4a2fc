//! The attacker on the network: it records all frames, and withholds, alters, replays and injects what it likes.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use sodality::endpoint::Link;
use sodality::error::Reason;
use sodality::event::Event;
use sodality::explain::Explained as _;
use sodality::sim::{Adversary, Draft, InTransit, Net, NodeId, Tables, Verdict};

use super::Scene;
use crate::row::{Failed, Ran};

/// What becomes of a frame on its way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It goes on.
    Passes,
    /// It never arrives, and the attacker does not keep it.
    Lost,
    /// It never arrives; the attacker keeps it.
    Held,
    /// These bytes go on in its place.
    Altered(Bytes),
    /// It goes on later.
    Late(Duration),
}

type Rule = Box<dyn FnMut(&InTransit, &str) -> Fate>;

/// Writes all frames down, and does with each what its rule says.
#[derive(Default)]
pub struct Tap {
    tables: Tables,
    /// All frames, as their senders sent them.
    pub frames: Vec<InTransit>,
    held: Vec<InTransit>,
    rule: Option<Rule>,
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tap")
            .field("frames", &self.frames.len())
            .field("held", &self.held.len())
            .finish_non_exhaustive()
    }
}

impl Tap {
    /// The id of a frame's message.
    pub fn id(&self, frame: &InTransit) -> &'static str {
        self.tables.id(&frame.bytes)
    }
}

impl Adversary for Tap {
    fn on_frame(&mut self, frame: &InTransit, net: &mut Net<'_>) -> Verdict {
        self.frames.push(frame.clone());
        let id = net.tables.id(&frame.bytes);
        match self.rule.as_mut().map_or(Fate::Passes, |rule| rule(frame, id)) {
            Fate::Passes => Verdict::Pass,
            Fate::Lost => Verdict::Drop,
            Fate::Held => {
                self.held.push(frame.clone());
                Verdict::Drop
            }
            Fate::Altered(bytes) => Verdict::Replace(bytes),
            Fate::Late(by) => Verdict::Delay(by),
        }
    }
}

/// A frame taken apart.
///
/// # Errors
/// [`Failed`] if it is no known message.
pub fn draft(frame: &InTransit) -> Ran<Draft> {
    Ok(Draft::of(&Tables::default(), &frame.bytes)?)
}

/// Why something was refused, as a code; or that it was not.
pub fn code(why: Option<Reason>) -> &'static str {
    why.map_or("accepted", |why| why.code())
}

impl Scene {
    /// The recorded frames of this kind to a node, oldest first; those made by the attacker are not among them.
    pub fn frames(&self, id: &str, to: NodeId) -> Vec<InTransit> {
        let tap = self.tap.borrow();
        tap.frames.iter().filter(|frame| frame.to == to && tap.id(frame) == id).cloned().collect()
    }

    /// The recorded frames of this kind from a node, oldest first.
    pub fn frames_from(&self, id: &str, from: NodeId) -> Vec<InTransit> {
        let tap = self.tap.borrow();
        tap.frames.iter().filter(|frame| frame.from == from && tap.id(frame) == id).cloned().collect()
    }

    /// The last of [`Self::frames`].
    ///
    /// # Errors
    /// [`Failed`] if there is none.
    pub fn last(&self, id: &str, to: NodeId) -> Ran<InTransit> {
        self.frames(id, to).pop().ok_or_else(|| Failed::steps(format_args!("no {id} was sent there")))
    }

    /// The last of [`Self::frames_from`].
    ///
    /// # Errors
    /// As [`Self::last`].
    pub fn last_from(&self, id: &str, from: NodeId) -> Ran<InTransit> {
        self.frames_from(id, from).pop().ok_or_else(|| Failed::steps(format_args!("no {id} was sent from there")))
    }

    /// The end at `to` of the link over which something was last sent to it by `from`.
    ///
    /// # Errors
    /// [`Failed`] if nothing was.
    pub fn line(&self, from: NodeId, to: NodeId) -> Ran<Link> {
        let tap = self.tap.borrow();
        let last = tap.frames.iter().rev().find(|frame| (frame.from, frame.to) == (from, to));
        last.map(|frame| frame.to_link).ok_or_else(|| Failed::steps("nothing went between these two"))
    }

    /// From now on each frame meets what this says.
    pub fn intercept(&mut self, rule: impl FnMut(&InTransit, &str) -> Fate + 'static) {
        self.tap.borrow_mut().rule = Some(Box::new(rule));
    }

    /// From now on such frames are held back, and kept.
    pub fn hold(&mut self, which: impl Fn(&InTransit, &str) -> bool + 'static) {
        self.intercept(move |frame, id| if which(frame, id) { Fate::Held } else { Fate::Passes });
    }

    /// From now on such frames are lost.
    pub fn suppress(&mut self, which: impl Fn(&InTransit, &str) -> bool + 'static) {
        self.intercept(move |frame, id| if which(frame, id) { Fate::Lost } else { Fate::Passes });
    }

    /// The next frame for which this gives something else goes on as that; all later ones pass.
    pub fn alter_next(&mut self, mut alter: impl FnMut(&InTransit, &str) -> Option<Bytes> + 'static) {
        let mut done = false;
        self.intercept(move |frame, id| match (!done).then(|| alter(frame, id)).flatten() {
            Some(bytes) => {
                done = true;
                Fate::Altered(bytes)
            }
            None => Fate::Passes,
        });
    }

    /// Lets all frames pass again, and gives what was held back.
    pub fn release(&mut self) -> Vec<InTransit> {
        let mut tap = self.tap.borrow_mut();
        tap.rule = None;
        std::mem::take(&mut tap.held)
    }

    /// The oldest of what was held back; the rule stays.
    pub fn take_held(&mut self) -> Option<InTransit> {
        let held = &mut self.tap.borrow_mut().held;
        (!held.is_empty()).then(|| held.remove(0))
    }

    /// Lets `bytes` come to the holder of `link` now. Why they were refused, if they were.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn inject(&mut self, link: Link, bytes: impl Into<Bytes>) -> Ran<Option<Reason>> {
        let node = self.world.holder(link).ok_or_else(|| Failed::steps("nobody holds that link"))?;
        let before = self.world.events(node).len();
        self.world.inject(link, bytes, Duration::ZERO);
        self.run(Duration::ZERO)?;
        let after = self.world.events(node).get(before..).unwrap_or_default();
        Ok(after.iter().find_map(|event| match event {
            Event::Rejected { why, .. } => Some(*why),
            _ => None,
        }))
    }

    /// Lets a recorded frame come again.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn replay(&mut self, frame: &InTransit) -> Ran<Option<Reason>> {
        self.inject(frame.to_link, frame.bytes.clone())
    }

    /// Lets recorded frames come again, in order. Why the last of them was refused, if it was.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn replay_all(&mut self, frames: &[InTransit]) -> Ran<Option<Reason>> {
        let mut why = None;
        for frame in frames {
            why = self.replay(frame)?;
        }
        Ok(why)
    }
}
