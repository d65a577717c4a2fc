//! Frames of the repaired edition of Enclaves, made without its keys.

use bytes::{Bytes, BytesMut};
use sodality::crypto::Suite;
use sodality::event::EndReason;
use sodality::group::{ChangeRecord, View};
use sodality::identity::{Instance, MemberId, Name};
use sodality::sim::InTransit;
use sodality::wire::antigone::ViewPage;
use sodality::wire::enclaves::repaired::{
    Ack, AckText, AdminMsg, AdminPayload, AdminText, CloseText, Closed, EndText, ReqClose,
};
use sodality::wire::field::{Field, List, Nonce, Tag, VerifyingKey};
use sodality::wire::{Edition, Header, Message, System};

use super::version_two::called;
use crate::row::{Failed, Ran};
use crate::scene::repaired::suite;

/// The header of repaired frames under the scene's suite.
pub fn header() -> Header {
    Header { system: System::Enclaves, edition: Edition::Repaired, suite: suite().id() }
}

/// In clear, with a tag of nothing.
fn unsealed<'m, 't>(message: &impl Message<'m>, text: &impl Field<'t>) -> Ran<Bytes> {
    let tag = Tag::new(&vec![0; suite().sizes().aead_tag]).ok_or_else(|| Failed::steps("no tag"))?;
    let mut frame = BytesMut::new();
    message.put_boxed(header(), &mut frame, |out| text.put(out), |_, _| Ok::<_, Failed>(tag))?;
    Ok(frame.freeze())
}

fn made_up_number() -> Ran<Nonce> {
    Nonce::new(&vec![0x77; suite().sizes().nonce]).ok_or_else(|| Failed::steps("no number"))
}

/// Whose session an AdminMsg belongs to, and its number: all of it stands in clear.
///
/// # Errors
/// [`Failed`] if the frame is no AdminMsg.
pub fn place(told: &InTransit) -> Ran<(Instance, MemberId, u64)> {
    let AdminMsg { group, cid, seq } = AdminMsg::parse(&told.bytes)?.message;
    Ok((group, cid, seq))
}

/// EN-R6 in the name of the member that was told this.
///
/// # Errors
/// [`Failed`].
pub fn close_request(told: &InTransit, member: &str, leader: &str) -> Ran<Bytes> {
    let (group, cid, _) = place(told)?;
    unsealed(&ReqClose { group, cid }, &CloseText { member: called(member)?, leader: called(leader)? })
}

/// EN-R7 to the member that was told this: it is ejected.
///
/// # Errors
/// [`Failed`].
pub fn closed(told: &InTransit) -> Ran<Bytes> {
    let (group, cid, _) = place(told)?;
    unsealed(&Closed { group, cid }, &EndText { reason: EndReason::Ejected, by: MemberId::LEADER })
}

/// EN-R5 in the name of the member that was told this.
///
/// # Errors
/// [`Failed`].
pub fn ack(told: &InTransit) -> Ran<Bytes> {
    let (group, cid, seq) = place(told)?;
    unsealed(&Ack { group, cid, seq }, &AckText { last: made_up_number()?, next: made_up_number()? })
}

/// EN-R4 to the member that was told this: somebody has joined. `view` is that of the insider who makes it.
///
/// # Errors
/// [`Failed`].
pub fn notice(told: &InTransit, view: &View, who: &str) -> Ran<Bytes> {
    let (group, cid, seq) = place(told)?;
    let suite: std::sync::Arc<dyn Suite> = suite();
    let added = ChangeRecord::Add { cid: MemberId(66), name: Name::new(who)?, origin_key: VerifyingKey::NONE };
    let step = view.prepare(&*suite, &group, [added.clone()]).map_err(|_| Failed::steps("no such view"))?;
    let changes = [added.to_wire()];
    let page = ViewPage {
        from: view.version(),
        to: step.version(),
        digest: step.digest(),
        first: true,
        last: true,
        changes: List::of(&changes),
    };
    let text = AdminText {
        last: made_up_number()?,
        next: made_up_number()?,
        epoch: sodality::identity::Epoch(1),
        view: step.version(),
        policy: sodality::identity::Version(1),
        taken: 0,
        payload: AdminPayload::View(page),
    };
    unsealed(&AdminMsg { group, cid, seq: seq + 1 }, &text)
}
