//! `disk-mounter`: mounts disks with model weights under dm-verity.
//!
//! Options become a checked request, the request goes to the library, and what
//! comes back becomes lines and an exit code.

#![deny(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unreachable
)]
#![cfg_attr(test, allow(clippy::disallowed_macros, clippy::disallowed_methods))]

mod termination_log;

use std::{
    env,
    error::Error,
    ffi::OsString,
    fs::File,
    io::{self, Write},
    os::fd::AsFd,
    process,
    sync::Arc,
};

use clap::{Parser, error::ErrorKind};
use disk_mounter::{
    Status,
    cli::{
        DevicePathArguments, MountForm, MounterArguments, MounterCommand, drop_in,
        is_device_path_form,
    },
    log,
};
use model_disk::{ErrorChain, ExitCode, HasExitCode, Progress, ProgressLine, inspect};

fn main() -> process::ExitCode {
    let words: Vec<OsString> = env::args_os().collect();
    let device_path_form = is_device_path_form(&words);
    termination_log::allow(device_path_form || termination_log::has_some(&words));
    let done = if device_path_form {
        DevicePathArguments::parse_words(&words).map(|cli| {
            log::set_format(cli.log_format);
            Ok(sidecar(&MountForm::Kernel(cli.check()?)))
        })
    } else {
        MounterArguments::try_parse_from(&words).map(|cli| {
            log::set_format(cli.log_format);
            run(cli.command)
        })
    };
    match done.unwrap_or_else(|error| Ok(usage(&error))) {
        Ok(code) => code.into(),
        Err(failure) => {
            tell(&failure.message);
            failure.code.into()
        }
    }
}

/// Says why the program ends.
fn tell(error: &str) {
    log::error(format_args!("{error}"));
    termination_log::leave(error);
}

/// Help and versions are results; everything else that clap has to say is an error.
fn usage(error: &clap::Error) -> ExitCode {
    // Where the stream is closed, nobody is there to be told.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::Success,
        _ => {
            termination_log::leave(&error.to_string());
            ExitCode::Usage
        }
    }
}

/// Why the program ends, as it is told, and with which code.
struct ProgramError {
    code: ExitCode,
    message: String,
}

impl<E: HasExitCode + Error> From<E> for ProgramError {
    fn from(error: E) -> Self {
        Self {
            code: error.exit_code(),
            message: ErrorChain(&error).to_string(),
        }
    }
}

fn run(command: MounterCommand) -> Result<ExitCode, ProgramError> {
    match command {
        MounterCommand::Mount(args) => {
            match args.check()? {
                MountForm::Kernel(request) => disk_mounter::mount(&request).map(drop)?,
                MountForm::Fuse(request) => return Ok(disk_mounter::mount_fuse(&request)?),
            }
            Ok(ExitCode::Success)
        }
        MounterCommand::Sidecar(args) => Ok(sidecar(&args.check()?)),
        MounterCommand::DropIn(arguments) => match drop_in(&arguments) {
            Ok(request) => Ok(sidecar(&request)),
            Err(error) => Ok(usage(&error)),
        },
        MounterCommand::Unmount { mount_point } => {
            disk_mounter::unmount(&mount_point)?;
            Ok(ExitCode::Success)
        }
        MounterCommand::Expect {
            path,
            root_hash,
            command,
        } => {
            disk_mounter::expect(&path, &root_hash)?;
            if command.is_empty() {
                return Ok(ExitCode::Success);
            }
            Err(disk_mounter::become_command(&command).into())
        }
        MounterCommand::Status {
            mount_point,
            root_hash,
            json,
        } => {
            let status = disk_mounter::status(&mount_point, root_hash.as_ref())?;
            if json {
                print(&to_json(&status)?)?;
            } else {
                print(&status)?;
            }
            Ok(status.exit_code())
        }
        MounterCommand::Ls(args) => {
            let format = args.format();
            let (request, path) = args.check()?;
            let files = request.open()?;
            let listed = disk_mounter::list(&files, &path, format, stdout()?);
            files.warn_of_corrections();
            Ok(listed.map(|()| ExitCode::Success)?)
        }
        MounterCommand::Cat(args) => {
            let request = args.check()?;
            let (files, out) = (request.read.open()?, stdout()?);
            let (paths, offset, bytes) = (&request.paths, request.offset, request.bytes);
            let printed = disk_mounter::cat(&files, paths, offset, bytes, request.threads, out);
            files.warn_of_corrections();
            Ok(printed.map(|()| ExitCode::Success)?)
        }
        MounterCommand::Extract(args) => {
            let (read, request, work) = args.check()?;
            disk_mounter::end_when_asked();
            let files = read.open()?;
            let progress = Arc::<Progress>::default();
            let line = ProgressLine::start(&progress, work.quiet);
            let extracted = disk_mounter::extract(&files, &request, &progress);
            let extracted = extracted.inspect(|_| line.finish());
            files.warn_of_corrections();
            let extracted = extracted?;
            if work.json {
                print(&extracted.to_json())?;
            } else {
                print(&extracted)?;
            }
            Ok(ExitCode::Success)
        }
        MounterCommand::Check(args) => {
            let (request, work) = args.check()?;
            disk_mounter::end_when_asked();
            let files = request.read.open()?;
            let progress = Arc::<Progress>::default();
            let line = ProgressLine::start(&progress, work.quiet);
            let (directory, threads) = (&request.directory, request.threads);
            let report = disk_mounter::check_directory(&files, directory, threads, &progress);
            let report = report.inspect(|_| line.finish());
            files.warn_of_corrections();
            let report = report?;
            if work.json {
                print(&report.to_json())?;
            } else {
                print(&report)?;
            }
            Ok(report.exit_code())
        }
        MounterCommand::Inspect {
            device,
            hash_offset,
            json,
        } => {
            let inspection = inspect(&device, hash_offset.map(|size| size.0))?;
            if json {
                print(&inspection.to_json())?;
            } else {
                print(&inspection)?;
            }
            Ok(ExitCode::Success)
        }
    }
}

/// Runs a sidecar to its end; what went wrong has been told by then.
fn sidecar(form: &MountForm) -> ExitCode {
    fn ended<E: HasExitCode>(result: Result<(), E>) -> ExitCode {
        result.map_or_else(|error| error.exit_code(), |()| ExitCode::Success)
    }
    fn told(error: &dyn Error) {
        tell(&ErrorChain(error).to_string());
    }
    termination_log::open();
    match form {
        MountForm::Kernel(request) => ended(disk_mounter::sidecar(request, &|error| told(error))),
        MountForm::Fuse(request) => {
            ended(disk_mounter::sidecar_fuse(request, &|error| told(error)))
        }
    }
}

/// The standard output, as it is: the library's own would look for the ends of lines.
fn stdout() -> Result<File, ProgramError> {
    let stdout = io::stdout().as_fd().try_clone_to_owned();
    stdout.map(File::from).map_err(output_failed)
}

fn to_json(status: &Status) -> Result<String, ProgramError> {
    serde_json::to_string(status).map_err(|error| output_failed(error.into()))
}

fn output_failed(source: io::Error) -> ProgramError {
    ProgramError {
        code: ExitCode::Failure,
        message: format!("cannot write to the standard output: {source}"),
    }
}

/// Prints a result. A reader that has gone away has what it wanted.
fn print(result: &dyn std::fmt::Display) -> Result<(), ProgramError> {
    let lines = result.to_string();
    match writeln!(io::stdout().lock(), "{}", lines.trim_end()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(output_failed(error)),
        _ => Ok(()),
    }
}
