//! The loop that every driver runs, by hand: a third party, a leader and one member in one thread, with queues in
//! memory for a network and a clock that jumps from deadline to deadline.
//!
//! The member joins, says something, and leaves. Neither an asynchronous runtime nor the simulator takes part: this is
//! all that a networking stack of your own has to do.
//!
//! ```text
//! cargo run --example drive_it_yourself
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use getrandom::SysRng;
use sodality::antigone::{Access, Leader, LeaderConfig, Member, MemberConfig};
use sodality::crypto::keys::role;
use sodality::crypto::{Key, Suite, chacha20_poly1305};
use sodality::endpoint::{Cx, Endpoint, Instant, Link, LinkInfo, Wake};
use sodality::event::{Event, Peer, Port};
use sodality::group::Limits;
use sodality::identity::Name;
use sodality::policy::{Floor, Policy};
use sodality::ttp::{LeaderRecord, MemberRecord, Records, ThirdParty};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// The three parties, and the names they go by here.
const THIRD_PARTY: usize = 0;
const LEADER: usize = 1;
const MEMBER: usize = 2;
const WHO: [&str; 3] = ["third party", "leader", "member"];

struct Parties {
    third_party: ThirdParty,
    leader: Leader,
    member: Member,
    /// What the third party knows. A real one has a file or a database of its own.
    registry: BTreeMap<Name, Key<role::LongTerm>>,
    lea: Name,
    /// Frames on their way: to whom, on which link of theirs.
    network: VecDeque<(usize, Link, Bytes)>,
    /// The far end of each link. Numbers of links are ours to make up; a machine knows nothing else of a connection.
    links: BTreeMap<Link, (usize, Link)>,
    now: Instant,
    /// Set when the member's leave is confirmed.
    over: bool,
}

fn main() -> Outcome<()> {
    let suite = chacha20_poly1305();
    let (lea, ada) = (Name::new("lea")?, Name::new("ada")?);
    let mut registry = BTreeMap::new();
    for name in [&lea, &ada] {
        registry.insert(name.clone(), Key::new(suite.fresh_secret(&mut SysRng, suite.sizes().long_term)?));
    }
    let mut parties = open(&suite, registry, &lea, &ada)?;

    // A command is an input like any other: what it causes is seen by draining.
    let now = parties.now;
    parties.member.join(&mut Cx::new(now, &mut SysRng))?;
    while !parties.over {
        for who in [THIRD_PARTY, LEADER, MEMBER] {
            parties.drain(who)?;
        }
        if !parties.over {
            parties.feed()?;
        }
    }
    println!("the member is out after {} ms", parties.now.as_micros() / 1000);
    Ok(())
}

fn open(
    suite: &Arc<dyn Suite>,
    registry: BTreeMap<Name, Key<role::LongTerm>>,
    lea: &Name,
    ada: &Name,
) -> Outcome<Parties> {
    let now = Instant::ORIGIN;
    let app = Name::new("example")?;
    let key = |name: &Name| registry.get(name).cloned().ok_or("not registered");
    let leader = LeaderConfig {
        suite: Arc::clone(suite),
        app: app.clone(),
        name: lea.clone(),
        key: key(lea)?,
        policy: Policy::default(),
        access: Access::Registered,
        limits: Limits::default(),
    };
    let member = MemberConfig {
        suite: Arc::clone(suite),
        app,
        leader: lea.clone(),
        name: ada.clone(),
        key: key(ada)?,
        floor: Floor::none(),
        limits: Limits::default(),
    };
    Ok(Parties {
        third_party: ThirdParty::new(Arc::clone(suite), Limits::default()),
        leader: Leader::open(leader, &mut Cx::new(now, &mut SysRng))?,
        member: Member::new(member)?,
        registry,
        lea: lea.clone(),
        network: VecDeque::new(),
        links: BTreeMap::new(),
        now,
        over: false,
    })
}

impl Parties {
    /// To a driver all machines are the same.
    fn machine(&mut self, who: usize) -> &mut dyn Endpoint {
        match who {
            THIRD_PARTY => &mut self.third_party,
            LEADER => &mut self.leader,
            _ => &mut self.member,
        }
    }

    /// After each input: take out all frames and all events. An application's answers may cause more of both.
    fn drain(&mut self, who: usize) -> Outcome<()> {
        loop {
            let now = self.now;
            let mut quiet = true;
            while let Some(transmit) = self.machine(who).poll_transmit(&mut Cx::new(now, &mut SysRng)) {
                quiet = false;
                for link in transmit.to.links() {
                    if let Some((to, far)) = self.links.get(&link) {
                        self.network.push_back((*to, *far, transmit.frame.clone()));
                    }
                }
            }
            while let Some(event) = self.machine(who).poll_event() {
                quiet = false;
                println!("{:>9} µs  {:11}  {event:?}", now.as_micros(), WHO.get(who).unwrap_or(&"?"));
                self.react(who, event)?;
            }
            if quiet {
                return Ok(());
            }
        }
    }

    /// The next input: a frame if one is on its way, or else the earliest deadline.
    fn feed(&mut self) -> Outcome<()> {
        if let Some((to, link, frame)) = self.network.pop_front() {
            self.now = self.now + Duration::from_millis(1);
            let now = self.now;
            // The machine opens frames in place, so it wants them for itself.
            let frame = BytesMut::from(frame);
            return Ok(self.machine(to).handle_frame(&mut Cx::new(now, &mut SysRng), link, frame)?);
        }
        let mut next: Option<(Instant, usize)> = None;
        for who in [THIRD_PARTY, LEADER, MEMBER] {
            let at = match self.machine(who).poll_timeout() {
                Wake::Now(_) => self.now,
                Wake::At(at, _) => at,
                Wake::OnInput => continue,
            };
            next = next.filter(|(earliest, _)| *earliest <= at).or(Some((at, who)));
        }
        // A driver with a clock sleeps until then.
        let (at, who) = next.ok_or("nobody waits for anything")?;
        self.now = self.now.max(at);
        let now = self.now;
        Ok(self.machine(who).handle_timeout(&mut Cx::new(now, &mut SysRng))?)
    }

    /// The applications of all three.
    fn react(&mut self, who: usize, event: Event) -> Outcome<()> {
        let now = self.now;
        let mut rng = SysRng;
        let mut cx = Cx::new(now, &mut rng);
        match event {
            // The driver's business: connect, and say which wish the link answers. TCP would show the peers' addresses to
            // be their own; queues in memory do so too.
            Event::LinkWanted { ticket, peer, .. } => {
                let other = if peer == Peer::ThirdParty { THIRD_PARTY } else { LEADER };
                let number = self.links.len() as u64;
                let (near, far) = (Link(number), Link(number + 1));
                self.links.insert(near, (other, far));
                self.links.insert(far, (who, near));
                let info = LinkInfo::stream(65_536);
                self.machine(other).handle_link_opened(&mut cx, far, info)?;
                self.machine(who).handle_link_opened(&mut cx, near, LinkInfo { answers: Some(ticket), ..info })?;
                // That was an input to the other as well.
                self.drain(other)?;
            }
            // The third party's registry.
            Event::LookupWanted { ticket, leader, member } => {
                let leads = leader == self.lea;
                let records = Records {
                    leader: self.registry.get(&leader).filter(|_| leads).map(|key| LeaderRecord { key: key.clone() }),
                    member: self.registry.get(&member).map(|key| MemberRecord { key: key.clone(), disabled: false }),
                };
                self.third_party.answer(&mut cx, ticket, &records)?;
            }
            // The member speaks as soon as it can, and goes when it is heard.
            Event::Joined { .. } if who == MEMBER => self.member.send(&mut cx, Port::Application, b"hello")?,
            Event::Data(message) => {
                println!("              {:?} says {:?}", message.from, String::from_utf8_lossy(&message.payload));
                self.member.leave(&mut cx)?;
            }
            Event::Ended(_) if who == MEMBER => self.over = true,
            Event::JoinFailed(why) => return Err(format!("no join: {why:?}").into()),
            _ => {}
        }
        Ok(())
    }
}
