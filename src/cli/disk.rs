//! What a disk is, on the command lines of `mount` and of what reads a disk.

use std::path::PathBuf;

use clap::Args;
use dm_verity::{BlockSize, HashAlgorithm, RootHash, Salt};
use model_disk::{
    ArgumentsError, ExpectedParams, ParamsSource, PartitionChoice,
    units::{Size, block_size},
};

use super::fec::FecOptions;
use crate::ReadRequest;

/// Which disk it must be, and where its tree is.
#[derive(Debug, Args)]
pub(super) struct DiskOptions {
    /// What the disk must be: 64 hex digits (128 with sha512)
    #[arg(long, value_name = "HEX")]
    root_hash: RootHash,
    /// The device with the hash tree, if it is another
    #[arg(long, value_name = "PATH", conflicts_with_all = ["data_partition", "hash_partition"])]
    hash_device: Option<PathBuf>,
    /// The partition with the data, on a disk with two of them and a GPT [default: found by the types]
    #[arg(long, value_name = "N")]
    data_partition: Option<u32>,
    /// The partition with the hash tree [default: found by its type or superblock]
    #[arg(long, value_name = "N")]
    hash_partition: Option<u32>,
    /// Where the superblock is, or the tree if there is none [default: after the filesystem; 0 on
    /// a hash device or partition]
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
    #[command(flatten)]
    fec: FecOptions,
}

impl DiskOptions {
    /// The partitions that are named, if any is.
    pub(super) fn partitions(&self) -> Option<PartitionChoice> {
        let choice = PartitionChoice {
            data: self.data_partition,
            hash: self.hash_partition,
        };
        (choice != PartitionChoice::default()).then_some(choice)
    }

    /// Checks them against each other. With `partitions` the device is taken apart.
    pub(super) fn check(
        self,
        device: PathBuf,
        partitions: Option<PartitionChoice>,
    ) -> Result<ReadRequest, ArgumentsError> {
        let hash_offset = self.hash_offset.map(|Size(bytes)| bytes);
        let expected = ExpectedParams {
            data_blocks: self.data_blocks,
            data_block_size: self.data_block_size,
            hash_block_size: self.hash_block_size,
            algorithm: self.hash,
            salt: self.salt,
        };
        let params = if self.no_superblock {
            let own_place = self.hash_device.is_some() || partitions.is_some();
            let hash_offset = hash_offset.or(own_place.then_some(0));
            expected.without_superblock(&self.root_hash, hash_offset)?
        } else {
            ParamsSource::Superblock {
                hash_offset,
                expected,
            }
        };
        Ok(ReadRequest {
            root_hash: self.root_hash,
            device,
            hash_device: self.hash_device,
            partitions,
            params,
            fec: self.fec.arguments(),
        })
    }
}
