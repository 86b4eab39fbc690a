//! `verify`: checks every block of a disk.

mod damage;
mod manifest;
mod parameters;
mod report;
mod verified;

use std::path::{Path, PathBuf};

use disk_mounter::{
    claims::{Found, NoSuperblock, header, superblock_after, superblock_at},
    exit::ExitCode,
    filesystem::{FsType, NoFilesystem},
    verity::{Binding, BindingError, HashArea, HashAreaError, RootHash, Superblock, TreeLayout},
};

pub use damage::{Damage, Damages};
pub use manifest::{ManifestMismatch, ManifestReport, ManifestVerdict, NotCompared};
pub use parameters::{ArgumentsError, Contradiction, TreeArguments};
pub use report::VerifyReport;

use crate::{
    engine::{SourceError, VerifyTreeError, Workers, verify_tree},
    hash::Plan,
    medium::{Medium, MediumError},
    storage,
};
use verified::Verified;

/// What `verify` is to do.
#[derive(Clone, Debug)]
pub struct Verify {
    /// The data, and the tree unless that is elsewhere.
    pub image: PathBuf,
    /// What it is compared with.
    pub root_hash: RootHash,
    /// Where the tree is, if not with the data.
    pub hash_device: Option<PathBuf>,
    /// Where the hash area starts, in bytes. Where it is none: after the filesystem, or at the
    /// start of the hash device.
    pub hash_offset: Option<u64>,
    /// The hash area starts with a superblock, which tells the parameters.
    pub superblock: bool,
    /// What the caller knows of the tree.
    pub tree: TreeArguments,
}

/// Why a disk could not be checked, or is not what the root hash says.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It could not be opened or read.
    #[error(transparent)]
    Medium(#[from] MediumError),
    /// The arguments make no parameters.
    #[error(transparent)]
    Arguments(#[from] ArgumentsError),
    /// Where the tree is cannot be known, as there is no filesystem before it.
    #[error(
        "{} has no EROFS filesystem, which would tell where the hash area is ({reason}): name its \
         place with --hash-offset",
        path.display()
    )]
    NoFilesystem {
        /// Of what.
        path: PathBuf,
        /// Why it is none.
        reason: NoFilesystem,
    },
    /// There is no tree after the filesystem.
    #[error(
        "{} has no dm-verity superblock at byte {offset}, after its EROFS filesystem: where the \
         hash area is elsewhere, name it with --hash-offset",
        path.display()
    )]
    NoHashArea {
        /// Of what.
        path: PathBuf,
        /// Where it would be.
        offset: u64,
    },
    /// The superblock is none that is accepted.
    #[error("{} is not accepted at byte {offset}: {reason}", path.display())]
    Superblock {
        /// Of what.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// Why.
        reason: NoSuperblock,
    },
    /// No hash area can be there.
    #[error(transparent)]
    Area(#[from] HashAreaError),
    /// The disk claims something else than the arguments say.
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
    /// The geometry is not bound.
    #[error(transparent)]
    Binding(#[from] BindingError),
    /// Data and tree cannot share bytes.
    #[error("the hash area at byte {offset} lies within the data, which ends at byte {data_bytes}")]
    Overlap {
        /// Where the hash area starts.
        offset: u64,
        /// Where the data ends.
        data_bytes: u64,
    },
    /// The end is missing.
    #[error(
        "{} is truncated: it has {bytes} bytes, and its {what} would end at byte {end}",
        path.display()
    )]
    Truncated {
        /// What is too short.
        path: PathBuf,
        /// How long it is.
        bytes: u64,
        /// Data, or hash tree.
        what: &'static str,
        /// Where that would end.
        end: u64,
    },
    /// The check itself failed, or the root hash is another.
    #[error(transparent)]
    Tree(#[from] VerifyTreeError),
}

impl VerifyError {
    /// The code that the program ends with.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Medium(error) => error.exit_code(),
            // The place after a filesystem is always aligned: this one was named.
            Self::Arguments(_) | Self::Area(HashAreaError::Misaligned { .. }) => ExitCode::Usage,
            Self::Tree(
                VerifyTreeError::Source(SourceError::Read { .. }) | VerifyTreeError::Interrupted(_),
            ) => ExitCode::Failure,
            _ => ExitCode::Integrity,
        }
    }
}

impl Verify {
    /// An image with its superblock and tree after the filesystem, as
    /// [`Build`](crate::build::Build) makes it.
    pub fn new(image: impl Into<PathBuf>, root_hash: RootHash) -> Self {
        Self {
            image: image.into(),
            root_hash,
            hash_device: None,
            hash_offset: None,
            superblock: true,
            tree: TreeArguments::default(),
        }
    }

    /// Checks every block, and tells which are corrupt.
    pub fn run(&self, workers: &Workers) -> Result<VerifyReport, VerifyError> {
        // Before anything is opened: the arguments alone are wrong.
        let from_arguments = (!self.superblock)
            .then(|| self.tree.params(&self.root_hash))
            .transpose()?;
        let data = Medium::open(&self.image)?;
        let other = self.other_device().map(Medium::open).transpose()?;
        let hashes = other.as_ref().unwrap_or(&data);
        let header = header(&data)?;

        let offset = match (self.hash_offset, &other) {
            (Some(offset), _) => offset,
            (None, Some(_)) => 0,
            (None, None) => self.find_hash_area(&data, &header)?,
        };
        let (params, uuid) = match from_arguments {
            Some(params) => (params, None),
            None => {
                let superblock = self.claimed(hashes, offset)?;
                (superblock.params, Some(superblock.uuid))
            }
        };
        let area = HashArea::new(&params, offset, self.superblock)?;
        let binding = Binding::find(
            &params,
            self.tree.data_blocks,
            // Claimed until the end: the block that says so is among those that are verified.
            FsType::Erofs.claimed_bytes(&header).ok(),
        )?;
        let data_bytes = params.data_bytes();
        if other.is_none() && offset < data_bytes {
            return Err(VerifyError::Overlap { offset, data_bytes });
        }
        let layout = TreeLayout::new(&params);
        holds(&data, "data", data_bytes)?;
        holds(hashes, "hash tree", area.end(&layout))?;

        let findings = verify_tree(
            &params,
            &self.root_hash,
            &data.source(data_bytes),
            &hashes.source(area.end(&layout)),
            &area,
            workers,
        )?;
        let block_size = params.data_block_size();
        let verified = Verified::new(&data, data_bytes, &findings, block_size);
        let plan = Plan {
            params,
            layout,
            area,
        };
        // What a corrupt disk holds cannot be compared with anything.
        let manifest = match findings.is_clean() {
            true => ManifestReport::find(&self.image, &plan, &self.root_hash, uuid, &verified),
            false => None,
        };
        Ok(VerifyReport {
            image: self.image.clone(),
            root_hash: self.root_hash,
            binding,
            damages: Damages::locate(&findings, &verified, block_size),
            findings,
            plan,
            manifest,
        })
    }

    fn other_device(&self) -> Option<&Path> {
        let path = self.hash_device.as_deref()?;
        (!storage::is_same(path, &self.image)).then_some(path)
    }

    /// Where the hash area after the filesystem starts, in bytes.
    fn find_hash_area(&self, data: &Medium, header: &[u8]) -> Result<u64, VerifyError> {
        let path = self.image.clone();
        match superblock_after(data, FsType::Erofs, header)? {
            Ok(found) if found.has_magic() => Ok(found.offset),
            Ok(Found { offset, .. }) => Err(VerifyError::NoHashArea { path, offset }),
            Err(reason) => Err(VerifyError::NoFilesystem { path, reason }),
        }
    }

    fn claimed(&self, hashes: &Medium, offset: u64) -> Result<Superblock, VerifyError> {
        let superblock = superblock_at(hashes, offset)?
            .superblock
            .map_err(|reason| VerifyError::Superblock {
                path: hashes.path().to_owned(),
                offset,
                reason,
            })?;
        self.tree.check(&superblock.params, &self.root_hash)?;
        Ok(superblock)
    }
}

fn holds(medium: &Medium, what: &'static str, end: u64) -> Result<(), VerifyError> {
    if medium.bytes() >= end {
        return Ok(());
    }
    Err(VerifyError::Truncated {
        path: medium.path().to_owned(),
        bytes: medium.bytes(),
        what,
        end,
    })
}
