//! Finds a tree that data carries already.

use disk_mounter::{
    claims::{header, superblock_after, superblock_at},
    filesystem::FsType,
};

use super::{Plan, Room, TreeRequest};
use crate::medium::{Kind, Medium, MediumError};

/// The hash offset of a tree in `data`: after its filesystem, or where its length says that
/// `request` has been carried out before. A second run would take that tree for data, and give
/// another root hash.
pub(super) fn find(request: &TreeRequest, data: &Medium) -> Result<Option<u64>, MediumError> {
    let after_filesystem = superblock_after(data, FsType::Erofs, &header(data)?)?;
    let appended = appended_before(request, data.bytes())
        .map(|offset| superblock_at(data, offset))
        .transpose()?;
    Ok([after_filesystem, appended]
        .into_iter()
        .flatten()
        .find(|found| found.superblock.is_ok())
        .map(|found| found.offset))
}

/// Where a superblock stands in a file of so many bytes, if the file is data and an appended tree
/// as `request` would have made it, and nothing else.
fn appended_before(request: &TreeRequest, file_bytes: u64) -> Option<u64> {
    let plan = |data_blocks| {
        let bytes = data_blocks * request.data_block_size.bytes();
        let request = TreeRequest {
            data_blocks: None,
            hash_offset: None,
            superblock: true,
            ..request.clone()
        };
        let kind = Kind::File;
        let plan = Plan::new(&request, Room { kind, bytes }, None).ok()?;
        Some((plan.area.offset(), plan.area.end(&plan.layout)))
    };
    // The end grows with the number of blocks: halve the range that it must be in.
    let (mut low, mut high) = (1, file_bytes / request.data_block_size.bytes());
    while low < high {
        let middle = low + (high - low) / 2;
        if plan(middle)?.1 < file_bytes {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    plan(low)
        .filter(|(_, end)| *end == file_bytes)
        .map(|(offset, _)| offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_found_by_the_length_of_its_file() {
        let request = TreeRequest::default();
        let kind = Kind::File;
        for blocks in [1, 2, 127, 128, 129, 16384, 16385, 1 << 30] {
            let bytes = blocks * 4096;
            let plan = Plan::new(&request, Room { kind, bytes }, None).unwrap();
            let end = plan.area.end(&plan.layout);
            assert_eq!(appended_before(&request, end), Some(bytes), "{blocks}");
            assert_eq!(appended_before(&request, end + 1), None, "{blocks}");
        }
        assert_eq!(appended_before(&request, 0), None);
        assert_eq!(appended_before(&request, 4096), None);
    }
}
