//! Who and what: names, group instances, members, epochs, versions.
//!
//! An address, a link or a position in a list identifies nobody (R40): identities are names, proved by keys, and
//! member numbers, given by a leader once and never again (RA §1, I-1).

use alloc::sync::Arc;
use core::fmt;

use crate::error::NameError;

/// Longest name, in bytes of UTF-8 (D1).
pub const MAX_NAME: usize = 255;

/// Bytes of a group instance number.
pub const INSTANCE_BYTES: usize = 16;

/// A principal's or an application's name: 1 to 255 bytes of UTF-8 without control characters (RA §1), compared byte
/// for byte and never folded. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// Checks and copies `name`.
    ///
    /// # Errors
    /// [`NameError`] says which of the three rules the text breaks.
    pub fn new(name: &str) -> Result<Self, NameError> {
        NameRef::new(name).map(NameRef::to_name)
    }

    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as a borrowed view.
    pub fn by_ref(&self) -> NameRef<'_> {
        NameRef(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A checked name inside a frame: what decoding yields, without a copy.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NameRef<'a>(&'a str);

impl<'a> NameRef<'a> {
    /// Checks `name`.
    ///
    /// # Errors
    /// [`NameError`] says which of the three rules the text breaks.
    pub fn new(name: &'a str) -> Result<Self, NameError> {
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if name.len() > MAX_NAME {
            return Err(NameError::TooLong);
        }
        if name.chars().any(char::is_control) {
            return Err(NameError::Control);
        }
        Ok(Self(name))
    }

    /// The text of the name.
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// An owned copy.
    pub fn to_name(self) -> Name {
        Name(Arc::from(self.0))
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
        pub struct $name(pub u64);

        impl $name {
            /// The next number, or `None` where the count would wrap (R16: numbers stop, they never start again).
            pub fn next(self) -> Option<Self> {
                self.0.checked_add(1).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number! {
    /// A member number (`cid`): given by the leader at each join, counted from 1, never used twice in one instance
    /// (I-1), so that it is the incarnation too. The leader itself is 0.
    MemberId
}
number! {
    /// The number of a group key in one instance, counted from 1. Order between epochs exists inside one instance only.
    Epoch
}
number! {
    /// The number of a view or of a policy text in one instance; 0 means "none yet".
    Version
}

impl MemberId {
    /// The leader's own number.
    pub const LEADER: Self = Self(0);
}

/// A group instance: 16 random bytes that a leader draws when it opens or reopens a group (RA §1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instance(pub [u8; INSTANCE_BYTES]);

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Instance(")?;
        fmt::Display::fmt(self, f)?;
        f.write_str(")")
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_obey_their_three_rules() {
        assert_eq!(Name::new("").unwrap_err(), NameError::Empty);
        assert_eq!(Name::new(&"x".repeat(256)).unwrap_err(), NameError::TooLong);
        assert_eq!(Name::new("a\nb").unwrap_err(), NameError::Control);
        assert_eq!(Name::new("a\u{85}b").unwrap_err(), NameError::Control);
        assert_eq!(Name::new(&"x".repeat(255)).unwrap().as_str().len(), 255);
        assert_ne!(Name::new("Ada").unwrap(), Name::new("ada").unwrap());
    }

    #[test]
    fn numbers_stop_before_they_wrap() {
        assert_eq!(Epoch(1).next(), Some(Epoch(2)));
        assert_eq!(Epoch(u64::MAX).next(), None);
    }
}
