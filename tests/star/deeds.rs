//! What people do in random runs: a list, of which a seed picks. To let them do more, add a deed and its weight.

use std::time::Duration;

use sodality::antigone::{Leader, Member};
use sodality::endpoint::{Cx, Endpoint};
use sodality::error::CommandError;
use sodality::event::Port;
use sodality::group::Participant;
use sodality::identity::MemberId;
use sodality::policy::EjectRequests;
use sodality::sim::star::Star;
use sodality::sim::{Node, SimRng, Stop, World};

/// One thing that somebody does. What cannot be done just then is not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Deed {
    /// A member says something.
    Say,
    /// The leader does.
    LeaderSays,
    /// A member says something to two others alone: whoever has the lowest number, which is the leader, and the highest.
    Tell,
    /// The leader says something to the members with the lowest and the highest number alone.
    LeaderTells,
    /// A member leaves; whoever is to stay in asks again at once (`persist`).
    Leave,
    /// A member leaves and asks to join in the same breath.
    Rejoin,
    /// The leader changes the key.
    Rekey,
    /// A member's machine is replaced by a new one under the same name, at once.
    CrashAndRestart,
    /// The leader ejects a member. What checkers want to know of goes into the words of the command: `eject N`.
    Eject,
    /// A member asks that another be ejected: whoever has the lowest number, or the next if that is itself.
    AskToEject,
    /// The leader goes over to a policy that differs in its grace, and in whether requests to eject are granted.
    ChangePolicy,
}

/// What people do, and how often among a thousand deeds; the rest is [`Deed::Say`].
pub(crate) type Habits = &'static [(u16, Deed)];

/// They talk.
pub(crate) const TALK: Habits = &[(200, Deed::LeaderSays), (100, Deed::Tell), (50, Deed::LeaderTells)];

/// They talk, come and go.
pub(crate) const COME_AND_GO: Habits = &[
    (200, Deed::LeaderSays),
    (100, Deed::Tell),
    (50, Deed::LeaderTells),
    (35, Deed::Leave),
    (10, Deed::Rejoin),
    (25, Deed::Rekey),
    (5, Deed::CrashAndRestart),
    (15, Deed::Eject),
    (15, Deed::AskToEject),
    (15, Deed::ChangePolicy),
];

/// The same where nothing detects failures: there, whom the leader has put out and who does not hear it stays where it is for
/// ever, as with a leader that restarts.
pub(crate) const COME_AND_GO_UNWATCHED: Habits = &[
    (200, Deed::LeaderSays),
    (100, Deed::Tell),
    (50, Deed::LeaderTells),
    (35, Deed::Leave),
    (10, Deed::Rejoin),
    (25, Deed::Rekey),
    (5, Deed::CrashAndRestart),
];

fn pick(habits: Habits, rng: &mut SimRng) -> Deed {
    let mut at = rng.below(1000);
    for (share, deed) in habits {
        if at < u64::from(*share) {
            return *deed;
        }
        at -= u64::from(*share);
    }
    Deed::Say
}

/// Does it now. `number` makes each text another.
pub(crate) fn act(
    world: &mut World,
    deed: Deed,
    leader: Node<Leader>,
    member: Node<Member>,
    number: u64,
) -> Result<(), Stop> {
    let (text, words) = (format!("text {number}"), format!("say text {number}"));
    let (leads, lives) = (world.is_up(leader), world.is_up(member));
    // An answer of a command says that it could not be done: then it is not.
    match deed {
        Deed::Say if lives => drop(world.command(member, &words, |member, cx| {
            let _ = member.send(cx, Port::Application, text.as_bytes());
        })?),
        Deed::LeaderSays if leads => drop(world.command(leader, &words, |leader, cx| {
            let _ = leader.send(cx, Port::Application, text.as_bytes());
        })?),
        Deed::Tell if lives => {
            let (own, known) = (world.get(member).and_then(Member::cid), world.get(member).map(Participant::known));
            tell(world, member, own, known.unwrap_or_default(), text.as_bytes(), Member::say_privately)?;
        }
        Deed::LeaderTells if leads => {
            let known = world.get(leader).map(Participant::known).unwrap_or_default();
            tell(world, leader, Some(MemberId::LEADER), known, text.as_bytes(), Leader::say_privately)?;
        }
        Deed::Leave if lives => drop(world.command(member, "leave", |member, cx| {
            let _ = member.leave(cx);
        })?),
        Deed::Rejoin if lives => drop(world.command(member, "leave and join", |member, cx| {
            let _ = member.leave(cx);
            let _ = member.join(cx);
        })?),
        Deed::Rekey if leads => drop(world.command(leader, "rekey", |leader, cx| {
            let _ = leader.rekey(cx);
        })?),
        Deed::Eject if leads && lives => {
            if let Some(cid) = world.get(member).and_then(Member::cid) {
                world.command(leader, &format!("eject {cid}"), |leader, cx| {
                    let _ = leader.eject(cx, cid);
                })?;
            }
        }
        Deed::AskToEject if lives => {
            let asker = world.get(member);
            let own = asker.and_then(Member::cid);
            let others = asker.and_then(Member::view).into_iter().flat_map(|view| view.members().keys().copied());
            let target = others.filter(|cid| *cid != MemberId::LEADER && Some(*cid) != own).min();
            if let Some(cid) = target {
                world.command(member, &format!("eject {cid}"), |member, cx| {
                    let _ = member.request_ejection(cx, cid);
                })?;
            }
        }
        Deed::ChangePolicy if leads => {
            world.command(leader, "change the policy", |leader, cx| {
                let mut next = leader.policy().clone();
                let granted = next.eject_requests == EjectRequests::Granted;
                next.eject_requests = if granted { EjectRequests::Refused } else { EjectRequests::Granted };
                // Never longer than at first, so that the bound of liveness holds.
                next.grace = if granted { next.grace * 5 / 4 } else { next.grace * 4 / 5 };
                let _ = leader.change_policy(cx, next);
            })?;
        }
        Deed::CrashAndRestart if lives => {
            world.crash(member)?;
            world.restart(member)?;
        }
        _ => {}
    }
    Ok(())
}

/// How either machine says something privately.
type Says<M> = fn(&mut M, &mut Cx<'_>, &[MemberId], Port, &[u8]) -> Result<u64, CommandError>;

/// Says something privately to the first and the last of those known that are not oneself.
fn tell<M: Endpoint + 'static>(
    world: &mut World,
    node: Node<M>,
    own: Option<MemberId>,
    mut known: Vec<MemberId>,
    text: &[u8],
    says: Says<M>,
) -> Result<(), Stop> {
    known.retain(|cid| Some(*cid) != own);
    let (Some(first), Some(last)) = (known.iter().min(), known.iter().max()) else { return Ok(()) };
    let (to, said) = ([*first, *last], String::from_utf8_lossy(text));
    let words = format!("tell {first},{last}: {said}");
    world.command(node, &words, |machine, cx| {
        let _ = says(machine, cx, &to, Port::Application, text);
    })
}

/// Somebody does something every half second or so, for so long.
pub(crate) fn live(world: &mut World, star: &Star, span: Duration, habits: Habits) {
    let mut rng = SimRng::new(world.seed()).fork(0x7a1c);
    let mut at = Duration::ZERO;
    for number in 0u64.. {
        at += rng.span(Duration::from_secs(1));
        if at > span {
            return;
        }
        let member = *rng.pick(&star.members).expect("a group has members");
        let (leader, deed) = (star.leader, pick(habits, &mut rng));
        world.after(at, move |world| act(world, deed, leader, member, number));
    }
}
