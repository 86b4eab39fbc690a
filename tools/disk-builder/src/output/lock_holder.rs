//! Who has a file locked.

use std::{fmt, fs, fs::Metadata, os::unix::fs::MetadataExt};

use model_disk::{Escaped, device_number};

/// A process that has a file locked (`flock`), as far as the kernel tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockHolder(Option<u32>);

impl LockHolder {
    /// The holder of the lock of a file. None is told of another PID namespace.
    pub(super) fn of(file: &Metadata) -> Self {
        let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
        Self(holder(&locks, file))
    }
}

/// See proc_locks(5). A process that waits has `->` before its kind.
fn holder(locks: &str, file: &Metadata) -> Option<u32> {
    let number = device_number(file.dev());
    let inode = format!("{:02x}:{:02x}:{}", number.major, number.minor, file.ino());
    locks.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let is_flock = words.next() == Some("FLOCK");
        let mut words = words.skip(2);
        let process = words.next()?;
        let is_its = is_flock && words.next() == Some(&inode);
        is_its.then(|| process.parse().ok()).flatten()
    })
}

impl fmt::Display for LockHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(process) = self.0 else {
            return f.write_str("another process");
        };
        write!(f, "process {process}")?;
        // It may have ended.
        match fs::read(format!("/proc/{process}/comm")) {
            Ok(name) => {
                let name = name.strip_suffix(b"\n").unwrap_or(&name);
                write!(f, " ({})", Escaped::bytes(name))
            }
            Err(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let metadata = file.as_file().metadata().unwrap();
        assert_eq!(LockHolder::of(&metadata).to_string(), "another process");
        file.as_file().lock().unwrap();
        let holder = LockHolder::of(&metadata);
        let said = format!("process {} (", std::process::id());
        assert!(holder.to_string().starts_with(&said), "{holder}");
    }

    #[test]
    fn who_waits_has_no_lock() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let metadata = file.as_file().metadata().unwrap();
        let number = device_number(metadata.dev());
        let (major, minor) = (number.major, number.minor);
        let inode = format!("{major:02x}:{minor:02x}:{}", metadata.ino());
        let locks = |lines: &[&str]| lines.join("\n").replace("INODE", &inode);
        let held = locks(&[
            "1: POSIX  ADVISORY  WRITE 1 INODE 0 EOF",
            "2: FLOCK  ADVISORY  WRITE 2 00:00:1 0 EOF",
            "3: -> FLOCK  ADVISORY  WRITE 3 INODE 0 EOF",
            "4: FLOCK  ADVISORY  WRITE 4 INODE 0 EOF",
        ]);
        assert_eq!(holder(&held, &metadata), Some(4));
        // In another PID namespace.
        let elsewhere = locks(&["4: FLOCK  ADVISORY  WRITE -1 INODE 0 EOF"]);
        assert_eq!(holder(&elsewhere, &metadata), None);
        assert_eq!(holder("", &metadata), None);
    }
}
