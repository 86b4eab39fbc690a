//! Disks that are mounted by FUSE, by root and by a user, and what becomes of those who serve them.

mod user;

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::FileExt as _,
    path::Path,
    thread,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    Test,
    disk::{TestDisk, files, in_the_largest_file, on_the_way_to_the_last_block},
    fault_device::FaultDevice,
    kernels::disk_of,
    machine::{drop_caches, mount_line},
    real_model::variable,
    run::{Outcome, check, mounter, run, text},
    sidecar::{Sidecar, until},
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    ("serves_every_byte", serves_every_byte),
    ("nothing_can_be_written", nothing_can_be_written),
    ("block_sizes", block_sizes),
    ("what_mkfs_erofs_makes", what_mkfs_erofs_makes),
    ("a_large_directory", a_large_directory),
    ("many_readers", many_readers),
    ("a_corrupt_data_block", a_corrupt_data_block),
    ("a_corrupt_hash_block", a_corrupt_hash_block),
    ("a_device_that_fails", a_device_that_fails),
    ("a_disk_that_is_cut_short", a_disk_that_is_cut_short),
    (
        "nothing_is_mounted_of_another_disk",
        nothing_is_mounted_of_another_disk,
    ),
    (
        "what_is_mounted_there_already",
        what_is_mounted_there_already,
    ),
    ("a_disk_in_use", a_disk_in_use),
    ("a_sidecar_tells_and_unmounts", a_sidecar_tells_and_unmounts),
    ("a_sidecar_that_is_killed", a_sidecar_that_is_killed),
    (
        "a_sidecar_whose_disk_others_unmount",
        a_sidecar_whose_disk_others_unmount,
    ),
    (
        "gives_up_what_it_does_not_need",
        gives_up_what_it_does_not_need,
    ),
    ("a_server_that_is_stopped", a_server_that_is_stopped),
    (
        "a_server_that_is_asked_to_end",
        a_server_that_is_asked_to_end,
    ),
    ("by_a_user", user::by_a_user),
    (
        "whom_a_user_is_believed_by",
        user::whom_a_user_is_believed_by,
    ),
    (
        "a_user_whose_server_is_killed",
        user::a_user_whose_server_is_killed,
    ),
    ("a_user_without_fusermount", user::a_user_without_fusermount),
];

/// Mounts it.
#[track_caller]
fn mounted(disk: &TestDisk) {
    mounter(&disk.mount_line("--fuse")).is(0, &["is mounted at", "by FUSE"]);
}

#[track_caller]
fn unmount(disk: &TestDisk) {
    mounter(&disk.line("unmount")).is(0, &["is unmounted"]);
}

/// What `status` says with the root hash.
fn status(disk: &TestDisk) -> Outcome {
    let expected = format!("status --root-hash {}", disk.root_hash);
    mounter(&disk.line(&expected))
}

fn read_last(disk: &TestDisk) -> io::Result<Vec<u8>> {
    fs::read(disk.mount_point().join("model.safetensors"))
}

#[track_caller]
fn is_io_error(read: io::Result<Vec<u8>>) {
    let error = read.unwrap_err();
    assert_eq!(error.raw_os_error(), Some(nix::libc::EIO), "{error}");
}

/// The processes that serve a mount by FUSE.
fn servers() -> Vec<Pid> {
    let processes = fs::read_dir("/proc").unwrap();
    let names = processes.map(|entry| entry.unwrap().file_name());
    let numbers = names.filter_map(|name| name.to_str()?.parse().ok());
    let serves = |process: &i32| {
        let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|word| word == b"--fuse")
    };
    numbers.filter(serves).map(Pid::from_raw).collect()
}

#[track_caller]
fn server() -> Pid {
    match *servers() {
        [server] => server,
        ref other => panic!("{other:?} serve"),
    }
}

/// Nobody serves any more.
#[track_caller]
fn all_have_ended() {
    until("the server has ended", || servers().is_empty());
}

fn serves_every_byte() {
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

fn nothing_can_be_written() {
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

fn block_sizes() {
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
fn what_mkfs_erofs_makes() {
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

fn a_large_directory() {
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

fn many_readers() {
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

fn a_corrupt_data_block() {
    let disk = TestDisk::new();
    mounted(&disk);
    assert_eq!(files(&disk.mount_point()), disk.files);
    // Under the mount.
    let place = in_the_largest_file(&disk);
    disk.flip(place);
    drop_caches();
    is_io_error(read_last(&disk));
    status(&disk).is(
        3,
        &["corrupt", "data block", "is not what the root hash says"],
    );
    // What was found stays known when the byte is right again, and what is well can be read.
    disk.flip(place);
    status(&disk).is(3, &["corrupt"]);
    assert_eq!(files(&disk.mount_point()), disk.files);
    mounter(&disk.mount_line("--fuse")).is(3, &["is corrupt"]);
    unmount(&disk);
    all_have_ended();
}

fn a_corrupt_hash_block() {
    let disk = TestDisk::new();
    disk.flip(on_the_way_to_the_last_block(&disk));
    mounted(&disk);
    is_io_error(read_last(&disk));
    status(&disk).is(3, &["corrupt", "hash block"]);
    unmount(&disk);
    all_have_ended();
}

/// Nothing is wrong with the disk then.
fn a_device_that_fails() {
    let mut disk = TestDisk::new();
    let at = in_the_largest_file(&disk) / 4096 * 4096;
    let device = FaultDevice::below(&mut disk);
    let line = disk.mount_line("--fuse").replacen("mount", "sidecar", 1);
    let mut sidecar = Sidecar::start("disk-mounter", &line);
    sidecar.wait_for("ready:");
    device.fail_in(at..at + 4096);
    drop_caches();
    is_io_error(read_last(&disk));
    sidecar.wait_for("reads of it fail");
    status(&disk).is(0, &["verified"]);
    device.recover();
    drop_caches();
    assert_eq!(files(&disk.mount_point()), disk.files);
    sidecar.terminate().is(0, &["is unmounted"]);
}

fn a_disk_that_is_cut_short() {
    let disk = TestDisk::new();
    mounted(&disk);
    let at = in_the_largest_file(&disk);
    File::options()
        .write(true)
        .open(&disk.image)
        .unwrap()
        .set_len(at)
        .unwrap();
    drop_caches();
    is_io_error(read_last(&disk));
    status(&disk).is(3, &["corrupt"]);
    unmount(&disk);
    all_have_ended();
}

fn nothing_is_mounted_of_another_disk() {
    let mut disk = TestDisk::new();
    disk.root_hash = "00".repeat(32);
    mounter(&disk.mount_line("--fuse")).is(3, &["the root hash does not match"]);
    assert!(!disk.mount_point().exists());
    let line = disk.mount_line("--fuse").replacen("mount", "sidecar", 1);
    mounter(&line).is(3, &["the root hash does not match"]);
    assert!(!disk.mount_point().exists());
    let missing = disk
        .mount_line("--fuse --wait 0")
        .replace("image", "no-image");
    mounter(&missing).is(4, &["no such device or file"]);
    // As with any mount: nothing is covered.
    let disk = TestDisk::new();
    fs::create_dir(disk.mount_point()).unwrap();
    fs::write(disk.mount_point().join("file"), "").unwrap();
    mounter(&disk.mount_line("--fuse")).is(5, &["is not empty"]);
    assert_eq!(servers(), []);
}

fn what_is_mounted_there_already() {
    let disk = TestDisk::new();
    mounted(&disk);
    mounter(&disk.mount_line("--fuse")).is(0, &["is mounted at", "already"]);
    assert_eq!(servers().len(), 1);
    let line = disk.mount_line("--fuse").replacen("mount", "sidecar", 1);
    mounter(&line).is(5, &["served by another process"]);
    // No kind of mount becomes the other.
    mounter(&disk.mount_line("")).is(5, &["without dm-verity"]);
    let other = TestDisk::of(|model| fs::write(model.join("another"), "file").unwrap());
    let place = disk.mount_point();
    let line = format!(
        "mount --fuse --root-hash {} {} {}",
        other.root_hash,
        other.image.display(),
        place.display()
    );
    mounter(&line).is(5, &["the disk with the root hash", &disk.root_hash]);
    unmount(&disk);
    all_have_ended();
    mounter(&disk.mount_line("")).is(0, &[]);
    mounter(&disk.mount_line("--fuse")).is(5, &["a filesystem of type erofs"]);
    unmount(&disk);
    check("mount", ["-t", "tmpfs", "none", place.to_str().unwrap()]);
    mounter(&disk.mount_line("--fuse")).is(5, &["a filesystem of type tmpfs"]);
    check("umount", [&place]);
}

fn a_disk_in_use() {
    let disk = TestDisk::new();
    mounted(&disk);
    let mut open = File::open(disk.mount_point().join("config.json")).unwrap();
    mounter(&disk.line("unmount")).is(5, &["in use by process"]);
    let mut text = Vec::new();
    open.read_to_end(&mut text).unwrap();
    assert_eq!(text.len(), 612);
    drop(open);
    let inner = disk.mount_point().join("1_Pooling");
    check("mount", ["-t", "tmpfs", "none", inner.to_str().unwrap()]);
    mounter(&disk.line("unmount")).is(5, &["a mount in it"]);
    check("umount", [&inner]);
    unmount(&disk);
    all_have_ended();
}

fn sidecar(disk: &TestDisk) -> Sidecar {
    let line = disk.mount_line("--fuse").replacen("mount", "sidecar", 1);
    let mut sidecar = Sidecar::start("disk-mounter", &line);
    sidecar.wait_for("ready:");
    sidecar
}

fn a_sidecar_tells_and_unmounts() {
    let disk = TestDisk::new();
    let serving = sidecar(&disk);
    assert_eq!(files(&disk.mount_point()), disk.files);
    serving.terminate().is(0, &["is unmounted"]);
    assert_eq!(mount_line(&disk.mount_point()), None);

    disk.flip(in_the_largest_file(&disk));
    let mut serving = sidecar(&disk);
    is_io_error(read_last(&disk));
    // At once, and with the file.
    serving.wait_for("it lies in model.safetensors");
    status(&disk).is(3, &["corrupt"]);
    serving
        .terminate()
        .is(3, &["is corrupt: data block", "is unmounted"]);
    assert_eq!(mount_line(&disk.mount_point()), None);
}

fn a_sidecar_that_is_killed() {
    let disk = TestDisk::new();
    let serving = sidecar(&disk);
    serving.signal(Signal::SIGKILL);
    serving.end().is(-1, &[]);
    // Nothing can be read, and it is known why.
    let error = read_last(&disk).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(nix::libc::ENOTCONN), "{error}");
    status(&disk).is(4, &["the process that served the disk has ended"]);
    // The next one finds it so.
    let next = sidecar(&disk);
    assert_eq!(files(&disk.mount_point()), disk.files);
    next.signal(Signal::SIGKILL);
    next.end().is(-1, &["nobody serves what was mounted at"]);
    unmount(&disk);
    assert_eq!(mount_line(&disk.mount_point()), None);
}

fn a_sidecar_whose_disk_others_unmount() {
    let disk = TestDisk::new();
    let serving = sidecar(&disk);
    check("umount", [disk.mount_point()]);
    serving.end().is(4, &["somebody else has unmounted it"]);
}

fn gives_up_what_it_does_not_need() {
    let disk = TestDisk::new();
    mounted(&disk);
    assert_eq!(files(&disk.mount_point()), disk.files);
    let threads = fs::read_dir(format!("/proc/{}/task", server())).unwrap();
    for thread in threads {
        let status = fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        // CAP_SYS_ADMIN, to unmount.
        for line in [
            "CapEff:\t0000000000200000\n",
            "CapPrm:\t0000000000200000\n",
            "CapBnd:\t0000000000200000\n",
            "CapAmb:\t0000000000000000\n",
            "NoNewPrivs:\t1\n",
            "Seccomp:\t2\n",
        ] {
            assert!(status.contains(line), "{line}: {status}");
        }
    }
    // Nothing of the command that has mounted it is open any more, nor of its terminal.
    let open = fs::read_dir(format!("/proc/{}/fd", server())).unwrap();
    let open = open.map(|entry| fs::read_link(entry.unwrap().path()).unwrap());
    let open: Vec<_> = open.map(|path| path.display().to_string()).collect();
    for path in &open {
        let kinds = ["/dev/null", "/dev/fuse", "anon_inode:[signalfd]", "pipe:"];
        let image = disk.image.display().to_string();
        let is_known = kinds.iter().any(|kind| path.starts_with(kind)) || *path == image;
        assert!(is_known, "{open:?}");
    }
    unmount(&disk);
    all_have_ended();
}

fn a_server_that_is_stopped() {
    let disk = TestDisk::new();
    mounted(&disk);
    let server = server();
    kill(server, Signal::SIGSTOP).unwrap();
    status(&disk).is(4, &["does not answer"]);
    mounter(&disk.mount_line("--fuse")).is(5, &["whose server does not answer"]);
    kill(server, Signal::SIGCONT).unwrap();
    status(&disk).is(0, &[]);
    kill(server, Signal::SIGSTOP).unwrap();
    unmount(&disk);
    kill(server, Signal::SIGCONT).unwrap();
    all_have_ended();
}

fn a_server_that_is_asked_to_end() {
    let disk = TestDisk::new();
    mounted(&disk);
    kill(server(), Signal::SIGTERM).unwrap();
    all_have_ended();
    assert_eq!(mount_line(&disk.mount_point()), None);
    run(
        "disk-mounter",
        ["status", disk.mount_point().to_str().unwrap()],
    )
    .is(4, &["not mounted"]);
}
