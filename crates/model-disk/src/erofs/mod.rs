//! EROFS, uncompressed, as far as this project reads and writes it.
//!
//! - [`ErofsSuperblock`], and the structs of inodes and directories, are the format, read and
//!   written side by side: the kernel's `Documentation/filesystems/erofs.rst`.
//! - [`walk()`] visits all that is in an image, which may be hostile, and tells whose a byte is.
//! - [`ErofsView`] looks up names in one, and reads files.
//! - [`ImagePlan`] lays out the image of a list of files: which bytes of it come from where. The
//!   same list gives the same plan everywhere. The layout is version 1 of `docs/layout.md`; it must
//!   never change, because root hashes depend on it.
//!
//! Nothing in here does I/O: what must be read is asked of the caller.

mod chunks;
mod directory;
mod error;
mod extents;
mod features;
mod image;
mod inode;
mod node;
mod reader;
mod superblock;
mod tree;
mod uuid;
mod view;
mod walk;

pub use chunks::DataExtent;
pub use directory::{DIRENT_SIZE, Dirent, FileType, MAX_NAME_SIZE};
pub use error::ErofsError;
pub use extents::{ExtentSource, ImageExtent};
pub use features::ErofsFeature;
pub use image::{ImagePlan, ImagePlanError};
pub use inode::{
    COMPACT_INODE_SIZE, CompactInode, EXTENDED_INODE_SIZE, ExtendedInode, FORMAT_EXTENDED,
    INODE_SLOT_SIZE, MODE_DIRECTORY, MODE_REGULAR,
};
pub use node::{ErofsKind, ErofsNode, MAX_LINK_SIZE};
pub use reader::ReadImage;
pub use superblock::{
    ErofsSuperblock, ErofsSuperblockError, FEATURE_COMPAT_CHECKSUM, FEATURE_INCOMPAT_48BIT, MAGIC,
    RawErofsSuperblock, SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE,
};
pub use view::{ErofsEntries, ErofsEntry, ErofsView};
pub use walk::{MAX_ENTRIES, PathsInRange, Walk, WalkEntry, paths_in, walk};

/// The block size of an image that is made here, in bytes.
pub const BLOCK_SIZE: u64 = 4096;
