//! One third party for many leaders and groups, with a registry that can be changed while it runs, an answer that may take its
//! time, and an adversary who writes everything down.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use sodality::antigone::{Access, Leader, LeaderConfig, Member, MemberConfig};
use sodality::crypto::symbolic::symbolic;
use sodality::crypto::{Key, Suite};
use sodality::endpoint::{Cx, Instant};
use sodality::error::{CommandError, Misuse, Reason};
use sodality::event::{Event, Peer, Ticket};
use sodality::group::Limits;
use sodality::identity::Name;
use sodality::policy::{Floor, Policy};
use sodality::sim::star::long_term_key;
use sodality::sim::{InTransit, LinkConfig, Moment, Node, NodeId, SimRng, Tables, World, check, shared};
use sodality::ttp::{LeaderRecord, MemberRecord, Records, ThirdParty};

#[path = "../scene/mod.rs"]
pub(crate) mod scene;
use scene::Tap;

/// What the registry has of a principal. Its key is the one that [`long_term_key`] makes of `key`.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) leads: bool,
    pub(crate) disabled: bool,
}

/// A look-up that waits for its answer.
struct Waiting {
    ticket: Ticket,
    leader: Name,
    member: Name,
    since: Instant,
}

pub(crate) struct Hall {
    pub(crate) world: World,
    pub(crate) suite: std::sync::Arc<dyn Suite>,
    pub(crate) third_party: Node<ThirdParty>,
    pub(crate) tap: Rc<RefCell<Tap>>,
    pub(crate) registry: Rc<RefCell<BTreeMap<String, Entry>>>,
    /// How long each answer takes; `None` is for ever.
    pub(crate) takes: Option<Duration>,
    /// What became of the answers given.
    pub(crate) answered: Vec<Result<(), CommandError>>,
    waiting: Rc<RefCell<Vec<Waiting>>>,
}

pub(crate) const LINK: LinkConfig = LinkConfig::STREAM;
const STEP: Duration = Duration::from_millis(50);

impl Hall {
    /// A third party that answers at once, and nobody else yet.
    pub(crate) fn new(seed: u64) -> Self {
        let mut world = World::new(seed);
        world.add_checker(check::EpochsGrow::default());
        world.add_checker(check::NoReplayDelivered::default());
        let tap = shared(Tap::default());
        world.set_adversary(tap.clone());
        let suite = symbolic().silent();
        let third_party = world.add("ttp", ThirdParty::new(suite.clone(), Limits::default())).unwrap();
        world.set_address(Peer::ThirdParty, third_party, LINK);
        let waiting = Rc::new(RefCell::new(Vec::new()));
        let queue = waiting.clone();
        world
            .set_app(third_party, move |_: &mut ThirdParty, cx, moment| {
                if let Moment::Event(Event::LookupWanted { ticket, leader, member }) = moment {
                    let (leader, member) = (leader.clone(), member.clone());
                    queue.borrow_mut().push(Waiting { ticket: *ticket, leader, member, since: cx.now });
                }
            })
            .unwrap();
        let registry = Rc::default();
        let (takes, answered) = (Some(Duration::ZERO), Vec::new());
        Self { world, suite, third_party, tap, registry, takes, answered, waiting }
    }

    pub(crate) fn register(&mut self, name: &str, leads: bool) {
        let entry = Entry { key: name.to_owned(), leads, disabled: false };
        self.registry.borrow_mut().insert(name.to_owned(), entry);
    }

    /// A leader with an open group; registered as one.
    pub(crate) fn leader(&mut self, leader: &str) -> Node<Leader> {
        self.register(leader, true);
        let config = LeaderConfig {
            suite: self.suite.clone(),
            app: scene::name("hall"),
            name: scene::name(leader),
            key: long_term_key(&*self.suite, leader),
            policy: Policy::default(),
            access: Access::Registered,
            limits: Limits::default(),
        };
        let mut rng = SimRng::new(7).fork(leader.len() as u64 + u64::from(leader.as_bytes()[0]));
        let machine = Leader::open(config, &mut Cx::new(self.world.now(), &mut rng)).unwrap();
        let node = self.world.add(leader, machine).unwrap();
        self.world.set_address(Peer::Leader(scene::name(leader)), node, LINK);
        node
    }

    /// A member of that leader's group to be, with this key; registered under its own.
    pub(crate) fn member_with(&mut self, name: &str, leader: &str, key: &str) -> Node<Member> {
        let config = MemberConfig {
            suite: self.suite.clone(),
            app: scene::name("hall"),
            leader: scene::name(leader),
            name: scene::name(name),
            key: long_term_key(&*self.suite, key),
            floor: Floor::none(),
            limits: Limits::default(),
        };
        self.world.add(&format!("{name}@{leader}"), Member::new(config).unwrap()).unwrap()
    }

    pub(crate) fn member(&mut self, name: &str, leader: &str) -> Node<Member> {
        self.register(name, false);
        self.member_with(name, leader, name)
    }

    pub(crate) fn join(&mut self, member: Node<Member>) {
        self.world.command(member, "join", |member, cx| member.join(cx)).unwrap().unwrap();
    }

    fn records(&self, leader: &Name, member: &Name) -> Records {
        let registry = self.registry.borrow();
        let key = |entry: &Entry| -> Key<_> { long_term_key(&*self.suite, &entry.key) };
        Records {
            leader: registry.get(leader.as_str()).filter(|entry| entry.leads).map(|e| LeaderRecord { key: key(e) }),
            member: registry.get(member.as_str()).map(|e| MemberRecord { key: key(e), disabled: e.disabled }),
        }
    }

    /// Lets time pass, and the database of the third party answer when it does.
    pub(crate) fn run(&mut self, span: Duration) {
        let until = self.world.now() + span;
        loop {
            let now = self.world.now();
            let due: Vec<_> = match self.takes {
                Some(takes) => self.waiting.borrow_mut().extract_if(.., |one| now >= one.since + takes).collect(),
                None => Vec::new(),
            };
            for one in due {
                let records = self.records(&one.leader, &one.member);
                let given = self.world.with(self.third_party, |third, cx| third.answer(cx, one.ticket, &records));
                self.answered.push(given.unwrap());
            }
            let step = STEP.min(until.since(now));
            self.world.run_for(step).unwrap_or_else(|stop| panic!("{stop}\n{}", self.world.trace().tail(60)));
            if now >= until {
                break;
            }
        }
    }

    pub(crate) fn current(&self, member: Node<Member>) -> bool {
        self.world.get(member).unwrap().is_current()
    }

    pub(crate) fn told(&self, node: impl Into<NodeId>, event: &Event) -> bool {
        self.world.events(node).contains(event)
    }

    /// How often this reason was given.
    pub(crate) fn refused(&self, node: impl Into<NodeId>, reason: Reason) -> usize {
        let refused = |event: &&Event| matches!(event, Event::Rejected { why, .. } if *why == reason);
        self.world.events(node).iter().filter(refused).count()
    }

    /// The recorded frames of this kind to that node, oldest first.
    pub(crate) fn frames(&self, id: &str, to: impl Into<NodeId>) -> Vec<InTransit> {
        let (tables, to) = (Tables::default(), to.into());
        let wanted = |frame: &&InTransit| frame.to == to && tables.id(&frame.bytes) == id;
        self.tap.borrow().frames.iter().filter(wanted).cloned().collect()
    }

    /// All frames that reached, or would have reached, that node.
    pub(crate) fn all_to(&self, to: impl Into<NodeId>) -> usize {
        let to = to.into();
        self.tap.borrow().frames.iter().filter(|frame| frame.to == to).count()
    }

    pub(crate) fn expired(&self) -> usize {
        let expired = |given: &&Result<(), CommandError>| **given == Err(Misuse::NoTicket.into());
        self.answered.iter().filter(expired).count()
    }
}
