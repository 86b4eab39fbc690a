//! Which blocks a codeword goes through, and where its parity stands. All sizes of FEC areas come
//! from here.

use core::ops::Range;

use super::{
    super::{BlockSize, HashArea, MAX_BYTES, TreeLayout, VerityParams},
    FecRoots,
};

/// What an FEC area covers, and in which order.
///
/// The *covered sequence* is the data blocks, then hash blocks from the first of the tree on. It
/// fills a table of [`columns`](Self::columns) columns, one after the other from the top, of
/// [`rounds`](Self::rounds) rows each; where the last columns have no blocks, they count as zeros.
/// Byte `p` of all blocks of a row is one codeword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FecLayout {
    block_size: BlockSize,
    data_blocks: u64,
    covered_blocks: u64,
    rounds: u64,
    roots: FecRoots,
}

/// Where a block of the covered sequence stands in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FecPlace {
    /// Its row, less than the rounds.
    pub row: u64,
    /// Its column, less than the columns.
    pub column: usize,
}

/// What no FEC area can cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FecLayoutError {
    /// The kernel reads data and hash blocks alike.
    #[error("data blocks of {data} bytes and hash blocks of {hash} bytes: FEC needs one size")]
    BlockSizes {
        /// That of data blocks.
        data: BlockSize,
        /// That of hash blocks.
        hash: BlockSize,
    },
    /// A tree that is not covered to its end.
    #[error("FEC would cover {covered} of the {tree} hash blocks of the tree")]
    PartOfTree {
        /// How many hash blocks were to be covered.
        covered: u64,
        /// How many the tree has.
        tree: u64,
    },
    /// More than [`MAX_BYTES`].
    #[error("{0} hash blocks are too many for FEC: the limit is 2^63 bytes with the data")]
    TooLarge(u64),
}

impl FecLayout {
    /// Covers the data and the tree, and nothing else.
    pub fn new(params: &VerityParams, roots: FecRoots) -> Result<Self, FecLayoutError> {
        let tree = TreeLayout::new(params).blocks();
        Self::with_hash_blocks(params, roots, tree)
    }

    /// Covers the data and as many blocks from the start of the tree. `veritysetup` covers all up
    /// to the end of the hash device, or up to the FEC area where that is on the same device, and
    /// so whatever stands after the tree.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "parameters leave half of 2^63 bytes, and the columns are at least 231"
    )]
    pub fn with_hash_blocks(
        params: &VerityParams,
        roots: FecRoots,
        hash_blocks: u64,
    ) -> Result<Self, FecLayoutError> {
        let block_size = params.data_block_size();
        if block_size != params.hash_block_size() {
            return Err(FecLayoutError::BlockSizes {
                data: block_size,
                hash: params.hash_block_size(),
            });
        }
        let tree = TreeLayout::new(params).blocks();
        if hash_blocks < tree {
            return Err(FecLayoutError::PartOfTree {
                covered: hash_blocks,
                tree,
            });
        }
        if hash_blocks > MAX_BYTES / 2 / block_size.bytes() {
            return Err(FecLayoutError::TooLarge(hash_blocks));
        }
        let covered_blocks = params.data_blocks() + hash_blocks;
        Ok(Self {
            block_size,
            data_blocks: params.data_blocks(),
            covered_blocks,
            rounds: covered_blocks.div_ceil(roots.columns() as u64),
            roots,
        })
    }

    /// The unit of all of it.
    pub fn block_size(&self) -> BlockSize {
        self.block_size
    }

    /// How many parity bytes a codeword has.
    pub fn roots(&self) -> FecRoots {
        self.roots
    }

    /// How many data blocks are covered: all.
    pub fn data_blocks(&self) -> u64 {
        self.data_blocks
    }

    /// How many blocks are covered, which the kernel calls `fec_blocks`.
    pub fn covered_blocks(&self) -> u64 {
        self.covered_blocks
    }

    /// How many rows the table has.
    pub fn rounds(&self) -> u64 {
        self.rounds
    }

    /// How many columns the table has: 255 less the roots.
    pub fn columns(&self) -> usize {
        self.roots.columns()
    }

    /// Where a block of the covered sequence stands; none for one that is not in it.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "there is at least one data block, and so one row"
    )]
    pub fn place(&self, block: u64) -> Option<FecPlace> {
        (block < self.covered_blocks).then(|| FecPlace {
            row: block % self.rounds,
            column: (block / self.rounds) as usize,
        })
    }

    /// The block of the covered sequence at a place: a data block, or from
    /// [`data_blocks`](Self::data_blocks) on a hash block, counted from the first of the tree.
    /// None where there are zeros instead, or no such place.
    pub fn block_at(&self, row: u64, column: usize) -> Option<u64> {
        if row >= self.rounds || column >= self.columns() {
            return None;
        }
        let block = (column as u64).checked_mul(self.rounds)?.checked_add(row)?;
        (block < self.covered_blocks).then_some(block)
    }

    /// How many bytes of parity a row has.
    #[expect(clippy::arithmetic_side_effects, reason = "24 × 65536 at most")]
    pub fn row_parity_bytes(&self) -> usize {
        self.roots.get() * self.block_size.as_usize()
    }

    /// How many bytes the FEC area has.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "about a ninth of what is covered at most, which is less than 2^63 bytes"
    )]
    pub fn parity_bytes(&self) -> u64 {
        self.rounds * self.row_parity_bytes() as u64
    }

    /// How many blocks the FEC area has.
    #[expect(clippy::arithmetic_side_effects, reason = "less than the bytes of it")]
    pub fn parity_blocks(&self) -> u64 {
        self.rounds * self.roots.get() as u64
    }

    /// Where the parity of a row stands, in bytes from the start of the FEC area; none for a row
    /// that there is not.
    #[expect(clippy::arithmetic_side_effects, reason = "within the FEC area")]
    pub fn row_parity_range(&self, row: u64) -> Option<Range<u64>> {
        let bytes = self.row_parity_bytes() as u64;
        (row < self.rounds).then(|| row * bytes..(row + 1) * bytes)
    }
}

/// The place of an FEC area on its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FecArea {
    offset: u64,
    block_size: BlockSize,
    bytes: u64,
}

/// An offset at which no FEC area can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FecAreaError {
    /// Not at a multiple of the block, in which the kernel counts.
    #[error("FEC offset {offset} is not a multiple of {unit} bytes")]
    Misaligned {
        /// The offset in bytes.
        offset: u64,
        /// What it must be a multiple of, in bytes.
        unit: BlockSize,
    },
    /// The area would end after [`MAX_BYTES`].
    #[error("FEC offset {0} is too large: the FEC area would end after 2^63 bytes")]
    TooLarge(u64),
}

impl FecArea {
    /// An FEC area that starts at `offset` bytes.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "both are less than 2^63 bytes"
    )]
    pub fn new(layout: &FecLayout, offset: u64) -> Result<Self, FecAreaError> {
        let block_size = layout.block_size();
        if !offset.is_multiple_of(block_size.bytes()) {
            return Err(FecAreaError::Misaligned {
                offset,
                unit: block_size,
            });
        }
        let bytes = layout.parity_bytes();
        if offset > MAX_BYTES || offset + bytes > MAX_BYTES {
            return Err(FecAreaError::TooLarge(offset));
        }
        Ok(Self {
            offset,
            block_size,
            bytes,
        })
    }

    /// One that starts where the tree ends.
    pub fn after_tree(
        layout: &FecLayout,
        hash_area: &HashArea,
        tree: &TreeLayout,
    ) -> Result<Self, FecAreaError> {
        Self::new(layout, hash_area.end(tree))
    }

    /// Where it starts, in bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Its first block, counted from the start of the device: the kernel's `fec_start`.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "block sizes are at least 512 bytes"
    )]
    pub fn start_block(&self) -> u64 {
        self.offset / self.block_size.bytes()
    }

    /// Where it ends, in bytes.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "checked against 2^63 bytes when it was made"
    )]
    pub fn end(&self) -> u64 {
        self.offset + self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HashAlgorithm, Salt};

    fn params(data_blocks: u64, data: u64, hash: u64) -> VerityParams {
        let [data, hash] = [data, hash].map(|size| BlockSize::new(size).unwrap());
        let algorithm = HashAlgorithm::Sha256;
        VerityParams::new(algorithm, data, hash, data_blocks, Salt::default()).unwrap()
    }

    fn layout(data_blocks: u64, roots: u32) -> FecLayout {
        let roots = FecRoots::try_from(roots).unwrap();
        FecLayout::new(&params(data_blocks, 4096, 4096), roots).unwrap()
    }

    #[test]
    fn tables_by_hand() {
        // Data blocks, roots; covered blocks, rounds.
        for (data, roots, covered, rounds) in [
            (1, 2, 1, 1),
            (2, 2, 3, 1),
            // 2 hash blocks of level 0, and 1 above them.
            (250, 2, 253, 1),
            (251, 2, 254, 2),
            (228, 24, 231, 1),
            (229, 24, 232, 2),
            // 8 + 1.
            (1000, 2, 1009, 4),
            (1000, 24, 1009, 5),
        ] {
            let layout = layout(data, roots);
            assert_eq!(
                (layout.covered_blocks(), layout.rounds()),
                (covered, rounds)
            );
            assert_eq!(layout.parity_blocks(), rounds * u64::from(roots));
            assert_eq!(layout.parity_bytes(), layout.parity_blocks() * 4096);
        }
    }

    #[test]
    fn each_block_has_one_place() {
        for (data, roots) in [(1, 2), (251, 2), (1000, 7), (5000, 24)] {
            let layout = layout(data, roots);
            let mut found = 0;
            for column in 0..layout.columns() + 1 {
                for row in 0..layout.rounds() + 1 {
                    if let Some(block) = layout.block_at(row, column) {
                        assert_eq!(layout.place(block), Some(FecPlace { row, column }));
                        found += 1;
                    }
                }
            }
            assert_eq!(found, layout.covered_blocks());
            assert_eq!(layout.place(layout.covered_blocks()), None);
            assert_eq!(layout.block_at(0, usize::MAX), None);
        }
    }

    #[test]
    fn parity_of_rows_fills_the_area() {
        let layout = layout(1000, 3);
        let mut end = 0;
        for row in 0..layout.rounds() {
            let range = layout.row_parity_range(row).unwrap();
            assert_eq!(range, end..end + 3 * 4096);
            end = range.end;
        }
        assert_eq!(end, layout.parity_bytes());
        assert_eq!(layout.row_parity_range(layout.rounds()), None);
    }

    #[test]
    fn what_cannot_be_covered() {
        let roots = FecRoots::default();
        assert_eq!(
            FecLayout::new(&params(9, 4096, 1024), roots)
                .unwrap_err()
                .to_string(),
            "data blocks of 4096 bytes and hash blocks of 1024 bytes: FEC needs one size"
        );
        let params = params(300, 4096, 4096);
        let with = |blocks| FecLayout::with_hash_blocks(&params, roots, blocks);
        assert_eq!(
            with(3),
            Err(FecLayoutError::PartOfTree {
                covered: 3,
                tree: 4
            })
        );
        assert_eq!(with(4), FecLayout::new(&params, roots));
        assert_eq!(with(207).unwrap().rounds(), 3);
        let limit = (1 << 62) / 4096 - 1;
        assert!(with(limit).is_ok());
        assert_eq!(with(limit + 1), Err(FecLayoutError::TooLarge(limit + 1)));
        assert!(with(u64::MAX).is_err());
    }

    #[test]
    fn the_largest_does_not_overflow() {
        for size in [512, 4096, 65536] {
            let params = params((1 << 62) / size - 1, size, size);
            for roots in [2, 24] {
                let roots = FecRoots::try_from(roots).unwrap();
                let largest = (1 << 62) / size - 1;
                let layout = FecLayout::with_hash_blocks(&params, roots, largest).unwrap();
                let last = layout.covered_blocks() - 1;
                let place = layout.place(last).unwrap();
                assert_eq!(layout.block_at(place.row, place.column), Some(last));
                assert_eq!(
                    layout.row_parity_range(layout.rounds() - 1).unwrap().end,
                    layout.parity_bytes()
                );
                assert!(layout.parity_bytes() < 1 << 61);
                assert!(FecArea::new(&layout, 1 << 62).is_ok());
            }
        }
    }

    #[test]
    fn areas() {
        let params = params(300, 4096, 4096);
        let tree = TreeLayout::new(&params);
        let layout = FecLayout::new(&params, FecRoots::default()).unwrap();
        let hash_area = HashArea::new(&params, 300 * 4096, true).unwrap();
        let area = FecArea::after_tree(&layout, &hash_area, &tree).unwrap();
        assert_eq!(area.offset(), 305 * 4096);
        assert_eq!(area.start_block(), 305);
        assert_eq!(area.end(), 309 * 4096);
        assert_eq!(
            FecArea::new(&layout, 512),
            Err(FecAreaError::Misaligned {
                offset: 512,
                unit: BlockSize::DEFAULT
            })
        );
        for offset in [(1 << 63) - 4096, u64::MAX - 4095] {
            assert_eq!(
                FecArea::new(&layout, offset),
                Err(FecAreaError::TooLarge(offset))
            );
        }
    }
}
