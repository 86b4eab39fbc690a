//! Which sources something is made from.

use std::env;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{child::text, source::git};

/// The variable that names the commit, where the sources are no git repository.
const VARIABLE: &str = "SOURCE_COMMIT";

/// The sources as a commit has them, or changed since then.
#[derive(Debug, PartialEq)]
pub(crate) enum Revision {
    Committed(String),
    Changed(String),
}

impl Revision {
    /// That which SOURCE_COMMIT names, or else that of the repository.
    pub(crate) fn of_the_sources() -> Result<Self> {
        match env::var(VARIABLE).ok().filter(|value| !value.is_empty()) {
            Some(commit) => Self::parse(&commit, ""),
            None => {
                let commit = text(git()?.args(["rev-parse", "HEAD"]))
                    .with_context(|| format!("this is no git repository: set {VARIABLE}"))?;
                Self::parse(
                    commit.trim(),
                    &text(git()?.args(["status", "--porcelain"]))?,
                )
            }
        }
    }

    /// From the name of a commit, and what git lists as changed.
    fn parse(commit: &str, changes: &str) -> Result<Self> {
        let is_hash = [40, 64].contains(&commit.len()) && hex::decode(commit).is_ok();
        ensure!(is_hash, "{VARIABLE} is no commit: {commit}");
        let commit = commit.to_owned();
        Ok(if changes.is_empty() {
            Self::Committed(commit)
        } else {
            Self::Changed(commit)
        })
    }

    /// Fails for sources that nobody else can have.
    pub(crate) fn ensure_committed(&self) -> Result<()> {
        ensure!(
            matches!(self, Self::Committed(_)),
            "sources with changes that are not committed are not signed"
        );
        Ok(())
    }

    /// As in-toto describes a resource.
    pub(crate) fn resource(&self) -> Value {
        let (name, uri) = ("sources", "urn:disk-mounter:sources");
        match self {
            Self::Committed(commit) => {
                json!({"name": name, "uri": uri, "digest": {"gitCommit": commit}})
            }
            // No digest: the commit is not what it was made from.
            Self::Changed(commit) => {
                json!({"name": name, "uri": uri, "annotations": {"changedSince": commit}})
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_claimed_only_for_what_it_has() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let committed = Revision::parse(commit, "").unwrap();
        assert_eq!(committed, Revision::Committed(commit.into()));
        assert_eq!(committed.resource()["digest"]["gitCommit"], commit);
        committed.ensure_committed().unwrap();
        let changed = Revision::parse(commit, " M Cargo.toml\n").unwrap();
        assert_eq!(changed, Revision::Changed(commit.into()));
        assert_eq!(changed.resource().get("digest"), None);
        assert!(changed.ensure_committed().is_err());
        for wrong in ["", "main", "0123456789abcdef"] {
            assert!(Revision::parse(wrong, "").is_err(), "{wrong}");
        }
    }
}
