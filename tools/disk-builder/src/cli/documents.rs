//! Completions and manual pages, from the same definition as the arguments.

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use super::{UsageError, args::Arguments};

/// A script that completes the program's arguments.
pub(super) fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(
        shell,
        &mut Arguments::command(),
        "disk-builder",
        &mut script,
    );
    script
}

/// The manual page of the program, or of one of its commands.
pub(super) fn man(name: Option<&str>) -> Result<Vec<u8>, UsageError> {
    let mut program = Arguments::command();
    // Gives each command its full name.
    program.build();
    let command = match name {
        None => program,
        Some(name) => program
            .find_subcommand(name)
            .cloned()
            .ok_or_else(|| UsageError::NoCommand(name.to_owned()))?,
    };
    let title = command
        .get_display_name()
        .unwrap_or("disk-builder")
        .to_owned();
    let mut page = Vec::new();
    // Writing to memory does not fail.
    let _ = Man::new(command).title(title).render(&mut page);
    Ok(page)
}
