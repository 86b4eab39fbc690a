//! What must hold of whatever disk is accepted, written down once more in another way.

use dm_verity::{HashAlgorithm, RootHash, TreeLayout};
use model_disk::{Binding, Disk, filesystem::FsType};
use sha2::{Digest as _, Sha256, Sha512};

/// Data and tree are within their devices and apart, the root block is the one of the root hash,
/// and the number of data blocks is bound.
#[track_caller]
pub fn assert_sound(
    disk: &[u8],
    hash_device: Option<&[u8]>,
    root_hash: &RootHash,
    fs_type: FsType,
    data_blocks: Option<u64>,
    accepted: &Disk,
) {
    let params = accepted.params();
    let data_end = u128::from(params.data_blocks()) * u128::from(params.data_block_size().get());
    let hash_block = params.hash_block_size().bytes();
    let tree_start = accepted.hash_area().first_block() * hash_block;
    let tree_end = tree_start + TreeLayout::new(params).blocks() * hash_block;
    let apart = data_end <= u128::from(accepted.hash_area().offset());
    assert!(apart || hash_device.is_some(), "apart");
    assert!(accepted.hash_area().offset() <= tree_start, "in order");
    assert!(data_end <= disk.len() as u128, "the data is on its device");
    let hash_device = hash_device.unwrap_or(disk);
    assert!(tree_end <= hash_device.len() as u64, "so is the tree");

    let root_block = match params.data_blocks() {
        1 => &disk[..data_end as usize],
        _ => &hash_device[tree_start as usize..][..hash_block as usize],
    };
    let salted = [params.salt().as_bytes(), root_block].concat();
    let digest = match params.algorithm() {
        HashAlgorithm::Sha256 => Sha256::digest(salted).to_vec(),
        HashAlgorithm::Sha512 => Sha512::digest(salted).to_vec(),
    };
    assert_eq!(root_hash.as_bytes(), digest, "the root block");

    match accepted.binding() {
        Binding::Arguments => assert_eq!(data_blocks, Some(params.data_blocks())),
        Binding::GeometrySalt => {
            let mut pinned = b"disk-mounter geometry v1\0".to_vec();
            pinned.extend(1u32.to_le_bytes());
            pinned.extend(params.data_block_size().get().to_le_bytes());
            pinned.extend(params.hash_block_size().get().to_le_bytes());
            pinned.extend(params.data_blocks().to_le_bytes());
            let mut name = params.algorithm().name().as_bytes().to_vec();
            name.resize(32, 0);
            pinned.extend(name);
            assert_eq!(params.salt().as_bytes(), &Sha256::digest(pinned)[..]);
        }
        Binding::Filesystem => {
            let claimed = fs_type.claimed_bytes(disk).unwrap();
            let block = params.data_block_size().bytes();
            assert!(u128::from(claimed) <= data_end, "the data holds it");
            assert!(
                u128::from(claimed) + u128::from(block) > data_end,
                "it fills the data"
            );
        }
    }
    assert!(data_blocks.is_none_or(|expected| expected == params.data_blocks()));
}
