//! How many parity bytes a codeword has.

use alloc::{borrow::ToOwned, string::String};
use core::{fmt, str::FromStr};

/// The number of parity bytes of a codeword, which the kernel calls `fec_roots`: 2 to 24. As many
/// bad blocks of a row can be corrected where it is known which they are, and half as many where
/// it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FecRoots(u8);

/// What is no number of parity bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no number of FEC roots from {MIN} to {MAX}")]
pub struct FecRootsError(String);

/// The bytes of a codeword, parity among them.
pub(super) const CODEWORD: usize = 255;

/// The fewest that the kernel takes.
const MIN: u8 = 2;

/// The most.
pub(super) const MAX: u8 = 24;

impl FecRoots {
    /// The number as a size.
    pub const fn get(self) -> usize {
        self.0 as usize
    }

    /// How many bytes of a codeword are not parity: the columns of the blocks that are covered.
    #[expect(clippy::arithmetic_side_effects, reason = "24 at most")]
    pub const fn columns(self) -> usize {
        CODEWORD - self.get()
    }
}

impl Default for FecRoots {
    /// That of veritysetup.
    fn default() -> Self {
        Self(MIN)
    }
}

impl TryFrom<u32> for FecRoots {
    type Error = FecRootsError;

    fn try_from(number: u32) -> Result<Self, FecRootsError> {
        match u8::try_from(number) {
            Ok(roots) if (MIN..=MAX).contains(&roots) => Ok(Self(roots)),
            _ => Err(FecRootsError(alloc::format!("{number}"))),
        }
    }
}

impl FromStr for FecRoots {
    type Err = FecRootsError;

    fn from_str(text: &str) -> Result<Self, FecRootsError> {
        let number = text.parse::<u32>().ok();
        number
            .and_then(|number| Self::try_from(number).ok())
            .ok_or_else(|| FecRootsError(text.to_owned()))
    }
}

impl fmt::Display for FecRoots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_to_twenty_four() {
        assert_eq!(FecRoots::default().get(), 2);
        for good in 2..=24 {
            let roots = FecRoots::try_from(good).unwrap();
            assert_eq!(roots.to_string().parse(), Ok(roots));
            assert_eq!(roots.get() + roots.columns(), 255);
        }
        for bad in ["0", "1", "25", "256", "258", "4294967298", "-2", "", "two"] {
            let error = bad.parse::<FecRoots>().unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("{bad:?} is no number of FEC roots from 2 to 24")
            );
        }
        assert!(FecRoots::try_from(258).is_err());
    }
}
