//! What an inode stands for, found in an image.

use std::ops::Range;

use super::{chunks::ChunkTable, inode::Inode};

/// The longest target of a symbolic link in bytes: no longer path can be given to a system call.
pub const MAX_LINK_SIZE: u64 = 4095;

/// What something in an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErofsKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A device, a pipe or a socket: nothing that a model has.
    Special,
}

/// A file, a directory or anything else that an image has, by its inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErofsNode {
    pub(super) nid: u64,
    pub(super) inode: Inode,
    pub(super) data: NodeData,
}

/// Where the data of a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NodeData {
    /// In bytes of the image: the run of blocks, then the tail beside the inode. Either may be
    /// empty.
    Flat([Range<u64>; 2]),
    /// In chunks, whose places stand in a table.
    Chunked(ChunkTable),
    /// Compressed.
    Compressed,
    /// In a layout of this number, which came later.
    Unknown(u16),
}

impl ErofsNode {
    /// The number of its inode.
    pub fn nid(&self) -> u64 {
        self.nid
    }

    /// What it is.
    pub fn kind(&self) -> ErofsKind {
        self.inode.kind()
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.kind() == ErofsKind::Directory
    }

    /// Its type and permissions, as stat(2) gives them.
    pub fn mode(&self) -> u16 {
        self.inode.mode
    }

    /// The size of its data in bytes.
    pub fn size(&self) -> u64 {
        self.inode.size
    }

    /// Where its data stands, in bytes of the image: the run of blocks, then the tail beside the
    /// inode. Either may be empty. None where the inode alone does not tell the place: compressed and
    /// chunked files have their data in other places.
    pub fn flat_data(&self) -> Option<&[Range<u64>; 2]> {
        match &self.data {
            NodeData::Flat(data) => Some(data),
            _ => None,
        }
    }
}
