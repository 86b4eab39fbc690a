//! Signals as something to wait for, and the duties of the first process of a container.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    process, thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{SigSet, SigmaskHow, Signal, pthread_sigmask},
        signalfd::{SfdFlags, SignalFd},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

use model_disk::Interrupted;

/// SIGTERM, SIGINT and SIGCHLD, which from now on come here alone. (The first process of a
/// container would not even get the first two otherwise.)
pub(crate) struct Signals(SignalFd);

impl Signals {
    /// Blocks the signals for this thread, and all that it starts, and opens the way to read
    /// them.
    pub(crate) fn open() -> io::Result<Self> {
        let mut set = SigSet::empty();
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGCHLD] {
            set.add(signal);
        }
        pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&set), None)?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Self(SignalFd::with_flags(&set, flags)?))
    }

    /// Takes what has come. Whether the program is asked to end.
    pub(crate) fn end_requested(&self) -> io::Result<bool> {
        let mut end = false;
        while let Some(signal) = self.0.read_signal()? {
            if signal.ssi_signo == Signal::SIGCHLD as u32 {
                reap();
            } else {
                end = true;
            }
        }
        Ok(end)
    }

    /// Lets some time pass, unless the program is asked to end.
    pub(crate) fn pause(&self, time: Duration) -> Result<(), Interrupted> {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            // Without a way to wait there is none to be asked: ending is the safe side.
            wait_for(&[self.as_fd()], left).map_err(|_| Interrupted)?;
            if self.end_requested().map_err(|_| Interrupted)? {
                return Err(Interrupted);
            }
            if left.is_zero() {
                return Ok(());
            }
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Lets SIGTERM and SIGINT end the program where it is the first process of a container, which they
/// would not reach otherwise. For what may end at any moment, before it starts a thread.
pub fn end_when_asked() {
    if process::id() != 1 {
        return;
    }
    let mut set = SigSet::empty();
    set.add(Signal::SIGTERM);
    set.add(Signal::SIGINT);
    // Without it the program would end all the same, by SIGKILL, after a while.
    if pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&set), None).is_ok() {
        let waiter = thread::Builder::new().name("signals".into());
        let _ = waiter.spawn(move || {
            if let Ok(signal) = set.wait() {
                // As a shell shows the end by a signal.
                process::exit(128 + signal as i32);
            }
        });
    }
}

/// Waits until one of these can be read, or the time is over.
pub(crate) fn wait_for(sources: &[BorrowedFd<'_>], time: Duration) -> io::Result<()> {
    let mut sources: Vec<_> = sources
        .iter()
        .map(|source| PollFd::new(*source, PollFlags::POLLIN))
        .collect();
    // Rounded up: the last millisecond is not spent in a loop.
    let timeout =
        PollTimeout::try_from(time.as_micros().div_ceil(1000)).unwrap_or(PollTimeout::MAX);
    match poll(&mut sources, timeout) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The first process inherits the orphans of its container, and nobody else buries them.
fn reap() {
    while let Ok(status) = waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
        if status == WaitStatus::StillAlive {
            return;
        }
    }
}
