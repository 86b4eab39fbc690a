//! Finds a tree that data carries already.

use std::iter;

use dm_verity::fec::FecRoots;
use model_disk::{
    BackingFile, BackingKind, FileError, ReadAt,
    filesystem::FsType,
    hash_offset_candidates,
    superblocks::{header, superblock_after, superblock_at},
};

use super::{Capacity, TreePlan, TreeRequest, tree_output::length_before};

/// The hash offset of a tree in `data`: after its filesystem, or where its length says that
/// `request` has been carried out before. A second run would take that tree for data, and give
/// another root hash.
pub(super) fn find(request: &TreeRequest, data: &BackingFile) -> Result<Option<u64>, FileError> {
    let after_filesystem = superblock_after(data, FsType::Erofs, &header(data)?)?;
    let mut found = Vec::from_iter(after_filesystem);
    for offset in appended_before(request, data.bytes()) {
        found.push(superblock_at(data, offset)?);
    }
    Ok(found
        .into_iter()
        .find(|found| found.superblock.is_ok())
        .map(|found| found.offset))
}

/// How long a file was before a run appended a part of a tree to it, and was killed: all that is
/// after that is not data.
pub(super) fn interrupted_append(
    request: &TreeRequest,
    data: &BackingFile,
) -> Result<Option<u64>, FileError> {
    let after_filesystem = FsType::Erofs
        .claimed_bytes(&header(data)?)
        .ok()
        .map(hash_offset_candidates)
        .unwrap_or_default();
    // It was killed with all its space, or before it had more than the superblock's place.
    let at_the_end = data.bytes().checked_sub(request.hash_block_size.bytes());
    for offset in after_filesystem
        .into_iter()
        .chain(appended_before(request, data.bytes()))
        .chain(at_the_end)
    {
        let length = length_before(data, offset)?;
        // Nothing but padding is between the two.
        if length.is_some_and(|length| hash_offset_candidates(length).contains(&offset)) {
            return Ok(length);
        }
    }
    Ok(None)
}

/// Where a superblock can stand in a file of so many bytes, if an appended tree as `request` would
/// have made it is the end of the file, or parity after it: a tree over all that is before it, and one
/// over as many blocks as `request` names.
fn appended_before(request: &TreeRequest, file_bytes: u64) -> impl Iterator<Item = u64> {
    let roots = (0..=u8::MAX).filter_map(|roots| FecRoots::try_from(u32::from(roots)).ok());
    iter::once(None)
        .chain(roots.map(Some))
        .flat_map(move |fec| {
            let named = request.data_blocks.and_then(|data_blocks| {
                let bytes = data_blocks.checked_mul(request.data_block_size.bytes())?;
                let area_bytes = appended(request, fec, bytes).map(|(offset, end)| end - offset)?;
                file_bytes
                    .checked_sub(area_bytes)
                    .filter(|offset| *offset >= bytes)
            });
            covering_all(request, fec, file_bytes)
                .into_iter()
                .chain(named)
        })
}

/// Where the hash area of a file of `bytes` bytes starts, and where it ends, or parity after it, if its
/// tree covers all of it.
fn appended(request: &TreeRequest, fec: Option<FecRoots>, bytes: u64) -> Option<(u64, u64)> {
    let request = TreeRequest {
        data_blocks: None,
        hash_offset: None,
        superblock: true,
        ..request.clone()
    };
    let kind = BackingKind::File;
    let file = Capacity { kind, bytes };
    let mut plan = TreePlan::new(&request, file, None).ok()?;
    if let Some(roots) = fec {
        plan = plan.with_fec(roots, None, file, None).ok()?;
    }
    Some((plan.area.offset(), plan.end()))
}

/// Where a superblock stands in a file of so many bytes that is data, its tree and parity, and no more.
fn covering_all(request: &TreeRequest, fec: Option<FecRoots>, file_bytes: u64) -> Option<u64> {
    let plan = |data_blocks| {
        let data_blocks: u64 = data_blocks;
        appended(request, fec, data_blocks * request.data_block_size.bytes())
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
    use std::{fs, mem, os::unix::fs::FileExt};

    use super::*;
    use crate::{commands::hash::TreeOutput, output::open_to_write};

    #[test]
    fn a_tree_is_found_by_the_length_of_its_file() {
        let request = TreeRequest::default();
        let kind = BackingKind::File;
        for blocks in [1, 2, 127, 128, 129, 16384, 16385, 1 << 30] {
            let bytes = blocks * 4096;
            let plan = TreePlan::new(&request, Capacity { kind, bytes }, None).unwrap();
            let end = plan.area.end(&plan.layout);
            assert_eq!(covering_all(&request, None, end), Some(bytes), "{blocks}");
            assert_eq!(covering_all(&request, None, end + 1), None, "{blocks}");
        }
        assert_eq!(covering_all(&request, None, 0), None);
        assert_eq!(covering_all(&request, None, 4096), None);
    }

    #[test]
    fn a_tree_over_a_part_is_found_by_its_own_length() {
        for (blocks, bytes) in [(1, 40960), (200, 40_960_000), (10, 40960), (9, 41000)] {
            let request = TreeRequest {
                data_blocks: Some(blocks),
                ..TreeRequest::default()
            };
            let kind = BackingKind::File;
            let plan = TreePlan::new(&request, Capacity { kind, bytes }, None).unwrap();
            let end = plan.area.end(&plan.layout);
            let found = appended_before(&request, end).any(|offset| offset == plan.area.offset());
            assert!(found, "{blocks} of {bytes}");
        }
        let request = TreeRequest {
            data_blocks: Some(u64::MAX),
            ..TreeRequest::default()
        };
        assert_eq!(appended_before(&request, 4096).count(), 0);
    }

    /// Killed with all its space, with the superblock's place alone, and with no tree begun at all.
    #[test]
    fn a_tree_that_was_begun_is_found() {
        for (bytes, data_blocks, superblock) in [
            (40960, None, true),
            (41000, None, true),
            (40960, Some(7), true),
            (40960, None, false),
        ] {
            let file = tempfile::NamedTempFile::new().unwrap();
            let data = vec![1; bytes];
            fs::write(&file, &data).unwrap();
            let request = TreeRequest {
                data_blocks,
                superblock,
                ..TreeRequest::default()
            };
            let length = {
                let file = open_to_write(file.path()).unwrap();
                assert_eq!(interrupted_append(&request, &file).unwrap(), None);
                let plan = TreePlan::new(&request, Capacity::of(&file), None).unwrap();
                mem::forget(TreeOutput::in_place(&file, &plan).unwrap());
                plan.area.block_offset(0)
            };
            let expected = superblock.then_some(bytes as u64);
            for length in [None, Some(length)] {
                if let Some(length) = length {
                    file.as_file().set_len(length).unwrap();
                }
                let file = BackingFile::open(file.path()).unwrap();
                assert_eq!(interrupted_append(&request, &file).unwrap(), expected);
            }
        }
    }

    /// What is after the data was not appended by this program: not where a run would have.
    #[test]
    fn a_mark_elsewhere_means_nothing() {
        let request = TreeRequest::default();
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, vec![1; 40960]).unwrap();
        {
            let file = open_to_write(file.path()).unwrap();
            let plan = TreePlan::new(&request, Capacity::of(&file), None).unwrap();
            mem::forget(TreeOutput::in_place(&file, &plan).unwrap());
        }
        let mut slot = [0; 512];
        file.as_file().read_exact_at(&mut slot, 40960).unwrap();
        for (place, length) in [(40960, 40960_u64), (40960, 1), (45056, 40960)] {
            slot[24..32].copy_from_slice(&length.to_le_bytes());
            fs::write(&file, vec![1; place]).unwrap();
            file.as_file().set_len(place as u64 + 4096).unwrap();
            file.as_file().write_all_at(&slot, place as u64).unwrap();
            let file = BackingFile::open(file.path()).unwrap();
            let expected = (place == length as usize).then_some(length);
            assert_eq!(interrupted_append(&request, &file).unwrap(), expected);
        }
    }
}
