//! One program, timed.

use std::{
    fs::File,
    io::{Read, Seek},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail};
use nix::sys::resource::{UsageWho, getrusage};
use wait4::Wait4;

use crate::report::Sample;

/// What `getrusage` counts disk reads in.
const SECTOR: u64 = 512;

/// Runs a program whose exit code is an answer.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.status().is_ok_and(|status| status.success())
}

/// Where what a program prints goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PrintedTo {
    /// It is looked at. Files, unlike pipes, never make the program wait for their reader.
    File,
    /// It is only what is timed.
    Null,
}

/// RunTimes a program to its end; it must succeed. Gives what it took and what it
/// printed to a file.
///
/// The time is that from before it is started until it is reaped. Its memory has
/// a floor, which is this program's own: a new process shares it for a moment.
pub(crate) fn run(command: &mut Command) -> Result<(Sample, String)> {
    run_to(PrintedTo::File, command)
}

/// As [`run`], with what it prints to somewhere else.
pub(crate) fn run_to(to: PrintedTo, command: &mut Command) -> Result<(Sample, String)> {
    let name = command.get_program().display().to_string();
    let (mut out, mut err) = (tempfile::tempfile()?, tempfile::tempfile()?);
    command
        .stdin(Stdio::null())
        .stdout(match to {
            PrintedTo::File => Stdio::from(out.try_clone()?),
            PrintedTo::Null => Stdio::null(),
        })
        .stderr(err.try_clone()?);
    let read_before = read_by_children()?;
    let start = Instant::now();
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    let ended = child
        .wait4()
        .with_context(|| format!("cannot wait for {name}"))?;
    let seconds = start.elapsed().as_secs_f64();
    if !ended.status.success() {
        bail!("{name} failed ({}): {}", ended.status, text(&mut err)?);
    }
    let sample = Sample {
        seconds,
        cpu_seconds: (ended.rusage.utime + ended.rusage.stime).as_secs_f64(),
        peak_memory: ended.rusage.maxrss,
        disk_read: read_by_children()? - read_before,
    };
    Ok((sample, text(&mut out)?))
}

/// The bytes that all children so far have read from disks.
fn read_by_children() -> Result<u64> {
    Ok(getrusage(UsageWho::RUSAGE_CHILDREN)?.block_reads() as u64 * SECTOR)
}

/// The bytes that this process has read from disks.
pub(crate) fn read_by_this_process() -> Result<u64> {
    Ok(getrusage(UsageWho::RUSAGE_SELF)?.block_reads() as u64 * SECTOR)
}

fn text(file: &mut File) -> Result<String> {
    file.rewind()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Result<(Sample, String)> {
        run(Command::new("sh").args(["-c", script]))
    }

    #[test]
    fn what_a_program_took_and_printed() {
        let script = "i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done; echo $i";
        let (sample, printed) = shell(script).unwrap();
        assert_eq!(printed, "20000");
        assert!(
            sample.cpu_seconds > 0.0 && sample.seconds > 0.0,
            "{sample:?}"
        );
        assert!(sample.peak_memory > 100 << 10, "{sample:?}");
        assert!(sample.peak_memory < 1 << 30, "{sample:?}");
    }

    #[test]
    fn a_failure_is_an_error_with_the_reason() {
        let error = shell("echo why >&2; exit 3").unwrap_err().to_string();
        assert!(error.contains("why") && error.contains('3'), "{error}");
        let error = run(&mut Command::new("no-such-program")).unwrap_err();
        assert!(error.to_string().contains("no-such-program"), "{error}");
    }
}
