//! Running programs, and waiting for what they do.

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// Long enough for an emulated machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// Runs a program that must succeed, and gives what it printed.
#[track_caller]
pub(crate) fn check(line: &str) -> String {
    let mut words = line.split_ascii_whitespace();
    let program = words.next().unwrap();
    let output = match Command::new(program).args(words).output() {
        Ok(output) => output,
        Err(error) => panic!("{program} cannot be run: {error}"),
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {}: {said}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// Waits until something is there, and tells how long that took.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            println!("  {:5.1} s until {what}", start.elapsed().as_secs_f32());
            return found;
        }
        let waited = start.elapsed();
        assert!(waited < PATIENCE, "not in {} s: {what}", waited.as_secs());
        thread::sleep(Duration::from_millis(100));
    }
}
