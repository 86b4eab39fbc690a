//! The kernel's clock for files.

use std::{thread, time::Duration};

use model_disk::FileStamp;
use nix::time::{ClockId, clock_gettime};

/// How often the clock is looked at; it moves on every 1 to 10 ms.
const POLL: Duration = Duration::from_millis(1);

/// Stamps from further in the future are those of another machine's clock.
const MAX_WAIT: Duration = Duration::from_millis(50);

/// Waits until what is written from now on has a later time than these stamps: within one step of
/// the clock, what was written before and what is written after they were taken look the same.
pub(super) fn wait_until_after<'a>(stamps: impl Iterator<Item = &'a FileStamp>) {
    let newest = stamps.map(FileStamp::changed).max().unwrap_or(i64::MIN);
    let limit = MAX_WAIT.as_nanos() as i64;
    while now().is_some_and(|now| (0..limit).contains(&newest.saturating_sub(now))) {
        thread::sleep(POLL);
    }
}

/// In nanoseconds since 1970.
fn now() -> Option<i64> {
    let now = Duration::from(clock_gettime(ClockId::CLOCK_REALTIME_COARSE).ok()?);
    now.as_nanos().try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_written_after_is_later() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let stamp = || FileStamp::of(&fs::metadata(file.path()).unwrap());
        let before = stamp();
        wait_until_after([before].iter());
        let modified = file.as_file().metadata().unwrap().modified().unwrap();
        file.as_file().set_modified(modified).unwrap();
        assert!(stamp().changed() > before.changed());
    }
}
