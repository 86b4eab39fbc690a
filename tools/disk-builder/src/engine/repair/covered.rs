//! What FEC covers, and its parity, read from a disk.

use std::ops::Range;

use dm_verity::{
    BlockHasher, TreeLayout,
    fec::{FecArea, FecDecoder, FecLayout, FecRow},
};
use model_disk::AlignedBuffer;

use super::{
    super::{HashBlock, Source, SourceError, TreeParts},
    read,
};

/// A disk with an FEC area, open.
#[derive(Clone, Copy)]
pub struct CoveredDisk<'a> {
    /// Its tree and the data under it.
    pub tree: TreeParts<'a>,
    /// What the area covers.
    pub layout: FecLayout,
    /// Where it is.
    pub area: FecArea,
    /// What has it.
    pub parity: &'a dyn Source,
}

/// Where a block of the covered sequence stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoveredPlace {
    /// At this byte of what has the data.
    Data(u64),
    /// At this byte of what has the tree.
    Hashes(u64),
}

/// A row that has been read.
pub(super) struct ReadRow<'d> {
    /// Its number.
    pub(super) number: u64,
    /// The sum of all that could be read.
    pub(super) sums: FecRow<'d>,
    /// The columns that could not.
    pub(super) unread: Vec<usize>,
    /// Its parity; none where it could not be read.
    pub(super) parity: Option<Vec<u8>>,
}

impl CoveredDisk<'_> {
    /// The columns of a row that have blocks, with these.
    pub(super) fn blocks_of(&self, row: u64) -> impl Iterator<Item = (usize, u64)> {
        let columns = 0..self.layout.columns();
        columns.map_while(move |column| Some((column, self.layout.block_at(row, column)?)))
    }

    /// Where a block of the covered sequence stands.
    pub(super) fn place(&self, block: u64) -> CoveredPlace {
        match block.checked_sub(self.layout.data_blocks()) {
            None => CoveredPlace::Data(block * self.layout.block_size().bytes()),
            Some(hash_block) => CoveredPlace::Hashes(self.tree.area.block_offset(hash_block)),
        }
    }

    /// A hash block of the tree, by its number in the covered sequence; none of any other block.
    pub(super) fn hash_block(&self, block: u64) -> Option<HashBlock> {
        let in_tree = block.checked_sub(self.layout.data_blocks())?;
        let layout = TreeLayout::new(self.tree.params);
        let levels = layout.levels().iter();
        let mut of_level = levels.enumerate().filter_map(|(level, at)| {
            let block = in_tree.checked_sub(at.first_block)?;
            (block < at.blocks).then_some(HashBlock {
                level,
                block,
                offset: self.tree.area.block_offset(in_tree),
            })
        });
        of_level.next()
    }

    /// Reads a block of the covered sequence. False where it cannot be read.
    pub(super) fn read_block(&self, block: u64, buffer: &mut [u8]) -> Result<bool, SourceError> {
        match self.place(block) {
            CoveredPlace::Data(offset) => read(self.tree.data, buffer, offset),
            CoveredPlace::Hashes(offset) => read(self.tree.hashes, buffer, offset),
        }
    }

    /// Reads blocks that follow each other, as many as fit. Those that cannot be read are told to
    /// `unread`, counted from the first.
    fn read_blocks(
        &self,
        first: u64,
        buffer: &mut [u8],
        mut unread: impl FnMut(usize),
    ) -> Result<(), SourceError> {
        let size = self.layout.block_size().as_usize();
        let of_data = self.layout.data_blocks().saturating_sub(first) as usize;
        let of_data = of_data.min(buffer.len() / size);
        let (data, hashes) = match buffer.split_at_mut_checked(of_data * size) {
            Some(parts) => parts,
            None => return Ok(()),
        };
        for (start, part) in [(0, data), (of_data, hashes)] {
            if part.is_empty() || self.read_block(first + start as u64, part)? {
                continue;
            }
            for (block, at) in part.chunks_mut(size).zip(start..) {
                if !self.read_block(first + at as u64, block)? {
                    unread(at);
                }
            }
        }
        Ok(())
    }

    /// Reads some rows that follow each other, with their parity.
    #[expect(
        clippy::indexing_slicing,
        reason = "no more blocks of a column than rows, each of its size"
    )]
    pub(super) fn read_rows<'d>(
        &self,
        decoder: &'d FecDecoder,
        rows: Range<u64>,
        buffer: &mut AlignedBuffer,
    ) -> Result<Vec<ReadRow<'d>>, SourceError> {
        let size = self.layout.block_size().as_usize();
        let mut all: Vec<_> = rows
            .clone()
            .map(|number| ReadRow {
                number,
                sums: decoder.row(number),
                unread: Vec::new(),
                parity: None,
            })
            .collect();
        for (column, first) in self.blocks_of(rows.start) {
            // The last column may end before the last row.
            let count = (self.layout.covered_blocks() - first).min(rows.end - rows.start);
            let bytes = buffer.bytes(count as usize * size);
            self.read_blocks(first, bytes, |at| all[at].unread.push(column))?;
            for (row, block) in all.iter_mut().zip(bytes.chunks(size)) {
                if row.unread.last() != Some(&column) {
                    row.sums.add(column, block);
                }
            }
        }
        self.read_parity(rows, &mut all, buffer)?;
        Ok(all)
    }

    fn read_parity(
        &self,
        rows: Range<u64>,
        all: &mut [ReadRow<'_>],
        buffer: &mut AlignedBuffer,
    ) -> Result<(), SourceError> {
        let size = self.layout.row_parity_bytes();
        let offset = |row: u64| self.area.offset() + row * size as u64;
        let bytes = buffer.bytes(all.len() * size);
        let whole = read(self.parity, bytes, offset(rows.start))?;
        for (row, parity) in all.iter_mut().zip(bytes.chunks_mut(size)) {
            if whole || read(self.parity, parity, offset(row.number))? {
                row.sums.add_parity(parity);
                row.parity = Some(parity.to_owned());
            }
        }
        Ok(())
    }

    /// The digest that a block of the covered sequence must have, from the root hash down: none where
    /// a hash block above it is not right, or it is none of the tree.
    pub(super) fn expected_digest(&self, block: u64) -> Result<Option<Vec<u8>>, SourceError> {
        let layout = TreeLayout::new(self.tree.params);
        let fanout = self.tree.params.digests_per_block();
        let size = self.tree.params.digest_size();
        // Its number in its level, and the levels above that.
        let (mut number, above) = if block < self.layout.data_blocks() {
            (block, layout.levels())
        } else {
            let Some(hash_block) = self.hash_block(block) else {
                return Ok(None);
            };
            let above = layout.levels().get(hash_block.level + 1..);
            (hash_block.block, above.unwrap_or_default())
        };
        let mut path = Vec::new();
        for level in above {
            path.push((level.first_block + number / fanout, number % fanout));
            number /= fanout;
        }
        let mut digest = self.tree.root_hash.as_bytes().to_vec();
        let mut bytes = vec![0; self.layout.block_size().as_usize()];
        for (hash_block, slot) in path.into_iter().rev() {
            let block = self.layout.data_blocks() + hash_block;
            if !self.read_block(block, &mut bytes)? || self.digest(&bytes) != digest {
                return Ok(None);
            }
            let slot = bytes.chunks_exact(size).nth(slot as usize);
            digest = slot.unwrap_or_default().to_vec();
        }
        Ok(Some(digest))
    }

    /// The digest that a block has.
    pub(super) fn digest(&self, block: &[u8]) -> Vec<u8> {
        let hasher = BlockHasher::for_params(self.tree.params);
        hasher.digest(block).as_bytes().to_vec()
    }
}
