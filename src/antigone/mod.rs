//! Antigone: micro-protocols composed by policy.

pub mod data;
pub mod schedule;
