//! What stands at the end of a help, taken apart.

/// The paragraphs below the options in a help: a manual page has a place for each kind.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct AfterHelp {
    /// The lines of the examples.
    pub(super) examples: Vec<String>,
    /// Everything else, but the exit codes: a page tells more of them.
    pub(super) notes: Vec<String>,
}

impl AfterHelp {
    /// Takes a text apart, whose paragraphs tell by their first word what they are.
    pub(super) fn parse(text: &str) -> Self {
        let mut parsed = Self::default();
        for paragraph in text.split("\n\n").filter(|text| !text.is_empty()) {
            match paragraph.split_once(':') {
                Some(("Example" | "Examples", lines)) => {
                    let lines = lines.trim_start().lines();
                    let lines = lines.map(|line| line.strip_prefix("  ").unwrap_or(line));
                    parsed.examples.extend(lines.map(str::to_owned));
                }
                Some(("Exit codes", _)) => {}
                _ => parsed.notes.push(paragraph.to_owned()),
            }
        }
        parsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_by_kind() {
        let text = "One note\nof two lines.\n\nExample:\n  make this\n\n\
            Examples:\n  make that \\\n      --well\n  make more\n\nExit codes: 0 done\n\nAnother: note";
        let parsed = AfterHelp::parse(text);
        assert_eq!(parsed.notes, ["One note\nof two lines.", "Another: note"]);
        assert_eq!(
            parsed.examples,
            ["make this", "make that \\", "    --well", "make more"]
        );
        assert_eq!(AfterHelp::parse(""), AfterHelp::default());
        assert_eq!(AfterHelp::parse("Example: make it").examples, ["make it"]);
    }
}
