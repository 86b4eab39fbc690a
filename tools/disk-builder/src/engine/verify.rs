//! Checks a tree and the data under it.

use std::{
    ops::Range,
    sync::{Mutex, PoisonError},
};

use dm_verity::{Digest, HashArea, Level, RootHash, VerityParams};
use model_disk::{AlignedBuffer, ExitCode, HasExitCode, Interrupted};

use super::{
    Source, SourceError, Workers,
    blocks::Digester,
    findings::{Findings, HashBlock},
    runs::{Run, Runs},
};

/// Why a tree could not be checked, or not be what it should.
#[derive(Debug, thiserror::Error)]
pub enum VerifyTreeError {
    /// The top of the tree is another.
    #[error(transparent)]
    RootHash(Box<RootHashMismatch>),
    /// A hash block that is what the root hash says has more digests than it should.
    #[error(
        "hash block {} of level {} has digests after its last one: the tree is one of more data \
         blocks than {data_blocks}",
        block.block,
        block.level
    )]
    MoreDigests {
        /// The last one of its level.
        block: HashBlock,
        /// How many data blocks there should be.
        data_blocks: u64,
    },
    /// Something could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Somebody asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl HasExitCode for VerifyTreeError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Source(SourceError::Read { .. } | SourceError::File(_))
            | Self::Interrupted(_) => ExitCode::Failure,
            _ => ExitCode::Integrity,
        }
    }
}

/// The disk is another one, or its top block is corrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the root hash does not match: expected {expected}, the disk has {found}")]
pub struct RootHashMismatch {
    /// What the caller trusts.
    pub expected: RootHash,
    /// What the disk has.
    pub found: RootHash,
}

/// A tree and the data under it, open, with what they are compared with.
#[derive(Clone, Copy)]
pub struct TreeParts<'a> {
    /// The parameters of the tree.
    pub params: &'a VerityParams,
    /// What its top must have as its digest.
    pub root_hash: &'a RootHash,
    /// Has the data blocks.
    pub data: &'a dyn Source,
    /// Has the whole area.
    pub hashes: &'a dyn Source,
    /// The place of the tree.
    pub area: HashArea,
}

/// Checks every block of the data and of the tree against the root hash, from the top down, and
/// tells all that is corrupt. A top that is another is an error: nothing is known then.
pub fn verify_tree(parts: &TreeParts<'_>, workers: &Workers) -> Result<Findings, VerifyTreeError> {
    check_top(parts)?;
    let all = 0..parts.params.data_blocks();
    let findings = find_corrupt(parts, &[all], workers)?;
    parts.data.check_unchanged()?;
    parts.hashes.check_unchanged()?;
    Ok(findings)
}

/// Compares the top of the tree with the root hash.
pub(super) fn check_top(parts: &TreeParts<'_>) -> Result<(), VerifyTreeError> {
    let runs = Runs::new(parts.params);
    let found = Verifier::new(parts, &runs).root_hash(parts.params)?;
    if found == *parts.root_hash {
        return Ok(());
    }
    let expected = *parts.root_hash;
    let mismatch = RootHashMismatch { expected, found };
    Err(VerifyTreeError::RootHash(Box::new(mismatch)))
}

/// Checks the upper levels of a tree, and the lower ones and the data where the `data_blocks` are,
/// which are ranges in order. A top that is another is a corrupt block like any.
#[expect(
    clippy::indexing_slicing,
    reason = "levels and blocks of its own layout"
)]
pub(super) fn find_corrupt(
    parts: &TreeParts<'_>,
    data_blocks: &[Range<u64>],
    workers: &Workers,
) -> Result<Findings, VerifyTreeError> {
    let params = parts.params;
    let runs = Runs::new(params);
    let pieces = runs.over(data_blocks);
    workers.progress().start(pieces.bytes(params));
    let verifier = Verifier::new(parts, &runs);
    let mut above = ExpectedDigests {
        first: 0,
        digests: parts.root_hash.as_bytes().to_owned(),
        valid: vec![true],
        digests_per_block: 1,
    };
    for level in (runs.lower_levels()..runs.layout().levels().len()).rev() {
        workers.check_interrupted()?;
        let all = 0..runs.layout().levels()[level].blocks;
        above = verifier.hash_blocks(level, all, &above)?;
    }
    let one = |buffer: &mut AlignedBuffer, index| {
        let run = pieces.get(index);
        verifier.run(&run, &above, buffer)?;
        workers.progress().advance(run.bytes(params));
        Ok::<_, VerifyTreeError>(())
    };
    workers.for_each(pieces.count(), AlignedBuffer::default, one, || ())?;
    let findings = verifier.findings.into_inner();
    let findings = findings.unwrap_or_else(PoisonError::into_inner);
    Ok(findings.complete(|block| runs.data_under(block.level, block.block)))
}

/// The digests in hash blocks that have been checked themselves.
struct ExpectedDigests {
    /// The number in its level of the first digest here.
    first: u64,
    digests: Vec<u8>,
    /// Of each hash block, whether it is what the block above says.
    valid: Vec<bool>,
    digests_per_block: u64,
}

impl ExpectedDigests {
    /// What a block must have as its digest, unless that stands in a block that is not valid.
    #[expect(
        clippy::indexing_slicing,
        reason = "levels and blocks of its own layout"
    )]
    fn expected(&self, block: u64, digest_size: usize) -> Option<&[u8]> {
        let index = block - self.first;
        let start = index as usize * digest_size;
        self.valid[(index / self.digests_per_block) as usize]
            .then(|| &self.digests[start..start + digest_size])
    }
}

struct Verifier<'a> {
    findings: Mutex<Findings>,
    runs: &'a Runs,
    digester: Digester,
    digests_per_block: u64,
    data: &'a dyn Source,
    hashes: &'a dyn Source,
    area: HashArea,
}

impl<'a> Verifier<'a> {
    fn new(parts: &TreeParts<'a>, runs: &'a Runs) -> Self {
        Self {
            findings: Mutex::default(),
            runs,
            digester: Digester::new(parts.params),
            digests_per_block: parts.params.digests_per_block(),
            data: parts.data,
            hashes: parts.hashes,
            area: parts.area,
        }
    }

    /// The root hash that the top block of the tree, or the only data block, gives.
    fn root_hash(&self, params: &VerityParams) -> Result<RootHash, SourceError> {
        let digests = match self.runs.layout().levels().last() {
            Some(top) => {
                let mut block = vec![0; params.hash_block_size().as_usize()];
                let offset = self.area.block_offset(top.first_block);
                self.hashes.read_exact_at(&mut block, offset)?;
                self.digester.hash_blocks(&block)
            }
            None => self.data_digests(&(0..1), &mut AlignedBuffer::default())?,
        };
        Ok(Digest::new(params.algorithm(), &digests).into())
    }

    fn data_digests(
        &self,
        blocks: &Range<u64>,
        buffer: &mut AlignedBuffer,
    ) -> Result<Vec<u8>, SourceError> {
        self.digester.data(self.data, blocks, buffer, None)
    }

    /// Checks the lower levels of a run from the top down, then its data.
    fn run(
        &self,
        run: &Run,
        units: &ExpectedDigests,
        buffer: &mut AlignedBuffer,
    ) -> Result<(), VerifyTreeError> {
        let mut lowest = None;
        for level in (0..self.runs.lower_levels()).rev() {
            let blocks = self.runs.hash_blocks(level, &run.blocks);
            lowest = Some(self.hash_blocks(level, blocks, lowest.as_ref().unwrap_or(units))?);
        }
        let expected = lowest.as_ref().unwrap_or(units);
        let found = self.data_digests(&run.blocks, buffer)?;
        self.compare(run.blocks.start, &found, expected, |findings, block| {
            findings.corrupt_data_block(block);
        });
        Ok(())
    }

    /// Reads hash blocks of a level and checks them against the digests above.
    #[expect(
        clippy::indexing_slicing,
        reason = "levels and blocks of its own layout"
    )]
    fn hash_blocks(
        &self,
        level: usize,
        blocks: Range<u64>,
        above: &ExpectedDigests,
    ) -> Result<ExpectedDigests, VerifyTreeError> {
        let block_size = self.digester.hash_block_size().bytes();
        let Level {
            first_block,
            digests: level_digests,
            ..
        } = self.runs.layout().levels()[level];
        let place = |block| HashBlock {
            level,
            block,
            offset: self.area.block_offset(first_block + block),
        };
        let offset = place(blocks.start).offset;
        let mut digests = vec![0; ((blocks.end - blocks.start) * block_size) as usize];
        self.hashes.read_exact_at(&mut digests, offset)?;
        let found = self.digester.hash_blocks(&digests);
        let valid = self.compare(blocks.start, &found, above, |findings, block| {
            findings.corrupt_hash_block(place(block));
        });
        let digests_per_block = self.digests_per_block;
        let first = blocks.start * digests_per_block;
        // Where the tree is one of more data blocks, the root hash is right all the same, and what
        // is left of the data would be taken for all of it.
        let used = (level_digests - first) as usize * self.digester.digest_size();
        let unused = digests.get(used..).unwrap_or_default();
        if valid.last() == Some(&true) && unused.iter().any(|byte| *byte != 0) {
            return Err(VerifyTreeError::MoreDigests {
                block: place(blocks.end - 1),
                data_blocks: self.runs.data_blocks(),
            });
        }
        Ok(ExpectedDigests {
            first,
            digests,
            valid,
            digests_per_block,
        })
    }

    /// Compares the digests of blocks, the first of which is `first`, with what is expected, and
    /// tells those that differ. Gives for each whether it is known to be right.
    fn compare(
        &self,
        first: u64,
        found: &[u8],
        expected: &ExpectedDigests,
        corrupt: impl Fn(&mut Findings, u64),
    ) -> Vec<bool> {
        let size = self.digester.digest_size();
        let expected = |block| expected.expected(block, size);
        let digests = || (first..).zip(found.chunks_exact(size));
        let valid = digests()
            .map(|(block, digest)| expected(block) == Some(digest))
            .collect();
        // Locked only where there is something to tell, which is hardly ever.
        let mut differing = digests()
            .filter(|(block, digest)| expected(*block).is_some_and(|right| right != *digest))
            .map(|(block, _)| block)
            .peekable();
        if differing.peek().is_some() {
            let mut findings = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
            differing.for_each(|block| corrupt(&mut findings, block));
        }
        valid
    }
}
