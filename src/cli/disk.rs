//! What a disk is, on the command lines of `mount` and of what reads a disk.

use std::path::{Path, PathBuf};

use clap::Args;
use dm_verity::{BlockSize, HashAlgorithm, RootHash, Salt};
use model_disk::{
    ArgumentsError, ExpectedParams, ParamsSource,
    units::{Size, block_size},
};

/// Which disk it must be, and where its tree is.
#[derive(Debug, Args)]
pub(super) struct DiskOptions {
    /// What the disk must be: 64 hex digits (128 with sha512)
    #[arg(long, value_name = "HEX")]
    pub(super) root_hash: RootHash,
    /// The device with the hash tree, if it is another
    #[arg(long, value_name = "PATH")]
    pub(super) hash_device: Option<PathBuf>,
    /// Where the superblock is, or the tree if there is none [default: after the filesystem; 0 on
    /// a hash device]
    #[arg(long, value_name = "BYTES")]
    hash_offset: Option<Size>,
    /// How many data blocks the disk must have
    #[arg(long, value_name = "N", required_if_eq("no_superblock", "true"))]
    data_blocks: Option<u64>,
    /// Do not read a superblock; the arguments give all parameters
    #[arg(long, requires = "salt")]
    no_superblock: bool,
    /// The salt, or - for none
    #[arg(long, value_name = "HEX|-", requires = "no_superblock")]
    salt: Option<Salt>,
    /// The hash algorithm [default: that of the root hash]
    #[arg(long, value_name = "ALG", requires = "no_superblock")]
    hash: Option<HashAlgorithm>,
    /// The data block size [default: 4096]
    #[arg(long, value_name = "N", requires = "no_superblock", value_parser = block_size)]
    data_block_size: Option<BlockSize>,
    /// The hash block size [default: 4096]
    #[arg(long, value_name = "N", requires = "no_superblock", value_parser = block_size)]
    hash_block_size: Option<BlockSize>,
}

impl DiskOptions {
    /// Where the parameters of its tree come from.
    pub(super) fn params(&self) -> Result<ParamsSource, ArgumentsError> {
        let hash_offset = self.hash_offset.map(|Size(bytes)| bytes);
        let expected = ExpectedParams {
            data_blocks: self.data_blocks,
            data_block_size: self.data_block_size,
            hash_block_size: self.hash_block_size,
            algorithm: self.hash,
            salt: self.salt.clone(),
        };
        if self.no_superblock {
            let hash_device: Option<&Path> = self.hash_device.as_deref();
            return expected.without_superblock(&self.root_hash, hash_offset, hash_device);
        }
        Ok(ParamsSource::Superblock {
            hash_offset,
            expected,
        })
    }
}
