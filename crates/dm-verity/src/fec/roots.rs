//! How many bytes of a codeword are parity.

use core::{fmt, str::FromStr};

/// How many of the 255 bytes of a codeword are parity: 2 to 24.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FecRoots(u8);

/// A number of roots that the kernel does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the number of FEC roots is 2 to 24")]
pub struct FecRootsError;

impl FecRoots {
    /// How many there are.
    pub const fn get(self) -> usize {
        self.0 as usize
    }
}

impl Default for FecRoots {
    fn default() -> Self {
        Self(2)
    }
}

impl TryFrom<u32> for FecRoots {
    type Error = FecRootsError;

    fn try_from(roots: u32) -> Result<Self, FecRootsError> {
        match u8::try_from(roots) {
            Ok(roots @ 2..=24) => Ok(Self(roots)),
            _ => Err(FecRootsError),
        }
    }
}

impl FromStr for FecRoots {
    type Err = FecRootsError;

    fn from_str(text: &str) -> Result<Self, FecRootsError> {
        text.parse::<u32>().map_err(|_| FecRootsError)?.try_into()
    }
}

impl fmt::Display for FecRoots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
