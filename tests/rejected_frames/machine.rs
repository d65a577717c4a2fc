//! A machine of whatever role, and where it stands.

use sodality::antigone::{Leader, Member};
use sodality::endpoint::{Cx, Endpoint, Instant, Link, Transmit};
use sodality::event::Event;
use sodality::fingerprint::Fingerprint;
use sodality::identity::{MemberId, Name};
use sodality::policy::{Policy, Views};
use sodality::sim::{Observed, SimRng, Tables};
use sodality::ttp::ThirdParty;
use sodality::wire::Value;

use crate::keyring::{Keyring, number};

#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // A few hundred of them.
pub(crate) enum Machine {
    Third(ThirdParty),
    Leader(Leader),
    Member(Member),
}

impl Machine {
    pub(crate) fn of(step: &Observed<'_>) -> Option<Self> {
        let third = step.machine::<ThirdParty>().cloned().map(Self::Third);
        let leader = || step.machine::<Leader>().cloned().map(Self::Leader);
        let member = || step.machine::<Member>().cloned().map(Self::Member);
        third.or_else(leader).or_else(member)
    }

    pub(crate) fn end(&mut self) -> &mut dyn Endpoint {
        match self {
            Self::Third(machine) => machine,
            Self::Leader(machine) => machine,
            Self::Member(machine) => machine,
        }
    }

    pub(crate) fn digest(&self, now: Instant) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Third(machine) => machine.fingerprint(now, &mut out),
            Self::Leader(machine) => machine.fingerprint(now, &mut out),
            Self::Member(machine) => machine.fingerprint(now, &mut out),
        }
        out
    }

    /// The role, and where it stands with what this frame is about.
    pub(crate) fn state(&self, frame: &[u8], tables: &Tables) -> String {
        let clear = tables.dissect(frame).map(|(info, parts)| (info.id, parts.clear));
        let cid = clear.as_ref().and_then(|(_, clear)| number(clear, "cid")).map(MemberId);
        match self {
            Self::Third(machine) if machine.open_lookups() > 0 => "T looking up".into(),
            Self::Third(_) => "T idle".into(),
            Self::Leader(machine) => {
                let named = |name: &str| machine.label_of_name(&Name::new(name).unwrap());
                let label = match &clear {
                    Some(("RA-J1", clear)) => {
                        let member = clear.find("member").unwrap().to_bytes();
                        named(std::str::from_utf8(&member[1..]).unwrap())
                    }
                    Some(("RA-T2", _)) => {
                        let all = ["m1", "m2", "m3"].map(named);
                        ["waiting", "deciding"].into_iter().find(|label| all.contains(label)).unwrap_or("unasked")
                    }
                    _ => cid.map_or("-", |cid| machine.label_of(cid)),
                };
                format!("L {label}{}", protected(Some(machine.policy()), &clear))
            }
            Self::Member(machine) => format!("M {}{}", machine.label(), protected(machine.policy(), &clear)),
        }
    }
}

fn protected(policy: Option<&Policy>, clear: &Option<(&str, Value)>) -> String {
    match (policy, clear) {
        (Some(policy), Some(("RA-D", _))) => {
            let signed = if policy.origin { ", signed" } else { "" };
            let hidden = if policy.views == Views::Hidden { ", hidden" } else { "" };
            format!(" ({:?}{signed}{hidden})", policy.protection)
        }
        _ => String::new(),
    }
}

/// A frame, and the machine that it is about to reach.
#[derive(Clone)]
pub(crate) struct Sample {
    pub(crate) frame: Vec<u8>,
    pub(crate) link: Link,
    pub(crate) at: Instant,
    pub(crate) machine: Machine,
    pub(crate) ring: Keyring,
    pub(crate) replayed: bool,
}

/// Takes all output, and says what it was.
pub(crate) fn drain(machine: &mut Machine, now: Instant, rng: &mut SimRng) -> (Vec<Transmit>, Vec<Event>) {
    let (mut frames, mut events) = (Vec::new(), Vec::new());
    let end = machine.end();
    loop {
        let mut more = false;
        while let Some(frame) = end.poll_transmit(&mut Cx::new(now, rng)) {
            frames.push(frame);
            more = true;
            assert!(frames.len() < 10_000, "output without end");
        }
        while let Some(event) = end.poll_event() {
            events.push(event);
            more = true;
        }
        if !more {
            return (frames, events);
        }
    }
}
