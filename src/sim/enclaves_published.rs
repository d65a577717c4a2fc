//! What stars of Enclaves 1.0 and 2.0 as published have in common.

use alloc::string::ToString;

use super::world::World;
use super::{Stop, Why};
use crate::error::CommandError;

/// The methods of a star with a `leader`, `members` and names instead of a view.
macro_rules! published_star {
    ($star:ident, $member:ident) => {
        impl $star {
            /// Lets everybody ask to join, and again whenever a join or a session comes to nothing.
            ///
            /// # Errors
            /// [`Stop`].
            pub fn join_always(&self, world: &mut World) -> Result<(), Stop> {
                self.members.iter().try_for_each(|member| {
                    world.set_app(*member, |machine: &mut $member, cx, moment| {
                        let again = matches!(
                            moment,
                            Moment::Started | Moment::Event(Event::JoinFailed(_) | Event::JoinRefused(_) | Event::Ended(_))
                        );
                        if again {
                            let _ = machine.join(cx);
                        }
                    })
                })
            }

            /// Lets everybody join once and runs until they all have.
            ///
            /// # Errors
            /// [`Stop`], also if they have not within `time`.
            pub fn join_all(&self, world: &mut World, time: Duration) -> Result<(), Stop> {
                for member in &self.members {
                    let joined = world.with(*member, |member, cx| member.join(cx))?;
                    joined.map_err(|error| scenario(world, &error))?;
                }
                world.eventually(time, "everybody has joined and has the leader's key", |world| {
                    self.converged(world) && self.members.iter().all(|member| world.get(*member).is_some_and($member::is_in))
                })?;
                Ok(())
            }

            /// Whether all members that are up and in the group have the leader's key and have acknowledged all that they were told, and the leader counts
            /// as many.
            pub fn converged(&self, world: &World) -> bool {
                let Some(leader) = world.get(self.leader) else { return false };
                let present: Vec<&$member> =
                    self.members.iter().filter_map(|member| world.get(*member)).filter(|member| !member.is_idle()).collect();
                present.iter().all(|member| member.is_in() && member.epoch() == leader.epoch())
                    && leader.member_count() == present.len()
                    && leader.all_acknowledged()
            }

            /// Whether each of them also knows exactly the others by name.
            pub fn rosters_agree(&self, world: &World) -> bool {
                let in_group = |member: &&Node<$member>| world.get(**member).is_some_and($member::is_in);
                let names = || self.members.iter().filter(in_group).map(|member| name(world.name(*member)));
                self.members.iter().filter(in_group).filter_map(|member| world.get(*member)).all(|member| {
                    let mut known: Vec<_> = member.members().map(|(_, of)| of.clone()).collect();
                    let mut right: Vec<_> = names().chain([name(LEADER)]).collect();
                    known.sort();
                    right.sort();
                    known == right
                })
            }

            /// Sends `text` from a member to the group, or from the leader (any other number).
            ///
            /// # Errors
            /// [`Stop`] of the world; the command's own answer inside.
            pub fn say(&self, world: &mut World, from: usize, text: &[u8]) -> Result<Result<(), CommandError>, Stop> {
                let words = alloc::format!("say {}", String::from_utf8_lossy(text));
                match self.members.get(from) {
                    Some(member) => world.command(*member, &words, |member, cx| member.send(cx, Port::Application, text)),
                    None => world.command(self.leader, &words, |leader, cx| leader.send(cx, Port::Application, text)),
                }
            }

            /// How often a node's application was given `text`, to all, in private, or directly.
            pub fn heard(world: &World, node: impl Into<super::world::NodeId>, text: &[u8]) -> usize {
                let is = |event: &&Event| matches!(event, Event::Data(message) | Event::Gossip(message) | Event::Direct(message) if *message.payload == *text);
                world.events(node).iter().filter(is).count()
            }
        }
    };
}

pub(super) use published_star;

pub(super) fn scenario(world: &World, error: &CommandError) -> Stop {
    world.stop(None, Why::Scenario(error.to_string()))
}
