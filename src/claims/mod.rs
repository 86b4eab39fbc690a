//! What a disk claims to be: its superblocks, found, read and shown. None of it is verified.
//!
//! Where the bytes come from is the caller's: a [`ReadAt`]. Both programs find the dm-verity
//! superblock with what is here, so that they cannot disagree about its place, and both show
//! [`Claims`] as their `inspect`.
//!
//! The parameters of a tree, from the superblock of a disk in memory:
//!
//! ```
//! # use disk_mounter::verity::{BlockSize, HashAlgorithm, Salt, Superblock, VerityParams};
//! use disk_mounter::claims::superblock_at;
//!
//! # let size = BlockSize::DEFAULT;
//! # let params = VerityParams::new(HashAlgorithm::Sha256, size, size, 1, Salt::default())?;
//! # let superblock = Superblock { uuid: uuid::Uuid::nil(), params };
//! # let disk = [vec![0; 4096], superblock.to_bytes().to_vec()].concat();
//! let found = superblock_at(&disk[..], 4096)?;
//! let params = found.superblock?.params;
//! assert_eq!((params.data_blocks(), params.data_bytes()), (1, 4096));
//!
//! let nothing = superblock_at(&disk[..], 0)?.superblock.unwrap_err();
//! assert_eq!(
//!     nothing.to_string(),
//!     "there is no dm-verity superblock (its magic is missing)"
//! );
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! Calls [`crate::filesystem`] and [`crate::verity`], which parse; is called by the mounter's
//! `disk` and by `disk-builder`.

mod read_at;
mod report;
mod superblocks;

pub use read_at::ReadAt;
pub use report::{Claims, Filesystem};
pub use superblocks::{Found, NoSuperblock, header, superblock_after, superblock_at};
