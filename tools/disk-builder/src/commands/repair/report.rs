//! What `repair` prints.

use std::{fmt, ops::Range, path::PathBuf};

use dm_verity::{
    RootHash, TreeLayout, VerityParams,
    fec::{FecArea, FecRoots},
};
use serde_json::{Value, json};

use crate::{
    commands::verify::{Damages, hash_block, ranges, write_damages},
    engine::{Findings, HashBlock, ParityFindings},
};

/// What was corrected, and what is left.
#[derive(Debug)]
pub struct RepairReport {
    /// The data.
    pub image: PathBuf,
    /// What the disk is to be.
    pub root_hash: RootHash,
    /// Where the superblock stands, if it has been made again.
    pub superblock: Option<u64>,
    /// The parameters of its tree.
    pub params: VerityParams,
    /// Where the FEC area is.
    pub area: FecArea,
    /// How many bytes of a codeword are parity.
    pub roots: FecRoots,
    /// The hash blocks that are right now, and were not.
    pub corrected_hash_blocks: Vec<HashBlock>,
    /// The data that is right now, and was not.
    pub corrected: Damages,
    /// What is corrupt still.
    pub findings: Findings,
    /// The same ranges, with the files that they lie in.
    pub damages: Damages,
    /// What was wrong with the parity of rows that are right. It is right now, where the area is one of
    /// this disk.
    pub parity: ParityFindings,
}

impl RepairReport {
    /// How many rows have got other parity.
    pub fn corrected_rows(&self) -> u64 {
        if self.parity.is_of_this_disk() {
            self.parity.wrong_rows()
        } else {
            0
        }
    }

    /// As a JSON object. Ranges are of data blocks.
    pub fn to_json(&self) -> Value {
        let (params, findings) = (&self.params, &self.findings);
        let no_note = |_: &Range<u64>| None;
        json!({
            "verified": findings.is_clean(),
            "root_hash": self.root_hash.to_string(),
            "data_blocks": params.data_blocks(),
            "data_block_size": params.data_block_size().get(),
            "hash_blocks": TreeLayout::new(params).blocks(),
            "corrected_superblock": self.superblock.is_some(),
            "corrected_hash_blocks": self.corrected_hash_blocks,
            "corrected_data": ranges(&self.corrected.corrupt, no_note),
            "corrected_parity_rows": self.corrected_rows(),
            "corrupt_hash_blocks": findings.corrupt_hash_blocks,
            "corrupt_data": ranges(&self.damages.corrupt, no_note),
            "unverifiable_data": ranges(&self.damages.unverifiable, no_note),
            "files_unknown": self.damages.unknown.as_ref().or(self.corrected.unknown.as_ref()),
            "incomplete": findings.incomplete,
            "fec": {
                "offset": self.area.offset(),
                "roots": self.roots.get(),
                "rows_compared": self.parity.compared,
                "area_found": self.parity.is_of_this_disk(),
            },
        })
    }
}

impl fmt::Display for RepairReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.params.data_block_size();
        if let Some(offset) = self.superblock {
            writeln!(f, "made the superblock at byte {offset} again")?;
        }
        for block in &self.corrected_hash_blocks {
            writeln!(f, "corrected {}", hash_block(block))?;
        }
        let no_note = |_: &Range<u64>| "";
        let corrected = (&self.corrected, &self.corrected.corrupt[..]);
        write_damages(f, ("corrected", no_note), corrected, size)?;
        if self.corrected_rows() > 0 {
            writeln!(f, "corrected parity of {} rows", self.corrected_rows())?;
        }
        for block in &self.findings.corrupt_hash_blocks {
            writeln!(f, "not corrected: {}", hash_block(block))?;
        }
        let left = &self.damages;
        write_damages(f, ("not corrected:", no_note), (left, &left.corrupt), size)?;
        let under = ("under a corrupt hash block:", no_note);
        write_damages(f, under, (left, &left.unverifiable), size)?;
        if self.findings.incomplete {
            writeln!(f, "and more, left out here")?;
        }
        let unknown = left.unknown.as_ref().or(self.corrected.unknown.as_ref());
        if let Some(reason) = unknown {
            writeln!(f, "not all files that this lies in are known: {reason}")?;
        }
        if !self.findings.is_clean() {
            return Ok(());
        }
        writeln!(
            f,
            "verified: {} data blocks of {size} bytes and {} hash blocks are what the root hash says",
            self.params.data_blocks(),
            TreeLayout::new(&self.params).blocks(),
        )
    }
}
