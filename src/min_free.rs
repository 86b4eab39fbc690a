//! The kernel's reserve of free memory, `vm.min_free_kbytes`.
//!
//! Reading very large disks fills memory with page cache faster than the kernel takes it back
//! for allocations that cannot wait; operators raise the reserve against that.

use std::{fs, io, path::Path, time::Duration};

use model_disk::{ExitCode, FileError, HasExitCode, Interrupted};

use crate::{
    lock::{RunLock, Tried, holder_name},
    log,
    pause::{Deadline, Pause},
};

const PATH: &str = "/proc/sys/vm/min_free_kbytes";

/// What is locked, so that no run takes what another has raised, and may set back, for what was there.
const LOCK: &str = "min_free_kbytes";

/// How often a reserve that another run has in hand is tried.
const POLL: Duration = Duration::from_millis(20);

/// Why the reserve cannot be raised.
#[derive(Debug, thiserror::Error)]
pub enum MinFreeError {
    /// Another run has it in hand, and takes its time.
    #[error(
        "{} has raised vm.min_free_kbytes and mounts: timed out after {seconds} s while waiting for \
         that to end (--wait sets the time)",
        holder_name(*holder)
    )]
    Busy {
        /// Which process.
        holder: Option<u32>,
        /// For how long it was waited for.
        seconds: u64,
    },
    /// The wait was ended from outside.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// A system call failed.
    #[error(transparent)]
    File(#[from] FileError),
}

impl HasExitCode for MinFreeError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Busy { .. } => ExitCode::InTheWay,
            Self::Interrupted(_) => ExitCode::Failure,
            Self::File(error) => error.exit_code(),
        }
    }
}

/// A reserve that was raised. Dropped, it goes back to what it was, unless somebody else has
/// changed it meanwhile.
pub(crate) struct MinFree {
    before: u64,
    raised: u64,
    /// None where nothing was asked for.
    _lock: Option<RunLock>,
}

impl MinFree {
    /// Raises the reserve to so many KiB, if that is asked for; one that is as large already
    /// stays. Waits until no other run has it in hand.
    pub(crate) fn raise(
        kib: Option<u64>,
        deadline: &Deadline,
        pause: Pause<'_>,
    ) -> Result<Self, MinFreeError> {
        let Some(kib) = kib else {
            return Ok(Self {
                before: 0,
                raised: 0,
                _lock: None,
            });
        };
        let lock = loop {
            match RunLock::try_take(LOCK)? {
                Tried::Held(lock) => break lock,
                Tried::Other(holder) if deadline.has_passed() => {
                    let seconds = deadline.wait().as_secs();
                    return Err(MinFreeError::Busy { holder, seconds });
                }
                Tried::Other(_) => pause(POLL)?,
            }
        };
        let path = Path::new(PATH);
        let before = read().map_err(FileError::new("read", path))?;
        if before < kib {
            fs::write(path, kib.to_string()).map_err(FileError::new::<io::Error>("write", path))?;
        }
        Ok(Self {
            before,
            raised: before.max(kib),
            _lock: Some(lock),
        })
    }

    /// Lets the reserve stay.
    pub(crate) fn keep(mut self) {
        self.before = self.raised;
    }
}

impl Drop for MinFree {
    fn drop(&mut self) {
        if self.before == self.raised || read().ok() != Some(self.raised) {
            return;
        }
        if let Err(error) = fs::write(PATH, self.before.to_string()) {
            log::warn(format_args!("{PATH} stays at {}: {error}", self.raised));
        }
    }
}

fn read() -> io::Result<u64> {
    fs::read_to_string(PATH)?
        .trim()
        .parse()
        .map_err(|_| io::ErrorKind::InvalidData.into())
}
