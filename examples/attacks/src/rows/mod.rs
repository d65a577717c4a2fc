//! The rows, one file each.

use crate::row::Row;

pub(crate) mod shared;

macro_rules! rows {
    ($($name:ident)*) => {
        $(pub mod $name;)*

        /// All rows, in the order of the specification.
        pub static ROWS: &[&Row] = &[$(&$name::ROW),*];
    };
}

rows! {
    g01 g02 g03 g04 g05 g06 g07
    a01 a02 a03 a04 a05 a06 a07 a08 a09 a10 a11 a12 a13 a14 a15 a16 a17 a18 a19 a20 a21 a22 a23
    x01 x02 x04 x05 x07 x12 x13 x15
}
