//! The ladder: from a device and a root hash to a mount.
//!
//! Each rung has an undo, which runs when a later rung fails: whatever goes wrong, nothing stays
//! behind.

use std::{
    ffi::{CString, OsStr},
    fs::File,
    io,
    os::{
        fd::{AsFd, AsRawFd},
        unix::{ffi::OsStrExt, fs::FileExt},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use nix::sys::{
    stat::fstat,
    statvfs::{FsFlags, fstatvfs},
};
use sha2::{Digest as _, Sha256};

use super::{
    device::{Device, DeviceError},
    device_mapper::{DeviceMapper, Mapping, MappingError, MappingName, VerityStatus},
    disk::{Disk, DiskError, ParamsSource},
    log,
    loop_device::LoopError,
    min_free::MinFree,
    mount_point::{MountPoint, MountPointError},
    node::device_number,
    pause::{Deadline, Interrupted, Pause},
    prefetch::Prefetch,
    status::{StatusError, look},
    watch::{Steps, Stuck, watched},
};
use crate::{
    exit::ExitCode,
    filesystem::{FsType, HEADER_SIZE},
    sys::{
        self,
        mount_api::{DetachedMount, FsContext},
    },
    verity::{Binding, BlockSize, DeviceNumber, OnCorruption, RootHash, VerityTable},
};

/// What a device may take for an answer at least, so that one that is there counts as there
/// without any wait.
const LEAST_PATIENCE: Duration = Duration::from_secs(10);

/// What `mount` is asked for. All of it is trusted.
#[derive(Clone, Debug)]
pub struct MountRequest {
    /// What the disk must be.
    pub root_hash: RootHash,
    /// The block device or image file with the data.
    pub device: PathBuf,
    /// The device with the tree, if it is another.
    pub hash_device: Option<PathBuf>,
    /// Where the parameters of the tree come from.
    pub params: ParamsSource,
    /// The directory; it is made if it is missing.
    pub mount_point: PathBuf,
    /// The filesystem on the disk.
    pub fs_type: FsType,
    /// How long the devices may take to appear, and then, but at least ten seconds, for each
    /// answer.
    pub wait: Duration,
    /// What the kernel does about a corrupt block.
    pub on_corruption: OnCorruption,
    /// The name of the mapping; derived from its table if not given.
    pub name: Option<MappingName>,
    /// How much the device reads ahead, in sectors of 512 bytes.
    pub read_ahead: Option<u32>,
    /// What the kernel's reserve of free memory is raised to before the mount, in KiB.
    pub min_free: Option<u64>,
    /// Whether the files are read into the page cache.
    pub prefetch: bool,
}

/// What has been mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// The name of the mapping.
    pub name: MappingName,
    /// The device number of the mapping.
    pub number: DeviceNumber,
    /// The unit in which its data is verified.
    pub data_block_size: BlockSize,
    /// Where it is mounted.
    pub mount_point: PathBuf,
    /// Whether it was mounted already.
    pub found: bool,
}

/// Why a disk is not mounted.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// A device cannot be used.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The disk is refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// An image file cannot be shown as a block device.
    #[error(transparent)]
    Loop(#[from] LoopError),
    /// Device-mapper refuses, or says that the disk is corrupt.
    #[error(transparent)]
    Mapping(#[from] MappingError),
    /// The directory cannot be used.
    #[error(transparent)]
    MountPoint(#[from] MountPointError),
    /// What is mounted there cannot be looked at.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// Something else is mounted there.
    #[error(
        "{mount_point}: {what} is mounted there already; unmount it first, or choose another directory"
    )]
    InTheWay {
        /// The directory.
        mount_point: PathBuf,
        /// What is there.
        what: String,
    },
    /// The kernel lacks the filesystem.
    #[error("this kernel has no {0} filesystem: load its module, or use a kernel with it")]
    NoFilesystem(FsType),
    /// The kernel refuses the filesystem.
    #[error("the {fs_type} filesystem cannot be mounted: {source}{}{messages}", if messages.is_empty() { "" } else { ": " })]
    Filesystem {
        /// Its type.
        fs_type: FsType,
        /// With its errno.
        source: io::Error,
        /// What the filesystem driver says.
        messages: String,
    },
    /// An XFS with sectors smaller than the data blocks.
    #[error(
        "the xfs filesystem cannot be mounted: its sectors are smaller than the data blocks of \
         {0} bytes, which are the sectors of a dm-verity device; mkfs.xfs -s size={0} makes it fit"
    )]
    XfsSectors(BlockSize),
    /// A device does not answer.
    #[error("{device} does not answer: no end of {step} after {seconds} s (--wait sets the time)")]
    NoAnswer {
        /// The data device.
        device: PathBuf,
        /// What was begun.
        step: &'static str,
        /// How long ago.
        seconds: u64,
    },
    /// The program was asked to end before anything was mounted.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// What got mounted is not what was asked for.
    #[error("the mount is not what it should be: {0}")]
    Unexpected(String),
    /// A system call failed.
    #[error("{path}: cannot {action}: {source}")]
    Io {
        /// What it was done to.
        path: PathBuf,
        /// What was done.
        action: &'static str,
        /// With its errno.
        source: io::Error,
    },
}

impl MountError {
    /// The exit code that goes with it.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Device(error) => error.exit_code(),
            Self::Disk(error) => error.exit_code(),
            Self::Loop(error) => error.exit_code(),
            Self::Mapping(error) => error.exit_code(),
            Self::MountPoint(error) => error.exit_code(),
            Self::Status(error) => error.exit_code(),
            Self::InTheWay { .. } => ExitCode::InTheWay,
            Self::NoFilesystem(_) | Self::XfsSectors(_) => ExitCode::Unsupported,
            Self::Unexpected(_) => ExitCode::Integrity,
            Self::NoAnswer { .. } => ExitCode::NotFound,
            Self::Interrupted(_) => ExitCode::Failure,
            Self::Filesystem { source, .. } | Self::Io { source, .. } => ExitCode::of_io(source),
        }
    }

    fn io(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            path: path.to_owned(),
            action,
            source,
        }
    }
}

/// Mounts a disk, and reads its files into the page cache if that is asked for.
pub fn mount(request: &MountRequest) -> Result<Mounted, MountError> {
    let mounted = climb_watched(request, &|| false)?;
    if request.prefetch {
        Prefetch::start(&mounted.mount_point).finish(patience(request));
    }
    Ok(mounted)
}

/// Climbs the ladder, in a bounded time for each answer of a device, unless `asked_to_end` says
/// something before it is at the top.
///
/// Where a device does not answer, nothing is undone here: the mapping, the loop device and the
/// mount that nobody sees yet go with the program.
pub(crate) fn climb_watched(
    request: &MountRequest,
    asked_to_end: &dyn Fn() -> bool,
) -> Result<Mounted, MountError> {
    let (patience, climber) = (patience(request), request.clone());
    watched(patience, asked_to_end, move |steps| climb(&climber, steps)).unwrap_or_else(|stuck| {
        Err(match stuck {
            Stuck::Interrupted => Interrupted.into(),
            Stuck::NoAnswer(step) => MountError::NoAnswer {
                device: request.device.clone(),
                step,
                seconds: patience.as_secs(),
            },
        })
    })
}

fn patience(request: &MountRequest) -> Duration {
    request.wait.max(LEAST_PATIENCE)
}

fn climb(request: &MountRequest, steps: &Steps) -> Result<Mounted, MountError> {
    let pause = &|time| steps.pause(time);
    let deadline = Deadline::after(request.wait);
    let disk = find_disk(request, &deadline, steps)?;

    let mount_point = MountPoint::prepare(&request.mount_point, &deadline, pause)?;
    let reserve = MinFree::raise(request.min_free)
        .map_err(MountError::io(Path::new("vm.min_free_kbytes"), "raise it"))?;
    let device_mapper = DeviceMapper::open()?;
    if let Some(found) = find_mounted(&device_mapper, &disk, request, mount_point.path())? {
        reserve.keep();
        return Ok(found);
    }

    steps.begin("activating the mapping")?;
    // The loop devices are held until the mapping holds them.
    let (data_device, hash_device) = disk.attach()?;
    let table = VerityTable {
        data_device: data_device.number(),
        hash_device: hash_device.as_ref().unwrap_or(&data_device).number(),
        params: disk.params().clone(),
        hash_area: disk.hash_area(),
        root_hash: request.root_hash,
        on_corruption: request.on_corruption,
    };
    let name = request.name.clone().unwrap_or_else(|| default_name(&table));
    let mapping = device_mapper.activate(&name, &table)?;
    let binding = mount_mapping(&mapping, &disk, request, steps, mount_point.path())?;
    let number = mapping.number();
    let joined = if mapping.is_joined() {
        ", in a mapping that was there"
    } else {
        ""
    };
    mapping.leave();
    log::info(format_args!(
        "{} is mounted at {}: root hash {}, geometry bound by {}, mapping {name}{joined}",
        request.device.display(),
        mount_point.path().display(),
        request.root_hash,
        binding.as_str(),
    ));
    reserve.keep();
    Ok(Mounted {
        name,
        number,
        data_block_size: disk.params().data_block_size(),
        mount_point: mount_point.keep(),
        found: false,
    })
}

/// The first rungs: finds the devices, and refuses what cannot be the disk that is asked for. The
/// kernel gets to see none of it.
pub(crate) fn find_disk(
    request: &MountRequest,
    deadline: &Deadline,
    steps: &Steps,
) -> Result<Disk, MountError> {
    let pause: Pause<'_> = &|time| steps.pause(time);
    steps.begin("opening it")?;
    let data = Device::find(&request.device, deadline, pause)?;
    let hash = request.hash_device.as_ref();
    let hash = hash
        .map(|path| Device::find(path, deadline, pause))
        .transpose()?;
    steps.begin("reading its superblocks")?;
    let disk = Disk::read(data, hash, request.fs_type, &request.params)?;
    steps.begin("reading the root block of its tree")?;
    disk.check_root(&request.root_hash)?;
    Ok(disk)
}

/// The last rungs, on an active mapping: its first bytes are read through dm-verity, they bind
/// the geometry if nothing else has, and the filesystem is mounted and looked at.
fn mount_mapping(
    mapping: &Mapping<'_>,
    disk: &Disk,
    request: &MountRequest,
    steps: &Steps,
    mount_point: &Path,
) -> Result<Binding, MountError> {
    let (node, device) = mapping.device();
    if let Some(sectors) = request.read_ahead {
        sys::block::set_read_ahead(device, sectors)
            .map_err(MountError::io(node, "set its read-ahead"))?;
    }
    steps.begin("reading its first block through dm-verity")?;
    let header = read_header(mapping, device, disk)?;
    let binding = disk.bind(&header)?;

    steps.begin("mounting its filesystem")?;
    let mount = match mount_filesystem(request.fs_type, node.as_os_str()) {
        // Somebody who shares the mapping has just removed the node; the descriptor stays.
        Err(MountError::Filesystem { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            let descriptor = format!("/proc/self/fd/{}", device.as_raw_fd());
            mount_filesystem(request.fs_type, descriptor.as_ref())?
        }
        // XFS has no other use for this errno.
        Err(MountError::Filesystem {
            fs_type: FsType::Xfs,
            source,
            ..
        }) if source.raw_os_error() == Some(libc::ENOSYS) => {
            return Err(MountError::XfsSectors(disk.params().data_block_size()));
        }
        mount => mount?,
    };
    check_mount(&mount, mapping)?;
    mapping.check_status()?;
    // From here on nothing waits for a device, and the mount is seen.
    steps.begin("showing the mount")?;
    mount
        .attach(mount_point)
        .map_err(MountError::io(mount_point, "mount onto it"))?;
    Ok(binding)
}

/// Mounts the filesystem on a block device where nobody sees it yet.
fn mount_filesystem(fs_type: FsType, device: &OsStr) -> Result<DetachedMount, MountError> {
    let refused = |source: io::Error, messages| MountError::Filesystem {
        fs_type,
        source,
        messages,
    };
    let string = |text: &OsStr| {
        CString::new(text.as_bytes()).map_err(|error| refused(error.into(), String::new()))
    };
    let (name, source) = (string(fs_type.name().as_ref())?, string(device)?);
    let context = FsContext::open(&name).map_err(|error| match error.raw_os_error() {
        Some(libc::ENODEV) => MountError::NoFilesystem(fs_type),
        _ => refused(error, String::new()),
    })?;
    let mount = || {
        context.set_string(c"source", &source)?;
        context.set_flag(c"ro")?;
        match fs_type {
            // A journal cannot be replayed on a device that cannot be written to.
            FsType::Ext4 => context.set_flag(c"noload")?,
            FsType::Xfs => {
                context.set_flag(c"norecovery")?;
                // Two disks may be copies of each other.
                context.set_flag(c"nouuid")?;
            }
            FsType::Erofs | FsType::Squashfs => {}
        }
        context.mount()
    };
    mount().map_err(|error| refused(error, context.messages()))
}

/// Reads the first bytes of the data through dm-verity.
fn read_header(mapping: &Mapping<'_>, device: &File, disk: &Disk) -> Result<Vec<u8>, MountError> {
    let size = (HEADER_SIZE as u64).min(disk.params().data_bytes());
    let mut header = vec![0; size as usize];
    match device.read_exact_at(&mut header, 0) {
        Ok(()) => Ok(header),
        Err(error) => {
            mapping.check_status()?;
            Err(MountError::io(
                disk.data_device().path(),
                "read its first block through dm-verity",
            )(error))
        }
    }
}

/// The mount, which nobody sees yet, is one of the mapping, and all that can be forbidden is.
fn check_mount(mount: impl AsFd, mapping: &Mapping<'_>) -> Result<(), MountError> {
    let unexpected = |error: nix::Error| MountError::Unexpected(error.to_string());
    let device = device_number(fstat(mount.as_fd()).map_err(unexpected)?.st_dev);
    if device != mapping.number() {
        let message = format!(
            "its device is {device}, not {} of {}",
            mapping.number(),
            mapping.name()
        );
        return Err(MountError::Unexpected(message));
    }
    let flags = fstatvfs(mount.as_fd()).map_err(unexpected)?.flags();
    let needed = FsFlags::ST_RDONLY | FsFlags::ST_NODEV | FsFlags::ST_NOSUID | FsFlags::ST_NOEXEC;
    if !flags.contains(needed) {
        return Err(MountError::Unexpected(format!(
            "{:?} are not set",
            needed - flags
        )));
    }
    Ok(())
}

/// Looks for a mount that is just what is asked for. Anything else at the mount point is an
/// error.
fn find_mounted(
    device_mapper: &DeviceMapper,
    disk: &Disk,
    request: &MountRequest,
    mount_point: &Path,
) -> Result<Option<Mounted>, MountError> {
    let Some((mount, found)) = look(device_mapper, mount_point)? else {
        return Ok(None);
    };
    let in_the_way = |what: String| MountError::InTheWay {
        mount_point: mount_point.to_owned(),
        what,
    };
    let Some(found) = found else {
        return Err(in_the_way(format!(
            "a filesystem of type {} without dm-verity",
            mount.fs_type
        )));
    };
    let loaded = found.loaded_table()?;
    let same_devices = disk.data_device().is_shown_by(loaded.data_device)?
        && disk.hash_device().is_shown_by(loaded.hash_device)?;
    let table = VerityTable {
        data_device: loaded.data_device,
        hash_device: loaded.hash_device,
        params: disk.params().clone(),
        hash_area: disk.hash_area(),
        root_hash: request.root_hash,
        on_corruption: request.on_corruption,
    };
    if !same_devices || found.table != table.to_string() || mount.fs_type != request.fs_type.name()
    {
        return Err(in_the_way(format!(
            "the disk with the root hash {}",
            loaded.root_hash
        )));
    }
    if request
        .name
        .as_ref()
        .is_some_and(|name| *name != found.name)
    {
        return Err(in_the_way(format!(
            "the same disk, through the mapping {},",
            found.name
        )));
    }
    if found.status == VerityStatus::Corrupt {
        return Err(MappingError::Corrupt(format!("dm-verity says so of {}", found.name)).into());
    }
    // A run that was killed may not have come to this, and may have left its node.
    device_mapper.remove_with_last_user(&found.name)?;
    drop(found.name.open(mount.device));
    log::info(format_args!(
        "{} is mounted at {} already",
        request.device.display(),
        mount_point.display()
    ));
    Ok(Some(Mounted {
        name: found.name,
        number: mount.device,
        data_block_size: disk.params().data_block_size(),
        mount_point: mount_point.to_owned(),
        found: true,
    }))
}

/// One table, one name: whoever asks for the same shares the mapping.
fn default_name(table: &VerityTable) -> MappingName {
    let digest = hex::encode(&Sha256::digest(table.to_string())[..16]);
    format!("disk-mounter-{digest}")
        .parse()
        .unwrap_or_else(|_| unreachable!("45 plain characters"))
}
