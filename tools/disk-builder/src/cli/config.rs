//! From arguments to what a command is to do.

use super::{
    UsageError,
    args::{BuildArguments, HashArguments, ModelFlags, VerifyArguments},
};
use crate::{
    build::Build,
    hash::{Hash, TreeRequest},
    model::Excludes,
    verify::{TreeArguments, Verify},
};

impl TryFrom<BuildArguments> for Build {
    type Error = UsageError;

    fn try_from(arguments: BuildArguments) -> Result<Self, UsageError> {
        Ok(Self {
            excludes: arguments.model.excludes()?,
            model: arguments.model.model,
            output: arguments.output,
            manifest: arguments.manifest,
            source: arguments.source,
            revision: arguments.revision,
            force: arguments.force,
        })
    }
}

impl ModelFlags {
    /// What is to be left out.
    pub(super) fn excludes(&self) -> Result<Excludes, UsageError> {
        Ok(Excludes::new(&self.exclude)?)
    }
}

impl From<HashArguments> for Hash {
    fn from(arguments: HashArguments) -> Self {
        let tree = arguments.tree;
        let default = TreeRequest::default();
        Self {
            data: arguments.data,
            hash_device: arguments.hash_device,
            tree: TreeRequest {
                algorithm: tree.hash.unwrap_or(default.algorithm),
                data_block_size: tree.data_block_size.unwrap_or(default.data_block_size),
                hash_block_size: tree.hash_block_size.unwrap_or(default.hash_block_size),
                data_blocks: tree.data_blocks,
                salt: tree.salt,
                hash_offset: tree.hash_offset.map(|offset| offset.0),
                superblock: !tree.no_superblock,
            },
            uuid: arguments.uuid,
            force: arguments.force,
        }
    }
}

impl TryFrom<VerifyArguments> for Verify {
    type Error = UsageError;

    fn try_from(arguments: VerifyArguments) -> Result<Self, UsageError> {
        let tree = arguments.tree;
        if tree.no_superblock && tree.hash_offset.is_none() && arguments.hash_device.is_none() {
            return Err(UsageError::NoHashOffset);
        }
        Ok(Self {
            image: arguments.image,
            root_hash: arguments.root_hash,
            hash_device: arguments.hash_device,
            hash_offset: tree.hash_offset.map(|offset| offset.0),
            superblock: !tree.no_superblock,
            tree: TreeArguments {
                data_blocks: tree.data_blocks,
                data_block_size: tree.data_block_size,
                hash_block_size: tree.hash_block_size,
                algorithm: tree.hash,
                salt: tree.salt,
            },
        })
    }
}
