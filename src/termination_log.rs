//! The termination log of a container, which Kubernetes shows with the pod.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    io::{Seek, Write},
    os::unix::fs::OpenOptionsExt,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

/// Where Kubernetes looks for them, if it is there.
const TERMINATION_LOG: &str = "/dev/termination-log";

static ALLOWED: AtomicBool = AtomicBool::new(false);

/// None where there is no such file.
static FILE: OnceLock<Option<File>> = OnceLock::new();

/// The commands that also run beside what a container is made for, as its probes or by hand, and must
/// not write over its words.
const GUESTS: [&str; 7] = ["unmount", "status", "inspect", "help", "ls", "cat", "check"];

/// Whether a command line, right or wrong, is one that a container is made for: one that mounts a
/// disk, or extracts it. Without a command there is nothing to say.
pub(crate) fn has_some(words: &[OsString]) -> bool {
    let mut words = words.iter().skip(1);
    while let Some(word) = words.next() {
        match word.to_string_lossy().as_ref() {
            // The one option that may stand before the command.
            "--log-format" => drop(words.next()),
            option if option.starts_with('-') => {}
            command => return !GUESTS.contains(&command),
        }
    }
    false
}

/// Whether there is to be one. There is none before this was called.
pub(crate) fn allow(allowed: bool) {
    ALLOWED.store(allowed, Ordering::Relaxed);
}

/// Opens it, if there is to be one, for a program that cannot do so later.
pub(crate) fn open() {
    if ALLOWED.load(Ordering::Relaxed) {
        FILE.get_or_init(|| {
            OpenOptions::new()
                .write(true)
                // Whoever can make a link there chooses what is written over.
                .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
                .open(TERMINATION_LOG)
                .ok()
        });
    }
}

/// Leaves the error in it, if there is to be one.
pub(crate) fn leave(error: &str) {
    open();
    if let Some(Some(file)) = FILE.get() {
        let mut file: &File = file;
        // The error has been told; this is a second copy of it.
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", error.trim_end()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has_some(line: &str) -> bool {
        let words = ["disk-mounter"].into_iter().chain(line.split(' '));
        super::has_some(&words.map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn commands_that_a_container_is_made_for() {
        for line in [
            "extract /dev/model /mnt/model/disk --root-hash 12",
            "mount --root-hash 12 /dev/vdb /mnt",
            "mount",
            "sidecar /dev/vdb",
            "sidecar --no-such-option --root-hash 12 /dev/vdb /mnt",
            "--log-format json sidecar --wait never /dev/vdb /mnt",
            "--log-format=xml sidecar /dev/vdb /mnt",
            "--log-format xml mount /dev/vdb /mnt",
            "model 0 12",
            "--log-format json model 0",
            "--log-forma json model 0 12",
            "sidecarr /dev/vdb /mnt",
        ] {
            assert!(has_some(line), "{line}");
        }
    }

    #[test]
    fn probes_and_no_command() {
        for line in [
            "ls /dev/model --root-hash 12",
            "cat /dev/model config.json --root-hash 12",
            "check /dev/model /mnt/model/disk --root-hash 12",
            "status /mnt",
            "status",
            "status --no-such-option /mnt",
            "--log-format json status /mnt",
            "--log-format xml status /mnt",
            "unmount",
            "inspect --hash-offset 1X /dev/vdb",
            "help mount",
            "--help",
            "--version",
            "--no-such-option",
        ] {
            assert!(!has_some(line), "{line}");
        }
        assert!(!super::has_some(&["disk-mounter".into()]));
    }
}
