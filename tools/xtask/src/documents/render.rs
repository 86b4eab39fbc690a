//! What the manual pages and completions say, from the definition of each program's arguments.

use anyhow::{Result, bail};
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use disk_builder::documents::{ManualPage, completions};
use disk_mounter::cli::MounterArguments;

use crate::program::{Document, PublishedProgram};

const MOUNTER_PAGE: ManualPage<'static> = ManualPage {
    section: "8",
    date: "",
    see_also: &["disk-builder(1)", "veritysetup(8)", "mount(8)"],
};

/// What a document of a program says, as of a day.
pub(crate) fn render(
    program: &PublishedProgram,
    document: Document,
    date: &str,
) -> Result<Vec<u8>> {
    let (definition, page) = definition(program)?;
    Ok(match document {
        Document::ManualPage => ManualPage { date, ..page }.render(definition).into_bytes(),
        Document::Bash => completions(definition, Shell::Bash),
        Document::Zsh => completions(definition, Shell::Zsh),
        Document::Fish => completions(definition, Shell::Fish),
    })
}

/// The arguments of a program, and what else its manual page says.
fn definition(program: &PublishedProgram) -> Result<(Command, ManualPage<'static>)> {
    match program.name {
        "disk-mounter" => Ok((MounterArguments::command(), MOUNTER_PAGE)),
        "disk-builder" => Ok((disk_builder::cli::definition(), disk_builder::cli::PAGE)),
        name => bail!("{name} has no manual page"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::PROGRAMS;

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
    fn each_program_has_its_documents() {
        for program in &PROGRAMS {
            let (definition, page) = definition(program).unwrap();
            assert_eq!(definition.get_name(), program.name);
            assert_eq!(page.section, program.section);
            for document in Document::ALL {
                let content = render(program, document, "2026-01-02").unwrap();
                let text = String::from_utf8(content).unwrap();
                let dated = document == Document::ManualPage;
                assert_eq!(text.contains("2026"), dated, "{document:?}: {text}");
                assert!(text.contains("inspect"), "{document:?}: {text}");
            }
        }
    }
}
