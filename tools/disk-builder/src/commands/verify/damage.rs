//! Which files corrupt blocks lie in.

use std::ops::Range;

use dm_verity::BlockSize;
use model_disk::erofs::ErofsError;

use super::verified_filesystem::{VerifiedFilesystem, overlapping};
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
    pub(in super::super) fn locate(
        findings: &Findings,
        disk: &VerifiedFilesystem<'_>,
        block_size: BlockSize,
    ) -> Self {
        let mut search = Search {
            corrupt: Ranges::new(&findings.corrupt_data, block_size),
            unverifiable: Ranges::new(&findings.unverifiable_data, block_size),
            paths: 0,
            not_flat: 0,
        };
        let walked = if findings.is_clean() {
            Ok(())
        } else {
            search.walk(disk)
        };
        Self {
            unknown: search.unknown(walked),
            corrupt: search.corrupt.damages,
            unverifiable: search.unverifiable.damages,
        }
    }
}

/// On the way through a filesystem.
struct Search {
    corrupt: Ranges,
    unverifiable: Ranges,
    /// How many have been found, those that are left out among them.
    paths: usize,
    /// Of how many files nobody knows which blocks they lie in.
    not_flat: usize,
}

impl Search {
    fn walk(&mut self, disk: &VerifiedFilesystem<'_>) -> Result<(), ErofsError> {
        let mut walk = disk.walk()?;
        while let Some(entry) = walk.next_entry()? {
            let Some(data) = entry.node.flat_data() else {
                self.not_flat += 1;
                continue;
            };
            for ranges in [&mut self.corrupt, &mut self.unverifiable] {
                for hit in ranges.hit(data) {
                    if let Some(damage) = ranges.damages.get_mut(hit)
                        && self.paths < MAX_PATHS
                    {
                        damage
                            .paths
                            .push(name(entry.path, entry.node.is_directory()));
                    }
                    self.paths += 1;
                }
            }
        }
        Ok(())
    }

    /// Why paths are missing, where some may be.
    fn unknown(&self, walked: Result<(), ErofsError>) -> Option<String> {
        match walked {
            Err(error) => Some(error.to_string()),
            Ok(()) if self.not_flat > 0 => Some(format!(
                "compressed and chunked files ({}) are not looked up",
                self.not_flat
            )),
            Ok(()) if self.paths > MAX_PATHS => Some(format!(
                "{} of {} paths are left out",
                self.paths - MAX_PATHS,
                self.paths
            )),
            Ok(()) => None,
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
