//! What the tests of several packages and the fuzz targets share.

// A failure is a panic here, as in any test.
#![allow(clippy::unwrap_used)]

pub mod documents;
pub mod fec;
pub mod http;
pub mod hub;
pub mod image;
mod messages;
pub mod model;
pub mod partitions;
mod sound;

pub use messages::assert_causes_stand_once;
pub use sound::assert_sound;
