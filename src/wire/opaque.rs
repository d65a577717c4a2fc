//! Opaque values: byte strings whose length comes from the suite. No protocol looks inside.

use core::fmt;

use bytes::BytesMut;

use super::field::{Field, Reader, put_opaque};
use super::shape::Shape;
use crate::error::DecodeError;

macro_rules! opaque {
    ($($(#[$doc:meta])* $name:ident, $min:expr, $max:expr;)*) => {$(
        $(#[$doc])*
        ///
        /// Opaque: its length comes from the suite, and no protocol looks inside.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name {
            length: u16,
            bytes: [u8; $max],
        }

        impl $name {
            /// Longest, in bytes.
            pub const MAX: usize = $max;

            /// The value of these bytes, `None` outside its limits.
            pub fn new(bytes: &[u8]) -> Option<Self> {
                #[allow(clippy::absurd_extreme_comparisons, unused_comparisons)]
                if bytes.len() < $min {
                    return None;
                }
                let mut value = Self { length: bytes.len() as u16, bytes: [0; $max] };
                value.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
                Some(value)
            }

            /// The bytes, for the wire and for suites.
            pub fn as_bytes(&self) -> &[u8] {
                self.bytes.get(..usize::from(self.length)).unwrap_or_default()
            }

            /// Whether it is absent.
            pub fn is_empty(&self) -> bool {
                self.length == 0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "("))?;
                self.as_bytes().iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))?;
                write!(f, ")")
            }
        }

        impl<'a> Field<'a> for $name {
            const SHAPE: Shape = Shape::Opaque { min: $min, max: $max };

            fn put(&self, out: &mut BytesMut) {
                put_opaque(self.as_bytes(), out);
            }

            fn take(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
                Self::new(reader.opaque($min, $max)?).ok_or(DecodeError::Length)
            }
        }
    )*};
}

opaque! {
    /// A number used once: I0, I1.
    Nonce, 8, 32;
    /// A message authentication code, or the tag of a box; empty where nothing protects.
    Tag, 0, 32;
    /// A digest; empty stands for "of nothing".
    Digest, 0, 64;
    /// A public share of an ephemeral exchange, or none.
    Share, 0, 64;
    /// A public signature key, or none.
    VerifyingKey, 0, 160;
    /// A signature, or none.
    Signature, 0, 128;
    /// A key in sealed form, without its tag.
    SealedKey, 8, 64;
}

macro_rules! optional {
    ($($name:ident)*) => {$(
        impl $name {
            /// The absent one.
            pub const NONE: Self = Self { length: 0, bytes: [0; Self::MAX] };
        }
    )*};
}

optional! { Tag Digest Share VerifyingKey Signature }
