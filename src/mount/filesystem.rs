//! Mounts the filesystem of an active mapping, and looks at the mount before anybody sees it.

use std::{
    ffi::OsStr,
    io,
    os::fd::{AsFd, AsRawFd},
};

use nix::sys::{
    stat::fstat,
    statvfs::{FsFlags, fstatvfs},
};

use super::{
    MountError,
    context::{DetachedMount, FsContext},
    erofs_features::with_features,
};
use crate::device_mapper::Mapping;
use dm_verity::{BlockSize, DeviceNumber};
use model_disk::{device_number, filesystem::FsType};

/// Mounts the filesystem of a mapping where nobody sees it yet. What it gives is known to be a mount
/// of this mapping, and all that can be forbidden is. `header` is the start of the data, verified.
pub(super) fn mount_detached(
    mapping: &Mapping<'_>,
    fs_type: FsType,
    data_block_size: BlockSize,
    header: &[u8],
) -> Result<DetachedMount, MountError> {
    let (node, device) = mapping.device();
    let mount = match mount_device(fs_type, node.as_os_str()) {
        // Somebody who shares the mapping has just removed the node; the descriptor stays.
        Err(MountError::Filesystem { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            let descriptor = format!("/proc/self/fd/{}", device.as_raw_fd());
            mount_device(fs_type, descriptor.as_ref())?
        }
        // XFS has no other use for this errno.
        Err(MountError::Filesystem {
            fs_type: FsType::Xfs,
            source,
            ..
        }) if source.raw_os_error() == Some(libc::ENOSYS) => {
            return Err(MountError::XfsSectors(data_block_size));
        }
        Err(error) => return Err(with_features(error, header)),
        Ok(mount) => mount,
    };
    check_mount(&mount, mapping)?;
    Ok(mount)
}

/// Refuses a filesystem whose blocks are smaller than its device's sectors, as the kernel does
/// without a reason. `header` is the start of the data, verified.
pub(super) fn check_blocks(
    fs_type: FsType,
    header: &[u8],
    data_block_size: BlockSize,
) -> Result<(), MountError> {
    match fs_type.claimed_block_size(header) {
        Some(size) if size < data_block_size.bytes() => Err(MountError::SmallBlocks {
            fs_type,
            size,
            data_block_size,
        }),
        _ => Ok(()),
    }
}

/// Mounts the filesystem of a block device by its path, with the options that a filesystem type needs
/// to be mounted without a write.
fn mount_device(fs_type: FsType, device: &OsStr) -> Result<DetachedMount, MountError> {
    let refused = |source: io::Error, messages| MountError::Filesystem {
        fs_type,
        source,
        messages,
    };
    let context = FsContext::open(fs_type.name()).map_err(|error| match error.raw_os_error() {
        Some(libc::ENODEV) => MountError::NoFilesystem(fs_type),
        _ => refused(error, String::new()),
    })?;
    let mount = || {
        context.set_string("source", device)?;
        context.set_flag("ro")?;
        match fs_type {
            // A journal cannot be replayed on a device that cannot be written to.
            FsType::Ext4 => context.set_flag("noload")?,
            FsType::Xfs => {
                context.set_flag("norecovery")?;
                // Two disks may be copies of each other.
                context.set_flag("nouuid")?;
            }
            FsType::Erofs | FsType::Squashfs => {}
        }
        context.mount()
    };
    mount().map_err(|error| refused(error, context.messages()))
}

/// Checks what the kernel has made of it.
fn check_mount(mount: impl AsFd, mapping: &Mapping<'_>) -> Result<(), MountError> {
    let device = device(&mount)?;
    if device != mapping.number() {
        let message = format!(
            "its device is {device}, not {} of {}",
            mapping.number(),
            mapping.name()
        );
        return Err(MountError::Unexpected(message));
    }
    let missing = missing_flags(&mount)?;
    if !missing.is_empty() {
        return Err(MountError::Unexpected(format!("{missing} not set")));
    }
    Ok(())
}

/// The device of what is mounted.
pub(super) fn device(mount: impl AsFd) -> Result<DeviceNumber, MountError> {
    Ok(device_number(fstat(mount).map_err(unexpected)?.st_dev))
}

/// Those of the flags that a mount lacks and must have, as options of a mount; empty where it has
/// all of them.
pub(super) fn missing_flags(mount: impl AsFd) -> Result<String, MountError> {
    let flags = fstatvfs(mount).map_err(unexpected)?.flags();
    let needed = [
        (FsFlags::ST_RDONLY, "ro"),
        (FsFlags::ST_NODEV, "nodev"),
        (FsFlags::ST_NOSUID, "nosuid"),
        (FsFlags::ST_NOEXEC, "noexec"),
    ];
    let missing = needed.iter().filter(|(flag, _)| !flags.contains(*flag));
    let names: Vec<_> = missing.map(|(_, name)| *name).collect();
    Ok(names.join(","))
}

fn unexpected(error: nix::Error) -> MountError {
    MountError::NotLookedAt(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use model_disk::{ExitCode, HasExitCode};

    #[test]
    fn blocks_smaller_than_sectors_are_refused_with_both_sizes() {
        let mut header = vec![0; 4096];
        header[1024..1028].copy_from_slice(&[0xe2, 0xe1, 0xf5, 0xe0]);
        header[1036] = 9;
        header[1060] = 8;
        let check = |size| check_blocks(FsType::Erofs, &header, BlockSize::new(size).unwrap());
        check(512).unwrap();
        let error = check(4096).unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::Unsupported);
        assert_eq!(
            error.to_string(),
            "the erofs filesystem cannot be mounted: its blocks of 512 bytes are smaller than the data \
             blocks of 4096 bytes, which are the sectors of a dm-verity device; mkfs.erofs -b 4096 \
             makes it fit"
        );
        check_blocks(FsType::Xfs, &header, BlockSize::DEFAULT).unwrap();
    }
}
