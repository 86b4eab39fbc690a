//! Makes a tree.

use std::sync::{Mutex, PoisonError};

use dm_verity::{Digest, RootHash, VerityParams};
use model_disk::{AlignedBuffer, ExitCode, HasExitCode, Interrupted};

use super::{
    Sink, SinkError, Source, SourceError, Workers,
    blocks::{Digester, Levels, Take},
    kept::KeptDigests,
    runs::{Run, Runs},
};

/// How many hash blocks of the upper levels are hashed and written at once.
const BLOCKS_AT_A_TIME: usize = 256;

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

impl HasExitCode for HashTreeError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Source(error) => error.exit_code(),
            Self::Sink(_) | Self::Interrupted(_) => ExitCode::Failure,
        }
    }
}

/// Reads the data blocks of `source` once, hands them and the tree over them to `sink`, and gives
/// the root hash. `source` has at least the data blocks of `params`.
pub fn hash_tree(
    params: &VerityParams,
    source: &dyn Source,
    sink: &dyn Sink,
    workers: &Workers,
) -> Result<RootHash, HashTreeError> {
    let runs = Runs::new(params);
    workers.progress().start(params.data_bytes());
    let digester = Digester::new(params);
    let (kept, zero_run) = empty_kept(params, &runs, &digester);
    let builder = Builder {
        kept: Mutex::new(kept),
        zero_run,
        run_blocks: runs.get(0).blocks.end,
        runs: &runs,
        digester: &digester,
        source,
        sink,
    };
    let one = |buffer: &mut AlignedBuffer, index| {
        let run = runs.get(index);
        builder.run(&run, buffer)?;
        workers.progress().advance(run.bytes(params));
        Ok::<_, HashTreeError>(())
    };
    workers.for_each(runs.count(), AlignedBuffer::default, one, || {
        source.give_up()
    })?;
    workers.install(|| source.check_unchanged())?;
    top_of_tree(params, &runs, &digester, builder.kept, sink)
}

/// Where the digests of units are kept, and the levels over a run of zeros.
#[expect(clippy::indexing_slicing, reason = "units of its own layout")]
pub(super) fn empty_kept(
    params: &VerityParams,
    runs: &Runs,
    digester: &Digester,
) -> (KeptDigests, Levels) {
    // Only the last run can have another length than the first, and so may the last unit.
    let first = runs.get(0).blocks;
    let zero_run = digester.levels_over(digester.zero_digests(first.end), runs.lower_levels());
    let zero_unit = &zero_run.digests[..params.digest_size()];
    let hash_block_size = params.hash_block_size().as_usize();
    let kept = KeptDigests::new(runs.units(), zero_unit, hash_block_size);
    (kept, zero_run)
}

/// Makes the upper levels from the digests of all units. Gives the root hash.
#[expect(clippy::indexing_slicing, reason = "levels of its own layout")]
pub(super) fn top_of_tree(
    params: &VerityParams,
    runs: &Runs,
    digester: &Digester,
    kept: Mutex<KeptDigests>,
    sink: &dyn Sink,
) -> Result<RootHash, HashTreeError> {
    let kept = kept.into_inner().unwrap_or_else(PoisonError::into_inner);
    let hash_block_size = params.hash_block_size().as_usize();
    let top = match &runs.layout().levels()[runs.lower_levels()..] {
        [] => kept.into_bytes(),
        [level, upper @ ..] => {
            let mut digests = Vec::new();
            let mut first_block = level.first_block;
            for blocks in kept.blocks_above(BLOCKS_AT_A_TIME) {
                sink.hash_blocks(first_block, &blocks)?;
                digests.extend(digester.hash_blocks(&blocks));
                first_block += (blocks.len() / hash_block_size) as u64;
            }
            drop(kept);
            let over = digester.levels_over(digests, upper.len());
            for (level, blocks) in upper.iter().zip(&over.levels) {
                sink.hash_blocks(level.first_block, blocks)?;
            }
            over.digests
        }
    };
    sink.finish()?;
    Ok(Digest::new(params.algorithm(), &top).into())
}

struct Builder<'a> {
    kept: Mutex<KeptDigests>,
    /// The levels over a run of zeros, of as many data blocks as most runs have.
    zero_run: Levels,
    run_blocks: u64,
    runs: &'a Runs,
    digester: &'a Digester,
    source: &'a dyn Source,
    sink: &'a dyn Sink,
}

impl Builder<'_> {
    fn run(&self, run: &Run, buffer: &mut AlignedBuffer) -> Result<(), HashTreeError> {
        let full = run.blocks.end - run.blocks.start == self.run_blocks;
        if full && self.is_hole(run)? {
            return self.finish(run, &self.zero_run);
        }
        let mut take = |offset, data: &[u8]| Ok::<_, HashTreeError>(self.sink.data(offset, data)?);
        let take: Option<Take<'_, _>> = if self.sink.takes_data() {
            Some(&mut take)
        } else {
            None
        };
        let digests = self.digester.data(self.source, &run.blocks, buffer, take)?;
        let over = self.digester.levels_over(digests, self.runs.lower_levels());
        self.finish(run, &over)
    }

    /// Whether all of a run is known to be zeros.
    fn is_hole(&self, run: &Run) -> Result<bool, SourceError> {
        let size = self.digester.data_block_size().bytes();
        let extent = self.source.extent_at(run.blocks.start * size)?;
        Ok(extent.zeros && extent.end >= run.blocks.end * size)
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "levels and units of its own layout"
    )]
    fn finish(&self, run: &Run, over: &Levels) -> Result<(), HashTreeError> {
        for (index, blocks) in over.levels.iter().enumerate() {
            let level = self.runs.layout().levels()[index];
            let first = self.runs.hash_blocks(index, &run.blocks).start;
            self.sink.hash_blocks(level.first_block + first, blocks)?;
        }
        let start = run.units.start as usize * self.digester.digest_size();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.put(start, &over.digests);
        Ok(())
    }
}
