//! What is read of a disk, and that nothing can be written.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
    path::Path,
    thread,
};

use crate::{
    disk::{TestDisk, files},
    kernels::disk_of,
    machine::{drop_caches, mount_line},
    real_model::variable,
    run::{mounter, text},
};

use super::{all_have_ended, mounted, status, unmount};

pub(super) fn serves_every_byte() {
    let disk = TestDisk::new();
    mounted(&disk);
    assert_eq!(files(&disk.mount_point()), disk.files);
    let line = mount_line(&disk.mount_point()).unwrap();
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!((words[0], words[2]), ("disk-mounter", "fuse.disk-mounter"));
    for option in ["ro", "nosuid", "nodev", "noexec", "default_permissions"] {
        assert!(words[3].split(',').any(|has| has == option), "{line}");
    }
    status(&disk).is(0, &["verified", &disk.root_hash]);
    let json = mounter(&disk.line("status --json"));
    json.is(0, &[r#""verified_by":"fuse""#, r#""status":"verified""#]);
    let other = "0".repeat(64);
    mounter(&disk.line(&format!("status --root-hash {other}"))).is(3, &["and not that with"]);
    // Nobody but the kernel can vouch for what a path shows.
    let expect = format!("expect --root-hash {}", disk.root_hash);
    mounter(&disk.line(&expect)).is(3, &["FUSE"]);
    unmount(&disk);
    status(&disk).is(4, &["not mounted"]);
    all_have_ended();
}

pub(super) fn nothing_can_be_written() {
    let disk = TestDisk::new();
    mounted(&disk);
    let file = disk.mount_point().join("config.json");
    let new = disk.mount_point().join("new");
    let read_only = |result: io::Result<()>| {
        assert_eq!(result.unwrap_err().raw_os_error(), Some(nix::libc::EROFS));
    };
    read_only(File::options().write(true).open(&file).map(drop));
    read_only(fs::write(&new, ""));
    read_only(fs::create_dir(&new));
    read_only(fs::remove_file(&file));
    read_only(fs::rename(&file, &new));
    assert_eq!(files(&disk.mount_point()), disk.files);
    unmount(&disk);
    all_have_ended();
}

pub(super) fn block_sizes() {
    for options in [
        &["--hash-block-size", "512"][..],
        &["--data-block-size", "512"],
        &["--data-block-size", "1024", "--hash-block-size", "65536"],
    ] {
        let disk = TestDisk::with(options);
        mounted(&disk);
        assert_eq!(files(&disk.mount_point()), disk.files, "{options:?}");
        unmount(&disk);
        all_have_ended();
    }
}

/// Chunks, tails beside inodes, holes. What is compressed is there, and is refused when it is read; what
/// only a kernel understands is not mounted.
pub(super) fn what_mkfs_erofs_makes() {
    let images = variable("EROFS_IMAGES");
    let images = Path::new(&images);
    let model = files(&images.join("model"));
    let (mut whole, mut others) = (0, 0);
    for entry in fs::read_dir(images).unwrap() {
        let image = entry.unwrap().path();
        if image
            .extension()
            .is_none_or(|extension| extension != "erofs")
        {
            continue;
        }
        let disk = disk_of(&image);
        let outcome = mounter(&disk.mount_line("--fuse"));
        if outcome.code != 0 {
            outcome.is(6, &["only a kernel can read"]);
            others += 1;
            continue;
        }
        assert_eq!(names(&disk.mount_point()), model.len(), "{image:?}");
        let read = |path: &Path| fs::read(disk.mount_point().join(path)).err();
        match model.keys().find_map(|path| read(path)) {
            None => {
                assert_eq!(files(&disk.mount_point()), model, "{image:?}");
                whole += 1;
            }
            Some(error) => {
                let errno = error.raw_os_error();
                // Files that are all holes are not known in this form.
                let is_unknown = text(&image).contains("48-bits") && errno == Some(nix::libc::EIO);
                assert!(
                    is_unknown || errno == Some(nix::libc::EOPNOTSUPP),
                    "{image:?}: {error}"
                );
                others += 1;
            }
        }
        status(&disk).is(0, &["verified"]);
        unmount(&disk);
        all_have_ended();
    }
    assert!(whole >= 5 && others >= 5, "{whole} {others}");
}

/// How many names of files there are, whether they can be looked at or not.
fn names(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| {
            if entry.file_type().unwrap().is_dir() {
                names(&entry.path())
            } else {
                1
            }
        })
        .sum()
}

pub(super) fn a_large_directory() {
    const COUNT: usize = 10_000;
    let disk = TestDisk::of(|model| {
        let folder = model.join("many");
        fs::create_dir(&folder).unwrap();
        for number in 0..COUNT {
            fs::write(folder.join(format!("file-{number}")), number.to_string()).unwrap();
        }
    });
    mounted(&disk);
    let folder = disk.mount_point().join("many");
    for _ in 0..2 {
        let names: std::collections::BTreeSet<_> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names.len(), COUNT);
    }
    assert_eq!(fs::read(folder.join("file-9999")).unwrap(), b"9999");
    // Told to be missing once, and again from what the kernel remembers.
    for _ in 0..2 {
        let missing = fs::metadata(folder.join("file-10000")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
    assert_eq!(files(&disk.mount_point()), disk.files);
    unmount(&disk);
    all_have_ended();
}

pub(super) fn many_readers() {
    let disk = TestDisk::new();
    mounter(&disk.mount_line("--fuse --threads 4")).is(0, &[]);
    let expected = fs::read(disk.path("model/model.safetensors")).unwrap();
    for _ in 0..3 {
        drop_caches();
        thread::scope(|scope| {
            for reader in 0..8_usize {
                let (disk, expected) = (&disk, &expected);
                scope.spawn(move || {
                    let file = File::open(disk.mount_point().join("model.safetensors")).unwrap();
                    // From both ends, in steps of no block's size.
                    for step in 0..expected.len() / 70_001 {
                        let at = step * 70_001;
                        let at = if reader % 2 == 0 {
                            at
                        } else {
                            expected.len() - 1 - at
                        };
                        let mut bytes = vec![0; (expected.len() - at).min(9_001)];
                        file.read_exact_at(&mut bytes, at as u64).unwrap();
                        assert!(bytes == expected[at..at + bytes.len()], "{at}");
                    }
                });
            }
        });
    }
    status(&disk).is(0, &[]);
    unmount(&disk);
    all_have_ended();
}
