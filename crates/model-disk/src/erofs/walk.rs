//! A walk over the tree of an image, to tell whose a byte of it is.

use std::{io, ops::Range};

use super::{
    COMPACT_INODE_SIZE, EXTENDED_INODE_SIZE, ErofsSuperblock, ErofsSuperblockError,
    INODE_SLOT_SIZE, SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE,
    directory::{self, BadBlock},
    inode::Inode,
};

/// How many directory entries, `.` and `..` among them, an image may have. Beyond
/// them a walk gives up, and no disk is made: more than in any model, and still
/// minutes at most on an image that was made to waste time.
pub const MAX_ENTRIES: u64 = 1 << 24;

/// The same for directories in directories: no longer path can be given to a
/// system call, so no file has one that could be opened.
const MAX_PATH_SIZE: usize = 4095;

/// How many paths of one range of bytes are told. That many files in one block
/// are there only to fill memory.
const MAX_PATHS: usize = 256;

/// A file, directory or symbolic link of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalkEntry<'a> {
    /// Its path from the root directory, which itself is empty. Any bytes but
    /// NUL: escape them before they are shown.
    pub path: &'a [u8],
    /// Whether it is a directory.
    pub is_directory: bool,
    /// The size of its data in bytes.
    pub size: u64,
    /// Where its data stands, in bytes of the image: the run of blocks, then the
    /// tail beside the inode. Either may be empty, and both are where the data's
    /// place is not known: in compressed and chunked files.
    pub data: [Range<u64>; 2],
}

/// Why a walk ended early.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// Reading the image failed.
    #[error("the EROFS image cannot be read")]
    Read(#[from] io::Error),
    /// It has no superblock.
    #[error(transparent)]
    ErofsSuperblock(#[from] ErofsSuperblockError),
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
}

/// Visits everything in an image, each directory before what is in it, in the
/// order of the directories' entries.
///
/// `read` fills a buffer from a byte offset of the image. The image may be
/// hostile or damaged: what is read, how often, how deep and into how much memory
/// is bounded, and what was visited before an error was there.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "directories lie within the image, and entries are counted up to a limit"
)]
pub fn walk(
    read: impl FnMut(&mut [u8], u64) -> io::Result<()>,
    mut visit: impl FnMut(WalkEntry<'_>),
) -> Result<(), WalkError> {
    let mut image = ImageReader::open(read)?;
    let block_size = image.superblock.block_size;
    let root = image.find(image.superblock.root_nid.into())?;
    let mut path = Vec::new();
    visit(root.node(&path));
    let mut stack = vec![DirectoryFrame::enter(root, 0)?];
    // Only the block in use is kept, so a directory's is read again after what
    // lies below it.
    let mut block = Vec::new();
    let mut block_at = 0..0;
    let mut entries = 0;

    while let Some(frame) = stack.last_mut() {
        path.truncate(frame.path_size);
        let Some(range) = frame.block(block_size) else {
            stack.pop();
            continue;
        };
        if block_at != range {
            block.resize((range.end - range.start) as usize, 0);
            (image.read)(&mut block, range.start)?;
            block_at = range;
        }
        let entry = directory::entry(&block, frame.entry)
            .map_err(|BadBlock| WalkError::DirectoryBlock(frame.directory.nid))?;
        let Some((nid, name)) = entry else {
            frame.offset += u64::from(block_size);
            frame.entry = 0;
            continue;
        };
        frame.entry += 1;
        entries += 1;
        if entries > MAX_ENTRIES {
            return Err(WalkError::TooManyEntries);
        }
        if name == b"." || name == b".." {
            continue;
        }
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        if path.len() > MAX_PATH_SIZE {
            return Err(WalkError::TooDeep);
        }
        let found = image.find(nid)?;
        visit(found.node(&path));
        if found.inode.is_directory() {
            stack.push(DirectoryFrame::enter(found, path.len())?);
        }
    }
    Ok(())
}

/// The paths of the files and directories with data in a range of an image's
/// bytes: the first 256, where there are more. None of them means that the range
/// holds inodes, padding, or what lies after the filesystem.
pub fn paths_in(
    read: impl FnMut(&mut [u8], u64) -> io::Result<()>,
    bytes: Range<u64>,
) -> Result<Vec<Vec<u8>>, WalkError> {
    let mut paths = Vec::new();
    let overlaps = |data: &Range<u64>| data.start.max(bytes.start) < data.end.min(bytes.end);
    walk(read, |node| {
        if paths.len() < MAX_PATHS && node.data.iter().any(overlaps) {
            paths.push(node.path.to_vec());
        }
    })?;
    Ok(paths)
}

/// An image and how to read it.
struct ImageReader<R> {
    read: R,
    superblock: ErofsSuperblock,
}

impl<R: FnMut(&mut [u8], u64) -> io::Result<()>> ImageReader<R> {
    fn open(mut read: R) -> Result<Self, WalkError> {
        let mut raw = [0; SUPERBLOCK_SIZE];
        read(&mut raw, SUPERBLOCK_OFFSET)?;
        let superblock = ErofsSuperblock::parse(&raw)?;
        Ok(Self { read, superblock })
    }

    /// Reads the inode of a number.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "the product of two 32-bit numbers fits, and the address is before the end"
    )]
    fn find(&mut self, nid: u64) -> Result<LocatedInode, WalkError> {
        let outside = WalkError::Outside(nid);
        let block_size = self.superblock.block_size;
        let end = self.superblock.bytes();
        let start = u64::from(self.superblock.meta_block) * u64::from(block_size);
        let address = nid
            .checked_mul(INODE_SLOT_SIZE)
            .and_then(|offset| offset.checked_add(start));
        let Some(address) = address.filter(|address| *address < end) else {
            return Err(outside);
        };

        let mut compact = [0; COMPACT_INODE_SIZE];
        if end - address < compact.len() as u64 {
            return Err(outside);
        }
        (self.read)(&mut compact, address)?;
        let inode = if Inode::is_extended(&compact) {
            let mut extended = [0; EXTENDED_INODE_SIZE];
            if end - address < extended.len() as u64 {
                return Err(outside);
            }
            (self.read)(&mut extended, address)?;
            Inode::from_extended(&extended)
        } else {
            Inode::from_compact(&compact)
        };

        let data = if inode.is_flat() {
            inode.data(address, block_size)
        } else {
            Some([0..0, 0..0])
        };
        match data {
            Some(data) if data.iter().all(|data| data.is_empty() || data.end <= end) => {
                Ok(LocatedInode { nid, inode, data })
            }
            _ => Err(outside),
        }
    }
}

/// An inode, where it was found, and its data within the filesystem.
struct LocatedInode {
    nid: u64,
    inode: Inode,
    data: [Range<u64>; 2],
}

impl LocatedInode {
    fn node<'a>(&self, path: &'a [u8]) -> WalkEntry<'a> {
        WalkEntry {
            path,
            is_directory: self.inode.is_directory(),
            size: self.inode.size,
            data: self.data.clone(),
        }
    }
}

/// A directory on the way down to where the walk is, and the place in it.
struct DirectoryFrame {
    directory: LocatedInode,
    path_size: usize,
    /// Of the block in the directory's data, in bytes.
    offset: u64,
    /// The number of the next entry in that block.
    entry: usize,
}

impl DirectoryFrame {
    fn enter(directory: LocatedInode, path_size: usize) -> Result<Self, WalkError> {
        if !directory.inode.is_directory() || !directory.inode.is_flat() {
            return Err(WalkError::Directory(directory.nid));
        }
        Ok(Self {
            directory,
            path_size,
            offset: 0,
            entry: 0,
        })
    }

    /// The bytes of the image that hold the current block, if there is one left.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "a directory's data lies within the image"
    )]
    fn block(&self, block_size: u32) -> Option<Range<u64>> {
        if self.offset >= self.directory.inode.size {
            return None;
        }
        let [blocks, tail] = &self.directory.data;
        let start = blocks.start + self.offset;
        if start < blocks.end {
            Some(start..blocks.end.min(start + u64::from(block_size)))
        } else {
            Some(tail.clone())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::erofs::{DIRENT_SIZE, MODE_DIRECTORY, MODE_REGULAR};

    const BLOCK: usize = 512;

    /// The inode of the number `place` stands at the start of block 4 + `place` / 16; the data
    /// of a directory with this number is block 20 + `place` / 16.
    struct Crafted(Vec<u8>);

    impl Crafted {
        fn new() -> Self {
            let mut image = vec![0; 40 * BLOCK];
            image[1024..1028].copy_from_slice(&crate::erofs::MAGIC.to_le_bytes());
            image[1036] = 9;
            image[1060] = 40;
            image[1064] = 4;
            Self(image)
        }

        fn inode(&mut self, place: usize, mode: u16) {
            let at = 4 * BLOCK + place * 32;
            self.0[at + 4..at + 6].copy_from_slice(&mode.to_le_bytes());
            self.0[at + 8..at + 12].copy_from_slice(&(BLOCK as u32).to_le_bytes());
            self.0[at + 16] = 20 + place as u8 / 16;
        }

        fn directory(&mut self, place: usize, entries: &[(&str, usize)]) {
            self.inode(place, MODE_DIRECTORY);
            let block = &mut self.0[(20 + place / 16) * BLOCK..][..BLOCK];
            let mut end = entries.len() * DIRENT_SIZE;
            for (index, (name, nid)) in entries.iter().enumerate() {
                let entry = &mut block[index * DIRENT_SIZE..];
                entry[0] = *nid as u8;
                entry[8..10].copy_from_slice(&(end as u16).to_le_bytes());
                block[end..end + name.len()].copy_from_slice(name.as_bytes());
                end += name.len();
            }
        }

        fn read(&self) -> impl FnMut(&mut [u8], u64) -> io::Result<()> {
            |buffer, offset| {
                let bytes = self.0.get(offset as usize..).unwrap_or_default();
                let bytes = bytes.get(..buffer.len());
                buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
        }
    }

    /// A directory in itself, by the longest name: without a limit on the path, 2048 of them
    /// would take 535 MB.
    #[test]
    fn a_loop_of_long_names_takes_little_memory() {
        let mut image = Crafted::new();
        image.directory(0, &[(&"n".repeat(255), 0)]);
        let mut longest = 0;
        let result = walk(image.read(), |node| longest = longest.max(node.path.len()));
        assert!(matches!(result, Err(WalkError::TooDeep)), "{result:?}");
        assert_eq!(longest, 15 * 256 + 255);
    }

    /// One file by 20^4 paths: an image of a few blocks.
    #[test]
    fn many_paths_of_one_file_take_little_memory() {
        let mut image = Crafted::new();
        let names: Vec<String> = (b'a'..b'u')
            .map(|byte| char::from(byte).to_string())
            .collect();
        for level in 0..4 {
            let entries: Vec<_> = names
                .iter()
                .map(|name| (&**name, 16 * (level + 1)))
                .collect();
            image.directory(16 * level, &entries);
        }
        image.inode(64, MODE_REGULAR);
        let mut files = 0;
        walk(image.read(), |node| {
            files += usize::from(node.path.len() == 7)
        })
        .unwrap();
        assert_eq!(files, 20 * 20 * 20 * 20);
        let paths = paths_in(image.read(), 24 * 512..25 * 512).unwrap();
        assert_eq!(paths.len(), MAX_PATHS);
        assert_eq!(paths[..2], [b"a/a/a/a", b"a/a/a/b"]);
    }
}
