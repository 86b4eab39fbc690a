//! The address of a model on the hub, as it is written. No I/O.

use std::{fmt, str::FromStr};

use model_disk::Escaped;

/// How such an address begins.
const SCHEME: &str = "hf://";

/// What the hub takes where nothing is said.
const DEFAULT_REVISION: &str = "main";

/// A model on the hub: `hf://ORG/MODEL`, or `hf://ORG/MODEL@REVISION`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubAddress {
    /// `ORG/MODEL`.
    pub(super) name: String,
    /// A branch, a tag or a commit.
    pub(super) revision: String,
}

/// Why a text is no address of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HubAddressError {
    /// It does not have the form.
    #[error("a model on the hub is hf://ORG/MODEL, or hf://ORG/MODEL@REVISION")]
    Form,
    /// Data and programs have the hub's other addresses.
    #[error("only models are read from the hub, and no datasets, spaces, kernels or buckets")]
    Kind,
}

impl HubAddress {
    /// Whether somebody means such an address, right or wrong.
    pub fn is_meant(text: &[u8]) -> bool {
        text.starts_with(SCHEME.as_bytes())
    }
}

impl FromStr for HubAddress {
    type Err = HubAddressError;

    fn from_str(text: &str) -> Result<Self, HubAddressError> {
        let rest = text.strip_prefix(SCHEME).ok_or(HubAddressError::Form)?;
        // It may stand there, as the hub's client has it.
        let rest = rest.strip_prefix("models/").unwrap_or(rest);
        let (name, revision) = rest.split_once('@').unwrap_or((rest, DEFAULT_REVISION));
        let names: Vec<&str> = name.split('/').collect();
        if matches!(
            names.as_slice(),
            ["datasets" | "spaces" | "kernels" | "buckets", ..]
        ) {
            return Err(HubAddressError::Kind);
        }
        // Those of the hub's own rules that keep the address what it is.
        let is_name = |name: &&str| {
            let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            !name.is_empty() && !matches!(*name, "." | "..") && name.bytes().all(known)
        };
        let is_revision = !revision.is_empty() && !revision.contains(char::is_control);
        if matches!(names.len(), 1 | 2) && names.iter().all(is_name) && is_revision {
            Ok(Self {
                name: name.to_owned(),
                revision: revision.to_owned(),
            })
        } else {
            Err(HubAddressError::Form)
        }
    }
}

impl fmt::Display for HubAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let revision = Escaped::bytes(self.revision.as_bytes());
        write!(f, "{SCHEME}{}@{revision}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, name, revision) in [
            ("hf://org/model", "org/model", "main"),
            ("hf://gpt2", "gpt2", "main"),
            ("hf://models/org/model@v1", "org/model", "v1"),
            ("hf://a-b/c_d.e@v1.0", "a-b/c_d.e", "v1.0"),
            ("hf://org/model@refs/pr/1", "org/model", "refs/pr/1"),
        ] {
            let address: HubAddress = text.parse().unwrap();
            assert_eq!((&*address.name, &*address.revision), (name, revision));
        }
    }

    #[test]
    fn no_addresses() {
        for text in [
            "org/model",
            "hf://",
            "hf:///model",
            "hf://org/",
            "hf://org/model/file",
            "hf://org/..",
            "hf://org/a b",
            "hf://org/model?x",
            "hf://org/model@",
            "hf://org/model@a\nb",
        ] {
            let parsed: Result<HubAddress, _> = text.parse();
            assert_eq!(parsed, Err(HubAddressError::Form), "{text}");
        }
        for text in ["hf://datasets/org/data", "hf://spaces/org"] {
            let parsed: Result<HubAddress, _> = text.parse();
            assert_eq!(parsed, Err(HubAddressError::Kind), "{text}");
        }
    }
}
