//! COMMAND in a throw-away virtual machine.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{
    initramfs,
    job::Job,
    kernel::{Kernel, KernelVersion},
    process::{End, ProcessGroup},
    qemu,
};

/// How much of the kernel's log a failure shows.
const LOG_LINES: usize = 40;

/// What the kernel's log has from the moment that COMMAND begins.
const BEGINS: &str = "testvm: COMMAND begins";

/// The virtual machine.
#[derive(Args, Clone)]
pub(crate) struct MachineArguments {
    /// The guest's memory in MiB; what is taken along comes on top
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    pub(crate) memory: u64,
    /// QEMU's accelerator
    #[arg(long, value_name = "ACCELERATOR", default_value = "tcg,thread=multi")]
    pub(crate) accel: String,
    /// An image that COMMAND may write to: it comes after the others in
    /// TESTVM_DISKS, and keeps what has been written when the guest ends, however
    /// that ends. Only a virtual machine has one
    #[arg(long, value_name = "FILE")]
    pub(crate) writable_disk: Vec<PathBuf>,
}

/// Runs the job; gives COMMAND's exit code.
pub(crate) fn run(
    job: &Job,
    machine: &MachineArguments,
    cache: &Path,
    kernel: KernelVersion,
) -> Result<u8> {
    let disks = qemu::disks(&job.disks, &machine.writable_disk)?;
    let names = disk_names(disks.len())?;
    let kernel = Kernel::get(cache, kernel)?;
    let directory = tempfile::Builder::new().prefix("run-").tempdir_in(cache)?;
    let files = qemu::Files::new(&directory.path().canonicalize()?);
    let size = initramfs::write(&files.initramfs, &kernel, job, &names)
        .context("cannot make the guest's initramfs")?;
    let memory = machine.memory + memory_for(size);
    let boot = || boot(&kernel, &files, &disks, &machine.accel, memory, job.timeout);
    match boot()? {
        GuestEnd::Ended(code) => Ok(code),
        // An emulated processor that has to wait for a busy host has made a kernel crash at its start.
        // Nothing of COMMAND has been there by then.
        GuestEnd::Crashed { log, begun: false } => {
            eprintln!(
                "testvm: the guest crashed before COMMAND began, and is started again:\n{log}"
            );
            boot()?.code()
        }
        crashed => crashed.code(),
    }
}

/// How a guest ended.
enum GuestEnd {
    /// COMMAND ended with this code.
    Ended(u8),
    /// COMMAND did not end.
    Crashed {
        /// The end of the kernel's log.
        log: String,
        /// Whether COMMAND has begun.
        begun: bool,
    },
}

impl GuestEnd {
    fn code(self) -> Result<u8> {
        match self {
            Self::Ended(code) => Ok(code),
            Self::Crashed { log, .. } => bail!(
                "the guest ended before COMMAND did: it crashed or was powered off\nthe end of the \
                 kernel's log:\n{log}"
            ),
        }
    }
}

/// Runs the guest once.
fn boot(
    kernel: &Kernel,
    files: &qemu::Files,
    disks: &[qemu::VirtualDisk],
    accelerator: &str,
    memory: u64,
    timeout: Duration,
) -> Result<GuestEnd> {
    // QEMU writes to files, which always take what comes: nothing is lost, even
    // where the guest ends at once. They are read as they grow.
    let mut out = Follow::new(&files.out, io::stdout())?;
    let mut err = Follow::new(&files.err, io::stderr())?;
    File::create(&files.closing)?;
    let mut command = qemu::command(kernel, files, disks, accelerator, memory);
    command.stderr(File::create(&files.messages)?);
    let mut qemu = ProcessGroup::spawn(&mut command).context("cannot start QEMU")?;
    let end = qemu.wait(timeout, || {
        out.copy()?;
        err.copy()
    })?;

    let log = || fs::read(&files.kernel_log).unwrap_or_default();
    match end {
        End::Exited(status) if !status.success() => bail!(
            "QEMU failed ({status}): {}",
            String::from_utf8_lossy(&fs::read(&files.messages)?).trim()
        ),
        End::Exited(_) => match exit_code(&fs::read(&files.closing)?) {
            Some(code) => Ok(GuestEnd::Ended(code)),
            None => Ok(GuestEnd::Crashed {
                log: tail(&log()),
                begun: String::from_utf8_lossy(&log()).contains(BEGINS),
            }),
        },
        End::TimedOut => bail!(
            "timed out after {} s while COMMAND ran\nthe end of the kernel's log:\n{}",
            timeout.as_secs(),
            tail(&log())
        ),
        End::Interrupted => bail!("interrupted"),
    }
}

/// The MiB that an initramfs of this many bytes takes: it is in memory twice,
/// first as an archive and its content, then as that and its copy.
fn memory_for(initramfs: u64) -> u64 {
    (2 * initramfs).div_ceil(1 << 20)
}

/// The guest's names of its virtio disks, which are in the order of the command
/// line.
fn disk_names(count: usize) -> Result<Vec<String>> {
    const MOST: usize = 26;
    if count > MOST {
        bail!("{count} disks are too many: the limit is {MOST}");
    }
    Ok(('a'..='z')
        .take(count)
        .map(|letter| format!("/dev/vd{letter}"))
        .collect())
}

/// The exit code in the guest's closing line, which is written when all output
/// of COMMAND has left the guest. Half a line is none.
fn exit_code(closing: &[u8]) -> Option<u8> {
    std::str::from_utf8(closing)
        .ok()?
        .strip_prefix("testvm: COMMAND ended with ")?
        .strip_suffix('\n')?
        .parse()
        .ok()
}

/// The last lines; more where a panic began before them, as its first line says why.
fn tail(log: &[u8]) -> String {
    let log = String::from_utf8_lossy(log).replace('\r', "");
    let lines: Vec<_> = log.lines().collect();
    let last = lines.len().saturating_sub(LOG_LINES);
    let panic = lines.iter().position(|line| line.contains("Kernel panic"));
    lines[panic.map_or(last, |panic| panic.min(last))..].join("\n")
}

/// A file whose content goes elsewhere as it grows.
struct Follow<W> {
    file: File,
    to: W,
}

impl<W: Write> Follow<W> {
    /// Makes the file, so that it can be followed before anyone writes.
    fn new(path: &Path, to: W) -> Result<Self> {
        File::create(path).with_context(|| path.display().to_string())?;
        let file = File::open(path)?;
        Ok(Self { file, to })
    }

    fn copy(&mut self) -> io::Result<()> {
        io::copy(&mut self.file, &mut self.to)?;
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_closing_line_counts() {
        assert_eq!(exit_code(b"testvm: COMMAND ended with 0\n"), Some(0));
        assert_eq!(exit_code(b"testvm: COMMAND ended with 137\n"), Some(137));
        for bad in [
            &b""[..],
            b"testvm: COMMAND ended with 1",
            b"testvm: COMMAND ended with \n",
            b"testvm: COMMAND ended with 256\n",
            b"testvm: COMMAND ended with 0\n\n",
            b"x\ntestvm: COMMAND ended with 0\n",
            b"\xfftestvm: COMMAND ended with 0\n",
        ] {
            assert_eq!(exit_code(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn disks_have_letters() {
        assert_eq!(disk_names(2).unwrap(), ["/dev/vda", "/dev/vdb"]);
        assert_eq!(disk_names(26).unwrap()[25], "/dev/vdz");
        assert!(disk_names(27).is_err());
    }

    #[test]
    fn what_is_appended_is_copied() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        let mut follow = Follow::new(&path, Vec::new()).unwrap();
        let mut writer = File::options().append(true).open(&path).unwrap();
        for text in ["one", "", "two"] {
            writer.write_all(text.as_bytes()).unwrap();
            follow.copy().unwrap();
        }
        assert_eq!(follow.to, b"onetwo");
    }

    #[test]
    fn the_log_ends_with_its_last_lines() {
        let log: String = (1..=50).map(|line| format!("{line}\r\n")).collect();
        let tail = tail(log.as_bytes());
        assert!(tail.starts_with("11\n12\n"), "{tail}");
        assert!(tail.ends_with("\n50"), "{tail}");
    }

    #[test]
    fn the_log_shows_a_panic_from_its_start() {
        let trace = "trace\n".repeat(100);
        let log = format!("before\n[4.2] Kernel panic - not syncing: why\n{trace}");
        assert!(tail(log.as_bytes()).starts_with("[4.2] Kernel panic"));
    }
}
