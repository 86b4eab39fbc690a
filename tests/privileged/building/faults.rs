//! Disks that are full, and devices that fail.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
};

use crate::{
    disk::{Loop, TestDisk, root_hash},
    fault_device::FaultDevice,
    run::{check, run},
};

use super::{block_of_the_largest_file, build, filesystem, mounted, names};

/// It is full in the middle: a filesystem without extents cannot set room aside.
pub(super) fn a_disk_that_gets_full() {
    const FULL: &str = "No space left on device";
    let disk = TestDisk::filesystem();
    let device = Loop::new(&filesystem(&disk, "ext3", 16));
    mounted(&disk, device.path(), "rw", |at| {
        let (data, output) = (at.join("data"), at.join("output"));
        fs::copy(&disk.image, &data).unwrap();
        // So much that a tree does not fit either.
        let filler = File::create(at.join("filler")).unwrap();
        let mut filled = 0;
        for size in [65536, 1024] {
            while filler.write_all_at(&vec![1; size], filled).is_ok() {
                filled += size as u64;
            }
        }
        filler.set_len(filled - 8192).unwrap();
        let full = names(at);
        let path = output.to_str().unwrap();
        build(&disk.path("model"), &output).is(1, &[path, FULL]);
        assert_eq!(names(at), full);

        let hash =
            |more: &[&Path]| run("disk-builder", [&[Path::new("hash"), &data], more].concat());
        hash(&[Path::new("--hash-device"), &output]).is(1, &[path, FULL]);
        assert_eq!(names(at), full);
        hash(&[]).is(1, &[data.to_str().unwrap(), FULL]);
        assert!(fs::read(&data).unwrap() == fs::read(&disk.image).unwrap());
        // With room, all go well.
        filler.set_len(0).unwrap();
        hash(&[Path::new("--hash-device"), &output]).is(0, &[]);
        hash(&[]).is(0, &[]);
    });
}

pub(super) fn a_source_that_cannot_be_read() {
    const FAILED: &str = "Input/output error";
    let disk = TestDisk::new();
    let image = filesystem(&disk, "ext4", 24);
    {
        let device = Loop::new(&image);
        mounted(&disk, device.path(), "rw", |at| {
            for source in ["model", "image"] {
                let source = disk.path(source);
                check("cp", [Path::new("-r"), &source, at]);
            }
        });
    }
    let bad = block_of_the_largest_file(&disk, &image);
    // The block in the image is another one.
    let copy = {
        let bytes = fs::read(&image).unwrap();
        let block = &bytes[bad.start as usize..bad.end as usize];
        let places = bytes.chunks(4096).enumerate();
        let places: Vec<u64> = places
            .filter(|(_, chunk)| *chunk == block)
            .map(|(at, _)| at as u64 * 4096)
            .collect();
        assert_eq!(places.len(), 2, "one of the model, one of the image");
        places
    };
    let device = FaultDevice::over(&image);
    let out = disk.path("out");
    fs::create_dir(&out).unwrap();
    mounted(&disk, &device.path(), "ro", |at| {
        let (model, data) = (at.join("model"), at.join("image"));
        let (weights, data) = ("model.safetensors", data.to_str().unwrap());
        let mut failed = (0, 0);
        for place in copy {
            device.fail_in(place..place + 4096);
            let built = build(&model, &out.join("disk"));
            if built.code == 1 {
                failed.0 += 1;
                built.is(1, &[weights, FAILED]);
                assert_eq!(names(&out), [""; 0]);
                let model = model.to_str().unwrap();
                run("disk-builder", ["root-hash", model]).is(1, &[weights, FAILED]);
            } else {
                failed.1 += 1;
                // It is the image that cannot be read.
                let tree = out.join("tree");
                let tree = tree.to_str().unwrap();
                let hash = ["hash", data, "--hash-device", tree];
                run("disk-builder", hash).is(1, &[data, FAILED]);
                // No corruption is told where none is known.
                let verify = ["verify", data, "--root-hash", &disk.root_hash];
                run("disk-builder", verify).is(1, &[data, FAILED]);
                for name in names(&out) {
                    assert_ne!(name, "tree");
                    fs::remove_file(out.join(name)).unwrap();
                }
            }
            device.recover();
        }
        assert_eq!(failed, (1, 1));
        build(&model, &out.join("disk")).is(0, &[]);
    });
}

/// Of a disk that is written to a device that fails, nothing looks finished.
pub(super) fn a_device_that_cannot_be_written() {
    let disk = TestDisk::filesystem();
    let model = disk.path("model");
    let output = disk.path("good");
    let root = root_hash(&check(
        "disk-builder",
        [Path::new("build"), &model, Path::new("--output"), &output],
    ));
    let end = fs::metadata(&output).unwrap().len();
    let image = disk.path("device");
    File::create(&image).unwrap().set_len(8 << 20).unwrap();
    let device = FaultDevice::over(&image);
    let path = device.path();
    let verify = || {
        let words = ["verify", path.to_str().unwrap(), "--root-hash", &root];
        run("disk-builder", words)
    };
    // The first block, which is read first, data, and the last block of the tree: where no signature
    // is looked for.
    for place in [0, (1 << 20) + 8192, end - 4096] {
        device.fail_in(place..place + 4096);
        build(&model, &path).is(1, &["/dev/mapper/fault-device", "Input/output error"]);
        device.recover();
        verify().is(3, &[]);
    }
    build(&model, &path).is(0, &[]);
    verify().is(0, &[]);
}

/// The disk that the output's filesystem is on takes nothing any more. What the run left cannot
/// be removed then; it is not the disk.
pub(super) fn an_output_disk_that_fails() {
    let disk = TestDisk::filesystem();
    let device = FaultDevice::over(&filesystem(&disk, "ext4", 24));
    mounted(&disk, &device.path(), "rw", |at| {
        nix::unistd::sync();
        device.through("flakey", "0 60 1 error_writes");
        let output = at.join("disk");
        let outcome = build(&disk.path("model"), &output);
        outcome.is(1, &[at.to_str().unwrap(), "error"]);
        assert!(!output.exists());
    });
    device.recover();
    mounted(&disk, &device.path(), "rw", |at| {
        let left = names(at);
        assert!(
            left.iter().all(|name| name.contains(".disk-builder-")),
            "{left:?}"
        );
        build(&disk.path("model"), &at.join("disk")).is(0, &[]);
        assert_eq!(names(at), ["disk", "disk.json"]);
    });
}
