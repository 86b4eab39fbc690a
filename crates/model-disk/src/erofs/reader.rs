//! An image and how to read it: what the walk and the view share.

use std::{error::Error, ops::Range};

use super::{
    COMPACT_INODE_SIZE, DIRENT_SIZE, EXTENDED_INODE_SIZE, ErofsError, ErofsNode, ErofsSuperblock,
    INODE_SLOT_SIZE, SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE,
    directory::{self, BadBlock},
    inode::Inode,
};

/// A function that fills a buffer from a byte offset of an image.
pub trait ReadImage<E>: FnMut(&mut [u8], u64) -> Result<(), E> {}

impl<E, R: FnMut(&mut [u8], u64) -> Result<(), E>> ReadImage<E> for R {}

/// An image, and a function that fills a buffer from a byte offset of it.
pub(super) struct ImageReader<R> {
    pub(super) read: R,
    pub(super) superblock: ErofsSuperblock,
}

impl<E: Error + 'static, R: FnMut(&mut [u8], u64) -> Result<(), E>> ImageReader<R> {
    pub(super) fn open(mut read: R) -> Result<Self, ErofsError<E>> {
        let mut raw = [0; SUPERBLOCK_SIZE];
        read(&mut raw, SUPERBLOCK_OFFSET).map_err(ErofsError::Read)?;
        let superblock = ErofsSuperblock::parse(&raw)?;
        Ok(Self { read, superblock })
    }

    /// Reads the inode of a number.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "the product of two 32-bit numbers fits, and the address is before the end"
    )]
    pub(super) fn find(&mut self, nid: u64) -> Result<ErofsNode, ErofsError<E>> {
        let outside = || ErofsError::Outside(nid);
        let block_size = self.superblock.block_size;
        let end = self.superblock.bytes();
        let start = u64::from(self.superblock.meta_block) * u64::from(block_size);
        let address = nid
            .checked_mul(INODE_SLOT_SIZE)
            .and_then(|offset| offset.checked_add(start));
        let Some(address) = address.filter(|address| *address < end) else {
            return Err(outside());
        };

        let mut compact = [0; COMPACT_INODE_SIZE];
        if end - address < compact.len() as u64 {
            return Err(outside());
        }
        (self.read)(&mut compact, address).map_err(ErofsError::Read)?;
        let inode = if Inode::is_extended(&compact) {
            let mut extended = [0; EXTENDED_INODE_SIZE];
            if end - address < extended.len() as u64 {
                return Err(outside());
            }
            (self.read)(&mut extended, address).map_err(ErofsError::Read)?;
            Inode::from_extended(&extended)
        } else {
            Inode::from_compact(&compact)
        };
        let data = inode.data(nid, address, block_size, end);
        let data = data.ok_or_else(outside)?;
        Ok(ErofsNode { nid, inode, data })
    }

    /// The next entry of a directory: the number of its inode, and its name, which goes into `name`;
    /// `.` and `..` are among them.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "a directory's data lies within the image, and its blocks have few entries"
    )]
    pub(super) fn next_entry(
        &mut self,
        place: &mut DirectoryPlace,
        block: &mut DirectoryBlock,
        name: &mut Vec<u8>,
    ) -> Result<Option<u64>, ErofsError<E>> {
        let block_size = self.superblock.block_size;
        while let Some(range) = place.block(block_size) {
            block.fill(range, &mut self.read)?;
            let entry = directory::entry(&block.bytes, place.entry)
                .map_err(|BadBlock| ErofsError::DirectoryBlock(place.nid))?;
            let Some((nid, found)) = entry else {
                place.offset += u64::from(block_size);
                place.entry = 0;
                continue;
            };
            place.entry += 1;
            name.clear();
            name.extend_from_slice(found);
            return Ok(Some(nid));
        }
        Ok(None)
    }
}

/// A block of a directory, in memory: the only one that is.
#[derive(Default)]
pub(super) struct DirectoryBlock {
    bytes: Vec<u8>,
    at: Range<u64>,
}

impl DirectoryBlock {
    /// Reads a range of the image, which is no larger than a block, unless that is here already.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "a range does not end before its start"
    )]
    fn fill<E: Error + 'static>(
        &mut self,
        range: Range<u64>,
        read: &mut impl FnMut(&mut [u8], u64) -> Result<(), E>,
    ) -> Result<(), ErofsError<E>> {
        if self.at != range {
            // Where reading fails, nothing is here.
            self.at = 0..0;
            self.bytes.resize((range.end - range.start) as usize, 0);
            read(&mut self.bytes, range.start).map_err(ErofsError::Read)?;
            self.at = range;
        }
        Ok(())
    }
}

/// A place among the entries of a directory.
pub(super) struct DirectoryPlace {
    nid: u64,
    /// In bytes.
    size: u64,
    data: [Range<u64>; 2],
    /// Of the block in the directory's data, in bytes.
    offset: u64,
    /// The number of the next entry in that block.
    entry: usize,
}

impl DirectoryPlace {
    /// Before the first entry.
    pub(super) fn start<E: Error + 'static>(directory: &ErofsNode) -> Result<Self, ErofsError<E>> {
        let data = directory
            .flat_data()
            .filter(|_| directory.is_directory())
            .ok_or(ErofsError::Directory(directory.nid))?;
        Ok(Self {
            nid: directory.nid,
            size: directory.size(),
            data: data.clone(),
            offset: 0,
            entry: 0,
        })
    }

    /// How many blocks it has.
    pub(super) fn blocks(&self, block_size: u32) -> u64 {
        self.size.div_ceil(block_size.into())
    }

    /// Moves before the first entry of a block, which is one of its own.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "a directory's data lies within the image"
    )]
    pub(super) fn move_to(&mut self, block: u64, block_size: u32) {
        self.offset = block * u64::from(block_size);
        self.entry = 0;
    }

    /// Moves to a place that [`DirectoryPlace::position`] has told. Any other is one too, if only the
    /// directory's end.
    pub(super) fn move_to_position(&mut self, position: u64, block_size: u32) {
        let within = position.checked_rem(block_size.into()).unwrap_or_default();
        self.offset = position.saturating_sub(within);
        self.entry = within as usize / DIRENT_SIZE;
    }

    /// Where the next entry stands in the directory's data, in bytes. Names are not empty, so that it
    /// is in the same block as the one before, also after the last.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "a directory's data lies within the image, and its blocks have few entries"
    )]
    pub(super) fn position(&self) -> u64 {
        self.offset + (self.entry * DIRENT_SIZE) as u64
    }

    /// Whether the next entry is in another block than the first that follows
    /// [`DirectoryPlace::move_to`] to this block.
    pub(super) fn is_beyond(&self, block: u64, block_size: u32) -> bool {
        self.offset.checked_div(block_size.into()) != Some(block)
    }

    /// The bytes of the image that hold the current block, if there is one left.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "a directory's data lies within the image"
    )]
    fn block(&self, block_size: u32) -> Option<Range<u64>> {
        if self.offset >= self.size {
            return None;
        }
        let [blocks, tail] = &self.data;
        let start = blocks.start + self.offset;
        if start < blocks.end {
            Some(start..blocks.end.min(start + u64::from(block_size)))
        } else {
            Some(tail.clone())
        }
    }
}
