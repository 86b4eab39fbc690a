//! The sidecar, from its start to its end.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read},
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    Test,
    disk::{Disk, Loop, files, in_the_largest_file, on_the_way_to_the_last_block},
    machine::{drop_caches, mount_line},
    run::{Outcome, check, mounter, run},
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    (
        "serves_until_it_is_asked_to_end",
        serves_until_it_is_asked_to_end,
    ),
    (
        "gives_up_what_it_does_not_need",
        gives_up_what_it_does_not_need,
    ),
    (
        "ends_while_it_waits_for_the_device",
        ends_while_it_waits_for_the_device,
    ),
    (
        "ends_when_the_device_does_not_come",
        ends_when_the_device_does_not_come,
    ),
    (
        "tells_the_corrupt_block_and_its_file",
        tells_the_corrupt_block_and_its_file,
    ),
    ("tells_the_corrupt_hash_block", tells_the_corrupt_hash_block),
    (
        "a_corrupt_disk_that_is_mounted_already",
        a_corrupt_disk_that_is_mounted_already,
    ),
    ("a_mount_in_use_is_detached", a_mount_in_use_is_detached),
    (
        "notices_that_somebody_else_unmounted",
        notices_that_somebody_else_unmounted,
    ),
    ("two_share_an_image", two_share_an_image),
    ("two_share_a_mount", two_share_a_mount),
    (
        "the_first_process_of_a_container",
        the_first_process_of_a_container,
    ),
    (
        "the_last_words_for_kubernetes",
        the_last_words_for_kubernetes,
    ),
    ("log_lines_as_json", log_lines_as_json),
    ("prefetch_caches_all_files", prefetch_caches_all_files),
    (
        "prefetch_leaves_memory_to_others",
        prefetch_leaves_memory_to_others,
    ),
    (
        "the_reserve_of_memory_is_raised",
        the_reserve_of_memory_is_raised,
    ),
];

/// A sidecar that runs.
pub(crate) struct Sidecar {
    child: Child,
    stderr: BufReader<ChildStderr>,
    said: String,
}

impl Sidecar {
    /// Starts one; the words are separated by blanks.
    pub(crate) fn start(program: &str, line: &str) -> Self {
        let mut child = Command::new(program)
            .args(line.split_ascii_whitespace())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self {
            child,
            stderr,
            said: String::new(),
        }
    }

    /// Starts one for a disk, and waits until it is ready.
    pub(crate) fn ready(disk: &Disk) -> Self {
        let line = disk.mount_line("").replacen("mount", "sidecar", 1);
        let mut sidecar = Self::start("disk-mounter", &line);
        sidecar.wait_for("ready");
        sidecar
    }

    /// Reads what it says, up to a line with this in it.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, word: &str) {
        loop {
            let mut line = String::new();
            let length = self.stderr.read_line(&mut line).unwrap();
            assert_ne!(length, 0, "it ended without {word:?}: {}", self.said);
            self.said += &line;
            if line.contains(word) {
                return;
            }
        }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Outcome {
        self.stderr.read_to_string(&mut self.said).unwrap();
        let status = self.child.wait().unwrap();
        Outcome {
            code: status.code().unwrap_or(-1),
            stdout: String::new(),
            stderr: std::mem::take(&mut self.said),
        }
    }

    /// Asks it to end, and waits for that.
    pub(crate) fn terminate(self) -> Outcome {
        self.signal(Signal::SIGTERM);
        self.end()
    }
}

/// Reads the largest file.
fn read(disk: &Disk) -> io::Result<()> {
    fs::read(disk.mount_point().join("model.safetensors")).map(|_| ())
}

/// Looks again and again until something is so.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn serves_until_it_is_asked_to_end() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let disk = Disk::new();
        let sidecar = Sidecar::ready(&disk);
        assert_eq!(files(&disk.mount_point()), disk.files);
        mounter(&disk.line("status")).is(0, &["verified"]);
        sidecar.signal(signal);
        sidecar.end().is(0, &["is unmounted"]);
        assert_eq!(mount_line(&disk.mount_point()), None);
    }
}

fn gives_up_what_it_does_not_need() {
    let disk = Disk::new();
    let sidecar = Sidecar::ready(&disk);
    let status = fs::read_to_string(format!("/proc/{}/status", sidecar.pid())).unwrap();
    let field = |name: &str| {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap();
        line.trim_start_matches(':').trim().to_owned()
    };
    // CAP_SYS_ADMIN, to unmount, and CAP_MKNOD, to look at the device.
    let kept = format!("{:016x}", 1u64 << 21 | 1 << 27);
    for set in ["CapEff", "CapPrm", "CapBnd"] {
        assert_eq!(field(set), kept, "{set}");
    }
    for set in ["CapInh", "CapAmb"] {
        assert_eq!(field(set), "0".repeat(16), "{set}");
    }
    assert_eq!(field("NoNewPrivs"), "1");
    // Filtered.
    assert_eq!(field("Seccomp"), "2");
    let resident: u64 = field("VmRSS").trim_end_matches(" kB").parse().unwrap();
    println!("resident: {resident} KiB");
    assert!(
        resident <= 8 << 10,
        "{resident} KiB of memory for nothing but waiting"
    );
    let outcome = sidecar.terminate();
    outcome.is(0, &["is unmounted"]);
    assert!(!outcome.stderr.contains("warning"), "{outcome:?}");
}

fn ends_while_it_waits_for_the_device() {
    let disk = Disk::new();
    let line = disk
        .mount_line("--wait 600")
        .replacen("mount", "sidecar", 1);
    let absent = disk.path("absent");
    let line = line.replace(disk.image.to_str().unwrap(), absent.to_str().unwrap());
    let sidecar = Sidecar::start("disk-mounter", &line);
    let status = format!("/proc/{}/status", sidecar.pid());
    until("it takes signals", || {
        let status = fs::read_to_string(&status).unwrap();
        let blocked = status
            .lines()
            .find_map(|line| line.strip_prefix("SigBlk:"))
            .unwrap();
        u64::from_str_radix(blocked.trim(), 16).unwrap() & 1 << (Signal::SIGTERM as u64 - 1) != 0
    });
    sidecar.terminate().is(0, &["asked to end"]);
}

fn ends_when_the_device_does_not_come() {
    let disk = Disk::new();
    let line = format!(
        "sidecar --root-hash {} --wait 0 /dev/absent /mnt",
        disk.root_hash
    );
    Sidecar::start("disk-mounter", &line)
        .end()
        .is(4, &["/dev/absent: no such device"]);
}

fn tells_the_corrupt_block_and_its_file() {
    let disk = Disk::new();
    let sidecar = Sidecar::ready(&disk);
    let offset = in_the_largest_file(&disk);
    disk.flip(offset);
    drop_caches();
    read(&disk).unwrap_err();
    let block = format!("data block {} of", offset / 4096);
    let outcome = sidecar.end();
    outcome.is(
        3,
        &[
            "is corrupt",
            &block,
            "it lies in model.safetensors",
            "unmounted",
        ],
    );
    assert_eq!(
        outcome.stderr.matches("is corrupt").count(),
        1,
        "{outcome:?}"
    );
}

fn tells_the_corrupt_hash_block() {
    let disk = Disk::new();
    // Before the start, as the kernel reads hash blocks ahead.
    let offset = on_the_way_to_the_last_block(&disk);
    disk.flip(offset);
    let sidecar = Sidecar::ready(&disk);
    read(&disk).unwrap_err();
    sidecar.end().is(
        3,
        &["is corrupt", &format!("hash block {} of", offset / 4096)],
    );
}

fn a_corrupt_disk_that_is_mounted_already() {
    let disk = Disk::new();
    mounter(&disk.mount_line("")).is(0, &[]);
    disk.flip(in_the_largest_file(&disk));
    read(&disk).unwrap_err();
    let line = disk.mount_line("").replacen("mount", "sidecar", 1);
    Sidecar::start("disk-mounter", &line)
        .end()
        .is(3, &["the disk is corrupt"]);
    mounter(&disk.line("unmount")).is(0, &[]);
}

fn a_mount_in_use_is_detached() {
    let disk = Disk::new();
    let sidecar = Sidecar::ready(&disk);
    let mut open = fs::File::open(disk.mount_point().join("README.md")).unwrap();
    sidecar.signal(Signal::SIGTERM);
    // Asked once more, it does not wait for the file to be closed.
    until("it has taken the first signal", || {
        let pending = fs::read_to_string(format!("/proc/{}/status", sidecar.pid())).unwrap();
        let pending = pending
            .lines()
            .find_map(|line| line.strip_prefix("ShdPnd:"))
            .unwrap();
        u64::from_str_radix(pending.trim(), 16).unwrap() == 0
    });
    sidecar.terminate().is(0, &["in use and is detached"]);
    assert_eq!(mount_line(&disk.mount_point()), None);
    let mut text = Vec::new();
    open.read_to_end(&mut text).unwrap();
    assert_eq!(text, fs::read(disk.path("model/README.md")).unwrap());
}

fn notices_that_somebody_else_unmounted() {
    let disk = Disk::new();
    let sidecar = Sidecar::ready(&disk);
    check("umount", [disk.mount_point()]);
    sidecar.end().is(4, &["not mounted any more"]);
}

fn two_share_an_image() {
    let disk = Disk::new();
    let first = Sidecar::ready(&disk);
    let other = disk.path("other");
    let line = format!(
        "sidecar --root-hash {} {} {}",
        disk.root_hash,
        disk.image.display(),
        other.display()
    );
    let mut second = Sidecar::start("disk-mounter", &line);
    second.wait_for("in a mapping that was there");
    second.wait_for("ready");
    first.terminate().is(0, &["in use by another mount"]);
    drop_caches();
    assert_eq!(files(&other), disk.files);
    second.terminate().is(0, &["is unmounted"]);
}

fn two_share_a_mount() {
    let disk = Disk::new();
    let first = Sidecar::ready(&disk);
    let mut second = Sidecar::start(
        "disk-mounter",
        &disk.mount_line("").replacen("mount", "sidecar", 1),
    );
    second.wait_for("mounted at");
    second.wait_for("ready");
    first.terminate().is(0, &["is unmounted"]);
    second.end().is(4, &["not mounted any more"]);
}

fn the_first_process_of_a_container() {
    let disk = Disk::new();
    let line = disk.mount_line("").replacen("mount", "sidecar", 1);
    // A grandchild that ends after the sidecar has become the first process.
    let script =
        format!("(sh -c 'read -r line </proc/uptime; sleep 0.2' &); exec disk-mounter {line}");
    let mut child = Command::new("unshare")
        .args(["--pid", "--fork", "--kill-child", "sh", "-c", &script])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let mut sidecar = Sidecar {
        child,
        stderr,
        said: String::new(),
    };
    sidecar.wait_for("ready");
    let children = |pid: &str| {
        fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
            .unwrap()
            .trim()
            .to_owned()
    };
    let first = children(&sidecar.pid().to_string());
    until("the orphan is buried", || children(&first).is_empty());
    kill(Pid::from_raw(first.parse().unwrap()), Signal::SIGTERM).unwrap();
    sidecar.end().is(0, &["is unmounted"]);
}

fn the_last_words_for_kubernetes() {
    let disk = Disk::new();
    let line = disk
        .mount_line("")
        .replace(&disk.root_hash, &"0".repeat(64));
    let script = format!(
        "{}
        touch /dev/termination-log
        disk-mounter {line} 2>/dev/null || code=$?
        cat /dev/termination-log
        exit $code",
        crate::container::BARE_DEV
    );
    let outcome = crate::container::unshared("--mount", &script);
    outcome.is(3, &[]);
    assert!(
        outcome.stdout.contains("root hash does not match"),
        "{outcome:?}"
    );
    assert!(outcome.stdout.contains(&disk.root_hash), "{outcome:?}");
}

fn log_lines_as_json() {
    let disk = Disk::new();
    let line = disk.mount_line("--log-format json");
    let said = mounter(&line).stderr;
    mounter(&disk.line("unmount --log-format json")).is(0, &[]);
    let error = mounter(&line.replace(&disk.root_hash, &"0".repeat(64))).stderr;
    for (text, level) in [(said, "info"), (error, "error")] {
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["level"], level, "{text}");
        assert!(
            line["message"].as_str().unwrap().contains(&disk.root_hash),
            "{text}"
        );
    }
}

/// How many bytes of a file are in the page cache.
fn cached(file: &Path) -> u64 {
    let printed = check(
        "fincore",
        [
            "--bytes",
            "--noheadings",
            "--output",
            "RES",
            file.to_str().unwrap(),
        ],
    );
    printed.trim().parse().unwrap()
}

fn prefetch_caches_all_files() {
    let disk = Disk::new();
    let weights = disk.mount_point().join("model.safetensors");
    mounter(&disk.mount_line("")).is(0, &[]);
    assert!(cached(&weights) < 1 << 20, "it was read already");
    mounter(&disk.line("unmount")).is(0, &[]);

    mounter(&disk.mount_line("--prefetch")).is(0, &["prefetch: done"]);
    assert_eq!(cached(&weights), 3 << 20);
    mounter(&disk.line("unmount")).is(0, &[]);

    let line = disk
        .mount_line("--prefetch")
        .replacen("mount", "sidecar", 1);
    let mut sidecar = Sidecar::start("disk-mounter", &line);
    sidecar.wait_for("prefetch: done");
    assert_eq!(cached(&weights), 3 << 20);
    sidecar.terminate().is(0, &["is unmounted"]);
}

fn prefetch_leaves_memory_to_others() {
    let disk = Disk::new();
    let group = Path::new("/sys/fs/cgroup/disk-mounter-test");
    fs::create_dir(group).unwrap();
    fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+memory").unwrap();
    fs::write(group.join("memory.max"), "3000000").unwrap();
    let script = format!(
        "echo $$ >{}/cgroup.procs; exec disk-mounter {}",
        group.display(),
        disk.mount_line("--prefetch")
    );
    run("sh", ["-c", &script]).is(0, &["as memory has room for"]);
    assert!(cached(&disk.mount_point().join("model.safetensors")) < 3 << 20);
    mounter(&disk.line("unmount")).is(0, &[]);
    until("the group can be removed", || fs::remove_dir(group).is_ok());
}

fn the_reserve_of_memory_is_raised() {
    const PATH: &str = "/proc/sys/vm/min_free_kbytes";
    let disk = Disk::new();
    let before = fs::read_to_string(PATH).unwrap();
    let more = before.trim().parse::<u64>().unwrap() + 1000;
    let line = disk.mount_line(&format!("--min-free-kbytes {more}"));
    mounter(&line.replace("--root-hash", "--data-blocks 7 --root-hash")).is(3, &[]);
    mounter(&format!("{line} --name ..")).is(2, &[]);
    assert_eq!(
        fs::read_to_string(PATH).unwrap(),
        before,
        "raised and not put back"
    );
    mounter(&line).is(0, &[]);
    assert_eq!(fs::read_to_string(PATH).unwrap().trim(), more.to_string());
    // What is there already is not lowered.
    mounter(&disk.line("unmount")).is(0, &[]);
    mounter(&disk.mount_line("--min-free-kbytes 1")).is(0, &[]);
    assert_eq!(fs::read_to_string(PATH).unwrap().trim(), more.to_string());
    mounter(&disk.line("unmount")).is(0, &[]);
    fs::write(PATH, before).unwrap();
}

/// Kept for the life of a test that needs a block device under a given name.
pub(crate) struct Named {
    _device: Loop,
    link: std::path::PathBuf,
}

impl Named {
    /// Links a name in `/dev` to a block device that shows a file.
    pub(crate) fn new(file: &Path, name: &str) -> Self {
        let device = Loop::new(file);
        let link = Path::new("/dev").join(name);
        std::os::unix::fs::symlink(device.path(), &link).unwrap();
        Self {
            _device: device,
            link,
        }
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        fs::remove_file(&self.link).unwrap();
    }
}
