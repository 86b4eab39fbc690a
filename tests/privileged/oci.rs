//! The real image in a real container runtime: crun, set up as Kubernetes' runtimes do it.
//!
//! The sidecar's container has the shared folder with `Bidirectional` propagation, the workload's
//! with `HostToContainer`. The environment names the image's root filesystem, `IMAGE_ROOTFS`, and
//! a real model (see `real_model`).

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use nix::sys::stat::{major, minor};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    Test,
    disk::{Loop, TestDisk, in_the_largest_file},
    machine::{Leftovers, drop_caches},
    real_model::variable,
    run::{Outcome, check, run, text},
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    (
        "a_workload_reads_the_real_model",
        a_workload_reads_the_real_model,
    ),
    (
        "a_corrupt_disk_is_told_at_once",
        a_corrupt_disk_is_told_at_once,
    ),
    (
        "a_wrong_root_hash_ends_the_sidecar",
        a_wrong_root_hash_ends_the_sidecar,
    ),
    ("an_image_file_in_a_bare_dev", an_image_file_in_a_bare_dev),
];

/// A pod: containers that share a folder.
struct Pod {
    folder: TempDir,
    shared: PathBuf,
}

impl Pod {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shared = folder.path().join("shared");
        fs::create_dir(&shared).unwrap();
        // The kubelet's folder is on a shared mount.
        check("mount", ["--bind", text(&shared), text(&shared)]);
        check("mount", ["--make-rshared", text(&shared)]);
        Self { folder, shared }
    }

    /// A bundle with this root filesystem and configuration.
    fn bundle(&self, name: &str, rootfs: &Path, config: Value) -> PathBuf {
        let bundle = self.folder.path().join(name);
        fs::create_dir(&bundle).unwrap();
        check("cp", ["-a", text(rootfs), text(&bundle.join("rootfs"))]);
        fs::write(bundle.join("config.json"), config.to_string()).unwrap();
        bundle
    }

    /// The sidecar, as in deploy/kubernetes/workload: privileged, with a read-only root, one
    /// device, and the shared folder at `/mnt/model`.
    fn sidecar(&self, device: &Path, root_hash: &str, more: &[Value]) -> PathBuf {
        let metadata = fs::metadata(device).unwrap();
        let arguments = json!([
            "/bin/disk-mounter",
            "sidecar",
            "--wait",
            "5",
            "--root-hash",
            root_hash,
            "/dev/model",
            "/mnt/model/disk"
        ]);
        let mut mounts = vec![
            json!({
                "destination": "/mnt/model", "type": "bind", "source": text(&self.shared),
                "options": ["rbind", "rshared", "rw"]
            }),
            json!({
                "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
                "options": ["ro", "nosuid", "noexec", "nodev"]
            }),
        ];
        mounts.extend_from_slice(more);
        let mut config = config(arguments, "rshared", mounts);
        let all: Vec<String> = CAPABILITIES
            .iter()
            .map(|name| format!("CAP_{name}"))
            .collect();
        for set in ["bounding", "effective", "permitted"] {
            config["process"]["capabilities"][set] = json!(all);
        }
        if metadata.rdev() != 0 {
            config["linux"]["devices"] = json!([{
                "path": "/dev/model", "type": "b", "fileMode": 0o660, "uid": 0, "gid": 0,
                "major": major(metadata.rdev()), "minor": minor(metadata.rdev())
            }]);
        }
        self.bundle("sidecar", Path::new(&variable("IMAGE_ROOTFS")), config)
    }

    /// A workload with a shell, without any privilege, and the shared folder at `/mnt/model`.
    fn workload(&self, script: &str, sums: &str) -> PathBuf {
        let rootfs = self.folder.path().join("busybox");
        fs::create_dir_all(rootfs.join("bin")).unwrap();
        fs::copy("/bin/busybox", rootfs.join("bin/busybox")).unwrap();
        for name in ["sh", "sha256sum", "sleep", "cat", "grep"] {
            std::os::unix::fs::symlink("busybox", rootfs.join("bin").join(name)).unwrap();
        }
        fs::write(rootfs.join("sums"), sums).unwrap();
        let mounts = vec![json!({
            "destination": "/mnt/model", "type": "bind", "source": text(&self.shared),
            "options": ["rbind", "rslave", "ro"]
        })];
        let mut config = config(json!(["/bin/sh", "-euc", script]), "rslave", mounts);
        config["process"]["user"] = json!({ "uid": 65532, "gid": 65532 });
        config["process"]["noNewPrivileges"] = json!(true);
        self.bundle("workload", &rootfs, config)
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        check("umount", [text(&self.shared)]);
    }
}

/// What all containers have: the mounts of the runtime specification, and namespaces of their own.
fn config(arguments: Value, propagation: &str, more: Vec<Value>) -> Value {
    let mount = |destination: &str, kind: &str, options: &[&str]| json!({ "destination": destination, "type": kind, "source": kind, "options": options });
    let mut mounts = vec![
        mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount(
            "/dev",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        mount(
            "/dev/pts",
            "devpts",
            &[
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
            ],
        ),
        mount(
            "/dev/shm",
            "tmpfs",
            &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
        ),
        mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
    ];
    mounts.extend(more);
    let namespaces = ["pid", "ipc", "uts", "mount", "network", "cgroup"];
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": { "uid": 0, "gid": 0 },
            "args": arguments,
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": {},
        },
        "root": { "path": "rootfs", "readonly": true },
        "mounts": mounts,
        "linux": {
            "namespaces": namespaces.map(|kind| json!({ "type": kind })),
            "rootfsPropagation": propagation,
            "resources": { "devices": [{ "allow": true, "access": "rwm" }] },
        },
    })
}

/// What a privileged container has: all of them.
const CAPABILITIES: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// A container that runs. What it says goes to this program's output too.
struct Container {
    name: &'static str,
    child: Child,
    lines: std::sync::mpsc::Receiver<String>,
    said: String,
}

impl Container {
    fn start(name: &'static str, bundle: &Path) -> Self {
        let script = format!(
            "exec crun --cgroup-manager=disabled run --bundle {} {name} 2>&1",
            bundle.display()
        );
        let mut child = Command::new("sh")
            .args(["-c", &script])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                println!("{name}: {line}");
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            name,
            child,
            lines,
            said: String::new(),
        }
    }

    #[track_caller]
    fn wait_for(&mut self, word: &str) {
        loop {
            match self.lines.recv() {
                Ok(line) => {
                    self.said += &line;
                    self.said.push('\n');
                    if line.contains(word) {
                        return;
                    }
                }
                Err(_) => panic!("{} ended without {word:?}: {}", self.name, self.said),
            }
        }
    }

    /// Runs the probe of the manifests in it.
    fn probe(&self) -> Outcome {
        let probe = [
            "exec",
            self.name,
            "/bin/disk-mounter",
            "status",
            "/mnt/model/disk",
        ];
        run("crun", ["--cgroup-manager=disabled"].iter().chain(&probe))
    }

    fn terminate(self) -> Outcome {
        println!("(SIGTERM to {})", self.name);
        let words = ["--cgroup-manager=disabled", "kill", self.name, "TERM"];
        let killed = run("crun", words);
        // It looks once more at the container, which may have ended and be gone by then.
        let gone = killed.stderr.contains("/status`: No such file");
        assert!(killed.code == 0 || gone, "{killed:?}");
        self.end()
    }

    fn end(mut self) -> Outcome {
        while let Ok(line) = self.lines.recv() {
            self.said += &line;
            self.said.push('\n');
        }
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        println!("({} ended with {code})", self.name);
        Outcome {
            code,
            stdout: String::new(),
            stderr: self.said,
        }
    }
}

/// Waits for the mount, checks every file, and waits until the mount is gone.
const READ_ALL: &str = "
    until grep -q ' /mnt/model/disk ' /proc/mounts; do sleep 0.1; done
    grep ' /mnt/model/disk ' /proc/mounts
    cd /mnt/model/disk
    sha256sum -c /sums
    cd /
    echo all files read
    while grep -q ' /mnt/model/disk ' /proc/mounts; do sleep 0.1; done
    echo the mount is gone
";

fn a_workload_reads_the_real_model() {
    let sums = fs::read_to_string(variable("MODEL_SUMS")).unwrap();
    let files = sums.lines().count();
    let before = Leftovers::look();
    let pod = Pod::new();
    // The workload first: it sees the mount appear.
    let mut workload = Container::start("workload", &pod.workload(READ_ALL, &sums));
    let device = PathBuf::from(variable("TESTVM_DISKS"));
    let bundle = pod.sidecar(&device, &variable("MODEL_ROOT_HASH"), &[]);
    let mut sidecar = Container::start("sidecar", &bundle);
    sidecar.wait_for("ready");
    workload.wait_for("all files read");
    sidecar.probe().is(0, &["verified"]);
    sidecar.terminate().is(0, &["is unmounted"]);
    let outcome = workload.end();
    outcome.is(0, &["the mount is gone"]);
    assert_eq!(outcome.stderr.matches(": OK\n").count(), files);
    drop(pod);
    before.check();
}

fn a_corrupt_disk_is_told_at_once() {
    let disk = TestDisk::new();
    let pod = Pod::new();
    let device = Loop::new(&disk.image);
    let log = disk.path("termination-log");
    fs::write(&log, "").unwrap();
    let termination_log = json!({
        "destination": "/dev/termination-log", "type": "bind", "source": text(&log),
        "options": ["bind", "rw"]
    });
    let bundle = pod.sidecar(device.path(), &disk.root_hash, &[termination_log]);
    let mut sidecar = Container::start("sidecar", &bundle);
    sidecar.wait_for("ready");
    disk.flip(in_the_largest_file(&disk));
    drop_caches();
    // The kernel's event reaches the container, whatever network namespace it has.
    let weights = pod.shared.join("disk/model.safetensors");
    fs::read(weights).map(|_| ()).unwrap_err();
    sidecar.wait_for("it lies in model.safetensors");
    let termination_log = fs::read_to_string(log).unwrap();
    assert!(
        termination_log.contains("it lies in model.safetensors"),
        "{termination_log}"
    );
    sidecar.terminate().is(3, &["is unmounted"]);
    fs::remove_dir(pod.shared.join("disk")).unwrap();
}

fn a_wrong_root_hash_ends_the_sidecar() {
    let disk = TestDisk::new();
    let pod = Pod::new();
    let device = Loop::new(&disk.image);
    let bundle = pod.sidecar(device.path(), &"0".repeat(64), &[]);
    Container::start("sidecar", &bundle)
        .end()
        .is(3, &["root hash does not match", &disk.root_hash]);
    assert!(!pod.shared.join("disk").exists());
}

/// An image file instead of a device: not even a loop device has a node.
fn an_image_file_in_a_bare_dev() {
    let disk = TestDisk::new();
    let pod = Pod::new();
    fs::set_permissions(&disk.image, fs::Permissions::from_mode(0o444)).unwrap();
    let image = json!({
        "destination": "/dev/model", "type": "bind", "source": text(&disk.image),
        "options": ["bind", "ro"]
    });
    let bundle = pod.sidecar(&disk.image, &disk.root_hash, &[image]);
    let mut sidecar = Container::start("sidecar", &bundle);
    sidecar.wait_for("ready");
    assert_eq!(crate::disk::files(&pod.shared.join("disk")), disk.files);
    sidecar.terminate().is(0, &["is unmounted"]);
}
