use alloc::string::ToString;

use proptest::prelude::*;

use super::*;
use crate::crypto::chacha20_poly1305;
use crate::fingerprint::Fingerprint;

const GROUP: Instance = Instance([7; 16]);

fn suite() -> Arc<dyn Suite> {
    chacha20_poly1305()
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn add(cid: u64, text: &str) -> ChangeRecord {
    ChangeRecord::Add {
        cid: MemberId(cid),
        name: name(text),
        origin_key: VerifyingKey::new(&cid.to_be_bytes()).unwrap(),
    }
}

fn remove(cid: u64, cause: Cause) -> ChangeRecord {
    ChangeRecord::Remove { cid: MemberId(cid), cause, by: MemberId::LEADER }
}

fn view(suite: &dyn Suite, changes: &[ChangeRecord]) -> View {
    let mut view = View::new(10, 4);
    let step = view.prepare(suite, &GROUP, changes.iter().cloned()).unwrap();
    view.commit(step);
    view
}

fn state(view: &View) -> Vec<u8> {
    let mut bytes = Vec::new();
    view.fingerprint(crate::endpoint::Instant::ORIGIN, &mut bytes);
    bytes
}

#[test]
fn a_delta_leads_from_version_to_version() {
    let suite = suite();
    let mut leader = view(&*suite, &[add(0, "lead"), add(1, "ada")]);
    let mut member = leader.clone();
    let step = leader.prepare(&*suite, &GROUP, [remove(1, Cause::Leave), add(2, "bob")]).unwrap();
    assert_eq!((step.version(), step.changes().len()), (Version(4), 2));
    leader.commit(step);
    let delta = leader.since(member.version()).unwrap();
    let step = member.prepare_delta(&*suite, &GROUP, Version(2), Version(4), &leader.digest(), delta).unwrap();
    let events: Vec<_> = member.commit(step).iter().map(ViewChange::to_event).collect();
    assert_eq!(state(&member), state(&leader));
    let removed = Event::MemberRemoved {
        cid: MemberId(1),
        name: name("ada"),
        cause: Cause::Leave,
        by: MemberId(0),
        view: Version(3),
    };
    let added = Event::MemberAdded { cid: MemberId(2), name: name("bob"), view: Version(4) };
    assert_eq!(events, [removed, added]);
}

#[test]
fn a_delta_that_does_not_fit_changes_nothing() {
    let suite = suite();
    let leader = view(&*suite, &[add(0, "lead"), add(1, "ada"), add(2, "bob")]);
    let member = view(&*suite, &[add(0, "lead"), add(1, "ada")]);
    let try_delta = |from, to, digest: Digest, change| {
        member.prepare_delta(&*suite, &GROUP, Version(from), Version(to), &digest, [change]).unwrap_err()
    };
    assert_eq!(try_delta(1, 3, leader.digest(), add(2, "bob")), ViewError::Gap);
    assert_eq!(try_delta(3, 4, leader.digest(), add(2, "bob")), ViewError::Gap);
    assert_eq!(try_delta(2, 4, leader.digest(), add(2, "bob")), ViewError::Gap);
    assert_eq!(try_delta(2, 3, leader.digest(), add(2, "eve")), ViewError::Digest);
    assert_eq!(try_delta(2, 3, leader.digest(), add(3, "bob")), ViewError::Digest);
    assert_eq!(try_delta(2, 3, leader.digest(), add(1, "ada")), ViewError::Duplicate);
    assert_eq!(try_delta(2, 3, leader.digest(), remove(9, Cause::Eject)), ViewError::Unknown);
    assert_eq!(state(&member), state(&view(&*suite, &[add(0, "lead"), add(1, "ada")])));
}

/// `D_v = hash("sodality ra 1 view" ‖ G ‖ D_{v-1} ‖ v ‖ change)`, written out (RA §4.5).
#[test]
fn the_digest_is_as_specified() {
    let suite = suite();
    let came = [&[0, 0, 0, 0, 0, 0, 0, 0, 1, 3][..], b"ada", &[0, 8, 0, 0, 0, 0, 0, 0, 0, 1]].concat();
    let one = [b"sodality ra 1 view", &GROUP.0[..], &1u64.to_be_bytes(), &came].concat();
    let one = suite.hash(&[&one]).unwrap();
    let gone = [1, 0, 0, 0, 0, 0, 0, 0, 1, Cause::Eject as u8, 0, 0, 0, 0, 0, 0, 0, 0];
    let two = [b"sodality ra 1 view", &GROUP.0[..], one.as_bytes(), &2u64.to_be_bytes(), &gone].concat();
    let two = suite.hash(&[&two]).unwrap();
    assert_eq!(view(&*suite, &[add(1, "ada")]).digest(), one);
    assert_eq!(view(&*suite, &[add(1, "ada"), remove(1, Cause::Eject)]).digest(), two);
}

/// The digest tells apart what happened, why, to whom, in which order, and in which instance (R27, A10).
#[test]
fn the_digest_covers_everything() {
    let suite = suite();
    let digest = |group: Instance, changes: &[ChangeRecord]| {
        View::new(10, 0).prepare(&*suite, &group, changes.iter().cloned()).unwrap().digest()
    };
    let by = |by| ChangeRecord::Remove { cid: MemberId(1), cause: Cause::Eject, by: MemberId(by) };
    let other_key =
        ChangeRecord::Add { cid: MemberId(1), name: name("ada"), origin_key: VerifyingKey::new(b"other").unwrap() };
    let all = [
        digest(GROUP, &[]),
        digest(GROUP, &[add(1, "ada")]),
        digest(Instance([8; 16]), &[add(1, "ada")]),
        digest(GROUP, &[other_key]),
        digest(GROUP, &[add(1, "bob")]),
        digest(GROUP, &[add(2, "ada")]),
        digest(GROUP, &[add(1, "ada"), add(2, "bob")]),
        digest(GROUP, &[add(2, "bob"), add(1, "ada")]),
        digest(GROUP, &[add(1, "ada"), by(0)]),
        digest(GROUP, &[add(1, "ada"), by(1)]),
        digest(GROUP, &[add(1, "ada"), remove(1, Cause::Failure)]),
    ];
    let distinct: BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
    assert!(digest(GROUP, &[]).is_empty());
}

#[test]
fn a_whole_roster_replaces_what_was_here() {
    let suite = suite();
    let mut leader =
        view(&*suite, &[add(0, "lead"), add(1, "ada"), add(2, "bob"), remove(1, Cause::Eject), add(3, "cy")]);
    let mut member = view(&*suite, &[add(0, "lead"), add(1, "ada")]);
    let (version, digest, roster) = (leader.version(), leader.digest(), leader.roster());
    assert!(Arc::ptr_eq(&roster, &leader.roster()), "one copy for all who page through it");
    let changes = member.install_full(version, digest, roster.iter().cloned()).unwrap();
    let about: Vec<_> = changes.iter().map(|changed| (changed.change.cid().0, changed.name.to_string())).collect();
    assert_eq!(about, [(1, "ada".into()), (2, "bob".into()), (3, "cy".into())]);
    assert_eq!(member.members(), leader.members());
    assert_eq!((member.version(), member.digest()), (version, digest));
    assert_eq!(member.since(Version(2)), None, "what was missed is not known one by one");
    // And deltas go on from there.
    let step = leader.prepare(&*suite, &GROUP, [remove(3, Cause::Leave)]).unwrap();
    leader.commit(step);
    let delta = leader.since(version).unwrap();
    let step = member.prepare_delta(&*suite, &GROUP, version, leader.version(), &leader.digest(), delta).unwrap();
    member.commit(step);
    assert_eq!(member.members(), leader.members());
}

#[test]
fn a_roster_that_lies_is_refused() {
    let suite = suite();
    let member = view(&*suite, &[add(0, "lead"), add(1, "ada")]);
    let full = |version, entries: &[ChangeRecord]| {
        member.prepare_full(Version(version), Digest::NONE, entries.iter().cloned()).map(drop).unwrap_err()
    };
    assert_eq!(full(2, &[add(0, "lead")]), ViewError::Gap);
    assert_eq!(full(9, &[add(0, "lead"), add(0, "lead")]), ViewError::Duplicate);
    assert_eq!(full(9, &[add(1, "eve")]), ViewError::Duplicate, "a number stands for one name");
    assert_eq!(full(9, &[remove(1, Cause::Leave)]), ViewError::Unknown);
    let many: Vec<_> = (0..11).map(|cid| add(cid, "x")).collect();
    assert_eq!(full(9, &many), ViewError::Full);
}

#[test]
fn bounded_in_members_and_history() {
    let suite = suite();
    let many: Vec<_> = (0..10).map(|cid| add(cid, "x")).collect();
    let view = view(&*suite, &many);
    assert_eq!(view.prepare(&*suite, &GROUP, [add(10, "x")]).unwrap_err(), ViewError::Full);
    assert!(view.prepare(&*suite, &GROUP, [remove(9, Cause::Leave), add(10, "x")]).is_ok());
    assert_eq!(view.since(Version(10)), Some(Vec::new()));
    assert_eq!(view.since(Version(6)).unwrap(), many[6..]);
    assert_eq!(view.since(Version(5)), None);
    assert_eq!(view.since(Version(11)), None);
}

#[test]
fn names_are_found_the_newest_first() {
    let suite = suite();
    let mut view = view(&*suite, &[add(1, "ada"), add(2, "ad"), add(5, "ada")]);
    assert_eq!(view.find_name(&name("ada")), Some(MemberId(5)));
    assert_eq!(view.find_name(&name("ad")), Some(MemberId(2)));
    let step = view.prepare(&*suite, &GROUP, [remove(5, Cause::Leave), remove(1, Cause::Takeover)]).unwrap();
    view.commit(step);
    assert_eq!(view.find_name(&name("ada")), None);
}

proptest! {
    #![proptest_config(crate::group::testing::fixed())]

    /// Whatever happens at the leader: a member that takes every delta, one that skips some and one that takes the
    /// roster end in the same view, and names agree with members.
    #[test]
    fn all_ways_lead_to_the_same_view(steps in prop::collection::vec((0u64..8, 0u8..4, any::<bool>()), 1..60)) {
        let suite = suite();
        let mut leader = View::new(6, 5);
        let (mut steady, mut lazy) = (View::new(6, 0), View::new(6, 0));
        let mut next = 0;
        for (cid, what, listens) in steps {
            let change = if what == 0 { remove(cid, Cause::Eject) } else { next += 1; add(next, &(next % 3).to_string()) };
            let before = state(&leader);
            let Ok(step) = leader.prepare(&*suite, &GROUP, [change]) else {
                prop_assert_eq!(state(&leader), before);
                continue;
            };
            leader.commit(step);
            let delta = leader.since(steady.version()).unwrap();
            let step = steady.prepare_delta(&*suite, &GROUP, steady.version(), leader.version(), &leader.digest(), delta).unwrap();
            steady.commit(step);
            if listens {
                match leader.since(lazy.version()) {
                    Some(delta) => {
                        let step = lazy.prepare_delta(&*suite, &GROUP, lazy.version(), leader.version(), &leader.digest(), delta).unwrap();
                        lazy.commit(step);
                    }
                    None => drop(lazy.install_full(leader.version(), leader.digest(), leader.roster().iter().cloned()).unwrap()),
                }
                prop_assert_eq!(state(&lazy), state(&steady));
            }
            let by_name = |view: &View, entry: &Entry| view.find_name(&entry.name);
            prop_assert!(leader.members().values().all(|entry| by_name(&leader, entry).is_some_and(|cid| leader.get(cid).unwrap().name == entry.name)));
            prop_assert!(leader.members().len() <= 6);
        }
    }
}
