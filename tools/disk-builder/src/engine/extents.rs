//! Which stretches of a file are data and which are holes, asked for once each. No I/O.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use super::Extent;

/// How many stretches are remembered: as many as lie in the runs that workers are in at a time,
/// unless a file is nothing but fragments.
const MAX_KNOWN: usize = 4096;

/// What is known of a file's stretches, for many threads that go through it together.
///
/// The kernel tells where a stretch ends, and some filesystems look at every page up to there, or
/// ask a server. So each is asked for from its start, in order, by whoever gets there first.
#[derive(Debug, Default)]
pub struct KnownExtents(Mutex<ExtentRun>);

/// Stretches that follow each other.
#[derive(Debug, Default)]
struct ExtentRun {
    /// Where the first of them starts.
    start: u64,
    extents: VecDeque<Extent>,
}

impl KnownExtents {
    /// What is known of the file from `offset` on. `ask` tells of the stretch from where it is
    /// called with; it ends after that.
    pub(super) fn at<E>(
        &self,
        offset: u64,
        ask: impl Fn(u64) -> Result<Extent, E>,
    ) -> Result<Extent, E> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while known.end() <= offset {
            let next = ask(known.end())?;
            known.push(next);
        }
        match known.get(offset) {
            Some(extent) => Ok(extent),
            None => {
                drop(known);
                ask(offset)
            }
        }
    }
}

impl ExtentRun {
    fn end(&self) -> u64 {
        self.extents.back().map_or(self.start, |last| last.end)
    }

    fn push(&mut self, next: Extent) {
        self.extents.push_back(next);
        if self.extents.len() > MAX_KNOWN
            && let Some(first) = self.extents.pop_front()
        {
            self.start = first.end;
        }
    }

    /// None where it has been forgotten.
    fn get(&self, offset: u64) -> Option<Extent> {
        if offset < self.start {
            return None;
        }
        let place = self.extents.partition_point(|extent| extent.end <= offset);
        self.extents.get(place).copied()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::{
            Arc,
            atomic::{AtomicU64, Ordering},
        },
    };

    use super::*;
    use crate::engine::Workers;

    /// Data and holes in turns, each so long.
    fn extent(offset: u64, length: u64) -> Extent {
        Extent {
            zeros: (offset / length) % 2 == 1,
            end: (offset / length + 1) * length,
        }
    }

    /// Asks in windows, as workers do, and gives how often the file was asked.
    fn asked(bytes: u64, length: u64, window: u64, threads: usize) -> u64 {
        let known = KnownExtents::default();
        let asked = AtomicU64::new(0);
        let workers = Workers::new(threads, Arc::default()).unwrap();
        let visit = |(): &mut (), index| {
            let mut offset = index * window;
            while offset < (index + 1) * window {
                let found = known.at(offset, |offset| {
                    asked.fetch_add(1, Ordering::Relaxed);
                    Ok::<_, Infallible>(extent(offset, length))
                });
                let found = found.unwrap();
                assert_eq!(found, extent(offset, length));
                offset = found.end;
            }
            Ok::<_, model_disk::Interrupted>(())
        };
        workers
            .for_each(bytes / window, || (), visit, || ())
            .unwrap();
        asked.into_inner()
    }

    #[test]
    fn each_stretch_is_asked_for_once() {
        for threads in [1, 2, 7] {
            // Longer than a window, as long, and many in each.
            for length in [1 << 30, 4 << 20, 256 << 10] {
                assert_eq!(
                    asked(1 << 30, length, 4 << 20, threads),
                    (1 << 30) / length,
                    "{length} {threads}"
                );
            }
        }
    }

    #[test]
    fn what_was_forgotten_is_asked_for_again() {
        let known = KnownExtents::default();
        let ask = |offset| Ok::<_, Infallible>(extent(offset, 10));
        let far = 10 * MAX_KNOWN as u64 * 2;
        assert_eq!(known.at(far, ask), Ok(extent(far, 10)));
        assert_eq!(known.0.lock().unwrap().extents.len(), MAX_KNOWN);
        for offset in [0, 3, 19, far - 11, far + 9] {
            assert_eq!(known.at(offset, ask), Ok(extent(offset, 10)), "{offset}");
        }
    }

    #[test]
    fn an_error_is_told_and_the_next_one_asks_again() {
        let known = KnownExtents::default();
        assert_eq!(known.at(5, |_| Err(())), Err(()));
        assert_eq!(
            known.at(5, |offset| Ok::<_, ()>(extent(offset, 10))),
            Ok(extent(5, 10))
        );
    }
}
