//! What holds for the plan of any list of files.

use std::ops::Range;

use model_disk::{
    FileList, ModelFile, RelativePath,
    erofs::{BLOCK_SIZE, ExtentSource, ImageExtent, ImagePlan, ImagePlanError},
};
use proptest::prelude::*;

use super::support::{assemble, content, fsck, list};

/// Lists of files in few directories with few names, so that they share them.
pub(crate) fn files() -> impl Strategy<Value = FileList> {
    let name = prop_oneof![
        5 => prop::sample::select(vec!["a", "b", "a.b", "-", "!", "..."]).prop_map(str::to_owned),
        1 => (1..256usize).prop_map(|size| "n".repeat(size)),
    ];
    let path = prop::collection::vec(name, 1..6).prop_map(|names| names.join("/"));
    let size = prop_oneof![0..3u64, 4090..4100u64, 0..20_000u64];
    prop::collection::vec((path, size), 1..60).prop_map(|files| {
        // What does not go together with the files before is left out.
        let mut list: Vec<ModelFile> = Vec::new();
        for (path, size) in files {
            let path = RelativePath::new(path).unwrap();
            let in_the_way = |file: &ModelFile| {
                file.path == path || file.path.contains(&path) || path.contains(&file.path)
            };
            if !list.iter().any(in_the_way) {
                list.push(ModelFile { path, size });
            }
        }
        FileList::new(list).unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn extents_cover_the_image_once(files in files()) {
        let plan = ImagePlan::new(&files).unwrap();
        let (mut end, mut metadata, mut file) = (0, 0, 0);
        for ImageExtent { offset, length, source } in plan.extents().iter().copied() {
            prop_assert_eq!(offset, end);
            prop_assert!(length > 0);
            end += length;
            match source {
                ExtentSource::Metadata(start) => {
                    prop_assert_eq!(start, metadata);
                    prop_assert_eq!(file, 0, "metadata comes first");
                    metadata += length as usize;
                }
                ExtentSource::File(index) => {
                    file += files[file..].iter().take_while(|file| file.size == 0).count();
                    prop_assert_eq!(index, file);
                    prop_assert_eq!(length, files[index].size);
                    prop_assert_eq!(offset % BLOCK_SIZE, 0);
                    file += 1;
                }
                ExtentSource::Zeros => {
                    prop_assert!(length < BLOCK_SIZE);
                    prop_assert_eq!(end % BLOCK_SIZE, 0);
                }
            }
        }
        prop_assert_eq!(end, plan.bytes());
        prop_assert_eq!(end % BLOCK_SIZE, 0);
        prop_assert_eq!(metadata, plan.metadata().len());
        prop_assert!(files[file..].iter().all(|file| file.size == 0));
    }

    #[test]
    fn the_order_of_the_files_does_not_matter(
        (files, shuffled) in files().prop_flat_map(|files| {
            let shuffled = Just(files.to_vec()).prop_shuffle();
            (Just(files), shuffled)
        })
    ) {
        let shuffled = FileList::new(shuffled).unwrap();
        prop_assert_eq!(ImagePlan::new(&files).unwrap(), ImagePlan::new(&shuffled).unwrap());
    }

    #[test]
    fn extents_in_a_range(files in files(), a in 0.0..1.1f64, b in 0.0..1.1f64) {
        let plan = ImagePlan::new(&files).unwrap();
        let range: Range<u64> =
            (a * plan.bytes() as f64) as u64..(b * plan.bytes() as f64) as u64;
        let expected: Vec<ImageExtent> = plan
            .extents()
            .iter()
            .copied()
            .filter(|extent| extent.offset.max(range.start) < extent.end().min(range.end))
            .collect();
        if range.start < range.end {
            prop_assert_eq!(plan.extents_in(range), expected);
        } else {
            prop_assert!(expected.is_empty());
        }
    }

    #[test]
    fn files_are_found_with_their_bytes(files in files()) {
        let image = assemble(&ImagePlan::new(&files).unwrap());
        let mut found = Vec::new();
        model_disk::erofs::walk(super::support::reader(&image), |entry| {
            let [blocks, tail] = entry.node.flat_data().unwrap().clone();
            assert_eq!(tail.start, tail.end);
            found.push((entry.path.to_vec(), blocks));
        }).unwrap();
        for (index, file) in files.iter().enumerate() {
            let place = found.iter().position(|(path, _)| path == file.path.as_bytes());
            let (_, blocks) = found.swap_remove(place.expect("every file is there"));
            let bytes = &image[blocks.start as usize..blocks.end as usize];
            prop_assert!(bytes == content(index, file.size));
        }
        // The rest are the directories above them, each once.
        let mut directories: Vec<Vec<u8>> = files
            .iter()
            .flat_map(|file| {
                let path = file.path.as_bytes();
                let ends = (0..path.len()).filter(|end| path[*end] == b'/');
                ends.map(|end| path[..end].to_vec())
            })
            .chain([vec![]])
            .collect();
        directories.sort_unstable();
        directories.dedup();
        let mut rest: Vec<_> = found.into_iter().map(|(path, _)| path).collect();
        rest.sort_unstable();
        prop_assert_eq!(rest, directories);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn fsck_accepts_it(files in files()) {
        let image = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(image.path(), assemble(&ImagePlan::new(&files).unwrap())).unwrap();
        fsck(image.path());
    }
}

#[test]
fn memory_follows_the_number_of_files() {
    let names: Vec<String> = (0..100_000)
        .map(|i| format!("shard-{:03}/part-{i:07}.bin", i % 1000))
        .collect();
    let files = list(names.iter().map(|name| (name.as_bytes(), 100_000)));
    let plan = ImagePlan::new(&files).unwrap();
    assert_eq!(plan.inodes(), 101_001);
    // An inode of 32 bytes and an entry of 12 bytes with its name for each, the
    // dots of each directory, and the first block.
    assert!(plan.metadata().len() < 101_001 * (32 + 12 + 16) + 1_001 * 27 + 2 * 4096);
}

#[test]
fn the_largest_image_and_one_that_is_too_large() {
    // A block for the superblock and inodes, and one for the directory.
    let most = (u64::from(u32::MAX) - 2) * BLOCK_SIZE;
    let plan = ImagePlan::new(&list([(&b"f"[..], most)])).unwrap();
    assert_eq!(plan.bytes(), u64::from(u32::MAX) * BLOCK_SIZE);
    for size in [most + 1, u64::MAX] {
        let plan = ImagePlan::new(&list([(&b"f"[..], size)]));
        assert_eq!(plan, Err(ImagePlanError::TooLarge));
    }
    let two = list([(&b"a"[..], most), (b"b", most)]);
    assert_eq!(ImagePlan::new(&two), Err(ImagePlanError::TooLarge));
}
