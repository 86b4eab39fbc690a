//! The superblocks of filesystems, as far as their sizes are read.

use model_disk::{
    filesystem::{FsType, HEADER_SIZE},
    hash_offset_candidates,
};

/// Takes the start of a disk, of any length.
pub fn run(bytes: &[u8]) {
    for fs_type in FsType::ALL {
        let Ok(size) = fs_type.claimed_bytes(bytes) else {
            continue;
        };
        // What comes after the header has no say.
        let header = &bytes[..bytes.len().min(HEADER_SIZE)];
        assert_eq!(fs_type.claimed_bytes(header), Ok(size));
        for offset in hash_offset_candidates(size) {
            assert!(offset >= size && offset - size < 65536 && offset % 512 == 0);
        }
    }
}
