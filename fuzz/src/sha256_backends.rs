//! Every SHA-256 kernel of this CPU gives the digests of the crate `sha2`: any
//! salt, block size, number of blocks, bytes and place in memory.

use arbitrary::{Arbitrary, Unstructured};
use dm_verity::{BlockHasher, BlockSize, HashAlgorithm, MAX_SALT_SIZE, Salt, sha256::Backend};
use sha2::{Digest, Sha256};

#[derive(Arbitrary, Debug)]
struct HashInput<'a> {
    salt: &'a [u8],
    size: u8,
    count: u8,
    offset: u8,
    bytes: &'a [u8],
}

/// Takes a salt and blocks.
pub fn run(bytes: &[u8]) {
    let Ok(input) = HashInput::arbitrary_take_rest(Unstructured::new(bytes)) else {
        return;
    };
    let salt = &input.salt[..input.salt.len().min(MAX_SALT_SIZE)];
    let size = 512usize << (input.size % 8);
    // More than two groups of the widest kernel, or as many large blocks as fit into 64 KiB: the
    // unit tests have whole groups of those.
    let count = usize::from(input.count % 36).min((64 << 10) / size);
    let offset = usize::from(input.offset % 64);

    // The bytes over and over, each time at another place of a block.
    let mut pattern: Vec<u8> = (0..4099).map(|i| i as u8).collect();
    let given = input.bytes.len().min(pattern.len());
    pattern[..given].copy_from_slice(&input.bytes[..given]);
    let mut memory = vec![0; offset + count * size];
    for part in memory.chunks_mut(pattern.len()) {
        part.copy_from_slice(&pattern[..part.len()]);
    }
    let blocks = &memory[offset..];
    let expected: Vec<u8> = blocks
        .chunks(size)
        .flat_map(|block| Sha256::new_with_prefix(salt).chain_update(block).finalize())
        .collect();

    let salt = Salt::new(salt).unwrap();
    let size = BlockSize::new(size as u64).unwrap();
    let hasher = BlockHasher::new(HashAlgorithm::Sha256, &salt);
    for backend in Backend::supported() {
        let mut digests = vec![0; expected.len()];
        hasher
            .clone()
            .with_backend(backend)
            .digest_blocks(blocks, size, &mut digests);
        assert!(digests == expected, "{backend}");
    }
}
