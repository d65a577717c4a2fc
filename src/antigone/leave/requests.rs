//! Requests to eject somebody, and what became of them (RA §4.6; D24, A13).
//!
//! A request is a record of the asker's channel: it arrives in order, once, in this session only. It names number and
//! name of its target, so that a late one hits no later incarnation.

use bytes::{Bytes, BytesMut};

use crate::event::EjectVerdict;
use crate::identity::{MemberId, Name};
use crate::wire::Field;
use crate::wire::antigone::{EjectRequest, LeaderBody, LeaderRecord, MemberBody, MemberRecord, RequestAnswer};

/// The record by which a member asks.
pub fn request(target: MemberId, name: &Name) -> Bytes {
    let mut body = BytesMut::with_capacity(300);
    let request = EjectRequest { cid: target, name: name.by_ref() };
    MemberBody::Record(MemberRecord::Eject(request)).put(&mut body);
    body.freeze()
}

/// The record by which a leader answers the request in record `rseq`.
pub fn answer(rseq: u64, verdict: EjectVerdict) -> Bytes {
    let mut body = BytesMut::with_capacity(16);
    LeaderBody::Record(LeaderRecord::Answer(RequestAnswer { rseq, verdict })).put(&mut body);
    body.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_answers_are_records() {
        let name = Name::new("m2").unwrap();
        let asked = request(MemberId(2), &name);
        let Ok(MemberBody::Record(MemberRecord::Eject(record))) = MemberBody::decode(&asked) else { panic!() };
        assert_eq!((record.cid, record.name.to_name()), (MemberId(2), name));
        let answered = answer(7, EjectVerdict::Denied);
        let Ok(LeaderBody::Record(LeaderRecord::Answer(record))) = LeaderBody::decode(&answered) else { panic!() };
        assert_eq!((record.rseq, record.verdict), (7, EjectVerdict::Denied));
    }
}
