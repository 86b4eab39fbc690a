//! The salt that pins the parameters.

use sha2::{Digest as _, Sha256};

use dm_verity::{BlockSize, HashAlgorithm, Salt};

/// The salt that binds the shape of a disk to its root hash.
///
/// A root hash alone does not tell how many blocks it covers, of which size. Salted with a
/// digest of these very parameters it does: other parameters mean another salt, and one root
/// hash for two salts would be a collision. Whoever knows the root hash checks that a disk's
/// salt is the one that its parameters give.
///
/// It is SHA-256 of `disk-mounter geometry v1`, a zero byte, the hash type (1), both
/// block sizes (32 bits each), the number of data blocks (64 bits) and the name of the
/// algorithm, padded with zeros to 32 bytes; integers in little-endian.
pub fn geometry_salt(
    algorithm: HashAlgorithm,
    data_block_size: BlockSize,
    hash_block_size: BlockSize,
    data_blocks: u64,
) -> Salt {
    let mut name = [0; 32];
    let letters = algorithm.name().bytes();
    name.iter_mut()
        .zip(letters)
        .for_each(|(to, from)| *to = from);
    let digest: [u8; 32] = Sha256::new()
        .chain_update(b"disk-mounter geometry v1\0")
        .chain_update(1u32.to_le_bytes())
        .chain_update(data_block_size.get().to_le_bytes())
        .chain_update(hash_block_size.get().to_le_bytes())
        .chain_update(data_blocks.to_le_bytes())
        .chain_update(name)
        .finalize()
        .into();
    Salt::from(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with Python:
    /// `sha256(b"disk-mounter geometry v1\0" + pack("<IIIQ32s", 1, 4096, 4096, 22185, b"sha256"))`.
    #[test]
    fn known_answer() {
        let salt = geometry_salt(
            HashAlgorithm::Sha256,
            BlockSize::DEFAULT,
            BlockSize::DEFAULT,
            22185,
        );
        assert_eq!(
            salt.to_string(),
            "e6ea71460e862a5603ed44338ac5059343123a08800f1f7427aac4b6441ddae2"
        );
    }

    #[test]
    fn every_parameter_matters() {
        let small = BlockSize::new(512).unwrap();
        let salts = [
            geometry_salt(
                HashAlgorithm::Sha256,
                BlockSize::DEFAULT,
                BlockSize::DEFAULT,
                2,
            ),
            geometry_salt(
                HashAlgorithm::Sha512,
                BlockSize::DEFAULT,
                BlockSize::DEFAULT,
                2,
            ),
            geometry_salt(HashAlgorithm::Sha256, small, BlockSize::DEFAULT, 2),
            geometry_salt(HashAlgorithm::Sha256, BlockSize::DEFAULT, small, 2),
            geometry_salt(
                HashAlgorithm::Sha256,
                BlockSize::DEFAULT,
                BlockSize::DEFAULT,
                3,
            ),
        ];
        for (i, a) in salts.iter().enumerate() {
            assert_eq!(salts.iter().filter(|b| a == *b).count(), 1, "{i}");
        }
    }
}
