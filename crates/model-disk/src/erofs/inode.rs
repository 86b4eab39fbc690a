//! Inodes, read and written.

use super::{
    chunks::ChunkTable,
    node::{ErofsKind, NodeData},
};
use zerocopy::{
    FromBytes, FromZeros as _, Immutable, IntoBytes, KnownLayout, Unaligned,
    byteorder::little_endian::{U16, U32, U64},
};

/// An inode's number counts units of this many bytes from the start of the
/// metadata: it tells where the inode stands.
pub const INODE_SLOT_SIZE: u64 = 32;

/// The size of a compact inode in bytes.
pub const COMPACT_INODE_SIZE: usize = 32;

/// The size of an extended inode in bytes.
pub const EXTENDED_INODE_SIZE: usize = 64;

/// The bit of an inode's format that makes it an extended one. With no other bit
/// set the data is flat: one run of blocks, nothing beside the inode.
pub const FORMAT_EXTENDED: u16 = 1;

/// The bit of a compact inode's format that says that there is one link to it, and
/// that the high bits of its first block stand in the place of their number. Not
/// of a directory.
const FORMAT_ONE_LINK: u16 = 1 << 4;

/// The file type of a directory, among the bits of a mode.
pub const MODE_DIRECTORY: u16 = 0o040_000;

/// The file type of a regular file, among the bits of a mode.
pub const MODE_REGULAR: u16 = 0o100_000;

/// The file type of a symbolic link, among the bits of a mode.
const MODE_LINK: u16 = 0o120_000;

/// All the bits of a mode that tell the file type.
const MODE_TYPE: u16 = 0o170_000;

/// Flat data whose last, partial block stands right after the inode.
const LAYOUT_INLINE: u16 = 2;

/// A compact inode byte for byte.
#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[allow(missing_docs)] // The names are those of the format.
pub struct CompactInode {
    pub format: U16,
    pub xattr_count: U16,
    pub mode: U16,
    pub links: U16,
    pub size: U32,
    pub mtime: U32,
    pub start_block: U32,
    pub ino: U32,
    pub uid: U16,
    pub gid: U16,
    pub reserved: [u8; 4],
}

/// An extended inode byte for byte.
#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[allow(missing_docs)] // The names are those of the format.
pub struct ExtendedInode {
    pub format: U16,
    pub xattr_count: U16,
    pub mode: U16,
    pub start_block_high: U16,
    pub size: U64,
    pub start_block: U32,
    pub ino: U32,
    pub uid: U32,
    pub gid: U32,
    pub mtime: U64,
    pub mtime_nsec: U32,
    pub links: U32,
    pub reserved2: [u8; 16],
}

#[expect(clippy::disallowed_macros, reason = "known when it is compiled")]
const _: () = assert!(size_of::<CompactInode>() == COMPACT_INODE_SIZE);
#[expect(clippy::disallowed_macros, reason = "known when it is compiled")]
const _: () = assert!(size_of::<ExtendedInode>() == EXTENDED_INODE_SIZE);

/// Data in chunks, whose table stands after the inode. What is the first block otherwise is their
/// format.
const LAYOUT_CHUNKED: u16 = 4;

/// Compressed data, in the older form and in the one that takes less room.
const LAYOUT_COMPRESSED: [u16; 2] = [1, 3];

/// What an inode of either form says of where its data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Inode {
    pub(super) mode: u16,
    layout: u16,
    start_block: u64,
    /// Of the inode and its extended attributes: an inline tail starts after it.
    header_size: u64,
    /// Of the data in bytes.
    pub(super) size: u64,
}

impl Inode {
    /// Whether an inode that starts with these bytes is 64 bytes long, not 32.
    pub(super) fn is_extended(start: &[u8; COMPACT_INODE_SIZE]) -> bool {
        u16::from_le_bytes([start[0], start[1]]) & FORMAT_EXTENDED != 0
    }

    #[expect(
        clippy::arithmetic_side_effects,
        reason = "both are small: attributes have less than 2^19 bytes"
    )]
    pub(super) fn from_compact(bytes: &[u8; COMPACT_INODE_SIZE]) -> Self {
        let raw: &CompactInode = zerocopy::transmute_ref!(bytes);
        let is_directory = raw.mode.get() & MODE_TYPE == MODE_DIRECTORY;
        let one_link = raw.format.get() & FORMAT_ONE_LINK != 0 && !is_directory;
        Self {
            mode: raw.mode.get(),
            layout: layout(raw.format),
            start_block: block_address(raw.start_block, if one_link { raw.links.get() } else { 0 }),
            header_size: COMPACT_INODE_SIZE as u64 + xattr_size(raw.xattr_count),
            size: raw.size.get().into(),
        }
    }

    #[expect(
        clippy::arithmetic_side_effects,
        reason = "both are small: attributes have less than 2^19 bytes"
    )]
    pub(super) fn from_extended(bytes: &[u8; EXTENDED_INODE_SIZE]) -> Self {
        let raw: &ExtendedInode = zerocopy::transmute_ref!(bytes);
        Self {
            mode: raw.mode.get(),
            layout: layout(raw.format),
            start_block: block_address(raw.start_block, raw.start_block_high.get()),
            header_size: EXTENDED_INODE_SIZE as u64 + xattr_size(raw.xattr_count),
            size: raw.size.get(),
        }
    }

    /// What it is.
    pub(super) fn kind(&self) -> ErofsKind {
        match self.mode & MODE_TYPE {
            MODE_REGULAR => ErofsKind::File,
            MODE_DIRECTORY => ErofsKind::Directory,
            MODE_LINK => ErofsKind::Link,
            _ => ErofsKind::Special,
        }
    }

    /// Where the data is, of the inode `nid` at byte `address` of a filesystem that ends at byte
    /// `end`. None where the numbers fit no such filesystem. Devices and the like have no data.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "a block is not empty, and has at most 2^16 bytes"
    )]
    pub(super) fn data(
        &self,
        nid: u64,
        address: u64,
        block_size: u32,
        end: u64,
    ) -> Option<NodeData> {
        if self.size == 0 || self.kind() == ErofsKind::Special {
            return Some(NodeData::Flat([0..0, 0..0]));
        }
        let header_end = address.checked_add(self.header_size)?;
        match self.layout {
            0 | LAYOUT_INLINE => {}
            LAYOUT_CHUNKED => {
                let format = self.start_block as u16;
                let table = ChunkTable::new(nid, format, header_end, block_size)?;
                return Some(NodeData::Chunked(table));
            }
            layout if LAYOUT_COMPRESSED.contains(&layout) => return Some(NodeData::Compressed),
            layout => return Some(NodeData::Unknown(layout)),
        }
        let block_size = u64::from(block_size);
        // The last block, be it a whole one.
        let tail_size = match self.layout {
            LAYOUT_INLINE => (self.size - 1) % block_size + 1,
            _ => 0,
        };
        // Where there are no blocks, their start has no meaning.
        let blocks = match self.size - tail_size {
            0 => 0..0,
            size => {
                let start = self.start_block * block_size;
                start..start.checked_add(size).filter(|to| *to <= end)?
            }
        };
        let tail = match tail_size {
            0 => 0..0,
            size => header_end..header_end.checked_add(size).filter(|to| *to <= end)?,
        };
        // A kernel refuses a tail that lies in two blocks.
        let block = |byte: u64| byte / block_size;
        let is_whole = tail.is_empty() || block(tail.start) == block(tail.end - 1);
        is_whole.then_some(NodeData::Flat([blocks, tail]))
    }
}

/// Bits 1 to 3 of the format.
fn layout(format: U16) -> u16 {
    format.get() >> 1 & 7
}

/// The address of a block: 48 bits.
fn block_address(low: U32, high: u16) -> u64 {
    u64::from(high) << 32 | u64::from(low.get())
}

/// The size of the extended attributes beside an inode, in bytes.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "a 16-bit count that is not zero"
)]
fn xattr_size(count: U16) -> u64 {
    match u64::from(count.get()) {
        0 => 0,
        count => 12 + 4 * (count - 1),
    }
}

/// What an inode of an image says. All else in it is the same in each: mode 0644
/// or 0755, owner and times zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewInode {
    pub(super) is_directory: bool,
    /// Of the data in bytes.
    pub(super) size: u64,
    /// For a file 1, for a directory 2 and one for each directory in it.
    pub(super) links: u32,
}

impl NewInode {
    /// A compact inode suffices for less than 4 GiB and 65,536 links.
    fn is_extended(&self) -> bool {
        u32::try_from(self.size).is_err() || u16::try_from(self.links).is_err()
    }

    /// Where it goes, in bytes, when everything before `end` is taken: a multiple
    /// of its own size, so that none lies across two blocks.
    pub(super) fn address(&self, end: u64) -> u64 {
        end.next_multiple_of(self.len() as u64)
    }

    /// Its size in bytes.
    pub(super) fn len(&self) -> usize {
        if self.is_extended() {
            EXTENDED_INODE_SIZE
        } else {
            COMPACT_INODE_SIZE
        }
    }

    fn mode(&self) -> u16 {
        if self.is_directory {
            MODE_DIRECTORY | 0o755
        } else {
            MODE_REGULAR | 0o644
        }
    }

    /// Writes it to its address, which is at or after the end of `out`, with
    /// zeros before it. `ino` is its place among the inodes, from 1.
    pub(super) fn write(&self, ino: u32, start_block: u32, out: &mut Vec<u8>) {
        out.resize(self.address(out.len() as u64) as usize, 0);
        match (u32::try_from(self.size), u16::try_from(self.links)) {
            (Ok(size), Ok(links)) => {
                let mut raw = CompactInode::new_zeroed();
                raw.mode = self.mode().into();
                raw.links = links.into();
                raw.size = size.into();
                raw.start_block = start_block.into();
                raw.ino = ino.into();
                out.extend_from_slice(raw.as_bytes());
            }
            _ => {
                let mut raw = ExtendedInode::new_zeroed();
                raw.format = FORMAT_EXTENDED.into();
                raw.mode = self.mode().into();
                raw.links = self.links.into();
                raw.size = self.size.into();
                raw.start_block = start_block.into();
                raw.ino = ino.into();
                out.extend_from_slice(raw.as_bytes());
            }
        }
    }
}

/// The number of the inode at an address.
pub(super) fn nid(address: u64) -> u64 {
    address / INODE_SLOT_SIZE
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;

    /// Of flat data in a filesystem without an end.
    fn flat(inode: Inode, address: u64, block_size: u32) -> Option<[Range<u64>; 2]> {
        match inode.data(0, address, block_size, u64::MAX)? {
            NodeData::Flat(data) => Some(data),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn both_forms_tell_where_the_data_is() {
        let mut compact = [0; COMPACT_INODE_SIZE];
        compact[4..6].copy_from_slice(&(MODE_REGULAR | 0o644).to_le_bytes());
        compact[8..12].copy_from_slice(&5000u32.to_le_bytes());
        compact[16..20].copy_from_slice(&7u32.to_le_bytes());
        assert!(!Inode::is_extended(&compact));
        let inode = Inode::from_compact(&compact);
        assert_eq!(inode.kind(), ErofsKind::File);
        let [blocks, tail] = flat(inode, 1152, 4096).unwrap();
        assert_eq!((blocks, tail), (28672..33672, 0..0));
        assert_eq!(inode.data(0, 1152, 4096, 33671), None);

        let mut extended = [0; EXTENDED_INODE_SIZE];
        extended[..2].copy_from_slice(&(LAYOUT_INLINE << 1 | FORMAT_EXTENDED).to_le_bytes());
        extended[2] = 2; // 16 bytes of attributes
        extended[4..6].copy_from_slice(&(MODE_DIRECTORY | 0o755).to_le_bytes());
        extended[8..16].copy_from_slice(&(5u64 << 32 | 8).to_le_bytes());
        assert!(Inode::is_extended(&extended[..32].try_into().unwrap()));
        let inode = Inode::from_extended(&extended);
        assert_eq!(inode.kind(), ErofsKind::Directory);
        let [blocks, tail] = flat(inode, 1152, 4096).unwrap();
        assert_eq!((blocks, tail), (0..5 << 32, 1232..1240));
    }

    /// Where a number of links can stand, the high bits of the first block do only where the format
    /// says so.
    #[test]
    fn addresses_of_48_bits() {
        let mut compact = [0; COMPACT_INODE_SIZE];
        compact[6] = 3;
        compact[8] = 1;
        compact[16] = 7;
        for (mode, format, block) in [
            (MODE_REGULAR, 0, 7),
            (MODE_DIRECTORY, FORMAT_ONE_LINK, 7),
            (MODE_REGULAR, FORMAT_ONE_LINK, 3 << 32 | 7),
        ] {
            compact[..2].copy_from_slice(&format.to_le_bytes());
            compact[4..6].copy_from_slice(&mode.to_le_bytes());
            let [blocks, _] = flat(Inode::from_compact(&compact), 0, 512).unwrap();
            assert_eq!(blocks.start, block * 512, "{mode:o} {format}");
        }
        let mut extended = [0; EXTENDED_INODE_SIZE];
        extended[..17]
            .copy_from_slice(&[1, 0, 0, 0, 0, 0x40, 0xff, 0xff, 1, 0, 0, 0, 0, 0, 0, 0, 9]);
        let inode = Inode::from_extended(&extended);
        let [blocks, _] = flat(inode, 0, 65536).unwrap();
        assert_eq!(blocks.start, (0xffff << 32 | 9) << 16);
        // It would end beyond what 64 bits hold.
        extended[16..20].fill(0xff);
        extended[10] = 1;
        assert_eq!(flat(Inode::from_extended(&extended), 0, 65536), None);
    }

    #[test]
    fn other_layouts_and_impossible_sizes() {
        let mut raw = [0xff; EXTENDED_INODE_SIZE];
        raw[5] = 0x80;
        let data =
            |raw: &[u8; EXTENDED_INODE_SIZE]| Inode::from_extended(raw).data(7, 0, 4096, u64::MAX);
        assert_eq!(data(&raw), Some(NodeData::Unknown(7)));
        raw[..5].copy_from_slice(&[1, 0, 0, 0, 0]);
        assert_eq!(data(&raw), None);
        for layout in LAYOUT_COMPRESSED {
            raw[0] = (layout << 1 | FORMAT_EXTENDED) as u8;
            assert_eq!(data(&raw), Some(NodeData::Compressed));
        }
    }

    /// As the kernel takes it: the last block is beside the inode, and in one block with it.
    #[test]
    fn a_tail_that_is_a_whole_block_or_lies_in_two() {
        let inode = |size| Inode {
            mode: MODE_REGULAR,
            layout: LAYOUT_INLINE,
            start_block: 1,
            header_size: 32,
            size,
        };
        let tail = |size, address| flat(inode(size), address, 512).map(|[_, tail]| tail);
        assert_eq!(tail(480, 1024), Some(1056..1536));
        assert_eq!(tail(481, 1024), None);
        assert_eq!(tail(992, 1024), Some(1056..1536));
        assert_eq!(tail(512, 1024), None);
        assert_eq!(tail(512, 992), Some(1024..1536));
    }

    fn written(inode: NewInode, before: usize) -> Vec<u8> {
        let mut out = vec![0xee; before];
        inode.write(0x0102_0304, 0x0506_0708, &mut out);
        out.split_off(before)
    }

    #[test]
    fn compact_where_it_suffices() {
        let file = NewInode {
            is_directory: false,
            size: u32::MAX.into(),
            links: 65535,
        };
        let expected = [
            &[0, 0, 0, 0, 0o244, 0o201, 255, 255][..],
            &[255, 255, 255, 255, 0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1],
            &[0; 8],
        ];
        assert_eq!(written(file, 1184), expected.concat());
        assert_eq!(file.address(1184), 1184);
    }

    #[test]
    fn extended_where_it_does_not() {
        let large = NewInode {
            is_directory: false,
            size: 1 << 32,
            links: 1,
        };
        let expected = [
            &[0; 32][..], // to the next multiple of 64
            &[1, 0, 0, 0, 0o244, 0o201, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0],
            &[8, 7, 6, 5, 4, 3, 2, 1],
            &[0; 20],
            &[1, 0, 0, 0],
            &[0; 16],
        ];
        assert_eq!(written(large, 1184), expected.concat());
        assert_eq!(large.address(1184), 1216);
        assert_eq!(large.address(1216), 1216);

        let many = NewInode {
            is_directory: true,
            size: 40,
            links: 65536,
        };
        let bytes = written(many, 64);
        assert_eq!(
            bytes[..16],
            [1, 0, 0, 0, 0o355, 0o101, 0, 0, 40, 0, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(bytes[44..48], [0, 0, 1, 0]);
    }
}
