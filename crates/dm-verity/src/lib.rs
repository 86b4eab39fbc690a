//! dm-verity as arithmetic on bytes and numbers; nothing in here does I/O.
//!
//! - [`RootHash`], [`Salt`], [`BlockSize`], [`HashAlgorithm`]: values that are
//!   valid once they exist.
//! - [`VerityParams`]: what a root hash depends on besides the data.
//! - [`Superblock`]: the 512 bytes that carry the parameters on a disk.
//! - [`TreeLayout`] and [`HashArea`]: which digest stands where.
//! - [`BlockHasher`]: digests of blocks.
//! - [`VerityTable`]: the line that the kernel's device-mapper is given.
//! - [`fec`]: parity of blocks, and bad blocks made good by it.
//! - [`sha256`]: the ways to compute SHA-256, and which one is used.
//!
//! A root hash from these parts, of data in memory. (`disk-builder`'s engine does the same for
//! disks of any size, in parallel.)
//!
//! ```
//! use dm_verity::{
//!     BlockHasher, BlockSize, HashAlgorithm, RootHash, Salt, TreeLayout, VerityParams,
//! };
//!
//! let (size, data) = (BlockSize::DEFAULT, vec![7; 300 * 4096]);
//! let salt: Salt = "00ff".parse()?;
//! let params = VerityParams::new(HashAlgorithm::Sha256, size, size, 300, salt)?;
//! let hasher = BlockHasher::for_params(&params);
//!
//! // The digests of all data blocks, then those of the hash blocks that hold them, and so on.
//! let digests = |blocks: &[u8]| -> Vec<u8> {
//!     let digests = blocks.chunks(4096).map(|block| hasher.digest(block));
//!     digests.flat_map(|digest| digest.as_bytes().to_vec()).collect()
//! };
//! let mut top = digests(&data);
//! for level in TreeLayout::new(&params).levels() {
//!     top.resize(level.blocks as usize * 4096, 0);
//!     top = digests(&top);
//! }
//! let root_hash: RootHash = hex::encode(top).parse()?;
//! assert_eq!(
//!     root_hash.to_string(),
//!     "6a3847aac28b1d05f05e434835a2e0aa7defa8c8e453bb1792e6fba1c658847e"
//! );
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! The format is the kernel's `Documentation/admin-guide/device-mapper/verity.rst`,
//! hash type 1, and cryptsetup's superblock, version 1.

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
#![cfg_attr(not(any(feature = "std", test)), no_std)]

extern crate alloc;

mod block_size;
mod chosen_backend;
mod digest;
pub mod fec;
mod hasher;
mod layout;
mod params;
mod salt;
pub mod sha256;
mod superblock;
mod table;

pub use block_size::{BlockSize, BlockSizeError};
pub use digest::{Digest, HashAlgorithm, RootHash, RootHashError, UnknownAlgorithm};
pub use hasher::BlockHasher;
pub use layout::{HashArea, HashAreaError, Level, TreeLayout};
pub use params::{MAX_BYTES, ParamsError, VerityParams};
pub use salt::{MAX_SALT_SIZE, Salt, SaltError};
pub use superblock::{SUPERBLOCK_SIZE, Superblock, SuperblockError};
pub use table::{
    DeviceNumber, FecTable, LoadedTable, NotATable, OnCorruption, OnReadError, VerityTable,
};

/// The examples of the README are run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct ReadmeExamples;
