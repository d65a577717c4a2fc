//! A group in a scenario: a leader, its helper and members.

use std::sync::Arc;
use std::time::Duration;

use sodality::endpoint::{Cx, Endpoint};
use sodality::event::{Event, Port};
use sodality::group::Participant;
use sodality::identity::Name;
use sodality::policy::Communication;
use tokio::time::{Instant, sleep};

use super::seat::{Seat, ensure, soon};
use super::{Failure, Network, System, Terms};
use crate::clock::Clock;
use crate::driver::{self, Config, Events, Handle};

/// Transport and system of a scenario.
pub(super) struct Stage<N, S> {
    pub(super) network: Arc<N>,
    pub(super) system: Arc<S>,
}

impl<N, S> Clone for Stage<N, S> {
    fn clone(&self) -> Self {
        Self { network: self.network.clone(), system: self.system.clone() }
    }
}

/// Waits until a message of the leader goes out once in all: it has heard from all that they hear what they share. Does nothing
/// where they share nothing.
pub(super) async fn once_for_all<M: Participant + 'static>(leader: &Handle<M>, terms: &Terms) -> Result<(), Failure> {
    if terms.communication == Communication::Relay {
        return Ok(());
    }
    let until = Instant::now() + soon();
    loop {
        let before = leader.stats().frames_out;
        let said = leader.call(|leader, cx| leader.send(cx, Port::Application, b"once")).await.map_err(Failure::of)?;
        if said.is_ok() && leader.stats().frames_out == before + 1 {
            return Ok(());
        }
        ensure!(Instant::now() < until, "messages go to members singly though all share a link");
        sleep(Duration::from_millis(50)).await;
    }
}

/// A group: the leader, the helper if there is one, and the members that have joined.
pub(super) struct Room<N: Network, S: System> {
    pub(super) stage: Stage<N, S>,
    pub(super) terms: Terms,
    pub(super) leader: Seat<S::Leader>,
    pub(super) place: N::Place,
    pub(super) members: Vec<Seat<S::Member>>,
    /// Kept for as long as the room is.
    helper: Option<Seat<S::Helper>>,
}

/// A helper, and where it is reached.
type Helper<N, S> = (Seat<<S as System>::Helper>, <N as Network>::Place);

impl<N: Network, S: System> Stage<N, S> {
    pub(super) fn new(network: N, system: S) -> Self {
        Self { network: Arc::new(network), system: Arc::new(system) }
    }

    /// Terms under which a crash is noticed after a second or two.
    pub(super) fn quick(&self) -> Terms {
        let can = self.network.capabilities();
        let communication = self.system.communication(can.communication);
        Terms { max_frame: can.max_frame, communication, period: Duration::from_millis(300), misses: 5 }
    }

    /// Terms under which nobody is suspected for as long as a scenario lasts.
    pub(super) fn patient(&self) -> Terms {
        let quick = self.quick();
        // Where all share a link, it shows after a period that they hear it.
        let period = if quick.communication == Communication::Relay { 3 } else { 1 };
        Terms { period: Duration::from_secs(period), misses: 30 / period as u8, ..quick }
    }

    /// A leader's machine, its clock, and the helper that it needs.
    async fn convene(&self, terms: &Terms) -> Result<(S::Leader, Clock, Option<Helper<N, S>>), Failure> {
        let clock = Clock::new();
        let helper = match self.system.helper() {
            Some(machine) => Some(self.help(machine).await?),
            None => None,
        };
        let mut rng = getrandom::SysRng;
        let mut cx = Cx::new(clock.now(), &mut rng);
        let machine = self.system.leader(terms, &mut cx).map_err(Failure::of)?;
        Ok((machine, clock, helper))
    }

    /// How drivers are configured that reach `place`. What it gives is for the runtime of the driver.
    pub(super) fn towards(&self, place: Option<&N::Place>) -> impl FnOnce() -> Config + Send + use<N, S> {
        let (network, place) = (self.network.clone(), place.cloned());
        move || match place {
            Some(place) => Config::default().connector(network.connector(place)),
            None => Config::default(),
        }
    }

    /// Accepts links for a leader, and joins what all share. Runs in the runtime of its driver.
    async fn lead(self, handle: Handle<S::Leader>) -> Result<N::Place, Failure> {
        let place = self.network.listen(handle.uplink()).await;
        let place = place.map_err(|error| Failure(format!("the leader cannot listen: {error}")))?;
        self.share(&handle, &place).await?;
        Ok(place)
    }

    /// Joins what all share. Runs in the runtime of the driver.
    pub(super) async fn share<M: Endpoint + 'static>(
        &self,
        handle: &Handle<M>,
        place: &N::Place,
    ) -> Result<(), Failure> {
        let shared = self.network.share(handle.uplink(), place).await;
        shared.map_err(|error| Failure(format!("the link that all share cannot be joined: {error}")))
    }

    /// Opens a group.
    pub(super) async fn room(&self, terms: Terms) -> Result<Room<N, S>, Failure> {
        let (machine, clock, helper) = self.convene(&terms).await?;
        let config = self.towards(helper.as_ref().map(|(_, place)| place));
        let stage = self.clone();
        let listen = move |handle| stage.lead(handle);
        let (leader, place) = Seat::apart("leader", machine, move || config().clock(clock), listen).await?;
        let helper = helper.map(|(seat, _)| seat);
        Ok(Room { stage: self.clone(), terms, leader, place: place?, members: Vec::new(), helper })
    }

    /// Starts a helper, and answers what it asks.
    async fn help(&self, machine: S::Helper) -> Result<Helper<N, S>, Failure> {
        let (handle, mut events) = driver::spawn(machine, Config::default());
        let place = self.network.listen(handle.uplink()).await;
        let place = place.map_err(|error| Failure(format!("the helper cannot listen: {error}")))?;
        let (asked, system) = (handle.clone(), self.system.clone());
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                let system = system.clone();
                if asked.call(move |helper, cx| system.help(helper, cx, &event)).await.is_err() {
                    return;
                }
            }
        });
        Ok((Seat::silent("helper", handle), place))
    }
}

impl<N: Network, S: System> Room<N, S> {
    /// The machine of a member.
    pub(super) fn machine(&self, name: &str) -> Result<S::Member, Failure> {
        let name = Name::new(name).map_err(Failure::of)?;
        self.stage.system.member(&self.terms, name).map_err(Failure::of)
    }

    /// A member's driver, which does not ask to join yet.
    pub(super) async fn newcomer(&self, name: &str) -> Result<Seat<S::Member>, Failure> {
        let seat = Seat::here(name, self.machine(name)?, self.stage.towards(Some(&self.place))());
        self.stage.share(&seat.handle, &self.place).await?;
        Ok(seat)
    }

    /// Asks to join, and waits until it is in.
    pub(super) async fn admit(&self, seat: &Seat<S::Member>) -> Result<(), Failure> {
        let mark = seat.log.mark();
        seat.command("join", |member, cx| S::join(member, cx)).await?;
        seat.sees(mark, "that it has joined", |event| matches!(event, Event::Joined { .. }).then_some(())).await
    }

    /// Waits until what is said goes over the link that all share, where there is one.
    async fn settle(&self) -> Result<(), Failure> {
        once_for_all(&self.leader.handle, &self.terms).await
    }

    /// Members of these names join, all at once.
    pub(super) async fn join(&mut self, names: &[&str]) -> Result<(), Failure> {
        let first = self.members.len();
        for name in names {
            let seat = self.newcomer(name).await?;
            self.members.push(seat);
        }
        for seat in self.members.iter().skip(first) {
            seat.command("join", |member, cx| S::join(member, cx)).await?;
        }
        for seat in self.members.iter().skip(first) {
            seat.sees(0, "that it has joined", |event| matches!(event, Event::Joined { .. }).then_some(())).await?;
        }
        self.agree().await?;
        self.settle().await
    }

    /// One member joins in a thread of its own.
    pub(super) async fn join_apart(&mut self, name: &str) -> Result<(), Failure> {
        let (stage, place) = (self.stage.clone(), self.place.clone());
        let share = move |handle| async move { stage.share(&handle, &place).await };
        let config = self.stage.towards(Some(&self.place));
        let (seat, shared) = Seat::apart(name, self.machine(name)?, config, share).await?;
        shared?;
        self.admit(&seat).await?;
        self.members.push(seat);
        self.agree().await?;
        self.settle().await
    }

    pub(super) fn member(&self, index: usize) -> Result<&Seat<S::Member>, Failure> {
        self.members.get(index).ok_or_else(|| Failure(format!("there is no member {index}")))
    }

    /// Waits until all have the leader's key and a view of this many.
    pub(super) async fn agree(&self) -> Result<(), Failure> {
        let members = self.members.len() + 1;
        let counted = move |leader: &mut S::Leader| leader.known().len() == members;
        self.leader.is(&format!("with a view of {members}"), counted).await?;
        let until = Instant::now() + soon();
        'again: loop {
            let epoch = self.leader.epoch().await?;
            for seat in &self.members {
                let same = move |member: &mut S::Member, _: &mut Cx<'_>| {
                    (member.epoch() == epoch && member.is_current() && member.known().len() == members, member.epoch())
                };
                let (same, its) = seat.handle.call(same).await.map_err(Failure::of)?;
                if !same {
                    ensure!(Instant::now() < until, "{} is at {its:?} and the leader at {epoch:?}", seat.name);
                    sleep(Duration::from_millis(10)).await;
                    continue 'again;
                }
            }
            // Sending has moved to the new key everywhere.
            sleep(Duration::from_millis(60)).await;
            if self.leader.epoch().await? == epoch {
                return Ok(());
            }
        }
    }

    /// One of all sends, and the others hear it, at once where the transport is reliable. Says how long it took.
    pub(super) async fn tell(&self, from: Speaker, payload: Vec<u8>) -> Result<Duration, Failure> {
        let everybody: Vec<usize> = (0..self.members.len()).collect();
        self.tell_to(from, payload, &everybody).await
    }

    /// As [`Self::tell`], and only the leader and these members need to hear it.
    pub(super) async fn tell_to(&self, from: Speaker, payload: Vec<u8>, whom: &[usize]) -> Result<Duration, Failure> {
        let begun = Instant::now();
        let reliable = self.stage.network.capabilities().reliable;
        let tries = if reliable { 1 } else { 40 };
        let limit = if reliable { soon() } else { Duration::from_millis(250) };
        let (own, ear) = (self.leader.log.mark(), &self.leader);
        let ears: Vec<(&Seat<S::Member>, usize)> = whom
            .iter()
            .filter(|index| from != Speaker::Member(**index))
            .map(|index| self.member(*index).map(|seat| (seat, seat.log.mark())))
            .collect::<Result<_, _>>()?;
        let mut deaf = None;
        for _ in 0..tries {
            match from {
                Speaker::Leader => self.leader.say(payload.clone()).await?,
                Speaker::Member(index) => self.member(index)?.say(payload.clone()).await?,
            }
            deaf = None;
            if from != Speaker::Leader && !ear.hears(own, &payload, limit).await {
                deaf = Some(self.leader.name.clone());
                continue;
            }
            for (seat, mark) in &ears {
                if !seat.hears(*mark, &payload, limit).await {
                    deaf = Some(format!("{} ({})", seat.name, seat.log.tail()));
                    break;
                }
            }
            if deaf.is_none() {
                return Ok(begun.elapsed());
            }
        }
        let lacks = deaf.unwrap_or_default();
        Err(Failure(format!("{lacks} does not hear {} bytes from {from:?}", payload.len())))
    }

    /// Ends everything in order; nothing of any adapter may be left.
    pub(super) async fn end(self) -> Result<(), Failure> {
        async fn over<M: Endpoint + 'static>(seat: &Seat<M>) -> Result<(), Failure> {
            let finished = seat.handle.shutdown().await.map_err(|why| Failure(format!("{}: {why}", seat.name)))?;
            ensure!(finished.complete, "adapters of {} have not ended", seat.name);
            Ok(())
        }
        for seat in &self.members {
            over(seat).await?;
        }
        over(&self.leader).await?;
        if let Some(helper) = &self.helper {
            over(helper).await?;
        }
        Ok(())
    }
}

/// Who speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Speaker {
    Leader,
    Member(usize),
}

/// The handle and the events of an endpoint without anybody who takes them.
pub(super) type Bare<M> = (Handle<M>, Events);

impl<N: Network, S: System> Stage<N, S> {
    /// A leader whose events are the scenario's.
    pub(super) async fn bare_leader(
        &self,
        terms: Terms,
    ) -> Result<(Bare<S::Leader>, N::Place, Option<Seat<S::Helper>>), Failure> {
        let (machine, clock, helper) = self.convene(&terms).await?;
        let config = self.towards(helper.as_ref().map(|(_, place)| place))();
        let (handle, events) = driver::spawn(machine, config.clock(clock));
        let place = self.clone().lead(handle.clone()).await?;
        Ok(((handle, events), place, helper.map(|(seat, _)| seat)))
    }

    /// A member whose events are the scenario's.
    pub(super) async fn bare_member(
        &self,
        terms: &Terms,
        name: &str,
        place: &N::Place,
    ) -> Result<Bare<S::Member>, Failure> {
        let name = Name::new(name).map_err(Failure::of)?;
        let machine = self.system.member(terms, name).map_err(Failure::of)?;
        let (handle, events) = driver::spawn(machine, self.towards(Some(place))());
        self.share(&handle, place).await?;
        Ok((handle, events))
    }
}
