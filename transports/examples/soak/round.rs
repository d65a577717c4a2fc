//! One round: a group is opened, much happens to it, it comes to rest, and ends.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sodality::endpoint::Cx;
use sodality::group::{Convener, Participant};
use sodality::identity::{Epoch, Instance, MemberId, Name};
use sodality_transports::clock::Clock;
use sodality_transports::conformance::{System, Terms};
use sodality_transports::driver::{self, Config, DriverGone, Handle};
use tokio::time::{Instant, sleep};

use crate::Failed;
use crate::measures::{Dice, Tally};
use crate::networks::Carrier;
use crate::people::{Home, Pattern, Person, end};

/// Names that may be members.
const NAMES: usize = 8;
/// Never fewer for long.
const FEW: usize = 3;
/// Most messages in a row, and the length of most of them.
const BURST: usize = 12;
const LENGTH: usize = 900;
/// Longest object.
const OBJECT: usize = 100_000;
/// When members have noticed that their leader is gone.
const NOTICE: Duration = Duration::from_secs(2);
/// Nothing that must happen takes longer.
const SOON: Duration = Duration::from_secs(60);

struct Place<M> {
    /// Who runs under this name.
    person: Option<Person<M>>,
    /// It is to be in the group.
    wants: bool,
}

pub(crate) struct Round<N: Carrier, S: System> {
    network: Arc<N>,
    system: Arc<S>,
    terms: Terms,
    tally: Arc<Tally>,
    dice: Dice,
    helper: Option<(Handle<S::Helper>, Home, N::Place)>,
    /// `None` only between two of them.
    leader: Option<Person<S::Leader>>,
    at: N::Place,
    places: Vec<Place<S::Member>>,
}

/// What all must agree on.
type Standing = (Option<Instance>, Epoch, Vec<MemberId>, bool);

async fn standing<M: Participant + 'static>(handle: &Handle<M>) -> Result<Standing, DriverGone> {
    handle
        .call(|machine, _| {
            let mut known = machine.known();
            known.sort_unstable();
            (machine.group(), machine.epoch(), known, machine.is_current())
        })
        .await
}

/// The helper, if the system has one.
async fn help<N: Carrier, S: System>(
    network: &Arc<N>,
    system: &Arc<S>,
) -> Result<Option<(Handle<S::Helper>, Home, N::Place)>, Failed> {
    let Some(machine) = system.helper() else { return Ok(None) };
    let (network, system) = (network.clone(), system.clone());
    let begin = move || async move {
        let (handle, mut events) = driver::spawn(machine, Config::default());
        let place = network.listen(handle.uplink()).await?;
        let asked = handle.clone();
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                let system = system.clone();
                if asked.call(move |helper, cx| system.help(helper, cx, &event)).await.is_err() {
                    return;
                }
            }
        });
        Ok((handle, place))
    };
    let (home, (handle, place)) = Home::open("helper", begin).await?;
    Ok(Some((handle, home, place)))
}

/// A leader, at `place` where another was before.
async fn lead<N: Carrier, S: System>(
    network: &Arc<N>,
    system: &Arc<S>,
    terms: &Terms,
    tally: &Arc<Tally>,
    helper: Option<N::Place>,
    place: Option<N::Place>,
) -> Result<(Person<S::Leader>, N::Place), Failed> {
    let (network, system, terms) = (network.clone(), system.clone(), terms.clone());
    Person::move_in("leader", tally.clone(), move || async move {
        let clock = Clock::new();
        let mut config = Config::default().clock(clock);
        if let Some(place) = helper {
            config = config.connector(network.connector(place));
        }
        let mut rng = getrandom::SysRng;
        let machine = system.leader(&terms, &mut Cx::new(clock.now(), &mut rng))?;
        let (handle, events) = driver::spawn(machine, config);
        let at = network.lead(handle.uplink(), place).await?;
        Ok((handle, events, at))
    })
    .await
}

impl<N: Carrier, S: System> Round<N, S> {
    pub(crate) async fn open(network: Arc<N>, system: Arc<S>, tally: Arc<Tally>, dice: Dice) -> Result<Self, Failed> {
        let can = network.capabilities();
        // A crash is noticed after a second and a half.
        let period = Duration::from_millis(250);
        let communication = system.communication(can.communication);
        let terms = Terms { max_frame: can.max_frame, communication, period, misses: 5 };
        let helper = help(&network, &system).await?;
        let asked = helper.as_ref().map(|(.., place)| place.clone());
        let (leader, at) = lead(&network, &system, &terms, &tally, asked, None).await?;
        let places = (0..NAMES).map(|_| Place { person: None, wants: false }).collect();
        Ok(Self { network, system, terms, tally, dice, helper, leader: Some(leader), at, places })
    }

    /// Much happens for so long, and the leader crashes once.
    pub(crate) async fn churn(&mut self, span: Duration) -> Result<(), Failed> {
        let begun = Instant::now();
        let mut crash = Some(span.mul_f64(0.4 + 0.01 * self.dice.below(40) as f64));
        let mut noticed = Duration::ZERO;
        while begun.elapsed() < span {
            if crash.is_some_and(|at| begun.elapsed() > at) {
                crash = None;
                self.crash_leader().await?;
                noticed = begun.elapsed() + NOTICE;
            }
            if self.wanting().len() < FEW {
                self.arrive().await?;
            } else if begun.elapsed() < noticed {
                // Whoever left now would wait long for an answer, and the others are to notice.
                self.talk().await?;
            } else {
                self.step().await?;
            }
            self.mend().await?;
            sleep(Duration::from_millis(self.dice.below(25) as u64)).await;
        }
        Ok(())
    }

    async fn step(&mut self) -> Result<(), Failed> {
        match self.dice.below(100) {
            0..7 => self.arrive().await,
            7..10 => self.leave().await,
            10..13 => self.crash().await,
            13..16 => self.eject().await,
            16..22 => self.cut().await,
            22..24 => self.rekey().await,
            24..32 => self.offer().await,
            _ => self.talk().await,
        }
    }

    /// The numbers of those that are to be in.
    fn wanting(&self) -> Vec<usize> {
        (0..NAMES).filter(|number| self.places.get(*number).is_some_and(|place| place.wants)).collect()
    }

    fn person(&self, number: usize) -> Option<&Person<S::Member>> {
        self.places.get(number)?.person.as_ref()
    }

    /// One of those that are to be in.
    fn anybody(&mut self) -> Option<usize> {
        let wanting = self.wanting();
        self.dice.choose(&wanting)
    }

    /// One that is not in begins to join, under its old machine if it has one.
    async fn arrive(&mut self) -> Result<(), Failed> {
        let away: Vec<usize> = (0..NAMES).filter(|number| !self.wanting().contains(number)).collect();
        let Some(number) = self.dice.choose(&away) else { return Ok(()) };
        let Some(place) = self.places.get_mut(number) else { return Ok(()) };
        if place.person.is_none() {
            let (network, system, terms) = (self.network.clone(), self.system.clone(), self.terms.clone());
            let (name, at) = (format!("m{number}"), self.at.clone());
            let own = Name::new(&name)?;
            let begin = move || async move {
                let machine = system.member(&terms, own)?;
                let config = Config::default().connector(network.connector(at));
                let (handle, events) = driver::spawn(machine, config);
                Ok((handle, events, ()))
            };
            place.person = Some(Person::move_in(&name, self.tally.clone(), begin).await?.0);
        }
        place.wants = true;
        Ok(())
    }

    /// Whoever is to be in and is out asks to join.
    async fn mend(&self) -> Result<(), Failed> {
        for number in self.wanting() {
            let Some(person) = self.person(number) else { continue };
            // Refused while an attempt is under way.
            let _ = person
                .handle
                .call(|member, cx| if member.cid().is_none() { S::join(member, cx) } else { Ok(()) })
                .await?;
        }
        Ok(())
    }

    /// Forgets a member whose driver is to go.
    fn take(&mut self, number: usize) -> Option<Person<S::Member>> {
        let place = self.places.get_mut(number)?;
        place.wants = false;
        place.person.take()
    }

    async fn leave(&mut self) -> Result<(), Failed> {
        let Some(number) = self.anybody() else { return Ok(()) };
        let at_once = self.dice.below(2) == 0;
        let Some(person) = self.person(number) else { return Ok(()) };
        if person.handle.call(|member, cx| S::leave(member, cx)).await?.is_err() {
            return Ok(());
        }
        if at_once {
            if let Some(person) = self.take(number) {
                no_tasks(&person.name.clone(), person.leave_home().await?)?;
            }
        } else if let Some(place) = self.places.get_mut(number) {
            place.wants = false;
        }
        Ok(())
    }

    async fn crash(&mut self) -> Result<(), Failed> {
        let Some(number) = self.anybody() else { return Ok(()) };
        if let Some(person) = self.take(number) {
            person.crash().await;
            Tally::add(&self.tally.crashed, 1);
        }
        Ok(())
    }

    async fn eject(&mut self) -> Result<(), Failed> {
        let Some(number) = self.anybody() else { return Ok(()) };
        let Some(person) = self.person(number) else { return Ok(()) };
        let Some(cid) = person.handle.call(|member, _| member.cid()).await? else { return Ok(()) };
        // It may be gone by now, or be in the group of the leader before.
        if self.leader()?.handle.call(move |leader, cx| leader.eject(cx, cid)).await?.is_ok() {
            Tally::add(&self.tally.ejected, 1);
            if let Some(place) = self.places.get_mut(number) {
                place.wants = false;
            }
        }
        Ok(())
    }

    async fn cut(&mut self) -> Result<(), Failed> {
        let cut = if self.dice.below(4) == 0 {
            self.leader()?.cut().await?
        } else {
            match self.anybody().and_then(|number| self.person(number)) {
                Some(person) => person.cut().await?,
                None => 0,
            }
        };
        Tally::add(&self.tally.cut, cut);
        Ok(())
    }

    async fn rekey(&mut self) -> Result<(), Failed> {
        // Refused while one is under way.
        let _ = self.leader()?.handle.call(|leader, cx| leader.rekey(cx)).await?;
        Ok(())
    }

    async fn talk(&mut self) -> Result<(), Failed> {
        // Now and then a long one.
        let length = if self.dice.below(20) == 0 { 30 * LENGTH } else { LENGTH };
        let (burst, speaker) = (1 + self.dice.below(BURST), self.speaker());
        for _ in 0..burst {
            let payload = vec![b'.'; 1 + self.dice.below(length)];
            let said = match speaker.and_then(|number| self.person(number)) {
                Some(person) => person.say(payload).await?,
                None => self.leader()?.say(payload).await?,
            };
            Tally::add(&self.tally.said, u64::from(said));
        }
        Ok(())
    }

    async fn offer(&mut self) -> Result<(), Failed> {
        let object = Pattern { seed: self.dice.roll(), size: self.dice.below(OBJECT) as u64 };
        let offered = match self.speaker().and_then(|number| self.person(number)) {
            Some(person) => person.offer(object).await?,
            None => self.leader()?.offer(object).await?,
        };
        Tally::add(&self.tally.offered, u64::from(offered));
        Ok(())
    }

    /// A member, or nobody for the leader.
    fn speaker(&mut self) -> Option<usize> {
        if self.dice.below(4) == 0 { None } else { self.anybody() }
    }

    fn leader(&self) -> Result<&Person<S::Leader>, Failed> {
        self.leader.as_ref().ok_or_else(|| "no leader".into())
    }

    /// The leader is gone without a word, and soon there is another at its place.
    async fn crash_leader(&mut self) -> Result<(), Failed> {
        if let Some(leader) = self.leader.take() {
            leader.crash().await;
        }
        sleep(Duration::from_millis(self.dice.below(400) as u64)).await;
        let asked = self.helper.as_ref().map(|(.., place)| place.clone());
        let begun = Instant::now();
        let leader = loop {
            let (asked, at) = (asked.clone(), Some(self.at.clone()));
            match lead(&self.network, &self.system, &self.terms, &self.tally, asked, at).await {
                Ok((leader, _)) => break leader,
                // Somebody has its port by chance.
                Err(why) if begun.elapsed() > SOON => return Err(why),
                Err(_) => sleep(Duration::from_millis(50)).await,
            }
        };
        self.leader = Some(leader);
        Tally::add(&self.tally.leaders_crashed, 1);
        Ok(())
    }

    /// Waits until all that are to be in agree on view and key, and each hears each.
    pub(crate) async fn rest(&self) -> Result<(), Failed> {
        let begun = Instant::now();
        let mut same = 0;
        while same < 3 {
            let (led, others) = self.standings().await?;
            let (.., known, current) = &led;
            let all = *current && known.len() == others.len() + 1 && others.iter().all(|(_, its)| *its == led);
            same = if all { same + 1 } else { 0 };
            if begun.elapsed() > SOON {
                return Err(format!("they do not agree: the leader at {led:?}, members at {others:?}").into());
            }
            self.mend().await?;
            sleep(Duration::from_millis(30)).await;
        }
        self.call_roll().await?;
        Tally::add(&self.tally.agreed, 1);
        Ok(())
    }

    /// Where the leader stands, and each that is to be in.
    async fn standings(&self) -> Result<(Standing, Vec<(String, Standing)>), Failed> {
        let led = standing(&self.leader()?.handle).await?;
        let mut others = Vec::new();
        for person in self.wanting().into_iter().filter_map(|number| self.person(number)) {
            others.push((person.name.clone(), standing(&person.handle).await?));
        }
        Ok((led, others))
    }

    /// Each says a word until all others have heard it: messages are best effort.
    async fn call_roll(&self) -> Result<(), Failed> {
        let begun = Instant::now();
        let leader = self.leader()?;
        let people: Vec<_> = self.wanting().into_iter().filter_map(|number| self.person(number)).collect();
        let mut roll: BTreeSet<_> = people.iter().map(|person| person.roll()).collect();
        roll.insert(leader.roll());
        leader.forget();
        people.iter().for_each(|person| person.forget());
        loop {
            leader.say(leader.roll()).await?;
            for person in &people {
                person.say(person.roll()).await?;
            }
            for _ in 0..20 {
                sleep(Duration::from_millis(10)).await;
                if leader.has_heard(&roll) && people.iter().all(|person| person.has_heard(&roll)) {
                    return Ok(());
                }
            }
            if begun.elapsed() > SOON {
                let deaf: Vec<_> = people.iter().filter(|person| !person.has_heard(&roll)).map(|p| &p.name).collect();
                return Err(format!("not all hear all: {deaf:?} do not, the leader {}", leader.has_heard(&roll)).into());
            }
        }
    }

    /// The group is closed, and all ends in order. Nothing may be left.
    pub(crate) async fn end(mut self) -> Result<(), Failed> {
        let leader = self.leader.take().ok_or("no leader")?;
        leader.handle.call(|leader, cx| leader.close(cx)).await??;
        let begun = Instant::now();
        for place in self.places.iter_mut().filter_map(|place| place.person.take()) {
            while place.is_in().await? {
                if begun.elapsed() > SOON {
                    return Err(format!("{} does not hear that the group is closed", place.name).into());
                }
                sleep(Duration::from_millis(5)).await;
            }
            no_tasks(&place.name.clone(), place.leave_home().await?)?;
        }
        no_tasks("the leader", leader.leave_home().await?)?;
        if let Some((handle, home, _)) = self.helper.take() {
            end("helper", &handle).await?;
            drop(handle);
            no_tasks("the helper", home.end().await)?;
        }
        Ok(())
    }
}

fn no_tasks(whose: &str, left: usize) -> Result<(), Failed> {
    if left == 0 { Ok(()) } else { Err(format!("{left} tasks of {whose} are left").into()) }
}
