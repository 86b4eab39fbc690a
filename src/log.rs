//! What the mounter says on standard error: one line an event, as text or as a JSON object.

use std::{
    fmt,
    io::Write,
    sync::atomic::{AtomicBool, Ordering},
};

static JSON: AtomicBool = AtomicBool::new(false);

/// The form of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// `disk-mounter: …`
    #[default]
    Text,
    /// `{"level":"…","message":"…"}`
    Json,
}

/// Chooses the form of all lines to come.
pub fn set_format(format: LogFormat) {
    JSON.store(format == LogFormat::Json, Ordering::Relaxed);
}

/// Something went as it should.
pub(crate) fn info(message: fmt::Arguments<'_>) {
    line("info", message);
}

/// Something is not as it should be, and the program goes on.
pub(crate) fn warn(message: fmt::Arguments<'_>) {
    line("warning", message);
}

/// The reason why the program ends.
pub fn error(message: fmt::Arguments<'_>) {
    line("error", message);
}

fn line(level: &str, message: fmt::Arguments<'_>) {
    let line = if JSON.load(Ordering::Relaxed) {
        serde_json::json!({ "level": level, "message": message.to_string() }).to_string()
    } else if level == "info" {
        format!("disk-mounter: {message}")
    } else {
        format!("disk-mounter: {level}: {message}")
    };
    // Where standard error is closed, nobody is there to be told.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
