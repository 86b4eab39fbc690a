//! Runs `disk-builder` and `veritysetup`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;
use test_support::assert_causes_stand_once;

/// A directory of its own for a test, and the programs run in it.
pub(crate) struct WorkFolder(TempDir);

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl WorkFolder {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    /// On the disk that the programs are built on, which has extended attributes.
    pub(crate) fn on_disk() -> Self {
        Self(TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// Flips a bit of a file.
    pub(crate) fn flip(&self, name: &str, offset: usize) {
        let mut bytes = self.read(name);
        bytes[offset] ^= 1;
        self.write(name, &bytes);
    }

    /// The names of all files, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// `disk-builder`, ready to be run here.
    pub(crate) fn builder(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_disk-builder"));
        command.current_dir(self.0.path());
        command
    }

    /// Runs `disk-builder` with arguments that have no spaces in them.
    pub(crate) fn run(&self, arguments: &str) -> Ended {
        Ended::of(
            self.builder()
                .args(arguments.split_whitespace())
                .output()
                .unwrap(),
        )
    }

    /// Starts it, for signals: SIGHUP is not ignored, even where nohup(1) runs the tests.
    pub(crate) fn spawn(&self, arguments: &str) -> Child {
        Command::new("env")
            .args(["--default-signal=HUP", env!("CARGO_BIN_EXE_disk-builder")])
            .args(arguments.split_whitespace())
            .current_dir(self.0.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Runs it where no file may become larger than so many KiB.
    pub(crate) fn run_limited(&self, kib: u64, arguments: &str) -> Ended {
        let program = env!("CARGO_BIN_EXE_disk-builder");
        let script = format!("ulimit -f {kib}; exec {program} {arguments}");
        let output = Command::new("bash")
            .args(["-c", &script])
            .current_dir(self.0.path())
            .output();
        Ended::of(output.unwrap())
    }

    /// Runs `veritysetup`, which must be there.
    pub(crate) fn veritysetup(&self, arguments: &str) -> Ended {
        let output = Command::new(veritysetup())
            .args(arguments.split_whitespace())
            .current_dir(self.0.path())
            .output();
        Ended::of(output.expect("veritysetup is needed: install the package cryptsetup-bin"))
    }
}

pub(crate) fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id() as i32), signal).unwrap();
}

/// Debian keeps it where only root's PATH leads.
fn veritysetup() -> &'static Path {
    let sbin = Path::new("/usr/sbin/veritysetup");
    if sbin.exists() {
        sbin
    } else {
        Path::new("veritysetup")
    }
}

impl Ended {
    #[track_caller]
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let stderr = text(output.stderr);
        assert_causes_stand_once(&stderr);
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr,
        }
    }

    /// What it printed. It must have succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    /// It must have ended with this code and said this, in one line that names the program.
    #[track_caller]
    pub(crate) fn refused(self, code: i32, message: &str) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.stderr.contains(message), "{self:?}");
        assert!(self.stderr.starts_with("disk-builder: "), "{self:?}");
        assert_eq!(self.stderr.lines().count(), 1, "{self:?}");
    }

    /// It must have said why on the last line, after notes, which are given.
    #[track_caller]
    pub(crate) fn refused_with_notes(self, code: i32, message: &str) -> String {
        let lines = self.stderr.trim_end();
        let (notes, last) = lines.rsplit_once('\n').unwrap();
        assert!(notes.starts_with("disk-builder: note: "), "{self:?}");
        let notes = notes.to_owned();
        let stderr = format!("{last}\n");
        Self { stderr, ..self }.refused(code, message);
        notes
    }

    /// It must have refused its arguments, as the argument parser does.
    #[track_caller]
    pub(crate) fn usage(self, message: &str) {
        assert_eq!(self.code, Some(2), "{self:?}");
        assert!(self.stderr.contains(message), "{self:?}");
    }
}

/// The value after a label of `veritysetup` or `disk-builder`.
#[track_caller]
pub(crate) fn field<'a>(text: &'a str, label: &str) -> &'a str {
    let line = text.lines().find_map(|line| line.strip_prefix(label));
    line.expect(label).trim_start_matches([':', ' ', '\t'])
}

/// Data that is not all the same.
pub(crate) fn data(bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    (0..bytes)
        .map(|_| {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 56) as u8
        })
        .collect()
}

#[test]
fn the_environment_can_choose_the_hash_kernel() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::write(&data, vec![7; 300 * 4096]).unwrap();
    let hash = |kernel: &str| {
        std::process::Command::new(env!("CARGO_BIN_EXE_disk-builder"))
            .env("DM_VERITY_SHA256_BACKEND", kernel)
            .args(["hash", "--force", "--hash-device"])
            .args([folder.path().join("tree"), data.clone()])
            .output()
            .unwrap()
    };
    let portable = hash("portable");
    assert!(portable.status.success(), "{portable:?}");
    // Without a choice it is the fastest one, which gives the same.
    let chosen = std::process::Command::new(env!("CARGO_BIN_EXE_disk-builder"))
        .args(["hash", "--force", "--hash-device"])
        .args([folder.path().join("tree"), data.clone()])
        .output()
        .unwrap();
    assert_eq!(chosen.stdout, portable.stdout);
    let unknown = hash("quantum");
    assert_eq!(unknown.status.code(), Some(2), "{unknown:?}");
}
