//! The EROFS image of a model, planned: which bytes of it come from where.
//!
//! A [`Plan`] is made from the list of a model's files, their paths and sizes,
//! before any of them is read. It is pure arithmetic: no I/O in here, and the
//! same list gives the same plan everywhere. The layout is version 1 of
//! `docs/layout.md`; it must never change, because root hashes depend on it.

mod directory;
mod extents;
mod inode;
mod plan;
mod superblock;
mod tree;
mod uuid;

pub use extents::{Extent, Source};
pub use plan::{Plan, PlanError};

/// The block size of an image in bytes.
pub const BLOCK_SIZE: u64 = 4096;
