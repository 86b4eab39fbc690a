//! Measures this project's programs against those that do the same, side by side
//! on the same data, and says which goals are met.
//!
//! What lives where; data flows downwards:
//!
//! | module | holds |
//! |---|---|
//! | `cli` | the command line |
//! | `comparisons` | what is compared with what, and the goals |
//! | `mount` | the comparison that needs a kernel with dm-verity |
//! | `data` | the models and images that the programs are given |
//! | `filesystem` | filesystems made for a measurement |
//! | `experiment` | runs in turns, each from the same state |
//! | `cache` | what is in the page cache before a run |
//! | `child` | one program, timed |
//! | `machine` | what it was measured on |
//! | `report` | the results and how they compare; also as JSON |
//! | `statistics` | medians and spreads |
//! | `table` | the results as Markdown |

mod cache;
mod child;
mod cli;
mod comparisons;
mod data;
mod experiment;
mod filesystem;
mod machine;
mod mount;
mod report;
mod statistics;
mod table;

use std::{
    fs,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::Parser;
use dm_verity::{fec::FecBackend, sha256::Backend};

use cli::{BenchArguments, BenchCommand};
use report::Report;

fn main() -> ExitCode {
    match run(BenchArguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: BenchArguments) -> Result<()> {
    // The programs under test inherit the variables, and so use the same kernels.
    Backend::choose_from_env()?;
    FecBackend::choose_from_env()?;
    let (report, json) = match cli.command {
        BenchCommand::Run(arguments) => (comparisons::run(&arguments)?, arguments.json),
        BenchCommand::Mount(arguments) => (mount::run(&arguments)?, arguments.json),
        BenchCommand::Show { file } => (read(&file)?, None),
    };
    if let Some(file) = json {
        write(&report, &file)?;
    }
    io::stdout().write_all(table::markdown(&report).as_bytes())?;
    Ok(())
}

fn read(file: &Path) -> Result<Report> {
    let text = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_slice(&text)
        .with_context(|| format!("{} is no result of this program", file.display()))
}

fn write(report: &Report, file: &Path) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(report)?;
    text.push(b'\n');
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}
