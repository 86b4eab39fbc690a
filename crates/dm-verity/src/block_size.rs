//! Block sizes.

use core::fmt;

/// The size of a data block or a hash block in bytes: a power of two from 512
/// to 65536.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockSize(u32);

/// A number that is no block size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("block size {0} is not a power of two from 512 to 65536")]
pub struct BlockSizeError(pub u64);

impl BlockSize {
    /// What every tool takes when nothing else is said, and the size of a page
    /// of most machines.
    pub const DEFAULT: Self = Self(4096);

    /// Checks a size in bytes.
    pub fn new(bytes: u64) -> Result<Self, BlockSizeError> {
        match u32::try_from(bytes) {
            Ok(size) if size.is_power_of_two() && (512..=65536).contains(&size) => Ok(Self(size)),
            _ => Err(BlockSizeError(bytes)),
        }
    }

    /// The size in bytes.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The size in bytes, for arithmetic on offsets.
    pub const fn bytes(self) -> u64 {
        self.0 as u64
    }

    /// The size in bytes, for slices.
    pub const fn as_usize(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for BlockSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_two_within_the_limits() {
        for good in [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536] {
            assert_eq!(BlockSize::new(good).map(BlockSize::bytes), Ok(good));
        }
        for bad in [
            0,
            1,
            256,
            511,
            513,
            4095,
            6144,
            131072,
            1 << 32,
            (1 << 32) + 4096,
            u64::MAX,
        ] {
            assert_eq!(BlockSize::new(bad), Err(BlockSizeError(bad)));
        }
    }
}
