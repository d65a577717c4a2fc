//! Antigone: micro-protocols composed by policy.

pub mod join;
pub mod keys;
pub mod membership;
pub mod schedule;
