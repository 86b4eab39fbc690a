//! Paths as they can be shown.

use std::{
    fmt::{self, Write},
    os::unix::ffi::OsStrExt,
    path::Path,
};

/// A path for messages, which whoever made a model or a disk may have chosen. What a terminal or a
/// log would not show as it stands is escaped: bytes that are not UTF-8, control characters, line
/// separators, and what changes the direction of text.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(&'a [u8]);

impl<'a> Escaped<'a> {
    /// A path from a disk.
    pub fn bytes(path: &'a [u8]) -> Self {
        Self(path)
    }

    /// A path of this machine.
    pub fn path(path: &'a Path) -> Self {
        Self(path.as_os_str().as_bytes())
    }
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                if is_shown(character) {
                    f.write_char(character)?;
                } else {
                    write!(f, "{}", character.escape_default())?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

fn is_shown(character: char) -> bool {
    let turns = matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    !turns && !character.is_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_escaped() {
        for (path, shown) in [
            ("gewicht-ä/模型 'x'".as_bytes(), "gewicht-ä/模型 'x'"),
            (b"a\n\t\r", r"a\n\t\r"),
            (b"a\xff/\x1b[31m\x7f", r"a\xff/\u{1b}[31m\u{7f}"),
            (
                "\u{9b}1m\u{202e}\u{2028}".as_bytes(),
                r"\u{9b}1m\u{202e}\u{2028}",
            ),
        ] {
            assert_eq!(Escaped::bytes(path).to_string(), shown);
        }
        let path = Path::new("/a\nb");
        assert_eq!(Escaped::path(path).to_string(), r"/a\nb");
    }
}
