//! Jobs that are done by threads.

use std::{
    num::NonZero,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, SyncSender},
    },
    thread,
};

use super::ReadingError;

/// How many jobs wait for a thread at most.
const WAITING: usize = 64;

/// Where jobs are handed to the threads.
pub(super) struct JobQueue<'a, J> {
    sender: SyncSender<J>,
    stopped: &'a AtomicBool,
}

impl<J> JobQueue<'_, J> {
    /// Adds a job, when there is room. False where one has failed: then no more is of any use.
    pub(super) fn add(&self, job: J) -> bool {
        !self.stopped.load(Ordering::Relaxed) && self.sender.send(job).is_ok()
    }
}

/// Calls `produce`, and meanwhile does the jobs that it adds in so many threads, each with a `state` of
/// its own. The error is the first that there was.
pub(super) fn run_jobs<J: Send, S, E: From<ReadingError> + Send>(
    threads: NonZero<usize>,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, J) -> Result<(), E> + Sync,
    produce: impl FnOnce(&JobQueue<'_, J>) -> Result<(), E>,
) -> Result<(), E> {
    let (sender, receiver) = mpsc::sync_channel(WAITING);
    let receiver = Mutex::new(receiver);
    let (stopped, failure) = (AtomicBool::new(false), Mutex::new(None));
    let run = || {
        let mut state = state();
        // After a failure, what is waiting is dropped, so that nobody waits for room.
        while let Some(job) = next(&receiver) {
            if stopped.load(Ordering::Relaxed) {
                continue;
            }
            if let Err(error) = work(&mut state, job) {
                stopped.store(true, Ordering::Relaxed);
                let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
                failure.get_or_insert(error);
            }
        }
    };
    let produced = thread::scope(|scope| {
        let mut missing = None;
        let mut started: usize = 0;
        for _ in 0..threads.get() {
            match thread::Builder::new().spawn_scoped(scope, run) {
                Ok(_) => started += 1,
                Err(error) => missing = Some(error),
            }
        }
        let queue = JobQueue {
            sender,
            stopped: &stopped,
        };
        match missing {
            // Those that there are do it all, in more time.
            Some(error) if started == 0 => Err(ReadingError::Threads(error).into()),
            _ => produce(&queue),
        }
    });
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => produced,
    }
}

/// Waits for a job; none where no more will come.
fn next<J>(receiver: &Mutex<Receiver<J>>) -> Option<J> {
    let receiver = receiver.lock().unwrap_or_else(PoisonError::into_inner);
    receiver.recv().ok()
}

#[cfg(test)]
mod tests {
    use std::{io, sync::atomic::AtomicU64};

    use super::*;

    fn failed() -> ReadingError {
        ReadingError::Output(io::ErrorKind::Other.into())
    }

    #[test]
    fn all_jobs_are_done() {
        for threads in [1, 4] {
            let sum = AtomicU64::new(0);
            run_jobs(
                NonZero::new(threads).unwrap(),
                || (),
                |(), number| {
                    sum.fetch_add(number, Ordering::Relaxed);
                    Ok::<_, ReadingError>(())
                },
                |queue| {
                    assert!((0..1000).all(|number| queue.add(number)));
                    Ok(())
                },
            )
            .unwrap();
            assert_eq!(sum.into_inner(), 999 * 500);
        }
    }

    /// Whoever adds jobs hears of it, and does not wait for ever.
    #[test]
    fn a_failure_ends_it() {
        let result = run_jobs(
            NonZero::new(3).unwrap(),
            || (),
            |(), number| if number == 500 { Err(failed()) } else { Ok(()) },
            |queue| {
                while queue.add(500) {}
                Ok(())
            },
        );
        assert!(matches!(result, Err(ReadingError::Output(_))));
        let result = run_jobs(
            NonZero::<usize>::MIN,
            || (),
            |(), (): ()| Ok(()),
            |_| Err(failed()),
        );
        assert!(matches!(result, Err(ReadingError::Output(_))));
    }
}
