//! `status`: what dm-verity has seen of a mounted disk so far.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{
    device_mapper::{Description, DeviceMapper, MappingError, MappingName, VerityStatus},
    mountinfo::{self, Mount},
};
use crate::exit::ExitCode;

/// How often a mount without a mapping is looked at before it is taken for one: the mapping may
/// just have gone, with a mount that was there a moment before.
const LOOKS: u32 = 5;

/// The state of a mounted disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Where it is mounted.
    pub mount_point: PathBuf,
    /// The name of its mapping.
    pub name: MappingName,
    /// Its root hash, in hex.
    pub root_hash: String,
    /// What dm-verity has seen.
    pub verity: VerityStatus,
}

/// Why nothing can be said of a disk.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// Nothing is mounted there.
    #[error("{0}: not mounted")]
    NotMounted(PathBuf),
    /// Something else is mounted there.
    #[error("{mount_point}: a filesystem of type {fs_type} without dm-verity is mounted there")]
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
    #[error("{path}: cannot look for its mount: {source}")]
    Io {
        /// The directory.
        path: PathBuf,
        /// With its errno.
        source: io::Error,
    },
}

impl StatusError {
    /// The exit code that goes with it.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::NotMounted(_) => ExitCode::NotFound,
            Self::NotVerity { .. } => ExitCode::Integrity,
            Self::Mapping(error) => error.exit_code(),
            Self::Io { source, .. } => ExitCode::of_io(source),
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
    let path = mountinfo::canonical(mount_point).map_err(|source| StatusError::Io {
        path: mount_point.to_owned(),
        source,
    })?;
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
        let mounted = mountinfo::mounted_at(mount_point).map_err(|source| StatusError::Io {
            path: mount_point.to_owned(),
            source,
        })?;
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
