//! Rules of the specification of the repaired edition, each shown alone: a file for each part.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Helpers of tests.

#[path = "../scene/forge.rs"]
mod forge;
#[path = "../support/keyring.rs"]
#[allow(dead_code, reason = "these files use a part of it")]
mod keyring;
#[path = "../scene/mod.rs"]
mod scene;

mod admission;
mod channel;
mod data;
mod evidence;
mod install;
mod join;
mod rekey;
mod view;
