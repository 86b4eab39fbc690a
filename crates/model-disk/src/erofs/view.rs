//! A view of an image: names looked up, directories listed, files read.

use std::ops::Range;

use zerocopy::FromBytes as _;

use super::{
    DataExtent, ErofsError, ErofsFeature, ErofsKind, ErofsNode, ErofsSuperblock, MAX_LINK_SIZE,
    RawErofsSuperblock, SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE, Walk, chunks,
    node::NodeData,
    reader::{DirectoryBlock, DirectoryPlace, ImageReader, ReadImage},
};
use crate::ReadAt;

/// An EROFS image that is read by names.
///
/// Where its bytes come from, and whether they may be believed, is the caller's: a [`ReadAt`]. The
/// image may be hostile all the same. What is read for an answer and into how much memory is bounded:
/// by a block of a directory, by the longest target of a link, by what the caller asks to read.
///
/// Compressed files are listed, and are refused when they are read. Others are read as a kernel
/// reads them.
#[derive(Debug)]
pub struct ErofsView<D> {
    image: D,
    superblock: ErofsSuperblock,
}

impl<D: ReadAt> ErofsView<D> {
    /// Reads the superblock. What is not understood in it is refused.
    pub fn open(image: D) -> Result<Self, ErofsError<D::Error>> {
        let bytes = image.bytes();
        let start_end = SUPERBLOCK_OFFSET.saturating_add(SUPERBLOCK_SIZE as u64);
        if bytes < start_end {
            let end = start_end;
            return Err(ErofsError::CutShort { end, bytes });
        }
        let mut raw = [0; SUPERBLOCK_SIZE];
        let read = image.read_exact_at(&mut raw, SUPERBLOCK_OFFSET);
        read.map_err(ErofsError::Read)?;
        let superblock = ErofsSuperblock::parse(&raw)?;
        let fields = RawErofsSuperblock::ref_from_bytes(&raw);
        if let Some(feature) = fields.ok().and_then(ErofsFeature::unread) {
            return Err(ErofsError::Feature(feature));
        }
        let end = superblock.bytes();
        if end > bytes {
            return Err(ErofsError::CutShort { end, bytes });
        }
        Ok(Self { image, superblock })
    }

    /// What the image is read from.
    pub fn image(&self) -> &D {
        &self.image
    }

    fn reader(&self) -> ImageReader<impl ReadImage<D::Error> + use<'_, D>> {
        ImageReader {
            read: |buffer: &mut [u8], offset| self.image.read_exact_at(buffer, offset),
            superblock: self.superblock,
        }
    }

    /// The directory that all is in.
    pub fn root(&self) -> Result<ErofsNode, ErofsError<D::Error>> {
        self.node(self.superblock.root_nid)
    }

    /// What has the inode of this number.
    pub fn node(&self, nid: u64) -> Result<ErofsNode, ErofsError<D::Error>> {
        self.reader().find(nid)
    }

    /// What these names lead to from the root directory; none where there is no such thing. Links
    /// are not followed.
    pub fn find<'a>(
        &self,
        names: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Option<ErofsNode>, ErofsError<D::Error>> {
        let mut node = self.root()?;
        for name in names {
            if !node.is_directory() {
                return Ok(None);
            }
            match self.lookup(&node, name)? {
                Some(found) => node = found,
                None => return Ok(None),
            }
        }
        Ok(Some(node))
    }

    /// What a directory has by this name. As in a kernel, a name is found only where it stands in
    /// its order.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "both are numbers of blocks of one directory"
    )]
    pub fn lookup(
        &self,
        directory: &ErofsNode,
        name: &[u8],
    ) -> Result<Option<ErofsNode>, ErofsError<D::Error>> {
        let block_size = self.superblock.block_size;
        let mut reader = self.reader();
        let mut place = DirectoryPlace::start(directory)?;
        let (mut block, mut found) = (DirectoryBlock::default(), Vec::new());
        // The last block whose first name is not after this one.
        let (mut low, mut high) = (0, place.blocks(block_size));
        while low < high {
            let middle = low + (high - low) / 2;
            place.move_to(middle, block_size);
            let first = reader.next_entry(&mut place, &mut block, &mut found)?;
            if first.is_some() && *found <= *name {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let Some(number) = low.checked_sub(1) else {
            return Ok(None);
        };
        place.move_to(number, block_size);
        while let Some(nid) = reader.next_entry(&mut place, &mut block, &mut found)? {
            if place.is_beyond(number, block_size) {
                break;
            }
            if *found == *name {
                return reader.find(nid).map(Some);
            }
        }
        Ok(None)
    }

    /// Lists a directory.
    pub fn entries(
        &self,
        directory: &ErofsNode,
    ) -> Result<ErofsEntries<'_, D>, ErofsError<D::Error>> {
        Ok(ErofsEntries {
            view: self,
            place: DirectoryPlace::start(directory)?,
            block: DirectoryBlock::default(),
            name: Vec::new(),
        })
    }

    /// Lists the rest of a directory, from a [position](ErofsEntries::position) on.
    pub fn entries_from(
        &self,
        directory: &ErofsNode,
        position: u64,
    ) -> Result<ErofsEntries<'_, D>, ErofsError<D::Error>> {
        let mut entries = self.entries(directory)?;
        let block_size = self.superblock.block_size;
        entries.place.move_to_position(position, block_size);
        Ok(entries)
    }

    /// Starts a walk over a node, whose own path is empty, and all that is below it.
    pub fn walk(&self, node: ErofsNode) -> Walk<impl ReadImage<D::Error> + use<'_, D>> {
        Walk::below(self.reader(), node)
    }

    /// Where a range of a node's data is, as far as the node has it. For a chunked file the part of
    /// its table that is about the range is read into memory: a 64th of the range at most.
    pub fn extents(
        &self,
        node: &ErofsNode,
        range: Range<u64>,
    ) -> Result<Vec<DataExtent>, ErofsError<D::Error>> {
        let range = range.start..range.end.min(node.size());
        if range.is_empty() || node.kind() == ErofsKind::Special {
            return Ok(Vec::new());
        }
        match &node.data {
            NodeData::Flat(data) => Ok(flat_extents(data, &range)),
            NodeData::Chunked(table) => table.extents(
                &range,
                self.superblock.bytes(),
                |buffer: &mut [u8], offset| self.image.read_exact_at(buffer, offset),
            ),
            NodeData::Compressed => Err(ErofsError::Compressed(node.nid)),
            NodeData::Unknown(layout) => Err(ErofsError::Layout {
                nid: node.nid,
                layout: *layout,
            }),
        }
    }

    /// Reads a node's data from byte `offset` on: as much as the buffer takes, or up to the end. How
    /// much that was.
    ///
    /// After an error some of the buffer may have been filled, with bytes of the image alone.
    pub fn read(
        &self,
        node: &ErofsNode,
        buffer: &mut [u8],
        offset: u64,
    ) -> Result<usize, ErofsError<D::Error>> {
        let end = offset.saturating_add(buffer.len() as u64);
        let mut rest = &mut *buffer;
        let mut read: usize = 0;
        for extent in self.extents(node, offset..end)? {
            let length = extent.length as usize;
            // The extents are those of a range as long as the buffer.
            let Some((now, later)) = rest.split_at_mut_checked(length) else {
                break;
            };
            match extent.at {
                Some(at) => self
                    .image
                    .read_exact_at(now, at)
                    .map_err(ErofsError::Read)?,
                None => now.fill(0),
            }
            read = read.saturating_add(length);
            rest = later;
        }
        Ok(read)
    }

    /// The target of a symbolic link: a path of 1 to [`MAX_LINK_SIZE`] bytes without a NUL.
    pub fn link_target(&self, link: &ErofsNode) -> Result<Vec<u8>, ErofsError<D::Error>> {
        let no_link = || ErofsError::Link(link.nid);
        let is_path = (1..=MAX_LINK_SIZE).contains(&link.size());
        if link.kind() != ErofsKind::Link || !is_path {
            return Err(no_link());
        }
        let mut target = vec![0; link.size() as usize];
        self.read(link, &mut target, 0)?;
        if target.contains(&0) {
            return Err(no_link());
        }
        Ok(target)
    }
}

/// Those of two pieces, one after the other, that a range of both together touches.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "within a file that is as long as both pieces"
)]
fn flat_extents(data: &[Range<u64>; 2], range: &Range<u64>) -> Vec<DataExtent> {
    let mut extents = Vec::new();
    let mut start = 0;
    for piece in data {
        let end = start + (piece.end - piece.start);
        let (from, to) = (range.start.max(start), range.end.min(end));
        if from < to {
            chunks::push(
                &mut extents,
                DataExtent {
                    at: Some(piece.start + (from - start)),
                    length: to - from,
                },
            );
        }
        start = end;
    }
    extents
}

/// The entries of a directory, one after the other.
pub struct ErofsEntries<'a, D> {
    view: &'a ErofsView<D>,
    place: DirectoryPlace,
    block: DirectoryBlock,
    name: Vec<u8>,
}

/// An entry of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErofsEntry<'a> {
    /// Its name: 1 to 255 bytes, no slash and no NUL among them, and neither `.` nor `..`. Escape it
    /// before it is shown.
    pub name: &'a [u8],
    /// The number of its inode.
    pub nid: u64,
}

impl<D: ReadAt> ErofsEntries<'_, D> {
    /// Where the next entry is, for whoever goes on later. It is 0 before the first one alone.
    pub fn position(&self) -> u64 {
        self.place.position()
    }

    /// The next one; none when all have been told. `.` and `..` are left out.
    pub fn next_entry(&mut self) -> Result<Option<ErofsEntry<'_>>, ErofsError<D::Error>> {
        let mut reader = self.view.reader();
        loop {
            let (place, block) = (&mut self.place, &mut self.block);
            match reader.next_entry(place, block, &mut self.name)? {
                None => return Ok(None),
                Some(_) if self.name == b"." || self.name == b".." => {}
                Some(nid) => {
                    let name = &self.name;
                    return Ok(Some(ErofsEntry { name, nid }));
                }
            }
        }
    }
}
