//! The names of mappings.

use std::{fmt, str::FromStr};

use devicemapper::{DevId, DeviceInfo, DmNameBuf, DmUuidBuf};
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

    /// Marks the mapping as this project's. A UUID has less room than two names could need.
    #[expect(clippy::unreachable, reason = "the length of a digest in hex is fixed")]
    pub(super) fn uuid(&self) -> DmUuidBuf {
        let digest = Sha256::digest(self.to_string());
        DmUuidBuf::new(format!("DISK-MOUNTER-{}", hex::encode(digest)))
            .unwrap_or_else(|_| unreachable!("77 ASCII characters"))
    }

    /// Whether the mapping of this name has the mark.
    pub(super) fn is_marked(&self, info: &DeviceInfo) -> bool {
        info.uuid() == Some(&*self.uuid())
    }
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
    fn the_longest_name_has_a_uuid() {
        let name: MappingName = "n".repeat(127).parse().unwrap();
        assert_eq!(name.uuid().to_string().len(), 77);
    }
}
