//! `hash`: adds a tree to data that exists.

mod appended_before;
mod report;
mod tree_output;
mod tree_plan;

use std::path::PathBuf;

use dm_verity::Superblock;
use model_disk::{
    BackingFile, BackingFileError, BackingKind, DiskError, Escaped, ExitCode, FileError,
    HasExitCode, derived_uuid, filesystem::FsType, filesystem_bytes, superblocks::header,
};
use uuid::Uuid;

pub use report::{HashReport, Reflinks};
pub use tree_plan::{Capacity, TreePlan, TreePlanError, TreeRequest};

pub(crate) use tree_output::TreeOutput;

use crate::{
    engine::{FileSink, FileSource, HashTreeError, Workers, hash_tree},
    model::Note,
    output::{
        self, Output, OutputError, OutputPlace, open_to_write, refuse_overwriting, storage::Storage,
    },
};

/// What `hash` is to do.
#[derive(Clone, Debug)]
pub struct Hash {
    /// The data.
    pub data: PathBuf,
    /// Where the tree goes; after the data, where it is none or the data itself.
    pub hash_device: Option<PathBuf>,
    /// The tree.
    pub tree: TreeRequest,
    /// The UUID of the superblock; that of the root hash, where it is none.
    pub uuid: Option<Uuid>,
    /// Replace a file that is there, or write over what is on a device.
    pub force: bool,
}

/// Why there is no tree.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// A file or device could not be opened or written.
    #[error(transparent)]
    BackingFile(#[from] BackingFileError),
    /// It could not be written.
    #[error(transparent)]
    Write(#[from] FileError),
    /// No disk with this data is accepted.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// It cannot be done so.
    #[error("cannot hash {}", Escaped::path(data))]
    Plan {
        /// The data.
        data: PathBuf,
        /// Why.
        source: TreePlanError,
    },
    /// The tree cannot go where it should.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The tree would be written over the data.
    #[error(
        "{} is storage of {} by another name, and the tree would be written over the data: choose \
         another --hash-device, or omit it to append the tree",
        Escaped::path(path),
        Escaped::path(data)
    )]
    Overlap {
        /// The hash device.
        path: PathBuf,
        /// The data.
        data: PathBuf,
    },
    /// A tree over data and tree is hardly what anybody wants.
    #[error(
        "{} already has a hash tree, with its superblock at byte {offset}: to make it again, name \
         --data-blocks and --hash-offset {offset}, and --force",
        Escaped::path(path)
    )]
    AlreadyHashed {
        /// The data.
        path: PathBuf,
        /// Where.
        offset: u64,
    },
    /// Reading or writing failed, or was stopped.
    #[error(transparent)]
    Tree(#[from] HashTreeError),
}

impl HasExitCode for HashError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::BackingFile(error) => error.exit_code(),
            Self::Write(error) => error.exit_code(),
            Self::Disk(error) => error.exit_code(),
            Self::Plan { source, .. } => source.exit_code(),
            Self::Output(error) => error.exit_code(),
            Self::Overlap { .. } => ExitCode::Usage,
            Self::AlreadyHashed { .. } => ExitCode::InTheWay,
            Self::Tree(_) => ExitCode::Failure,
        }
    }
}

/// Where the tree goes, as far as the paths tell.
enum TreeDestination {
    /// Into the data's own file or device.
    Data,
    /// Onto another block device, or into a file of its own.
    Other(Output),
}

impl Hash {
    /// Makes the tree. When it fails, or when `workers` are interrupted, what it has written is
    /// taken back. `tell` gets what the user may not have meant before anything is read or written.
    pub fn run(
        &self,
        workers: &Workers,
        tell: impl FnOnce(&Note),
    ) -> Result<HashReport, HashError> {
        let destination = self.destination()?;
        let data = match destination {
            TreeDestination::Data => self.open_to_append()?,
            _ => BackingFile::open(&self.data)?,
        };
        // A tree over what every command refuses would be of no use.
        filesystem_bytes(&data, FsType::default(), &header(&data)?)?;
        let hashes = match &destination {
            TreeDestination::Data => None,
            TreeDestination::Other(Output::Device(device)) => Some(Capacity::of(device)),
            TreeDestination::Other(Output::File { .. }) => Some(Capacity {
                kind: BackingKind::File,
                bytes: 0,
            }),
        };
        let plan = TreePlan::new(&self.tree, Capacity::of(&data), hashes).map_err(|source| {
            HashError::Plan {
                data: self.data.clone(),
                source,
            }
        })?;
        if let Some(note) = Note::of_data_blocks(plan.params.data_block_size()) {
            tell(&note);
        }
        let target = match &destination {
            TreeDestination::Data => {
                // Who wants a second tree, or the first one made again, says where it goes.
                if self.tree.hash_offset.is_none()
                    && let Some(offset) = appended_before::find(&self.tree, &data)?
                {
                    let path = self.data.clone();
                    return Err(HashError::AlreadyHashed { path, offset });
                }
                if !self.force {
                    refuse_overwriting(&data, plan.area.offset()..plan.area.end(&plan.layout))?;
                }
                TreeOutput::in_place(&data, &plan)?
            }
            TreeDestination::Other(Output::Device(device)) => TreeOutput::in_place(device, &plan)?,
            TreeDestination::Other(Output::File { place, replace }) => {
                TreeOutput::new_file(place, *replace, &plan)?
            }
        };
        let data_bytes = plan.params.data_bytes();
        let source = match &destination {
            TreeDestination::Data => {
                FileSource::of_length(&data, data_bytes, tree_output::length_after(&data, &plan))
            }
            _ => FileSource::of(&data, data_bytes),
        };
        let sink = FileSink::new(target.file(), target.path(), plan.area);
        let root_hash = hash_tree(&plan.params, &source, &sink, workers)?;
        target.sync()?;
        workers.check_interrupted().map_err(HashTreeError::from)?;
        let superblock = self.tree.superblock.then(|| Superblock {
            uuid: self.uuid.unwrap_or_else(|| derived_uuid(&root_hash)),
            params: plan.params.clone(),
        });
        let bytes = superblock.as_ref().map(Superblock::to_bytes);
        if let TreeDestination::Other(Output::File { place, .. }) = &destination {
            // Somebody may have put something there meanwhile.
            Output::find(place, self.force)?;
        }
        target.finish(&plan, bytes.as_ref())?;
        Ok(HashReport {
            uuid: superblock.map(|superblock| superblock.uuid),
            plan,
            root_hash,
            reflinks: None,
            #[cfg(feature = "hub")]
            remote: None,
        })
    }

    /// Opens the data. What a run appended to it that was killed is taken away.
    fn open_to_append(&self) -> Result<BackingFile, HashError> {
        let data = open_to_write(&self.data)?;
        if data.kind() != BackingKind::File || self.tree.hash_offset.is_some() {
            return Ok(data);
        }
        let Some(length) = appended_before::interrupted_append(&self.tree, &data)? else {
            return Ok(data);
        };
        let shortened = data.file().set_len(length);
        shortened.map_err(FileError::new("shorten", &self.data))?;
        // The same open file, which stays locked.
        let again = data.file().try_clone();
        let again = again.map_err(FileError::new("open", &self.data))?;
        Ok(BackingFile::from_file(again, &self.data)?)
    }

    fn destination(&self) -> Result<TreeDestination, HashError> {
        let Some(path) = &self.hash_device else {
            return Ok(TreeDestination::Data);
        };
        let place = OutputPlace::of(path)?;
        if let Some(found) = output::look(&place)? {
            let data = self.data.metadata();
            let data = Storage::of(&data.map_err(FileError::new("open", &self.data))?);
            let there = Storage::of(&found);
            if there == data {
                return Ok(TreeDestination::Data);
            }
            if there.overlaps(data) {
                let (path, data) = (path.clone(), self.data.clone());
                return Err(HashError::Overlap { path, data });
            }
        }
        Ok(TreeDestination::Other(Output::find(&place, self.force)?))
    }
}
