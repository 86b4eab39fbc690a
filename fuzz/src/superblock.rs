//! The dm-verity superblock. What is taken is written again as the same 512 bytes.

use dm_verity::{HashArea, MAX_BYTES, SUPERBLOCK_SIZE, Superblock, TreeLayout};
use model_disk::Binding;

/// Takes a superblock; one that is too short is filled up with zeros.
pub fn run(bytes: &[u8]) {
    let mut raw = [0; SUPERBLOCK_SIZE];
    let length = bytes.len().min(raw.len());
    raw[..length].copy_from_slice(&bytes[..length]);
    let Ok(superblock) = Superblock::parse(&raw) else {
        return;
    };
    assert_eq!(superblock.to_bytes(), raw, "every byte counts");

    let params = &superblock.params;
    let layout = TreeLayout::new(params);
    let digests: u64 = layout.levels().iter().map(|level| level.digests).sum();
    let blocks: u64 = layout.levels().iter().map(|level| level.blocks).sum();
    assert_eq!(blocks, layout.blocks());
    assert!(params.data_blocks() == 1 || digests == params.data_blocks() + blocks - 1);
    let offset = u64::from_le_bytes(*raw.last_chunk().unwrap_or(&[0; 8]));
    for (offset, superblock) in [0, offset, params.data_bytes()]
        .into_iter()
        .flat_map(|offset| [(offset, true), (offset, false)])
    {
        if let Ok(area) = HashArea::new(params, offset, superblock) {
            assert!(area.end(&layout) <= MAX_BYTES);
            assert!(area.block_offset(0) >= offset);
        }
    }
    // Nothing but a filesystem of that very size, or the salt, binds it.
    for bytes in [None, Some(0), Some(u64::MAX), Some(params.data_bytes() + 1)] {
        let found = Binding::find(params, None, bytes);
        assert!(
            matches!(found, Ok(Binding::GeometrySalt) | Err(_)),
            "{found:?}"
        );
    }
}
