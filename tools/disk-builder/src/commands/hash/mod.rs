//! `hash`: adds a tree to data that exists.

mod appended_before;
mod fec_output;
mod fec_plan;
mod report;
mod tree_output;
mod tree_plan;
mod tree_plan_error;

use std::path::PathBuf;

use dm_verity::Superblock;
use model_disk::{
    BackingFile, BackingFileError, BackingKind, DiskError, Escaped, ExitCode, FileError,
    HasExitCode, derived_uuid, filesystem::FsType, filesystem_bytes, superblocks::header,
};
use uuid::Uuid;

pub use fec_plan::{FecPlan, FecRequest};
pub use report::{HashReport, Reflinks};
pub use tree_plan::{Capacity, TreePlan, TreeRequest};
pub use tree_plan_error::TreePlanError;

pub(crate) use fec_output::covered_tree;
pub(crate) use tree_output::TreeOutput;

use fec_output::FecOutput;

use crate::{
    engine::{FileSink, FileSource, HashTreeError, ParityArea, Workers, hash_tree},
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
    /// The FEC area, if there is to be one.
    pub fec: Option<FecRequest>,
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
    /// Parity would be written over something else.
    #[error(
        "{} is storage of {} by another name, and parity would be written over it: choose another \
         --fec-device, or omit it to have the FEC area after the tree",
        Escaped::path(path),
        Escaped::path(other)
    )]
    FecOverlap {
        /// Where parity was to go.
        path: PathBuf,
        /// The data, or the hash device.
        other: PathBuf,
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
            Self::Overlap { .. } | Self::FecOverlap { .. } => ExitCode::Usage,
            Self::AlreadyHashed { .. } => ExitCode::InTheWay,
            Self::Tree(_) => ExitCode::Failure,
        }
    }
}

/// Where something goes, as far as the paths tell.
enum AreaDestination {
    /// To what comes before it, into the same file or onto the same device: the tree to the data, or
    /// parity to the tree.
    Appended,
    /// Onto another block device, or into a file of its own.
    Other(Output),
}

impl AreaDestination {
    fn capacity(&self) -> Option<Capacity> {
        match self {
            Self::Appended => None,
            Self::Other(Output::Device(device)) => Some(Capacity::of(device)),
            Self::Other(Output::File { .. }) => Some(Capacity {
                kind: BackingKind::File,
                bytes: 0,
            }),
        }
    }

    /// The place of a file that is to be made.
    fn new_file(&self) -> Option<&OutputPlace> {
        match self {
            Self::Other(Output::File { place, .. }) => Some(place),
            _ => None,
        }
    }
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
        let fec_destination = self.fec_destination(&destination)?;
        let data = match destination {
            AreaDestination::Appended => self.open_to_append()?,
            _ => BackingFile::open(&self.data)?,
        };
        // A tree over what every command refuses would be of no use.
        filesystem_bytes(&data, FsType::default(), &header(&data)?)?;
        let plan = self.plan(Capacity::of(&data), &destination, fec_destination.as_ref());
        let plan = plan.map_err(|source| HashError::Plan {
            data: self.data.clone(),
            source,
        })?;
        if let Some(note) = Note::of_data_blocks(plan.params.data_block_size()) {
            tell(&note);
        }
        let target = match &destination {
            AreaDestination::Appended => {
                // Who wants a second tree, or the first one made again, says where it goes.
                if self.tree.hash_offset.is_none()
                    && let Some(offset) = appended_before::find(&self.tree, &data)?
                {
                    let path = self.data.clone();
                    return Err(HashError::AlreadyHashed { path, offset });
                }
                if !self.force {
                    for part in plan.parts() {
                        refuse_overwriting(&data, part)?;
                    }
                }
                TreeOutput::in_place(&data, &plan)?
            }
            AreaDestination::Other(Output::Device(device)) => TreeOutput::in_place(device, &plan)?,
            AreaDestination::Other(Output::File { place, replace }) => {
                TreeOutput::new_file(place, *replace, &plan)?
            }
        };
        let parity_output = match (&fec_destination, &plan.fec) {
            (Some(AreaDestination::Other(output)), Some(fec)) => {
                Some(FecOutput::start(output, fec)?)
            }
            _ => None,
        };
        let data_bytes = plan.params.data_bytes();
        let source = match &destination {
            AreaDestination::Appended => {
                FileSource::of_length(&data, data_bytes, tree_output::length_after(&data, &plan))
            }
            _ => FileSource::of(&data, data_bytes),
        };
        let sink = FileSink::new(target.file(), target.path(), plan.area);
        let tree_place = (target.file(), target.path());
        let root_hash = match &plan.fec {
            None => hash_tree(&plan.params, &source, &sink, workers)?,
            Some(fec) => {
                let place = parity_output.as_ref().map_or(tree_place, FecOutput::place);
                let parity = ParityArea::new(&fec.layout, &fec.area, place, workers);
                let root_hash = parity.hash_tree(&plan.params, &source, &sink, workers)?;
                parity.cover(&[covered_tree(&plan, fec, tree_place)], workers)?;
                root_hash
            }
        };
        target.sync()?;
        if let Some(output) = &parity_output {
            output.sync()?;
        }
        workers.check_interrupted().map_err(HashTreeError::from)?;
        let superblock = self.tree.superblock.then(|| Superblock {
            uuid: self.uuid.unwrap_or_else(|| derived_uuid(&root_hash)),
            params: plan.params.clone(),
        });
        let bytes = superblock.as_ref().map(Superblock::to_bytes);
        // Somebody may have put something there meanwhile.
        let fec_file = fec_destination.as_ref().and_then(AreaDestination::new_file);
        for place in destination.new_file().into_iter().chain(fec_file) {
            Output::find(place, self.force)?;
        }
        parity_output.map(FecOutput::finish).transpose()?;
        if let Err(error) = target.finish(&plan, bytes.as_ref()) {
            // Parity without its tree is of no use.
            let _ = fec_file.map(OutputPlace::remove);
            return Err(error.into());
        }
        Ok(HashReport {
            uuid: superblock.map(|superblock| superblock.uuid),
            plan,
            root_hash,
            reflinks: None,
            #[cfg(feature = "hub")]
            remote: None,
        })
    }

    fn plan(
        &self,
        data: Capacity,
        destination: &AreaDestination,
        fec_destination: Option<&AreaDestination>,
    ) -> Result<TreePlan, TreePlanError> {
        let hashes = destination.capacity();
        let plan = TreePlan::new(&self.tree, data, hashes)?;
        let (Some(request), Some(fec_destination)) = (&self.fec, fec_destination) else {
            return Ok(plan);
        };
        let device = fec_destination.capacity();
        plan.with_fec(
            request.roots,
            request.offset,
            hashes.unwrap_or(data),
            device,
        )
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

    fn destination(&self) -> Result<AreaDestination, HashError> {
        let Some(path) = &self.hash_device else {
            return Ok(AreaDestination::Appended);
        };
        let place = OutputPlace::of(path)?;
        if let Some(found) = output::look(&place)? {
            let data = self.data.metadata();
            let data = Storage::of(&data.map_err(FileError::new("open", &self.data))?);
            let there = Storage::of(&found);
            if there == data {
                return Ok(AreaDestination::Appended);
            }
            if there.overlaps(data) {
                let (path, data) = (path.clone(), self.data.clone());
                return Err(HashError::Overlap { path, data });
            }
        }
        Ok(AreaDestination::Other(Output::find(&place, self.force)?))
    }

    /// Where parity goes, where there is to be some.
    fn fec_destination(
        &self,
        tree: &AreaDestination,
    ) -> Result<Option<AreaDestination>, HashError> {
        let Some(request) = &self.fec else {
            return Ok(None);
        };
        let Some(path) = &request.device else {
            return Ok(Some(AreaDestination::Appended));
        };
        let place = OutputPlace::of(path)?;
        if tree.new_file().is_some_and(|tree| tree.is_same(&place)) {
            return Ok(Some(AreaDestination::Appended));
        }
        if let Some(found) = output::look(&place)? {
            let there = Storage::of(&found);
            let data = self.data.metadata();
            let data = Storage::of(&data.map_err(FileError::new("open", &self.data))?);
            let data = (data, self.data.as_path());
            let tree = match tree {
                AreaDestination::Appended => Some(data),
                AreaDestination::Other(Output::Device(device)) => {
                    let found = device.file().metadata();
                    let found = found.map_err(FileError::new("open", device.path()))?;
                    Some((Storage::of(&found), device.path()))
                }
                AreaDestination::Other(Output::File { .. }) => None,
            };
            if tree.is_some_and(|(storage, _)| storage == there) {
                return Ok(Some(AreaDestination::Appended));
            }
            for (storage, other) in tree.into_iter().chain([data]) {
                if there.overlaps(storage) {
                    let (path, other) = (path.clone(), other.to_owned());
                    return Err(HashError::FecOverlap { path, other });
                }
            }
        }
        let output = Output::find(&place, self.force)?;
        Ok(Some(AreaDestination::Other(output)))
    }
}
