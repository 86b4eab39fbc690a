//! Where the FEC area of a disk goes, and what it covers. No I/O.

use std::path::PathBuf;

use dm_verity::fec::{FecArea, FecLayout, FecRoots};
use model_disk::BackingKind;

use super::{Capacity, TreePlan, TreePlanError};

/// What the arguments say of an FEC area.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FecRequest {
    /// How many parity bytes a codeword has.
    pub roots: FecRoots,
    /// Where it goes; after the tree, where it is none or the tree's own file or device.
    pub device: Option<PathBuf>,
    /// Where it starts there, in bytes.
    pub offset: Option<u64>,
}

/// An FEC area, and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FecPlan {
    /// What it covers.
    pub layout: FecLayout,
    /// Where it goes.
    pub area: FecArea,
    /// It is in the file or on the device of the tree.
    pub with_tree: bool,
}

impl TreePlan {
    /// The same with an FEC area: on `device`, or beside the tree. `tree_device` is where the tree
    /// goes, as it is now.
    ///
    /// What is covered after the tree is what `veritysetup` covers, and expects of a disk: all up to
    /// the FEC area, or up to the end of the tree's device where that is another one.
    pub fn with_fec(
        self,
        roots: FecRoots,
        offset: Option<u64>,
        tree_device: Capacity,
        device: Option<Capacity>,
    ) -> Result<Self, TreePlanError> {
        let tree_end = self.area.end(&self.layout);
        let (offset, covered_end) = match device {
            None => {
                let offset = offset.unwrap_or(tree_end);
                if offset < tree_end {
                    let end = tree_end;
                    return Err(TreePlanError::FecNotAfterTree { offset, end });
                }
                (offset, offset)
            }
            Some(_) => (offset.unwrap_or(0), tree_device.bytes.max(tree_end)),
        };
        let hash_bytes = covered_end.saturating_sub(self.area.block_offset(0));
        let hash_blocks = hash_bytes / self.params.hash_block_size().bytes();
        let layout = FecLayout::with_hash_blocks(&self.params, roots, hash_blocks)?;
        let area = FecArea::new(&layout, offset)?;
        match device.unwrap_or(tree_device) {
            Capacity {
                kind: BackingKind::BlockDevice(_),
                bytes,
            } if area.end() > bytes => {
                let end = area.end();
                Err(TreePlanError::NoRoomForFec { end, bytes })
            }
            _ => Ok(Self {
                fec: Some(FecPlan {
                    layout,
                    area,
                    with_tree: device.is_none(),
                }),
                ..self
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use dm_verity::{BlockSize, DeviceNumber, fec::FecAreaError};

    use super::*;
    use crate::commands::hash::TreeRequest;

    const TREE_END: u64 = 49152;

    fn file(bytes: u64) -> Capacity {
        let kind = BackingKind::File;
        Capacity { kind, bytes }
    }

    fn device(bytes: u64) -> Capacity {
        let kind = BackingKind::BlockDevice(DeviceNumber { major: 7, minor: 0 });
        Capacity { kind, bytes }
    }

    /// Ten data blocks, a superblock and a hash block after them.
    fn tree() -> TreePlan {
        let request = TreeRequest {
            data_blocks: Some(10),
            hash_offset: Some(40960),
            ..TreeRequest::default()
        };
        TreePlan::new(&request, file(40960), None).unwrap()
    }

    /// The offset of the FEC area and how many blocks it covers.
    fn plan(
        offset: Option<u64>,
        tree_device: Capacity,
        fec_device: Option<Capacity>,
    ) -> Result<(u64, u64), TreePlanError> {
        let plan = tree().with_fec(FecRoots::default(), offset, tree_device, fec_device)?;
        let fec = plan.fec.unwrap();
        assert_eq!(fec.with_tree, fec_device.is_none());
        let ends = fec.with_tree.then_some(fec.area.end());
        assert_eq!(plan.end(), ends.unwrap_or(TREE_END));
        Ok((fec.area.offset(), fec.layout.covered_blocks()))
    }

    #[test]
    fn places_and_what_is_covered() {
        for (offset, tree_device, fec_device, expected) in [
            // After the tree, and with a gap, which is covered.
            (None, file(40960), None, (TREE_END, 11)),
            (Some(TREE_END), file(40960), None, (TREE_END, 11)),
            (Some(81920), file(40960), None, (81920, 19)),
            (None, device(1 << 20), None, (TREE_END, 11)),
            // Elsewhere: all of the tree's device is covered.
            (None, file(40960), Some(file(0)), (0, 11)),
            (Some(4096), file(40960), Some(device(1 << 20)), (4096, 11)),
            (None, file(TREE_END + 5000), Some(file(0)), (0, 12)),
            (None, device(1 << 20), Some(file(0)), (0, 10 + 256 - 11)),
        ] {
            assert_eq!(plan(offset, tree_device, fec_device), Ok(expected));
        }
    }

    #[test]
    fn refused() {
        use TreePlanError as E;
        let before = |offset| E::FecNotAfterTree {
            offset,
            end: TREE_END,
        };
        let unit = BlockSize::DEFAULT;
        let misaligned = |offset| E::FecArea(FecAreaError::Misaligned { offset, unit });
        let no_room = |end, bytes| E::NoRoomForFec { end, bytes };
        let (small, none) = (device(TREE_END + 4096), file(40960));
        for (offset, tree_device, fec_device, expected) in [
            (Some(0), none, None, before(0)),
            (Some(45056), none, None, before(45056)),
            (Some(TREE_END + 512), none, None, misaligned(TREE_END + 512)),
            (Some(512), none, Some(none), misaligned(512)),
            (None, small, None, no_room(TREE_END + 8192, TREE_END + 4096)),
            (None, none, Some(device(4096)), no_room(8192, 4096)),
        ] {
            assert_eq!(plan(offset, tree_device, fec_device), Err(expected));
        }
    }
}
