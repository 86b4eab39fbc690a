//! The on-disk structs of EROFS, as far as this project reads and writes them.
//!
//! The format is that of the kernel's `Documentation/filesystems/erofs.rst`;
//! uncompressed images only. Nothing in here does I/O.

mod superblock;

pub use superblock::{
    SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE, Superblock, SuperblockError, SuperblockFields,
};
