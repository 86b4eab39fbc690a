//! A slow, obvious tree builder: the oracle of the fast one.
//!
//! Written from the kernel's `admin-guide/device-mapper/verity.rst`, with nothing of the program but `sha2`, the crate under it.

use sha2::{Digest as _, Sha256, Sha512};

/// What a tree depends on besides the data.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// `sha256` or `sha512`.
    pub(crate) algorithm: &'static str,
    pub(crate) data_block_size: usize,
    pub(crate) hash_block_size: usize,
    pub(crate) salt: Vec<u8>,
}

impl Shape {
    /// `H(salt ‖ block)`
    pub(crate) fn digest(&self, block: &[u8]) -> Vec<u8> {
        let salted = [&self.salt, block].concat();
        match self.algorithm {
            "sha256" => Sha256::digest(salted).to_vec(),
            "sha512" => Sha512::digest(salted).to_vec(),
            other => panic!("no such algorithm: {other}"),
        }
    }

    /// The root hash, and the tree as it stands on the disk: the top level first.
    pub(crate) fn tree(&self, data: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let mut digests: Vec<Vec<u8>> = data
            .chunks(self.data_block_size)
            .map(|block| self.digest(block))
            .collect();
        let mut tree = Vec::new();
        while digests.len() > 1 {
            // As many digests as fit into a block, and zeros after them.
            let per_block = self.hash_block_size / digests[0].len();
            let level: Vec<Vec<u8>> = digests
                .chunks(per_block)
                .map(|digests| {
                    let mut block = digests.concat();
                    block.resize(self.hash_block_size, 0);
                    block
                })
                .collect();
            digests = level.iter().map(|block| self.digest(block)).collect();
            tree = [level.concat(), tree].concat();
        }
        (digests.remove(0), tree)
    }
}
