//! Bytes ⇄ fields. Each message is declared once; encoding, decoding, limits, the field tree, the composer, the
//! proptest strategies and the layout document all come from that declaration (D1). This layer knows no state and no
//! protocol meaning.
//!
//! * [`field`]: the field types and their one canonical encoding;
//! * [`shape`]: what a declaration says, as data, and the tree of fields of a concrete message;
//! * [`frame`]: header, and what protects a frame: nothing, a tag or a box;
//! * [`shared`]: changes of the view and protections, the same in both systems;
//! * [`antigone`]: the declarations of the repaired Antigone (RA §3);
//! * [`published`]: those of Antigone as published (AN);
//! * [`bridges`]: what repaired parts say beside published ones (RA §2, mixed editions);
//! * [`enclaves`]: the declarations of Enclaves 1.0, 2.0 and repaired (EN);
//! * [`objects`]: what leader and members say about shared objects;
//! * [`transfer`]: the declarations of objects over messages;
//! * `mutate` (feature `sim` or `proptest`): values of any shape from a random source, mutants, and a harness that holds
//!   the typed decoders against the declarations;
//! * `strategy` (feature `proptest`): every message as a strategy;
//! * `layout` (feature `sim`): the layout document.

#[macro_use]
mod declare;
pub mod antigone;
pub mod bridges;
mod codes;
pub mod enclaves;
pub mod field;
pub mod frame;
#[cfg(any(test, feature = "sim"))]
pub mod layout;
#[cfg(any(test, feature = "sim", feature = "proptest"))]
pub mod mutate;
pub mod objects;
mod opaque;
pub mod policy;
pub mod published;
pub mod shape;
pub mod shared;
#[cfg(feature = "proptest")]
pub mod strategy;
pub mod transfer;

pub use field::{Blob, Field, List, MaybeName, Nested, Payload, Reader, Rest};
pub use frame::{
    Boxed, Direction, Edition, Guard, Header, Message, MessageInfo, Recoded, RecodedBody, RecodedFrame, System, Typed,
};
pub use shape::{FieldShape, Shape, Value, VariantShape};

/// Every declared message: one table for each module of declarations. Ids are unique over all of them, types within an
/// edition.
pub const TABLES: [&[&MessageInfo]; 6] = [
    antigone::MESSAGES,
    bridges::MESSAGES,
    published::MESSAGES,
    enclaves::repaired::MESSAGES,
    enclaves::version_1::MESSAGES,
    enclaves::version_2::MESSAGES,
];

/// Version of the wire format: the first byte of each frame.
pub const WIRE_VERSION: u8 = 1;
