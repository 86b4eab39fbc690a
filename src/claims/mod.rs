//! What a disk claims to be: its superblocks, found, read and shown. None of it is verified.
//!
//! Where the bytes come from is the caller's: a [`ReadAt`]. Both programs find the dm-verity
//! superblock with what is here, so that they cannot disagree about its place, and both show
//! [`Claims`] as their `inspect`.
//!
//! Calls [`crate::filesystem`] and [`crate::verity`], which parse; is called by the mounter's
//! `disk` and by `disk-builder`.

mod read_at;
mod report;
mod superblocks;

pub use read_at::ReadAt;
pub use report::{Claims, Filesystem};
pub use superblocks::{Found, NoSuperblock, header, superblock_after, superblock_at};
