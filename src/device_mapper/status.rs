//! What the kernel says of a mapping.

use std::fmt;

use serde::Serialize;

use super::{MappingError, MappingName};
use dm_verity::LoadedTable;

/// What a verity mapping has seen so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum VerityStatus {
    /// All that was read was what the root hash says.
    Verified,
    /// A block was not.
    Corrupt,
}

/// In one word.
impl fmt::Display for VerityStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Verified => "verified",
            Self::Corrupt => "corrupt",
        })
    }
}

impl VerityStatus {
    /// What the target says. Kernels may say more after the letter.
    pub(crate) fn of_target(text: &str) -> Self {
        match text.split_ascii_whitespace().next() {
            Some("V") => Self::Verified,
            _ => Self::Corrupt,
        }
    }
}

/// A mapping as the kernel describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Description {
    /// Its name.
    pub(crate) name: MappingName,
    /// The parameters of its one verity target.
    pub(crate) table: String,
    /// Its length, in sectors of 512 bytes.
    pub(crate) sectors: u64,
    /// What it has seen.
    pub(crate) status: VerityStatus,
    /// How many blocks it has corrected, where it does so and the kernel tells: from Linux 6.19 on.
    pub(crate) fec_corrected: Option<u64>,
    /// Whether it has this project's mark, and is not another program's.
    pub(crate) own: bool,
}

/// How many blocks a target has corrected, if it says so: in its second word, which is no number where
/// it corrects none.
pub(super) fn corrected_by_target(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().nth(1)?.parse().ok()
}

impl Description {
    /// What the table says.
    pub(crate) fn loaded_table(&self) -> Result<LoadedTable, MappingError> {
        Ok(self.table.parse()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corrected_blocks_are_the_second_word() {
        for (text, corrected) in [
            ("V", None),
            ("V ", None),
            ("V -", None),
            ("V 0", Some(0)),
            ("C 12", Some(12)),
            ("V 3 new words", Some(3)),
            ("V -1", None),
            ("V 18446744073709551616", None),
        ] {
            assert_eq!(corrected_by_target(text), corrected, "{text:?}");
        }
    }

    #[test]
    fn only_the_first_word_of_a_status_counts() {
        for text in ["V", "V ", "V -", "V 0 new words"] {
            assert_eq!(VerityStatus::of_target(text), VerityStatus::Verified);
        }
        for text in ["C", "C -", "", "X", "VV", "verified V"] {
            assert_eq!(VerityStatus::of_target(text), VerityStatus::Corrupt);
        }
    }
}
