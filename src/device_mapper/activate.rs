//! Makes a mapping active, or joins the one that is there.

use std::{
    io, thread,
    time::{Duration, Instant},
};

use devicemapper::{DevId, DmError, DmFlags, DmOptions};

use super::{
    DeviceMapper, Mapping, MappingError, MappingName, Mark, errno, failed, target::TARGET,
};
use crate::holders;
use dm_verity::{OnReadError, VerityTable};

/// How long another process may take from the creation of a mapping to its activation. After
/// that its maker is taken for dead.
const HALF_MADE: Duration = Duration::from_secs(2);

/// How often a mapping that somebody else is making or removing is looked at.
const POLL: Duration = Duration::from_millis(10);

/// How often, so far apart, a device that is busy is tried again: who just looks whether it is free,
/// or has just let go of it, has it for a moment.
const BUSY_TRIES: u32 = 5;

impl DeviceMapper {
    /// Makes an active, read-only mapping with this table, or joins the one that is there: one
    /// of this name with another table is an error.
    pub(crate) fn activate(
        &self,
        name: &MappingName,
        table: &VerityTable,
    ) -> Result<Mapping<'_>, MappingError> {
        self.check_target(table.on_corruption, table.on_error)?;
        let text = table.to_string();
        let mut half_made_since = None;
        loop {
            let mapping = match self.create(name, table)? {
                Some(mapping) if self.load(name, table, &text)? => Some(mapping),
                Some(gone) => {
                    gone.leave();
                    None
                }
                None => match self.describe(name)? {
                    Some(found) if found.table == text => self.join(name)?,
                    Some(found) => {
                        let table = found.table;
                        return Err(MappingError::NameTaken {
                            name: name.clone(),
                            table,
                        });
                    }
                    None => {
                        self.check_uuid(name, table)?;
                        None
                    }
                },
            };
            if let Some(mut mapping) = mapping
                && mapping.open()?
            {
                mapping.check(table, &text)?;
                return Ok(mapping);
            }
            // Somebody else is making it, or removing it, or died halfway.
            let since = *half_made_since.get_or_insert_with(Instant::now);
            if since.elapsed() > HALF_MADE {
                self.remove_half_made(name)?;
                half_made_since = None;
            } else {
                thread::sleep(POLL);
            }
        }
    }

    /// None where the name is taken.
    fn create(
        &self,
        name: &MappingName,
        table: &VerityTable,
    ) -> Result<Option<Mapping<'_>>, MappingError> {
        let uuid = Mark::uuid(name, &table.root_hash);
        match self
            .dm
            .device_create(&name.0, Some(&uuid), DmOptions::default())
        {
            Ok(info) => Ok(Some(Mapping::new(self, name, &info, false))),
            Err(error) if errno(&error) == Some(libc::EBUSY) => Ok(None),
            Err(error) => Err(failed(format!("create {name}"))(error)),
        }
    }

    /// Whether a mapping of another name has the UUID that a new one gets: it was given that name
    /// since, or is somebody else's. No wait would end that.
    fn check_uuid(&self, name: &MappingName, table: &VerityTable) -> Result<(), MappingError> {
        match self.name_of(&Mark::uuid(name, &table.root_hash))? {
            Some(by) if by != *name => Err(MappingError::UuidTaken {
                name: name.clone(),
                by,
            }),
            _ => Ok(()),
        }
    }

    /// Takes a share in a mapping that is there; None where it has gone.
    fn join(&self, name: &MappingName) -> Result<Option<Mapping<'_>>, MappingError> {
        match self.dm.device_info(&name.id()) {
            Ok(info) => Ok(Some(Mapping::new(self, name, &info, true))),
            Err(error) if errno(&error) == Some(libc::ENXIO) => Ok(None),
            Err(error) => Err(failed(format!("look at {name}"))(error)),
        }
    }

    /// Loads the table, and leaves what is active as it is.
    fn load_inactive(&self, id: &DevId<'_>, table: &VerityTable) -> Result<(), DmError> {
        let target = [(0, table.sectors(), TARGET.to_owned(), table.to_string())];
        let read_only = DmOptions::default().set_flags(DmFlags::DM_READONLY);
        let mut tries = 0;
        loop {
            match self.dm.table_load(id, &target, read_only) {
                Err(error) if errno(&error) == Some(libc::EBUSY) && tries < BUSY_TRIES => {
                    tries += 1;
                    thread::sleep(POLL);
                }
                result => return result.map(|_| ()),
            }
        }
    }

    /// Loads the table and makes it the active one. False where somebody took the mapping for
    /// half made, and removed it.
    fn load(
        &self,
        name: &MappingName,
        table: &VerityTable,
        text: &str,
    ) -> Result<bool, MappingError> {
        // What another program makes under this name meanwhile is left alone.
        let uuid = Mark::uuid(name, &table.root_hash);
        let id = DevId::Uuid(&uuid);
        if let Err(error) = self.load_inactive(&id, table) {
            return Err(match errno(&error) {
                Some(libc::ENXIO) => return Ok(false),
                // The kernel tries to load the module; now it would be in the list.
                Some(libc::EINVAL) if self.target_version()?.is_none() => {
                    MappingError::NoVerityTarget
                }
                Some(libc::EINVAL) => {
                    self.check_target(table.on_corruption, table.on_error)?;
                    self.check_optional(&id, table)?;
                    failed(format!(
                        "load the table of {name} (the kernel's log has the reason; table: {text})"
                    ))(error)
                }
                Some(errno @ libc::EBUSY) => {
                    let fec_device = table.fec.map(|fec| fec.device);
                    let devices = [table.data_device, table.hash_device].into_iter();
                    let devices: Vec<_> = devices.chain(fec_device).collect();
                    MappingError::DeviceInUse {
                        by: holders::of_devices(&devices),
                        source: io::Error::from_raw_os_error(errno),
                    }
                }
                _ => failed(format!("load the table of {name}"))(error),
            });
        }
        // Where the module came with the table, nobody has seen its version yet.
        self.check_target(table.on_corruption, table.on_error)?;
        match self.dm.device_suspend(&id, DmOptions::default()) {
            Ok(_) => Ok(true),
            Err(error) if errno(&error) == Some(libc::ENXIO) => Ok(false),
            Err(error) => Err(failed(format!("activate {name}"))(error)),
        }
    }

    /// Whether an optional part is why a table was refused, of which the target's version need not
    /// tell: what happens on a read error, or correction. What is loaded meanwhile is never made active.
    fn check_optional(&self, id: &DevId<'_>, table: &VerityTable) -> Result<(), MappingError> {
        let loads = |table: &VerityTable| self.load_inactive(id, table).is_ok();
        let bare = VerityTable {
            on_error: OnReadError::Eio,
            fec: None,
            ..table.clone()
        };
        if bare == *table || !loads(&bare) {
            return Ok(());
        }
        let with_fec = VerityTable {
            fec: table.fec,
            ..bare
        };
        if table.fec.is_some() && (with_fec == *table || !loads(&with_fec)) {
            return Err(MappingError::NoFec);
        }
        match (table.on_error.argument(), self.target_version()?) {
            (Some((option, _, linux)), Some(has)) => {
                Err(MappingError::TooOld { option, has, linux })
            }
            _ => Ok(()),
        }
    }

    /// Removes a mapping of this project that nobody activated, and that nobody has open. Any other
    /// is in the way.
    fn remove_half_made(&self, name: &MappingName) -> Result<(), MappingError> {
        match self.dm.device_info(&name.id()) {
            Ok(info) if info.flags().contains(DmFlags::DM_ACTIVE_PRESENT) => {
                Err(MappingError::NameTaken {
                    name: name.clone(),
                    table: "not one of dm-verity".to_owned(),
                })
            }
            Ok(info) if !Mark::is_on(&info) => Err(MappingError::NameTaken {
                name: name.clone(),
                table: "none yet, and another program has made it".to_owned(),
            }),
            Ok(_) if self.remove(name, DmFlags::empty())? => Ok(()),
            Ok(_) => Err(MappingError::NameTaken {
                name: name.clone(),
                table: "none yet, and somebody has it open".to_owned(),
            }),
            Err(error) if errno(&error) == Some(libc::ENXIO) => Ok(()),
            Err(error) => Err(failed(format!("look at {name}"))(error)),
        }
    }
}
