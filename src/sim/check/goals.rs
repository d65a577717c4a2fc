//! All checkers of all goals at once.

use alloc::rc::Rc;
use core::cell::RefCell;

use super::{
    DeadNoticed, EpochsAgree, EpochsGrow, JoinsAgree, NoDeliveryAfterRemoval, NoKeyBeforeAdmission, NoReplayDelivered,
    RecordsInOrder, RefusalsChangeNothing, RemovalHasCause, SendersAreTrue, StaleBound, StrangersAreBounded,
    ViewsAgree, WordsReachTheNamed,
};
use crate::sim::adversary::shared;
use crate::sim::star::StarConfig;
use crate::sim::world::World;

/// The checkers of S3 to S10 for a group of this configuration, to be looked at after the run.
#[derive(Clone, Debug)]
pub struct Goals {
    joins: Rc<RefCell<JoinsAgree>>,
    records: Rc<RefCell<RecordsInOrder>>,
    epochs: Rc<RefCell<EpochsAgree>>,
    stale: Option<Rc<RefCell<StaleBound>>>,
    dead: Option<Rc<RefCell<DeadNoticed>>>,
    replays: Rc<RefCell<NoReplayDelivered>>,
    senders: Rc<RefCell<SendersAreTrue>>,
    words: Rc<RefCell<WordsReachTheNamed>>,
    refusals: Rc<RefCell<RefusalsChangeNothing>>,
    strangers: Rc<RefCell<StrangersAreBounded>>,
}

/// What the checkers of a run have looked at: a run that shows nothing has zeros here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// S3: admissions.
    pub admissions: u64,
    /// S3: members that came to say `Joined`.
    pub joins: u64,
    /// S4: records accepted.
    pub records: u64,
    /// S5: epochs installed by members.
    pub installs: u64,
    /// S8: messages that members sent.
    pub sent: u64,
    /// S8: members that a leader took for dead.
    pub suspected: u64,
    /// S9: messages delivered.
    pub delivered: u64,
    /// S9: private words delivered.
    pub words: u64,
    /// S10: frames refused.
    pub refused: u64,
    /// S10: the most bytes held for strangers.
    pub strangers: u64,
}

impl Counts {
    /// These and those of another run.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            admissions: self.admissions + other.admissions,
            joins: self.joins + other.joins,
            records: self.records + other.records,
            installs: self.installs + other.installs,
            sent: self.sent + other.sent,
            suspected: self.suspected + other.suspected,
            delivered: self.delivered + other.delivered,
            words: self.words + other.words,
            refused: self.refused + other.refused,
            strangers: self.strangers.max(other.strangers),
        }
    }
}

impl Goals {
    /// Adds them to `world`. Senders are compared if every text is said with [`Star::say`](crate::sim::Star::say).
    pub fn watch(world: &mut World, config: &StarConfig) -> Self {
        let rto = config.limits.retry.first;
        let detection = config.policy.detection;
        let goals = Self {
            joins: shared(JoinsAgree::default()),
            records: shared(RecordsInOrder::default()),
            epochs: shared(EpochsAgree::default()),
            stale: detection
                .map(|detection| shared(StaleBound::new(detection.staleness(rto)).with_grace(config.policy.grace))),
            dead: detection.map(|detection| shared(DeadNoticed::new(detection.silence(rto)))),
            replays: shared(NoReplayDelivered::default()),
            senders: shared(SendersAreTrue::default()),
            words: shared(WordsReachTheNamed::default()),
            refusals: shared(RefusalsChangeNothing::default()),
            strangers: shared(StrangersAreBounded::default()),
        };
        world.add_checker(goals.joins.clone());
        world.add_checker(goals.records.clone());
        world.add_checker(EpochsGrow::default());
        world.add_checker(ViewsAgree::default());
        world.add_checker(goals.epochs.clone());
        world.add_checker(RemovalHasCause::new());
        world.add_checker(NoDeliveryAfterRemoval::default());
        world.add_checker(NoKeyBeforeAdmission::default());
        goals.stale.iter().for_each(|stale| world.add_checker(stale.clone()));
        goals.dead.iter().for_each(|dead| world.add_checker(dead.clone()));
        world.add_checker(goals.replays.clone());
        world.add_checker(goals.senders.clone());
        world.add_checker(goals.words.clone());
        world.add_checker(goals.refusals.clone());
        world.add_checker(goals.strangers.clone());
        goals
    }

    /// What they have looked at so far.
    pub fn counts(&self) -> Counts {
        let joins = self.joins.borrow();
        Counts {
            admissions: joins.admissions() as u64,
            joins: joins.joins() as u64,
            records: self.records.borrow().records(),
            installs: self.epochs.borrow().installs(),
            sent: self.stale.as_ref().map_or(0, |stale| stale.borrow().messages().0),
            suspected: self.dead.as_ref().map_or(0, |dead| dead.borrow().noticed()),
            delivered: self.senders.borrow().deliveries(),
            words: self.words.borrow().deliveries(),
            refused: self.refusals.borrow().refused().values().sum(),
            strangers: self.strangers.borrow().most() as u64,
        }
    }
}
