//! The parity of a strip, while it is made. No I/O.

use std::ops::Range;

use dm_verity::fec::{FecEncoder, FecLayout, ParityPlanes};

/// A thread's memory for the parity of one strip.
pub(super) struct StripParity {
    layout: FecLayout,
    rows: Range<u64>,
    planes: ParityPlanes,
    /// As it is in the FEC area.
    area: Vec<u8>,
}

impl StripParity {
    pub(super) fn new(layout: &FecLayout) -> Self {
        Self {
            layout: *layout,
            rows: 0..0,
            planes: ParityPlanes::new(layout.roots(), 0),
            area: Vec::new(),
        }
    }

    /// Begins with that of nothing, in these rows.
    pub(super) fn begin(&mut self, rows: Range<u64>) {
        let codewords = (rows.end - rows.start) as usize * self.layout.block_size().as_usize();
        if self.planes.codewords() == codewords {
            self.planes.clear();
        } else {
            self.planes = ParityPlanes::new(self.layout.roots(), codewords);
        }
        self.area.resize(codewords * self.layout.roots().get(), 0);
        self.rows = rows;
    }

    /// Begins with that which stands in the FEC area.
    pub(super) fn begin_with<E>(
        &mut self,
        rows: Range<u64>,
        read: impl FnOnce(&mut [u8], u64) -> Result<(), E>,
    ) -> Result<(), E> {
        self.begin(rows);
        let offset = self.offset();
        read(&mut self.area, offset)?;
        self.planes.add_interleaved(0, &self.area);
        Ok(())
    }

    /// Adds blocks of a column, the first of them in this row.
    pub(super) fn add(&mut self, encoder: &FecEncoder, column: u64, row: u64, blocks: &[u8]) {
        let at = (row - self.rows.start) as usize * self.layout.block_size().as_usize();
        encoder.add(column as usize, blocks, &mut self.planes, at);
    }

    /// Where it starts in the FEC area, and what it is there.
    pub(super) fn in_area(&mut self) -> (u64, &[u8]) {
        self.planes.interleave(&mut self.area);
        (self.offset(), &self.area)
    }

    fn offset(&self) -> u64 {
        self.rows.start * self.layout.row_parity_bytes() as u64
    }
}
