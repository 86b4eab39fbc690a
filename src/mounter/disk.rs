//! What a disk claims to be, and how far that can be checked before the kernel reads it.

use super::device::{BlockDevice, Device, DeviceError};
use super::loop_device::LoopError;
use crate::{
    claims::{Found, NoSuperblock, ReadAt, header, superblock_after, superblock_at},
    erofs,
    exit::ExitCode,
    filesystem::{FsType, NoFilesystem},
    verity::{
        Binding, BindingError, BlockHasher, HashAlgorithm, HashArea, HashAreaError, RootHash,
        SUPERBLOCK_SIZE, Superblock, SuperblockError, TreeLayout, VerityParams,
    },
};

/// Where the parameters of the tree come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParamsSource {
    /// From the superblock on the hash device.
    Superblock {
        /// Where that is, in bytes; right after the filesystem if not given (at 0 on a hash
        /// device of its own).
        hash_offset: Option<u64>,
        /// How many data blocks it must name.
        data_blocks: Option<u64>,
    },
    /// From the arguments alone; a superblock is not looked at.
    Arguments {
        /// The parameters.
        params: VerityParams,
        /// Where the tree is on the hash device.
        hash_area: HashArea,
    },
}

/// Why a disk is refused before the kernel has seen it.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// A device cannot be used.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The place of the superblock cannot be found out.
    #[error(
        "{path}: no {fs_type} filesystem there, which would tell where the superblock is ({reason}): --hash-offset names the place, --fs-type another filesystem"
    )]
    NoFilesystem {
        /// The data device.
        path: String,
        /// What was looked for.
        fs_type: FsType,
        /// Why it is none.
        reason: NoFilesystem,
    },
    /// What stands at the place of the superblock is not acceptable.
    #[error("{path}: at byte {offset}: {source}")]
    Superblock {
        /// The hash device.
        path: String,
        /// The place of the superblock.
        offset: u64,
        /// What is wrong.
        source: SuperblockError,
    },
    /// No tree can be where the superblock or the arguments say.
    #[error("{path}: {source}")]
    HashArea {
        /// The hash device.
        path: String,
        /// What is wrong.
        source: HashAreaError,
    },
    /// A device ends before what should be on it.
    #[error("{path}: cut short: {what} would end at byte {needs}, the device ends at {has}")]
    CutShort {
        /// The device.
        path: String,
        /// The data or the hash tree.
        what: &'static str,
        /// Where that would end.
        needs: u64,
        /// Where the device ends.
        has: u64,
    },
    /// The hash area lies within the data.
    #[error("{path}: the hash area at byte {offset} is inside the data, which ends at {data_end}")]
    Overlap {
        /// The device.
        path: String,
        /// Where the hash area starts.
        offset: u64,
        /// Where the data ends.
        data_end: u64,
    },
    /// The root hash is not one of the disk's algorithm.
    #[error("the disk is hashed with {disk}, the root hash is one of {expected}")]
    Algorithm {
        /// The disk's algorithm.
        disk: HashAlgorithm,
        /// That of the root hash.
        expected: HashAlgorithm,
    },
    /// Nothing makes sure that the root hash covers all of the disk.
    #[error(transparent)]
    Binding(#[from] BindingError),
    /// The root block is not the one of the root hash.
    #[error("the root hash does not match: expected {expected}, the disk has {found}")]
    RootHash {
        /// The root hash of the arguments.
        expected: RootHash,
        /// The digest of the disk's root block.
        found: RootHash,
    },
    /// The filesystem is more than what dm-verity covers.
    #[error("{path}: {reason}")]
    Filesystem {
        /// The data device.
        path: String,
        /// What is wrong with it.
        reason: NoFilesystem,
    },
    /// The kernel or the device cannot read blocks of this size.
    #[error("{path}: blocks of {size} bytes cannot be read here: {why}")]
    BlockSize {
        /// The device.
        path: String,
        /// The block size.
        size: u32,
        /// The limit.
        why: String,
    },
}

impl DiskError {
    /// The exit code that goes with it.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Device(error) => error.exit_code(),
            Self::BlockSize { .. } => ExitCode::Unsupported,
            _ => ExitCode::Integrity,
        }
    }
}

/// A disk whose parameters are known and possible, and bound unless the filesystem still has to
/// do that.
#[derive(Debug)]
pub(crate) struct Disk {
    data: Device,
    /// None where the tree is on the data device.
    hash: Option<Device>,
    fs_type: FsType,
    params: VerityParams,
    hash_area: HashArea,
    /// How many data blocks the arguments name.
    data_blocks: Option<u64>,
}

impl Disk {
    /// Finds the parameters and checks them against the devices.
    pub(crate) fn read(
        data: Device,
        hash: Option<Device>,
        fs_type: FsType,
        source: &ParamsSource,
    ) -> Result<Self, DiskError> {
        let hash_device = hash.as_ref().unwrap_or(&data);
        let (params, hash_area, data_blocks) = match source {
            ParamsSource::Arguments { params, hash_area } => {
                (params.clone(), *hash_area, Some(params.data_blocks()))
            }
            ParamsSource::Superblock {
                hash_offset,
                data_blocks,
            } => {
                let found = match (hash_offset, &hash) {
                    (Some(offset), _) => superblock_at(hash_device, *offset)?,
                    (None, Some(hash)) => superblock_at(hash, 0)?,
                    (None, None) => {
                        let found = superblock_after(&data, fs_type, &header(&data)?)?;
                        found.map_err(|reason| DiskError::NoFilesystem {
                            path: name(&data),
                            fs_type,
                            reason,
                        })?
                    }
                };
                let offset = found.offset;
                let superblock = accepted(hash_device, found)?;
                let hash_area =
                    HashArea::new(&superblock.params, offset, true).map_err(|source| {
                        DiskError::HashArea {
                            path: name(hash_device),
                            source,
                        }
                    })?;
                (superblock.params, hash_area, *data_blocks)
            }
        };
        let disk = Self {
            data,
            hash,
            fs_type,
            params,
            hash_area,
            data_blocks,
        };
        disk.check_sizes()?;
        // Not verified yet, but what is wrong already cannot become right.
        disk.bind(&header(&disk.data)?)?;
        Ok(disk)
    }

    /// Everything that the kernel would refuse without a reason.
    fn check_sizes(&self) -> Result<(), DiskError> {
        let hash = self.hash_device();
        let data_end = self.params.data_bytes();
        let tree_end = self.hash_area.end(&TreeLayout::new(&self.params));
        for (device, what, needs) in [
            (&self.data, "the data", data_end),
            (hash, "the hash tree", tree_end),
        ] {
            if needs > device.bytes() {
                return Err(DiskError::CutShort {
                    path: name(device),
                    what,
                    needs,
                    has: device.bytes(),
                });
            }
        }
        if self.hash.is_none() && self.hash_area.offset() < data_end {
            let offset = self.hash_area.offset();
            return Err(DiskError::Overlap {
                path: name(&self.data),
                offset,
                data_end,
            });
        }
        let page = page_size();
        let size = self.params.data_block_size().get();
        if u64::from(size) > page {
            let why = format!("this machine's pages have {page}");
            return Err(DiskError::BlockSize {
                path: name(&self.data),
                size,
                why,
            });
        }
        for (device, size) in [
            (&self.data, size),
            (hash, self.params.hash_block_size().get()),
        ] {
            let logical = device.logical_block_size()?;
            if size < logical {
                let why = format!("the device's blocks have {logical}");
                return Err(DiskError::BlockSize {
                    path: name(device),
                    size,
                    why,
                });
            }
        }
        Ok(())
    }

    /// Compares the tree's root block, or the only data block, with the root hash. The kernel
    /// does it at the first read, and would say no more than "I/O error".
    pub(crate) fn check_root(&self, expected: &RootHash) -> Result<(), DiskError> {
        if expected.algorithm() != self.params.algorithm() {
            let (disk, expected) = (self.params.algorithm(), expected.algorithm());
            return Err(DiskError::Algorithm { disk, expected });
        }
        let (device, offset, size) = if self.params.data_blocks() == 1 {
            (&self.data, 0, self.params.data_block_size())
        } else {
            (
                self.hash_device(),
                self.hash_area.block_offset(0),
                self.params.hash_block_size(),
            )
        };
        let mut block = vec![0; size.as_usize()];
        device.read_exact_at(&mut block, offset)?;
        let found = RootHash::from(BlockHasher::for_params(&self.params).digest(&block));
        if found != *expected {
            return Err(DiskError::RootHash {
                expected: *expected,
                found,
            });
        }
        Ok(())
    }

    /// What binds the geometry. It counts only when `header`, the start of the data, was read
    /// through dm-verity.
    pub(crate) fn bind(&self, header: &[u8]) -> Result<Binding, DiskError> {
        let claimed = self.fs_type.claimed_bytes(header);
        if let Err(reason @ NoFilesystem::Erofs(erofs::SuperblockError::OtherDevices(_))) = claimed
        {
            let path = name(&self.data);
            return Err(DiskError::Filesystem { path, reason });
        }
        Ok(Binding::find(&self.params, self.data_blocks, claimed.ok())?)
    }

    /// The parameters of its tree.
    pub(crate) fn params(&self) -> &VerityParams {
        &self.params
    }

    /// Where the tree is.
    pub(crate) fn hash_area(&self) -> HashArea {
        self.hash_area
    }

    /// What holds the data.
    pub(crate) fn data_device(&self) -> &Device {
        &self.data
    }

    /// What holds the tree; it may be the data device.
    pub(crate) fn hash_device(&self) -> &Device {
        self.hash.as_ref().unwrap_or(&self.data)
    }

    /// The block devices for the kernel's table: that of the data, and that of the tree if it is
    /// another.
    pub(crate) fn attach(&self) -> Result<(BlockDevice, Option<BlockDevice>), LoopError> {
        Ok((
            self.data.attach()?,
            self.hash.as_ref().map(Device::attach).transpose()?,
        ))
    }
}

/// The superblock that was found, or why the disk is refused for what is there.
fn accepted(device: &Device, found: Found) -> Result<Superblock, DiskError> {
    let (path, offset) = (name(device), found.offset);
    found.superblock.map_err(|reason| match reason {
        NoSuperblock::Beyond { bytes } => DiskError::CutShort {
            path,
            what: "the superblock",
            needs: offset.saturating_add(SUPERBLOCK_SIZE as u64),
            has: bytes,
        },
        NoSuperblock::Refused(source) => DiskError::Superblock {
            path,
            offset,
            source,
        },
    })
}

fn name(device: &Device) -> String {
    device.path().display().to_string()
}

fn page_size() -> u64 {
    // The value is known on every Linux; where it were not, no block would be refused for it.
    let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)
        .ok()
        .flatten();
    size.and_then(|size| u64::try_from(size).ok())
        .unwrap_or(u64::MAX)
}
