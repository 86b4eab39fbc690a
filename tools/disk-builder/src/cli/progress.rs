//! Shows how far the work is, to whoever sits at a terminal.

use std::{
    io::{self, IsTerminal, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use indicatif::{BinaryBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::engine::Progress;

/// How often it is drawn.
const INTERVAL: Duration = Duration::from_millis(100);

const TEMPLATE: &str =
    "{bar:30} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {msg}";

/// A line on the standard error that follows the work, where that is a terminal. It goes away when
/// this is dropped.
pub(super) struct ProgressLine {
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
    pub(super) fn start(progress: &Arc<Progress>, quiet: bool) -> Self {
        Self {
            started: Instant::now(),
            progress: Arc::clone(progress),
            drawing: (!quiet && io::stderr().is_terminal())
                .then(|| Drawing::start(Arc::clone(progress)))
                .flatten(),
        }
    }

    /// The work is done: leaves one line that says how much it was.
    pub(super) fn finish(mut self) {
        let Some(drawing) = self.drawing.take() else {
            return;
        };
        drawing.stop();
        let (bytes, seconds) = (self.progress.total(), self.started.elapsed().as_secs_f64());
        // Nothing depends on it.
        let _ = writeln!(
            io::stderr(),
            "{} in {seconds:.1} s, {}/s",
            BinaryBytes(bytes),
            BinaryBytes((bytes as f64 / seconds) as u64)
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
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template(TEMPLATE);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            while !seen.load(Ordering::Relaxed) {
                draw(&bar, &progress);
                thread::park_timeout(INTERVAL);
            }
            bar.finish_and_clear();
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

fn draw(bar: &ProgressBar, progress: &Progress) {
    let (done, total) = (progress.done(), progress.total());
    if total == 0 {
        return;
    }
    bar.set_length(total);
    bar.set_position(done);
    bar.set_message(if done < total {
        format!("{} s left", bar.eta().as_secs())
    } else {
        "finishing".to_owned()
    });
}
