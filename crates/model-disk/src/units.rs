//! Numbers as people write them on a command line. No I/O.

use std::{fmt, str::FromStr};

use dm_verity::{BlockSize, BlockSizeError};

/// A number of bytes, written as digits and perhaps one of `K`, `M`, `G`, `T`
/// (powers of 1024; in either case).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A text that is no size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// Not digits with one of the suffixes.
    #[error("a size is a number of bytes, perhaps with K, M, G or T after it (powers of 1024)")]
    NotASize,
    /// More than 64 bits.
    #[error("the size is too large")]
    TooLarge,
}

/// In either case, with the power of two that each stands for.
const SUFFIXES: [([char; 2], u32); 4] = [
    (['K', 'k'], 10),
    (['M', 'm'], 20),
    (['G', 'g'], 30),
    (['T', 't'], 40),
];

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let with_suffix = |(suffix, shift)| Some((text.strip_suffix(suffix)?, shift));
        let (digits, shift) = SUFFIXES
            .into_iter()
            .find_map(with_suffix)
            .unwrap_or((text, 0));
        // The standard parser would take a sign too.
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(SizeError::NotASize);
        }
        // Digits alone fail for their number only.
        let number: u64 = digits.parse().map_err(|_| SizeError::TooLarge)?;
        number
            .checked_mul(1 << shift)
            .map(Self)
            .ok_or(SizeError::TooLarge)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A text that is no block size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockSizeTextError {
    /// Not even a size.
    #[error(transparent)]
    Size(#[from] SizeError),
    /// A size that no block has.
    #[error(transparent)]
    BlockSize(#[from] BlockSizeError),
}

/// Reads a block size, which is written as any [`Size`].
pub fn block_size(text: &str) -> Result<BlockSize, BlockSizeTextError> {
    Ok(BlockSize::new(text.parse::<Size>()?.0)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("4K", 4096),
            ("4k", 4096),
            ("3M", 3 << 20),
            ("2G", 2 << 30),
            ("1T", 1 << 40),
            ("007", 7),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
    }

    #[test]
    fn no_sizes() {
        for text in [
            "", "K", "+1", "-1", "1 K", " 1", "1KB", "1KiB", "0x10", "1.5G", "1P", "é", "٣",
        ] {
            assert_eq!(text.parse::<Size>(), Err(SizeError::NotASize), "{text:?}");
        }
        for text in ["18446744073709551616", "16777216T", "99999999999999999999K"] {
            assert_eq!(text.parse::<Size>(), Err(SizeError::TooLarge), "{text}");
        }
    }

    #[test]
    fn block_sizes() {
        assert_eq!(block_size("4K"), Ok(BlockSize::DEFAULT));
        assert_eq!(
            block_size("4095"),
            Err(BlockSizeTextError::BlockSize(BlockSizeError(4095)))
        );
        assert_eq!(
            block_size(""),
            Err(BlockSizeTextError::Size(SizeError::NotASize))
        );
    }
}
