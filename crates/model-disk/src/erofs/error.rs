//! Why an image cannot be read.

use std::{error::Error, io};

use crate::{ExitCode, HasExitCode};

use super::{
    ErofsSuperblockError,
    node::MAX_LINK_SIZE,
    walk::{MAX_ENTRIES, MAX_PATH_SIZE},
};

/// Why an EROFS image, or something in it, cannot be read. `E` is why its bytes cannot.
#[derive(Debug, thiserror::Error)]
pub enum ErofsError<E: Error + 'static = io::Error> {
    /// Reading the image failed.
    #[error(transparent)]
    Read(E),
    /// It has no superblock.
    #[error(transparent)]
    ErofsSuperblock(#[from] ErofsSuperblockError),
    /// It has something that changes the meaning of the rest.
    #[error("the EROFS filesystem uses what only a kernel can read: {0}")]
    Feature(String),
    /// It ends before its filesystem does.
    #[error("the EROFS filesystem would end at byte {end}, and there are {bytes} bytes")]
    CutShort {
        /// Where it would end.
        end: u64,
        /// How many bytes there are.
        bytes: u64,
    },
    /// An inode or its data lies beyond the end of the filesystem.
    #[error("inode {0} of the EROFS image points outside of it")]
    Outside(u64),
    /// The root, or what has entries, is no directory with its data in place.
    #[error("inode {0} of the EROFS image is no readable directory")]
    Directory(u64),
    /// A directory's block is damaged.
    #[error("directory {0} of the EROFS image is damaged")]
    DirectoryBlock(u64),
    /// A loop, most likely.
    #[error("the EROFS image has a path longer than {MAX_PATH_SIZE} bytes")]
    TooDeep,
    /// More than can be looked at.
    #[error("the EROFS image has more than {MAX_ENTRIES} directory entries")]
    TooManyEntries,
    /// Its data is compressed.
    #[error("it is compressed (inode {0} of the EROFS image), and only a kernel can read that")]
    Compressed(u64),
    /// Its data is in a layout that came later.
    #[error("inode {nid} of the EROFS image has its data in a layout that is not known ({layout})")]
    Layout {
        /// The inode.
        nid: u64,
        /// What it says.
        layout: u16,
    },
    /// Its data is on another device, which no hash tree covers.
    #[error("inode {0} of the EROFS image has data on another device")]
    OtherDevice(u64),
    /// No path to anything.
    #[error("the target of link {0} of the EROFS image is no path of 1 to {MAX_LINK_SIZE} bytes")]
    Link(u64),
}

impl<E: Error + HasExitCode + 'static> HasExitCode for ErofsError<E> {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Read(error) => error.exit_code(),
            Self::Feature(_) | Self::Compressed(_) | Self::Layout { .. } => ExitCode::Unsupported,
            _ => ExitCode::Integrity,
        }
    }
}
