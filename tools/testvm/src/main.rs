//! Runs a command as root on a kernel that has dm-verity: on this machine's own
//! where it can, else in a throw-away virtual machine with Debian's kernel.
//!
//! What lives where; data flows downwards:
//!
//! | module | holds |
//! |---|---|
//! | `cli` | the command line |
//! | `job` | what to run and what it needs: the command line, checked |
//! | `host` | what this machine can do, and what it lacks |
//! | `kernel`, `modules` | the guest's kernel, and its modules in load order |
//! | `initramfs`, `cpio`, `program`, `quote` | all that the guest holds, as one archive |
//! | `vm`, `qemu` | the virtual machine, from start to the closing line |
//! | `native` | the same without a virtual machine |
//! | `process` | a child process under a time limit |

mod cli;
mod cpio;
mod host;
mod initramfs;
mod job;
mod kernel;
mod modules;
mod native;
mod process;
mod program;
mod qemu;
mod quote;
mod vm;

use std::{path::Path, process::ExitCode};

use anyhow::{Result, bail};
use clap::Parser;

use cli::{Cli, Command, PlaceArgument};
use host::Place;

/// The exit code where testvm itself failed, so that COMMAND's is not known.
/// `env`, `timeout` and container runtimes use the same.
const TESTVM_FAILED: u8 = 125;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code.into(),
        Err(error) => {
            eprintln!("testvm: {error:#}");
            TESTVM_FAILED.into()
        }
    }
}

fn run(cli: Cli) -> Result<u8> {
    let cache = cli.cache.as_path();
    match cli.command {
        Command::Prepare => prepare(cache),
        Command::Run(arguments) => {
            let (place, machine) = (arguments.place, arguments.machine.clone());
            let writable = !machine.writable_disk.is_empty();
            let job = arguments.try_into()?;
            let place = match place {
                PlaceArgument::Auto if writable => PlaceArgument::Vm,
                place => place,
            };
            match host::choose(place)? {
                Place::Native if writable => bail!("only a virtual machine has a --writable-disk"),
                Place::Native => native::run(&job),
                Place::Vm => vm::run(&job, &machine, cache),
            }
        }
    }
}

fn prepare(cache: &Path) -> Result<u8> {
    let kernel = kernel::Kernel::get(cache)?;
    println!("{}", kernel.image.display());
    Ok(0)
}
