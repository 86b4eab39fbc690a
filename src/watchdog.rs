//! A bound on how long a device may take to answer.
//!
//! A thread that reads from a device that hangs sleeps in the kernel until the device answers;
//! nothing can wake it before. So the steps of a mount are taken by a thread of their own, and
//! this one watches it, tells what it waits for, and heeds signals meanwhile.

use std::{
    io, panic,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use model_disk::Interrupted;

use crate::log;

/// How often signals are looked for.
const POLL: Duration = Duration::from_millis(50);

/// How long a thread that was asked to end may take to undo what it did.
const UNDO: Duration = Duration::from_secs(2);

/// How long something may take before it is told what it waits for.
const LONG: Duration = Duration::from_secs(5);

/// Why there is no result.
#[derive(Debug)]
pub(crate) enum Stuck {
    /// There is no thread for it.
    NoThread(io::Error),
    /// A step took too long.
    NoAnswer(&'static str),
    /// The program was asked to end, and the thread cannot be.
    Interrupted,
}

/// The steps of a piece of work, as its thread tells them.
#[derive(Clone)]
pub(crate) struct Steps(Arc<(Mutex<WatchState>, Condvar)>);

struct WatchState {
    step: &'static str,
    since: Instant,
    stopped: bool,
}

impl Steps {
    /// Steps that nobody watches yet.
    pub(crate) fn new() -> Self {
        let state = WatchState {
            step: "starting",
            since: Instant::now(),
            stopped: false,
        };
        Self(Arc::new((Mutex::new(state), Condvar::new())))
    }

    fn state(&self) -> MutexGuard<'_, WatchState> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a step, unless the work is to end.
    pub(crate) fn begin(&self, step: &'static str) -> Result<(), Interrupted> {
        let mut state = self.state();
        (state.step, state.since) = (step, Instant::now());
        if state.stopped {
            return Err(Interrupted);
        }
        Ok(())
    }

    /// Lets some time pass, which does not count, unless the work is to end.
    pub(crate) fn pause(&self, time: Duration) -> Result<(), Interrupted> {
        let state = self.state();
        let (mut state, _) = self
            .0
            .1
            .wait_timeout_while(state, time, |state| !state.stopped)
            .unwrap_or_else(PoisonError::into_inner);
        state.since = Instant::now();
        if state.stopped {
            return Err(Interrupted);
        }
        Ok(())
    }

    fn stop(&self) {
        self.state().stopped = true;
        self.0.1.notify_all();
    }

    /// Stops the work if its step takes longer than this, and gives the step then.
    fn stop_if_slow(&self, patience: Duration) -> Option<&'static str> {
        let mut state = self.state();
        if state.since.elapsed() <= patience {
            return None;
        }
        state.stopped = true;
        Some(state.step)
    }
}

/// Does some work in a thread of its own, of which each step may take `patience`. When
/// `asked_to_end` says so, the work is stopped before its next step, and its result is what it
/// makes of that. Where there is no result, the thread goes with the program; where there is one,
/// it has ended.
#[expect(
    clippy::unreachable,
    reason = "a thread that does not panic sends its result"
)]
pub(crate) fn watched<T: Send + 'static>(
    patience: Duration,
    asked_to_end: &dyn Fn() -> bool,
    work: impl FnOnce(&Steps) -> T + Send + 'static,
) -> Result<T, Stuck> {
    let steps = Steps::new();
    let (sender, result) = mpsc::channel();
    let thread = {
        let steps = steps.clone();
        // Nobody may be there any more to take the result.
        thread::Builder::new()
            .spawn(move || drop(sender.send(work(&steps))))
            .map_err(Stuck::NoThread)?
    };
    let mut end = None;
    loop {
        match result.recv_timeout(POLL) {
            Ok(result) => {
                // It has nothing left to do: whoever goes on is alone.
                let _ = thread.join();
                return Ok(result);
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => match thread.join() {
                Err(panic) => panic::resume_unwind(panic),
                Ok(()) => unreachable!("a thread that does not panic sends its result"),
            },
        }
        if end.is_none() && asked_to_end() {
            steps.stop();
            end = Some(Instant::now() + UNDO);
        }
        match end {
            Some(end) if Instant::now() >= end => return Err(Stuck::Interrupted),
            Some(_) => {}
            None => {
                if let Some(step) = steps.stop_if_slow(patience) {
                    return Err(Stuck::NoAnswer(step));
                }
            }
        }
    }
}

/// Does what the kernel may not end before a device has answered, and says so if that takes long.
pub(crate) fn telling<T>(waits_for: &str, work: impl FnOnce() -> T) -> T {
    let (done, end) = mpsc::channel::<()>();
    thread::scope(|scope| {
        // Without a thread the work is done all the same, and nothing is said.
        let _ = thread::Builder::new().spawn_scoped(scope, move || {
            if end.recv_timeout(LONG) == Err(mpsc::RecvTimeoutError::Timeout) {
                log::warn(format_args!("{waits_for}"));
            }
        });
        let result = work();
        drop(done);
        result
    })
}

/// Does what a device that hangs may keep from ending; None if it takes too long, or there is no
/// thread for it.
pub(crate) fn run_with_timeout<T: Send + 'static>(
    patience: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    watched(patience, &|| false, |_| work()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVER: Duration = Duration::from_secs(600);

    #[test]
    fn a_result_comes_through() {
        let result = watched(EVER, &|| false, |steps| steps.begin("one").map(|()| 7));
        assert!(matches!(result, Ok(Ok(7))), "{result:?}");
    }

    #[test]
    fn a_step_without_an_end_is_named() {
        let (never, wait) = mpsc::channel::<()>();
        let result = watched(Duration::ZERO, &|| false, move |steps| {
            steps.begin("reading").unwrap();
            let _ = wait.recv();
        });
        assert!(
            matches!(result, Err(Stuck::NoAnswer("reading"))),
            "{result:?}"
        );
        drop(never);
    }

    #[test]
    fn whoever_waits_is_woken_to_end() {
        let result = watched(EVER, &|| true, |steps| steps.pause(EVER));
        assert!(matches!(result, Ok(Err(Interrupted))), "{result:?}");
        let result = watched(EVER, &|| true, |steps| {
            while steps.begin("working").is_ok() {}
            "undone"
        });
        assert!(matches!(result, Ok("undone")), "{result:?}");
    }

    #[test]
    fn who_cannot_end_is_left() {
        let (never, wait) = mpsc::channel::<()>();
        let result = watched(EVER, &|| true, move |_| wait.recv());
        assert!(matches!(result, Err(Stuck::Interrupted)), "{result:?}");
        drop(never);
    }

    #[test]
    #[should_panic(expected = "of its own")]
    fn a_panic_comes_through() {
        let _ = watched(EVER, &|| false, |_| panic!("of its own"));
    }
}
