//! Runs a command as root on a kernel that has dm-verity: on this machine's own
//! where it can, else in a throw-away virtual machine with Debian's kernel.
//!
//! What lives where; each calls only what stands below it:
//!
//! | module | holds |
//! |---|---|
//! | `cli` | the command line |
//! | `vm`, `qemu` | the virtual machine, from start to the closing line |
//! | `native` | the same without a virtual machine |
//! | `initramfs`, `cpio`, `quote` | all that the guest holds, as one archive |
//! | `kernel`, `modules` | the guest's kernel, and its modules in load order |
//! | `cache`, `apt` | packages of any release of Debian and their sources, unpacked once |
//! | `job` | what to run and what it needs |
//! | `host` | what this machine can do, and what it lacks |
//! | `process`, `program` | a child process under a time limit, and programs of this machine |

mod apt;
mod cache;
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

use cli::{TestvmArguments, TestvmCommand};
use host::{Host, RunLocation};
use kernel::{Kernel, KernelVersion};

/// The exit code where testvm itself failed, so that COMMAND's is not known.
/// `env`, `timeout` and container runtimes use the same.
const TESTVM_FAILED: u8 = 125;

fn main() -> ExitCode {
    match run(TestvmArguments::parse()) {
        Ok(code) => code.into(),
        Err(error) => {
            eprintln!("testvm: {error:#}");
            TESTVM_FAILED.into()
        }
    }
}

fn run(arguments: TestvmArguments) -> Result<u8> {
    let (cache, kernel) = (arguments.cache.as_path(), arguments.kernel);
    match arguments.command {
        TestvmCommand::Prepare => prepare(cache, kernel.unwrap_or_default()),
        TestvmCommand::Unpack { suite, packages } => {
            println!("{}", cache::unpacked(cache, &suite, &packages)?.display());
            Ok(0)
        }
        TestvmCommand::Source { suite, package } => {
            println!(
                "{}",
                cache::unpacked_source(cache, &suite, &package)?.display()
            );
            Ok(0)
        }
        TestvmCommand::Run(arguments) => {
            let (location, machine) = (arguments.location, arguments.machine.clone());
            let of_machine = if !machine.writable_disk.is_empty() {
                Some("--writable-disk")
            } else {
                kernel.map(|_| "--kernel")
            };
            let job = arguments.try_into()?;
            let location = match location {
                RunLocation::Auto if of_machine.is_some() => RunLocation::Vm,
                location => location,
            };
            match (host::choose(location)?, of_machine) {
                (Host::Native, Some(option)) => bail!("only a virtual machine has a {option}"),
                (Host::Native, None) => native::run(&job),
                (Host::Vm, _) => vm::run(&job, &machine, cache, kernel.unwrap_or_default()),
            }
        }
    }
}

fn prepare(cache: &Path, kernel: KernelVersion) -> Result<u8> {
    let kernel = Kernel::get(cache, kernel)?;
    println!("{}", kernel.image.display());
    Ok(0)
}
