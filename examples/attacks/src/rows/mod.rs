//! The rows, one file each.

use crate::row::Row;

pub(crate) mod shared;

macro_rules! rows {
    ($($antigone:ident)*; $($enclaves:ident)*) => {
        $(pub mod $antigone;)*

        /// The rows that Enclaves shows, one file each.
        pub mod enclaves {
            $(pub mod $enclaves;)*
        }

        /// All rows: those that Antigone shows, then those that Enclaves shows, each in the order of the specification.
        pub static ROWS: &[&Row] = &[$(&$antigone::ROW,)* $(&enclaves::$enclaves::ROW,)*];
    };
}

rows! {
    g01 g02 g03 g04 g05 g06 g07
    a01 a02 a03 a04 a05 a06 a07 a08 a09 a10 a11 a12 a13 a14 a15 a16 a17 a18 a19 a20 a21 a22 a23
    x01 x02 x04 x05 x07 x12 x13 x15;
    g02
    e01 e02 e03 e04 e05 e06 e07 e08 e09 e10 e11 e12 e13 e14 e15 e16
    x03 x06 x07 x08 x09 x10 x11
}
