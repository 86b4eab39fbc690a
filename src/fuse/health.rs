//! What a server has found out about its disk, and how the thread that watches hears of it.

use std::{
    io::{self, PipeReader, PipeWriter, Read as _, Write as _},
    os::fd::{AsFd, BorrowedFd},
    sync::{Mutex, MutexGuard, PoisonError},
};

use model_disk::{ErrorChain, ExitCode, HasExitCode as _, erofs::ErofsError};
use rustix::fs::{OFlags, fcntl_setfl};
use verified_disk::VerifiedReadError;

use crate::reading::FilesystemError;

/// What is wrong with a disk, as it was met by a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServedDamage {
    /// In words.
    pub(super) what: String,
    /// Where the data block starts that it is in, in bytes, if it is in one.
    pub(super) data_offset: Option<u64>,
}

/// What the threads that serve remember: the first of each, for as long as they serve.
pub(super) struct Health {
    found: Mutex<NotedDamage>,
    wake: PipeWriter,
}

#[derive(Default)]
struct NotedDamage {
    corrupt: Option<ServedDamage>,
    unread: Option<String>,
}

/// The other end, for the thread that watches.
pub(super) struct HealthEvents(PipeReader);

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HealthEvent {
    /// The disk turned corrupt.
    Corrupt,
    /// Something of it could not be read.
    Unread,
    /// Nobody serves it any more.
    Ended,
}

impl HealthEvent {
    const ALL: [Self; 3] = [Self::Corrupt, Self::Unread, Self::Ended];
}

impl Health {
    /// Nothing is wrong yet.
    pub(super) fn new() -> io::Result<(Self, HealthEvents)> {
        let (events, wake) = io::pipe()?;
        fcntl_setfl(&events, OFlags::NONBLOCK)?;
        let found = Mutex::default();
        Ok((Self { found, wake }, HealthEvents(events)))
    }

    fn found(&self) -> MutexGuard<'_, NotedDamage> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is corrupt, if anything was found so.
    pub(super) fn corrupt(&self) -> Option<ServedDamage> {
        self.found().corrupt.clone()
    }

    /// The first that could not be read, and is not known to be corrupt.
    pub(super) fn unread(&self) -> Option<String> {
        self.found().unread.clone()
    }

    /// Remembers why a read failed, where that is the disk's or its device's fault.
    pub(super) fn note(&self, error: &FilesystemError) {
        let ErofsError::Read(error) = error else {
            return;
        };
        let mut found = self.found();
        let event = if error.exit_code() == ExitCode::Integrity {
            if found.corrupt.is_some() {
                return;
            }
            found.corrupt = Some(ServedDamage::of(error));
            HealthEvent::Corrupt
        } else {
            if found.unread.is_some() {
                return;
            }
            found.unread = Some(ErrorChain(error).to_string());
            HealthEvent::Unread
        };
        self.tell(event);
    }

    /// Says that nobody serves it any more.
    pub(super) fn end(&self) {
        self.tell(HealthEvent::Ended);
    }

    fn tell(&self, event: HealthEvent) {
        // Three bytes in all: there is room for them.
        let _ = (&self.wake).write(&[event as u8]);
    }
}

impl ServedDamage {
    fn of(error: &VerifiedReadError) -> Self {
        match error {
            VerifiedReadError::DataBlock { block, offset, .. } => Self {
                what: format!("data block {block} is not what the root hash says"),
                data_offset: Some(*offset),
            },
            VerifiedReadError::HashBlock { level, block, .. } => Self {
                what: format!("hash block {block} of level {level} is not what the root hash says"),
                data_offset: None,
            },
            // It has become shorter.
            error => Self {
                what: ErrorChain(error).to_string(),
                data_offset: None,
            },
        }
    }
}

impl HealthEvents {
    /// The next event, if there is one.
    pub(super) fn next(&self) -> io::Result<Option<HealthEvent>> {
        let mut byte = [0];
        match (&self.0).read_exact(&mut byte) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
            Ok(()) => Ok(HealthEvent::ALL
                .into_iter()
                .find(|event| byte == [*event as u8])),
        }
    }
}

impl AsFd for HealthEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use model_disk::FileError;

    use super::*;

    fn corrupt(block: u64) -> FilesystemError {
        ErofsError::Read(VerifiedReadError::DataBlock {
            path: "/dev/vda".into(),
            block,
            offset: block * 4096,
        })
    }

    fn failed(errno: i32) -> FilesystemError {
        let source = io::Error::from_raw_os_error(errno);
        let error = FileError::new("read", Path::new("/dev/vda"))(source);
        ErofsError::Read(error.into())
    }

    #[test]
    fn the_first_of_each_is_remembered_and_told_once() {
        let (health, events) = Health::new().unwrap();
        health.note(&ErofsError::Link(7));
        health.note(&failed(libc::EIO));
        health.note(&failed(libc::ENXIO));
        assert_eq!(health.corrupt(), None);
        assert!(health.unread().unwrap().contains("Input/output error"));
        health.note(&corrupt(3));
        health.note(&corrupt(4));
        let damage = health.corrupt().unwrap();
        assert_eq!(damage.data_offset, Some(3 * 4096));
        assert_eq!(damage.what, "data block 3 is not what the root hash says");
        health.end();
        let told = [(); 4].map(|()| events.next().unwrap());
        let expected = [
            Some(HealthEvent::Unread),
            Some(HealthEvent::Corrupt),
            Some(HealthEvent::Ended),
            None,
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_disk_that_became_shorter_is_corrupt() {
        let (health, _events) = Health::new().unwrap();
        let source = io::Error::from(io::ErrorKind::UnexpectedEof);
        let error = FileError::new("read", Path::new("/dev/vda"))(source);
        health.note(&ErofsError::Read(error.into()));
        assert_eq!(health.corrupt().unwrap().data_offset, None);
    }
}
