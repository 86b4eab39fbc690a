//! `unmount`: takes back what `mount` made.

use std::{
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use nix::mount::{MntFlags, umount2};

use crate::{
    FuseError,
    device_mapper::{DeviceMapper, MappingError, MappingName},
    fuse::FuseMount,
    held_devices::HeldDevices,
    holders, log,
    mount::Mounted,
    mountinfo,
    status::{StatusError, find, find_by},
    watchdog::telling,
};
use dm_verity::DeviceNumber;
use model_disk::{Escaped, ExitCode, FileError, HasExitCode};

/// How often, and how long apart, a mount that is busy is tried again at once.
const BUSY_TRIES: u32 = 5;
const BUSY_POLL: Duration = Duration::from_millis(10);

/// Why a disk stays mounted, or something of it behind.
#[derive(Debug, thiserror::Error)]
pub enum UnmountError {
    /// There is no such mount, or it cannot be looked at.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// The mount is in use.
    #[error("{}: in use by {by}", Escaped::path(path))]
    Busy {
        /// Where it is mounted.
        path: PathBuf,
        /// By whom, as far as that can be seen.
        by: String,
    },
    /// Another mount hides it, and would go with it.
    #[error(
        "{}: another mount covers the disk, which stays mounted below it: unmount that first",
        Escaped::path(.0)
    )]
    Covered(PathBuf),
    /// A system call failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The program that unmounts for users does not.
    #[error(transparent)]
    Fusermount(Box<FuseError>),
    /// It is unmounted, but its mapping cannot be removed.
    #[error(transparent)]
    Mapping(#[from] MappingError),
}

impl HasExitCode for UnmountError {
    fn exit_code(&self) -> ExitCode {
        match self {
            // Somebody else's mount is not touched: it is in the way.
            Self::Status(StatusError::NotVerity { .. }) => ExitCode::InTheWay,
            Self::Status(error) => error.exit_code(),
            Self::Busy { .. } | Self::Covered(_) => ExitCode::InTheWay,
            Self::File(error) => error.exit_code(),
            Self::Fusermount(error) => error.exit_code(),
            Self::Mapping(error) => error.exit_code(),
        }
    }
}

/// What is left of a mapping after an unmount.
enum Left {
    /// It is gone.
    Nothing,
    /// Somebody else uses it.
    Shared(DeviceNumber),
    /// It was made by another program, and is for that to remove.
    Theirs(MappingName),
}

/// Unmounts a disk. Its mapping and its loop device go as well, unless another mount uses them, or
/// another program has made the mapping.
pub fn unmount(mount_point: &Path) -> Result<(), UnmountError> {
    if let Some(mount) = FuseMount::at(mount_point).map_err(StatusError::from)? {
        mount.unmount(false)?;
        let path = mount.resolved.path();
        log::info(format_args!("{} is unmounted", Escaped::path(path)));
        return Ok(());
    }
    let (device_mapper, ..) = find(mount_point)?;
    let (path, left) = take(&device_mapper, mount_point, None, MntFlags::empty())?;
    log::info(format_args!("{}", unmounted(&path, left)));
    Ok(())
}

/// The same for what was mounted, or found, by this program; what is to be said of it. Anything else
/// that is mounted there by now counts as "not mounted".
pub(crate) fn unmount_own(
    device_mapper: &DeviceMapper,
    mounted: &Mounted,
) -> Result<String, UnmountError> {
    let path = place(mounted)?;
    let (path, left) = take(device_mapper, &path, Some(mounted), MntFlags::empty())?;
    Ok(unmounted(&path, left))
}

/// Takes a disk that is in use out of sight, if it is the one that was mounted. It stays for those
/// who use it, and goes with the last of them.
pub(crate) fn detach_own(
    device_mapper: &DeviceMapper,
    mounted: &Mounted,
) -> Result<String, UnmountError> {
    let path = place(mounted)?;
    let (path, left) = take(device_mapper, &path, Some(mounted), MntFlags::MNT_DETACH)?;
    let used = match left {
        Left::Nothing => "",
        Left::Shared(_) | Left::Theirs(_) => {
            "; those who use it still can, and it goes with the last"
        }
    };
    Ok(format!(
        "{} was in use and is detached{used}",
        Escaped::path(&path)
    ))
}

fn unmounted(path: &Path, left: Left) -> String {
    let path = Escaped::path(path);
    match left {
        Left::Nothing => format!("{path} is unmounted"),
        Left::Shared(mapping) => format!(
            "{path} is unmounted; its mapping is in use by {}",
            holders::of_mapping(mapping)
        ),
        Left::Theirs(name) => format!(
            "{path} is unmounted; its mapping {name} was made by another program, and stays"
        ),
    }
}

/// Where a mount is now: its directory may have been renamed where nobody sees that something is
/// mounted on it.
fn place(mounted: &Mounted) -> Result<PathBuf, UnmountError> {
    let path = &mounted.mount_point;
    let mount = mountinfo::mount(mounted.mount_id);
    let mount = mount.map_err(FileError::new("look for the mount at", path))?;
    match mount {
        Some(mount) => Ok(mount.mount_point),
        None => Err(StatusError::NotMounted(path.clone()).into()),
    }
}

/// Unmounts, where `own` is given that alone; where the disk was mounted, and what is left.
fn take(
    device_mapper: &DeviceMapper,
    mount_point: &Path,
    own: Option<&Mounted>,
    flags: MntFlags,
) -> Result<(PathBuf, Left), UnmountError> {
    let mut tries = 0;
    let (path, number, found, held) = loop {
        let shown = find_by(device_mapper, mount_point);
        let (shown, found) = match own {
            Some(own) => shown.map_err(|error| hidden(device_mapper, own, error))?,
            None => shown?,
        };
        let path = shown.resolved.path().to_owned();
        if let Some(own) = own
            && (shown.mount.id != own.mount_id || !own.is_of(&found))
        {
            return Err(hidden(device_mapper, own, StatusError::NotMounted(path)));
        }
        // What is mounted in it would go with it, and is somebody else's.
        let inner = mountinfo::mounted_on(shown.mount.id);
        if let Some(inner) = inner.map_err(FileError::new("look for mounts in", &path))? {
            let by = format!("a mount in it, at {}", Escaped::path(&inner.mount_point));
            return Err(UnmountError::Busy { path, by });
        }
        let waits = format!(
            "{}: a device does not answer; the kernel unmounts when the reads that were begun have \
             ended",
            Escaped::path(&path)
        );
        let (pinned, number) = (shown.resolved.pinned(), shown.mount.device);
        let held = HeldDevices::of(number);
        match telling(&waits, || {
            umount2(&pinned, flags | MntFlags::UMOUNT_NOFOLLOW)
        }) {
            Ok(()) => break (path, number, found, held),
            // Whoever else unmounts it, or looks at it, at this moment makes it busy too.
            Err(nix::Error::EBUSY) if tries < BUSY_TRIES => {
                tries += 1;
                thread::sleep(BUSY_POLL);
            }
            Err(nix::Error::EBUSY) => {
                let by = holders::of_filesystem(number);
                return Err(UnmountError::Busy { path, by });
            }
            // Somebody else was faster.
            Err(nix::Error::EINVAL) => return Err(StatusError::NotMounted(path).into()),
            Err(errno) => {
                return Err(FileError::new("unmount", &path)(errno).into());
            }
        }
    };
    let left = if !found.own {
        Left::Theirs(found.name)
    } else if device_mapper.remove_unused(&found.name)? {
        // The kernel would have removed it on its own, but a moment later; perhaps it still does.
        held.wait_until_free();
        Left::Nothing
    } else {
        Left::Shared(number)
    };
    Ok((path, left))
}

/// Why a mount of this program is not at its path: it is gone, or another covers it. One that came after
/// it may have its number and its device's.
fn hidden(device_mapper: &DeviceMapper, own: &Mounted, error: StatusError) -> UnmountError {
    let elsewhere = matches!(
        error,
        StatusError::NotMounted(_) | StatusError::NotVerity { .. }
    );
    let is_there = || {
        let found = device_mapper.at(own.number).ok().flatten();
        found.is_some_and(|found| own.is_of(&found))
    };
    match mountinfo::mount(own.mount_id) {
        Ok(Some(mount)) if elsewhere && mount.device == own.number && is_there() => {
            UnmountError::Covered(mount.mount_point)
        }
        _ => error.into(),
    }
}
