//! What a file's bytes must be, as whoever offers it says. No I/O.

use std::fmt;

use sha1::{Digest as _, Sha1};
use sha2::Sha256;

/// A digest that a file must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentDigest {
    /// That of its bytes: what Git LFS keeps.
    Sha256([u8; 32]),
    /// The name that Git has for a file with these bytes.
    GitBlob([u8; 20]),
}

/// Takes the bytes of a file, in order.
#[derive(Clone, Debug)]
pub(crate) enum ContentHasher {
    Sha256(Sha256),
    GitBlob(Sha1),
}

impl ContentDigest {
    /// From 64 digits of a SHA-256.
    pub(super) fn sha256(digits: &str) -> Option<Self> {
        let mut digest = [0; 32];
        hex::decode_to_slice(digits, &mut digest).ok()?;
        Some(Self::Sha256(digest))
    }

    /// From the 40 digits of the name of a Git object.
    pub(super) fn git_blob(digits: &str) -> Option<Self> {
        let mut digest = [0; 20];
        hex::decode_to_slice(digits, &mut digest).ok()?;
        Some(Self::GitBlob(digest))
    }

    /// What it is called in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sha256(_) => "sha256",
            Self::GitBlob(_) => "git_blob",
        }
    }

    /// Its digits.
    pub fn digits(&self) -> String {
        match self {
            Self::Sha256(digest) => hex::encode(digest),
            Self::GitBlob(digest) => hex::encode(digest),
        }
    }

    /// For a file of so many bytes that should have this digest.
    pub(crate) fn hasher(&self, bytes: u64) -> ContentHasher {
        match self {
            Self::Sha256(_) => ContentHasher::Sha256(Sha256::new()),
            Self::GitBlob(_) => {
                ContentHasher::GitBlob(Sha1::new_with_prefix(format!("blob {bytes}\0")))
            }
        }
    }
}

impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Sha256(_) => "SHA-256",
            Self::GitBlob(_) => "Git's id",
        };
        write!(f, "{kind} {}", self.digits())
    }
}

impl ContentHasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::GitBlob(hasher) => hasher.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> ContentDigest {
        match self {
            Self::Sha256(hasher) => ContentDigest::Sha256(hasher.finalize().into()),
            Self::GitBlob(hasher) => ContentDigest::GitBlob(hasher.finalize().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8], like: ContentDigest) -> ContentDigest {
        let mut hasher = like.hasher(bytes.len() as u64);
        bytes.chunks(2).for_each(|part| hasher.update(part));
        hasher.finish()
    }

    /// `git hash-object` and `sha256sum` say these.
    #[test]
    fn known_digests() {
        for (bytes, digits) in [
            (&b""[..], "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"),
            (b"hello\n", "ce013625030ba8dba906f756967f9e9ca394464a"),
        ] {
            let known = ContentDigest::git_blob(digits).unwrap();
            assert_eq!(of(bytes, known), known);
            assert_eq!(known.to_string(), format!("Git's id {digits}"));
        }
        let known = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        let known = ContentDigest::sha256(known).unwrap();
        assert_eq!(of(b"hello\n", known), known);
        assert_ne!(of(b"hello", known), known);
    }

    #[test]
    fn no_digests() {
        for digits in ["", "ce01", "x", &"g".repeat(40), &"0".repeat(41)] {
            assert_eq!(ContentDigest::git_blob(digits), None);
            assert_eq!(ContentDigest::sha256(digits), None);
        }
    }
}
