//! Completions and the manual page of a program, from the definition of its arguments.
//!
//! Made here for both programs: disk-mounter, which must be trusted, does without them.

mod after_help;
mod page;

use clap::Command;
use clap_complete::Shell;

pub use page::ManualPage;

/// A script that completes a program's arguments in a shell.
pub fn completions(mut program: Command, shell: Shell) -> Vec<u8> {
    let name = program.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut program, name, &mut script);
    match shell {
        Shell::Bash => with_whole_names(&program, script),
        _ => script,
    }
}

/// The labels of the branches for commands, as the script looks for them: clap_complete takes the
/// two halves of a name with a hyphen for a command and its subcommand there.
fn with_whole_names(program: &Command, script: Vec<u8>) -> Vec<u8> {
    let mut script = String::from_utf8_lossy(&script).into_owned();
    let commands = program.get_subcommands().chain([program]);
    for name in commands.map(Command::get_name) {
        script = script.replace(&name.replace('-', "__subcmd__"), &name.replace('-', "__"));
    }
    script.into_bytes()
}
