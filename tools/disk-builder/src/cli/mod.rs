//! The command line: arguments become a checked configuration, its result is printed, its error
//! becomes an exit code.

mod args;
mod config;
mod notes;

use std::{
    fmt::Display,
    io::{self, Write},
    num::NonZero,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
    thread,
};

use clap::{CommandFactory, Parser};
use dm_verity::{
    fec::{FecArea, FecBackend, FecBackendError},
    sha256::{Backend, BackendError},
};
use model_disk::{
    ArgumentsError, BackingFileError, ErrorChain, Escaped, ExitCode, HasExitCode, ProgressLine,
    inspect,
};
use serde_json::Value;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ},
    flag,
};

#[cfg(feature = "hub")]
use crate::remote::HubAddressError;
use crate::{
    commands::{
        build::{self, Build, BuildError},
        hash::{Hash, HashError},
        repair::{Repair, RepairError, RepairReport},
        verify::{
            ManifestMismatch, ManifestReport, ManifestVerdict, Verify, VerifyError, VerifyReport,
        },
    },
    documents::{self, ManualPage},
    engine::{Findings, ParityFindings, Workers},
    model::{ExcludeError, Note},
    sys::signal::is_ignored,
};
use args::{BuilderArguments, BuilderCommand, Common};
use notes::Notes;

/// More threads than this make nothing faster, and each takes more than a mebibyte. Who wants more
/// says so.
const MAX_DEFAULT_THREADS: usize = 32;

/// Arguments that do not go together.
#[derive(Debug, thiserror::Error)]
enum BuilderUsageError {
    /// What is said of the tree.
    #[error(transparent)]
    Tree(#[from] ArgumentsError),
    /// What is to be left out cannot be understood.
    #[error(transparent)]
    Exclude(#[from] ExcludeError),
    /// A model on the hub is named otherwise.
    #[cfg(feature = "hub")]
    #[error(transparent)]
    Hub(#[from] HubAddressError),
    /// There is nothing to go on with.
    #[error(
        "--resume is for a model that is fetched: one in a directory is read again from its start"
    )]
    Resume,
    /// The program lacks what it takes.
    #[cfg(not(feature = "hub"))]
    #[error("this disk-builder was built without the feature hub, and fetches nothing")]
    NoHub,
}

/// How a command failed.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Usage(#[from] BuilderUsageError),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Hash(#[from] HashError),
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error(transparent)]
    Repair(#[from] RepairError),
    #[error(transparent)]
    Inspect(#[from] BackingFileError),
    #[error(
        "{} is corrupt: {hash_blocks} hash blocks, {ranges} ranges of data blocks",
        Escaped::path(path)
    )]
    Corrupt {
        path: PathBuf,
        hash_blocks: usize,
        ranges: usize,
    },
    #[error(
        "what is at byte {offset} is no FEC area of {}: of {compared} rows, it is not the parity of \
         {wrong} (--fec-offset names another place, --fec-roots another number)",
        Escaped::path(path)
    )]
    OtherParity {
        path: PathBuf,
        offset: u64,
        wrong: u64,
        compared: u64,
    },
    #[error("{} is not about {}", Escaped::path(path), Escaped::path(image))]
    Manifest {
        path: PathBuf,
        image: PathBuf,
        source: ManifestMismatch,
    },
    #[error(transparent)]
    Backend(#[from] BackendError),
    #[error(transparent)]
    FecBackend(#[from] FecBackendError),
    #[error("cannot start threads")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    #[error("cannot wait for signals")]
    Signals(#[source] io::Error),
    #[error("cannot write to the standard output")]
    Output(#[source] io::Error),
}

impl HasExitCode for CommandError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) | Self::Backend(_) | Self::FecBackend(_) => ExitCode::Usage,
            Self::Build(error) => error.exit_code(),
            Self::Hash(error) => error.exit_code(),
            Self::Verify(error) => error.exit_code(),
            Self::Repair(error) => error.exit_code(),
            Self::Inspect(error) => error.exit_code(),
            Self::Corrupt { .. } | Self::OtherParity { .. } | Self::Manifest { .. } => {
                ExitCode::Integrity
            }
            Self::Threads(_) | Self::Signals(_) | Self::Output(_) => ExitCode::Failure,
        }
    }
}

/// The manual page of the program.
pub const PAGE: ManualPage<'static> = ManualPage {
    section: "1",
    date: "",
    see_also: &["disk-mounter(8)", "veritysetup(8)", "mkfs.erofs(1)"],
};

/// The definition of the program's arguments, for what is made from it.
pub fn definition() -> clap::Command {
    BuilderArguments::command()
}

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    // Ends the process itself where the arguments cannot be parsed, with exit code 2.
    let arguments = BuilderArguments::parse();
    let Err(failure) = run(arguments.command) else {
        return ExitCode::Success;
    };
    let code = failure.exit_code();
    if code != ExitCode::Success {
        // Nothing can be done where this fails too.
        let _ = writeln!(io::stderr(), "disk-builder: {}", ErrorChain(&failure));
    }
    code
}

fn run(command: BuilderCommand) -> Result<(), CommandError> {
    Backend::choose_from_env()?;
    FecBackend::choose_from_env()?;
    match command {
        BuilderCommand::Build(arguments) => {
            let json = arguments.common.json;
            // Half of them wait for the disk.
            let workers = workers(&arguments.common, 2, interrupted_by_signals()?)?;
            let line = ProgressLine::start(workers.progress(), arguments.common.quiet);
            let build = Build::try_from(arguments)?;
            let mut notes = Notes::default();
            let built = build.run(&workers, |note| notes.tell(note));
            let report = notes.or_refusal(built, json)?;
            line.finish();
            print(&report, notes.with(report.to_json()), json)
        }
        BuilderCommand::RootHash(arguments) => {
            let json = arguments.common.json;
            let options = arguments.model.options()?;
            // A signal just ends it: there is nothing to take back.
            let workers = workers(&arguments.common, 1, Arc::default())?;
            let line = ProgressLine::start(workers.progress(), arguments.common.quiet);
            let mut notes = Notes::default();
            let tell = |note: &Note| notes.tell(note);
            let hashed = build::root_hash(arguments.model.origin()?, &options, &workers, tell);
            let report = notes.or_refusal(hashed, json)?;
            line.finish();
            let root_hash = report.root_hash;
            print(
                &format_args!("{root_hash}\n"),
                notes.with(report.to_json()),
                json,
            )
        }
        BuilderCommand::Hash(arguments) => {
            let json = arguments.common.json;
            let workers = workers(&arguments.common, 1, interrupted_by_signals()?)?;
            let line = ProgressLine::start(workers.progress(), arguments.common.quiet);
            let mut notes = Notes::default();
            let report = Hash::from(arguments).run(&workers, |note| notes.tell(note))?;
            line.finish();
            print(&report, notes.with(report.to_json()), json)
        }
        BuilderCommand::Verify(arguments) => {
            let json = arguments.common.json;
            let workers = workers(&arguments.common, 1, Arc::default())?;
            let line = ProgressLine::start(workers.progress(), arguments.common.quiet);
            let report = Verify::try_from(arguments)?.run(&workers)?;
            line.finish();
            let printed = print(&report, report.to_json(), json);
            judge(report)?;
            printed
        }
        BuilderCommand::Repair(arguments) => {
            let json = arguments.common.json;
            let workers = workers(&arguments.common, 1, interrupted_by_signals()?)?;
            let line = ProgressLine::start(workers.progress(), arguments.common.quiet);
            let report = Repair::try_from(arguments)?.run(&workers)?;
            line.finish();
            let printed = print(&report, report.to_json(), json);
            judge_repair(report)?;
            printed
        }
        BuilderCommand::Inspect(arguments) => {
            let offset = arguments.hash_offset.map(|offset| offset.0);
            let inspection = inspect(&arguments.image, offset)?;
            print(&inspection, inspection.to_json(), arguments.json)
        }
        BuilderCommand::Completions(arguments) => {
            write(&documents::completions(definition(), arguments.shell))
        }
        BuilderCommand::Man => write(PAGE.render(definition()).as_bytes()),
    }
}

/// What `verify` found, as success or failure.
fn judge(report: VerifyReport) -> Result<(), CommandError> {
    judge_blocks(&report.image, &report.findings)?;
    if let Some(fec) = &report.fec {
        judge_parity(&report.image, &fec.area, &fec.parity)?;
    }
    match report.manifest {
        Some(ManifestReport {
            path,
            verdict: ManifestVerdict::Differs(source),
        }) => Err(CommandError::Manifest {
            path,
            image: report.image,
            source,
        }),
        _ => Ok(()),
    }
}

/// What `repair` left, as success or failure.
fn judge_repair(report: RepairReport) -> Result<(), CommandError> {
    judge_blocks(&report.image, &report.findings)?;
    judge_parity(&report.image, &report.area, &report.parity)
}

fn judge_blocks(image: &Path, findings: &Findings) -> Result<(), CommandError> {
    if findings.is_clean() {
        return Ok(());
    }
    Err(CommandError::Corrupt {
        path: image.to_owned(),
        hash_blocks: findings.corrupt_hash_blocks.len(),
        ranges: findings.corrupt_data.len(),
    })
}

/// Where something else is than parity of the disk, nothing is said of it and nothing written to it.
fn judge_parity(image: &Path, area: &FecArea, parity: &ParityFindings) -> Result<(), CommandError> {
    if parity.is_of_this_disk() {
        return Ok(());
    }
    Err(CommandError::OtherParity {
        path: image.to_owned(),
        offset: area.offset(),
        wrong: parity.wrong_rows(),
        compared: parity.compared,
    })
}

/// As many threads as the user says, or else this many for each processor.
fn workers(
    common: &Common,
    per_processor: usize,
    interrupted: Arc<AtomicBool>,
) -> Result<Workers, CommandError> {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let default = default_threads(processors, per_processor);
    let threads = common.threads.map_or(default, usize::from);
    Ok(Workers::new(threads, interrupted)?)
}

fn default_threads(processors: usize, per_processor: usize) -> usize {
    (processors * per_processor).min(MAX_DEFAULT_THREADS)
}

/// A flag that SIGINT, SIGTERM and, where nohup(1) does not have it ignored, SIGHUP set. The second
/// one ends the process at once. What is too large for its limit is an error and no signal.
fn interrupted_by_signals() -> Result<Arc<AtomicBool>, CommandError> {
    flag::register(SIGXFSZ, Arc::default()).map_err(CommandError::Signals)?;
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        if signal == SIGHUP && is_ignored(signal).map_err(CommandError::Signals)? {
            continue;
        }
        flag::register_conditional_default(signal, Arc::clone(&interrupted))
            .and_then(|_| flag::register(signal, Arc::clone(&interrupted)))
            .map_err(CommandError::Signals)?;
    }
    Ok(interrupted)
}

fn print(text: &impl Display, object: Value, json: bool) -> Result<(), CommandError> {
    if json {
        write(format!("{object:#}\n").as_bytes())
    } else {
        write(text.to_string().as_bytes())
    }
}

fn write(bytes: &[u8]) -> Result<(), CommandError> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        // Nobody reads on, which is no failure; what was found may still be one.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(CommandError::Output),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_machine_does_not_take_all_memory() {
        assert_eq!(default_threads(1, 1), 1);
        assert_eq!(default_threads(8, 2), 16);
        for per_processor in [1, 2] {
            assert_eq!(default_threads(128, per_processor), 32);
        }
    }
}
