//! Files in chunks: a table beside the inode tells where each is.

use std::{error::Error, ops::Range};

use super::ErofsError;

/// The bit of a chunked inode's format that makes the entries of its table 8 bytes long.
const INDEXES: u16 = 0x20;

/// The bit that says that block addresses in it have 48 bits.
const WIDE: u16 = 0x40;

/// The bits that say how many blocks a chunk has, as a power of two.
const BLOCK_BITS: u16 = 0x1f;

/// A stretch of a file's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataExtent {
    /// Where it stands, in bytes of the image; None where it is zeros that stand nowhere.
    pub at: Option<u64>,
    /// How long it is in bytes; never zero.
    pub length: u64,
}

/// The table of a file's chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChunkTable {
    nid: u64,
    /// Where it starts, in bytes of the image.
    start: u64,
    block_size: u64,
    /// The size of a chunk is 2 to the power of this.
    chunk_bits: u32,
    indexes: bool,
    wide: bool,
}

impl ChunkTable {
    /// The table of inode `nid` with this `format`, whose header ends at byte `end`; None where it
    /// fits no image.
    pub(super) fn new(nid: u64, format: u16, end: u64, block_size: u32) -> Option<Self> {
        let indexes = format & INDEXES != 0;
        let chunk_bits = block_size
            .trailing_zeros()
            .checked_add(u32::from(format & BLOCK_BITS))?;
        Some(Self {
            nid,
            start: end.checked_next_multiple_of(if indexes { 8 } else { 4 })?,
            block_size: block_size.into(),
            chunk_bits,
            indexes,
            wide: indexes && format & WIDE != 0,
        })
    }

    /// How many bytes an entry has.
    fn unit(&self) -> u64 {
        if self.indexes { 8 } else { 4 }
    }

    /// Where a range of a file's data is, which has bytes in it and ends within the file. `end` is
    /// the end of the filesystem. `read` is asked for the table once, for as much as the range needs.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "chunk numbers and block addresses have at most 55 and 48 bits, blocks 16"
    )]
    pub(super) fn extents<E: Error + 'static>(
        &self,
        range: &Range<u64>,
        end: u64,
        read: impl FnOnce(&mut [u8], u64) -> Result<(), E>,
    ) -> Result<Vec<DataExtent>, ErofsError<E>> {
        let outside = || ErofsError::Outside(self.nid);
        // Chunks can be larger than any file: then there is one.
        let chunk = |offset: u64| offset.checked_shr(self.chunk_bits).unwrap_or(0);
        let first = chunk(range.start);
        let count = chunk(range.end - 1) - first + 1;
        let at = first
            .checked_mul(self.unit())
            .and_then(|offset| offset.checked_add(self.start))
            .ok_or_else(outside)?;
        let bytes = count.checked_mul(self.unit()).ok_or_else(outside)?;
        at.checked_add(bytes)
            .filter(|table_end| *table_end <= end)
            .ok_or_else(outside)?;
        let mut table = vec![0; bytes as usize];
        read(&mut table, at).map_err(ErofsError::Read)?;

        let mut extents: Vec<DataExtent> = Vec::new();
        let mut offset = range.start;
        for (number, entry) in (first..).zip(table.chunks_exact(self.unit() as usize)) {
            let start = number.checked_shl(self.chunk_bits).unwrap_or(0);
            let next = 1_u64
                .checked_shl(self.chunk_bits)
                .and_then(|size| start.checked_add(size));
            let length = next.unwrap_or(u64::MAX).min(range.end) - offset;
            let at = match self.block(entry)? {
                None => None,
                Some(block) => {
                    let at = (block * self.block_size).checked_add(offset - start);
                    let at = at.filter(|at| at.checked_add(length).is_some_and(|to| to <= end));
                    Some(at.ok_or_else(outside)?)
                }
            };
            push(&mut extents, DataExtent { at, length });
            offset += length;
        }
        Ok(extents)
    }

    /// The block that an entry names; None for a hole.
    fn block<E: Error + 'static>(&self, entry: &[u8]) -> Result<Option<u64>, ErofsError<E>> {
        let (high, low) = match *entry {
            [a, b, c, d] => (0, u32::from_le_bytes([a, b, c, d])),
            [h, i, device, device_high, a, b, c, d] => {
                // The hole that some makers write is all ones, in this field as well.
                let low = u32::from_le_bytes([a, b, c, d]);
                if (device, device_high) != (0, 0) && low != u32::MAX {
                    return Err(ErofsError::OtherDevice(self.nid));
                }
                (u16::from_le_bytes([h, i]), low)
            }
            _ => return Err(ErofsError::Outside(self.nid)),
        };
        let high = if self.wide { high } else { 0 };
        let is_hole = low == u32::MAX && (!self.wide || high == u16::MAX);
        Ok((!is_hole).then_some(u64::from(high) << 32 | u64::from(low)))
    }
}

/// Adds an extent, to the last one where it goes on from there.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "both are within one file and one image"
)]
pub(super) fn push(extents: &mut Vec<DataExtent>, extent: DataExtent) {
    if let Some(last) = extents.last_mut()
        && last.at.map(|at| at + last.length) == extent.at
    {
        last.length += extent.length;
    } else if extent.length > 0 {
        extents.push(extent);
    }
}
