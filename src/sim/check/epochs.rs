//! Epochs only grow.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;

use super::Checker;
use super::session::{ends, over};
use crate::event::Event;
use crate::identity::{Epoch, Instance};
use crate::sim::step::Observed;
use crate::sim::world::NodeId;

/// S5, R14: in one group instance the epochs that a node installs only grow, across its sessions and restarts too.
#[derive(Clone, Debug, Default)]
pub struct EpochsGrow {
    now: BTreeMap<NodeId, Current>,
    highest: BTreeMap<(NodeId, Instance), Epoch>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Current {
    group: Option<Instance>,
    installed: Option<Epoch>,
    joined: Option<Epoch>,
}

impl Checker for EpochsGrow {
    fn name(&self) -> &'static str {
        "EpochsGrow"
    }

    fn after(&mut self, step: &Observed<'_>) -> Result<(), String> {
        if over(step) {
            self.now.remove(&step.node);
        }
        step.events.iter().try_for_each(|event| self.event(step.node, event))
    }
}

impl EpochsGrow {
    fn event(&mut self, node: NodeId, event: &Event) -> Result<(), String> {
        let current = self.now.entry(node).or_default();
        match event {
            // The epoch of `Joined` has been installed just before or is announced as installed just after.
            Event::Joined { group, epoch, .. } => {
                if let Some(installed) = current.installed.filter(|installed| installed > epoch) {
                    return Err(format!("joined at epoch {epoch} after installing {installed}"));
                }
                if let Some(highest) = self.highest.get(&(node, *group)).filter(|highest| *highest > epoch) {
                    return Err(format!("joined {group} again at epoch {epoch}, after {highest}"));
                }
                let known = current.installed.max(Some(*epoch)).unwrap_or(*epoch);
                self.highest.insert((node, *group), known);
                (current.group, current.joined) = (Some(*group), Some(*epoch));
            }
            Event::Installed { epoch, .. } => {
                if let Some(installed) = current.installed.filter(|installed| installed >= epoch) {
                    return Err(format!("installed epoch {epoch} after {installed}"));
                }
                if let Some(joined) = current.joined.filter(|joined| joined > epoch) {
                    return Err(format!("installed epoch {epoch} after joining at {joined}"));
                }
                current.installed = Some(*epoch);
                if let Some(group) = current.group {
                    self.highest.insert((node, group), *epoch);
                }
            }
            event if ends(event) => *current = Current::default(),
            _ => {}
        }
        Ok(())
    }
}
