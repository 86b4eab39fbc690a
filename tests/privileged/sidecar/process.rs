//! A sidecar that runs, and waiting for what it does.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Child, ChildStderr, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{disk::TestDisk, run::Outcome};

/// A sidecar that runs.
pub(crate) struct Sidecar {
    child: Child,
    stderr: BufReader<ChildStderr>,
    said: String,
}

impl Sidecar {
    /// Starts one; the words are separated by blanks.
    pub(crate) fn start(program: &str, line: &str) -> Self {
        Self::spawn(Command::new(program).args(line.split_ascii_whitespace()))
    }

    /// Starts a program that becomes, or starts, one.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self {
            child,
            stderr,
            said: String::new(),
        }
    }

    /// Starts one for a disk, and waits until it is ready.
    pub(crate) fn ready(disk: &TestDisk) -> Self {
        let line = disk.sidecar_line("");
        let mut sidecar = Self::start("disk-mounter", &line);
        // (Not "already".)
        sidecar.wait_for("ready:");
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

    /// Its second process.
    #[track_caller]
    pub(crate) fn helper(&self) -> Pid {
        let pid = self.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        Pid::from_raw(children.trim().parse().unwrap())
    }

    /// A field of its `/proc/PID/status`.
    #[track_caller]
    pub(crate) fn status_field(&self, name: &str) -> String {
        status_field(self.pid(), name)
    }

    /// The `/proc/PID/task/TID/status` of each of its threads.
    #[track_caller]
    pub(crate) fn threads(&self) -> Vec<String> {
        threads(self.pid())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Outcome {
        self.stderr.read_to_string(&mut self.said).unwrap();
        test_support::assert_causes_stand_once(&self.said);
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

/// A field of the `/proc/PID/status` of a process.
#[track_caller]
pub(super) fn status_field(process: Pid, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap().trim().to_owned()
}

/// The `/proc/PID/task/TID/status` of each thread of a process.
#[track_caller]
pub(super) fn threads(process: Pid) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let statuses = threads.map(|thread| {
        // One that has just ended has none.
        fs::read_to_string(thread.unwrap().path().join("status")).ok()
    });
    statuses.flatten().collect()
}

/// What a process has open.
#[track_caller]
pub(super) fn open_files(process: Pid) -> Vec<PathBuf> {
    let files = fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    // One that was open for a moment is gone.
    let files = files.map(|entry| fs::read_link(entry.unwrap().path()).ok());
    files.flatten().collect()
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
