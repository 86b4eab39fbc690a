//! The threads.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use model_disk::{Interrupted, Progress};
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

/// Threads that share the work on a tree.
#[derive(Debug)]
pub struct Workers {
    pool: ThreadPool,
    interrupted: Arc<AtomicBool>,
    progress: Arc<Progress>,
}

impl Workers {
    /// Starts so many threads. They stop soon after `interrupted` becomes true.
    pub fn new(threads: usize, interrupted: Arc<AtomicBool>) -> Result<Self, ThreadPoolBuildError> {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build()?;
        Ok(Self {
            pool,
            interrupted,
            progress: Arc::default(),
        })
    }

    /// How many there are.
    pub(super) fn threads(&self) -> usize {
        self.pool.current_num_threads()
    }

    /// How far they are with the data.
    pub fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// What becomes true when somebody asks to stop.
    pub fn interrupted(&self) -> &Arc<AtomicBool> {
        &self.interrupted
    }

    /// An error once somebody has asked to stop.
    pub fn check_interrupted(&self) -> Result<(), Interrupted> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Err(Interrupted);
        }
        Ok(())
    }

    /// Calls `work` so that what rayon does in it is done by these threads.
    pub fn install<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        self.pool.install(work)
    }

    /// Calls `work` once for each number below `count`, in about ascending order, which suits
    /// disks. Each thread hands its own `state` to its calls. Ends at the first error, of which
    /// `failed` is told: for those that wait in their `work` for what will not come.
    pub(super) fn for_each<S, E>(
        &self,
        count: u64,
        state: impl Fn() -> S + Sync,
        work: impl Fn(&mut S, u64) -> Result<(), E> + Sync,
        failed: impl Fn() + Sync,
    ) -> Result<(), E>
    where
        E: From<Interrupted> + Send,
    {
        let next = AtomicU64::new(0);
        let failure = Mutex::new(None);
        self.pool.broadcast(|_| {
            let mut state = state();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    return;
                }
                let result = self
                    .check_interrupted()
                    .map_err(E::from)
                    .and_then(|()| work(&mut state, index));
                if let Err(error) = result {
                    // The others find nothing left to do.
                    next.store(count, Ordering::Relaxed);
                    let mut first = failure.lock().unwrap_or_else(PoisonError::into_inner);
                    first.get_or_insert(error);
                    drop(first);
                    failed();
                    return;
                }
            }
        });
        match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workers(threads: usize) -> Workers {
        Workers::new(threads, Arc::default()).unwrap()
    }

    #[test]
    fn each_number_once() {
        for threads in [1, 2, 7] {
            let seen = Mutex::new(Vec::new());
            workers(threads)
                .for_each(
                    100,
                    || (),
                    |(), index| -> Result<(), Interrupted> {
                        seen.lock().unwrap().push(index);
                        Ok(())
                    },
                    || (),
                )
                .unwrap();
            let mut seen = seen.into_inner().unwrap();
            seen.sort_unstable();
            assert_eq!(seen, (0..100).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_error_ends_it() {
        let calls = AtomicU64::new(0);
        let result = workers(1).for_each(
            100,
            || (),
            |(), index| {
                calls.fetch_add(1, Ordering::Relaxed);
                if index == 3 { Err(Interrupted) } else { Ok(()) }
            },
            || (),
        );
        assert_eq!(result, Err(Interrupted));
        assert_eq!(calls.into_inner(), 4);
    }

    #[test]
    fn nothing_begins_after_an_interrupt() {
        let workers = Workers::new(2, Arc::new(AtomicBool::new(true))).unwrap();
        let result = workers.for_each(
            1,
            || (),
            |(), _| -> Result<(), Interrupted> { panic!("called after an interrupt") },
            || (),
        );
        assert_eq!(result, Err(Interrupted));
    }
}
