//! The on-disk structs of EROFS, as far as this project reads and writes them,
//! and a reader that tells whose a byte of an image is.
//!
//! The format is that of the kernel's `Documentation/filesystems/erofs.rst`;
//! uncompressed images only. Nothing in here does I/O: what must be read is
//! asked of the caller.

mod dirent;
mod inode;
mod superblock;
mod walk;

pub use dirent::{DIRENT_SIZE, Dirent, FileType, MAX_NAME_SIZE};
pub use inode::{
    COMPACT_INODE_SIZE, CompactInode, EXTENDED_INODE_SIZE, ExtendedInode, FORMAT_EXTENDED,
    INODE_SLOT_SIZE, MODE_DIRECTORY, MODE_REGULAR,
};
pub use superblock::{
    FEATURE_COMPAT_CHECKSUM, MAGIC, SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE, Superblock,
    SuperblockError, SuperblockFields,
};
pub use walk::{MAX_ENTRIES, Node, WalkError, paths_in, walk};
