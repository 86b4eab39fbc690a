//! The salt.

use alloc::vec::Vec;
use core::{fmt, str::FromStr};

/// The longest salt in bytes that the superblock has room for.
pub const MAX_SALT_SIZE: usize = 256;

/// What every block is hashed together with: 0 to 256 bytes. Written in hex,
/// or `-` where it is empty, as in the kernel's table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Salt(Vec<u8>);

/// A text or a length that is no salt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SaltError {
    /// Longer than [`MAX_SALT_SIZE`].
    #[error("a salt of {0} bytes is too long: the limit is {MAX_SALT_SIZE}")]
    TooLong(usize),
    /// Neither hex digits nor `-`.
    #[error("a salt is an even number of hex digits, or - for none")]
    NotHex,
}

impl Salt {
    /// Checks the length of a salt's bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, SaltError> {
        if bytes.len() > MAX_SALT_SIZE {
            return Err(SaltError::TooLong(bytes.len()));
        }
        Ok(Self(bytes.to_vec()))
    }

    /// The bytes that go in front of each block.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<[u8; 32]> for Salt {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes.to_vec())
    }
}

impl FromStr for Salt {
    type Err = SaltError;

    fn from_str(text: &str) -> Result<Self, SaltError> {
        if text == "-" {
            return Ok(Self::default());
        }
        if text.is_empty() {
            return Err(SaltError::NotHex);
        }
        Self::new(&hex::decode(text).map_err(|_| SaltError::NotHex)?)
    }
}

impl fmt::Display for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("-");
        }
        f.write_str(&hex::encode(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        for text in ["-", "00", "0aff", &"5a".repeat(256)] {
            assert_eq!(text.parse::<Salt>().unwrap().to_string(), text);
        }
        assert_eq!("AB".parse::<Salt>().unwrap().as_bytes(), [0xab]);
    }

    #[test]
    fn refused() {
        assert_eq!(
            "5a".repeat(257).parse::<Salt>(),
            Err(SaltError::TooLong(257))
        );
        for bad in ["", "0", "0x00", "zz", "--", " 00"] {
            assert_eq!(bad.parse::<Salt>(), Err(SaltError::NotHex), "{bad:?}");
        }
    }
}
