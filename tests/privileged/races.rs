//! Many at a time: every run ends with success, or with a code that says what the others did, and
//! in the end nothing is left.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use crate::{
    Test,
    disk::{Loop, TestDisk, files, flip, in_the_largest_file, root_hash},
    machine::{Leftovers, half_made, mount_line},
    run::{Outcome, check, mounter, run},
    sidecar::Sidecar,
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    ("one_image_at_many_places", one_image_at_many_places),
    ("one_device_at_many_places", one_device_at_many_places),
    ("many_disks", many_disks),
    ("one_disk_at_one_place", one_disk_at_one_place),
    ("two_disks_at_one_place", two_disks_at_one_place),
    ("mounts_and_unmounts", mounts_and_unmounts),
    ("sidecars_of_one_disk", sidecars_of_one_disk),
    ("a_slow_run_and_a_fast_one", a_slow_run_and_a_fast_one),
    ("a_half_made_mapping_in_use", a_half_made_mapping_in_use),
    ("unmount_under_a_reader", unmount_under_a_reader),
    (
        "the_device_is_replaced_all_the_time",
        the_device_is_replaced_all_the_time,
    ),
];

const MANY: usize = 20;

/// Runs `disk-mounter` with many lines at a time.
fn at_once(lines: &[String]) -> Vec<Outcome> {
    let children: Vec<_> = lines
        .iter()
        .map(|line| {
            Command::new("disk-mounter")
                .args(line.split_ascii_whitespace())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    children
        .into_iter()
        .map(|child| child.wait_with_output().unwrap().into())
        .collect()
}

#[track_caller]
fn all_succeed(lines: &[String]) {
    for outcome in at_once(lines) {
        outcome.is(0, &[]);
    }
}

fn mount_line_at(disk: &TestDisk, device: &Path, mount_point: &Path) -> String {
    let (device, mount_point) = (device.display(), mount_point.display());
    format!(
        "mount --root-hash {} {device} {mount_point}",
        disk.root_hash
    )
}

/// Mounts all at a time, reads, and unmounts all at a time; several times.
fn mount_and_unmount_all(disk: &TestDisk, devices: impl Fn(usize) -> PathBuf) {
    let places: Vec<PathBuf> = (0..MANY).map(|i| disk.path(&format!("mnt-{i}"))).collect();
    let mounts: Vec<String> = places
        .iter()
        .enumerate()
        .map(|(i, place)| mount_line_at(disk, &devices(i), place))
        .collect();
    let unmounts: Vec<String> = places
        .iter()
        .map(|place| format!("unmount {}", place.display()))
        .collect();
    for place in &places {
        fs::create_dir(place).unwrap();
    }
    let before = Leftovers::look();
    for _ in 0..2 {
        all_succeed(&mounts);
        for place in &places {
            assert_eq!(files(place), disk.files);
        }
        all_succeed(&unmounts);
        before.check();
    }
}

fn one_image_at_many_places() {
    let disk = TestDisk::new();
    mount_and_unmount_all(&disk, |_| disk.image.clone());
}

fn one_device_at_many_places() {
    let disk = TestDisk::new();
    let device = Loop::new(&disk.image);
    mount_and_unmount_all(&disk, |_| device.path().to_owned());
}

fn many_disks() {
    let disk = TestDisk::new();
    let copy = |i| disk.path(&format!("image-{i}"));
    for i in 0..MANY {
        fs::copy(&disk.image, copy(i)).unwrap();
    }
    mount_and_unmount_all(&disk, copy);
}

fn one_disk_at_one_place() {
    let disk = TestDisk::new();
    let before = Leftovers::look();
    for _ in 0..5 {
        let outcomes = at_once(&vec![disk.mount_line(""); MANY]);
        let count = |word| {
            let said = outcomes.iter().filter(|run| run.stderr.contains(word));
            said.count()
        };
        assert_eq!(
            (count("root hash"), count("already")),
            (1, MANY - 1),
            "{outcomes:#?}"
        );
        outcomes.iter().for_each(|outcome| outcome.is(0, &[]));
        assert_eq!(files(&disk.mount_point()), disk.files);

        // One unmounts, and the others find nothing.
        let outcomes = at_once(&vec![disk.line("unmount"); MANY]);
        let count = |code| outcomes.iter().filter(|run| run.code == code).count();
        assert_eq!((count(0), count(4)), (1, MANY - 1), "{outcomes:#?}");
        fs::remove_dir(disk.mount_point()).unwrap();
        before.check();
    }
}

fn two_disks_at_one_place() {
    let disk = TestDisk::new();
    let other = another_disk();
    let before = Leftovers::look();
    for _ in 0..5 {
        let lines = [
            disk.mount_line(""),
            mount_line_at(&other, &other.image, &disk.mount_point()),
        ];
        let lines: Vec<String> = lines.iter().cycle().take(MANY).cloned().collect();
        let outcomes = at_once(&lines);
        let winner = &outcomes.iter().find(|run| run.code == 0).unwrap().stderr;
        let first_won = winner.contains(disk.image.to_str().unwrap());
        for (i, outcome) in outcomes.iter().enumerate() {
            let of_the_first = i % 2 == 0;
            outcome.is(if of_the_first == first_won { 0 } else { 5 }, &[]);
        }
        let won = if first_won { &disk } else { &other };
        assert_eq!(files(&disk.mount_point()), won.files);
        mounter(&disk.line("unmount")).is(0, &[]);
        fs::remove_dir(disk.mount_point()).unwrap();
        before.check();
    }
}

/// A disk with another content than [`Disk::new`].
fn another_disk() -> TestDisk {
    let mut disk = TestDisk::filesystem();
    flip(&disk.image, in_the_largest_file(&disk));
    disk.root_hash = root_hash(&check("disk-builder", [Path::new("hash"), &disk.image]));
    let model = disk.path("model/model.safetensors");
    mounter(&disk.mount_line("")).is(0, &[]);
    disk.files = files(&disk.mount_point());
    fs::copy(disk.mount_point().join("model.safetensors"), model).unwrap();
    mounter(&disk.line("unmount")).is(0, &[]);
    disk
}

/// Some hundred commands, of which each does what it can at that moment.
fn mounts_and_unmounts() {
    const ROUNDS: usize = 40;
    let disk = TestDisk::new();
    let places = [disk.path("a"), disk.path("b")];
    for place in &places {
        fs::create_dir(place).unwrap();
    }
    let before = Leftovers::look();
    let (unmounted, verified) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = |command: &str, codes: &[i32]| {
        for round in 0..ROUNDS {
            let place = &places[round % 2];
            let line = match command {
                "mount" => mount_line_at(&disk, &disk.image, place),
                _ => format!("{command} {}", place.display()),
            };
            let outcome = mounter(&line);
            assert!(codes.contains(&outcome.code), "{line}: {outcome:#?}");
            let count = match (command, outcome.code) {
                ("unmount", 0) => &unmounted,
                ("status", 0) => &verified,
                _ => continue,
            };
            count.fetch_add(1, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        for (command, codes) in [
            ("mount", &[0][..]),
            ("mount", &[0]),
            ("mount", &[0]),
            // Nothing is there, or somebody else looks at it.
            ("unmount", &[0, 4, 5]),
            ("unmount", &[0, 4, 5]),
            ("status", &[0, 4]),
            ("status", &[0, 4]),
        ] {
            let work = &work;
            scope.spawn(move || work(command, codes));
        }
    });
    let (unmounted, verified) = (unmounted.into_inner(), verified.into_inner());
    println!("unmounted {unmounted} times, {verified} times found mounted");
    assert!(unmounted > 0 && verified > 0, "nothing ever met");
    for place in &places {
        if mount_line(place).is_some() {
            assert_eq!(files(place), disk.files);
            mounter(&format!("unmount {}", place.display())).is(0, &[]);
        }
    }
    before.check();
}

/// At one place, and each at its own: they start and end at the same time.
fn sidecars_of_one_disk() {
    let disk = TestDisk::new();
    let place = |name| {
        let path = disk.path(name);
        let line = mount_line_at(&disk, &disk.image, &path);
        (path, line.replacen("mount", "sidecar", 1))
    };
    for name in ["mnt", "other"] {
        fs::create_dir(disk.path(name)).unwrap();
    }
    let before = Leftovers::look();
    for names in [["mnt", "mnt"], ["mnt", "other"]] {
        for _ in 0..6 {
            let mut sidecars = names.map(|name| Sidecar::start("disk-mounter", &place(name).1));
            for sidecar in &mut sidecars {
                sidecar.wait_for("ready");
            }
            for name in names {
                assert_eq!(files(&place(name).0), disk.files);
            }
            for sidecar in &sidecars {
                // It may have ended, when the other one has unmounted.
                let _ = nix::sys::signal::kill(sidecar.pid(), Signal::SIGTERM);
            }
            let outcomes = sidecars.map(Sidecar::end);
            // At one place, one finds that the other has unmounted.
            let codes = outcomes.each_ref().map(|outcome| outcome.code);
            let expected: &[[i32; 2]] = if names[0] == names[1] {
                &[[0, 0], [0, 4], [4, 0]]
            } else {
                &[[0, 0]]
            };
            assert!(expected.contains(&codes), "{outcomes:#?}");
            before.check();
        }
    }
}

/// A run that takes very long between any two steps of making its mapping, beside one that does
/// not.
fn a_slow_run_and_a_fast_one() {
    let disk = TestDisk::new();
    let slow = mount_line_at(&disk, &disk.image, &disk.path("slow"));
    let fast = mount_line_at(&disk, &disk.image, &disk.path("fast"));
    let places = ["slow", "fast"].map(|name| format!("unmount {}", disk.path(name).display()));
    let trace = disk.path("trace");
    let strace = |expression: &str, line: &str| -> Vec<String> {
        let trace = trace.to_str().unwrap();
        let options = ["-f", "-qq", "-o", trace, "-e", "trace=ioctl"];
        let inject = ["-e", expression, "disk-mounter"];
        let words = options.into_iter().chain(inject);
        let words = words.chain(line.split_ascii_whitespace());
        words.map(str::to_owned).collect()
    };
    run("strace", strace("trace=ioctl", &slow)).is(0, &[]);
    mounter(&places[0]).is(0, &[]);
    let calls = fs::read_to_string(&trace).unwrap();
    let before = Leftovers::look();
    for (call, stays) in [
        ("DM_TABLE_LOAD", true),
        ("DM_DEV_SUSPEND", true),
        ("DM_TABLE_LOAD", false),
    ] {
        let number = 1 + calls.lines().position(|line| line.contains(call)).unwrap();
        let inject = format!("inject=ioctl:delay_enter=4000000:when={number}");
        let slow = Command::new("strace")
            .args(strace(&inject, &slow))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        crate::sidecar::until("the mapping is half made", || {
            check("dmsetup", ["ls"]).contains("disk-mounter")
        });
        mounter(&fast).is(0, &["is mounted at"]);
        if !stays {
            mounter(&places[1]).is(0, &[]);
        }
        Outcome::from(slow.wait_with_output().unwrap()).is(0, &["is mounted at"]);
        mounter(&places[0]).is(0, &[]);
        if stays {
            mounter(&places[1]).is(0, &[]);
        }
        before.check();
    }
}

/// It cannot be removed, and nobody knows for how long.
fn a_half_made_mapping_in_use() {
    let disk = TestDisk::new();
    half_made("half");
    // Loaded and not activated.
    check("dmsetup", ["load", "half", "--table", "0 8 error"]);
    check("dmsetup", ["mknodes", "half"]);
    let node = Path::new("/dev/mapper/half");
    let open = fs::File::open(node).unwrap();
    let before = Leftovers::look();
    mounter(&disk.mount_line("--name half")).is(5, &["half is taken"]);
    before.check();
    drop(open);
    mounter(&disk.mount_line("--name half")).is(0, &[]);
    mounter(&disk.line("unmount")).is(0, &[]);
    let _ = fs::remove_file(node);
}

/// An unmount succeeds or says that the disk is in use; a reader gets the right bytes, or finds
/// nothing there. It goes on until enough of both was met.
fn unmount_under_a_reader() {
    const EACH: usize = 15;
    let disk = TestDisk::new();
    let source = fs::read(disk.path("model/model.safetensors")).unwrap();
    fs::create_dir(disk.mount_point()).unwrap();
    let done = AtomicBool::new(false);
    let reads = AtomicUsize::new(0);
    let file = disk.mount_point().join("model.safetensors");
    thread::scope(|scope| {
        let reader = || {
            while !done.load(Ordering::Relaxed) {
                let start = Instant::now();
                match fs::read(&file) {
                    Ok(bytes) => assert!(bytes == source, "WRONG BYTES"),
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}"),
                }
                reads.fetch_add(1, Ordering::Relaxed);
                // Half of the time it has the file open, however slow the machine is: an unmount
                // can come at either time.
                let took = start.elapsed();
                while start.elapsed() < 2 * took {
                    thread::yield_now();
                }
            }
        };
        let readers = [scope.spawn(reader), scope.spawn(reader)];
        let (mut unmounted, mut in_use) = (0, 0);
        let deadline = Instant::now() + Duration::from_secs(180);
        while unmounted < EACH || in_use < EACH {
            assert!(
                Instant::now() < deadline,
                "unmounted {unmounted} times, in use {in_use} times"
            );
            // The readers are there, in each round.
            let before = reads.load(Ordering::Relaxed);
            mounter(&disk.mount_line("")).is(0, &[]);
            while reads.load(Ordering::Relaxed) < before + 2 {
                assert!(!readers.iter().any(|reader| reader.is_finished()));
                thread::yield_now();
            }
            // And one that stays is always found.
            if in_use < EACH && unmounted >= EACH {
                let open = fs::File::open(&file).unwrap();
                mounter(&disk.line("unmount")).is(5, &[]);
                drop(open);
                in_use += 1;
                continue;
            }
            match mounter(&disk.line("unmount")).code {
                0 => unmounted += 1,
                5 => in_use += 1,
                code => panic!("unmount ended with {code}"),
            }
        }
        done.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.join().unwrap();
        }
        println!("unmounted {unmounted} times, in use {in_use} times");
    });
    let left = mounter(&disk.line("unmount"));
    assert!(matches!(left.code, 0 | 4), "{left:?}");
}

/// Whatever is at the path of the device when it is looked at, what is mounted is what the root
/// hash says.
fn the_device_is_replaced_all_the_time() {
    let disk = TestDisk::new();
    let other = another_disk();
    assert_ne!(disk.files, other.files);
    let devices = [Loop::new(&disk.image), Loop::new(&other.image)];
    let path = disk.path("device");
    let before = Leftovers::look();
    // Block devices, and image files, which need a loop device.
    let kinds = [
        devices.each_ref().map(Loop::path),
        [&disk.image, &other.image].map(PathBuf::as_path),
    ];
    for kind in kinds {
        let done = AtomicBool::new(false);
        symlink(kind[0], &path).unwrap();
        thread::scope(|scope| {
            let replacer = scope.spawn(|| {
                let new = disk.path("new");
                for which in [1, 0].into_iter().cycle() {
                    if done.load(Ordering::Relaxed) {
                        return;
                    }
                    symlink(kind[which], &new).unwrap();
                    fs::rename(&new, &path).unwrap();
                    // Now and then a whole run sees the same one.
                    thread::yield_now();
                }
            });
            let (mut mounted, mut refused) = (0, 0);
            for _ in 0..40 {
                let outcome = mounter(&mount_line_at(&disk, &path, &disk.mount_point()));
                match outcome.code {
                    0 => {
                        mounted += 1;
                        assert_eq!(files(&disk.mount_point()), disk.files, "THE OTHER DISK");
                        mounter(&disk.line("unmount")).is(0, &[]);
                    }
                    3 => {
                        refused += 1;
                        outcome.is(3, &["does not match"]);
                    }
                    _ => panic!("{outcome:#?}"),
                }
            }
            done.store(true, Ordering::Relaxed);
            replacer.join().unwrap();
            println!("mounted {mounted} times, refused {refused} times");
            assert!(mounted > 0 && refused > 0, "one of both was never seen");
        });
        fs::remove_file(&path).unwrap();
        if disk.mount_point().exists() {
            fs::remove_dir(disk.mount_point()).unwrap();
        }
        before.check();
    }
}
