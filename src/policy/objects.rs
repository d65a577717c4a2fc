//! Shared objects, and who may read or change them (report §1.2: "the objects that are globally shared by the members, and
//! the access right of each member to these shared objects").

use alloc::collections::BTreeMap;

use super::Contradiction;
use crate::identity::Name;

/// The most objects that a policy names.
pub const MAX_OBJECTS: usize = 64;
/// The longest contents that a policy may allow an object, in bytes: 16 MiB.
pub const MAX_OBJECT_BYTES: u32 = 16 << 20;
/// The most members to whom one object gives rights of their own.
pub const MAX_NAMED_RIGHTS: usize = 10_000;
/// How long the contents of an object may be where nothing else is said, in bytes: 64 KiB.
pub const USUAL_OBJECT_BYTES: u32 = 64 << 10;

/// What a member may do with an object. Each right includes those before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(u8)]
pub enum Right {
    /// Nothing: it gets no contents, and hears of no change.
    #[default]
    None = 0,
    /// It gets the contents, and each change.
    Read = 1,
    /// It may change it too. Who may change may read: a change shows what it replaces, by a conflict at least.
    Change = 2,
}

impl Right {
    /// All three.
    pub const ALL: [Self; 3] = [Self::None, Self::Read, Self::Change];

    /// Whether contents may be given to who has it.
    pub fn reads(self) -> bool {
        self >= Self::Read
    }

    /// Whether changes are taken from who has it.
    pub fn changes(self) -> bool {
        self == Self::Change
    }
}

/// Who may do what with one object. The leader keeps all objects, so it may read and change each of them, whatever stands
/// here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ObjectRule {
    /// The right of every member that is not named. Default: none.
    pub everybody: Right,
    /// Rights of members by name. They stand in the place of the right of everybody, be they more or less.
    pub members: BTreeMap<Name, Right>,
    /// The longest contents, in bytes. Default: 64 KiB; at most 16 MiB.
    pub size: u32,
}

impl Default for ObjectRule {
    fn default() -> Self {
        Self { everybody: Right::None, members: BTreeMap::new(), size: USUAL_OBJECT_BYTES }
    }
}

impl ObjectRule {
    /// What the member of this name may do.
    pub fn right(&self, member: &Name) -> Right {
        self.members.get(member).copied().unwrap_or(self.everybody)
    }

    /// Gives everybody this right.
    #[must_use]
    pub fn everybody(self, right: Right) -> Self {
        Self { everybody: right, ..self }
    }

    /// Gives the member of this name this right.
    #[must_use]
    pub fn member(mut self, member: Name, right: Right) -> Self {
        self.members.insert(member, right);
        self
    }

    /// Contents are at most so long, in bytes.
    #[must_use]
    pub fn size(self, bytes: u32) -> Self {
        Self { size: bytes, ..self }
    }
}

/// The shared objects of a group, by name.
///
/// They are not in the canonical form of a policy and do not travel with it: who may read what is the leader's business, as
/// the access list is. A member is told its own rights and no other's.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Objects(BTreeMap<Name, ObjectRule>);

impl Objects {
    /// No objects.
    pub const fn none() -> Self {
        Self(BTreeMap::new())
    }

    /// Names an object, or names it anew.
    pub fn insert(&mut self, object: Name, rule: ObjectRule) {
        self.0.insert(object, rule);
    }

    /// The rule of an object.
    pub fn get(&self, object: &Name) -> Option<&ObjectRule> {
        self.0.get(object)
    }

    /// All objects, by rising name.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &ObjectRule)> {
        self.0.iter()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What `member` may do with `object`; none if there is no such object.
    pub fn right(&self, object: &Name, member: &Name) -> Right {
        self.get(object).map_or(Right::None, |rule| rule.right(member))
    }

    /// The longest that all contents are together, in bytes: what a leader keeps at most, beside its log.
    pub fn bytes(&self) -> u64 {
        self.0.values().map(|rule| u64::from(rule.size)).sum()
    }

    pub(in crate::policy) fn check(&self) -> Result<(), Contradiction> {
        if self.len() > MAX_OBJECTS {
            return Err(Contradiction::TooManyObjects);
        }
        for rule in self.0.values() {
            if rule.size == 0 || rule.size > MAX_OBJECT_BYTES {
                return Err(Contradiction::ObjectSize);
            }
            if rule.members.len() > MAX_NAMED_RIGHTS {
                return Err(Contradiction::TooManyRights);
            }
        }
        Ok(())
    }
}

impl FromIterator<(Name, ObjectRule)> for Objects {
    fn from_iter<T: IntoIterator<Item = (Name, ObjectRule)>>(objects: T) -> Self {
        Self(objects.into_iter().collect())
    }
}

/// The rights of one member, as a leader tells them: of each object that it may read, the right and the longest contents.
pub(crate) fn rights_of<'a>(objects: &'a Objects, member: &'a Name) -> impl Iterator<Item = (&'a Name, Right, u32)> {
    let all = objects.iter().map(|(object, rule)| (object, rule.right(member), rule.size));
    all.filter(|(_, right, _)| right.reads())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    #[test]
    fn a_right_by_name_stands_in_the_place_of_everybodys() {
        let rule = ObjectRule::default().everybody(Right::Read);
        let rule = rule.member(name("ada"), Right::Change).member(name("eve"), Right::None);
        assert_eq!(rule.right(&name("ada")), Right::Change);
        assert_eq!(rule.right(&name("bob")), Right::Read);
        assert_eq!(rule.right(&name("eve")), Right::None);
        let objects: Objects = [(name("plan"), rule)].into_iter().collect();
        assert_eq!(objects.right(&name("map"), &name("ada")), Right::None);
        let (bob, eve) = (name("bob"), name("eve"));
        let told: alloc::vec::Vec<_> = rights_of(&objects, &bob).collect();
        assert_eq!(told, [(&name("plan"), Right::Read, USUAL_OBJECT_BYTES)]);
        assert_eq!(rights_of(&objects, &eve).count(), 0);
    }

    #[test]
    fn rights_include_those_before_them() {
        let can: alloc::vec::Vec<_> = Right::ALL.iter().map(|right| (right.reads(), right.changes())).collect();
        assert_eq!(can, [(false, false), (true, false), (true, true)]);
    }

    #[test]
    fn bounds_are_kept() {
        let with = |objects: Objects| Policy { objects, ..Policy::default() }.check();
        let many = |count: usize| (0..count).map(|n| (name(&alloc::format!("o{n}")), ObjectRule::default())).collect();
        assert_eq!(with(many(MAX_OBJECTS)), Ok(()));
        assert_eq!(with(many(MAX_OBJECTS + 1)), Err(Contradiction::TooManyObjects));
        let sized = |size| [(name("o"), ObjectRule::default().size(size))].into_iter().collect();
        assert_eq!(with(sized(0)), Err(Contradiction::ObjectSize));
        assert_eq!(with(sized(MAX_OBJECT_BYTES)), Ok(()));
        assert_eq!(with(sized(MAX_OBJECT_BYTES + 1)), Err(Contradiction::ObjectSize));
        let members = (0..=MAX_NAMED_RIGHTS).map(|n| (name(&alloc::format!("m{n}")), Right::Read)).collect();
        let rule = ObjectRule { members, ..ObjectRule::default() };
        assert_eq!(with([(name("o"), rule)].into_iter().collect()), Err(Contradiction::TooManyRights));
    }

    /// Antigone's policies keep their bytes, and rights stay with the leader.
    #[test]
    fn objects_do_not_travel_with_the_policy() {
        let objects: Objects = [(name("plan"), ObjectRule::default())].into_iter().collect();
        let policy = Policy { objects, ..Policy::default() };
        assert_eq!(policy.encode(), Policy::default().encode());
        assert!(Policy::decode(&policy.encode()).unwrap().objects.is_empty());
    }
}
