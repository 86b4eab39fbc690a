//! What is wrong in a row of blocks.

use alloc::{collections::BTreeMap, vec, vec::Vec};

use super::{
    FecLayout, FecRoots, ParityPlanes, codeword, field, kernel::FecBackend, roots::CODEWORD,
};

/// Corrects the rows of a layout.
#[derive(Clone, Debug)]
pub struct FecDecoder {
    layout: FecLayout,
    /// For each column, parity among them, what its bytes are multiplied by in each syndrome.
    coefficients: Vec<u8>,
    backend: FecBackend,
}

/// A row of which blocks and parity are taken in: no more of them is kept than their *syndromes*,
/// which are as large as the parity, and zero where a codeword is right.
///
/// What is not taken in counts as zeros.
#[derive(Clone, Debug)]
pub struct FecRow<'a> {
    decoder: &'a FecDecoder,
    row: u64,
    syndromes: ParityPlanes,
}

/// What must change in a row, for all codewords that can be corrected to be right. It is right
/// only if the hashes of the blocks are: where more is wrong than parity can tell, it may say
/// anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FecCorrections {
    changes: BTreeMap<usize, Vec<u8>>,
    failed: usize,
    parity: usize,
}

/// More blocks are bad than parity can make good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{bad} blocks of a row are bad, and FEC with {roots} roots corrects {roots} at most")]
pub struct TooManyErasures {
    /// How many are.
    pub bad: usize,
    /// How many it can correct.
    pub roots: FecRoots,
}

impl FecDecoder {
    /// For disks of that layout.
    pub fn new(layout: &FecLayout) -> Self {
        let roots = layout.roots().get();
        let coefficients = (0..CODEWORD).flat_map(|column| {
            let locator = codeword::locator(column);
            (0..roots).scan(1, move |power, _| {
                let this = *power;
                *power = field::multiply(*power, locator);
                Some(this)
            })
        });
        Self {
            layout: *layout,
            coefficients: coefficients.collect(),
            backend: FecBackend::chosen(),
        }
    }

    /// The same with another backend.
    #[must_use]
    pub fn with_backend(self, backend: FecBackend) -> Self {
        Self { backend, ..self }
    }

    /// What it corrects.
    pub fn layout(&self) -> &FecLayout {
        &self.layout
    }

    /// Begins with a row.
    pub fn row(&self, row: u64) -> FecRow<'_> {
        let codewords = self.layout.block_size().as_usize();
        FecRow {
            decoder: self,
            row,
            syndromes: ParityPlanes::new(self.layout.roots(), codewords),
        }
    }

    fn coefficients(&self, column: usize) -> &[u8] {
        let roots = self.layout.roots().get();
        &self.coefficients[column * roots..][..roots]
    }
}

impl FecRow<'_> {
    /// Takes in the block of a column.
    ///
    /// # Panics
    ///
    /// When it is no whole block, or there is no such column.
    pub fn add(&mut self, column: usize, block: &[u8]) {
        assert!(
            column < self.decoder.layout.columns() && block.len() == self.syndromes.codewords(),
            "a block of the row"
        );
        let coefficients = self.decoder.coefficients(column);
        self.syndromes
            .multiply_add(self.decoder.backend, coefficients, block, 0);
    }

    /// Takes in the parity of the row, as it stands on the disk.
    ///
    /// # Panics
    ///
    /// When it is not all parity of one row.
    pub fn add_parity(&mut self, parity: &[u8]) {
        let layout = &self.decoder.layout;
        assert!(
            parity.len() == layout.row_parity_bytes(),
            "the parity of a row"
        );
        let mut planes = ParityPlanes::new(layout.roots(), self.syndromes.codewords());
        planes.add_interleaved(0, parity);
        for plane in 0..layout.roots().get() {
            let coefficients = self.decoder.coefficients(layout.columns() + plane);
            let backend = self.decoder.backend;
            self.syndromes
                .multiply_add(backend, coefficients, planes.plane(plane), 0);
        }
    }

    /// Whether blocks and parity agree, all of them.
    pub fn is_right(&self) -> bool {
        self.syndromes.is_zero()
    }

    /// The codewords in which they do not, each by the place of its bytes in the blocks.
    pub fn wrong_codewords(&self) -> impl Iterator<Item = usize> {
        self.syndromes.codewords_that_are_not_zero()
    }

    /// What to change. Columns whose blocks are known to be bad or were not taken in are `bad`; as
    /// many as there are roots can be corrected, and for each two that are not bad one that is
    /// wrong without being known to be.
    ///
    /// # Panics
    ///
    /// When a column of `bad` has no block in this row.
    pub fn correct(&self, bad: &[usize]) -> Result<FecCorrections, TooManyErasures> {
        Ok(self.corrections(bad, usize::MAX)?.unwrap_or_default())
    }

    /// The same where nothing of the row stays wrong; none as soon as there is a codeword that cannot
    /// be corrected, which takes far less time than to try them all.
    ///
    /// # Panics
    ///
    /// When a column of `bad` has no block in this row.
    pub fn correct_all(&self, bad: &[usize]) -> Result<Option<FecCorrections>, TooManyErasures> {
        self.corrections(bad, 0)
    }

    /// None where more codewords than `most` cannot be corrected.
    fn corrections(
        &self,
        bad: &[usize],
        most: usize,
    ) -> Result<Option<FecCorrections>, TooManyErasures> {
        let mut bad = bad.to_vec();
        bad.sort_unstable();
        bad.dedup();
        assert!(
            bad.iter().all(|column| self.has_block(*column)),
            "columns with a block"
        );
        let roots = self.decoder.layout.roots();
        if bad.len() > roots.get() {
            return Err(TooManyErasures {
                bad: bad.len(),
                roots,
            });
        }
        let (changes, rest) = self.erasures(&bad);
        let mut corrections = FecCorrections::default();
        for (n, column) in bad.iter().enumerate() {
            let change = changes.plane(n).to_vec();
            corrections.changes.insert(*column, change);
        }
        for at in rest.codewords_that_are_not_zero() {
            let syndromes: Vec<_> = self.syndromes.codeword(at).collect();
            match codeword::solve(&syndromes, &bad) {
                Some(changes) if changes.iter().all(|(column, _)| self.may_be_wrong(*column)) => {
                    corrections.add(at, &changes, &self.decoder.layout);
                }
                _ if corrections.failed == most => return Ok(None),
                _ => corrections.failed += 1,
            }
        }
        Ok(Some(corrections))
    }

    /// The changes of bad blocks, a plane for each, if nothing else is wrong; and what the
    /// syndromes then are.
    fn erasures(&self, bad: &[usize]) -> (ParityPlanes, ParityPlanes) {
        let (decoder, codewords) = (self.decoder, self.syndromes.codewords());
        let mut changes = ParityPlanes::zeros(bad.len(), codewords);
        let factors = codeword::erasure_factors(bad);
        for (n, factors) in factors.chunks_exact(bad.len().max(1)).enumerate() {
            changes.multiply_add(decoder.backend, factors, self.syndromes.plane(n), 0);
        }
        let mut rest = self.syndromes.clone();
        for (n, column) in bad.iter().enumerate() {
            let coefficients = decoder.coefficients(*column);
            rest.multiply_add(decoder.backend, coefficients, changes.plane(n), 0);
        }
        (changes, rest)
    }

    fn has_block(&self, column: usize) -> bool {
        self.decoder.layout.block_at(self.row, column).is_some()
    }

    /// The zeros in the place of a block are no part of any disk, and so they are right.
    fn may_be_wrong(&self, column: usize) -> bool {
        column >= self.decoder.layout.columns() || self.has_block(column)
    }
}

impl FecCorrections {
    /// What to add (by exclusive or) to what was taken in of a column; for one that was not taken
    /// in, the block itself. None where nothing is wrong.
    pub fn change(&self, column: usize) -> Option<&[u8]> {
        self.changes.get(&column).map(Vec::as_slice)
    }

    /// The columns that have a change: those that were bad, and others found to be wrong.
    pub fn columns(&self) -> impl Iterator<Item = usize> {
        self.changes.keys().copied()
    }

    /// How many codewords have more wrong in them than can be corrected. Blocks may be right all
    /// the same, where nothing of theirs is wrong there.
    pub fn failed_codewords(&self) -> usize {
        self.failed
    }

    /// How many bytes of the parity are wrong.
    pub fn wrong_parity_bytes(&self) -> usize {
        self.parity
    }

    /// Notes what to change in the codeword at `at`.
    fn add(&mut self, at: usize, changes: &[codeword::Change], layout: &FecLayout) {
        let size = layout.block_size().as_usize();
        for (column, change) in changes {
            if *column < layout.columns() {
                let block = self.changes.entry(*column);
                block.or_insert_with(|| vec![0; size])[at] = *change;
            } else {
                self.parity += 1;
            }
        }
    }
}
