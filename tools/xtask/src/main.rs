//! Prepares a machine for this project, and installs and packages its programs: what `Makefile`
//! runs besides Cargo.
//!
//! What lives where; each calls only what stands below it:
//!
//! | module | holds |
//! |---|---|
//! | `cli` | the command line |
//! | `setup` | the Debian packages that are needed for some purpose |
//! | `dist` | everything of a release |
//! | `deb`, `control` | the Debian package of a program, and what it says of itself |
//! | `provenance`, `revision` | what a release was made from |
//! | `signature` | what signs it |
//! | `sbom`, `notices` | the bill of materials, and the licences of what is linked in |
//! | `image` | the container image of a program |
//! | `install`, `uninstall` | what `make install` and `make uninstall` do |
//! | `parts`, `crates`, `libraries` | everything that is linked into a program |
//! | `documents` | manual pages and completions |
//! | `program` | the programs that are published, and where their files belong |
//! | `archive` | archives that are the same wherever they are made |
//! | `date` | the time that everything bears |
//! | `child`, `files`, `source` | programs that are run, files that are written, the sources |
//!
//! Without the feature `packages` it can set up a machine, make an image and uninstall.

// What only the feature uses of the modules below.
#![cfg_attr(not(feature = "packages"), allow(dead_code))]

mod archive;
mod child;
mod cli;
#[cfg(feature = "packages")]
mod control;
#[cfg(feature = "packages")]
mod crates;
mod date;
#[cfg(feature = "packages")]
mod deb;
#[cfg(feature = "packages")]
mod dist;
#[cfg(feature = "packages")]
mod documents;
mod files;
mod image;
#[cfg(feature = "packages")]
mod install;
#[cfg(feature = "packages")]
mod libraries;
#[cfg(feature = "packages")]
mod notices;
#[cfg(feature = "packages")]
mod parts;
mod program;
#[cfg(feature = "packages")]
mod provenance;
#[cfg(feature = "packages")]
mod revision;
#[cfg(feature = "packages")]
mod sbom;
mod setup;
#[cfg(feature = "packages")]
mod signature;
mod source;
mod uninstall;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Result;
use clap::Parser;

use cli::{XtaskArguments, XtaskCommand};

fn main() -> ExitCode {
    match run(XtaskArguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: XtaskCommand) -> Result<()> {
    match command {
        XtaskCommand::Setup { purposes } => setup::setup(&purposes),
        #[cfg(feature = "packages")]
        XtaskCommand::Documents { folder, date } => documents::write(&folder, &date),
        #[cfg(feature = "packages")]
        XtaskCommand::Install(arguments) => install::install(
            &arguments.root,
            &arguments.release,
            &arguments.programs,
            &arguments.zsh_functions,
        ),
        XtaskCommand::Uninstall(arguments) => uninstall::uninstall(
            &arguments.root,
            &arguments.programs,
            &arguments.zsh_functions,
        ),
        #[cfg(feature = "packages")]
        XtaskCommand::Notices { target, programs } => print(&notices::notices(&target, &programs)?),
        #[cfg(feature = "packages")]
        XtaskCommand::Sbom { program, target } => print(&sbom::bill(
            &program,
            &target,
            date::Date::of_the_sources()?,
        )?),
        #[cfg(feature = "packages")]
        XtaskCommand::Deb(release) => deb::packages(&release),
        #[cfg(feature = "packages")]
        XtaskCommand::Dist(arguments) => print(&dist::release(&arguments)?),
        XtaskCommand::Image {
            folder,
            program,
            registry,
        } => print(&format!(
            "{}\n",
            image::image(&folder, &program, &registry)?
        )),
    }
}

fn print(text: &str) -> Result<()> {
    Ok(io::stdout().write_all(text.as_bytes())?)
}
