//! dm-verity as arithmetic on bytes and numbers; nothing in here does I/O.
//!
//! - [`RootHash`], [`Salt`], [`BlockSize`], [`HashAlgorithm`]: values that are
//!   valid once they exist.
//! - [`VerityParams`]: what a root hash depends on besides the data.
//! - [`Superblock`]: the 512 bytes that carry the parameters on a disk.
//! - [`TreeLayout`] and [`HashArea`]: which digest stands where.
//! - [`BlockHasher`]: digests of blocks.
//! - [`VerityTable`]: the line that the kernel's device-mapper is given.
//! - [`geometry_salt`]: the salt that pins the parameters to the root hash.
//! - [`Binding`]: whether that salt or anything else pins them.
//! - [`Labels`]: parameters in the words of `veritysetup`.
//! - [`derived_uuid`], [`appended_hash_offset`]: what is taken where nobody says.
//!
//! The format is the kernel's `Documentation/admin-guide/device-mapper/verity.rst`,
//! hash type 1, and cryptsetup's superblock, version 1.

mod binding;
mod block_size;
mod digest;
mod geometry_salt;
mod hash_offset;
mod hasher;
mod labels;
mod layout;
mod params;
mod salt;
pub mod sha256;
mod superblock;
mod table;
mod uuid;

pub use binding::{Binding, BindingError};
pub use block_size::{BlockSize, BlockSizeError};
pub use digest::{Digest, HashAlgorithm, RootHash, RootHashError, UnknownAlgorithm};
pub use geometry_salt::geometry_salt;
pub use hash_offset::{appended_hash_offset, hash_offset_candidates};
pub use hasher::BlockHasher;
pub use labels::Labels;
pub use layout::{HashArea, HashAreaError, Level, TreeLayout};
pub use params::{MAX_BYTES, ParamsError, VerityParams};
pub use salt::{MAX_SALT_SIZE, Salt, SaltError};
pub use superblock::{SUPERBLOCK_SIZE, Superblock, SuperblockError};
pub use table::{DeviceNumber, LoadedTable, NotATable, OnCorruption, VerityTable};
pub use uuid::derived_uuid;
