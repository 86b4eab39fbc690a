//! Whether the shape of a disk is bound to what the caller trusts.
//!
//! A root hash alone does not tell how many blocks it covers. A changed superblock could cut a
//! disk short, or pass off a level of the tree as data, under the same root hash.

use crate::geometry_salt;
use dm_verity::{BlockSize, VerityParams};

/// What binds the parameters of a disk to something that is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// The salt is the one that these parameters give, see [`geometry_salt()`].
    GeometrySalt,
    /// The arguments name the number of data blocks.
    Arguments,
    /// The filesystem, which the root hash covers, fills the data blocks.
    Filesystem,
}

impl Binding {
    /// In words, for results and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GeometrySalt => "geometry salt",
            Self::Arguments => "arguments",
            Self::Filesystem => "filesystem",
        }
    }
}

/// Why parameters are not bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindingError {
    /// The disk claims another number than the arguments.
    #[error("the disk claims {claimed} data blocks, the arguments say {expected}")]
    DataBlocks {
        /// What the disk says.
        claimed: u64,
        /// What the arguments say.
        expected: u64,
    },
    /// The filesystem has another size than the data blocks.
    #[error(
        "nothing binds the number of data blocks to the root hash: the filesystem has \
         {filesystem_bytes} bytes, the data blocks {data_bytes}; if {data_blocks} blocks are \
         what the publisher says, name them with --data-blocks"
    )]
    OtherSize {
        /// What the filesystem says.
        filesystem_bytes: u64,
        /// How many bytes the disk claims to cover.
        data_bytes: u64,
        /// The number of blocks of that.
        data_blocks: u64,
    },
    /// Nothing at all.
    #[error(
        "nothing binds the number of data blocks to the root hash: the salt is not the geometry \
         salt, and no filesystem tells its size; if {data_blocks} blocks are what the publisher \
         says, name them with --data-blocks"
    )]
    Nothing {
        /// What the disk claims.
        data_blocks: u64,
    },
}

impl Binding {
    /// Finds what binds `claimed`, the parameters that a disk gives.
    ///
    /// `arguments` is the number of data blocks that the caller names: it is trusted, and another
    /// number is refused, whatever else would bind. `filesystem_bytes` is the size that the
    /// filesystem on the data claims; it counts for nothing until the block that says so has been
    /// verified, so a caller that has not done that yet must do it before it believes a
    /// [`Binding::Filesystem`].
    ///
    /// The number of blocks is all that must be bound: a root block with another salt, block
    /// size or algorithm under one root hash would be a collision, as salts are shorter than the
    /// smallest difference between two block sizes.
    pub fn find(
        claimed: &VerityParams,
        arguments: Option<u64>,
        filesystem_bytes: Option<u64>,
    ) -> Result<Self, BindingError> {
        let data_blocks = claimed.data_blocks();
        if let Some(expected) = arguments {
            if expected != data_blocks {
                return Err(BindingError::DataBlocks {
                    claimed: data_blocks,
                    expected,
                });
            }
            return Ok(Self::Arguments);
        }
        let salt = geometry_salt(
            claimed.algorithm(),
            claimed.data_block_size(),
            claimed.hash_block_size(),
            data_blocks,
        );
        if *claimed.salt() == salt {
            return Ok(Self::GeometrySalt);
        }
        match filesystem_bytes {
            None => Err(BindingError::Nothing { data_blocks }),
            Some(bytes) if fills(bytes, data_blocks, claimed.data_block_size()) => {
                Ok(Self::Filesystem)
            }
            Some(filesystem_bytes) => Err(BindingError::OtherSize {
                filesystem_bytes,
                data_bytes: claimed.data_bytes(),
                data_blocks,
            }),
        }
    }
}

/// Whether so many bytes take just so many blocks.
fn fills(bytes: u64, blocks: u64, block_size: BlockSize) -> bool {
    bytes.div_ceil(block_size.bytes()) == blocks
}

#[cfg(test)]
mod tests {
    use super::*;
    use dm_verity::{HashAlgorithm, Salt};

    fn params(data_blocks: u64, salt: Salt) -> VerityParams {
        VerityParams::new(
            HashAlgorithm::Sha256,
            BlockSize::DEFAULT,
            BlockSize::DEFAULT,
            data_blocks,
            salt,
        )
        .unwrap()
    }

    fn geometry(data_blocks: u64) -> Salt {
        geometry_salt(
            HashAlgorithm::Sha256,
            BlockSize::DEFAULT,
            BlockSize::DEFAULT,
            data_blocks,
        )
    }

    #[test]
    fn what_binds() {
        use Binding as B;
        let zero: Salt = "00".parse().unwrap();
        for (salt, arguments, filesystem, expected) in [
            (geometry(10), None, None, B::GeometrySalt),
            (geometry(10), None, Some(4096), B::GeometrySalt),
            (geometry(10), Some(10), None, B::Arguments),
            (zero.clone(), Some(10), None, B::Arguments),
            (zero.clone(), Some(10), Some(4096), B::Arguments),
            (zero.clone(), None, Some(40960), B::Filesystem),
            (zero.clone(), None, Some(36865), B::Filesystem),
        ] {
            let found = Binding::find(&params(10, salt), arguments, filesystem);
            assert_eq!(found, Ok(expected), "{arguments:?} {filesystem:?}");
        }
    }

    #[test]
    fn what_does_not() {
        use BindingError as E;
        let zero: Salt = "00".parse().unwrap();
        let nothing = E::Nothing { data_blocks: 10 };
        let other = |filesystem_bytes| E::OtherSize {
            filesystem_bytes,
            data_bytes: 40960,
            data_blocks: 10,
        };
        let number = |expected| E::DataBlocks {
            claimed: 10,
            expected,
        };
        for (salt, arguments, filesystem, expected) in [
            (Salt::default(), None, None, nothing),
            (zero.clone(), None, None, nothing),
            // The salt of a larger disk, which somebody cut short.
            (geometry(11), None, None, nothing),
            (geometry(10), Some(11), None, number(11)),
            (zero.clone(), Some(9), Some(40960), number(9)),
            (zero.clone(), None, Some(36864), other(36864)),
            (zero.clone(), None, Some(40961), other(40961)),
            (zero.clone(), None, Some(0), other(0)),
        ] {
            let found = Binding::find(&params(10, salt), arguments, filesystem);
            assert_eq!(found, Err(expected), "{arguments:?} {filesystem:?}");
        }
    }
}
