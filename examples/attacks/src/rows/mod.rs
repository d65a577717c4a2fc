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
    a01 a02 a04 a05 a07 a09 a11 a12 a13 a15
}
