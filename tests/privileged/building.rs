//! `disk-builder` on disks that are full or fail, killed at each of its steps, and many of it at a
//! time. Expected is exit code 1 with the path and the reason, and nothing left of the output.

use std::{
    fs::{self, File, Permissions},
    ops::Range,
    os::unix::fs::{FileExt, PermissionsExt, lchown, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    Test,
    disk::{Loop, TestDisk, in_the_largest_file, root_hash},
    fault_device::FaultDevice,
    run::{Outcome, check, run, text},
    sidecar::until,
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    ("a_disk_that_gets_full", a_disk_that_gets_full),
    ("a_source_that_cannot_be_read", a_source_that_cannot_be_read),
    (
        "a_device_that_cannot_be_written",
        a_device_that_cannot_be_written,
    ),
    ("an_output_disk_that_fails", an_output_disk_that_fails),
    ("killed_at_every_call", killed_at_every_call),
    ("many_at_one_output", many_at_one_output),
    (
        "a_tree_over_its_own_data_is_refused",
        a_tree_over_its_own_data_is_refused,
    ),
    (
        "what_is_on_a_device_stays_unless_forced",
        what_is_on_a_device_stays_unless_forced,
    ),
    ("killed_onto_a_device", killed_onto_a_device),
    (
        "a_tree_in_its_data_overwrites_nothing",
        a_tree_in_its_data_overwrites_nothing,
    ),
    (
        "a_device_by_a_link_that_is_roots",
        a_device_by_a_link_that_is_roots,
    ),
    ("a_link_that_a_stranger_made", a_link_that_a_stranger_made),
    ("a_lock_that_a_stranger_has", a_lock_that_a_stranger_has),
];

/// A file with a filesystem of so many MiB.
fn filesystem(disk: &TestDisk, kind: &str, mib: u64) -> PathBuf {
    let image = disk.path("filesystem");
    File::create(&image).unwrap().set_len(mib << 20).unwrap();
    let options = ["-q", "-b", "4096", "-t", kind];
    check("mke2fs", options.iter().chain([&image.to_str().unwrap()]));
    image
}

/// Mounts a filesystem, `rw` or `ro`, for the time of `work`.
fn mounted<R>(disk: &TestDisk, device: &Path, how: &str, work: impl FnOnce(&Path) -> R) -> R {
    let at = disk.path("at");
    fs::create_dir_all(&at).unwrap();
    check("mount", [Path::new("-o"), Path::new(how), device, &at]);
    let result = work(&at);
    check("umount", [&at]);
    result
}

fn build(model: &Path, output: &Path) -> Outcome {
    let (model, output) = (model.to_str().unwrap(), output.to_str().unwrap());
    run("disk-builder", ["build", model, "--output", output])
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "lost+found")
        .collect();
    names.sort();
    names
}

/// It is full in the middle: a filesystem without extents cannot set room aside.
fn a_disk_that_gets_full() {
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

/// Where a block of the model's largest file lies in this image of a filesystem.
fn block_of_the_largest_file(disk: &TestDisk, image: &Path) -> Range<u64> {
    let mut block = [0; 4096];
    let at = in_the_largest_file(disk) / 4096 * 4096;
    File::open(&disk.image)
        .unwrap()
        .read_exact_at(&mut block, at)
        .unwrap();
    let bytes = fs::read(image).unwrap();
    let found = bytes.chunks(4096).position(|chunk| chunk == block);
    let start = found.unwrap() as u64 * 4096;
    start..start + 4096
}

fn a_source_that_cannot_be_read() {
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
fn a_device_that_cannot_be_written() {
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
fn an_output_disk_that_fails() {
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

/// The system calls of `build` that change what is there.
const CALLS: &[&str] = &[
    "flock",
    "fallocate",
    "ftruncate",
    "pwrite64",
    "write",
    "fsync",
    "fdatasync",
    "fchmod",
    "renameat2",
    "unlinkat",
];

/// After each, what is there is whole, and a run succeeds and leaves no more than its own output.
fn killed_at_every_call() {
    let disk = TestDisk::filesystem();
    let model = disk.path("small");
    fs::create_dir(&model).unwrap();
    fs::write(model.join("weights"), vec![7; 100_000]).unwrap();
    let out = disk.path("out");
    fs::create_dir(&out).unwrap();
    let output = out.join("disk");
    let words = ["build", "--threads", "1", "--force", "--quiet", "--output"];
    let words = words.map(Path::new).into_iter();
    let words: Vec<&Path> = words.chain([&*output, &*model]).collect();
    let root = root_hash(&check("disk-builder", &words));
    let is_whole = || {
        let verify = ["verify", output.to_str().unwrap(), "--root-hash", &root];
        run("disk-builder", verify).is(0, &["verified"]);
    };
    let known = ["disk", "disk.json"];
    let (mut killed, mut absent, mut temporary) = (0, 0, 0);
    for call in CALLS {
        for number in 1.. {
            // Onto nothing at odd numbers, and onto an old disk at even ones.
            if number % 2 == 1 {
                for name in names(&out) {
                    fs::remove_file(out.join(name)).unwrap();
                }
            }
            let inject = format!("inject={call}:signal=SIGKILL:when={number}");
            let trace = format!("trace={}", CALLS.join(","));
            let options = ["-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
            let options = options.into_iter().chain(["disk-builder"]).map(Path::new);
            let outcome = run("strace", options.chain(words.iter().copied()));
            let left = names(&out);
            let there = |name: &str| left.iter().any(|found| found == name);
            for name in &left {
                let is_known = known.contains(&&name[..]);
                assert!(is_known || name.contains(".disk-builder-"), "{name}");
                temporary += usize::from(!is_known);
            }
            assert!(there("disk") || !there("disk.json"), "{left:?}");
            absent += usize::from(!there("disk"));
            if there("disk") {
                is_whole();
            }
            check("disk-builder", &words);
            is_whole();
            assert_eq!(names(&out), known);
            if outcome.code == 0 {
                break;
            }
            assert_eq!(outcome.code, -1, "{outcome:?}");
            killed += 1;
        }
    }
    println!("killed {killed} times: no disk {absent} times, {temporary} temporary files");
    assert!(killed >= 10 && absent >= 4 && temporary >= 4);
}

/// All have begun, and wait for the model's disk; then it answers them all.
fn many_at_one_output() {
    const MANY: usize = 6;
    let disk = TestDisk::new();
    let image = filesystem(&disk, "ext4", 24);
    {
        let device = Loop::new(&image);
        mounted(&disk, device.path(), "rw", |at| {
            check("cp", [Path::new("-r"), &disk.path("model"), at]);
        });
    }
    let block = block_of_the_largest_file(&disk, &image);
    let device = FaultDevice::over(&image);
    let out = disk.path("out");
    fs::create_dir(&out).unwrap();
    let output = out.join("disk");
    // A flush of a filesystem that can be written to would wait for the part that hangs.
    mounted(&disk, &device.path(), "ro", |at| {
        for round in 0..6 {
            let force = round % 2 == 1;
            device.hang_in(block.clone());
            let children: Vec<_> = (0..MANY)
                .map(|_| {
                    let mut command = Command::new("disk-builder");
                    command.arg("build").arg(at.join("model"));
                    command.arg("--output").arg(&output);
                    command.args(force.then_some("--force"));
                    command.stdout(Stdio::piped()).stderr(Stdio::piped());
                    command.spawn().unwrap()
                })
                .collect();
            // Each has one for the disk and one for its manifest, and all have one lock.
            until("all are at work", || {
                let is_temporary = |name: &&String| name.contains(".disk-builder-");
                names(&out).iter().filter(is_temporary).count() == 2 * MANY + 1
            });
            device.answer();
            let outcomes: Vec<Outcome> = children
                .into_iter()
                .map(|child| child.wait_with_output().unwrap().into())
                .collect();
            device.recover();
            let won = outcomes.iter().filter(|outcome| outcome.code == 0);
            let won: Vec<_> = won.collect();
            let lost = outcomes.iter().filter(|outcome| outcome.code == 5);
            let expected = if force { (MANY, 0) } else { (1, MANY - 1) };
            assert_eq!((won.len(), lost.count()), expected, "{outcomes:#?}");
            let root = root_hash(&won[0].stdout);
            let verify = ["verify", output.to_str().unwrap(), "--root-hash", &root];
            run("disk-builder", verify).is(0, &["verified"]);
            assert_eq!(names(&out), ["disk", "disk.json"]);
            if !force {
                continue;
            }
            for name in names(&out) {
                fs::remove_file(out.join(name)).unwrap();
            }
        }
    });
}

/// The same storage has many names: a loop device of the file, a mapping over that, and the disk of
/// a partition.
fn a_tree_over_its_own_data_is_refused() {
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

/// A sparse file of so many MiB, as a block device.
fn empty_device(disk: &TestDisk, mib: u64) -> Loop {
    let image = disk.path("device");
    File::create(&image).unwrap().set_len(mib << 20).unwrap();
    Loop::new(&image)
}

fn force(model: &Path, output: &Path) -> Outcome {
    let words = ["build", "--force", text(model), "--output", text(output)];
    run("disk-builder", words)
}

fn what_is_on_a_device_stays_unless_forced() {
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

/// Who was stopped may begin again without `--force`: until the first block is there, at the very end,
/// nothing is.
fn killed_onto_a_device() {
    let disk = TestDisk::filesystem();
    let model = disk.path("small");
    fs::create_dir(&model).unwrap();
    fs::write(model.join("weights"), vec![7; 100_000]).unwrap();
    let device = empty_device(&disk, 16);
    let path = device.path();
    let (mut begun, mut marked) = (0, 0);
    for call in ["pwrite64", "fdatasync"] {
        for number in 1.. {
            let trace = format!("trace={call}");
            let inject = format!("inject={call}:signal=SIGKILL:when={number}");
            let options = ["-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
            let words = [
                "disk-builder",
                "build",
                text(&model),
                "--output",
                text(path),
            ];
            let killed = run("strace", options.iter().chain(&words));
            let again = build(&model, path);
            crate::disk::write(path, 0, &[0; 4096]);
            if killed.code == 0 {
                again.is(5, &["has an EROFS filesystem on it"]);
                break;
            }
            assert_eq!(killed.code, -1, "{killed:?}");
            if again.code == 0 {
                begun += 1;
            } else {
                again.is(5, &["has an EROFS filesystem on it"]);
                marked += 1;
            }
        }
    }
    println!("killed {begun} times before the first block was there, and {marked} after");
    assert!(begun >= 5 && marked <= 1);
}

/// The filesystem is what the tree covers; but what stands where the tree goes is told.
fn a_tree_in_its_data_overwrites_nothing() {
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

/// As in `/dev/disk/by-id`.
fn a_device_by_a_link_that_is_roots() {
    let disk = TestDisk::filesystem();
    let model = disk.path("model");
    let device = empty_device(&disk, 16);
    let folder = disk.path("by-id");
    fs::create_dir(&folder).unwrap();
    let (one, other) = (folder.join("one"), folder.join("other"));
    symlink(device.path(), &one).unwrap();
    symlink("../by-id/one", &other).unwrap();
    build(&model, &other).is(0, &[]);
    build(&model, &one).is(5, &[text(&one), "has an EROFS filesystem on it"]);
    force(&model, &one).is(0, &[]);
    // Others may put links into it as well.
    fs::set_permissions(&folder, Permissions::from_mode(0o1777)).unwrap();
    force(&model, &one).is(5, &[text(&one), "is a symbolic link"]);
    fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    planted(&one);
    force(&model, &one).is(5, &[text(&one), "is a symbolic link"]);
    // A link to a link of a stranger's.
    force(&model, &other).is(5, &[text(&other), "is a symbolic link"]);
}

fn a_link_that_a_stranger_made() {
    let disk = TestDisk::filesystem();
    let model = disk.path("model");
    let device = empty_device(&disk, 16);
    check("mke2fs", ["-q", "-F", "-t", "ext4", text(device.path())]);
    let before = fs::read(device.path()).unwrap();
    let victim = disk.path("victim");
    fs::write(&victim, "precious").unwrap();
    let shared = shared_folder(&disk);
    for (name, target) in [("device", device.path()), ("file", &victim)] {
        let link = shared.join(name);
        symlink(target, &link).unwrap();
        planted(&link);
        for build in [build, force] {
            build(&model, &link).is(5, &[text(&link), "is a symbolic link"]);
            let output = disk.path("output");
            let words = ["build", text(&model), "--output", text(&output)];
            let words = words
                .into_iter()
                .chain(["--force", "--manifest", text(&link)]);
            run("disk-builder", words).is(5, &[text(&link), "is a symbolic link"]);
            let hash = [
                "hash",
                text(&disk.image),
                "--force",
                "--hash-device",
                text(&link),
            ];
            run("disk-builder", hash).is(5, &[text(&link), "is a symbolic link"]);
        }
    }
    assert!(fs::read(device.path()).unwrap() == before);
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
    assert_eq!(names(&shared), ["device", "file"]);
}

/// Of the directory, and of a file that has the name of the lock.
fn a_lock_that_a_stranger_has() {
    let disk = TestDisk::filesystem();
    let model = disk.path("model");
    let shared = shared_folder(&disk);
    let output = shared.join("disk");
    // Whoever may read it can have it.
    let directory = File::open(&shared).unwrap();
    directory.lock().unwrap();
    build(&model, &output).is(0, &[]);

    let lock = shared.join(".other.disk-builder-lock");
    planted(&lock);
    build(&model, &shared.join("other")).is(5, &[text(&lock), "belongs to user 65534"]);
    // What looks like a leftover, but is a stranger's, stays.
    let leftover = shared.join(".disk.disk-builder-123456");
    planted(&leftover);
    force(&model, &output).is(0, &[]);
    assert!(leftover.exists());
}

/// A directory that all may write to, as `/tmp`.
fn shared_folder(disk: &TestDisk) -> PathBuf {
    let shared = disk.path("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, Permissions::from_mode(0o1777)).unwrap();
    fs::set_permissions(disk.path(""), Permissions::from_mode(0o755)).unwrap();
    shared
}

/// Leaves a file, or what is there, to somebody who has no right here.
fn planted(path: &Path) {
    if !path.is_symlink() {
        fs::write(path, "theirs").unwrap();
    }
    lchown(path, Some(65534), Some(65534)).unwrap();
}
