//! Where the hash area of a disk starts, when nobody says so.

use dm_verity::BlockSize;

/// Where a hash area that is appended to `bytes` bytes starts: right after them, at a
/// multiple of both block sizes, so that no block is shared and all are aligned.
///
/// `None` where that is more than 64 bits hold.
pub fn appended_hash_offset(bytes: u64, data: BlockSize, hash: BlockSize) -> Option<u64> {
    bytes.checked_next_multiple_of(data.bytes().max(hash.bytes()))
}

/// Where to look for the superblock that was appended to a filesystem of so many bytes: at
/// each place that [`appended_hash_offset`] gives for any block sizes, nearest first.
pub fn hash_offset_candidates(filesystem_bytes: u64) -> Vec<u64> {
    let mut offsets: Vec<u64> = (9..=16)
        .filter_map(|bits| filesystem_bytes.checked_next_multiple_of(1 << bits))
        .collect();
    offsets.dedup();
    offsets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligned_to_the_larger_block() {
        let (small, large) = (BlockSize::new(512).unwrap(), BlockSize::new(8192).unwrap());
        for (bytes, data, hash, expected) in [
            (4096, small, small, 4096),
            (4097, small, small, 4608),
            (4096, small, large, 8192),
            (4096, large, small, 8192),
            (8192, large, large, 8192),
        ] {
            assert_eq!(appended_hash_offset(bytes, data, hash), Some(expected));
        }
        assert_eq!(appended_hash_offset(u64::MAX, small, small), None);
    }

    #[test]
    fn candidates() {
        assert_eq!(hash_offset_candidates(65536), [65536]);
        assert_eq!(
            hash_offset_candidates(4096),
            [4096, 8192, 16384, 32768, 65536]
        );
        assert_eq!(hash_offset_candidates(512)[..2], [512, 1024]);
        assert!(hash_offset_candidates(u64::MAX).is_empty());
    }
}
