//! `disk-mounter`: mounts disks with model weights under dm-verity.
//!
//! Options become a checked request, the request goes to the library, and what
//! comes back becomes lines and an exit code.

mod last_words;

use std::{env, io::Write, process};

use clap::{Parser, error::ErrorKind};
use disk_mounter::{
    exit::ExitCode,
    mounter::{
        self, MountRequest, VerityStatus,
        cli::{Cli, Command, drop_in},
        log,
    },
};

fn main() -> process::ExitCode {
    last_words::allow(last_words::has_some(env::args_os()));
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error).into(),
    };
    log::set_format(cli.log_format);
    match run(cli.command) {
        Ok(code) => code.into(),
        Err((code, error)) => {
            tell(&format!("{error:#}"));
            code.into()
        }
    }
}

/// Says why the program ends.
fn tell(error: &str) {
    log::error(format_args!("{error}"));
    last_words::leave(error);
}

/// Help and versions are results; everything else that clap has to say is an error.
fn usage(error: &clap::Error) -> ExitCode {
    // Where the stream is closed, nobody is there to be told.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::Success,
        _ => {
            last_words::leave(&error.to_string());
            ExitCode::Usage
        }
    }
}

type Failure = (ExitCode, anyhow::Error);

fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Mount(args) => {
            let request = args
                .check()
                .map_err(|error| (ExitCode::Usage, error.into()))?;
            mounter::mount(&request).map_err(|error| (error.exit_code(), error.into()))?;
            Ok(ExitCode::Success)
        }
        Command::Sidecar(args) => {
            let request = args
                .check()
                .map_err(|error| (ExitCode::Usage, error.into()))?;
            Ok(sidecar(&request))
        }
        Command::DropIn(arguments) => match drop_in(&arguments) {
            Ok(request) => Ok(sidecar(&request)),
            Err(error) => Ok(usage(&error)),
        },
        Command::Unmount { mount_point } => {
            mounter::unmount(&mount_point).map_err(|error| (error.exit_code(), error.into()))?;
            Ok(ExitCode::Success)
        }
        Command::Status { mount_point, json } => {
            let status =
                mounter::status(&mount_point).map_err(|error| (error.exit_code(), error.into()))?;
            let (word, code) = match status.verity {
                VerityStatus::Verified => ("verified", ExitCode::Success),
                VerityStatus::Corrupt => ("corrupt", ExitCode::Integrity),
            };
            if json {
                print(&serde_json::json!({
                    "mount_point": status.mount_point.display().to_string(),
                    "name": status.name.to_string(),
                    "root_hash": status.root_hash,
                    "status": word,
                }))?;
            } else {
                print(&format_args!(
                    "{}: {word}, root hash {}",
                    status.mount_point.display(),
                    status.root_hash
                ))?;
            }
            Ok(code)
        }
        Command::Inspect {
            device,
            hash_offset,
            json,
        } => {
            let hash_offset = hash_offset.map(|size| size.0);
            let claims = mounter::inspect(&device, hash_offset)
                .map_err(|error| (error.exit_code(), error.into()))?;
            if json {
                print(&claims.to_json())?
            } else {
                print(&claims)?
            }
            Ok(ExitCode::Success)
        }
    }
}

/// Runs a sidecar to its end; what went wrong has been told by then.
fn sidecar(request: &MountRequest) -> ExitCode {
    match mounter::sidecar(request, &|error| tell(&error.to_string())) {
        Ok(()) => ExitCode::Success,
        Err(error) => error.exit_code(),
    }
}

/// Prints a result. A reader that has gone away has what it wanted.
fn print(result: &dyn std::fmt::Display) -> Result<(), Failure> {
    let lines = result.to_string();
    match writeln!(std::io::stdout().lock(), "{}", lines.trim_end()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err((
            ExitCode::Failure,
            anyhow::Error::from(error).context("cannot write to standard output"),
        )),
        _ => Ok(()),
    }
}
