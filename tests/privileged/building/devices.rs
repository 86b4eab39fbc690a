//! Block devices, and what is on them already.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use crate::{
    disk::{Loop, TestDisk, root_hash},
    run::{check, run, text},
};

use super::{build, empty_device, force};

/// The same storage has many names: a loop device of the file, a mapping over that, and the disk of
/// a partition.
pub(super) fn a_tree_over_its_own_data_is_refused() {
    let disk = TestDisk::filesystem();
    let before = fs::read(&disk.image).unwrap();
    let device = Loop::new(&disk.image);
    let sectors = before.len() / 512;
    let name = "storage-below";
    let table = format!("0 {sectors} linear {} 0", device.path().display());
    check("dmsetup", ["create", name, "--table", &table]);
    check("dmsetup", ["mknodes", name]);
    let mapping = Path::new("/dev/mapper").join(name);
    let refused = |data: &Path, hash_device: &Path| {
        let options = ["hash", text(data), "--hash-device", text(hash_device)];
        let said = [text(hash_device), "the tree would be written over the data"];
        run("disk-builder", options).is(2, &said);
        assert!(fs::read(&disk.image).unwrap() == before);
    };
    refused(&disk.image, device.path());
    refused(&disk.image, &mapping);
    refused(device.path(), &mapping);
    refused(device.path(), &disk.image);
    check("dmsetup", ["remove", name]);
    fs::remove_file(mapping).unwrap();

    // Two partitions of one disk are two storages.
    let table = disk.path("partitions");
    File::create(&table).unwrap().set_len(8 << 20).unwrap();
    let definitions = disk.path("repart.d");
    fs::create_dir(&definitions).unwrap();
    for part in ["10-data.conf", "20-tree.conf"] {
        let partition = "[Partition]\nType=linux-generic\nSizeMinBytes=1M\nSizeMaxBytes=1M\n";
        fs::write(definitions.join(part), partition).unwrap();
    }
    let definitions = format!("--definitions={}", definitions.display());
    let repart = ["--dry-run=no", "--empty=force", &definitions, text(&table)];
    check("systemd-repart", repart);
    let line = ["--find", "--show", "--partscan", text(&table)];
    let whole = check("losetup", line).trim().to_owned();
    let [data, tree] = [1, 2].map(|part| PathBuf::from(format!("{whole}p{part}")));
    refused(&data, Path::new(&whole));
    refused(Path::new(&whole), &data);
    run(
        "disk-builder",
        ["hash", text(&data), "--hash-device", text(&tree)],
    )
    .is(0, &[]);
    check("losetup", ["--detach", &whole]);
}

pub(super) fn what_is_on_a_device_stays_unless_forced() {
    let disk = TestDisk::filesystem();
    let model = disk.path("model");
    let device = empty_device(&disk, 64);
    let path = device.path();
    type Fill = fn(&TestDisk, &Path);
    let fills: [(&str, Fill); 3] = [
        ("an ext2, ext3 or ext4 filesystem", |_, path| {
            check("mke2fs", ["-q", "-F", "-t", "ext4", text(path)]);
        }),
        ("a dm-verity hash tree", |disk, path| {
            check("veritysetup", ["format", text(&disk.image), text(path)]);
        }),
        // The backup that is left of one whose start was overwritten.
        ("a GPT partition table", |_, path| {
            crate::disk::write(path, (64 << 20) - 512, b"EFI PART");
        }),
    ];
    for (name, fill) in fills {
        fill(&disk, path);
        let before = fs::read(path).unwrap();
        let said = [text(path), "has ", name, "--force overwrites it"];
        build(&model, path).is(5, &said);
        let hash = ["hash", text(&disk.image), "--hash-device", text(path)];
        run("disk-builder", hash).is(5, &said);
        assert!(fs::read(path).unwrap() == before, "{name}");
        let built = force(&model, path);
        built.is(0, &[]);
        let verify = [
            "verify",
            text(path),
            "--root-hash",
            &root_hash(&built.stdout),
        ];
        run("disk-builder", verify).is(0, &[]);
        // As if nothing had been there.
        crate::disk::write(path, 0, &[0; 16384]);
    }
}

/// The filesystem is what the tree covers; but what stands where the tree goes is told.
pub(super) fn a_tree_in_its_data_overwrites_nothing() {
    let disk = TestDisk::filesystem();
    let device = empty_device(&disk, 64);
    let path = device.path();
    crate::disk::write(path, 0, &fs::read(&disk.image).unwrap());
    let end = 64 << 20;
    crate::disk::write(path, end - 512, b"EFI PART");
    let blocks = (disk.data_bytes / 4096).to_string();
    let hash = |more: &[&str]| {
        let words = ["hash", text(path), "--data-blocks", &blocks];
        run("disk-builder", words.iter().chain(more))
    };
    // The backup of a partition table is where the tree would end.
    let before = fs::read(path).unwrap();
    let hashed = TestDisk::new();
    let tree = fs::metadata(&hashed.image).unwrap().len() - hashed.data_bytes;
    let last = (end - tree).to_string();
    hash(&["--hash-offset", &last]).is(5, &["has a GPT partition table on it"]);
    assert!(fs::read(path).unwrap() == before);
    let root = root_hash(&hash(&[]).stdout);
    let offset = disk.data_bytes.to_string();
    hash(&["--hash-offset", &offset]).is(5, &["has a dm-verity hash tree on it"]);
    let again = hash(&["--hash-offset", &offset, "--force"]);
    again.is(0, &[&root]);
}
