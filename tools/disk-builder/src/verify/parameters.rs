//! The parameters of a tree that is to be checked, from the disk or from the arguments. No I/O.

use disk_mounter::verity::{BlockSize, HashAlgorithm, ParamsError, RootHash, Salt, VerityParams};

/// What the arguments say of a tree. All of it is trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TreeArguments {
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

/// The disk claims something else than the arguments say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the disk claims {what} {claimed}, the {trusted_by} {expected}")]
pub struct Contradiction {
    what: &'static str,
    claimed: String,
    trusted_by: &'static str,
    expected: String,
}

/// Arguments do not make parameters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentsError {
    /// One is missing.
    #[error("without a superblock, {0} must be given")]
    Missing(&'static str),
    /// The root hash is one of another algorithm.
    #[error("the root hash has the length of {0}, --hash says {1}")]
    Algorithm(HashAlgorithm, HashAlgorithm),
    /// They do not go together.
    #[error(transparent)]
    Params(#[from] ParamsError),
}

impl TreeArguments {
    /// The parameters of a tree without a superblock.
    pub fn params(&self, root_hash: &RootHash) -> Result<VerityParams, ArgumentsError> {
        use ArgumentsError::Missing;
        let algorithm = root_hash.algorithm();
        match self.algorithm {
            Some(given) if given != algorithm => {
                return Err(ArgumentsError::Algorithm(algorithm, given));
            }
            _ => {}
        }
        Ok(VerityParams::new(
            algorithm,
            self.data_block_size.unwrap_or(BlockSize::DEFAULT),
            self.hash_block_size.unwrap_or(BlockSize::DEFAULT),
            self.data_blocks.ok_or(Missing("--data-blocks"))?,
            self.salt.clone().ok_or(Missing("--salt"))?,
        )?)
    }

    /// Compares what a superblock claims. The number of data blocks is left to
    /// [`disk_mounter::verity::Binding`].
    pub fn check(&self, claimed: &VerityParams, root_hash: &RootHash) -> Result<(), Contradiction> {
        same(
            "hash algorithm",
            claimed.algorithm(),
            "root hash has the length of",
            Some(root_hash.algorithm()),
        )?;
        let say = "arguments say";
        same("hash algorithm", claimed.algorithm(), say, self.algorithm)?;
        same(
            "data block size",
            claimed.data_block_size(),
            say,
            self.data_block_size,
        )?;
        same(
            "hash block size",
            claimed.hash_block_size(),
            say,
            self.hash_block_size,
        )?;
        same("salt", claimed.salt().clone(), say, self.salt.clone())
    }
}

fn same<T: PartialEq + ToString>(
    what: &'static str,
    claimed: T,
    trusted_by: &'static str,
    expected: Option<T>,
) -> Result<(), Contradiction> {
    match expected {
        Some(expected) if expected != claimed => Err(Contradiction {
            what,
            claimed: claimed.to_string(),
            trusted_by,
            expected: expected.to_string(),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(algorithm: HashAlgorithm) -> RootHash {
        "5a".repeat(algorithm.digest_size()).parse().unwrap()
    }

    fn all() -> TreeArguments {
        TreeArguments {
            data_blocks: Some(10),
            data_block_size: Some(BlockSize::new(512).unwrap()),
            hash_block_size: Some(BlockSize::new(1024).unwrap()),
            algorithm: Some(HashAlgorithm::Sha512),
            salt: Some("0a".parse().unwrap()),
        }
    }

    #[test]
    fn without_a_superblock() {
        let root512 = root(HashAlgorithm::Sha512);
        let params = all().params(&root512).unwrap();
        assert_eq!(params.data_bytes(), 5120);
        assert_eq!(params.salt().to_string(), "0a");
        let few = TreeArguments {
            data_blocks: Some(1),
            salt: Some(Salt::default()),
            ..TreeArguments::default()
        };
        let params = few.params(&root(HashAlgorithm::Sha256)).unwrap();
        assert_eq!(params.algorithm(), HashAlgorithm::Sha256);
        assert_eq!(params.data_bytes(), 4096);

        let missing = TreeArguments {
            salt: None,
            ..few.clone()
        };
        assert_eq!(
            missing.params(&root512),
            Err(ArgumentsError::Missing("--salt"))
        );
        let missing = TreeArguments {
            data_blocks: None,
            ..few
        };
        assert_eq!(
            missing.params(&root512),
            Err(ArgumentsError::Missing("--data-blocks"))
        );
        assert!(matches!(
            all().params(&root(HashAlgorithm::Sha256)),
            Err(ArgumentsError::Algorithm(..))
        ));
    }

    #[test]
    fn contradictions() {
        let root512 = root(HashAlgorithm::Sha512);
        let claimed = all().params(&root512).unwrap();
        assert_eq!(all().check(&claimed, &root512), Ok(()));
        assert_eq!(TreeArguments::default().check(&claimed, &root512), Ok(()));
        let message = |arguments: TreeArguments, root: &RootHash| {
            arguments.check(&claimed, root).unwrap_err().to_string()
        };
        for (arguments, expected) in [
            (
                TreeArguments {
                    algorithm: Some(HashAlgorithm::Sha256),
                    ..all()
                },
                "the disk claims hash algorithm sha512, the arguments say sha256",
            ),
            (
                TreeArguments {
                    data_block_size: Some(BlockSize::DEFAULT),
                    ..all()
                },
                "the disk claims data block size 512, the arguments say 4096",
            ),
            (
                TreeArguments {
                    hash_block_size: Some(BlockSize::DEFAULT),
                    ..all()
                },
                "the disk claims hash block size 1024, the arguments say 4096",
            ),
            (
                TreeArguments {
                    salt: Some(Salt::default()),
                    ..all()
                },
                "the disk claims salt 0a, the arguments say -",
            ),
        ] {
            assert_eq!(message(arguments, &root512), expected);
        }
        assert_eq!(
            message(TreeArguments::default(), &root(HashAlgorithm::Sha256)),
            "the disk claims hash algorithm sha512, the root hash has the length of sha256"
        );
    }
}
