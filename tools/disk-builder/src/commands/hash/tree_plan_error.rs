//! Why a tree, or an FEC area, cannot be made so.

use dm_verity::{
    BlockSize, HashAreaError, ParamsError,
    fec::{FecAreaError, FecLayoutError},
};
use model_disk::{ExitCode, HasExitCode};

/// Why a tree cannot be made so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreePlanError {
    /// There is nothing.
    #[error("there is no data: it has 0 bytes")]
    Empty,
    /// Bytes at the end would not be covered.
    #[error(
        "the data has {bytes} bytes, no whole number of {block_size}-byte blocks: the last {rest} \
         bytes would not be covered; pad the data, or name the blocks to cover with --data-blocks"
    )]
    PartOfABlock {
        /// How many there are.
        bytes: u64,
        /// The unit.
        block_size: BlockSize,
        /// How many are left over.
        rest: u64,
    },
    /// There is less data than the arguments say.
    #[error(
        "{data_blocks} data blocks of {block_size} bytes are more than the {bytes} bytes of data"
    )]
    TooFew {
        /// What the arguments say.
        data_blocks: u64,
        /// The unit.
        block_size: BlockSize,
        /// What there is.
        bytes: u64,
    },
    /// The tree would be written over the data.
    #[error(
        "the hash area at byte {offset} would overwrite the data, which ends at byte {data_bytes}: \
         choose a larger --hash-offset, or fewer --data-blocks"
    )]
    Overlap {
        /// Where the hash area starts.
        offset: u64,
        /// Where the data ends.
        data_bytes: u64,
    },
    /// A block device does not grow.
    #[error(
        "the hash tree would end at byte {end}, but the device has only {bytes} bytes: name fewer \
         --data-blocks, or another --hash-device"
    )]
    NoRoom {
        /// Where it would end.
        end: u64,
        /// Where the device ends.
        bytes: u64,
    },
    /// Parity would be written over the tree, or would cover what is before it.
    #[error(
        "the FEC area at byte {offset} would not be after the hash area, which ends at byte {end}: \
         choose a larger --fec-offset, or omit it"
    )]
    FecNotAfterTree {
        /// Where the FEC area would start.
        offset: u64,
        /// Where the hash area ends.
        end: u64,
    },
    /// A block device does not grow.
    #[error(
        "the FEC area would end at byte {end}, but the device has only {bytes} bytes: choose \
         another --fec-device"
    )]
    NoRoomForFec {
        /// Where it would end.
        end: u64,
        /// Where the device ends.
        bytes: u64,
    },
    /// FEC cannot cover such a disk.
    #[error(transparent)]
    FecLayout(#[from] FecLayoutError),
    /// No FEC area can be there.
    #[error(transparent)]
    FecArea(#[from] FecAreaError),
    /// The parameters do not go together.
    #[error(transparent)]
    Params(#[from] ParamsError),
    /// No hash area can be there.
    #[error(transparent)]
    Area(#[from] HashAreaError),
}

impl HasExitCode for TreePlanError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Empty | Self::NoRoom { .. } | Self::NoRoomForFec { .. } => ExitCode::Failure,
            _ => ExitCode::Usage,
        }
    }
}
