//! Makes parity: in the pass that hashes the data, or in one of its own.

mod in_flight;
mod open_blocks;
mod strip;
mod strips;
mod tree;

use std::{
    collections::HashSet,
    fs::File,
    ops::Range,
    os::unix::fs::FileExt,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use dm_verity::{
    RootHash, VerityParams,
    fec::{FecArea, FecEncoder, FecLayout},
};
use model_disk::AlignedBuffer;

use super::{
    HashTreeError, Sink, SinkError, Source, SourceError, Workers,
    blocks::Digester,
    hash::{empty_kept, top_of_tree},
    runs::Runs,
};
use in_flight::StripsInFlight;
use open_blocks::OpenBlocks;
use strip::StripParity;
use strips::Strips;
use tree::{ScatteredTree, WholeBlocks};

/// Parity that is being made, in its place.
///
/// What is in the place before all is [covered](ParityArea::cover) is of no meaning.
pub struct ParityArea<'a> {
    strips: Strips,
    encoder: FecEncoder,
    file: &'a File,
    path: &'a Path,
    offset: u64,
    /// The strips that have parity of the data in their places.
    begun: Mutex<HashSet<u64>>,
}

/// A part of what parity covers.
pub struct CoveredPart<'a> {
    /// Which of the covered blocks.
    pub blocks: Range<u64>,
    /// What has them.
    pub source: Box<dyn Source + 'a>,
    /// Where in it they start, in bytes.
    pub offset: u64,
}

/// What a thread has for each strip.
struct StripMemory {
    buffer: AlignedBuffer,
    parity: StripParity,
    whole: WholeBlocks,
}

impl<'a> ParityArea<'a> {
    /// Parity that goes to `area` of `file`; `path` is for messages.
    pub fn new(
        layout: &FecLayout,
        area: &FecArea,
        (file, path): (&'a File, &'a Path),
        workers: &Workers,
    ) -> Self {
        let strips = Strips::new(*layout, workers.threads());
        let encoder = FecEncoder::new(strips.layout().roots());
        Self {
            begun: Mutex::default(),
            strips,
            encoder,
            file,
            path,
            offset: area.offset(),
        }
    }

    /// As [`hash_tree`](super::hash_tree), and takes the data into the parity in the same pass. The
    /// data is read in pieces from all over it.
    pub fn hash_tree(
        &self,
        params: &VerityParams,
        source: &dyn Source,
        sink: &dyn Sink,
        workers: &Workers,
    ) -> Result<RootHash, HashTreeError> {
        let runs = Runs::new(params);
        let digester = Digester::new(params);
        workers
            .progress()
            .start(self.bytes_of(0..self.strips.layout().covered_blocks()));
        let (kept, _) = empty_kept(params, &runs, &digester);
        let tree = ScatteredTree {
            runs: &runs,
            digester: &digester,
            sink,
            open: OpenBlocks::default(),
            kept: Mutex::new(kept),
        };
        let in_flight = StripsInFlight::new(2 * workers.threads() as u64);
        let strip = |memory: &mut StripMemory, index| {
            let _here = in_flight.begin(index);
            let rows = self.strips.get(index);
            memory.parity.begin(rows.clone());
            let mut any = false;
            for (column, blocks) in self.strips.pieces(&rows, &(0..params.data_blocks())) {
                workers.check_interrupted()?;
                let mut take = |offset: u64, data: &[u8]| {
                    any = true;
                    if sink.takes_data() {
                        sink.data(offset, data)?;
                    }
                    let block = offset / params.data_block_size().bytes();
                    self.add(&mut memory.parity, column, block, data);
                    Ok::<_, HashTreeError>(())
                };
                let digests =
                    digester.data(source, &blocks, &mut memory.buffer, Some(&mut take))?;
                tree.put(blocks.start, &digests, &mut memory.whole)?;
                workers.progress().advance(self.bytes_of(blocks));
            }
            tree.hash(&mut memory.whole)?;
            if any {
                self.write(memory.parity.unfinished(), memory.parity.offset())?;
                self.begun().insert(index);
            }
            Ok::<_, HashTreeError>(())
        };
        let give_up = || source.give_up();
        workers.for_each(self.strips.count(), || self.memory(), strip, give_up)?;
        workers.install(|| source.check_unchanged())?;
        top_of_tree(params, &runs, &digester, tree.kept, sink)
    }

    /// Takes more of what is covered into the parity, and leaves it as it is to be: these are the
    /// last parts.
    pub fn cover(&self, parts: &[CoveredPart<'_>], workers: &Workers) -> Result<(), HashTreeError> {
        let strip = |memory: &mut StripMemory, index| {
            let rows = self.strips.get(index);
            memory.parity.begin(rows.clone());
            let offset = memory.parity.offset();
            if self.begun().contains(&index) {
                self.read(memory.parity.unfinished_mut(), offset)?;
            }
            for part in parts {
                for (column, blocks) in self.strips.pieces(&rows, &part.blocks) {
                    workers.check_interrupted()?;
                    self.add_piece(part, column, &blocks, memory)?;
                    workers.progress().advance(self.bytes_of(blocks));
                }
            }
            Ok::<_, HashTreeError>(self.write(memory.parity.finished(), offset)?)
        };
        workers.for_each(self.strips.count(), || self.memory(), strip, || ())
    }

    /// Makes parity of all parts, where the data has not been taken in before.
    pub fn cover_all(
        &self,
        parts: &[CoveredPart<'_>],
        workers: &Workers,
    ) -> Result<(), HashTreeError> {
        let all = 0..self.strips.layout().covered_blocks();
        workers.progress().start(self.bytes_of(all));
        self.cover(parts, workers)
    }

    fn memory(&self) -> StripMemory {
        StripMemory {
            buffer: AlignedBuffer::default(),
            parity: StripParity::new(self.strips.layout()),
            whole: WholeBlocks::default(),
        }
    }

    fn bytes_of(&self, blocks: Range<u64>) -> u64 {
        (blocks.end - blocks.start) * self.strips.layout().block_size().bytes()
    }

    /// Adds blocks of a column to the parity of a strip; `first` is the first one.
    fn add(&self, parity: &mut StripParity, column: u64, first: u64, blocks: &[u8]) {
        let layout = self.strips.layout();
        let row = first - column * layout.rounds();
        parity.add(&self.encoder, column, row, blocks);
    }

    /// Reads blocks of a column and adds them, but for known zeros, which change no parity.
    fn add_piece(
        &self,
        part: &CoveredPart<'_>,
        column: u64,
        blocks: &Range<u64>,
        memory: &mut StripMemory,
    ) -> Result<(), SourceError> {
        let size = self.strips.layout().block_size().bytes();
        let mut block = blocks.start;
        while block < blocks.end {
            let offset = part.offset + (block - part.blocks.start) * size;
            let extent = part.source.extent_at(offset)?;
            let whole = ((extent.end - offset) / size).clamp(1, blocks.end - block);
            if !extent.zeros || extent.end < offset + size {
                let bytes = memory.buffer.bytes((whole * size) as usize);
                part.source.read_exact_at(bytes, offset)?;
                self.add(&mut memory.parity, column, block, bytes);
            }
            block += whole;
        }
        Ok(())
    }

    fn write(&self, bytes: &[u8], offset: u64) -> Result<(), SinkError> {
        let offset = self.offset + offset;
        let written = self.file.write_all_at(bytes, offset);
        written.map_err(|source| SinkError {
            path: self.path.to_owned(),
            offset,
            source,
        })
    }

    fn read(&self, bytes: &mut [u8], offset: u64) -> Result<(), SourceError> {
        let offset = self.offset + offset;
        let read = self.file.read_exact_at(bytes, offset);
        read.map_err(|source| SourceError::Read {
            path: self.path.to_owned(),
            offset,
            source,
        })
    }

    fn begun(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
