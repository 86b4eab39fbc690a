//! What `verify` prints.

use std::{fmt, ops::Range, path::PathBuf};

use dm_verity::{BlockSize, HashArea, RootHash, TreeLayout, VerityParams};
use model_disk::{Binding, ErrorChain, Escaped, WrittenPath};
use serde_json::{Value, json};

use super::{Damage, Damages, FecVerdict, ManifestReport, ManifestVerdict};
use crate::engine::{Findings, HashBlock};

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
    /// What FEC could do for it, where that was asked.
    pub fec: Option<FecVerdict>,
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
            "corrupt_hash_blocks": self.hash_blocks_to_json(),
            "corrupt_data": ranges(&self.damages.corrupt, |blocks| {
                Some(self.fec.as_ref()?.corrects_data(blocks))
            }),
            "unverifiable_data": ranges(&self.damages.unverifiable, |_| {
                self.fec.as_ref().map(|_| false)
            }),
            "files_unknown": self.damages.unknown,
            "incomplete": findings.incomplete,
            "fec": self.fec.as_ref().map(FecVerdict::to_json),
            "manifest": manifest,
        })
    }

    fn hash_blocks_to_json(&self) -> Value {
        let blocks = self.findings.corrupt_hash_blocks.iter();
        blocks
            .map(|block| {
                let fec = self.fec.as_ref();
                with_note(json!(block), fec.map(|fec| fec.corrects_hash_block(block)))
            })
            .collect()
    }

    fn correctable(&self, corrects: impl FnOnce(&FecVerdict) -> bool) -> &'static str {
        match self.fec.as_ref().map(corrects) {
            None => "",
            Some(true) => ", correctable",
            Some(false) => ", not correctable",
        }
    }
}

/// As a line: which block it is, and where.
pub(in super::super) fn hash_block(block: &HashBlock) -> String {
    let HashBlock {
        level,
        block,
        offset,
    } = block;
    format!("hash block {block} of level {level} (at byte {offset} of the hash device)")
}

/// Writes each with a line that begins with `what` and ends with what `note` says of it, and with its
/// paths.
pub(in super::super) fn write_damages<'a>(
    f: &mut fmt::Formatter<'_>,
    (what, note): (&str, impl Fn(&Range<u64>) -> &'a str),
    (all, damages): (&Damages, &[Damage]),
    block_size: BlockSize,
) -> fmt::Result {
    let size = block_size.bytes();
    for Damage { blocks, paths } in damages {
        writeln!(
            f,
            "{what} data blocks {} to {} (bytes {} to {}){}",
            blocks.start,
            blocks.end - 1,
            blocks.start * size,
            blocks.end * size - 1,
            note(blocks)
        )?;
        for path in paths {
            writeln!(f, "    in {}", Escaped::bytes(path))?;
        }
        if paths.is_empty() && all.unknown.is_none() {
            writeln!(f, "    in no file")?;
        }
    }
    Ok(())
}

/// An object, with whether it can be corrected, where that is known.
fn with_note(mut object: Value, correctable: Option<bool>) -> Value {
    if let (Some(members), Some(correctable)) = (object.as_object_mut(), correctable) {
        members.insert("correctable".to_owned(), json!(correctable));
    }
    object
}

/// In JSON, each with its paths as a manifest writes them.
pub(in super::super) fn ranges(
    damages: &[Damage],
    correctable: impl Fn(&Range<u64>) -> Option<bool>,
) -> Value {
    damages
        .iter()
        .map(|Damage { blocks, paths }| {
            let paths: Vec<_> = paths.iter().cloned().map(WrittenPath::new).collect();
            let object = json!({
                "first": blocks.start,
                "count": blocks.end - blocks.start,
                "files": paths,
            });
            with_note(object, correctable(blocks))
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
            let correctable = self.correctable(|fec| fec.corrects_hash_block(block));
            writeln!(f, "corrupt {}{correctable}", hash_block(block))?;
        }
        let (all, size) = (&self.damages, params.data_block_size());
        let note = |blocks: &Range<u64>| self.correctable(|fec| fec.corrects_data(blocks));
        write_damages(f, ("corrupt", note), (all, &all.corrupt), size)?;
        let (what, note) = ("under a corrupt hash block:", |_: &Range<u64>| {
            self.correctable(|_| false)
        });
        write_damages(f, (what, note), (all, &all.unverifiable), size)?;
        if findings.incomplete {
            writeln!(f, "and more, left out here")?;
        }
        if let Some(reason) = &self.damages.unknown {
            writeln!(f, "not all files that this lies in are known: {reason}")?;
        }
        if let Some(fec) = &self.fec {
            writeln!(f, "{fec}")?;
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
