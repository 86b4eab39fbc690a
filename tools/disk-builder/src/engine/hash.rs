//! Makes a tree.

use std::sync::{Mutex, OnceLock, PoisonError};

use dm_verity::{Digest, RootHash, VerityParams};
use model_disk::Interrupted;

use super::{
    Sink, SinkError, Source, SourceError, Workers,
    blocks::{Digester, Levels, Take},
    buffer::Buffer,
    runs::{Run, Runs},
};

/// Why no tree was made.
#[derive(Debug, thiserror::Error)]
pub enum HashTreeError {
    /// The data could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The tree could not be written.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// Somebody asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// Reads the data blocks of `source` once, hands them and the tree over them to `sink`, and gives
/// the root hash. `source` has at least the data blocks of `params`.
#[expect(
    clippy::indexing_slicing,
    reason = "levels and units of its own layout"
)]
pub fn hash_tree(
    params: &VerityParams,
    source: &dyn Source,
    sink: &dyn Sink,
    workers: &Workers,
) -> Result<RootHash, HashTreeError> {
    let runs = Runs::new(params);
    workers.progress().start(params.data_bytes());
    let digester = Digester::new(params);
    // With room for the zeros that make hash blocks of it.
    let kept_bytes = runs.units() as usize * params.digest_size();
    let mut kept = Vec::with_capacity(digester.padded(kept_bytes));
    kept.resize(kept_bytes, 0);
    let builder = Builder {
        kept: Mutex::new(kept),
        zero_run: OnceLock::new(),
        runs: &runs,
        digester: &digester,
        source,
        sink,
    };
    workers.for_each(runs.count(), Buffer::default, |buffer, index| {
        let run = runs.get(index);
        builder.run(&run, buffer)?;
        workers.progress().advance(run.bytes(params));
        Ok::<_, HashTreeError>(())
    })?;
    workers.install(|| source.check_unchanged())?;

    let kept = builder
        .kept
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    let upper = &runs.layout().levels()[runs.lower_levels()..];
    let over = digester.levels_over(kept, upper.len());
    for (level, blocks) in upper.iter().zip(&over.levels) {
        sink.hash_blocks(level.first_block, blocks)?;
    }
    Ok(Digest::new(params.algorithm(), &over.digests).into())
}

struct Builder<'a> {
    /// The digests of the units, in their order.
    kept: Mutex<Vec<u8>>,
    /// The levels over a run of zeros, where there was one.
    zero_run: OnceLock<Levels>,
    runs: &'a Runs,
    digester: &'a Digester,
    source: &'a dyn Source,
    sink: &'a dyn Sink,
}

impl Builder<'_> {
    fn run(&self, run: &Run, buffer: &mut Buffer) -> Result<(), HashTreeError> {
        let take = |offset, data: &[u8]| Ok::<_, HashTreeError>(self.sink.data(offset, data)?);
        let take: Option<Take<'_, _>> = if self.sink.takes_data() {
            Some(&take)
        } else {
            None
        };
        let data = self.digester.data(self.source, &run.blocks, buffer, take)?;
        let over = || {
            self.digester
                .levels_over(data.digests, self.runs.lower_levels())
        };
        // Only the last run can have another length than the first.
        let first = self.runs.get(0).blocks;
        let full = run.blocks.end - run.blocks.start == first.end;
        if data.all_zeros && full {
            self.finish(run, self.zero_run.get_or_init(over))
        } else {
            self.finish(run, &over())
        }
    }

    #[expect(
        clippy::disallowed_methods,
        clippy::indexing_slicing,
        reason = "levels and units of its own layout"
    )]
    fn finish(&self, run: &Run, over: &Levels) -> Result<(), HashTreeError> {
        for (index, blocks) in over.levels.iter().enumerate() {
            let level = self.runs.layout().levels()[index];
            let first = self.runs.hash_blocks(index, &run.blocks).start;
            self.sink.hash_blocks(level.first_block + first, blocks)?;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let start = run.units.start as usize * self.digester.digest_size();
        kept[start..start + over.digests.len()].copy_from_slice(&over.digests);
        Ok(())
    }
}
