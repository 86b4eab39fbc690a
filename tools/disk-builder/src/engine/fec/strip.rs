//! The parity of a strip, while it is made. No I/O.

use std::ops::Range;

use dm_verity::fec::{FecEncoder, FecLayout, ParityPlanes};

/// A thread's memory for the parity of one strip.
pub(super) struct StripParity {
    layout: FecLayout,
    rows: Range<u64>,
    planes: ParityPlanes,
    /// As it is to be in the FEC area.
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
        self.rows = rows;
    }

    /// Adds blocks of a column, the first of them in this row.
    pub(super) fn add(&mut self, encoder: &FecEncoder, column: u64, row: u64, blocks: &[u8]) {
        let at = (row - self.rows.start) as usize * self.layout.block_size().as_usize();
        encoder.add(column as usize, blocks, &mut self.planes, at);
    }

    /// Where it starts in the FEC area.
    pub(super) fn offset(&self) -> u64 {
        self.rows.start * self.layout.row_parity_bytes() as u64
    }

    /// What it is by now, in as many bytes as it has in the area, and in no order that anybody else
    /// knows.
    pub(super) fn unfinished(&self) -> &[u8] {
        self.planes.as_bytes()
    }

    /// Goes on with what it was, after [`StripParity::begin`].
    pub(super) fn unfinished_mut(&mut self) -> &mut [u8] {
        self.planes.as_mut_bytes()
    }

    /// What it is in the area.
    pub(super) fn finished(&mut self) -> &[u8] {
        self.area.resize(self.planes.as_bytes().len(), 0);
        self.planes.interleave(&mut self.area);
        &self.area
    }
}
