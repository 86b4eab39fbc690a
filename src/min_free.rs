//! The kernel's reserve of free memory, `vm.min_free_kbytes`.
//!
//! Reading very large disks fills memory with page cache faster than the kernel takes it back
//! for allocations that cannot wait; operators raise the reserve against that.

use std::{fs, io, path::Path};

use model_disk::FileError;

use crate::log;

const PATH: &str = "/proc/sys/vm/min_free_kbytes";

/// A reserve that was raised. Dropped, it goes back to what it was, unless somebody else has
/// changed it meanwhile.
pub(crate) struct MinFree {
    before: u64,
    raised: u64,
}

impl MinFree {
    /// Raises the reserve to so many KiB, if that is asked for; one that is as large already
    /// stays.
    pub(crate) fn raise(kib: Option<u64>) -> Result<Self, FileError> {
        let Some(kib) = kib else {
            return Ok(Self {
                before: 0,
                raised: 0,
            });
        };
        let path = Path::new(PATH);
        let before = read().map_err(FileError::new("read", path))?;
        if before < kib {
            fs::write(path, kib.to_string()).map_err(FileError::new::<io::Error>("write", path))?;
        }
        Ok(Self {
            before,
            raised: before.max(kib),
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
