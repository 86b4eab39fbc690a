//! Runs that are killed at each of their steps, and many of them at a time.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    disk::{Loop, TestDisk, root_hash},
    fault_device::FaultDevice,
    run::{Outcome, check, run, text},
    sidecar::until,
};

use super::{block_of_the_largest_file, build, empty_device, filesystem, mounted, names};

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
pub(super) fn killed_at_every_call() {
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
pub(super) fn many_at_one_output() {
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

/// Who was stopped may begin again without `--force`: until the first block is there, at the very end,
/// nothing is.
pub(super) fn killed_onto_a_device() {
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
