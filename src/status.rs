//! `status`: what dm-verity has seen of a mounted disk so far.

use std::{
    fmt,
    fs::OpenOptions,
    io::{self, ErrorKind},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use dm_verity::{DeviceNumber, LoadedTable, RootHash};

use serde::{Serialize, Serializer};

use crate::{
    device_mapper::{Description, DeviceMapper, MappingError, MappingName, VerityStatus},
    fuse::{FuseMount, NoAnswer},
    loop_device::LoopDevice,
    mount_point::{MountPointError, ResolvedPath},
    mountinfo::{self, Mount},
    sysfs,
    watchdog::run_with_timeout,
};
use model_disk::{Escaped, ExitCode, FileError, HasExitCode};

/// How often a mount without a mapping is looked at before it is taken for one: the mapping may
/// just have gone, with a mount that was there a moment before.
const LOOKS: u32 = 5;

/// How long a device may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// No block of a device is larger.
const BLOCK: usize = 65536;

/// The state of a mounted disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Where it is mounted.
    #[serde(serialize_with = "escaped")]
    pub mount_point: PathBuf,
    /// Who verifies it: `dm-verity` for the kernel, `fuse` for the process that serves it.
    pub verified_by: &'static str,
    /// The name of its mapping, if it has one.
    #[serde(serialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub name: Option<MappingName>,
    /// What its server reads, where there is one: as it was named when it was mounted, escaped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// What its server has found corrupt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrupt: Option<String>,
    /// Its root hash, in hex.
    pub root_hash: String,
    /// What was seen when it was read.
    #[serde(rename = "status")]
    pub verity: VerityStatus,
    /// Whether corrupt blocks are corrected, as far as they can be.
    pub fec: bool,
    /// How many were; None where none are, and where the kernel does not tell.
    pub fec_corrected: Option<u64>,
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
        write!(f, "{mount_point}: {verity}, root hash {root_hash}")?;
        match self.fec_corrected {
            None | Some(0) => {}
            Some(1) => f.write_str(", 1 block corrected")?,
            Some(count) => write!(f, ", {count} blocks corrected")?,
        }
        match &self.corrupt {
            Some(what) => write!(f, " ({what})"),
            None => Ok(()),
        }
    }
}

fn escaped<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Escaped::path(path))
}

fn text<S: Serializer>(name: &Option<MappingName>, serializer: S) -> Result<S::Ok, S::Error> {
    match name {
        Some(name) => serializer.collect_str(name),
        None => serializer.serialize_none(),
    }
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
    /// The mounted disk is not the one that is expected, or not mounted as it should be.
    #[error("{}: {what}", Escaped::path(mount_point))]
    NotExpected {
        /// The directory.
        mount_point: PathBuf,
        /// In what it differs.
        what: String,
    },
    /// The device below the mapping is gone, and no read can succeed any more.
    #[error(
        "{}: the device {device} that the disk is on is gone",
        Escaped::path(mount_point)
    )]
    DeviceGone {
        /// The directory.
        mount_point: PathBuf,
        /// Its number.
        device: DeviceNumber,
    },
    /// The device does not answer.
    #[error(
        "{}: the disk does not answer: timed out after {seconds} s while reading its first block",
        Escaped::path(mount_point)
    )]
    NoAnswer {
        /// The directory.
        mount_point: PathBuf,
        /// How long it was waited for.
        seconds: u64,
    },
    /// Nobody serves it any more.
    #[error(
        "{}: the process that served the disk has ended, and no read succeeds any more: unmount it, or \
         mount it again",
        Escaped::path(.0)
    )]
    ServerEnded(PathBuf),
    /// Who serves it does not answer.
    #[error(
        "{}: the process that serves the disk does not answer: timed out after {seconds} s",
        Escaped::path(mount_point)
    )]
    ServerSilent {
        /// The directory.
        mount_point: PathBuf,
        /// How long it was waited for.
        seconds: u64,
    },
    /// It is served by somebody who could say anything.
    #[error(
        "{}: {by} has mounted it by FUSE, and only what root or the asking user has mounted is believed",
        Escaped::path(mount_point)
    )]
    NotBelieved {
        /// The directory.
        mount_point: PathBuf,
        /// Who has mounted it.
        by: String,
    },
    /// The path leads nowhere, or by a link.
    #[error(transparent)]
    Path(#[from] MountPointError),
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
            Self::NotMounted(_)
            | Self::DeviceGone { .. }
            | Self::NoAnswer { .. }
            | Self::ServerEnded(_)
            | Self::ServerSilent { .. } => ExitCode::NotFound,
            Self::NotVerity { .. } | Self::NotExpected { .. } | Self::NotBelieved { .. } => {
                ExitCode::Integrity
            }
            Self::Path(error) => error.exit_code(),
            Self::Mapping(error) => error.exit_code(),
            Self::File(error) => error.exit_code(),
        }
    }
}

/// Asks the kernel about the disk that is mounted at a directory, or the process that serves it. With a
/// root hash it must be all of that disk, mounted as `mount` does it, and it must answer.
pub fn status(mount_point: &Path, expected: Option<&RootHash>) -> Result<Status, StatusError> {
    if let Some(mount) = FuseMount::at(mount_point)? {
        return status_of_server(&mount, expected);
    }
    let (device_mapper, shown, mut found) = find(mount_point)?;
    let path = shown.resolved.path();
    let loaded = found.loaded_table()?;
    if let Some(device) = gone(shown.mount.device, &loaded) {
        return Err(StatusError::DeviceGone {
            mount_point: path.to_owned(),
            device,
        });
    }
    if let Some(root_hash) = expected {
        if let Some(what) = difference_from(&shown.mount, &found, &loaded, root_hash) {
            return Err(StatusError::NotExpected {
                mount_point: path.to_owned(),
                what,
            });
        }
        if let Err(error) = read_a_block(path, shown.mount.device, &found) {
            // It may have found out just now.
            match device_mapper.describe(&found.name)? {
                Some(now) if now.status == VerityStatus::Corrupt => found = now,
                _ => return Err(error),
            }
        }
    }
    Ok(Status {
        mount_point: path.to_owned(),
        root_hash: loaded.root_hash,
        verity: found.status,
        fec: loaded.fec_device.is_some(),
        fec_corrected: found.fec_corrected,
        verified_by: "dm-verity",
        name: Some(found.name),
        device: None,
        corrupt: None,
    })
}

/// What the server of a FUSE mount says of its disk.
fn status_of_server(mount: &FuseMount, expected: Option<&RootHash>) -> Result<Status, StatusError> {
    let mount_point = mount.resolved.path().to_owned();
    if !mount.is_believed() {
        let by = match mount.user() {
            Some(user) => format!("user {user}"),
            None => "somebody".to_owned(),
        };
        return Err(StatusError::NotBelieved { mount_point, by });
    }
    let answer = match mount.ask() {
        Ok(answer) => answer,
        Err(NoAnswer::Dead) => return Err(StatusError::ServerEnded(mount_point)),
        Err(NoAnswer::Silent) => {
            let seconds = ANSWER.as_secs();
            return Err(StatusError::ServerSilent {
                mount_point,
                seconds,
            });
        }
        Err(NoAnswer::Other) => {
            let fs_type = mount.mount.fs_type.clone();
            return Err(StatusError::NotVerity {
                mount_point,
                fs_type,
            });
        }
        Err(NoAnswer::Failed(error)) => {
            return Err(FileError::new("ask the server of", &mount_point)(error).into());
        }
    };
    if let Some(root_hash) = expected
        && let Some(what) = mount_difference(&mount.mount, &answer.root_hash, root_hash, true)
    {
        return Err(StatusError::NotExpected { mount_point, what });
    }
    Ok(Status {
        mount_point,
        verified_by: "fuse",
        name: None,
        device: Some(answer.device),
        root_hash: answer.root_hash,
        verity: match answer.corrupt {
            None => VerityStatus::Verified,
            Some(_) => VerityStatus::Corrupt,
        },
        corrupt: answer.corrupt,
        fec: answer.fec_corrected.is_some(),
        fec_corrected: answer.fec_corrected,
    })
}

/// The device of a mapping that it does not hold any more, if there is one; or the device below a
/// loop device of it, for a partition, that is there no more.
pub(crate) fn gone(mapping: DeviceNumber, loaded: &LoadedTable) -> Option<DeviceNumber> {
    let devices = [loaded.data_device, loaded.hash_device];
    devices.into_iter().find_map(|device| {
        if sysfs::holds(mapping, device) == Some(false) {
            return Some(device);
        }
        // Its number is not given to another one while the loop device has it open.
        LoopDevice::device_below(device).filter(|below| sysfs::is_there(*below) == Some(false))
    })
}

/// In what a mount is not all of the disk that is expected, in words.
pub(crate) fn difference_from(
    mount: &Mount,
    found: &Description,
    loaded: &LoadedTable,
    root_hash: &RootHash,
) -> Option<String> {
    let is_whole = found.sectors.checked_mul(512) == Some(loaded.data_bytes);
    mount_difference(mount, &loaded.root_hash, root_hash, is_whole)
}

/// The same, where the disk that is mounted has the root hash `found`, and is all there or not.
fn mount_difference(
    mount: &Mount,
    found: &str,
    root_hash: &RootHash,
    is_whole: bool,
) -> Option<String> {
    if found != root_hash.to_string() {
        return Some(format!(
            "the disk with the root hash {found} is mounted there, and not that with {root_hash}"
        ));
    }
    if mount.root != Path::new("/") || !is_whole {
        return Some("only a part of the disk is mounted there".to_owned());
    }
    let missing = mount.missing_options(&["ro", "nodev", "nosuid", "noexec"]);
    (!missing.is_empty()).then(|| format!("the disk is mounted there, but without {missing}"))
}

/// Reads the first block of a mapping past all caches.
fn read_a_block(
    mount_point: &Path,
    number: DeviceNumber,
    found: &Description,
) -> Result<(), StatusError> {
    let (name, own) = (found.name.clone(), found.own);
    let read = move || -> io::Result<()> {
        let Some((node, _)) = name.open(number, own)? else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let device = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_DIRECT)
            .open(node.path())?;
        // Direct reads go to whole blocks of memory.
        let mut memory = vec![0; 2 * BLOCK];
        let start = memory.as_ptr().align_offset(BLOCK);
        let block = memory.get_mut(start..start + BLOCK).unwrap_or_default();
        // The smallest disks are shorter.
        device.read_at(block, 0).map(|_| ())
    };
    match run_with_timeout(ANSWER, read) {
        Some(read) => Ok(read.map_err(FileError::new("read the disk at", mount_point))?),
        None => Err(StatusError::NoAnswer {
            mount_point: mount_point.to_owned(),
            seconds: ANSWER.as_secs(),
        }),
    }
}

/// A mount that is shown at a path.
pub(crate) struct ShownMount {
    /// The path, and what is at it.
    pub(crate) resolved: ResolvedPath,
    pub(crate) mount: Mount,
    /// Its mapping, if it is one of dm-verity.
    pub(crate) mapping: Option<Description>,
}

/// The mount that is shown at a directory, and its mapping.
pub(crate) fn find(
    mount_point: &Path,
) -> Result<(DeviceMapper, ShownMount, Description), StatusError> {
    // Where nothing is mounted, nobody asks whether there is a device-mapper.
    if !is_mount_point(mount_point)? {
        return Err(StatusError::NotMounted(mount_point.to_owned()));
    }
    let device_mapper = DeviceMapper::open()?;
    let (shown, mapping) = find_by(&device_mapper, mount_point)?;
    Ok((device_mapper, shown, mapping))
}

/// The same by a device-mapper that is open.
pub(crate) fn find_by(
    device_mapper: &DeviceMapper,
    mount_point: &Path,
) -> Result<(ShownMount, Description), StatusError> {
    match look(device_mapper, mount_point)? {
        None => Err(StatusError::NotMounted(mount_point.to_owned())),
        Some(mut shown) => match shown.mapping.take() {
            Some(mapping) => Ok((shown, mapping)),
            None => Err(StatusError::NotVerity {
                mount_point: mount_point.to_owned(),
                fs_type: shown.mount.fs_type,
            }),
        },
    }
}

/// Whether something is mounted at a path.
fn is_mount_point(path: &Path) -> Result<bool, StatusError> {
    Ok(resolve(path)?.is_some_and(|resolved| resolved.identity().is_mount_root))
}

/// What is at a path; None where it leads to nothing.
fn resolve(path: &Path) -> Result<Option<ResolvedPath>, StatusError> {
    match ResolvedPath::look(path) {
        Ok(resolved) => Ok(Some(resolved)),
        Err(MountPointError::File(error)) if error.source.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The mount that is shown at a directory, if there is one.
pub(crate) fn look(
    device_mapper: &DeviceMapper,
    mount_point: &Path,
) -> Result<Option<ShownMount>, StatusError> {
    let mut seen = None;
    for _ in 0..LOOKS {
        let Some(resolved) = resolve(mount_point)? else {
            return Ok(None);
        };
        let identity = resolved.identity();
        if !identity.is_mount_root {
            return Ok(None);
        }
        let mount = mountinfo::mount(identity.mount_id)
            .map_err(FileError::new("look for the mount at", mount_point))?;
        // It has just gone, or is one that this process cannot see the root of.
        let Some(mount) = mount else {
            continue;
        };
        let mut shown = ShownMount {
            resolved,
            mount,
            mapping: None,
        };
        if let Some(found) = device_mapper.at(shown.mount.device)? {
            shown.mapping = Some(found);
            return Ok(Some(shown));
        }
        seen = Some(shown);
    }
    Ok(seen)
}
