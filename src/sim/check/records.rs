//! Records arrive in order, each once.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Checker;
use super::session::Session;
use crate::antigone::{Leader, Member};
use crate::crypto::{Aead, BoxNumber};
use crate::group::channel::{Channel, Side};
use crate::sim::rng::Mixer;
use crate::sim::step::{Input, Observed};
use crate::wire::antigone::{ChannelStatus, LeaderFrame, MemberFrame};
use crate::wire::field::{Field, Reader};
use crate::wire::frame::{HEADER_BYTES, split_frame};
use crate::wire::{Boxed, Message};

/// S4: the records that one side of a channel accepts are a prefix of those that the other side sent in this session, in
/// order, each once; and a record that is sent again is the same.
///
/// It opens the frames of both sides with the keys of the machines.
#[derive(Clone, Debug, Default)]
pub struct RecordsInOrder {
    sent: BTreeMap<(Session, u8), Vec<u128>>,
    accepted: BTreeMap<(Session, u8), u64>,
    records: u64,
}

/// The code of a record in front of a body.
const RECORD: u8 = 1;

/// The sender of a frame of a channel, its session and its number.
fn read(frame: &[u8]) -> Option<(Side, Session, u64)> {
    let code = *frame.get(HEADER_BYTES - 1)?;
    if code == LeaderFrame::INFO.code {
        let LeaderFrame { group, cid, n } = LeaderFrame::parse(frame).ok()?.message;
        Some((Side::Leader, Session { group, cid }, n))
    } else if code == MemberFrame::INFO.code {
        let MemberFrame { group, cid, n } = MemberFrame::parse(frame).ok()?.message;
        Some((Side::Member, Session { group, cid }, n))
    } else {
        None
    }
}

/// The record in a frame that this key opens: its number, and a digest of its bytes.
fn record(frame: &[u8], side: Side, n: u64, key: &dyn Aead) -> Result<Option<(u64, u128)>, ()> {
    let mut copy = frame.to_vec();
    let (clear, text, tag) = match side {
        Side::Leader => {
            let Boxed { clear, text, tag, .. } = LeaderFrame::parse(frame).map_err(drop)?;
            (clear, text, tag)
        }
        Side::Member => {
            let Boxed { clear, text, tag, .. } = MemberFrame::parse(frame).map_err(drop)?;
            (clear, text, tag)
        }
    };
    let (ad, text) = split_frame(&mut copy, clear, &text);
    key.open(BoxNumber { domain: 0, counter: n }, ad, text, &tag).map_err(drop)?;
    let mut reader = Reader::new(text);
    let status = ChannelStatus::take(&mut reader).map_err(drop)?;
    let body = text.get(reader.position()..).unwrap_or_default();
    Ok((body.first() == Some(&RECORD)).then(|| (status.rseq, Mixer::of(body))))
}

fn code(side: Side) -> u8 {
    match side {
        Side::Leader => 0,
        Side::Member => 1,
    }
}

impl RecordsInOrder {
    /// Records accepted so far.
    pub fn records(&self) -> u64 {
        self.records
    }

    fn sends(&mut self, frame: &[u8], key: &Arc<dyn Aead>, sender: (Side, Session, u64)) -> Result<(), String> {
        let (side, session, n) = sender;
        let Ok(Some((number, digest))) = record(frame, side, n, &**key) else { return Ok(()) };
        let sent = self.sent.entry((session, code(side))).or_default();
        let at = usize::try_from(number).unwrap_or(usize::MAX).saturating_sub(1);
        match sent.get(at) {
            Some(before) if *before == digest => Ok(()),
            Some(_) => Err(format!("record {number} to or from member {} was sent again as another", session.cid)),
            None if at == sent.len() => {
                sent.push(digest);
                Ok(())
            }
            None => Err(format!("record {number} to or from member {} was sent out of turn", session.cid)),
        }
    }

    fn hears(&mut self, frame: &[u8], channel: &Channel, sender: (Side, Session, u64)) -> Result<(), String> {
        let (side, session, n) = sender;
        let known = self.accepted.entry((session, code(side))).or_default();
        let (before, now) = (*known, channel.accepted());
        *known = now;
        if now == before {
            return Ok(());
        }
        self.records += 1;
        let cid = session.cid;
        let Ok(found) = record(frame, side, n, channel.opening_key()) else {
            return Err(format!("record {now} to or from member {cid} came in a frame that is not of the channel"));
        };
        let sent = self.sent.get(&(session, code(side)));
        let at = usize::try_from(before).unwrap_or(usize::MAX);
        let expected = sent.and_then(|sent| sent.get(at)).copied();
        match found {
            Some((number, digest)) if now == before + 1 && expected == Some(digest) && number == now => Ok(()),
            Some((number, _)) => Err(format!("record {number} to or from member {cid} was accepted as record {now}")),
            None => Err(format!("record {now} to or from member {cid} was accepted from a frame without one")),
        }
    }
}

impl Checker for RecordsInOrder {
    fn name(&self) -> &'static str {
        "RecordsInOrder"
    }

    fn after(&mut self, step: &Observed<'_>) -> Result<(), String> {
        let (leader, member) = (step.machine::<Leader>(), step.machine::<Member>());
        let channel_of = |session: Session| match (leader, member) {
            (Some(leader), _) => leader.channel(session.cid).filter(|_| leader.group() == session.group),
            (_, Some(member)) => {
                member.channel().filter(|channel| (channel.group(), channel.cid()) == (session.group, session.cid))
            }
            _ => None,
        };
        if let Input::Frame(frame) = step.input
            && let Some(sender) = read(&frame.bytes)
            && let Some(channel) = channel_of(sender.1)
            && (sender.0 == Side::Member) == leader.is_some()
        {
            self.hears(&frame.bytes, channel, sender)?;
        }
        for transmit in step.sent {
            if let Some(sender) = read(&transmit.frame)
                && let Some(channel) = channel_of(sender.1)
                && (sender.0 == Side::Leader) == leader.is_some()
            {
                self.sends(&transmit.frame, &channel.keys().0, sender)?;
            }
        }
        Ok(())
    }
}
