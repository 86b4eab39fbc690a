//! A child process under a time limit.

use std::{
    io,
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use nix::{sys::signal, unistd::Pid};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

const POLL: Duration = Duration::from_millis(20);

/// How waiting for a process ended.
#[derive(Debug)]
pub(crate) enum End {
    Exited(ExitStatus),
    TimedOut,
    /// testvm itself was told to end.
    Interrupted,
}

/// A process with its descendants. They are killed when it is dropped.
pub(crate) struct ProcessGroup {
    leader: Child,
    interrupted: Arc<AtomicBool>,
}

impl ProcessGroup {
    /// Starts a process in a group of its own, so that what a terminal sends
    /// comes to testvm alone, which then ends it in order.
    pub(crate) fn spawn(command: &mut Command) -> io::Result<Self> {
        let interrupted = Arc::default();
        for number in [SIGHUP, SIGINT, SIGTERM] {
            signal_hook::flag::register(number, Arc::clone(&interrupted))?;
        }
        let leader = command.process_group(0).spawn()?;
        Ok(Self {
            leader,
            interrupted,
        })
    }

    /// Waits until the process has ended or the limit has passed, and calls
    /// `meanwhile` many times a second.
    pub(crate) fn wait(
        &mut self,
        limit: Duration,
        mut meanwhile: impl FnMut() -> io::Result<()>,
    ) -> io::Result<End> {
        let start = Instant::now();
        loop {
            let ended = self.leader.try_wait()?;
            meanwhile()?;
            if let Some(status) = ended {
                return Ok(End::Exited(status));
            }
            if self.interrupted.load(Ordering::Relaxed) {
                return Ok(End::Interrupted);
            }
            if start.elapsed() >= limit {
                return Ok(End::TimedOut);
            }
            thread::sleep(POLL);
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        // It fails where all have ended, and then there is nothing to do.
        let group = Pid::from_raw(self.leader.id() as i32);
        let _ = signal::killpg(group, signal::Signal::SIGKILL);
        let _ = self.leader.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(script: &str, limit: Duration) -> End {
        let mut group = ProcessGroup::spawn(Command::new("sh").args(["-c", script])).unwrap();
        group.wait(limit, || Ok(())).unwrap()
    }

    #[test]
    fn ends_by_itself_or_in_time() {
        let end = wait("exit 7", Duration::from_secs(60));
        assert!(matches!(end, End::Exited(status) if status.code() == Some(7)));
        let end = wait("sleep 1000", Duration::from_millis(1));
        assert!(matches!(end, End::TimedOut));
    }
}
