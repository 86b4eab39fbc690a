//! The commands. Each takes a checked request and gives a report that can be printed.

pub mod build;
pub mod hash;
pub mod verify;
