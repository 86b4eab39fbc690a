//! Hash algorithms, digests and the root hash.

use alloc::{borrow::ToOwned, string::String};
use core::{fmt, str::FromStr};

/// A hash algorithm that a disk may use. Others are refused: a disk must not be
/// able to choose a weak one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HashAlgorithm {
    /// SHA-256, the default.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// The name of an algorithm that is not allowed, or of none at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("hash algorithm {0:?} is not allowed: only sha256 and sha512 are")]
pub struct UnknownAlgorithm(pub String);

impl HashAlgorithm {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// The name in superblocks, in the kernel's table and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// The size of a digest in bytes: a power of two for both algorithms, so
    /// that digests stand in a hash block without padding.
    pub const fn digest_size(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

impl FromStr for HashAlgorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, UnknownAlgorithm> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
            .ok_or_else(|| UnknownAlgorithm(name.to_owned()))
    }
}

impl fmt::Display for HashAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The digest of one block, with either algorithm. Written in hex.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest {
    algorithm: HashAlgorithm,
    /// Zero after the algorithm's digest size.
    bytes: [u8; 64],
}

impl Digest {
    /// Takes a digest's bytes.
    ///
    /// # Panics
    ///
    /// When `bytes` is not as long as the algorithm's digests are.
    #[expect(
        clippy::disallowed_methods,
        clippy::indexing_slicing,
        reason = "a digest fits into 64 bytes, and another length is the caller's fault, as is documented"
    )]
    pub fn new(algorithm: HashAlgorithm, bytes: &[u8]) -> Self {
        let mut padded = [0; 64];
        padded[..algorithm.digest_size()].copy_from_slice(bytes);
        Self {
            algorithm,
            bytes: padded,
        }
    }

    /// What made it.
    pub fn algorithm(&self) -> HashAlgorithm {
        self.algorithm
    }

    /// The bytes, as many as the algorithm's digests have.
    #[expect(
        clippy::indexing_slicing,
        reason = "a digest fits into 64 bytes, and another length is the caller's fault, as is documented"
    )]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.algorithm.digest_size()]
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.as_bytes()))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{self}", self.algorithm)
    }
}

/// The digest at the top of a hash tree: what a disk is compared with. Its
/// length tells the algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RootHash(Digest);

/// A text that is no root hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RootHashError {
    /// Not as long as a digest of any allowed algorithm.
    #[error("a root hash has 64 hex digits (sha256) or 128 (sha512), this has {0} characters")]
    Length(usize),
    /// Other characters among them.
    #[error("a root hash is written in hex digits only")]
    NotHex,
}

impl RootHash {
    /// The algorithm that its length tells.
    pub fn algorithm(&self) -> HashAlgorithm {
        self.0.algorithm
    }

    /// The bytes of the digest.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl From<Digest> for RootHash {
    fn from(digest: Digest) -> Self {
        Self(digest)
    }
}

impl FromStr for RootHash {
    type Err = RootHashError;

    #[expect(
        clippy::arithmetic_side_effects,
        reason = "twice a digest of at most 64 bytes"
    )]
    fn from_str(text: &str) -> Result<Self, RootHashError> {
        let algorithm = HashAlgorithm::ALL
            .into_iter()
            .find(|algorithm| text.len() == 2 * algorithm.digest_size())
            .ok_or_else(|| RootHashError::Length(text.chars().count()))?;
        let bytes = hex::decode(text).map_err(|_| RootHashError::NotHex)?;
        Ok(Self(Digest::new(algorithm, &bytes)))
    }
}

impl fmt::Display for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_exact() {
        assert_eq!("sha256".parse(), Ok(HashAlgorithm::Sha256));
        assert_eq!("sha512".parse(), Ok(HashAlgorithm::Sha512));
        for bad in ["", "SHA256", "sha-256", "sha256 ", "sha1", "crc32c"] {
            assert!(bad.parse::<HashAlgorithm>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn root_hash_text_and_back() {
        for digits in [64, 128] {
            let root: RootHash = "Ab".repeat(digits / 2).parse().unwrap();
            assert_eq!(root.to_string(), "ab".repeat(digits / 2));
            assert_eq!(root.as_bytes().len(), digits / 2);
        }
    }

    #[test]
    fn root_hash_refused() {
        for length in [0, 1, 40, 63, 65, 96, 127, 129] {
            assert_eq!(
                "a".repeat(length).parse::<RootHash>(),
                Err(RootHashError::Length(length))
            );
        }
        assert_eq!(
            "g".repeat(64).parse::<RootHash>(),
            Err(RootHashError::NotHex)
        );
        assert_eq!(
            " ".repeat(64).parse::<RootHash>(),
            Err(RootHashError::NotHex)
        );
        // 64 bytes, but not 64 characters.
        assert_eq!(
            "é".repeat(32).parse::<RootHash>(),
            Err(RootHashError::NotHex)
        );
    }
}
