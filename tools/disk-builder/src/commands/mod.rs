//! The commands. Each takes a checked request and gives a report that can be printed.

pub mod build;
mod fec_sources;
pub mod hash;
pub mod repair;
pub mod verify;
