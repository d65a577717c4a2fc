//! Shared objects (report §1.2), for their users: repaired Enclaves has them.

use bytes::Bytes;
use sodality::endpoint::Cx;
use sodality::error::{CommandError, Misuse};
use sodality::identity::Name;
use sodality::objects::ObjectView;
use sodality::policy::Right;
use sodality::{antigone, enclaves};

/// A shared object, as far as it is known here.
pub(crate) struct Object {
    pub(crate) name: Name,
    /// What may be done with it here.
    pub(crate) right: Right,
    /// The longest contents, in bytes.
    pub(crate) size: u32,
    /// What it holds, if that is anything.
    pub(crate) view: Option<ObjectView>,
}

/// What a user can do with shared objects.
pub(crate) trait Shared {
    /// Whether there are any.
    const SHARES: bool = false;
    /// Puts contents into an object, whatever it holds; gives the number of the change, under which events tell what became
    /// of it.
    fn change(&mut self, _cx: &mut Cx<'_>, _object: &Name, _contents: Bytes) -> Result<u64, CommandError> {
        Err(Misuse::NotJoined.into())
    }
    /// The objects that may be read here.
    fn shared(&self) -> Vec<Object> {
        Vec::new()
    }
}

impl Shared for antigone::Member {}
impl Shared for antigone::Leader {}

impl Shared for enclaves::Member {
    const SHARES: bool = true;

    fn change(&mut self, cx: &mut Cx<'_>, object: &Name, contents: Bytes) -> Result<u64, CommandError> {
        self.put(cx, object, None, contents)
    }

    fn shared(&self) -> Vec<Object> {
        let object = |(name, right, size): (&Name, _, _)| Object {
            name: name.clone(),
            right,
            size,
            view: self.get(name).cloned(),
        };
        self.objects().map(object).collect()
    }
}

impl Shared for enclaves::Leader {
    const SHARES: bool = true;

    fn change(&mut self, cx: &mut Cx<'_>, object: &Name, contents: Bytes) -> Result<u64, CommandError> {
        self.put(cx, object, None, contents)
    }

    fn shared(&self) -> Vec<Object> {
        let objects = self.policy().objects.iter();
        // The leader keeps all objects, so it may change each of them.
        let (right, view) = (Right::Change, |name: &Name| self.get(name).cloned());
        objects.map(|(name, rule)| Object { name: name.clone(), right, size: rule.size, view: view(name) }).collect()
    }
}
