//! The plan of an image.

use std::ops::Range;

use crate::erofs::{FileType, MAX_ENTRIES, SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE};
use uuid::Uuid;

use super::{
    BLOCK_SIZE,
    directory::{self, NewEntry},
    extents::{ExtentSource, ImageExtent, ImageExtents},
    inode::{self, NewInode},
    superblock::NewSuperblock,
    tree::{DirectoryTree, TreeNodeKind},
    uuid::filesystem_uuid,
};
use crate::FileList;

/// An image before it is written: what its metadata says, and which of its bytes
/// come from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImagePlan {
    metadata: Vec<u8>,
    extents: Vec<ImageExtent>,
    inodes: u32,
    uuid: Uuid,
}

/// Why a model does not fit onto a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImagePlanError {
    /// Block numbers have 32 bits.
    #[error(
        "the model is too large for one disk: it and its directories take 16 TiB or more in \
         blocks of {BLOCK_SIZE} bytes"
    )]
    TooLarge,
    /// Nothing would list what is on it.
    #[error(
        "the model has too many files and directories for one disk: {0} directory entries, and \
         {MAX_ENTRIES} is the most"
    )]
    TooMany(u64),
}

impl ImagePlan {
    /// Lays out the image of a list of files, in time and memory that follow the
    /// number of files and not their sizes.
    #[expect(
        clippy::indexing_slicing,
        reason = "places in its own tree, which has a root"
    )]
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "sizes are added with checks, and what is counted lies in memory"
    )]
    pub fn new(files: &FileList) -> Result<Self, ImagePlanError> {
        let tree = DirectoryTree::new(files);
        let count = tree.0.len();
        let inodes = checked_inodes(count, tree.entries())?;
        let layout = Layout::new(&tree)?;

        let mut metadata = vec![0; SUPERBLOCK_OFFSET as usize + SUPERBLOCK_SIZE];
        for ((inode, ino), block) in layout.inodes.iter().zip(1..).zip(&layout.start_blocks) {
            inode.write(ino, *block, &mut metadata);
        }
        metadata.resize(metadata.len().next_multiple_of(BLOCK_SIZE as usize), 0);
        let uuid = filesystem_uuid(files);
        NewSuperblock {
            root_nid: inode::nid(layout.addresses[0]) as u16, // 36
            inodes: inodes.into(),
            blocks: layout.blocks,
            uuid,
        }
        .write(&mut metadata);

        let mut extents = ImageExtents::default();
        extents.push_blocks(ExtentSource::Metadata(0), metadata.len() as u64);
        for place in 0..count {
            if let TreeNodeKind::Directory(children) = &tree.0[place].kind {
                let start = metadata.len();
                let entries = entries(&tree, place, children, |place| {
                    inode::nid(layout.addresses[place])
                });
                directory::write(&entries, &mut metadata);
                let length = (metadata.len() - start) as u64;
                extents.push_blocks(ExtentSource::Metadata(start), length);
            }
        }
        for (index, file) in files.iter().enumerate() {
            extents.push_blocks(ExtentSource::File(index), file.size);
        }
        Ok(Self {
            metadata,
            extents: extents.into_vec(),
            inodes,
            uuid,
        })
    }

    /// What [`ExtentSource::Metadata`] refers to.
    pub fn metadata(&self) -> &[u8] {
        &self.metadata
    }

    /// The pieces of the image in order: the first starts at its byte 0, and each
    /// other where the one before ends.
    pub fn extents(&self) -> &[ImageExtent] {
        &self.extents
    }

    /// Those of the pieces that a range of the image's bytes touches.
    #[expect(
        clippy::indexing_slicing,
        reason = "places in its own tree, which has a root"
    )]
    pub fn extents_in(&self, bytes: Range<u64>) -> &[ImageExtent] {
        let first = self
            .extents
            .partition_point(|extent| extent.end() <= bytes.start);
        let rest = &self.extents[first..];
        let count = rest.partition_point(|extent| extent.offset < bytes.end);
        &rest[..count]
    }

    /// The size of the image in bytes: a multiple of [`BLOCK_SIZE`], below 2^44.
    pub fn bytes(&self) -> u64 {
        self.extents.last().map_or(0, ImageExtent::end)
    }

    /// How many directories and files it has, the root directory included.
    pub fn inodes(&self) -> u32 {
        self.inodes
    }

    /// The UUID of the filesystem.
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }
}

/// So many inodes with so many directory entries, if an image may have those: then there are fewer
/// inodes than entries.
fn checked_inodes(inodes: usize, entries: u64) -> Result<u32, ImagePlanError> {
    match u32::try_from(inodes) {
        Ok(inodes) if entries <= MAX_ENTRIES => Ok(inodes),
        _ => Err(ImagePlanError::TooMany(entries)),
    }
}

/// Where everything goes. Each of the lists has an element for each node of the
/// tree.
struct Layout {
    inodes: Vec<NewInode>,
    /// Of the inodes in bytes of the image.
    addresses: Vec<u64>,
    /// Of the data; 0 where there is none.
    start_blocks: Vec<u32>,
    /// Of the whole image.
    blocks: u32,
}

impl Layout {
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "sizes are added with checks, and what is counted lies in memory"
    )]
    fn new(tree: &DirectoryTree<'_>) -> Result<Self, ImagePlanError> {
        let mut inodes = Vec::with_capacity(tree.0.len());
        for (place, node) in tree.0.iter().enumerate() {
            inodes.push(match &node.kind {
                TreeNodeKind::Directory(children) => NewInode {
                    is_directory: true,
                    size: directory::size(
                        entries(tree, place, children, |_| 0)
                            .iter()
                            .map(|entry| entry.name),
                    ),
                    links: 2 + tree.subdirectories(children) as u32, // fewer than entries
                },
                TreeNodeKind::File(size) => NewInode {
                    is_directory: false,
                    size: *size,
                    links: 1,
                },
            });
        }

        let mut end = SUPERBLOCK_OFFSET + SUPERBLOCK_SIZE as u64;
        let addresses = inodes
            .iter()
            .map(|inode| {
                let address = inode.address(end);
                end = address + inode.len() as u64;
                address
            })
            .collect();

        // First the data of all directories, then that of all files.
        let mut blocks =
            u32::try_from(end.div_ceil(BLOCK_SIZE)).map_err(|_| ImagePlanError::TooLarge)?;
        let mut start_blocks = vec![0; inodes.len()];
        for directories in [true, false] {
            let places = inodes.iter().zip(&mut start_blocks);
            for (inode, start) in places.filter(|(inode, _)| inode.is_directory == directories) {
                if inode.size > 0 {
                    *start = blocks;
                }
                blocks = u32::try_from(inode.size.div_ceil(BLOCK_SIZE))
                    .ok()
                    .and_then(|count| blocks.checked_add(count))
                    .ok_or(ImagePlanError::TooLarge)?;
            }
        }
        Ok(Self {
            inodes,
            addresses,
            start_blocks,
            blocks,
        })
    }
}

/// The entries of a directory in the order of their names, `.` and `..` among
/// them: some characters come before the dot.
#[expect(
    clippy::indexing_slicing,
    reason = "places in its own tree, which has a root"
)]
fn entries<'a>(
    tree: &DirectoryTree<'a>,
    place: usize,
    children: &[usize],
    nid: impl Fn(usize) -> u64,
) -> Vec<NewEntry<'a>> {
    let own = [(place, &b"."[..]), (tree.0[place].parent, b"..")];
    let children = children.iter().map(|child| (*child, tree.0[*child].name));
    let mut entries: Vec<_> = own
        .into_iter()
        .chain(children)
        .map(|(place, name)| NewEntry {
            name,
            nid: nid(place),
            file_type: match tree.0[place].kind {
                TreeNodeKind::Directory(_) => FileType::Directory,
                TreeNodeKind::File(_) => FileType::Regular,
            },
        })
        .collect();
    entries.sort_unstable_by_key(|entry| entry.name);
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_can_be_walked() {
        let most = MAX_ENTRIES as usize;
        assert_eq!(checked_inodes(most - 1, MAX_ENTRIES), Ok(most as u32 - 1));
        let more = MAX_ENTRIES + 1;
        assert_eq!(
            checked_inodes(most, more),
            Err(ImagePlanError::TooMany(more))
        );
    }
}
