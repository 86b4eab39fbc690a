//! What was extracted.

use std::{fmt, path::PathBuf};

use dm_verity::RootHash;
use model_disk::Escaped;

use super::plan::Amount;

/// What was extracted.
#[derive(Clone, Debug)]
pub struct Extracted {
    pub(super) destination: PathBuf,
    pub(super) root_hash: RootHash,
    pub(super) amount: Amount,
    /// How many files were there already.
    pub(super) kept: u64,
    /// How many blocks of the disk were corrected; None where none are.
    pub(super) fec_corrected: Option<u64>,
}

impl Extracted {
    /// As a JSON object.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "destination": Escaped::path(&self.destination).to_string(),
            "root_hash": self.root_hash.to_string(),
            "files": self.amount.files,
            "kept_files": self.kept,
            "directories": self.amount.directories,
            "links": self.amount.links,
            "bytes": self.amount.bytes,
            "fec_corrected": self.fec_corrected,
        })
    }
}

/// A line for people.
impl fmt::Display for Extracted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (files, bytes) = (self.amount.files, self.amount.bytes);
        let destination = Escaped::path(&self.destination);
        write!(
            f,
            "{files} files of {bytes} bytes are in {destination}, verified"
        )?;
        if self.kept > 0 {
            write!(f, "; {} of them were there before", self.kept)?;
        }
        writeln!(f)
    }
}
