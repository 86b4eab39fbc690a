//! Writes the manual pages and completions of both programs, for `make install` and the packages.
//!
//! disk-mounter cannot do it itself, as disk-builder can: it is part of what must be trusted, and
//! does not link what is needed for it.

use std::{fs, path::PathBuf};

use anyhow::Context;
use clap::{Command, CommandFactory, Parser};
use clap_complete::Shell;
use disk_builder::documents::{ManualPage, completions};
use disk_mounter::cli::MounterArguments;

/// Write the manual pages and completions of both programs
#[derive(Parser)]
struct DocumentsArguments {
    /// The folder; in it they lie as under `share` of an installation
    folder: PathBuf,
    /// The date of the pages
    #[arg(long, value_name = "YYYY-MM-DD", default_value = "")]
    date: String,
}

const MOUNTER_PAGE: ManualPage<'static> = ManualPage {
    section: "8",
    date: "",
    see_also: &["disk-builder(1)", "veritysetup(8)", "mount(8)"],
};

fn main() -> anyhow::Result<()> {
    let arguments = DocumentsArguments::parse();
    let programs = [
        (MounterArguments::command(), MOUNTER_PAGE),
        (disk_builder::cli::definition(), disk_builder::cli::PAGE),
    ];
    for (program, page) in programs {
        let date = &arguments.date;
        for (path, content) in documents(&program, ManualPage { date, ..page }) {
            let path = arguments.folder.join(path);
            let folder = path.parent().context("a file lies in a folder")?;
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
            fs::write(&path, content)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(())
}

/// The documents of a program: where each belongs, and what it says.
fn documents(program: &Command, page: ManualPage<'_>) -> [(String, Vec<u8>); 4] {
    let (name, section) = (program.get_name(), page.section);
    let script = |shell| completions(program.clone(), shell);
    [
        (
            format!("man/man{section}/{name}.{section}"),
            page.render(program.clone()).into_bytes(),
        ),
        (
            format!("bash-completion/completions/{name}"),
            script(Shell::Bash),
        ),
        (format!("zsh/site-functions/_{name}"), script(Shell::Zsh)),
        (
            format!("fish/vendor_completions.d/{name}.fish"),
            script(Shell::Fish),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_tells_of_every_command_and_option() {
        for mut program in [MounterArguments::command(), disk_builder::cli::definition()] {
            let page = MOUNTER_PAGE.render(program.clone());
            program.build();
            let mut options = 0;
            for command in program.get_subcommands() {
                let name = command.get_name();
                if name == "help" {
                    continue;
                }
                let (_, section) = page.split_once(&format!("\n.SS {name}\n")).unwrap();
                let section = section.split("\n.S").next().unwrap();
                for option in command.get_arguments().filter_map(|arg| arg.get_long()) {
                    let shared = ["help", "log-format"].contains(&option);
                    let text = format!("\\-\\-{}", option.replace('-', "\\-"));
                    assert_eq!(section.contains(&text), !shared, "{name} {option}");
                    options += 1;
                }
                let example = format!("{} {name}", program.get_name()).replace('-', "\\-");
                let (_, examples) = page.split_once("\n.SH EXAMPLES\n").unwrap();
                assert!(examples.contains(&example), "{name}: {examples}");
            }
            assert!(options > 20, "only {options} options were looked at");
        }
    }

    #[test]
    fn documents_lie_where_they_are_looked_for() {
        let documents = documents(&MounterArguments::command(), MOUNTER_PAGE);
        assert_eq!(
            documents.map(|(path, _)| path),
            [
                "man/man8/disk-mounter.8",
                "bash-completion/completions/disk-mounter",
                "zsh/site-functions/_disk-mounter",
                "fish/vendor_completions.d/disk-mounter.fish",
            ]
        );
    }
}
