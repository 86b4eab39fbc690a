//! Which files corrupt blocks lie in.

use std::ops::Range;

use dm_verity::BlockSize;

use super::verified_filesystem::{VerifiedFilesystem, overlapping, reason};
use crate::engine::Findings;

/// More paths than this are not told: of a million files under a corrupt hash block.
const MAX_PATHS: usize = 10_000;

/// Some data blocks, and what lies in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The blocks.
    pub blocks: Range<u64>,
    /// The files and directories, those with a `/` at their end; the root directory is `/`.
    pub paths: Vec<Vec<u8>>,
}

/// All that is damaged, with the paths of an EROFS filesystem.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damages {
    /// Data that differs from its digests.
    pub corrupt: Vec<Damage>,
    /// Data under corrupt hash blocks.
    pub unverifiable: Vec<Damage>,
    /// Why paths are missing, where some may be.
    pub unknown: Option<String>,
}

impl Damages {
    /// Looks up whose the blocks are, reading nothing but what has been verified.
    pub(super) fn locate(
        findings: &Findings,
        disk: &VerifiedFilesystem<'_>,
        block_size: BlockSize,
    ) -> Self {
        let mut corrupt = Ranges::new(&findings.corrupt_data, block_size);
        let mut unverifiable = Ranges::new(&findings.unverifiable_data, block_size);
        let mut count = 0;
        let walked = if findings.is_clean() {
            Ok(())
        } else {
            disk.walk(|node| {
                for ranges in [&mut corrupt, &mut unverifiable] {
                    for hit in ranges.hit(&node.data) {
                        if let Some(damage) = ranges.damages.get_mut(hit)
                            && count < MAX_PATHS
                        {
                            damage.paths.push(name(node.path, node.is_directory));
                        }
                        count += 1;
                    }
                }
            })
        };
        let unknown = match walked {
            Err(error) => Some(reason(&error).to_string()),
            Ok(()) if count > MAX_PATHS => Some(format!(
                "{} of {count} paths are left out",
                count - MAX_PATHS
            )),
            Ok(()) => None,
        };
        Self {
            corrupt: corrupt.damages,
            unverifiable: unverifiable.damages,
            unknown,
        }
    }
}

struct Ranges {
    bytes: Vec<Range<u64>>,
    damages: Vec<Damage>,
}

impl Ranges {
    fn new(blocks: &[Range<u64>], block_size: BlockSize) -> Self {
        let size = block_size.bytes();
        Self {
            bytes: blocks
                .iter()
                .map(|blocks| blocks.start * size..blocks.end * size)
                .collect(),
            damages: blocks
                .iter()
                .map(|blocks| Damage {
                    blocks: blocks.clone(),
                    paths: Vec::new(),
                })
                .collect(),
        }
    }

    /// The ranges that a node's data, in two pieces, touches, each once.
    fn hit(&self, data: &[Range<u64>; 2]) -> Vec<usize> {
        let mut hit: Vec<usize> = data
            .iter()
            .filter(|piece| !piece.is_empty())
            .flat_map(|piece| overlapping(&self.bytes, piece))
            .collect();
        hit.sort_unstable();
        hit.dedup();
        hit
    }
}

fn name(path: &[u8], is_directory: bool) -> Vec<u8> {
    let mut name = path.to_vec();
    if is_directory {
        name.push(b'/');
    }
    name
}
