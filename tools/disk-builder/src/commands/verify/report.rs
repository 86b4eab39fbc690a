//! What `verify` prints.

use std::{fmt, path::PathBuf};

use dm_verity::{HashArea, RootHash, TreeLayout, VerityParams};
use model_disk::{Binding, ErrorChain, Escaped, WrittenPath};
use serde_json::{Value, json};

use super::{Damage, Damages, ManifestReport, ManifestVerdict};
use crate::engine::Findings;

/// What was found on a disk whose top is what the root hash says.
#[derive(Debug)]
pub struct VerifyReport {
    /// The data.
    pub image: PathBuf,
    /// What it was compared with.
    pub root_hash: RootHash,
    /// The parameters of the tree that was checked.
    pub params: VerityParams,
    /// Its place.
    pub hash_area: HashArea,
    /// What binds the number of blocks to the root hash.
    pub binding: Binding,
    /// What is corrupt.
    pub findings: Findings,
    /// The same ranges, with the files that they lie in.
    pub damages: Damages,
    /// The manifest, where there is one and the disk is not corrupt.
    pub manifest: Option<ManifestReport>,
}

impl VerifyReport {
    /// As a JSON object. Ranges are of data blocks.
    pub fn to_json(&self) -> Value {
        let (params, findings) = (&self.params, &self.findings);
        let manifest = self.manifest.as_ref().map(|manifest| {
            let agrees = match manifest.verdict {
                ManifestVerdict::Agrees => Some(true),
                ManifestVerdict::Differs(_) => Some(false),
                ManifestVerdict::NotCompared(_) => None,
            };
            json!({ "path": Escaped::path(&manifest.path).to_string(), "agrees": agrees })
        });
        json!({
            "verified": findings.is_clean(),
            "root_hash": self.root_hash.to_string(),
            "bound_by": self.binding.as_str(),
            "data_blocks": params.data_blocks(),
            "data_block_size": params.data_block_size().get(),
            "hash_blocks": TreeLayout::new(params).blocks(),
            "hash_offset": self.hash_area.offset(),
            "corrupt_hash_blocks": findings.corrupt_hash_blocks,
            "corrupt_data": ranges(&self.damages.corrupt),
            "unverifiable_data": ranges(&self.damages.unverifiable),
            "files_unknown": self.damages.unknown,
            "incomplete": findings.incomplete,
            "manifest": manifest,
        })
    }

    fn write_damages(
        &self,
        f: &mut fmt::Formatter<'_>,
        what: &str,
        damages: &[Damage],
    ) -> fmt::Result {
        let size = self.params.data_block_size().bytes();
        for Damage { blocks, paths } in damages {
            writeln!(
                f,
                "{what} data blocks {} to {} (bytes {} to {})",
                blocks.start,
                blocks.end - 1,
                blocks.start * size,
                blocks.end * size - 1
            )?;
            for path in paths {
                writeln!(f, "    in {}", Escaped::bytes(path))?;
            }
            if paths.is_empty() && self.damages.unknown.is_none() {
                writeln!(f, "    in no file")?;
            }
        }
        Ok(())
    }
}

/// In JSON, each with its paths as a manifest writes them.
fn ranges(damages: &[Damage]) -> Value {
    damages
        .iter()
        .map(|Damage { blocks, paths }| {
            let paths: Vec<_> = paths.iter().cloned().map(WrittenPath::new).collect();
            json!({
                "first": blocks.start,
                "count": blocks.end - blocks.start,
                "files": paths,
            })
        })
        .collect()
}

impl fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (params, findings) = (&self.params, &self.findings);
        if findings.is_clean() {
            writeln!(
                f,
                "verified: {} data blocks of {} bytes and {} hash blocks are what the root hash \
                 says; the geometry is bound by the {}",
                params.data_blocks(),
                params.data_block_size(),
                TreeLayout::new(params).blocks(),
                self.binding.as_str()
            )?;
        }
        for block in &findings.corrupt_hash_blocks {
            writeln!(
                f,
                "corrupt hash block {} of level {} (at byte {} of the hash device)",
                block.block, block.level, block.offset
            )?;
        }
        self.write_damages(f, "corrupt", &self.damages.corrupt)?;
        self.write_damages(f, "under a corrupt hash block:", &self.damages.unverifiable)?;
        if findings.incomplete {
            writeln!(f, "and more, left out here")?;
        }
        if let Some(reason) = &self.damages.unknown {
            writeln!(f, "not all files that this lies in are known: {reason}")?;
        }
        let Some(ManifestReport { path, verdict }) = &self.manifest else {
            return Ok(());
        };
        match verdict {
            ManifestVerdict::Agrees => {
                writeln!(f, "manifest: {} is about this disk", Escaped::path(path))
            }
            ManifestVerdict::NotCompared(reason) => {
                let reason = ErrorChain(reason);
                writeln!(
                    f,
                    "manifest: {} not compared: {reason}",
                    Escaped::path(path)
                )
            }
            // That is an error, which is told as such.
            ManifestVerdict::Differs(_) => Ok(()),
        }
    }
}
