//! Finds a mount that is there already, and checks it like one that is made.

use std::path::Path;

use super::{
    MountError, MountRequest, Mounted,
    devices::{DeviceNumbers, table_of},
    filesystem::missing_flags,
    read_header,
};
use crate::{
    VerityStatus,
    device::is_shown_by,
    device_mapper::{Description, DeviceMapper},
    log,
    mount_point::{MountPoint, mount_id},
    mountinfo::Mount,
    status::{ShownMount, difference_from, find, gone, look},
    watchdog::Steps,
};
use model_disk::{Disk, DiskFec, Escaped, FileError};
use rustix::mount::{UnmountFlags, unmount};

/// How often it is looked again, where what is seen is another mount each time.
const LOOKS: u32 = 10;

/// What is mounted at a directory.
pub(super) enum ExistingMount {
    /// Nothing.
    None,
    /// Nothing any more; the directory is another than the one that was looked at.
    Gone,
    /// Just what is asked for.
    Same(Mounted),
}

/// Looks for a mount that is just what is asked for, and checks it like one that is made here.
/// Anything else at the mount point is an error.
pub(super) fn find_mounted(
    device_mapper: &DeviceMapper,
    disk: &Disk,
    request: &MountRequest,
    steps: &Steps,
    prepared: &MountPoint,
) -> Result<ExistingMount, MountError> {
    let mount_point = prepared.path();
    if !prepared.resolved().identity().is_mount_root {
        return Ok(ExistingMount::None);
    }
    let in_the_way = |what: String| MountError::InTheWay {
        mount_point: mount_point.to_owned(),
        what,
    };
    for _ in 0..LOOKS {
        let Some(shown) = look(device_mapper, mount_point)? else {
            return Ok(ExistingMount::Gone);
        };
        let ShownMount {
            resolved,
            mount,
            mapping,
        } = shown;
        let Some(found) = mapping else {
            return Err(in_the_way(format!(
                "a filesystem of type {} without dm-verity",
                mount.fs_type
            )));
        };
        if is_dead(request, &mount, &found)? {
            log::warn(format_args!(
                "the disk that was mounted at {} has lost its device, and is mounted anew",
                Escaped::path(mount_point)
            ));
            let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
            unmount(resolved.pinned(), flags).map_err(FileError::new("unmount", mount_point))?;
            device_mapper.remove_with_last_user(&found.name)?;
            return Ok(ExistingMount::Gone);
        }
        if let Some(other) = difference(disk, request, &mount, &found)? {
            return Err(in_the_way(other));
        }
        let mounted = Mounted {
            name: found.name,
            number: mount.device,
            mount_id: mount.id,
            data_block_size: disk.params().data_block_size(),
            mount_point: mount_point.to_owned(),
            table: found.table,
            own: found.own,
        };
        // The directory was opened when it was mounted there, or that has gone since.
        let opened = mount_id(prepared);
        if opened.map_err(FileError::new("tell the mount of", mount_point))? != mount.id {
            continue;
        }
        let missing = missing_flags(prepared)?;
        if !missing.is_empty() {
            return Err(in_the_way(format!("the disk, but without {missing},")));
        }
        if found.status == VerityStatus::Corrupt {
            return Err(MountError::FoundCorrupt(Box::new(mounted)));
        }
        if !check_binding(device_mapper, disk, steps, &mounted)? {
            continue;
        }
        // A run that was killed may not have come to this.
        device_mapper.remove_with_last_user(&mounted.name)?;
        log::info(format_args!(
            "{} is mounted at {} already",
            Escaped::path(&request.device),
            Escaped::path(mount_point)
        ));
        return Ok(ExistingMount::Same(mounted));
    }
    Err(in_the_way("a disk that another mount covers".to_owned()))
}

/// A mount of the disk that is asked for, as an earlier run has left it, where the disk itself cannot be
/// looked at.
pub(crate) fn left_behind(request: &MountRequest) -> Option<Mounted> {
    let (_, shown, found) = find(&request.mount_point).ok()?;
    let loaded = found.loaded_table().ok()?;
    let differs = difference_from(&shown.mount, &found, &loaded, &request.root_hash);
    if !found.own || differs.is_some() {
        return None;
    }
    Some(Mounted {
        name: found.name,
        number: shown.mount.device,
        mount_id: shown.mount.id,
        data_block_size: loaded.data_block_size,
        mount_point: shown.resolved.path().to_owned(),
        table: found.table,
        own: found.own,
    })
}

/// Whether a mount is one of this project and of the disk that is asked for, and nothing can be read
/// from it any more: its device was unplugged, and may have come back under another number.
fn is_dead(request: &MountRequest, mount: &Mount, found: &Description) -> Result<bool, MountError> {
    let loaded = found.loaded_table()?;
    Ok(found.own
        && loaded.root_hash == request.root_hash.to_string()
        && gone(mount.device, &loaded).is_some())
}

/// In what a mount is not the one that is asked for, in words.
fn difference(
    disk: &Disk,
    request: &MountRequest,
    mount: &Mount,
    found: &Description,
) -> Result<Option<String>, MountError> {
    let loaded = found.loaded_table()?;
    let fec_device = loaded.fec_device.unwrap_or(loaded.hash_device);
    let fec_file = disk.fec().and_then(DiskFec::separate_file);
    let same_devices = is_shown_by(disk.data_file(), loaded.data_device)?
        && is_shown_by(disk.hash_file(), loaded.hash_device)?
        && is_shown_by(fec_file.unwrap_or(disk.hash_file()), fec_device)?;
    let devices = DeviceNumbers {
        data: loaded.data_device,
        hash: loaded.hash_device,
        fec: fec_device,
    };
    let table = table_of(disk, request, devices);
    if !same_devices || found.table != table.to_string() || mount.fs_type != request.fs_type.name()
    {
        return Ok(Some(format!(
            "the disk with the root hash {}",
            loaded.root_hash
        )));
    }
    let name = request.name.as_ref();
    if name.is_some_and(|name| *name != found.name) {
        return Ok(Some(format!(
            "the same disk, through the mapping {},",
            found.name
        )));
    }
    if found.sectors != table.sectors() {
        return Ok(Some("a disk that is cut short".to_owned()));
    }
    if mount.root != Path::new("/") {
        return Ok(Some(format!(
            "only {} of the disk",
            Escaped::path(&mount.root)
        )));
    }
    Ok(None)
}

/// Reads the start of the data through dm-verity, which must bind the geometry if nothing else
/// does. False where the mapping has gone.
fn check_binding(
    device_mapper: &DeviceMapper,
    disk: &Disk,
    steps: &Steps,
    mounted: &Mounted,
) -> Result<bool, MountError> {
    steps.begin("reading its first block through dm-verity")?;
    let open = mounted.open_mapping();
    let open = open.map_err(FileError::new("open the mapping of", &mounted.mount_point))?;
    // The node goes: a run that was killed may have left it.
    let Some((_node, device)) = open else {
        return Ok(false);
    };
    let header = read_header(&device, disk, || {
        match device_mapper.describe(&mounted.name)? {
            Some(found) if found.status == VerityStatus::Verified => Ok(()),
            _ => Err(MountError::FoundCorrupt(Box::new(mounted.clone()))),
        }
    })?;
    disk.bind(&header)?;
    Ok(true)
}
