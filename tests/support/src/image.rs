//! Small disks, made in a slow and plain way, to be bent afterwards.

use dm_verity::{BlockSize, Digest, HashAlgorithm, RootHash, Salt, Superblock, VerityParams};
use model_disk::{
    erofs::{MAGIC, SUPERBLOCK_OFFSET},
    geometry_salt,
};
use sha2::{Digest as _, Sha256, Sha512};

/// Which salt a disk has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaltKind {
    /// The one that pins the parameters.
    Geometry,
    /// One zero byte, which pins nothing.
    Zero,
    /// None.
    Empty,
}

/// A disk: data, a superblock in a hash block of its own, and the tree.
#[derive(Clone, Debug)]
pub struct DiskImage {
    /// All of it.
    pub bytes: Vec<u8>,
    /// Its parameters.
    pub params: VerityParams,
    /// What it must be.
    pub root_hash: RootHash,
    /// The levels of the tree, level 0 first.
    pub levels: Vec<Vec<u8>>,
}

impl DiskImage {
    /// A disk with this data, whose tree is of these blocks.
    pub fn new(data: &[u8], (data_block, hash_block): (u64, u64), salt: SaltKind) -> Self {
        Self::with_algorithm(data, (data_block, hash_block), salt, HashAlgorithm::Sha256)
    }

    /// The same with another algorithm.
    pub fn with_algorithm(
        data: &[u8],
        (data_block, hash_block): (u64, u64),
        salt: SaltKind,
        algorithm: HashAlgorithm,
    ) -> Self {
        let blocks = data.len() as u64 / data_block;
        let data_block = BlockSize::new(data_block).unwrap();
        let hash_block = BlockSize::new(hash_block).unwrap();
        let salt = match salt {
            SaltKind::Geometry => geometry_salt(algorithm, data_block, hash_block, blocks),
            SaltKind::Zero => Salt::new(&[0]).unwrap(),
            SaltKind::Empty => Salt::default(),
        };
        let params = VerityParams::new(algorithm, data_block, hash_block, blocks, salt).unwrap();
        Self::of(data, params)
    }

    /// A disk with this data and these parameters, whatever they say.
    pub fn of(data: &[u8], params: VerityParams) -> Self {
        let (root_hash, levels) = tree(data, &params);
        let superblock = Superblock {
            uuid: uuid::Uuid::from_u128(7),
            params: params.clone(),
        };
        let bytes = assemble(data, &superblock, &levels);
        Self {
            bytes,
            params,
            root_hash,
            levels,
        }
    }

    /// Where the data ends and the superblock starts.
    pub fn data_end(&self) -> usize {
        self.params.data_bytes() as usize
    }

    /// The data.
    pub fn data(&self) -> &[u8] {
        &self.bytes[..self.data_end()]
    }

    /// The same disk with other bytes at a place of its superblock.
    pub fn with_superblock_bytes(&self, offset: usize, bytes: &[u8]) -> Vec<u8> {
        let mut image = self.bytes.clone();
        let at = self.data_end() + offset;
        image[at..at + bytes.len()].copy_from_slice(bytes);
        image
    }
}

/// Data, a superblock, and levels of a tree, level 0 first.
pub fn assemble(data: &[u8], superblock: &Superblock, levels: &[Vec<u8>]) -> Vec<u8> {
    let hash_block = superblock.params.hash_block_size().as_usize();
    let mut bytes = data.to_vec();
    bytes.extend(superblock.to_bytes());
    bytes.resize(bytes.len().next_multiple_of(hash_block), 0);
    levels.iter().rev().for_each(|level| bytes.extend(level));
    bytes
}

/// `H(salt ‖ block)`.
pub fn digest(params: &VerityParams, block: &[u8]) -> Vec<u8> {
    let salted = [params.salt().as_bytes(), block].concat();
    match params.algorithm() {
        HashAlgorithm::Sha256 => Sha256::digest(salted).to_vec(),
        HashAlgorithm::Sha512 => Sha512::digest(salted).to_vec(),
    }
}

/// The root hash and the levels of the tree over some data, level 0 first.
fn tree(data: &[u8], params: &VerityParams) -> (RootHash, Vec<Vec<u8>>) {
    let digests = |bytes: &[u8], size| -> Vec<Vec<u8>> {
        bytes
            .chunks(size)
            .map(|block| digest(params, block))
            .collect()
    };
    let hash_block = params.hash_block_size().as_usize();
    let mut digests_below = digests(data, params.data_block_size().as_usize());
    let mut levels = Vec::new();
    while digests_below.len() > 1 {
        let mut level = digests_below.concat();
        level.resize(level.len().next_multiple_of(hash_block), 0);
        digests_below = digests(&level, hash_block);
        levels.push(level);
    }
    let root = Digest::new(params.algorithm(), &digests_below[0]);
    (root.into(), levels)
}

/// Data that looks random, with an EROFS superblock that claims to fill all of it. `seed` makes
/// one model differ from another.
pub fn data(bytes: usize, seed: u64) -> Vec<u8> {
    let mut data = crate::model::bytes(bytes, seed);
    claim_erofs(&mut data, 9, (bytes / 512) as u32);
    data
}

/// Puts an EROFS superblock into data that claims so many blocks of 2^`bits` bytes. The rest of
/// it is zero. Data too short for one stays as it is.
pub fn claim_erofs(data: &mut [u8], bits: u8, blocks: u32) {
    let at = SUPERBLOCK_OFFSET as usize;
    let Some(superblock) = data.get_mut(at..at + 128) else {
        return;
    };
    superblock.fill(0);
    superblock[..4].copy_from_slice(&MAGIC.to_le_bytes());
    superblock[12] = bits;
    superblock[36..40].copy_from_slice(&blocks.to_le_bytes());
}
