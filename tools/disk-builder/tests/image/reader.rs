//! The walk over images: those of this project, those of `mkfs.erofs`, and those
//! that were damaged on purpose.

use std::fs;

use model_disk::erofs::{BLOCK_SIZE, ErofsError, ExtentSource, ImagePlan, paths_in, walk};
use proptest::prelude::*;

use super::{
    properties::files,
    support::{assemble, content, list, reader, run},
};

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn each_block_leads_to_its_file(files in files()) {
        let plan = ImagePlan::new(&files).unwrap();
        let image = assemble(&plan);
        for extent in plan.extents() {
            if let ExtentSource::File(index) = extent.source {
                for start in [extent.offset, extent.end() - 1] {
                    let block = start / BLOCK_SIZE * BLOCK_SIZE;
                    let found = paths_in(reader(&image), block..block + BLOCK_SIZE).unwrap();
                    prop_assert_eq!(&found.paths, &[files[index].path.as_bytes()]);
                    prop_assert!(found.all_known);
                }
            }
        }
        let inodes = paths_in(reader(&image), 0..BLOCK_SIZE).unwrap();
        prop_assert!(inodes.paths.is_empty() && inodes.all_known);
        let after = paths_in(reader(&image), plan.bytes()..u64::MAX).unwrap();
        prop_assert!(after.paths.is_empty() && after.all_known);
    }

    #[test]
    fn damage_is_survived(
        files in files(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let plan = ImagePlan::new(&files).unwrap();
        let mut image = assemble(&plan);
        // All that a walk looks at, from the superblock on.
        let metadata = plan.metadata().len();
        for (place, byte) in damage {
            image[1024 + place.index(metadata - 1024)] = byte;
        }
        if let Some(cut) = cut {
            image.truncate(cut.index(image.len()));
        }
        let mut visited = 0;
        let result = walk(reader(&image), |_| visited += 1);
        prop_assert!(visited > 0 || result.is_err());
    }
}

fn damaged(offset: usize, bytes: &[u8]) -> Result<(), ErofsError> {
    // Inodes: root at 1152, a at 1184, a/f at 1216. Root's entries in block 1,
    // those of a in block 2, f's data in block 3.
    let plan = ImagePlan::new(&list([(&b"a/f"[..], 5000)])).unwrap();
    let mut image = assemble(&plan);
    image[offset..offset + bytes.len()].copy_from_slice(bytes);
    walk(reader(&image), |_| {})
}

#[test]
fn damage_is_named() {
    use ErofsError as E;
    assert!(damaged(0, &[1]).is_ok());
    assert!(matches!(damaged(1024, &[0]), Err(E::ErofsSuperblock(_))));
    // The root's number, and its mode.
    assert!(matches!(
        damaged(1024 + 14, &[255, 255]),
        Err(E::Outside(65535))
    ));
    assert!(matches!(
        damaged(1152 + 4, &[0o244, 0o201]),
        Err(E::Directory(36))
    ));
    // The layout of a, and the start of the data of f.
    assert!(matches!(damaged(1184, &[4 << 1]), Err(E::Directory(37))));
    assert!(matches!(damaged(1216 + 16, &[4]), Err(E::Outside(38))));
    // A table of entries that goes on and on, and a number beyond the end.
    assert!(matches!(
        damaged(4096 + 8, &[0, 255]),
        Err(E::DirectoryBlock(36))
    ));
    let far = 1u64 << 60;
    assert!(matches!(damaged(4096 + 24, &far.to_le_bytes()), Err(E::Outside(nid)) if nid == far));
    // The entry a of the root is the root.
    assert!(matches!(damaged(4096 + 24, &[36]), Err(E::TooDeep)));
}

#[test]
fn a_failed_read_is_handed_on() {
    let plan = ImagePlan::new(&list([(&b"f"[..], 1)])).unwrap();
    let image = assemble(&plan);
    let read = |buffer: &mut [u8], offset| match offset {
        4096.. => Err(std::io::Error::from_raw_os_error(5)),
        _ => reader(&image)(buffer, offset),
    };
    let Err(ErofsError::Read(error)) = walk(read, |_| {}) else {
        panic!("the directory cannot be read");
    };
    assert_eq!(error.raw_os_error(), Some(5));
}

/// With inline tails of files, directories and links, and extended inodes.
#[test]
fn images_of_mkfs() {
    let temporary = tempfile::tempdir().unwrap();
    let model = temporary.path().join("model");
    let image = temporary.path().join("image");
    fs::create_dir_all(model.join("deep/er")).unwrap();
    std::os::unix::fs::symlink("deep/er", model.join("link")).unwrap();
    let sizes = [0, 1, 100, 4096, 5000, 20_000];
    let paths = sizes.map(|size| format!("deep/er/{size}"));
    for (index, path) in paths.iter().enumerate() {
        fs::write(model.join(path), content(index, sizes[index])).unwrap();
    }
    for i in 0..2000 {
        fs::write(model.join(format!("deep/many-{i}")), "").unwrap();
    }
    run(
        "mkfs.erofs",
        &[image.to_str().unwrap(), model.to_str().unwrap()],
    );

    let image = fs::read(image).unwrap();
    let mut found = Vec::new();
    walk(reader(&image), |entry| {
        let data = entry.node.flat_data().unwrap().clone();
        let bytes: Vec<u8> = data
            .iter()
            .flat_map(|range| &image[range.start as usize..range.end as usize])
            .copied()
            .collect();
        found.push((String::from_utf8(entry.path.to_vec()).unwrap(), data, bytes));
    })
    .unwrap();
    assert_eq!(found.len(), 1 + 2 + 1 + sizes.len() + 2000);
    for (index, path) in paths.iter().enumerate() {
        let (_, data, bytes) = found.iter().find(|(found, ..)| found == path).unwrap();
        assert_eq!(*bytes, content(index, sizes[index]), "{path}");
        for range in data.iter().filter(|range| !range.is_empty()) {
            let paths = paths_in(reader(&image), range.clone()).unwrap().paths;
            assert_eq!(paths, [path.as_bytes()]);
        }
    }
    // The link's text is in a tail too.
    assert!(
        found
            .iter()
            .any(|(path, _, bytes)| path == "link" && bytes == b"deep/er")
    );
    let inline = found
        .iter()
        .filter(|(_, [_, tail], _)| !tail.is_empty())
        .count();
    assert!(inline > 3);
}
