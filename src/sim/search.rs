//! Exhaustive search, breadth first: every order of actions up to a depth, each state once.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Debug;
use core::mem;

/// A state of a model: usually some cloned machines and the frames between them.
pub trait State: Clone {
    /// What can happen.
    type Action: Clone + Debug;

    /// What can happen here. The order decides nothing but which of two equally short paths is reported.
    fn actions(&self) -> Vec<Self::Action>;

    /// The state after `action`, or `None` if it turns out not to be possible.
    fn apply(&self, action: &Self::Action) -> Option<Self>;

    /// Equal for states that need not be told apart: see [`crate::fingerprint`] and [`super::Mixer`].
    fn digest(&self) -> u128;

    /// Whether the state is as it should be.
    ///
    /// # Errors
    /// What is wrong with it.
    fn check(&self) -> Result<(), String>;
}

/// Where a search ends if it does not end by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// Most actions in a row.
    pub depth: usize,
    /// Most states.
    pub states: usize,
}

/// A path to a state that is not as it should be. No shorter one exists.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Counterexample<A> {
    /// The actions, from the start.
    pub path: Vec<A>,
    /// What is wrong.
    pub wrong: String,
}

/// What a search found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explored<A> {
    /// Different states seen.
    pub states: usize,
    /// Actions taken.
    pub transitions: usize,
    /// Length of the longest of the shortest paths.
    pub depth: usize,
    /// Whether every state that can be reached was seen. Otherwise a bound or a violation ended the search.
    pub complete: bool,
    /// The first violation.
    pub violation: Option<Counterexample<A>>,
}

/// Where a state came from: the index of the state before it, and the action.
struct Step<A>(usize, A);

fn path<A: Clone>(steps: &[Option<Step<A>>], mut at: usize) -> Vec<A> {
    let mut path = Vec::new();
    while let Some(Some(Step(before, action))) = steps.get(at) {
        path.push(action.clone());
        at = *before;
    }
    path.reverse();
    path
}

/// Searches from `start` until nothing new is found, a check fails, or a bound is met.
pub fn search<S: State>(start: S, bounds: Bounds) -> Explored<S::Action> {
    let mut seen = BTreeSet::from([start.digest()]);
    let mut steps = Vec::from([None]);
    let mut found = Explored { states: 1, transitions: 0, depth: 0, complete: false, violation: None };
    if let Err(wrong) = start.check() {
        found.violation = Some(Counterexample { path: Vec::new(), wrong });
        return found;
    }
    let mut front = Vec::from([(start, 0)]);
    let mut next = Vec::new();
    for depth in 1.. {
        let last = depth > bounds.depth;
        for (state, index) in front.drain(..) {
            for action in state.actions() {
                let Some(after) = state.apply(&action) else { continue };
                let digest = after.digest();
                if seen.contains(&digest) {
                    found.transitions += 1;
                    continue;
                }
                if last || found.states >= bounds.states {
                    return found;
                }
                seen.insert(digest);
                found.transitions += 1;
                found.states += 1;
                found.depth = depth;
                steps.push(Some(Step(index, action)));
                let here = steps.len() - 1;
                if let Err(wrong) = after.check() {
                    found.violation = Some(Counterexample { path: path(&steps, here), wrong });
                    return found;
                }
                next.push((after, here));
            }
        }
        if next.is_empty() {
            break;
        }
        mem::swap(&mut front, &mut next);
    }
    found.complete = true;
    found
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::super::Mixer;
    use super::*;

    /// Two processes that enter a critical section behind flags; without `polite` they forget to look.
    #[derive(Clone, Debug, PartialEq)]
    struct Toy {
        place: [u8; 2],
        flag: [bool; 2],
        polite: bool,
    }

    #[derive(Clone, Debug, PartialEq)]
    enum Move {
        Raise(usize),
        Enter(usize),
        Leave(usize),
    }

    impl State for Toy {
        type Action = Move;

        fn actions(&self) -> Vec<Move> {
            (0..2).flat_map(|who| [Move::Raise(who), Move::Enter(who), Move::Leave(who)]).collect()
        }

        fn apply(&self, action: &Move) -> Option<Self> {
            let mut next = self.clone();
            match *action {
                Move::Raise(who) if self.place[who] == 0 => {
                    next.flag[who] = true;
                    next.place[who] = 1;
                }
                Move::Enter(who) if self.place[who] == 1 && !(self.polite && self.flag[1 - who]) => {
                    next.place[who] = 2;
                }
                Move::Leave(who) if self.place[who] == 2 => {
                    next.flag[who] = false;
                    next.place[who] = 0;
                }
                _ => return None,
            }
            Some(next)
        }

        fn digest(&self) -> u128 {
            Mixer::of(format!("{self:?}").as_bytes())
        }

        fn check(&self) -> Result<(), String> {
            if self.place == [2, 2] { Err("both are inside".into()) } else { Ok(()) }
        }
    }

    const START: Toy = Toy { place: [0, 0], flag: [false, false], polite: true };
    const WIDE: Bounds = Bounds { depth: 100, states: 1_000 };

    #[test]
    fn a_sound_model_is_searched_to_the_end() {
        let found = search(START, WIDE);
        assert!(found.complete && found.violation.is_none());
        // By hand: (0,0) (1,0) (0,1) (2,0) (0,2) (1,1) (2,1) (1,2); both flags up is a deadlock.
        assert_eq!((found.states, found.depth), (8, 3));
    }

    #[test]
    fn a_planted_bug_is_found_on_a_shortest_path() {
        let found = search(Toy { polite: false, ..START }, WIDE);
        let violation = found.violation.unwrap();
        assert_eq!(violation.path.len(), 4);
        let end = violation.path.iter().fold(Toy { polite: false, ..START }, |at, step| at.apply(step).unwrap());
        assert_eq!(end.check(), Err(violation.wrong));
    }

    #[test]
    fn bounds_end_a_search_and_say_so() {
        let shallow = search(START, Bounds { depth: 1, states: 1_000 });
        assert!(!shallow.complete && shallow.depth == 1 && shallow.states == 3);
        let small = search(START, Bounds { depth: 100, states: 4 });
        assert!(!small.complete && small.states == 4);
        assert!(search(START, Bounds { depth: 3, states: 8 }).complete, "bounds that just suffice");
    }

    #[test]
    fn a_bad_start_is_a_violation_of_no_steps() {
        let found = search(Toy { place: [2, 2], ..START }, WIDE);
        assert_eq!(found.violation.unwrap().path, []);
    }
}
