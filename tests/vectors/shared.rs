//! What vectors of repaired Antigone and of repaired Enclaves are made of alike: facts of epochs, views, data.

use core::time::Duration;

use bytes::BytesMut;
use sodality::crypto::keys::role;
use sodality::crypto::{Key, Secret, Suite};
use sodality::endpoint::Instant;
use sodality::event::{Cause, Causes, Port};
use sodality::group::data::{Members, Receiving, Sending};
use sodality::group::issue::{Facts, Issue};
use sodality::group::{ChangeRecord, EpochKeys, KeyRing, Rules, SealLimits, View};
use sodality::identity::{Epoch, Instance, MemberId};
use sodality::wire::antigone::{Delta, DeltaChanges, ViewPage};
use sodality::wire::shared::Kind;
use sodality::wire::{Field, Header, List};

use super::json::{Fields, Made, Script, chosen, no, same};
use super::modern;

/// Any moment.
pub(crate) const NOW: Instant = Instant::from_micros(1_000_000);

/// A cause by its name.
fn cause(text: &str) -> Result<Cause, String> {
    Cause::ALL.into_iter().find(|cause| no(cause) == text).ok_or_else(|| format!("cause {text}"))
}

/// A set of causes.
pub(crate) fn causes(fields: Fields<'_>) -> Result<Causes, String> {
    let mut causes = Causes::NONE;
    for name in fields.list("causes")? {
        causes = causes.with(cause(name.0.as_str().ok_or("no cause")?)?);
    }
    Ok(causes)
}

/// A field of one byte, by the name that the layout has for its code.
pub(crate) fn coded<T: for<'a> Field<'a> + core::fmt::Debug>(text: &str) -> Result<T, String> {
    let of = |code: u8| T::decode(&[code]).ok().filter(|value| no(value) == text);
    (0..=u8::MAX).find_map(of).ok_or_else(|| format!("no alternative {text}"))
}

fn change(value: &serde_json::Value) -> Result<ChangeRecord, String> {
    let (which, inner) = chosen(value)?;
    let cid = inner.cid("cid")?;
    match which {
        "Add" => Ok(ChangeRecord::Add {
            cid,
            name: inner.name("name")?.to_name(),
            origin_key: inner.verifying_key("origin_key")?,
        }),
        "Remove" => Ok(ChangeRecord::Remove { cid, cause: cause(inner.text("cause")?)?, by: inner.cid("by")? }),
        other => Err(format!("change {other}")),
    }
}

pub(crate) fn changes(fields: Fields<'_>) -> Result<Vec<ChangeRecord>, String> {
    fields.list("changes")?.map(|item| change(item.0)).collect()
}

/// Does `with` with the delta of `fields`.
pub(crate) fn with_delta<T>(
    fields: Fields<'_>,
    with: impl FnOnce(Delta<'_>) -> Result<T, String>,
) -> Result<T, String> {
    let (which, inner) = fields.choice("delta")?;
    match which {
        "Hidden" => with(Delta::Hidden),
        "Fetch" => with(Delta::Fetch),
        "Changes" => {
            let records = changes(inner)?;
            let wire: Vec<_> = records.iter().map(ChangeRecord::to_wire).collect();
            with(Delta::Changes(DeltaChanges { from: inner.version("from")?, changes: List::of(&wire) }))
        }
        other => Err(format!("delta {other}")),
    }
}

/// The epoch that a vector is of.
pub(crate) fn issue(suite: &dyn Suite, inputs: Fields<'_>) -> Result<Issue, String> {
    issue_of(suite, inputs.instance("group")?, inputs.at("facts")?, inputs.bytes("group_key")?)
}

/// An epoch of these facts, with that key.
pub(crate) fn issue_of(suite: &dyn Suite, group: Instance, facts: Fields<'_>, key: Vec<u8>) -> Result<Issue, String> {
    let causes = causes(facts)?;
    with_delta(facts, |delta| {
        let facts = Facts {
            epoch: Epoch(facts.number("epoch")?),
            floor: Epoch(facts.number("floor")?),
            causes,
            view: facts.version("view")?,
            view_digest: facts.digest("view_digest")?,
            policy: facts.version("policy")?,
            policy_digest: facts.digest("policy_digest")?,
            delta,
        };
        Issue::draw(suite, &mut Script::new([key]), group, facts).map_err(no)
    })
}

/// Does `with` with the page of a view that `fields` are.
pub(crate) fn with_page<T>(fields: Fields<'_>, with: impl FnOnce(ViewPage<'_>) -> T) -> Result<T, String> {
    let records = changes(fields)?;
    let wire: Vec<_> = records.iter().map(ChangeRecord::to_wire).collect();
    Ok(with(ViewPage {
        from: fields.version("from")?,
        to: fields.version("to")?,
        digest: fields.digest("digest")?,
        first: fields.get("first")?.as_bool().ok_or("first")?,
        last: fields.get("last")?.as_bool().ok_or("last")?,
        changes: List::of(&wire),
    }))
}

pub(crate) fn port(inputs: Fields<'_>) -> Result<Port, String> {
    match inputs.number("port")? {
        0 => Ok(Port::Application),
        1 => Ok(Port::Transfer),
        other => Err(format!("port {other}")),
    }
}

/// The base of the data keys and the epoch; where nothing is sealed, any base will do.
fn epoch_of(suite: &dyn Suite, inputs: Fields<'_>) -> Result<(Key<role::DataBase>, Epoch), String> {
    match inputs.number("epoch") {
        Ok(epoch) => Ok((Key::new(Secret::new(&[0; 32])), Epoch(epoch))),
        Err(_) => issue(suite, inputs).map(|issue| (issue.base().clone(), issue.epoch())),
    }
}

/// RA-D, or EN-R9 under the header of Enclaves.
pub(crate) fn data(header: Header, inputs: Fields<'_>) -> Made {
    let suite = modern(header.suite.0);
    let (base, epoch) = epoch_of(&*suite, inputs)?;
    let label = if inputs.get("label")?.is_null() { None } else { Some(inputs.name("label")?.to_name()) };
    let origin = Some(inputs.bytes("origin")?).filter(|key| !key.is_empty()).map(|key| Key::new(Secret::new(&key)));
    let (group, cid) = (inputs.instance("group")?, inputs.cid("cid")?);
    let sending = Sending { suite, header, group, cid, label, origin };
    let kind: Kind = coded(inputs.text("kind")?)?;
    let until = NOW + Duration::from_secs(9);
    let mut sealer = sending.sealer(epoch, &base, kind, SealLimits::default(), until).map_err(no)?;
    let payload = inputs.bytes("payload")?;
    let mut out = BytesMut::new();
    // Counters start at 0.
    for _ in 0..=inputs.number("counter")? {
        out.clear();
        sending.seal(&mut sealer, NOW, port(inputs)?, &payload, &mut out).map_err(no)?;
    }
    Ok(out.to_vec())
}

/// Opens RA-D or EN-R9, and compares.
pub(crate) fn open_data(header: Header, inputs: Fields<'_>, opening: Fields<'_>, frame: &[u8]) -> Result<(), String> {
    let suite = &*modern(header.suite.0);
    let (base, epoch) = epoch_of(suite, inputs)?;
    let (group, cid) = (inputs.instance("group")?, inputs.cid("cid")?);
    let origin_key = opening.verifying_key("origin_key")?;
    let rules = Rules { kind: coded(inputs.text("kind")?)?, origin: !origin_key.is_empty() };
    let mut ring = KeyRing::new(9);
    ring.install(EpochKeys::new(epoch, base, rules, None), Epoch(0), NOW, Duration::ZERO, Duration::ZERO);
    let mut view = View::new(9, 9);
    let name = sodality::identity::Name::new("somebody").map_err(no)?;
    let step = view.prepare(suite, &group, [ChangeRecord::Add { cid, name, origin_key }]).map_err(no)?;
    view.commit(step);
    let members = if inputs.get("label")?.is_null() { Members::View(&view) } else { Members::Hidden };
    let receiving = Receiving { suite, header, group, own: MemberId(99), members, current: true };
    let message = receiving.open(&mut ring, BytesMut::from(frame), NOW).map_err(no)?;
    same(message.payload == inputs.bytes("payload")? && message.from.claimed() == cid)
}
