//! Disks with filesystems that others made.

use std::{fs, os::unix::fs::symlink};

use model_disk::ExitCode;
use test_support::image::{DiskImage, SaltKind};

use crate::place::{DiskFolder, mkfs, model};

/// A folder with the files of [`model`], and a link.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, bytes) in model() {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    symlink("shards/1.safetensors", folder.path().join("link")).unwrap();
    folder
}

fn disk(options: &[&str]) -> DiskFolder {
    let image = mkfs(folder().path(), options);
    DiskFolder::new(DiskImage::new(&image, (4096, 4096), SaltKind::Geometry))
}

#[test]
fn all_uncompressed_layouts_are_read() {
    for options in [
        &[][..],
        &["-Enoinline_data"],
        &["--chunksize=4096"],
        &["--chunksize=1048576"],
    ] {
        let place = disk(options);
        for (path, bytes) in model() {
            assert!(
                place.run("cat", &[&path]).ok() == bytes,
                "{options:?} {path}"
            );
        }
        let listed = place.run("ls", &["-l"]).text();
        assert!(
            listed.contains("20 link -> shards/1.safetensors\n"),
            "{listed}"
        );
        let json = place.run("ls", &["--json"]).text();
        assert!(
            json.contains("\"target\":{\"path\":\"shards/1.safetensors\"}"),
            "{json}"
        );
        place
            .run("cat", &["link"])
            .refused(ExitCode::Usage, &["link is a symbolic link"]);
    }
}

#[test]
fn compressed_files_are_refused_by_name() {
    let place = disk(&["-zlz4"]);
    assert!(place.run("ls", &[]).text().contains("sparse\n"));
    let said = [
        "cannot read sparse on disk.img: it is compressed",
        "only a kernel can read that",
    ];
    place
        .run("cat", &["sparse"])
        .refused(ExitCode::Unsupported, &said);
    assert_eq!(place.run("cat", &["config.json"]).ok(), b"{}\n");
}

/// What is no EROFS is no filesystem here.
#[test]
fn another_filesystem_is_refused() {
    let mut data = vec![0; 64 * 4096];
    data[..4].copy_from_slice(b"hsqs");
    data[40..48].copy_from_slice(&(64u64 * 4096).to_le_bytes());
    let place = DiskFolder::new(DiskImage::new(&data, (4096, 4096), SaltKind::Geometry));
    place
        .run("ls", &[])
        .refused(ExitCode::Integrity, &["has no erofs filesystem"]);
    let offset = (64 * 4096).to_string();
    let read = place.run("ls", &["--hash-offset", &offset]);
    read.refused(
        ExitCode::Integrity,
        &["the filesystem on disk.img cannot be read", "no EROFS"],
    );
}
