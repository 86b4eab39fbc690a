//! `status`: what dm-verity has seen of a mounted disk so far.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::{Serialize, Serializer};

use crate::{
    device_mapper::{Description, DeviceMapper, MappingError, MappingName, VerityStatus},
    mountinfo::{self, Mount},
};
use model_disk::{Escaped, ExitCode, FileError, HasExitCode};

/// How often a mount without a mapping is looked at before it is taken for one: the mapping may
/// just have gone, with a mount that was there a moment before.
const LOOKS: u32 = 5;

/// The state of a mounted disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Where it is mounted.
    #[serde(serialize_with = "escaped")]
    pub mount_point: PathBuf,
    /// The name of its mapping.
    #[serde(serialize_with = "text")]
    pub name: MappingName,
    /// Its root hash, in hex.
    pub root_hash: String,
    /// What dm-verity has seen.
    #[serde(rename = "status")]
    pub verity: VerityStatus,
}

impl Status {
    /// The code that `status` ends with.
    pub fn exit_code(&self) -> ExitCode {
        match self.verity {
            VerityStatus::Verified => ExitCode::Success,
            VerityStatus::Corrupt => ExitCode::Integrity,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            mount_point,
            verity,
            root_hash,
            ..
        } = self;
        let mount_point = Escaped::path(mount_point);
        write!(f, "{mount_point}: {verity}, root hash {root_hash}")
    }
}

fn escaped<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Escaped::path(path))
}

fn text<S: Serializer>(value: &MappingName, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Why nothing can be said of a disk.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// Nothing is mounted there.
    #[error("{}: not mounted", Escaped::path(.0))]
    NotMounted(PathBuf),
    /// Something else is mounted there.
    #[error(
        "{}: a filesystem of type {fs_type} without dm-verity is mounted there",
        Escaped::path(mount_point)
    )]
    NotVerity {
        /// The directory.
        mount_point: PathBuf,
        /// What is mounted there.
        fs_type: String,
    },
    /// Device-mapper does not tell.
    #[error(transparent)]
    Mapping(#[from] MappingError),
    /// A system call failed.
    #[error(transparent)]
    File(#[from] FileError),
}

impl HasExitCode for StatusError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::NotMounted(_) => ExitCode::NotFound,
            Self::NotVerity { .. } => ExitCode::Integrity,
            Self::Mapping(error) => error.exit_code(),
            Self::File(error) => error.exit_code(),
        }
    }
}

/// Asks the kernel about the disk that is mounted at a directory.
pub fn status(mount_point: &Path) -> Result<Status, StatusError> {
    let device_mapper = DeviceMapper::open()?;
    let (mount, found) = find(&device_mapper, mount_point)?;
    Ok(Status {
        mount_point: mount.mount_point,
        root_hash: found.loaded_table()?.root_hash,
        verity: found.status,
        name: found.name,
    })
}

/// The topmost mount at a directory, and its mapping.
pub(crate) fn find(
    device_mapper: &DeviceMapper,
    mount_point: &Path,
) -> Result<(Mount, Description), StatusError> {
    let path = mountinfo::canonical(mount_point).map_err(FileError::new("resolve", mount_point))?;
    match look(device_mapper, &path)? {
        None => Err(StatusError::NotMounted(path)),
        Some((mount, Some(found))) => Ok((mount, found)),
        Some((mount, None)) => Err(StatusError::NotVerity {
            mount_point: mount.mount_point,
            fs_type: mount.fs_type,
        }),
    }
}

/// The topmost mount at a directory, if there is one, and its mapping, if it is one of dm-verity.
/// `mount_point` must be canonical.
pub(crate) fn look(
    device_mapper: &DeviceMapper,
    mount_point: &Path,
) -> Result<Option<(Mount, Option<Description>)>, StatusError> {
    let mut seen = None;
    for _ in 0..LOOKS {
        let mounted = mountinfo::mounted_at(mount_point)
            .map_err(FileError::new("look for the mount at", mount_point))?;
        let Some(mount) = mounted else {
            return Ok(None);
        };
        if let Some(name) = device_mapper.find(mount.device)?
            && let Some(found) = device_mapper.describe(&name)?
        {
            return Ok(Some((mount, Some(found))));
        }
        seen = Some((mount, None));
    }
    Ok(seen)
}
