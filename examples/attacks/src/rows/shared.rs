//! Steps that several rows have in common.

use sodality::group::Check;

use crate::craft::repaired::made_up_key;
use crate::row::{Outcome, Ran, Setup};
use crate::scene::judge::Mark;
use crate::scene::wire::code;
use crate::scene::{ANN, Plan, SECOND, SOON, Scene};

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

/// E9, E11, E13 in the repaired edition: after something has happened, all that the leader has told ann comes to it again. What
/// would be won by that, `believes` says; to be thrown out of the chain by it is as bad.
pub(crate) fn old_word(
    setup: &Setup,
    happens: impl FnOnce(&mut Scene) -> Ran<()>,
    believes: impl FnOnce(&Scene, &Mark) -> bool,
) -> Ran<Outcome> {
    let mut scene = Scene::joined(setup, &Plan::of(3))?;
    let ann = scene.node(ANN);
    let before = scene.frames("EN-R4", ann).len();
    happens(&mut scene)?;
    // The newest is no replay: it is answered again, as it was.
    let mut old = scene.frames("EN-R4", ann);
    let newest = old.pop().map(|frame| frame.bytes);
    old.retain(|frame| Some(&frame.bytes) != newest.as_ref());
    if before < 3 || old.len() <= before {
        return Err(crate::row::Failed::steps("the leader has told too little"));
    }
    let (mark, count) = (scene.mark(), old.len());
    let why = scene.replay_all(&setup.give_all(old))?;
    scene.run(SECOND)?;
    let (believed, out) = (believes(&scene, &mark), scene.ended(&mark, ann).is_some());
    let by = "an AdminMsg names the number that ann made last";
    let shown = if out {
        "ann takes something old for the next word of a leader that breaks the protocol, and leaves".to_owned()
    } else {
        format!("{count} old AdminMsgs came to ann again: {}", code(why))
    };
    Ok(setup.judge(believed || out, Check::AdminNonce, by, shown))
}
