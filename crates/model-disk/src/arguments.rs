//! What the arguments of a program say of a disk. All of it is trusted. No I/O.

use dm_verity::{
    BlockSize, HashAlgorithm, HashArea, HashAreaError, ParamsError, RootHash, Salt, VerityParams,
};

use crate::{ExitCode, HasExitCode, filesystem::FsType};

/// What a disk is expected to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskArguments {
    /// The root hash; without one the root block is not compared with anything.
    pub root_hash: Option<RootHash>,
    /// The filesystem on it.
    pub fs_type: FsType,
    /// Where the parameters of its tree come from.
    pub params: ParamsSource,
}

impl DiskArguments {
    /// A disk as `disk-builder` makes it: parameters from the superblock after an EROFS.
    pub fn new(root_hash: RootHash) -> Self {
        Self {
            root_hash: Some(root_hash),
            fs_type: FsType::default(),
            params: ParamsSource::default(),
        }
    }
}

/// Where the parameters of a tree come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParamsSource {
    /// From the superblock on the hash device.
    Superblock {
        /// Where that is, in bytes; if not given, right after the filesystem, or at byte 0 of a
        /// hash device of its own.
        hash_offset: Option<u64>,
        /// What it must say.
        expected: ExpectedParams,
    },
    /// From the arguments alone; a superblock is not looked at.
    Arguments {
        /// The parameters.
        params: VerityParams,
        /// Where the tree is on the hash device.
        hash_area: HashArea,
    },
}

impl Default for ParamsSource {
    fn default() -> Self {
        Self::Superblock {
            hash_offset: None,
            expected: ExpectedParams::default(),
        }
    }
}

/// Those of a tree's parameters that the arguments name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExpectedParams {
    /// The number of data blocks.
    pub data_blocks: Option<u64>,
    /// The unit of data.
    pub data_block_size: Option<BlockSize>,
    /// The unit of the tree.
    pub hash_block_size: Option<BlockSize>,
    /// What digests are made with.
    pub algorithm: Option<HashAlgorithm>,
    /// The salt.
    pub salt: Option<Salt>,
}

/// Arguments that do not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentsError {
    /// One is missing.
    #[error("without a superblock, {0} must be given")]
    Missing(&'static str),
    /// The root hash is one of another algorithm.
    #[error("--hash {hash}, but the root hash is one of {root_hash}")]
    Algorithm {
        /// What was named.
        hash: HashAlgorithm,
        /// What the root hash is.
        root_hash: HashAlgorithm,
    },
    /// They do not go together.
    #[error(transparent)]
    Params(#[from] ParamsError),
    /// No tree can be there.
    #[error("--hash-offset")]
    HashOffset(#[from] HashAreaError),
}

impl HasExitCode for ArgumentsError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }
}

/// The disk claims something else than the arguments say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the disk claims {what} {claimed}, the arguments say {expected}")]
pub struct Contradiction {
    what: &'static str,
    claimed: String,
    expected: String,
}

impl ExpectedParams {
    /// The parameters of a tree without a superblock, at byte `hash_offset` of its hash device.
    pub fn without_superblock(
        self,
        root_hash: &RootHash,
        hash_offset: Option<u64>,
    ) -> Result<ParamsSource, ArgumentsError> {
        use ArgumentsError::Missing;
        let hash_offset = hash_offset.ok_or(Missing("--hash-offset or --hash-device"))?;
        let algorithm = root_hash.algorithm();
        if let Some(hash) = self.algorithm.filter(|given| *given != algorithm) {
            let root_hash = algorithm;
            return Err(ArgumentsError::Algorithm { hash, root_hash });
        }
        let params = VerityParams::new(
            algorithm,
            self.data_block_size.unwrap_or(BlockSize::DEFAULT),
            self.hash_block_size.unwrap_or(BlockSize::DEFAULT),
            self.data_blocks.ok_or(Missing("--data-blocks"))?,
            self.salt.ok_or(Missing("--salt"))?,
        )?;
        let hash_area = HashArea::new(&params, hash_offset, false)?;
        Ok(ParamsSource::Arguments { params, hash_area })
    }

    /// Compares what a superblock claims. The number of data blocks is left to
    /// [`Binding`](crate::Binding).
    pub(crate) fn check(&self, claimed: &VerityParams) -> Result<(), Contradiction> {
        same(
            "hash algorithm",
            &claimed.algorithm(),
            self.algorithm.as_ref(),
        )?;
        same(
            "data block size",
            &claimed.data_block_size(),
            self.data_block_size.as_ref(),
        )?;
        same(
            "hash block size",
            &claimed.hash_block_size(),
            self.hash_block_size.as_ref(),
        )?;
        same("salt", claimed.salt(), self.salt.as_ref())
    }
}

fn same<T: PartialEq + ToString>(
    what: &'static str,
    claimed: &T,
    expected: Option<&T>,
) -> Result<(), Contradiction> {
    match expected {
        Some(expected) if expected != claimed => Err(Contradiction {
            what,
            claimed: claimed.to_string(),
            expected: expected.to_string(),
        }),
        _ => Ok(()),
    }
}
