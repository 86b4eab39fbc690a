//! Forward error correction (FEC): where the parity of a disk stands.

mod layout;
mod roots;

pub use layout::{FecLayout, FecLayoutError};
pub use roots::{FecRoots, FecRootsError};
