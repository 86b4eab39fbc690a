//! Shows how far the work is, to whoever sits at a terminal.

use std::{
    fmt::{self, Write as _},
    io::{self, IsTerminal, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::termios::tcgetwinsize;

use crate::Progress;

/// How often it is drawn.
const INTERVAL: Duration = Duration::from_millis(100);

/// How wide the bar is, in characters.
const BAR: usize = 30;

/// Moves to the start of a terminal's line, and clears it.
const CLEAR: &str = "\r\u{1b}[2K";

/// A line on the standard error that follows the work, where that is a terminal. It goes away when
/// this is dropped.
pub struct ProgressLine {
    started: Instant,
    progress: Arc<Progress>,
    drawing: Option<Drawing>,
}

struct Drawing {
    done: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl ProgressLine {
    /// Starts to show it, unless the user wants it `quiet`.
    pub fn start(progress: &Arc<Progress>, quiet: bool) -> Self {
        Self {
            started: Instant::now(),
            progress: Arc::clone(progress),
            drawing: (!quiet && io::stderr().is_terminal())
                .then(|| Drawing::start(Arc::clone(progress)))
                .flatten(),
        }
    }

    /// The work is done: leaves one line that says how much it was.
    pub fn finish(mut self) {
        let Some(drawing) = self.drawing.take() else {
            return;
        };
        drawing.stop();
        let (bytes, time) = (self.progress.total(), self.started.elapsed());
        // Nothing depends on it.
        let _ = writeln!(
            io::stderr(),
            "{} in {:.1} s, {}/s",
            BinarySize(bytes),
            time.as_secs_f64(),
            BinarySize(rate(bytes, time))
        );
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        if let Some(drawing) = self.drawing.take() {
            drawing.stop();
        }
    }
}

impl Drawing {
    /// None where there is no thread to draw.
    fn start(progress: Arc<Progress>) -> Option<Self> {
        let done = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&done);
        let thread = thread::Builder::new().spawn(move || {
            let started = Instant::now();
            while !seen.load(Ordering::Relaxed) {
                let line = line(progress.done(), progress.total(), started.elapsed());
                show(line.as_deref().unwrap_or_default());
                thread::park_timeout(INTERVAL);
            }
            show("");
        });
        let thread = thread.ok()?;
        Some(Self { done, thread })
    }

    fn stop(self) {
        self.done.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        // It does not panic, and if it did, only a line would be missing.
        let _ = self.thread.join();
    }
}

/// Puts a text into the terminal's line, as much of it as fits.
fn show(text: &str) {
    let columns = tcgetwinsize(io::stderr()).map_or(80, |size| size.ws_col.into());
    let text: String = text.chars().take(columns).collect();
    let _ = write!(io::stderr(), "{CLEAR}{text}");
}

/// What is shown; nothing before the work starts.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "of the total at most, and that is not zero"
)]
fn line(done: u64, total: u64, time: Duration) -> Option<String> {
    if total == 0 {
        return None;
    }
    let done = done.min(total);
    let filled = (u128::from(done) * BAR as u128 / u128::from(total)) as usize;
    let mut line = "█".repeat(filled) + &"░".repeat(BAR - filled);
    let rate = rate(done, time);
    let (done_size, total_size, rate_size) =
        (BinarySize(done), BinarySize(total), BinarySize(rate));
    let _ = write!(line, " {done_size} of {total_size}, {rate_size}/s, ");
    if done == total {
        line += "finishing";
    } else if let Some(seconds) = (total - done).checked_div(rate) {
        let _ = write!(line, "{seconds} s left");
    }
    Some(line)
}

/// In bytes for a second.
fn rate(bytes: u64, time: Duration) -> u64 {
    (bytes as f64 / time.as_secs_f64().max(0.001)) as u64
}

/// A number of bytes for people.
struct BinarySize(u64);

impl fmt::Display for BinarySize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
        match units.into_iter().find(|(shift, _)| self.0 >> shift > 0) {
            Some((shift, unit)) => {
                write!(f, "{:.2} {unit}", self.0 as f64 / (1_u64 << shift) as f64)
            }
            None => write!(f, "{} B", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_for_people() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.50 KiB"),
            (5 << 30, "5.00 GiB"),
            (u64::MAX, "16777216.00 TiB"),
        ] {
            assert_eq!(BinarySize(bytes).to_string(), text);
        }
    }

    #[test]
    fn lines_from_the_start_to_the_end() {
        let second = Duration::from_secs(1);
        assert_eq!(line(0, 0, second), None);
        let (full, empty) = ("█", "░");
        for (done, filled, rest) in [
            (0, 0, "0 B of 3.00 MiB, 0 B/s, "),
            (1 << 20, 10, "1.00 MiB of 3.00 MiB, 1.00 MiB/s, 2 s left"),
            (3 << 20, 30, "3.00 MiB of 3.00 MiB, 3.00 MiB/s, finishing"),
            (9 << 20, 30, "3.00 MiB of 3.00 MiB, 3.00 MiB/s, finishing"),
        ] {
            let bar = full.repeat(filled) + &empty.repeat(30 - filled);
            assert_eq!(
                line(done, 3 << 20, second).unwrap(),
                format!("{bar} {rest}")
            );
        }
        assert!(line(u64::MAX - 1, u64::MAX, Duration::ZERO).is_some());
    }
}
