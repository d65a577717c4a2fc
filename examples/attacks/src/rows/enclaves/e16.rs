//! E16: services that Enclaves 2.0 does not have.

use std::time::Duration;

use sodality::crypto::Key;
use sodality::enclaves::version_2::{Historic, Leader, LeaderConfig, default_policy};
use sodality::endpoint::Cx;
use sodality::group::Limits;
use sodality::group::access::Access;
use sodality::policy::{Policy, Protection};
use sodality::sim::SimRng;
use sodality::sim::enclaves_version_2::user_key;
use sodality::sim::star::LEADER;

use crate::craft::version_two::Kit;
use crate::row::{Class, Failed, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::{ANN, NAMES, Plan, SECOND, Scene, name};

/// The row.
pub static ROW: Row = Row {
    id: "E16",
    system: System::Enclaves,
    section: "3.3",
    who: Who::Nobody,
    class: Class::Weakness,
    title: "there is one protection for data, and nobody notices a dead leader",
    holds: "nothing",
    steps: &[
        "a group is opened under each protection of data",
        "the leader stops",
    ],
    reaches: "what the edition can do, and cannot",
    defence: "protection and failure detection are chosen in the policy (enclaves §4)",
    beyond_repair: false,
    published,
    repaired,
};

const HOUR: Duration = Duration::from_secs(3_600);

/// How long it takes until ann notices that the leader has stopped, if an hour is enough.
fn noticed_after(scene: &mut Scene) -> Ran<Option<u64>> {
    let mark = scene.mark();
    scene.crash(scene.leader())?;
    for second in 1..=HOUR.as_secs() {
        scene.run(SECOND)?;
        if scene.noticed(&mark, ANN) {
            return Ok(Some(second));
        }
    }
    Ok(None)
}

fn published(setup: &Setup) -> Ran {
    let kit = Kit::new(setup);
    let mut taken = 0;
    for protection in Protection::ALL {
        let key = Key::new(user_key(&**kit.suite(), NAMES[ANN]).secret().clone());
        let config = LeaderConfig {
            historic: Historic::i_know_that_this_protects_nothing(),
            suite: kit.suite().clone(),
            name: name(LEADER)?,
            accounts: [(name(NAMES[ANN])?, key)].into_iter().collect(),
            access: Access::Registered,
            policy: Policy { protection, ..default_policy() },
            limits: Limits::default(),
        };
        let mut rng = SimRng::new(setup.seed);
        taken += usize::from(Leader::open(config, &mut Cx::new(Default::default(), &mut rng)).is_ok());
    }
    let mut scene = Scene::joined(setup, &Plan::of(1))?;
    let noticed = noticed_after(&mut scene)?;
    let all = Protection::ALL.len();
    let after = noticed.map_or("not noticed in an hour".to_owned(), |seconds| format!("noticed after {seconds} s"));
    Ok(Outcome::Measured { text: format!("{taken} of {all} protections of data; a leader that has stopped is {after}") })
}

fn repaired(setup: &Setup) -> Ran<Outcome> {
    let mut taken = 0;
    for protection in Protection::ALL {
        let plan = Plan::of(1).policy(|policy| {
            policy.protection = protection;
            policy.origin &= protection != Protection::None;
        });
        taken += usize::from(Scene::joined(setup, &plan).is_ok());
    }
    let mut scene = Scene::joined(setup, &Plan::of(1))?;
    let seconds = noticed_after(&mut scene)?.ok_or_else(|| Failed::steps("ann has not noticed in an hour"))?;
    let all = Protection::ALL.len();
    Ok(Outcome::Measured { text: format!("{taken} of {all} protections of data; a leader that has stopped is noticed after \
        {seconds} s") })
}
