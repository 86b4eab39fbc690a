//! Whether data in the page cache is better mapped or copied: that depends on the processor and on
//! how the filesystem keeps its pages. On some machines one is a third faster, on others the other.

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

/// How often both are tried, together, before the faster one is kept to.
const TRIALS: usize = 32;

/// How fast each way has been. The best counts and not the mean: what else the machine does makes a
/// piece slower, and none faster.
#[derive(Debug)]
pub(super) struct Pace {
    tried: AtomicUsize,
    /// In picoseconds for a byte; the most where it has not worked yet.
    mapped: AtomicU64,
    copied: AtomicU64,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self {
            tried: AtomicUsize::new(0),
            mapped: AtomicU64::new(u64::MAX),
            copied: AtomicU64::new(u64::MAX),
        }
    }

    /// Whether the next piece should be mapped.
    pub(super) fn map_next(&self) -> bool {
        let tried = self.tried.fetch_add(1, Ordering::Relaxed);
        if tried < TRIALS {
            return tried.is_multiple_of(2);
        }
        self.mapped.load(Ordering::Relaxed) < self.copied.load(Ordering::Relaxed)
    }

    /// How long a piece took, with its hashing.
    pub(super) fn took(&self, mapped: bool, bytes: usize, time: Duration) {
        let picoseconds = time.as_nanos() as u64 * 1000 / bytes.max(1) as u64;
        let way = if mapped { &self.mapped } else { &self.copied };
        way.fetch_min(picoseconds, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is chosen when the trials are over, with pieces that took so many milliseconds.
    fn chosen(mapped: Option<u64>, copied: u64) -> bool {
        let pace = Pace::new();
        for trial in 0..TRIALS as u64 {
            // Where it cannot be mapped it is copied.
            let map = pace.map_next();
            let time = mapped.filter(|_| map);
            // Something else ran most of the time.
            let late = if trial == 11 || trial == 12 { 0 } else { 100 };
            let took = Duration::from_millis(time.unwrap_or(copied) + late);
            pace.took(time.is_some(), 1 << 20, took);
        }
        pace.map_next()
    }

    #[test]
    fn the_faster_way_is_kept_to() {
        assert!(chosen(Some(10), 11));
        assert!(!chosen(Some(11), 10));
        assert!(!chosen(None, 10));
    }
}
