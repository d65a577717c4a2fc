//! Reaching peers again and again, for every transport that connects: one attempt at a time for each peer, pauses that grow,
//! tickets that are answered, and a report of each failure. A transport says only how to connect once ([`Dial`]).

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sodality::endpoint::LinkTicket;
use sodality::event::Peer;
use tokio::time::{Instant, sleep};

use crate::report::Notice;
use crate::transport::{Connector, Guard, Refused, Uplink, Wish};

/// How attempts to connect are repeated: each pause is twice the one before, with a random part of a quarter so that those
/// who lost the same peer do not come back at the same moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backoff {
    /// The first pause.
    pub first: Duration,
    /// The longest pause, before the random part.
    pub longest: Duration,
    /// Attempts for one wish, at least one. After the last the endpoint may wish again.
    pub attempts: u32,
}

impl Default for Backoff {
    /// 100 ms, up to 10 seconds, 8 attempts: 25 seconds or so.
    fn default() -> Self {
        Self { first: Duration::from_millis(100), longest: Duration::from_secs(10), attempts: 8 }
    }
}

impl Backoff {
    /// The pause after the failed attempt number `attempt`, counted from zero.
    fn pause(&self, attempt: u32) -> Duration {
        let pause = self.first.saturating_mul(2_u32.saturating_pow(attempt)).min(self.longest);
        // Without randomness there is no jitter; nothing else depends on it.
        let random = getrandom::u32().unwrap_or(0);
        pause.saturating_add((pause / 4).mul_f64(f64::from(random) / f64::from(u32::MAX)))
    }
}

/// How a transport connects once.
pub trait Dial: Send + Sync + 'static {
    /// A connection that is no link yet.
    type Connection: Send;

    /// Whether this transport knows a way to the peer. Must not block.
    fn knows(&self, wish: &Wish) -> bool;

    /// Connects, or says in words why not. Ends by itself after some time; is dropped when the driver ends.
    fn dial(&self, wish: &Wish) -> impl Future<Output = Result<Self::Connection, String>> + Send;

    /// Announces the link, with `ticket` in `LinkInfo::answers`, and starts its tasks.
    fn begin(
        &self,
        connection: Self::Connection,
        ticket: LinkTicket,
        uplink: &Uplink,
    ) -> impl Future<Output = Result<(), Refused>> + Send;
}

/// A [`Connector`] from a [`Dial`]. Where somebody answers and hangs up at once, the next attempts pause like failed ones, so
/// that neither side is kept busy by it.
pub struct Redial<D> {
    shared: Arc<Shared<D>>,
}

struct Shared<D> {
    dial: D,
    backoff: Backoff,
    /// The latest wish for each peer that an attempt is under way for. As many as the endpoint has peers to wish for.
    wishes: Mutex<BTreeMap<Peer, Wish>>,
    /// When each peer was reached last, and how many times in a row soon after the time before.
    reached: Mutex<BTreeMap<Peer, (Instant, u32)>>,
}

/// No code that may panic runs under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<D> fmt::Debug for Redial<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redial").field("backoff", &self.shared.backoff).finish_non_exhaustive()
    }
}

impl<D: Dial> Redial<D> {
    /// Connects by `dial`, again by `backoff`.
    pub fn new(dial: D, backoff: Backoff) -> Self {
        Self { shared: Arc::new(Shared { dial, backoff, wishes: Mutex::default(), reached: Mutex::default() }) }
    }
}

impl<D: Dial> Connector for Redial<D> {
    fn connect(&mut self, wish: &Wish, uplink: &Uplink) -> bool {
        if !self.shared.dial.knows(wish) {
            return false;
        }
        let Some(guard) = uplink.guard() else { return false };
        let before = lock(&self.shared.wishes).insert(wish.peer.clone(), wish.clone());
        if before.is_none() {
            let attempt = Attempt { shared: self.shared.clone(), peer: wish.peer.clone(), uplink: uplink.clone() };
            tokio::spawn(attempt.run(guard));
        }
        true
    }
}

/// The task that tries to reach one peer.
struct Attempt<D> {
    shared: Arc<Shared<D>>,
    peer: Peer,
    uplink: Uplink,
}

impl<D: Dial> Attempt<D> {
    async fn run(self, guard: Guard) {
        tokio::select! {
            () = self.uplink.over() => {}
            () = self.reach() => {}
        }
        drop(self);
        drop(guard);
    }

    fn take_wish(&self) -> Option<Wish> {
        lock(&self.shared.wishes).remove(&self.peer)
    }

    /// How long to wait before the peer is reached again: not at all, unless it was just now.
    fn rest(&self) -> Duration {
        let backoff = &self.shared.backoff;
        let reached = lock(&self.shared.reached);
        let soon = reached.get(&self.peer).filter(|(at, _)| at.elapsed() < backoff.longest);
        soon.map_or(Duration::ZERO, |(_, times)| backoff.pause(*times))
    }

    fn note_reached(&self) {
        let soon_after = self.shared.backoff.longest.saturating_mul(2);
        let mut reached = lock(&self.shared.reached);
        let soon = reached.get(&self.peer).filter(|(at, _)| at.elapsed() < soon_after);
        let times = soon.map_or(0, |(_, times)| times.saturating_add(1));
        reached.insert(self.peer.clone(), (Instant::now(), times));
    }

    async fn reach(&self) {
        sleep(self.rest()).await;
        let backoff = &self.shared.backoff;
        let attempts = backoff.attempts.max(1);
        for attempt in 0..attempts {
            let latest = lock(&self.shared.wishes).get(&self.peer).cloned();
            let Some(wish) = latest else { return };
            let why = match self.shared.dial.dial(&wish).await {
                Ok(connection) => {
                    // Taken before the link opens: a wish that comes while it opens is a new one.
                    let Some(wish) = self.take_wish() else { return };
                    self.note_reached();
                    // A refusal is counted and noticed by the driver.
                    let _ = self.shared.dial.begin(connection, wish.ticket, &self.uplink).await;
                    return;
                }
                Err(why) => why,
            };
            let again = attempt + 1 < attempts;
            if !again {
                self.take_wish();
            }
            self.uplink.notice(&Notice::Unreachable { peer: self.peer.clone(), why: why.into(), again });
            if again {
                sleep(backoff.pause(attempt)).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_no_two_are_alike() {
        let backoff = Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(10), attempts: 8 };
        for (attempt, base) in [(0, 100), (1, 200), (5, 3200), (6, 6400), (7, 10_000), (31, 10_000), (u32::MAX, 10_000)]
        {
            let base = Duration::from_millis(base);
            let pauses: Vec<Duration> = (0..20).map(|_| backoff.pause(attempt)).collect();
            assert!(pauses.iter().all(|pause| *pause >= base && *pause <= base + base / 4), "{attempt}: {pauses:?}");
            assert!(pauses.iter().any(|pause| *pause != pauses[0]), "{attempt}: {pauses:?}");
        }
        let none = Backoff { first: Duration::ZERO, longest: Duration::ZERO, attempts: 0 };
        assert_eq!(none.pause(3), Duration::ZERO);
    }
}
