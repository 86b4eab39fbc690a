//! The command line.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use anyhow::{Result, bail};
use clap::{Args, Parser, Subcommand};

use crate::{
    host::RunLocation,
    job::{FileArgument, Job, Variable, existing},
    kernel::KernelVersion,
    program::Program,
    vm::MachineArguments,
};

const DEFAULT_CACHE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/testvm");

const EXAMPLES: &str = "\
Examples:
  testvm run -- dmesg
  testvm run --disk model.img --program veritysetup -- \\
      sh -c 'veritysetup dump \"$TESTVM_DISKS\"'

The exit code is COMMAND's, or 128 plus the signal that ended it. It is 125 where
testvm itself failed: the guest crashed, or COMMAND timed out.";

/// Runs a command as root on a kernel that has dm-verity.
#[derive(Parser)]
#[command(name = "testvm", version)]
pub(crate) struct TestvmArguments {
    /// Where the kernel is kept, and the files of a running guest
    #[arg(long, global = true, value_name = "DIR", default_value = DEFAULT_CACHE, hide_default_value = true)]
    pub(crate) cache: PathBuf,
    /// The guest's kernel, 6.1 if none is named. Only a virtual machine has one
    #[arg(long, global = true, value_name = "VERSION", value_enum)]
    pub(crate) kernel: Option<KernelVersion>,
    #[command(subcommand)]
    pub(crate) command: TestvmCommand,
}

#[derive(Subcommand)]
pub(crate) enum TestvmCommand {
    /// Run COMMAND, natively or in a virtual machine
    #[command(after_help = EXAMPLES)]
    Run(TestvmRunArguments),
    /// Fetch the guest's kernel, and print where it lies
    Prepare,
    /// Fetch Debian packages with all that they depend on, and print where their root lies
    ///
    /// Nothing is installed. The programs are started by the loader that is there:
    /// usr/lib64/ld-linux-x86-64.so.2 --library-path usr/lib/x86_64-linux-gnu PROGRAM
    Unpack {
        /// A suite of Debian: forky, say
        suite: String,
        /// The packages
        #[arg(required = true, value_name = "PACKAGE")]
        packages: Vec<String>,
    },
    /// Fetch the source of a Debian package, and print where it lies
    Source {
        /// A suite of Debian: trixie, say
        suite: String,
        /// The source package
        package: String,
    },
}

#[derive(Args)]
pub(crate) struct TestvmRunArguments {
    /// On this machine's kernel, in a virtual machine, or natively if possible
    #[arg(long = "where", value_name = "PLACE", value_enum, default_value_t = RunLocation::Auto)]
    pub(crate) location: RunLocation,
    #[command(flatten)]
    pub(crate) machine: MachineArguments,
    /// End COMMAND, and with it the guest, after this time
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub(crate) timeout: u64,
    /// An image that COMMAND finds as a read-only block device: TESTVM_DISKS
    /// holds their paths, separated by colons
    #[arg(long, value_name = "FILE")]
    pub(crate) disk: Vec<PathBuf>,
    /// A program to take along, with its shared libraries: it is on PATH under
    /// its base name, before the guest's busybox, and also where it lies here.
    /// (busybox's own timeout, xargs, env and the like start busybox's applets,
    /// whatever is on PATH: take those along too where it matters.)
    #[arg(long, value_name = "NAME_OR_PATH")]
    pub(crate) program: Vec<PathBuf>,
    /// A file or directory to take along. GUEST is by default where it lies
    /// here; a relative one is put into COMMAND's working directory. Natively
    /// it is the file itself, not a copy: COMMAND should not change it
    #[arg(long, value_name = "HOST[:GUEST]")]
    pub(crate) file: Vec<FileArgument>,
    /// An environment variable of COMMAND; it gets none of the caller's
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) env: Vec<Variable>,
    /// The command and its arguments
    #[arg(last = true, required = true)]
    pub(crate) command: Vec<OsString>,
}

impl TryFrom<TestvmRunArguments> for Job {
    type Error = anyhow::Error;

    fn try_from(arguments: TestvmRunArguments) -> Result<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut programs: Vec<Program> = Vec::new();
        for program in &arguments.program {
            let program = Program::find(program, &path)?;
            if programs.iter().any(|other| other.name == program.name) {
                bail!("two programs are called {}", program.name.display());
            }
            programs.push(program);
        }
        Ok(Self {
            command: arguments.command,
            environment: arguments.env,
            timeout: Duration::from_secs(arguments.timeout),
            disks: all(&arguments.disk, |disk| existing(disk))?,
            programs,
            files: all(&arguments.file, FileArgument::check)?,
        })
    }
}

fn all<T, U>(items: &[T], check: impl Fn(&T) -> Result<U>) -> Result<Vec<U>> {
    items.iter().map(check).collect()
}
