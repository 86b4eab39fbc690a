//! `build`: makes the disk of a model directory. `root-hash`: its root hash alone.
//!
//! All is planned from the files' paths and sizes. Then workers read, hash and write in one pass,
//! each byte once. Where the filesystem can share blocks, the large files are shared and not written.

mod disk_plan;
mod error;
mod file_bytes;
mod first_block;
#[cfg(feature = "hub")]
mod kept_files;
mod local_files;
mod manifest_output;
mod open_files;
mod outside;
mod preallocate;
mod reflink;
#[cfg(feature = "hub")]
mod remote_files;
#[cfg(feature = "hub")]
mod resume_marker;
mod shared_image;
mod shared_parts;
mod source;

use std::{io, mem, os::unix::fs::FileExt, path::PathBuf};

use dm_verity::{RootHash, Superblock, fec::FecRoots};
use model_disk::{
    BackingFile, FileError, ReadAt, derived_uuid, erofs::BLOCK_SIZE, manifest::DiskSummary,
};

pub use disk_plan::{RootHashReport, root_hash};
pub use error::BuildError;

use super::hash::{HashReport, Reflinks, TreeOutput, covered_tree};
use crate::{
    engine::{CoveredPart, FileSource, HashTreeError, ImageSink, ParityArea, Workers, hash_tree},
    model::{ModelOrigin, Note, ScanOptions},
    output::{NewFile, Output, OutputLock, OutputPlace, PATIENCE},
};
use disk_plan::DiskPlan;
use first_block::FirstBlockLast;
use manifest_output::{ManifestOutput, remove_old};
use preallocate::preallocate;
use reflink::{AlreadyThere, reflink};
use shared_image::{SharedSource, UnsharedSink};

/// What `build` is to do.
#[derive(Clone, Debug)]
pub struct Build {
    /// The model.
    pub model: ModelOrigin,
    /// What of it goes onto the disk.
    pub options: ScanOptions,
    /// The disk: a file or a block device.
    pub output: PathBuf,
    /// The manifest. Where it is none: beside the disk, and for a block device nowhere.
    pub manifest: Option<PathBuf>,
    /// Where the model came from, for the manifest.
    pub source: Option<String>,
    /// Its revision, for the manifest.
    pub revision: Option<String>,
    /// Replace files that are there, or write over what is on a device.
    pub force: bool,
    /// Go on with what an earlier run has written, and leave what this one writes if it fails: of a
    /// model that is not on this machine.
    pub resume: bool,
    /// Add parity, with as many roots.
    pub fec: Option<FecRoots>,
}

impl Build {
    /// A disk with the manifest beside it, where neither is yet.
    pub fn new(
        model: impl Into<ModelOrigin>,
        options: impl Into<ScanOptions>,
        output: impl Into<PathBuf>,
    ) -> Self {
        Self {
            model: model.into(),
            options: options.into(),
            output: output.into(),
            manifest: None,
            source: None,
            revision: None,
            force: false,
            resume: false,
            fec: None,
        }
    }

    /// Makes the disk and its manifest. When it fails, or when `workers` are interrupted, neither
    /// is there, and what was there before still is; but not on a block device. What fails only
    /// when all is written can leave the old disk, or the new one, without a manifest. `tell` gets
    /// what the user may not have meant before anything is read or written, and in the end that
    /// this run waits for another.
    pub fn run(
        &self,
        workers: &Workers,
        mut tell: impl FnMut(&Note),
    ) -> Result<HashReport, BuildError> {
        let place = OutputPlace::of(&self.output)?;
        outside::check_place(&place, &self.model)?;
        let output = Output::find(&place, self.force)?;
        let manifest = self.manifest_output(&output)?;
        self.stale_manifest(&output, manifest.as_ref())?;
        let mut planned = DiskPlan::new(&self.model, &self.options, workers, &mut tell)?;
        if let Some(roots) = self.fec {
            planned.add_fec(roots)?;
        }
        outside::check_files(&place, &planned)?;
        if let Some(manifest) = &manifest {
            outside::check_files(&manifest.place, &planned)?;
        }

        // Before hours of work: there may be no room, or no right to write.
        let mut lock = match &output {
            Output::File { place, .. } => Some(OutputLock::of(place)?),
            // It is open for nobody else.
            Output::Device(_) => None,
        };
        let manifest_file = manifest
            .as_ref()
            .map(|manifest| NewFile::create(&manifest.place, manifest.replace))
            .transpose()?;
        let (target, there) = match &output {
            Output::Device(device) => {
                let target = start_device(device, &planned, manifest.as_ref())?;
                let there = self.kept_on(&target, &planned, workers)?;
                let refused = || AlreadyThere::refused("the output is a block device");
                (target, there.unwrap_or_else(refused))
            }
            Output::File { place, replace } => {
                self.start_file(place, *replace, &planned, workers)?
            }
        };
        let written = self.write(&planned, &target, &there, &output, workers);
        let (root_hash, first_block) =
            written.inspect_err(|error| planned.keep_no_starts(error, target.file()))?;
        let superblock = Superblock {
            uuid: derived_uuid(&root_hash),
            params: planned.tree.params.clone(),
        };
        if let Some(file) = &manifest_file {
            let tree = &planned.tree;
            let disk = DiskSummary::new(&tree.params, tree.area, &root_hash, superblock.uuid);
            self.manifest(&planned, disk)
                .write(file.file())
                .map_err(FileError::new("write", file.path()))?;
            file.file()
                .sync_all()
                .map_err(FileError::new("sync", file.path()))?;
        }
        workers.check_interrupted().map_err(HashTreeError::from)?;
        if let (Output::File { place, .. }, Some(lock)) = (&output, &mut lock) {
            let mut told = false;
            lock.take(PATIENCE, |at| {
                if !mem::replace(&mut told, true) {
                    tell(&Note::Waiting {
                        lock: at.to_owned(),
                    });
                }
                let interrupted = workers.check_interrupted();
                interrupted.map_err(|error| BuildError::Tree(error.into()))
            })?;
            // Another run may have been first.
            Output::find(place, self.force)?;
            self.manifest_output(&output)?;
        }
        let stale = self.stale_manifest(&output, manifest.as_ref())?;
        // An old manifest never stands beside a new disk: whenever this is killed, a manifest that
        // is there belongs to the disk that is there.
        remove_old(manifest.as_ref())?;
        remove_old(stale.as_ref())?;
        let written: io::Result<()> = target.file().write_all_at(&first_block, 0);
        written.map_err(FileError::new("write to", target.path()))?;
        target.finish(&planned.tree, Some(&superblock.to_bytes()))?;
        manifest_file
            .map(NewFile::put)
            .transpose()
            .map_err(|source| BuildError::NoManifest {
                disk: self.output.clone(),
                root_hash,
                source,
            })?;
        let reflinks = planned.model.directory().map(|_| Reflinks {
            bytes: there.parts.bytes(),
            refused: there.refused.map(|error| error.to_string()),
        });
        Ok(HashReport {
            #[cfg(feature = "hub")]
            remote: planned.model.report(there.parts.bytes()),
            uuid: Some(superblock.uuid),
            plan: planned.tree,
            root_hash,
            reflinks,
        })
    }

    /// Writes all but the superblock and the first block, which comes with the root hash. It is on the
    /// disk when this returns.
    fn write(
        &self,
        planned: &DiskPlan,
        target: &TreeOutput<'_>,
        there: &AlreadyThere,
        output: &Output,
        workers: &Workers,
    ) -> Result<(RootHash, Vec<u8>), BuildError> {
        // On a device there is something where a new file has zeros.
        let find_holes = matches!(output, Output::File { .. });
        let plan = planned.source(find_holes, there);
        let (file, path, bytes) = (target.file(), target.path(), planned.image.bytes());
        let source = SharedSource {
            plan,
            image: FileSource::new(file, path, bytes, Some(planned.bytes())),
            parts: &there.parts_to_read(),
        };
        let sink = FirstBlockLast::new(UnsharedSink {
            image: ImageSink::new(file, path, planned.tree.area),
            parts: &there.parts,
        });
        let tree = &planned.tree;
        let root_hash = match &tree.fec {
            None => hash_tree(&tree.params, &source, &sink, workers)?,
            Some(fec) => {
                let parity = ParityArea::new(&fec.layout, &fec.area, (file, path), workers);
                let covered_tree = covered_tree(tree, fec, (file, path));
                if planned.model.directory().is_some() {
                    let root_hash = parity.hash_tree(&tree.params, &source, &sink, workers)?;
                    parity.cover(&[covered_tree], workers)?;
                    root_hash
                } else {
                    // It comes in its order, and once.
                    let root_hash = hash_tree(&tree.params, &source, &sink, workers)?;
                    let image = CoveredPart {
                        blocks: 1..fec.layout.data_blocks(),
                        source: Box::new(source.image),
                        offset: BLOCK_SIZE,
                    };
                    parity.cover_all(&[sink.covered_first(), image, covered_tree], workers)?;
                    root_hash
                }
            }
        };
        target.sync()?;
        there.check(planned, file)?;
        Ok((root_hash, sink.into_first()))
    }

    /// A new file that shares what it can with the model, with room for what is going to be written.
    fn start_file<'a>(
        &self,
        place: &OutputPlace,
        replace: bool,
        planned: &'a DiskPlan,
        workers: &Workers,
    ) -> Result<(TreeOutput<'a>, AlreadyThere), BuildError> {
        let target = self.new_file(place, replace, planned)?;
        let there = match self.kept_on(&target, planned, workers)? {
            Some(kept) => {
                planned.keep_only(&kept, target.file(), target.path())?;
                kept
            }
            None => reflink(planned, target.file(), workers)?,
        };
        let tree = planned.image.bytes()..planned.bytes();
        let source = planned.source(true, &there);
        preallocate(target.file(), place.path(), &source, &there.parts, tree)?;
        Ok((target, there))
    }

    fn new_file<'a>(
        &self,
        place: &OutputPlace,
        replace: bool,
        planned: &'a DiskPlan,
    ) -> Result<TreeOutput<'a>, FileError> {
        // Of a directory's files holes are not written, and what is there would show through.
        if self.resume && planned.model.directory().is_none() {
            TreeOutput::resumed_file(place, replace, &planned.tree)
        } else {
            TreeOutput::new_file(place, replace, &planned.tree)
        }
    }

    /// What an earlier run has written, where this one is to go on with it.
    fn kept_on(
        &self,
        target: &TreeOutput<'_>,
        planned: &DiskPlan,
        workers: &Workers,
    ) -> Result<Option<AlreadyThere>, HashTreeError> {
        if !self.resume {
            return Ok(None);
        }
        let bytes = planned.image.bytes();
        let image = FileSource::new(target.file(), target.path(), bytes, None);
        planned.kept_in(&image, workers)
    }
}

/// A device on which nothing looks like a disk any more.
fn start_device<'a>(
    device: &'a BackingFile,
    planned: &'a DiskPlan,
    manifest: Option<&ManifestOutput>,
) -> Result<TreeOutput<'a>, BuildError> {
    let needed = planned.bytes();
    if needed > device.bytes() {
        return Err(BuildError::NoRoom {
            device: device.path().to_owned(),
            bytes: device.bytes(),
            needed,
        });
    }
    remove_old(manifest)?;
    let cleared: io::Result<()> = device.file().write_all_at(&[0; BLOCK_SIZE as usize], 0);
    cleared.map_err(FileError::new("write to", device.path()))?;
    Ok(TreeOutput::in_place(device, &planned.tree)?)
}
