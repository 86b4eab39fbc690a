//! When it is told that blocks were corrected: at once at first, and then now and then, as a disk with
//! much to be corrected would fill the log.

use std::{
    cell::Cell,
    path::Path,
    time::{Duration, Instant},
};

use model_disk::Escaped;

use crate::log;

/// How often it is told at most.
const INTERVAL: Duration = Duration::from_secs(60);

/// What has been told of it.
#[derive(Default)]
pub(crate) struct Corrections {
    told: Cell<u64>,
    when: Cell<Option<Instant>>,
}

impl Corrections {
    /// Tells of the blocks of a mount that were corrected, where that is due; the last time all are told.
    pub(crate) fn tell(&self, mount_point: &Path, corrected: Option<u64>, is_last: bool) {
        if let Some(count) = self.news(corrected, Instant::now(), is_last) {
            log::warn(format_args!(
                "{}: blocks corrected so far (FEC): {count}",
                Escaped::path(mount_point)
            ));
        }
    }

    fn news(&self, corrected: Option<u64>, now: Instant, is_last: bool) -> Option<u64> {
        let count = corrected.filter(|count| *count > self.told.get())?;
        let is_due = |when| now.saturating_duration_since(when) >= INTERVAL;
        if !is_last && !self.when.get().is_none_or(is_due) {
            return None;
        }
        self.told.set(count);
        self.when.set(Some(now));
        Some(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_at_once_and_then_now_and_then_and_the_last() {
        let corrections = Corrections::default();
        let start = Instant::now();
        for (seconds, count, is_last, told) in [
            (0, None, false, None),
            (1, Some(0), false, None),
            (2, Some(3), false, Some(3)),
            (3, Some(4), false, None),
            (61, Some(4), false, None),
            (62, Some(9), false, Some(9)),
            (200, Some(9), false, None),
            (201, Some(10), false, Some(10)),
            (202, Some(11), true, Some(11)),
            (203, Some(11), true, None),
        ] {
            let now = start + Duration::from_secs(seconds);
            let news = corrections.news(count, now, is_last);
            assert_eq!(news, told, "after {seconds} s");
        }
    }
}
