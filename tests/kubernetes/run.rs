//! Running programs, and waiting for what they do.

use std::{
    cell::RefCell,
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// Long enough for an emulated machine.
const PATIENCE: Duration = Duration::from_secs(300);

thread_local! {
    /// The test that runs in this thread.
    static TEST: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs a test under its name, and tells how long that took.
pub(crate) fn run_test(name: &str, test: fn()) {
    TEST.set(name.to_owned());
    let start = Instant::now();
    test();
    say(&format!("{:.0} s in all", start.elapsed().as_secs_f32()));
}

/// Tells something of the test that runs.
pub(crate) fn say(text: &str) {
    TEST.with_borrow(|name| println!("{name}: {text}"));
}

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
            let seconds = start.elapsed().as_secs_f32();
            say(&format!("{seconds:5.1} s until {what}"));
            return found;
        }
        let waited = start.elapsed();
        assert!(waited < PATIENCE, "not in {} s: {what}", waited.as_secs());
        thread::sleep(Duration::from_millis(100));
    }
}
