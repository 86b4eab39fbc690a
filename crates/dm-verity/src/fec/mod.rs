//! Forward error correction: parity from which bad blocks are made good, as the kernel and
//! `veritysetup` have it. docs/layout.md of the project has the format.
//!
//! - [`FecRoots`], [`FecLayout`], [`FecArea`]: how much parity there is, which blocks a codeword
//!   goes through, and where all of it stands.
//! - [`FecEncoder`]: adds blocks to [`ParityPlanes`], in any order.
//! - [`FecDecoder`]: takes in the blocks of a row, good and bad, and tells what to change.
//! - [`FecBackend`]: the ways to multiply, and which one is used.
//!
//! Nothing about FEC is to be trusted: what was corrected is hashed again.
//!
//! ```
//! use dm_verity::{
//!     BlockSize, HashAlgorithm, Salt, VerityParams,
//!     fec::{FecDecoder, FecEncoder, FecLayout, FecRoots, ParityPlanes},
//! };
//!
//! // 200 data blocks and their tree of 3 are one row.
//! let size = BlockSize::DEFAULT;
//! let params = VerityParams::new(HashAlgorithm::Sha256, size, size, 200, Salt::default())?;
//! let layout = FecLayout::new(&params, FecRoots::default())?;
//! assert_eq!((layout.covered_blocks(), layout.rounds()), (203, 1));
//! let blocks: Vec<_> = (0..203).map(|n| vec![n as u8; 4096]).collect();
//!
//! let encoder = FecEncoder::new(layout.roots());
//! let mut planes = ParityPlanes::new(layout.roots(), 4096);
//! for (column, block) in blocks.iter().enumerate() {
//!     encoder.add(column, block, &mut planes, 0);
//! }
//! let mut parity = vec![0; layout.row_parity_bytes()];
//! planes.interleave(&mut parity);
//!
//! // Blocks 7 and 150 are lost.
//! let decoder = FecDecoder::new(&layout);
//! let mut row = decoder.row(0);
//! for (column, block) in blocks.iter().enumerate() {
//!     if ![7, 150].contains(&column) {
//!         row.add(column, block);
//!     }
//! }
//! row.add_parity(&parity);
//! let corrected = row.correct(&[7, 150])?;
//! assert_eq!(corrected.change(7), Some(&blocks[7][..]));
//! assert_eq!(corrected.change(150), Some(&blocks[150][..]));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
#![expect(
    clippy::arithmetic_side_effects,
    clippy::disallowed_macros,
    clippy::indexing_slicing,
    reason = "elements of the field, arrays whose lengths the compiler knows, and planes whose lengths \
              are compared before; these functions have a fuzz target of their own"
)]

mod codeword;
mod decoder;
mod encoder;
mod field;
mod kernel;
mod layout;
mod planes;
mod polynomial;
mod roots;
#[cfg(test)]
mod tests;

pub use decoder::{FecCorrections, FecDecoder, FecRow, TooManyErasures};
pub use encoder::FecEncoder;
#[cfg(feature = "std")]
pub use kernel::FEC_BACKEND_VARIABLE;
pub use kernel::{FecBackend, FecBackendError};
pub use layout::{FecArea, FecAreaError, FecLayout, FecLayoutError, FecPlace};
pub use planes::ParityPlanes;
pub use roots::{FecRoots, FecRootsError};
