//! A manual page: one for a program, with all its commands in it.
//!
//! What `clap_mangen` makes of a command is one page each. Its parts are put together here.

use std::io::{self, Write};

use clap::Command;
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};
use model_disk::ExitCode;

use super::after_help::AfterHelp;

/// The manual page of a program.
#[derive(Clone, Copy, Debug)]
pub struct ManualPage<'a> {
    /// The section of the manual: `1` or `8`.
    pub section: &'a str,
    /// When the page was last changed, as `YYYY-MM-DD`; may be empty.
    pub date: &'a str,
    /// Other pages to read, as `disk-builder(1)`.
    pub see_also: &'a [&'a str],
}

impl ManualPage<'_> {
    /// The page of a program, as ROFF source.
    pub fn render(&self, program: Command) -> String {
        let mut program = program.disable_help_subcommand(true);
        // Gives each command its full name, and the options of all commands.
        program.build();
        let commands = Vec::from_iter(program.get_subcommands().map(|command| Part {
            man: Man::new(own_options(command, &program)),
            name: command.get_name().to_owned(),
            usage: command.clone().render_usage().to_string(),
            about: about(command),
            after_help: after_help(command),
        }));
        let after_help = after_help(&program);

        let mut page = Roff::new();
        let name = program.get_name();
        let version = program.get_version().unwrap_or_default();
        let source = format!("{name} {version}");
        page.control(
            "TH",
            [&name.to_uppercase(), self.section, self.date, &source],
        );
        page.control("SH", ["NAME"]);
        let about = about(&program);
        page.text([roman(format!("{name} - {about}"))]);
        let mut page = page.render();

        page += &synopsis(&commands);
        let man = Man::new(program);
        page += ".SH DESCRIPTION\n";
        page += &body(|to| man.render_description_section(to));
        page += &paragraphs(&after_help.notes);
        page += ".SH OPTIONS\n";
        page += &body(|to| man.render_options_section(to));
        page += ".SH COMMANDS\n";
        for command in &commands {
            page += &command.render();
        }
        page += &exit_status();
        page += &examples(&about, &after_help, &commands);
        page += &see_also(self.see_also);
        page
    }
}

/// A command of a program.
struct Part {
    man: Man,
    name: String,
    usage: String,
    about: String,
    after_help: AfterHelp,
}

impl Part {
    fn render(&self) -> String {
        let mut head = Roff::new();
        head.control("SS", [self.name.as_str()]);
        head.text([roman(format!("{}.", self.about))]);
        let head = source(&head);
        let notes = paragraphs(&self.after_help.notes);
        let options = body(|to| self.man.render_options_section(to));
        format!("{head}{notes}{options}")
    }
}

/// A command without what is told once, for the whole program: help, and options of all commands.
fn own_options(command: &Command, program: &Command) -> Command {
    let shared = program.get_arguments().filter(|arg| arg.is_global_set());
    let shared = shared.map(|argument| argument.get_id().to_string());
    let own = command.clone().mut_arg("help", |help| help.hide(true));
    shared.fold(own, |own, id| own.mut_arg(id, |shared| shared.hide(true)))
}

/// What a command does, on one line.
fn about(command: &Command) -> String {
    let text = command.get_about().map(ToString::to_string);
    text.unwrap_or_default()
}

fn after_help(command: &Command) -> AfterHelp {
    let text = command.get_after_help().map(ToString::to_string);
    AfterHelp::parse(&text.unwrap_or_default())
}

fn synopsis(commands: &[Part]) -> String {
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]);
    for (index, command) in commands.iter().enumerate() {
        if index > 0 {
            roff.control("br", []);
        }
        let usage = command.usage.trim_start_matches("Usage: ");
        roff.text([roman(usage)]);
    }
    source(&roff)
}

/// What stands under the heading of a section.
fn body(render: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> String {
    let mut section = Vec::new();
    // Writing to memory does not fail.
    let _ = render(&mut section);
    let section = String::from_utf8_lossy(&section);
    let heading = section.split_once(".SH ").map_or("", |(_, lines)| lines);
    let body = heading.split_once('\n').map_or("", |(_, body)| body);
    // An empty line, as those who check manual pages want it.
    body.replace(".br\n\n.br\n", ".sp\n")
}

/// ROFF source that goes on, without what comes first on a page.
fn source(roff: &Roff) -> String {
    let first = Roff::new().render();
    roff.render().split_off(first.len())
}

fn paragraphs(texts: &[String]) -> String {
    let mut roff = Roff::new();
    for text in texts {
        roff.control("PP", []);
        for line in text.lines() {
            roff.text([roman(line)]);
        }
    }
    source(&roff)
}

fn exit_status() -> String {
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]);
    for code in ExitCode::ALL {
        roff.control("TP", []);
        roff.text([bold((code as u8).to_string())]);
        roff.text([roman(code.meaning())]);
    }
    source(&roff)
}

/// The examples of the program, then those of its commands.
fn examples(about: &str, program: &AfterHelp, commands: &[Part]) -> String {
    let mut roff = Roff::new();
    roff.control("SH", ["EXAMPLES"]);
    let commands = commands
        .iter()
        .map(|command| (command.about.as_str(), &command.after_help));
    for (about, after_help) in [(about, program)].into_iter().chain(commands) {
        if after_help.examples.is_empty() {
            continue;
        }
        roff.control("TP", ["4"]);
        roff.text([roman(format!("{about}:"))]);
        roff.control("nf", []);
        for line in &after_help.examples {
            roff.text([roman(line)]);
        }
        roff.control("fi", []);
    }
    source(&roff)
}

fn see_also(pages: &[&str]) -> String {
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]);
    for (index, page) in pages.iter().enumerate() {
        let (name, section) = page.split_once('(').unwrap_or((page, ")"));
        let comma = if index + 1 < pages.len() { "," } else { "" };
        roff.text([bold(name), roman(format!("({section}{comma}"))]);
    }
    source(&roff)
}
