//! Steps that several rows have in common.

use sodality::group::Check;

use crate::craft::repaired::made_up_key;
use crate::row::{Outcome, Ran, Setup};
use crate::scene::wire::code;
use crate::scene::{Plan, SECOND, SOON, Scene};

/// A9, A12 in the repaired edition: the number that stands beside a key is its epoch. An insider raises it, with a key of its
/// own in the blocks of so many members, who would then wait for a leader that never gets there.
pub(crate) fn altered_epoch(setup: &Setup, victims: usize) -> Ran<Outcome> {
    let mut scene = Scene::joined(setup, &Plan::of(3))?;
    scene.rekey()?;
    scene.run(SOON)?;
    let mark = scene.mark();
    let mut whys = Vec::new();
    for member in 0..victims {
        let block = scene.last("RA-R", scene.node(member))?;
        if let Some(raised) = setup.give(made_up_key(&block, 1_000)?) {
            whys.push(code(scene.inject(block.to_link, raised)?));
        }
    }
    scene.run(SECOND)?;
    let won = (0..victims).all(|member| scene.installed(&mark, scene.node(member)).iter().any(|epoch| epoch.0 > 1_000));
    let by = "the box of a key is bound to its epoch and to all its facts";
    Ok(setup.judge(won, Check::BlockBox, by, format!("the epoch beside the key was raised: {}", whys.join(", "))))
}
