//! Completions and the manual page of a program, from the definition of its arguments.
//!
//! Made here for both programs: disk-mounter, which must be trusted, does without them.

mod after_help;
mod page;

use clap::Command;
use clap_complete::Shell;

pub use page::Page;

/// A script that completes a program's arguments in a shell.
pub fn completions(mut program: Command, shell: Shell) -> Vec<u8> {
    let name = program.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut program, name, &mut script);
    script
}
