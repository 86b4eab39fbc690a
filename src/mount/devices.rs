//! The block devices by which the kernel gets to see a disk, and the table that names them.

use dm_verity::{BlockSize, DeviceNumber, FecTable, VerityTable};
use model_disk::{BackingFile, Disk, DiskFec, FileError};

use super::{MountError, MountRequest};
use crate::{block_sizes::check_logical, device::BlockDevice, watchdog::Steps};

/// The block devices by which the kernel gets to see a disk.
pub(super) struct ShownDevices {
    data: BlockDevice,
    /// None for a tree that is on the same.
    hash: Option<BlockDevice>,
    /// None for an FEC area that is on that of the tree, or not there.
    fec: Option<BlockDevice>,
}

/// The numbers of a disk's block devices, some of which may be one.
#[derive(Clone, Copy)]
pub(super) struct DeviceNumbers {
    pub(super) data: DeviceNumber,
    pub(super) hash: DeviceNumber,
    pub(super) fec: DeviceNumber,
}

impl ShownDevices {
    /// Shows the data, the tree and the FEC area to the kernel as block devices.
    pub(super) fn of(disk: &Disk, steps: &Steps) -> Result<Self, MountError> {
        let show = |file: &BackingFile, smallest: BlockSize| -> Result<BlockDevice, MountError> {
            let device = BlockDevice::of(file, smallest)?;
            let logical = device.loop_block_size();
            let logical = logical.map_err(FileError::new("read the block size of", file.path()))?;
            if let Some(logical) = logical {
                check_logical(file.path(), smallest.get(), logical)?;
            }
            Ok(device)
        };
        steps.begin("reading it through a loop device")?;
        let data_size = disk.params().data_block_size();
        let hash_size = disk.params().hash_block_size();
        let (data, hash) = match disk.separate_hash_file() {
            Some(hash) => (
                show(disk.data_file(), data_size)?,
                Some(show(hash, hash_size)?),
            ),
            None => (show(disk.data_file(), data_size.min(hash_size))?, None),
        };
        let fec = disk.fec().and_then(DiskFec::separate_file);
        let fec = fec.map(|fec| show(fec, data_size)).transpose()?;
        Ok(Self { data, hash, fec })
    }

    /// Their numbers.
    pub(super) fn numbers(&self) -> DeviceNumbers {
        let data = self.data.number();
        let hash = self.hash.as_ref().map_or(data, BlockDevice::number);
        let fec = self.fec.as_ref().map_or(hash, BlockDevice::number);
        DeviceNumbers { data, hash, fec }
    }
}

/// The table of a disk, as it is asked for, on block devices that show it.
pub(super) fn table_of(disk: &Disk, request: &MountRequest, devices: DeviceNumbers) -> VerityTable {
    VerityTable {
        data_device: devices.data,
        hash_device: devices.hash,
        params: disk.params().clone(),
        hash_area: disk.hash_area(),
        root_hash: request.root_hash,
        on_corruption: request.on_corruption,
        on_error: request.on_error,
        fec: disk.fec().map(|fec| FecTable {
            device: devices.fec,
            blocks: fec.layout().covered_blocks(),
            start: fec.area().start_block(),
            roots: fec.layout().roots(),
        }),
    }
}
