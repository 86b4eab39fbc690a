//! The kernel's device-mapper: one verity mapping, from its creation to its removal.
//!
//! - `name` and `error` are the types of what can be wrong,
//! - `target` is what this kernel's verity target knows,
//! - `status` is what the kernel says of a mapping,
//! - `activate` makes a mapping or joins one, and `mapping` is what it gives, with its undo.
//!
//! The `ioctl`s are those of the crate `devicemapper`; what is here loses none of their errnos.

mod activate;
mod error;
mod mapping;
mod name;
mod status;
mod target;

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::Path,
};

use devicemapper::{DM, DevId, DeviceInfo, DmFlags, DmOptions, DmUuidBuf};

use super::device_node::ensure_misc;
use dm_verity::DeviceNumber;
use error::{errno, failed};
use target::TARGET;

pub use error::MappingError;
pub(crate) use mapping::Mapping;
pub use name::{BadName, MappingName};
pub(crate) use name::{Mark, root_hash_mark};
pub(crate) use status::Description;
pub use status::VerityStatus;
use status::corrected_by_target;

const CONTROL: &str = "/dev/mapper/control";

/// The way to the kernel's device-mapper.
pub(crate) struct DeviceMapper {
    dm: DM,
}

impl DeviceMapper {
    /// Opens it; its node is made where it is missing.
    pub(crate) fn open() -> Result<Self, MappingError> {
        match ensure_misc(Path::new(CONTROL), "device-mapper") {
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {
                return Err(MappingError::NoDeviceMapper);
            }
            result => result.map_err(MappingError::io(format!("make {CONTROL}")))?,
        }
        if udev_cannot_answer() {
            return Err(MappingError::ForeignUdev);
        }
        // Opened here once, since the crate loses the errno.
        File::open(CONTROL).map_err(|source| match source.raw_os_error() {
            Some(libc::ENODEV | libc::ENXIO) => MappingError::NoDeviceMapper,
            _ => MappingError::io(format!("open {CONTROL}"))(source),
        })?;
        let dm = DM::new().map_err(failed(format!("open {CONTROL}")))?;
        Ok(Self { dm })
    }

    /// The name of the mapping with this device number; None where it is no mapping, or gone.
    fn find(&self, number: DeviceNumber) -> Result<Option<MappingName>, MappingError> {
        let devices = self
            .dm
            .list_devices()
            .map_err(failed("list its mappings"))?;
        Ok(devices
            .into_iter()
            .find(|(_, device, _)| (device.major, device.minor) == (number.major, number.minor))
            .map(|(name, ..)| MappingName(name)))
    }

    /// What the kernel says of the mapping with this device number, whatever its name is by now; None
    /// where it is gone, or no active mapping of one verity target.
    pub(crate) fn at(&self, number: DeviceNumber) -> Result<Option<Description>, MappingError> {
        match self.find(number)? {
            Some(name) => self.describe(&name),
            None => Ok(None),
        }
    }

    /// The name of the mapping with this UUID, if there is one.
    fn name_of(&self, uuid: &DmUuidBuf) -> Result<Option<MappingName>, MappingError> {
        match self.dm.device_info(&DevId::Uuid(uuid)) {
            Ok(info) => Ok(info.name().map(|name| MappingName(name.to_owned()))),
            Err(error) if errno(&error) == Some(libc::ENXIO) => Ok(None),
            Err(error) => Err(failed("look for a UUID")(error)),
        }
    }

    /// What the kernel says of a mapping; None where it has none of this name, or where it is no
    /// active mapping of one verity target.
    pub(crate) fn describe(&self, name: &MappingName) -> Result<Option<Description>, MappingError> {
        let Some((info, sectors, table)) = self.verity_target(name, DmFlags::DM_STATUS_TABLE)?
        else {
            return Ok(None);
        };
        let Some((_, _, status)) = self.verity_target(name, DmFlags::empty())? else {
            return Ok(None);
        };
        Ok(Some(Description {
            name: name.clone(),
            table,
            sectors,
            status: VerityStatus::of_target(&status),
            fec_corrected: corrected_by_target(&status),
            own: Mark::is_on(&info),
        }))
    }

    /// The length and the text of a mapping's only target, if that is of type verity.
    fn verity_target(
        &self,
        name: &MappingName,
        flags: DmFlags,
    ) -> Result<Option<(DeviceInfo, u64, String)>, MappingError> {
        let options = DmOptions::default().set_flags(flags);
        match self.dm.table_status(&name.id(), options) {
            Ok((info, targets)) => Ok(match <[_; 1]>::try_from(targets) {
                Ok([(0, sectors, target, text)]) if target == TARGET => Some((info, sectors, text)),
                _ => None,
            }),
            Err(error) if errno(&error) == Some(libc::ENXIO) => Ok(None),
            Err(error) => Err(failed(format!("read the table of {name}"))(error)),
        }
    }

    /// Removes a mapping of this project. False where it is in use; one that is gone already is no
    /// error. One of this name without the mark is another program's, and is never touched.
    fn remove(&self, name: &MappingName, flags: DmFlags) -> Result<bool, MappingError> {
        let Some(uuid) = self.marked(name)? else {
            return Ok(true);
        };
        let options = DmOptions::default().set_flags(flags);
        match self.dm.device_remove(&DevId::Uuid(&uuid), options) {
            Ok(_) => Ok(true),
            Err(error) if errno(&error) == Some(libc::ENXIO) => Ok(true),
            Err(error) if errno(&error) == Some(libc::EBUSY) => Ok(false),
            Err(error) => Err(failed(format!("remove {name}"))(error)),
        }
    }

    /// Removes a mapping of this project unless somebody uses it. Whether it is gone.
    pub(crate) fn remove_unused(&self, name: &MappingName) -> Result<bool, MappingError> {
        match self.dm.device_info(&name.id()) {
            Ok(info) if info.open_count() > 0 => Ok(false),
            _ => self.remove(name, DmFlags::empty()),
        }
    }

    /// The UUID of the mapping of this name, if it has this project's mark. What has another name by
    /// then, or is another mapping, does not have this UUID.
    fn marked(&self, name: &MappingName) -> Result<Option<DmUuidBuf>, MappingError> {
        match self.dm.device_info(&name.id()) {
            Ok(info) if Mark::is_on(&info) => Ok(info.uuid().map(ToOwned::to_owned)),
            Ok(_) => Ok(None),
            Err(error) if errno(&error) == Some(libc::ENXIO) => Ok(None),
            Err(error) => Err(failed(format!("look at {name}"))(error)),
        }
    }

    /// Lets a mapping go with its last user, if it is one of this project.
    pub(crate) fn remove_with_last_user(&self, name: &MappingName) -> Result<(), MappingError> {
        self.remove(name, DmFlags::DM_DEFERRED_REMOVE).map(|_| ())
    }
}

/// Device-mapper waits for udev through a semaphore of the System V kind, wherever udev's socket
/// is visible. From another IPC namespace udev cannot reach it: the wait would never end.
fn udev_cannot_answer() -> bool {
    /// The number of the first IPC namespace: `PROC_IPC_INIT_INO` of the kernel.
    const INITIAL: u64 = 0xEFFF_FFFF;
    Path::new("/run/udev/control").exists()
        && fs::metadata("/proc/self/ns/ipc").is_ok_and(|namespace| namespace.ino() != INITIAL)
}
