//! Which part a frame belongs to, and in which edition (RA §3; in a mix, §2): read off the wire, under a suite whose boxes
//! can be read.

use std::collections::BTreeMap;

use sodality::identity::MemberId;
use sodality::policy::Part;
use sodality::wire::antigone::{
    LeaderBody, LeaderFrame, LeaderText, MemberBody, MemberFrame, MemberRecord, MemberText,
};
use sodality::wire::frame::Message as _;
use sodality::wire::{Edition, Field};

/// How many frames of each part were seen in each edition.
#[derive(Default)]
pub(crate) struct Witness {
    of: BTreeMap<(Part, bool), usize>,
    tables: sodality::sim::Tables,
    /// Records of members, and of the leader, that are not acknowledged yet, with their part.
    from_members: BTreeMap<MemberId, Vec<Part>>,
    from_leader: BTreeMap<MemberId, Vec<Part>>,
}

impl Witness {
    /// Frames of the published edition.
    pub(crate) fn published(&self, part: Part) -> usize {
        self.of.get(&(part, true)).copied().unwrap_or_default()
    }

    /// Frames of the repaired edition.
    pub(crate) fn repaired(&self, part: Part) -> usize {
        self.of.get(&(part, false)).copied().unwrap_or_default()
    }

    fn count(&mut self, part: Part, published: bool) {
        *self.of.entry((part, published)).or_default() += 1;
    }

    /// Takes a frame in.
    pub(crate) fn see(&mut self, frame: &[u8]) {
        let Some(info) = self.tables.find(frame) else { return };
        let published = info.edition == Edition::AsPublished;
        let part = match info.id {
            "AN-T1" | "AN-T2" | "AN-T2s" | "RA-T1" | "RA-T1m" | "RA-T2" => Part::ThirdParty,
            "AN-J1" | "AN-J2" | "AN-J3" | "AN-JE" | "RA-J1" | "RA-J2" => Part::Join,
            "AN-K" | "AN-R" | "RA-R" => Part::Keys,
            "AN-L" => Part::Leave,
            "AN-HL" => Part::LeaderHeartbeat,
            "AN-HM" => Part::MemberHeartbeat,
            "AN-Q" => Part::KeyRequest,
            "AN-Di" | "AN-Dc" | "AN-Db" | "AN-Dn" | "RA-D" | "RA-Dm" => Part::Data,
            "RA-CL" => self.of_leader(frame),
            "RA-CM" => self.of_member(frame),
            other => panic!("{other} occurs in no mix"),
        };
        self.count(part, published);
    }

    fn of_leader(&mut self, frame: &[u8]) -> Part {
        let parsed = LeaderFrame::parse(frame).unwrap();
        let cid = parsed.message.cid;
        let text = LeaderText::decode(&frame[parsed.text]).unwrap();
        match text.body {
            LeaderBody::End(_) => Part::Leave,
            LeaderBody::Record(_) => {
                self.from_leader.entry(cid).or_default().push(Part::Leave);
                Part::Leave
            }
            LeaderBody::Nothing if text.status.flags.answer => Part::MemberHeartbeat,
            LeaderBody::Nothing => self.from_members.entry(cid).or_default().pop().unwrap_or(Part::LeaderHeartbeat),
        }
    }

    fn of_member(&mut self, frame: &[u8]) -> Part {
        let parsed = MemberFrame::parse(frame).unwrap();
        let cid = parsed.message.cid;
        let text = MemberText::decode(&frame[parsed.text]).unwrap();
        match text.body {
            MemberBody::End(_) => Part::Leave,
            MemberBody::Record(record) => {
                let part = if matches!(record, MemberRecord::Hello(_)) { Part::Join } else { Part::Leave };
                self.from_members.entry(cid).or_default().push(part);
                part
            }
            MemberBody::Nothing if text.status.flags.answer => Part::LeaderHeartbeat,
            MemberBody::Nothing if text.status.epoch.0 == 0 => Part::KeyRequest,
            MemberBody::Nothing => self.from_leader.entry(cid).or_default().pop().unwrap_or(Part::MemberHeartbeat),
        }
    }
}
