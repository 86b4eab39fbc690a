//! The names of mappings.

use std::{fmt, str::FromStr};

use devicemapper::{DevId, DeviceInfo, DmNameBuf, DmUuidBuf};
use dm_verity::{HashAlgorithm, RootHash};
use sha2::{Digest as _, Sha256};

/// A mapping's name: 1 to 127 bytes of the characters that udev leaves alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappingName(pub(super) DmNameBuf);

/// A text that is no name of a mapping.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name of a mapping: 1 to 127 of A-Z a-z 0-9 # + - . : = @ _, and not . or ..")]
pub struct BadName(String);

impl FromStr for MappingName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"#+-.:=@_".contains(&byte);
        if !text.bytes().all(plain) || matches!(text, "." | "..") {
            return Err(BadName(text.to_owned()));
        }
        DmNameBuf::new(text.to_owned())
            .map(Self)
            .map_err(|_| BadName(text.to_owned()))
    }
}

impl fmt::Display for MappingName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl MappingName {
    /// How the kernel is asked for the mapping of this name, whoever has made it.
    pub(super) fn id(&self) -> DevId<'_> {
        DevId::Name(&self.0)
    }
}

/// What this project's mappings have as their UUID: whose they are, which root hash their table has,
/// and what their name is, as digests. Anybody may read it in sysfs, and only root can make it.
///
/// A UUID has no more than 128 bytes, which two names, or a root hash of SHA-512, would not fit into.
/// The name is there since no two mappings may have one UUID. A mapping that was given another name
/// keeps its mark.
pub(crate) struct Mark<'a> {
    /// That of [`root_hash_mark`].
    pub(crate) root_hash: &'a str,
}

const PREFIX: &str = "DISK-MOUNTER-";

impl<'a> Mark<'a> {
    /// None where it is the UUID of another program's mapping.
    pub(crate) fn parse(uuid: &'a str) -> Option<Self> {
        let (root_hash, name) = uuid.strip_prefix(PREFIX)?.split_once('-')?;
        (root_hash.len() == 64 && name.len() == 32).then_some(Self { root_hash })
    }

    /// Whether a mapping has this project's mark.
    pub(super) fn is_on(info: &DeviceInfo) -> bool {
        let uuid = info.uuid().map(ToString::to_string);
        uuid.as_deref().and_then(Mark::parse).is_some()
    }

    /// The UUID of a mapping.
    #[expect(
        clippy::unreachable,
        reason = "the lengths of digests in hex are fixed"
    )]
    pub(super) fn uuid(name: &MappingName, root_hash: &RootHash) -> DmUuidBuf {
        let (root_hash, name) = (root_hash_mark(root_hash), name_digest(name));
        DmUuidBuf::new(format!("{PREFIX}{root_hash}-{name}"))
            .unwrap_or_else(|_| unreachable!("110 ASCII characters"))
    }
}

/// How a root hash stands in the UUID of its mapping: one of SHA-256 as it is, another as its
/// SHA-256 digest; in hex.
pub(crate) fn root_hash_mark(root_hash: &RootHash) -> String {
    match root_hash.algorithm() {
        HashAlgorithm::Sha256 => root_hash.to_string(),
        HashAlgorithm::Sha512 => hex::encode(Sha256::digest(root_hash.as_bytes())),
    }
}

/// Half a digest of a name, in hex.
fn name_digest(name: &MappingName) -> String {
    let digest: [u8; 32] = Sha256::digest(name.to_string()).into();
    let [half, _]: [[u8; 16]; 2] = zerocopy::transmute!(digest);
    hex::encode(half)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "verity-0123", "A.b:c=d@e_f#g+h-", &"n".repeat(127)] {
            assert_eq!(good.parse::<MappingName>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "a b",
            "é",
            "a\n",
            "a\0",
            &"n".repeat(128),
        ] {
            assert!(bad.parse::<MappingName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_longest_name_and_root_hash_have_a_uuid() {
        let name: MappingName = "n".repeat(127).parse().unwrap();
        for bytes in [32, 64] {
            let root_hash: RootHash = "5a".repeat(bytes).parse().unwrap();
            let uuid = Mark::uuid(&name, &root_hash).to_string();
            assert_eq!(uuid.len(), 110);
            let mark = Mark::parse(&uuid).unwrap();
            assert_eq!(mark.root_hash, root_hash_mark(&root_hash));
            assert_eq!(mark.root_hash == root_hash.to_string(), bytes == 32);
            assert!(uuid.ends_with(&name_digest(&name)));
        }
        for other in [
            "",
            "CRYPT-VERITY-0-x",
            "DISK-MOUNTER-5a5a-5a",
            "DISK-MOUNTER-",
        ] {
            assert!(Mark::parse(other).is_none(), "{other}");
        }
    }
}
