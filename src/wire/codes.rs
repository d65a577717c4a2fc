//! Codes of one byte for what `event` names, the set of causes, and the flags of a channel frame.

use bytes::{BufMut, BytesMut};

use super::field::{Field, Reader};
use super::shape::{Shape, VariantShape};
use crate::error::DecodeError;
use crate::event::{Cause, Causes, EjectVerdict, EndReason, ObjectRefusal};
use crate::policy::Right;

/// Fields whose values are the variants of an enumeration with codes of its own. The compiler checks that the codes here
/// are those.
macro_rules! coded_fields {
    ($($type:ident { $($code:literal = $variant:ident $doc:literal,)* })*) => {$(
        impl CodeTable for $type {
            const VARIANTS: &'static [VariantShape] = &[
                $(VariantShape { code: $code, name: stringify!($variant), shape: None, doc: $doc },)*
            ];
        }

        $(const _: () = assert!($type::$variant as u8 == $code);)*

        impl<'a> Field<'a> for $type {
            const SHAPE: Shape = Shape::Choice(Self::VARIANTS);

            fn put(&self, out: &mut BytesMut) {
                out.put_u8(*self as u8);
            }

            fn take(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
                match reader.u8()? {
                    $($code => Ok(Self::$variant),)*
                    _ => Err(DecodeError::Value),
                }
            }
        }
    )*};
}

trait CodeTable {
    const VARIANTS: &'static [VariantShape];
}

coded_fields! {
    Cause {
        0 = Open "The group was opened.",
        1 = Join "Somebody joined.",
        2 = Leave "Somebody left.",
        3 = Eject "Somebody was ejected.",
        4 = Failure "Somebody was silent for too long.",
        5 = Takeover "Somebody joined again under the name of a live member.",
        6 = Policy "The policy changed.",
        7 = Period "The key was old enough.",
        8 = Messages "The key had sealed enough messages.",
        9 = Bytes "The key had sealed enough bytes.",
        10 = Command "The application asked.",
    }

    EndReason {
        0 = Left "The member left.",
        1 = Ejected "The leader ejected the member.",
        2 = Failed "The leader took the member for dead.",
        3 = TakenOver "A newer join of the same name took over.",
        4 = Policy "The policy no longer admits it.",
        5 = Closing "The leader closes the group.",
        6 = Protocol "The peer broke the protocol.",
        7 = Busy "The leader has a live member of that name and refuses takeovers.",
        8 = Exhausted "The numbers of the channel are used up: join again.",
    }

    EjectVerdict {
        0 = Ejected "It is out.",
        1 = NotAllowed "The policy does not let members ask.",
        2 = NoSuchMember "No live member has that number and that name, or it is the leader.",
        3 = Denied "The leader's application says no, or nothing.",
        4 = Busy "The leader has no room for the question now.",
    }
    ObjectRefusal {
        0 = NotAllowed "The member may not change it.",
        1 = NoSuchObject "The policy names no such object.",
        2 = TooLong "The contents are longer than the policy allows.",
        3 = Conflict "The object is at another version than the change was made for.",
        4 = Busy "The leader has no room for the change now.",
    }
    Right {
        0 = None "Nothing.",
        1 = Read "It may be read.",
        2 = Change "It may be read and changed.",
    }
}

const _: () = assert!(Cause::VARIANTS.len() == Cause::ALL.len());

impl<'a> Field<'a> for Causes {
    const SHAPE: Shape = Shape::Bits16 { bits: Cause::VARIANTS };

    fn put(&self, out: &mut BytesMut) {
        out.put_u16(self.bits());
    }

    fn take(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Self::from_bits(reader.u16()?).ok_or(DecodeError::Value)
    }
}

/// What a channel frame asks, and what its sender hears: a bit each.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Flags {
    /// "Answer this".
    pub answer: bool,
    /// The sender, a member, hears the leader over a shared link.
    pub hears: bool,
}

impl Flags {
    /// "Answer this", and nothing else.
    pub const ASKS: Self = Self { answer: true, hears: false };
}

impl<'a> Field<'a> for Flags {
    const SHAPE: Shape = Shape::U8 { max: 3 };

    fn put(&self, out: &mut BytesMut) {
        out.put_u8(u8::from(self.answer) | u8::from(self.hears) << 1);
    }

    fn take(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        match reader.u8()? {
            bits @ 0..=3 => Ok(Self { answer: bits & 1 != 0, hears: bits & 2 != 0 }),
            _ => Err(DecodeError::Value),
        }
    }
}
