//! Blocks that have been verified, in bounded memory.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    mem,
    sync::{Arc, Mutex, PoisonError},
};

/// How much memory the blocks take that are kept, in bytes. The tree over 1 TB takes 8 GB: what is
/// kept is what was needed last, and what is above that.
pub const CACHE_BYTES: usize = 32 << 20;

/// How many parts there are, each with a lock of its own.
const SHARDS: usize = 16;

/// About what the place of a block in a table takes beside its bytes.
const OVERHEAD: usize = 128;

/// Which block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum BlockKey {
    /// A data block, by its number.
    Data(u64),
    /// A hash block, by its level and its number in that.
    Hash(usize, u64),
}

/// Verified blocks. No lock is held while anything is read or hashed.
pub(crate) struct BlockCache {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
}

/// Two generations. When the young one is full, it becomes the old one, which is forgotten; what is
/// asked for becomes young again.
#[derive(Default)]
struct Shard {
    young: HashMap<BlockKey, Arc<[u8]>>,
    young_bytes: usize,
    old: HashMap<BlockKey, Arc<[u8]>>,
}

impl BlockCache {
    pub(crate) fn new() -> Self {
        Self {
            shards: Default::default(),
            hasher: RandomState::new(),
        }
    }

    /// The block, if it is kept.
    pub(crate) fn get(&self, key: BlockKey) -> Option<Arc<[u8]>> {
        self.with_shard(key, |shard| match shard.young.get(&key) {
            Some(block) => Some(Arc::clone(block)),
            None => {
                let block = shard.old.remove(&key)?;
                shard.insert(key, Arc::clone(&block));
                Some(block)
            }
        })
    }

    /// Whether it is kept.
    pub(crate) fn contains(&self, key: BlockKey) -> bool {
        self.with_shard(key, |shard| {
            shard.young.contains_key(&key) || shard.old.contains_key(&key)
        })
    }

    /// Keeps a block.
    pub(crate) fn insert(&self, key: BlockKey, block: Arc<[u8]>) {
        self.with_shard(key, |shard| shard.insert(key, block));
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "a remainder of the number of shards"
    )]
    fn with_shard<R>(&self, key: BlockKey, work: impl FnOnce(&mut Shard) -> R) -> R {
        let index = self.hasher.hash_one(key) as usize % SHARDS;
        // What panicked with the lock left a block out at most.
        let shard = self.shards[index].lock();
        work(&mut shard.unwrap_or_else(PoisonError::into_inner))
    }
}

impl Shard {
    /// The room of a generation.
    const ROOM: usize = CACHE_BYTES / SHARDS / 2;

    #[expect(
        clippy::arithmetic_side_effects,
        reason = "blocks have at most 64 KiB, and a generation is soon full"
    )]
    fn insert(&mut self, key: BlockKey, block: Arc<[u8]>) {
        let bytes = block.len() + OVERHEAD;
        if self.young_bytes + bytes > Self::ROOM {
            self.old = mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        if self.young.insert(key, block).is_none() {
            self.young_bytes += bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(cache: &BlockCache) -> usize {
        let shards = cache.shards.iter().map(|shard| shard.lock().unwrap());
        shards
            .map(|shard| {
                let blocks = shard.young.values().chain(shard.old.values());
                blocks.map(|block| block.len() + OVERHEAD).sum::<usize>()
            })
            .sum()
    }

    #[test]
    fn what_is_kept_is_bounded() {
        for size in [512, 4096, 65536] {
            let cache = BlockCache::new();
            let blocks = 3 * CACHE_BYTES / size;
            for number in 0..blocks as u64 {
                cache.insert(BlockKey::Data(number), vec![1; size].into());
                // Whoever is asked for all the time stays.
                cache.insert(BlockKey::Hash(0, 0), vec![2; size].into());
                if number % 16 == 0 {
                    assert!(cache.get(BlockKey::Hash(0, 0)).is_some());
                }
            }
            let kept = kept(&cache);
            assert!(kept <= CACHE_BYTES, "{kept}");
            assert!(kept > CACHE_BYTES / 3, "{kept}");
            assert!(!cache.contains(BlockKey::Data(0)));
            assert!(cache.contains(BlockKey::Data(blocks as u64 - 1)));
        }
    }

    #[test]
    fn what_is_asked_for_again_outlives_what_is_not() {
        let cache = BlockCache::new();
        let (asked, other) = (BlockKey::Hash(1, 0), BlockKey::Hash(1, 1));
        for key in [asked, other] {
            cache.insert(key, vec![1; 4096].into());
        }
        for number in 0..(3 * CACHE_BYTES / 4096) as u64 {
            cache.insert(BlockKey::Data(number), vec![0; 4096].into());
            assert_eq!(cache.get(asked).unwrap()[0], 1, "{number}");
        }
        assert!(cache.get(other).is_none());
    }

    #[test]
    fn levels_and_data_are_told_apart() {
        let cache = BlockCache::new();
        let keys = [
            BlockKey::Data(1),
            BlockKey::Hash(0, 1),
            BlockKey::Hash(1, 1),
        ];
        for (number, key) in keys.into_iter().enumerate() {
            cache.insert(key, vec![number as u8].into());
        }
        for (number, key) in keys.into_iter().enumerate() {
            assert_eq!(*cache.get(key).unwrap(), [number as u8]);
        }
    }
}
