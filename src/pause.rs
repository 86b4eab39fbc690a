//! Waiting: for how long, and what ends it early.

use std::time::{Duration, Instant};

use model_disk::Interrupted;

/// Lets some time pass, or ends the wait.
pub(crate) type Pause<'a> = &'a dyn Fn(Duration) -> Result<(), Interrupted>;

/// When a wait is over.
pub(crate) struct Deadline {
    /// None where it is too far away to be a moment.
    at: Option<Instant>,
    wait: Duration,
}

impl Deadline {
    /// The moment when this time has passed.
    pub(crate) fn after(wait: Duration) -> Self {
        Self {
            at: Instant::now().checked_add(wait),
            wait,
        }
    }

    /// Whether it is over.
    pub(crate) fn has_passed(&self) -> bool {
        self.at.is_some_and(|at| Instant::now() >= at)
    }

    /// The time that was set.
    pub(crate) fn wait(&self) -> Duration {
        self.wait
    }
}
