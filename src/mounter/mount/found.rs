//! Finds a mount that is there already.

use std::path::Path;

use super::{MountError, MountRequest, Mounted};
use crate::{
    mounter::{
        VerityStatus,
        device_mapper::{DeviceMapper, MappingError},
        disk::Disk,
        log,
        status::look,
    },
    verity::VerityTable,
};

/// Looks for a mount that is just what is asked for. Anything else at the mount point is an
/// error.
pub(super) fn find_mounted(
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
        return Err(MappingError::Corrupt(found.name).into());
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
