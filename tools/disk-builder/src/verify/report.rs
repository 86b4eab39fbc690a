//! What `verify` prints.

use std::{fmt, ops::Range, path::PathBuf};

use disk_mounter::verity::{Binding, BlockSize, RootHash};
use serde_json::{Value, json};

use crate::engine::Findings;

/// What was found on a disk whose top is what the root hash says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyReport {
    /// The data.
    pub image: PathBuf,
    /// What it was compared with.
    pub root_hash: RootHash,
    /// How many data blocks were checked.
    pub data_blocks: u64,
    /// Of how many bytes each.
    pub data_block_size: BlockSize,
    /// How many hash blocks were checked.
    pub hash_blocks: u64,
    /// Where the hash area starts, in bytes.
    pub hash_offset: u64,
    /// What binds the number of blocks to the root hash.
    pub binding: Binding,
    /// What is corrupt.
    pub findings: Findings,
}

impl VerifyReport {
    /// As a JSON object. Ranges are of data blocks.
    pub fn to_json(&self) -> Value {
        let ranges = |ranges: &[Range<u64>]| -> Value {
            ranges
                .iter()
                .map(|range| json!({ "first": range.start, "count": range.end - range.start }))
                .collect()
        };
        let findings = &self.findings;
        json!({
            "verified": findings.is_clean(),
            "root_hash": self.root_hash.to_string(),
            "bound_by": self.binding.as_str(),
            "data_blocks": self.data_blocks,
            "data_block_size": self.data_block_size.get(),
            "hash_blocks": self.hash_blocks,
            "hash_offset": self.hash_offset,
            "corrupt_hash_blocks": findings.corrupt_hash_blocks,
            "corrupt_data": ranges(&findings.corrupt_data),
            "unverifiable_data": ranges(&findings.unverifiable_data),
            "incomplete": findings.incomplete,
        })
    }

    fn write_ranges(
        &self,
        f: &mut fmt::Formatter<'_>,
        what: &str,
        ranges: &[Range<u64>],
    ) -> fmt::Result {
        let size = self.data_block_size.bytes();
        for Range { start, end } in ranges {
            writeln!(
                f,
                "{what} data blocks {start} to {} (bytes {} to {})",
                end - 1,
                start * size,
                end * size - 1
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let findings = &self.findings;
        if findings.is_clean() {
            return writeln!(
                f,
                "verified: {} data blocks of {} bytes and {} hash blocks are what the root hash \
                 says; the geometry is bound by the {}",
                self.data_blocks,
                self.data_block_size,
                self.hash_blocks,
                self.binding.as_str()
            );
        }
        for block in &findings.corrupt_hash_blocks {
            writeln!(
                f,
                "corrupt hash block {} of level {} (at byte {} of the hash device)",
                block.block, block.level, block.offset
            )?;
        }
        self.write_ranges(f, "corrupt", &findings.corrupt_data)?;
        self.write_ranges(
            f,
            "under a corrupt hash block:",
            &findings.unverifiable_data,
        )?;
        if findings.incomplete {
            writeln!(f, "and more, left out here")?;
        }
        Ok(())
    }
}
