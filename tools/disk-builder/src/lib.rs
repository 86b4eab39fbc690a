//! The parts of `disk-builder`, which turns a model directory into a disk image
//! with its dm-verity hash tree.

pub mod image;
pub mod model;
