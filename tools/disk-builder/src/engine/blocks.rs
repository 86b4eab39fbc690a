//! Digests of data blocks and hash blocks.

use std::{ops::Range, time::Instant};

use dm_verity::{BlockHasher, BlockSize, VerityParams};
use model_disk::AlignedBuffer;

use super::{Source, SourceError, pace::Pace};

/// About how many bytes of data are read and hashed at once: they stay in the processor's cache.
const WINDOW_BYTES: usize = 1 << 20;

/// How many bytes of the page cache are hashed where they are at once: so many that mapping them
/// costs little beside it. Fewer are copied.
const MAPPED_BYTES: usize = 4 << 20;

/// What takes data that has been read, with its offset.
pub(super) type Take<'a, E> = &'a mut dyn FnMut(u64, &[u8]) -> Result<(), E>;

/// Makes the digests of one tree's blocks.
pub(super) struct Digester {
    hasher: BlockHasher,
    digest_size: usize,
    data_block_size: BlockSize,
    hash_block_size: BlockSize,
    zero_block: Vec<u8>,
    pace: Pace,
}

/// Levels over some digests.
pub(super) struct Levels {
    /// The hash blocks of each level, the lowest first.
    pub(super) levels: Vec<Vec<u8>>,
    /// The digests of the hash blocks of the highest level.
    pub(super) digests: Vec<u8>,
}

impl Digester {
    pub(super) fn new(params: &VerityParams) -> Self {
        let hasher = BlockHasher::for_params(params);
        let zero_block = hasher.digest(&vec![0; params.data_block_size().as_usize()]);
        Self {
            digest_size: params.digest_size(),
            data_block_size: params.data_block_size(),
            hash_block_size: params.hash_block_size(),
            zero_block: zero_block.as_bytes().to_owned(),
            hasher,
            pace: Pace::new(),
        }
    }

    /// The size of a digest in bytes.
    pub(super) fn digest_size(&self) -> usize {
        self.digest_size
    }

    /// The size of a data block.
    pub(super) fn data_block_size(&self) -> BlockSize {
        self.data_block_size
    }

    /// The size of a hash block.
    pub(super) fn hash_block_size(&self) -> BlockSize {
        self.hash_block_size
    }

    /// The digests of a range of data blocks, one after the other, without the zeros that fill up a
    /// hash block. `buffer` is a worker's own.
    ///
    /// What is read goes to `take` too. That must be what was hashed, whatever happens to the file
    /// meanwhile: a copy. Where nobody takes it, data in the page cache is hashed where it is, if
    /// that is faster.
    pub(super) fn data<E: From<SourceError>>(
        &self,
        source: &dyn Source,
        blocks: &Range<u64>,
        buffer: &mut AlignedBuffer,
        mut take: Option<Take<'_, E>>,
    ) -> Result<Vec<u8>, E> {
        let size = self.data_block_size;
        let count = (blocks.end - blocks.start) as usize;
        let mut digests = Vec::with_capacity(self.padded(count * self.digest_size));
        let mut block = blocks.start;
        while block < blocks.end {
            let offset = block * size.bytes();
            let extent = source.extent_at(offset)?;
            let whole = ((extent.end - offset) / size.bytes()).min(blocks.end - block);
            if extent.zeros && whole > 0 {
                digests.extend(self.zero_digests(whole));
                block += whole;
                continue;
            }
            let upto = |bytes: usize| ((bytes / size.as_usize()) as u64).min(whole).max(1);
            let start = Instant::now();
            let mapped = take.is_none()
                && whole * size.bytes() >= MAPPED_BYTES as u64
                && self.pace.map_next()
                && self.append_cached(source, offset, &mut digests);
            let here = upto(if mapped { MAPPED_BYTES } else { WINDOW_BYTES });
            let bytes = here as usize * size.as_usize();
            if !mapped {
                let buffer = buffer.bytes(bytes);
                source.read_exact_at(buffer, offset)?;
                self.append(buffer, size, &mut digests);
                if let Some(take) = &mut take {
                    take(offset, buffer)?;
                }
            }
            self.pace.took(mapped, bytes, start.elapsed());
            block += here;
        }
        Ok(digests)
    }

    /// Adds the digests of [`MAPPED_BYTES`] in the page cache. False, and nothing added, where it is not there
    /// or could not be read to its end: reading it tells why.
    fn append_cached(&self, source: &dyn Source, offset: u64, digests: &mut Vec<u8>) -> bool {
        let Some(window) = source.cached(offset, MAPPED_BYTES) else {
            return false;
        };
        let old = digests.len();
        self.append(window.bytes(), self.data_block_size, digests);
        if window.check().is_err() {
            digests.truncate(old);
            return false;
        }
        true
    }

    /// The digests of so many data blocks of zeros.
    pub(super) fn zero_digests(&self, blocks: u64) -> Vec<u8> {
        self.zero_block.repeat(blocks as usize)
    }

    /// The digests of hash blocks.
    pub(super) fn hash_blocks(&self, blocks: &[u8]) -> Vec<u8> {
        let count = blocks.len() / self.hash_block_size.as_usize();
        let mut digests = Vec::with_capacity(self.padded(count * self.digest_size));
        self.append(blocks, self.hash_block_size, &mut digests);
        digests
    }

    /// So many levels over these digests.
    pub(super) fn levels_over(&self, mut digests: Vec<u8>, count: usize) -> Levels {
        let mut levels = Vec::with_capacity(count);
        for _ in 0..count {
            let mut blocks = digests;
            blocks.resize(self.padded(blocks.len()), 0);
            digests = self.hash_blocks(&blocks);
            levels.push(blocks);
        }
        Levels { levels, digests }
    }

    /// The size of so many bytes of digests in whole hash blocks.
    pub(super) fn padded(&self, bytes: usize) -> usize {
        bytes.next_multiple_of(self.hash_block_size.as_usize())
    }

    #[expect(clippy::indexing_slicing, reason = "grown by as much just before")]
    fn append(&self, blocks: &[u8], size: BlockSize, digests: &mut Vec<u8>) {
        let old = digests.len();
        digests.resize(old + blocks.len() / size.as_usize() * self.digest_size, 0);
        self.hasher.digest_blocks(blocks, size, &mut digests[old..]);
    }
}
