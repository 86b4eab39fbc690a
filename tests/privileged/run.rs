//! Running programs.

use std::{
    ffi::OsStr,
    path::Path,
    process::{Command, Output},
};

use test_support::assert_causes_stand_once;

/// What a program did.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Its exit code; -1 if a signal ended it.
    pub(crate) code: i32,
    /// What it printed.
    pub(crate) stdout: String,
    /// What it said.
    pub(crate) stderr: String,
}

impl Outcome {
    /// It ended with this exit code, and said all of these.
    #[track_caller]
    pub(crate) fn is(&self, code: i32, words: &[&str]) {
        let text = format!("{}{}", self.stdout, self.stderr);
        assert!(
            self.code == code && words.iter().all(|word| text.contains(word)),
            "expected exit code {code} and {words:?}: {self:#?}"
        );
    }
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_causes_stand_once(&stderr);
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr,
        }
    }
}

/// Runs a program to its end.
#[track_caller]
pub(crate) fn run<S: AsRef<OsStr>>(
    program: &str,
    arguments: impl IntoIterator<Item = S>,
) -> Outcome {
    match Command::new(program).args(arguments).output() {
        Ok(output) => output.into(),
        Err(error) => panic!("{program} cannot be run: {error}"),
    }
}

/// Runs a program that must succeed, and gives what it printed.
#[track_caller]
pub(crate) fn check<S: AsRef<OsStr>>(
    program: &str,
    arguments: impl IntoIterator<Item = S>,
) -> String {
    let outcome = run(program, arguments);
    outcome.is(0, &[]);
    outcome.stdout
}

/// Runs `disk-mounter`, words separated by blanks.
#[track_caller]
pub(crate) fn mounter(line: &str) -> Outcome {
    run("disk-mounter", line.split_ascii_whitespace())
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
