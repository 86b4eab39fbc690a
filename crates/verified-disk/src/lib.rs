//! Reads a disk with model weights as any user, without a kernel that verifies: what comes out has
//! been verified in this process, from the root hash down.
//!
//! What may call what, downwards only:
//!
//! | items | hold | do I/O |
//! |---|---|---|
//! | [`in_order()`] | threads that read parts of a range, which come out in their order | by what it is given |
//! | [`VerifiedDisk`] | a disk that was judged; the data that it gives is verified | through the next |
//! | `tree` | blocks, compared with the digests above them | through the next |
//! | `fec` | what a corrupt block should be, by the others of its row | through the next |
//! | [`BlockStorage`] | where blocks come from, none of which is believed | yes |
//! | `cache` | blocks that have been verified, in bounded memory | no |
//! | [`VerifiedDiskError`], [`VerifiedReadError`] | what is wrong, and where | no |
//!
//! A block is copied into memory of this process first. It is hashed there, and given from there:
//! whoever can change the storage meanwhile changes nothing of what was read. Nothing is ever mapped.
//!
//! What a disk is, and whether it is accepted, is in the crate [`model_disk`], and so is the view of
//! its filesystem: [`ErofsView`](model_disk::erofs::ErofsView) reads from a [`VerifiedDisk`] as from
//! anything else.

// No panic is reachable from input. What cannot happen says so, with its reason.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unreachable
)]
#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::disallowed_macros,
        clippy::disallowed_methods
    )
)]

mod cache;
mod disk;
mod error;
mod fec;
mod in_order;
mod storage;
mod tree;

pub use cache::CACHE_BYTES;
pub use disk::VerifiedDisk;
pub use error::{VerifiedDiskError, VerifiedReadError};
pub use in_order::{PART_BYTES, in_order};
pub use storage::BlockStorage;
