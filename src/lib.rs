//! Secure groups as pure state machines.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

#[cfg(any(test, feature = "sim"))]
#[macro_use]
pub mod fingerprint;
#[cfg(not(any(test, feature = "sim")))]
macro_rules! fingerprint {
    ($($anything:tt)*) => {};
}

pub mod antigone;
pub mod crypto;
pub mod endpoint;
pub mod error;
pub mod event;
pub mod group;
pub mod identity;
pub mod policy;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
pub mod transfer;
pub mod ttp;
pub mod wire;
