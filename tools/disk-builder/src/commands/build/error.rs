//! Why there is no disk.

use std::path::PathBuf;

use dm_verity::RootHash;
use model_disk::{Escaped, ExitCode, FileError, HasExitCode, erofs::ImagePlanError};

#[cfg(feature = "hub")]
use crate::remote::RemoteModelError;
use crate::{
    commands::hash::TreePlanError, engine::HashTreeError, model::ScanError, output::OutputError,
};

/// Why there is no disk.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The model directory is none that a disk can be made of.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// The model is not on this machine, and does not come here.
    #[cfg(feature = "hub")]
    #[error(transparent)]
    Remote(#[from] RemoteModelError),
    /// There was a note.
    #[error(
        "{} may not be a whole model and nothing else, and --strict makes the notes on that an \
         error",
        Escaped::path(.0)
    )]
    Strict(PathBuf),
    /// The model is too large.
    #[error(transparent)]
    Image(#[from] ImagePlanError),
    /// There can be no such tree.
    #[error(transparent)]
    TreePlan(#[from] TreePlanError),
    /// There is something at the output's place, or it cannot be looked at.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The output could not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The output would be a part of the model.
    #[error(
        "{} is in the model directory {}: an output must be outside of it",
        Escaped::path(output),
        Escaped::path(model)
    )]
    Inside {
        /// The output.
        output: PathBuf,
        /// The model directory.
        model: PathBuf,
    },
    /// The output is a part of the model.
    #[error(
        "{} is a file of the model, as {}: writing it would destroy it",
        Escaped::path(output),
        Escaped::path(file)
    )]
    IsModelFile {
        /// The output.
        output: PathBuf,
        /// The same in the model.
        file: PathBuf,
    },
    /// Disk and manifest have one place.
    #[error("{} cannot be both the disk and its manifest", Escaped::path(.0))]
    SameOutput(PathBuf),
    /// The manifest cannot be a device.
    #[error("{} is a block device: a manifest is a file", Escaped::path(.0))]
    ManifestDevice(PathBuf),
    /// A block device does not grow.
    #[error(
        "the disk takes {needed} bytes, and {} has only {bytes}",
        Escaped::path(device)
    )]
    NoRoom {
        /// The output.
        device: PathBuf,
        /// How large it is.
        bytes: u64,
        /// How large it should be.
        needed: u64,
    },
    /// Reading or writing failed, or was stopped.
    #[error(transparent)]
    Tree(#[from] HashTreeError),
    /// The disk is there without its manifest.
    #[error(
        "the disk {} is complete, with the root hash {root_hash}, but it has no manifest",
        Escaped::path(disk)
    )]
    NoManifest {
        /// The disk.
        disk: PathBuf,
        /// Its root hash.
        root_hash: RootHash,
        /// Why there is none.
        source: FileError,
    },
}

impl HasExitCode for BuildError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Scan(error) => error.exit_code(),
            #[cfg(feature = "hub")]
            Self::Remote(error) => error.exit_code(),
            Self::Tree(error) => error.exit_code(),
            Self::Inside { .. }
            | Self::IsModelFile { .. }
            | Self::SameOutput(_)
            | Self::ManifestDevice(_) => ExitCode::Usage,
            Self::Output(error) => error.exit_code(),
            Self::File(error) | Self::NoManifest { source: error, .. } => error.exit_code(),
            Self::Strict(_) | Self::Image(_) | Self::TreePlan(_) | Self::NoRoom { .. } => {
                ExitCode::Failure
            }
        }
    }
}
