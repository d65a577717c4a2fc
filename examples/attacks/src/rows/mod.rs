//! The rows, one file each.

use crate::row::Row;

macro_rules! rows {
    ($($name:ident)*) => {
        $(pub mod $name;)*

        /// All rows, in the order of the specification.
        pub static ROWS: &[&Row] = &[$(&$name::ROW),*];
    };
}

rows! {
    a01
}
