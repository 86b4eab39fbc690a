//! dm-verity as arithmetic on bytes and numbers; nothing in here does I/O.
//!
//! - [`RootHash`], [`Salt`], [`BlockSize`], [`HashAlgorithm`]: values that are
//!   valid once they exist.
//! - [`VerityParams`]: what a root hash depends on besides the data.
//! - [`Superblock`]: the 512 bytes that carry the parameters on a disk.
//! - [`TreeLayout`] and [`HashArea`]: which digest stands where.
//! - [`BlockHasher`]: digests of blocks.
//! - [`VerityTable`]: the line that the kernel's device-mapper is given.
//! - [`geometry_salt()`]: the salt that pins the parameters to the root hash.
//! - [`Binding`]: whether that salt or anything else pins them.
//! - [`Labels`]: parameters in the words of `veritysetup`.
//! - [`derived_uuid`], [`appended_hash_offset`]: what is taken where nobody says.
//!
//! A root hash from these parts, of data in memory. (`disk-builder`'s engine does the same for
//! disks of any size, in parallel.)
//!
//! ```
//! use disk_mounter::verity::{
//!     BlockHasher, BlockSize, HashAlgorithm, RootHash, TreeLayout, VerityParams, geometry_salt,
//! };
//!
//! let (size, data) = (BlockSize::DEFAULT, vec![7; 300 * 4096]);
//! let salt = geometry_salt(HashAlgorithm::Sha256, size, size, 300);
//! let params = VerityParams::new(HashAlgorithm::Sha256, size, size, 300, salt)?;
//! let hasher = BlockHasher::for_params(&params);
//!
//! // The digests of all data blocks, then those of the hash blocks that hold them, and so on.
//! let digests = |blocks: &[u8]| -> Vec<u8> {
//!     let digests = blocks.chunks(4096).map(|block| hasher.digest(block));
//!     digests.flat_map(|digest| digest.as_bytes().to_vec()).collect()
//! };
//! let mut top = digests(&data);
//! for level in TreeLayout::new(&params).levels() {
//!     top.resize(level.blocks as usize * 4096, 0);
//!     top = digests(&top);
//! }
//! let root_hash: RootHash = hex::encode(top).parse()?;
//! assert_eq!(
//!     root_hash.to_string(),
//!     "8aec2bb950c86704d29f5018f9755eb2b786851f1e70e67ddaa1f644d7fce929"
//! );
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
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
