//! The declaring macros. A declaration lists the fields once, in wire order.

/// Declares a structure: fields one after the other.
macro_rules! structure {
    (
        $(#[$doc:meta])*
        pub struct $name:ident $(<$lt:lifetime>)? {
            $($(#[doc = $fdoc:literal])* $field:ident : $type:ty,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub struct $name $(<$lt>)? {
            $($(#[doc = $fdoc])* pub $field: $type,)*
        }

        impl<'a> $crate::wire::Field<'a> for $name $(<$lt>)? {
            const SHAPE: $crate::wire::Shape = $crate::wire::Shape::Struct(&[
                $($crate::wire::FieldShape {
                    name: stringify!($field),
                    shape: &<$type as $crate::wire::Field<'a>>::SHAPE,
                    doc: concat!($($fdoc,)* ""),
                },)*
            ]);

            #[allow(unused_variables)]
            fn put(&self, out: &mut ::bytes::BytesMut) {
                $($crate::wire::Field::put(&self.$field, out);)*
            }

            #[allow(unused_variables)]
            fn take(reader: &mut $crate::wire::Reader<'a>) -> Result<Self, $crate::error::DecodeError> {
                Ok(Self { $($field: $crate::wire::Field::take(reader)?,)* })
            }
        }
    };
}

/// Declares a choice: one byte, then what it stands for.
macro_rules! choice {
    (
        $(#[$doc:meta])*
        pub enum $name:ident $(<$lt:lifetime>)? {
            $($(#[doc = $vdoc:literal])* $code:literal = $variant:ident $(($type:ty))?,)*
        }
    ) => {
        $(#[$doc])*
        // These are views of a frame, short-lived and on the stack: boxing would allocate.
        #[allow(clippy::large_enum_variant)]
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum $name $(<$lt>)? {
            $($(#[doc = $vdoc])* $variant $(($type))?,)*
        }

        impl<'a> $crate::wire::Field<'a> for $name $(<$lt>)? {
            const SHAPE: $crate::wire::Shape = $crate::wire::Shape::Choice(&[
                $($crate::wire::VariantShape {
                    code: $code,
                    name: stringify!($variant),
                    shape: choice!(@shape $($type)?),
                    doc: concat!($($vdoc,)* ""),
                },)*
            ]);

            fn put(&self, out: &mut ::bytes::BytesMut) {
                match self {
                    $(choice!(@pattern value $variant $($type)?) => {
                        ::bytes::BufMut::put_u8(out, $code);
                        $(<$type as $crate::wire::Field<'a>>::put(value, out);)?
                    })*
                }
            }

            fn take(reader: &mut $crate::wire::Reader<'a>) -> Result<Self, $crate::error::DecodeError> {
                match reader.u8()? {
                    $($code => Ok(Self::$variant $((<$type as $crate::wire::Field<'a>>::take(reader)?))?),)*
                    _ => Err($crate::error::DecodeError::Value),
                }
            }
        }
    };
    (@shape) => { None };
    (@shape $type:ty) => { Some(&<$type as $crate::wire::Field<'a>>::SHAPE) };
    (@pattern $value:ident $variant:ident) => { Self::$variant };
    (@pattern $value:ident $variant:ident $type:ty) => { Self::$variant($value) };
}

/// Declares the messages of one system: for each its code, its id, who sends it to whom, its clear fields, what guards
/// them, and what stands inside the box. Makes a table of all of them too.
macro_rules! messages {
    (
        $(#[$tdoc:meta])*
        pub const $table:ident: $system:ident $edition:ident;
        $(
            $(#[doc = $doc:literal])*
            $code:literal $id:literal $from:ident => $to:ident, $guard:ident $(($body:ty))?
            struct $name:ident $(<$lt:lifetime>)? {
                $($(#[doc = $fdoc:literal])* $field:ident : $type:ty,)*
            }
        )*
    ) => {
        $(#[$tdoc])*
        pub const $table: &[&$crate::wire::MessageInfo] = &[$(<$name as $crate::wire::Message>::INFO,)*];

        $(
            structure! {
                $(#[doc = $doc])*
                pub struct $name $(<$lt>)? {
                    $($(#[doc = $fdoc])* $field: $type,)*
                }
            }

            impl<'a> $crate::wire::Message<'a> for $name $(<$lt>)? {
                const INFO: &'static $crate::wire::MessageInfo = &$crate::wire::MessageInfo {
                    system: $crate::wire::System::$system,
                    edition: $crate::wire::Edition::$edition,
                    code: $code,
                    id: $id,
                    name: stringify!($name),
                    direction: $crate::wire::Direction { from: stringify!($from), to: stringify!($to) },
                    guard: $crate::wire::Guard::$guard,
                    clear: &<Self as $crate::wire::Field<'a>>::SHAPE,
                    body: messages!(@body $($body)?),
                    doc: concat!($($doc,)* ""),
                    typed: $crate::wire::Typed {
                        #[allow(clippy::extra_unused_lifetimes, single_use_lifetimes)]
                        frame: {
                            fn frame<'a>(bytes: &'a [u8]) -> $crate::wire::RecodedFrame {
                                <$name $(<$lt>)? as $crate::wire::Message<'a>>::parse(bytes).map(|frame| frame.recode())
                            }
                            frame
                        },
                        body: messages!(@typed $($body)?),
                    },
                };
            }

            const _: () = assert!(<$name as $crate::wire::Message<'_>>::INFO.is_sound());
        )*
    };
    (@typed) => { None };
    (@typed $body:ty) => {
        Some({
            fn body<'a>(bytes: &'a [u8]) -> $crate::wire::RecodedBody {
                <$body as $crate::wire::Field<'a>>::decode(bytes).map(|body| $crate::wire::field::to_vec(&body))
            }
            body
        })
    };
    (@body) => { None };
    (@body $body:ty) => { Some(&<$body as $crate::wire::Field<'a>>::SHAPE) };
}
