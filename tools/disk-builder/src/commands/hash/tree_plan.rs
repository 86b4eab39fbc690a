//! What `hash` is going to do. No I/O.

use std::{iter, ops::Range};

use dm_verity::{
    BlockSize, HashAlgorithm, HashArea, HashAreaError, Salt, TreeLayout, VerityParams,
};
use model_disk::{BackingFile, BackingKind, ReadAt, appended_hash_offset, geometry_salt};

use super::{FecPlan, TreePlanError};

/// What the arguments say of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeRequest {
    /// What digests are made with.
    pub algorithm: HashAlgorithm,
    /// The unit of data.
    pub data_block_size: BlockSize,
    /// The unit of the tree.
    pub hash_block_size: BlockSize,
    /// How many data blocks; all there are, where it is none.
    pub data_blocks: Option<u64>,
    /// The geometry salt, where it is none.
    pub salt: Option<Salt>,
    /// Where the hash area starts, in bytes.
    pub hash_offset: Option<u64>,
    /// Whether it starts with a superblock.
    pub superblock: bool,
}

/// What a disk of layout 1 has.
impl Default for TreeRequest {
    fn default() -> Self {
        Self {
            algorithm: HashAlgorithm::Sha256,
            data_block_size: BlockSize::DEFAULT,
            hash_block_size: BlockSize::DEFAULT,
            data_blocks: None,
            salt: None,
            hash_offset: None,
            superblock: true,
        }
    }
}

/// A file or block device as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// What it is.
    pub kind: BackingKind,
    /// How large it is.
    pub bytes: u64,
}

impl Capacity {
    /// That of an open file.
    pub fn of(file: &BackingFile) -> Self {
        Self {
            kind: file.kind(),
            bytes: file.bytes(),
        }
    }
}

/// A tree, and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreePlan {
    /// What the root hash depends on besides the data.
    pub params: VerityParams,
    /// The levels.
    pub layout: TreeLayout,
    /// Where superblock and tree go.
    pub area: HashArea,
    /// The FEC area, where there is one.
    pub fec: Option<FecPlan>,
}

impl TreePlan {
    /// The tree over `data`. `hashes` is where it goes, if that is not `data` itself: a file that
    /// is to be made has no bytes yet.
    pub fn new(
        request: &TreeRequest,
        data: Capacity,
        hashes: Option<Capacity>,
    ) -> Result<Self, TreePlanError> {
        let data_blocks = data_blocks(request, data, hashes.is_none())?;
        let salt = request.salt.clone().unwrap_or_else(|| {
            geometry_salt(
                request.algorithm,
                request.data_block_size,
                request.hash_block_size,
                data_blocks,
            )
        });
        let params = VerityParams::new(
            request.algorithm,
            request.data_block_size,
            request.hash_block_size,
            data_blocks,
            salt,
        )?;
        let data_bytes = params.data_bytes();
        let offset = match (request.hash_offset, hashes) {
            (Some(offset), _) => offset,
            (None, Some(_)) => 0,
            (None, None) => {
                // Whatever a file has after its data stays.
                let end = match data.kind {
                    BackingKind::File => data.bytes.max(data_bytes),
                    BackingKind::BlockDevice(_) => data_bytes,
                };
                appended_hash_offset(end, request.data_block_size, request.hash_block_size)
                    .ok_or(HashAreaError::TooLarge(end))?
            }
        };
        let area = HashArea::new(&params, offset, request.superblock)?;
        if hashes.is_none() && offset < data_bytes {
            return Err(TreePlanError::Overlap { offset, data_bytes });
        }
        let layout = TreeLayout::new(&params);
        let end = area.end(&layout);
        match hashes.unwrap_or(data) {
            Capacity {
                kind: BackingKind::BlockDevice(_),
                bytes,
            } if end > bytes => Err(TreePlanError::NoRoom { end, bytes }),
            _ => Ok(Self {
                params,
                layout,
                area,
                fec: None,
            }),
        }
    }

    /// What is written to in the file or on the device of the tree, in bytes.
    pub fn parts(&self) -> impl Iterator<Item = Range<u64>> {
        let tree = self.area.offset()..self.area.end(&self.layout);
        let fec = self.fec.filter(|fec| fec.with_tree);
        let fec = fec.map(|fec| fec.area.offset()..fec.area.end());
        iter::once(tree).chain(fec)
    }

    /// Where all ends that goes into the file or onto the device of the tree.
    pub fn end(&self) -> u64 {
        match &self.fec {
            Some(fec) if fec.with_tree => fec.area.end(),
            _ => self.area.end(&self.layout),
        }
    }
}

/// How many blocks to cover. A file that gets the tree itself is padded with zeros to whole
/// blocks; data elsewhere stays as it is.
fn data_blocks(
    request: &TreeRequest,
    data: Capacity,
    appended: bool,
) -> Result<u64, TreePlanError> {
    let block_size = request.data_block_size;
    let bytes = data.bytes;
    let whole = bytes / block_size.bytes();
    let rest = bytes % block_size.bytes();
    let most = if appended && data.kind == BackingKind::File {
        bytes.div_ceil(block_size.bytes())
    } else {
        whole
    };
    match request.data_blocks {
        _ if bytes == 0 => Err(TreePlanError::Empty),
        Some(data_blocks) if data_blocks > most => Err(TreePlanError::TooFew {
            data_blocks,
            block_size,
            bytes,
        }),
        Some(data_blocks) => Ok(data_blocks),
        None if most == whole && rest != 0 => Err(TreePlanError::PartOfABlock {
            bytes,
            block_size,
            rest,
        }),
        None => Ok(most),
    }
}

#[cfg(test)]
mod tests {
    use dm_verity::{DeviceNumber, ParamsError};

    use super::*;

    fn request() -> TreeRequest {
        TreeRequest::default()
    }

    fn file(bytes: u64) -> Capacity {
        Capacity {
            kind: BackingKind::File,
            bytes,
        }
    }

    fn device(bytes: u64) -> Capacity {
        Capacity {
            kind: BackingKind::BlockDevice(DeviceNumber { major: 7, minor: 0 }),
            bytes,
        }
    }

    /// The number of data blocks and the hash offset.
    fn plan(
        request: TreeRequest,
        data: Capacity,
        hashes: Option<Capacity>,
    ) -> Result<(u64, u64), TreePlanError> {
        TreePlan::new(&request, data, hashes)
            .map(|plan| (plan.params.data_blocks(), plan.area.offset()))
    }

    fn with(data_blocks: Option<u64>, hash_offset: Option<u64>) -> TreeRequest {
        TreeRequest {
            data_blocks,
            hash_offset,
            ..request()
        }
    }

    #[test]
    fn places() {
        for (request, data, hashes, expected) in [
            // Appended to a file, padded where its end is no block's end.
            (request(), file(40960), None, (10, 40960)),
            (request(), file(40961), None, (11, 45056)),
            (with(Some(11), None), file(40961), None, (11, 45056)),
            (with(Some(10), None), file(40961), None, (10, 45056)),
            // What is after the data stays.
            (with(Some(3), None), file(40961), None, (3, 45056)),
            (with(Some(3), Some(12288)), file(40960), None, (3, 12288)),
            (with(None, Some(81920)), file(40960), None, (10, 81920)),
            // Onto the device with the data on it.
            (with(Some(10), None), device(1 << 20), None, (10, 40960)),
            (
                with(Some(10), Some(81920)),
                device(1 << 20),
                None,
                (10, 81920),
            ),
            // Elsewhere.
            (request(), file(40960), Some(file(0)), (10, 0)),
            (with(Some(3), None), file(40961), Some(file(0)), (3, 0)),
            (
                with(None, Some(4096)),
                file(40960),
                Some(file(0)),
                (10, 4096),
            ),
            (request(), device(40960), Some(device(8192)), (10, 0)),
        ] {
            assert_eq!(plan(request, data, hashes), Ok(expected), "{data:?}");
        }
    }

    #[test]
    fn the_larger_block_aligns_what_is_appended() {
        for (data_bits, hash_bits, expected) in [(9, 12, 8192), (12, 9, 8192), (9, 9, 4608)] {
            let request = TreeRequest {
                data_block_size: BlockSize::new(1 << data_bits).unwrap(),
                hash_block_size: BlockSize::new(1 << hash_bits).unwrap(),
                ..request()
            };
            let offset = plan(request, file(4097), None).map(|(_, offset)| offset);
            assert_eq!(offset, Ok(expected), "{data_bits} {hash_bits}");
        }
    }

    #[test]
    fn refused() {
        use TreePlanError as E;
        let block_size = BlockSize::DEFAULT;
        let part = |bytes| E::PartOfABlock {
            bytes,
            block_size,
            rest: bytes % 4096,
        };
        let few = |data_blocks, bytes| E::TooFew {
            data_blocks,
            block_size,
            bytes,
        };
        let overlap = |offset| E::Overlap {
            offset,
            data_bytes: 40960,
        };
        let no_data = E::Params(ParamsError::NoData);
        for (request, data, hashes, expected) in [
            (request(), file(0), None, E::Empty),
            (request(), device(0), Some(file(0)), E::Empty),
            (request(), file(40961), Some(file(0)), part(40961)),
            (request(), device(40960 + 512), Some(file(0)), part(41472)),
            (request(), file(100), Some(file(0)), part(100)),
            (with(Some(0), None), file(4096), None, no_data),
            (with(Some(12), None), file(40961), None, few(12, 40961)),
            (
                with(Some(11), None),
                file(40961),
                Some(file(0)),
                few(11, 40961),
            ),
            (with(Some(11), None), device(40961), None, few(11, 40961)),
            (
                with(Some(u64::MAX), None),
                file(4096),
                None,
                few(u64::MAX, 4096),
            ),
            (with(None, Some(0)), file(40960), None, overlap(0)),
            (with(None, Some(40448)), file(40960), None, overlap(40448)),
            (
                with(Some(10), Some(4096)),
                device(1 << 20),
                None,
                overlap(4096),
            ),
            (
                request(),
                device(40960),
                None,
                E::NoRoom {
                    end: 49152,
                    bytes: 40960,
                },
            ),
            (
                request(),
                file(40960),
                Some(device(4096)),
                E::NoRoom {
                    end: 8192,
                    bytes: 4096,
                },
            ),
            (
                with(None, Some(40961)),
                file(40960),
                None,
                E::Area(HashAreaError::Misaligned {
                    offset: 40961,
                    unit: 512,
                }),
            ),
            (
                TreeRequest {
                    superblock: false,
                    ..with(None, Some(41472))
                },
                file(40960),
                None,
                E::Area(HashAreaError::Misaligned {
                    offset: 41472,
                    unit: 4096,
                }),
            ),
            (
                with(None, Some(1 << 63)),
                file(40960),
                None,
                E::Area(HashAreaError::TooLarge(1 << 63)),
            ),
        ] {
            assert_eq!(plan(request, data, hashes), Err(expected), "{data:?}");
        }
    }

    #[test]
    fn the_geometry_salt_unless_there_is_another() {
        let salt = |request: &TreeRequest| {
            let plan = TreePlan::new(request, file(40960), None).unwrap();
            plan.params.salt().clone()
        };
        let size = BlockSize::DEFAULT;
        let geometry = geometry_salt(HashAlgorithm::Sha256, size, size, 10);
        assert_eq!(salt(&request()), geometry);
        let none = Some(Salt::default());
        assert_eq!(
            salt(&TreeRequest {
                salt: none,
                ..request()
            }),
            Salt::default()
        );
    }
}
