//! What `fsck.erofs` and `dump.erofs` say of images of every shape.

use std::{
    ffi::OsStr,
    fs::{self, File},
    os::unix::{
        ffi::OsStrExt,
        fs::{FileExt, MetadataExt},
    },
    path::Path,
};

use model_disk::erofs::{ExtentSource, ImagePlan, paths_in};

use super::support::{build, extract_and_compare, fsck, list, run};

fn write(model: &Path, path: &[u8], bytes: &[u8]) {
    let path = model.join(OsStr::from_bytes(path));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Builds the image of these files and has it checked and taken apart again.
fn check<'a>(files: impl IntoIterator<Item = (&'a [u8], usize)>) {
    let temporary = tempfile::tempdir().unwrap();
    let model = temporary.path().join("model");
    let image = temporary.path().join("image");
    for (index, (path, size)) in files.into_iter().enumerate() {
        write(&model, path, &super::support::content(index, size as u64));
    }
    let (scanned, _) = build(&model, &image);
    fsck(&image);
    extract_and_compare(&image, &model, &scanned);
}

#[test]
fn sizes_around_the_block() {
    for size in [0, 1, 4095, 4096, 4097] {
        check([(&b"model.safetensors"[..], size)]);
    }
    check([
        (&b"0"[..], 0),
        (b"1", 1),
        (b"2", 4095),
        (b"3", 4096),
        (b"4", 4097),
        (b"5", 0),
        (b"d/6", 0),
        (b"d/7", 1_000_000),
    ]);
}

#[test]
fn ten_thousand_files_in_a_directory() {
    let names: Vec<String> = (0..10_000).map(|i| format!("weights/{i}.bin")).collect();
    check(names.iter().map(|name| (name.as_bytes(), name.len() % 3)));
}

#[test]
fn names_of_255_bytes_and_of_any_bytes() {
    let long = [b'n'; 255];
    let directory = [&[b'd'; 255][..], b"/", &long].concat();
    let many: Vec<Vec<u8>> = (b'a'..=b'z')
        .map(|last| [&b"many/"[..], &[b'x'; 254], &[last]].concat())
        .collect();
    let few = [
        &long[..],
        &directory,
        b"not utf-8 \xff\xfe",
        b"\x80\x81/\xc3\x28",
        b"\x01\n\t\x7f",
        "gewicht-ä".as_bytes(),
        // Before the dots in a directory, and around them.
        b"!first",
        b" ",
        b"...",
        b"..a",
        b".-",
        b".a",
        b"-/-",
    ];
    check(
        few.into_iter()
            .chain(many.iter().map(Vec::as_slice))
            .map(|path| (path, 10)),
    );
}

#[test]
fn thirty_levels_deep() {
    let deep: Vec<String> = (1..=30)
        .map(|depth| {
            (0..depth)
                .map(|level| format!("level-{level}/"))
                .collect::<String>()
                + "f"
        })
        .collect();
    check(deep.iter().map(|path| (path.as_bytes(), path.len())));
}

#[test]
fn a_sparse_file_of_5_gib() {
    const SIZE: u64 = 5 << 30;
    let temporary = tempfile::tempdir().unwrap();
    let model = temporary.path().join("model");
    let image = temporary.path().join("image");
    write(&model, b"config.json", b"{}");
    let file = File::create_new(model.join("model.gguf")).unwrap();
    file.set_len(SIZE).unwrap();
    let marks = [(0, b"first"), (4 << 30, b"4 GiB"), (SIZE - 5, b"last.")];
    for (offset, mark) in marks {
        file.write_all_at(mark, offset).unwrap();
    }
    let (scanned, plan) = build(&model, &image);
    // Without its bytes: fsck.erofs 1.5 takes a file out in one piece, and counts
    // that in 32 bits.
    fsck(&image);
    let dump = run(
        "dump.erofs",
        &["--path=/model.gguf", image.to_str().unwrap()],
    );
    assert!(dump.contains("Size: 5368709120 "), "{dump}");
    assert!(dump.contains("Inode size: 64 "), "{dump}");

    let start = plan.bytes() - SIZE;
    let image = File::open(image).unwrap();
    for (offset, mark) in marks {
        let mut found = [0; 5];
        image.read_exact_at(&mut found, start + offset).unwrap();
        assert_eq!(found, *mark);
    }
    let read = |buffer: &mut [u8], offset| image.read_exact_at(buffer, offset);
    let last = plan.bytes() - 1..plan.bytes();
    assert_eq!(paths_in(read, last).unwrap().paths, [b"model.gguf"]);
    assert_eq!(scanned.files().len(), 2);
}

/// So that the tests above mean something.
#[test]
fn fsck_can_fail() {
    let temporary = tempfile::tempdir().unwrap();
    let model = temporary.path().join("model");
    let image = temporary.path().join("image");
    write(&model, b"a/b", b"c");
    build(&model, &image);
    let bytes = fs::read(&image).unwrap();
    // The checksum, and the entry `.` of the root directory.
    for place in [1024 + 4, 4096] {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1;
        fs::write(&image, damaged).unwrap();
        let result = std::panic::catch_unwind(|| fsck(&image));
        assert!(result.is_err(), "{place}");
    }
}

/// Two more links than a compact inode can count.
#[test]
fn a_directory_of_65536_directories() {
    let names: Vec<String> = (0..65536).map(|i| format!("{i}/f")).collect();
    let files = list(names.iter().map(|name| (name.as_bytes(), 0)));
    let plan = ImagePlan::new(&files).unwrap();
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("image");
    let image = File::create_new(&path).unwrap();
    image.set_len(plan.bytes()).unwrap();
    for extent in plan.extents() {
        if let ExtentSource::Metadata(start) = extent.source {
            let bytes = &plan.metadata()[start..start + extent.length as usize];
            image.write_all_at(bytes, extent.offset).unwrap();
        }
    }
    fsck(&path);
    let dump = run("dump.erofs", &["--path=/", path.to_str().unwrap()]);
    assert!(dump.contains("Links: 65538 "), "{dump}");
    assert!(dump.contains("Inode size: 64 "), "{dump}");
}

#[test]
fn the_superblock_and_inodes_as_others_read_them() {
    let temporary = tempfile::tempdir().unwrap();
    let model = temporary.path().join("model");
    let image = temporary.path().join("image");
    write(&model, b"config.json", b"{}");
    write(&model, b"onnx/model.onnx", &[7; 5000]);
    let (_, plan) = build(&model, &image);
    assert_eq!(fs::metadata(&image).unwrap().size(), 6 * 4096);

    let image = image.to_str().unwrap();
    let dump = run("dump.erofs", &["-s", image]);
    for line in [
        "Filesystem magic number:                      0xE0F5E1E2",
        "Filesystem blocks:                            6",
        "Filesystem inode metadata start block:        0",
        "Filesystem shared xattr metadata start block: 0",
        "Filesystem root nid:                          36",
        "Filesystem inode count:                       4",
        "Filesystem created:                           Thu Jan  1 00:00:00 1970",
        "Filesystem features:                          sb_csum \n",
        &format!(
            "Filesystem UUID:                              {}",
            plan.uuid()
        ),
    ] {
        assert!(dump.contains(line), "{line}\n{dump}");
    }
    for (path, access, links) in [
        ("/", "0755/rwxr-xr-x", "Links: 3 "),
        ("/onnx", "0755/rwxr-xr-x", "Links: 2 "),
        ("/config.json", "0644/rw-r--r--", "Links: 1 "),
        ("/onnx/model.onnx", "0644/rw-r--r--", "Links: 1 "),
    ] {
        let dump = run("dump.erofs", &[&format!("--path={path}"), image]);
        assert!(
            dump.contains(access) && dump.contains(links),
            "{path}\n{dump}"
        );
        assert!(dump.contains("Uid: 0   Gid: 0 "), "{path}\n{dump}");
        assert!(dump.contains("Layout: 0 "), "{path}\n{dump}");
        assert!(
            dump.contains("1970-01-01 00:00:00.000000000"),
            "{path}\n{dump}"
        );
    }
}
