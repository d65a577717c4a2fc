//! Whoever owns the network: sees every frame, and may drop, delay, replay, alter and invent.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use core::time::Duration;

use bytes::Bytes;

use super::craft::Tables;
use super::net::InTransit;
use super::rng::SimRng;
use super::world::{NodeId, Slot};
use crate::endpoint::{Instant, Link};

/// What becomes of a frame.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Verdict {
    /// It goes on; the network's own faults still apply.
    #[default]
    Pass,
    /// It never arrives.
    Drop,
    /// It goes on later. A reliable link stays in order no longer.
    Delay(Duration),
    /// These bytes go on in its place.
    Replace(Bytes),
}

/// Sees every frame before the network does, once for each receiver.
pub trait Adversary {
    /// What becomes of `frame`.
    fn on_frame(&mut self, frame: &InTransit, net: &mut Net<'_>) -> Verdict;

    /// The time that [`Net::wake`] asked for has come.
    fn on_wake(&mut self, token: u64, net: &mut Net<'_>) {
        let _ = (token, net);
    }
}

/// What an adversary can see and do besides.
pub struct Net<'a> {
    /// The time.
    pub now: Instant,
    /// Its own randomness.
    pub rng: &'a mut SimRng,
    /// The layouts, to take frames apart.
    pub tables: &'a Tables,
    pub(super) nodes: &'a [Slot],
    pub(super) deeds: Vec<Deed>,
}

impl fmt::Debug for Net<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Net").field("now", &self.now).field("deeds", &self.deeds).finish_non_exhaustive()
    }
}

/// What an adversary asked for.
#[derive(Debug)]
pub(super) enum Deed {
    Inject { link: Link, bytes: Bytes, after: Duration },
    Wake { token: u64, after: Duration },
    Close { link: Link },
}

impl Net<'_> {
    /// The name of a node.
    pub fn name(&self, node: NodeId) -> &str {
        self.nodes.get(node.index()).map_or("-", |slot| &slot.name)
    }

    /// The links of a node: where to inject.
    pub fn links_of(&self, node: NodeId) -> impl Iterator<Item = Link> {
        self.nodes.get(node.index()).into_iter().flat_map(|slot| slot.links.iter().copied())
    }

    /// Delivers `bytes` to the holder of `link`, as if they came over it.
    pub fn inject(&mut self, link: Link, bytes: impl Into<Bytes>, after: Duration) {
        self.deeds.push(Deed::Inject { link, bytes: bytes.into(), after });
    }

    /// Asks for [`Adversary::on_wake`].
    pub fn wake(&mut self, token: u64, after: Duration) {
        self.deeds.push(Deed::Wake { token, after });
    }

    /// Breaks the link, as a forged reset would.
    pub fn close(&mut self, link: Link) {
        self.deeds.push(Deed::Close { link });
    }
}

impl<A: Adversary> Adversary for Rc<RefCell<A>> {
    fn on_frame(&mut self, frame: &InTransit, net: &mut Net<'_>) -> Verdict {
        self.try_borrow_mut().map(|mut inner| inner.on_frame(frame, net)).unwrap_or_default()
    }

    fn on_wake(&mut self, token: u64, net: &mut Net<'_>) {
        if let Ok(mut inner) = self.try_borrow_mut() {
            inner.on_wake(token, net);
        }
    }
}

/// Something that both a world and the scenario hold: `world.set_adversary(mine.clone())`, later `mine.borrow()`.
pub fn shared<T>(inner: T) -> Rc<RefCell<T>> {
    Rc::new(RefCell::new(inner))
}

/// Writes all frames down and lets them pass.
#[derive(Clone, Default, Debug)]
pub struct Recorder {
    /// The frames, in the order of sending.
    pub frames: Vec<InTransit>,
}

impl Recorder {
    /// The recorded frames whose message has this id in the layouts (`"RA-J1"`).
    pub fn of<'r>(&'r self, tables: &'r Tables, id: &'r str) -> impl Iterator<Item = &'r InTransit> {
        self.frames.iter().filter(move |frame| tables.id(&frame.bytes) == id)
    }
}

impl Adversary for Recorder {
    fn on_frame(&mut self, frame: &InTransit, _net: &mut Net<'_>) -> Verdict {
        self.frames.push(frame.clone());
        Verdict::Pass
    }
}

/// Lets every frame pass and delivers it again later, as often as it is told.
#[derive(Clone, Debug)]
pub struct ReplayAll {
    /// How long after the first time, and between times.
    pub after: Duration,
    /// How often.
    pub times: u32,
}

impl Adversary for ReplayAll {
    fn on_frame(&mut self, frame: &InTransit, net: &mut Net<'_>) -> Verdict {
        for time in 1..=self.times {
            net.inject(frame.to_link, frame.bytes.clone(), self.after.saturating_mul(time));
        }
        Verdict::Pass
    }
}

/// Drops the frames that its predicate picks.
pub struct DropMatching<F>(pub F);

impl<F> fmt::Debug for DropMatching<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DropMatching")
    }
}

impl<F: FnMut(&InTransit, &Tables) -> bool> Adversary for DropMatching<F> {
    fn on_frame(&mut self, frame: &InTransit, net: &mut Net<'_>) -> Verdict {
        if (self.0)(frame, net.tables) { Verdict::Drop } else { Verdict::Pass }
    }
}

/// An adversary that is a closure.
pub struct Mallory<F>(pub F);

impl<F> fmt::Debug for Mallory<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mallory")
    }
}

impl<F: FnMut(&InTransit, &mut Net<'_>) -> Verdict> Adversary for Mallory<F> {
    fn on_frame(&mut self, frame: &InTransit, net: &mut Net<'_>) -> Verdict {
        (self.0)(frame, net)
    }
}

/// Several adversaries, of whom each sees every frame; the first verdict other than `Pass` counts.
#[derive(Default)]
pub struct Gang(pub Vec<Box<dyn Adversary>>);

impl fmt::Debug for Gang {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gang").field(&self.0.len()).finish()
    }
}

impl Adversary for Gang {
    fn on_frame(&mut self, frame: &InTransit, net: &mut Net<'_>) -> Verdict {
        let mut verdict = Verdict::Pass;
        for one in &mut self.0 {
            let next = one.on_frame(frame, net);
            if verdict == Verdict::Pass {
                verdict = next;
            }
        }
        verdict
    }

    fn on_wake(&mut self, token: u64, net: &mut Net<'_>) {
        self.0.iter_mut().for_each(|one| one.on_wake(token, net));
    }
}
