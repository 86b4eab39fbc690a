//! `ls`: what is in a directory of a disk.

use std::io::{self, Write};

use model_disk::{
    Escaped, WrittenPath,
    erofs::{ErofsKind, ErofsNode},
};
use serde::Serialize;

use super::{DiskPath, FilesystemError, ReadingError, VerifiedFiles};

/// How a list is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListFormat {
    /// Names, one on a line.
    Names,
    /// Types and permissions, sizes in bytes, and names with the targets of links.
    Long,
    /// One JSON object.
    Json,
}

/// An entry in JSON.
#[derive(Serialize)]
struct ListedEntry {
    #[serde(flatten)]
    name: WrittenPath,
    #[serde(rename = "type")]
    kind: &'static str,
    /// As chmod(1) takes it.
    mode: String,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<ListedTarget>,
}

/// The target of a link in JSON.
#[derive(Serialize)]
struct ListedTarget(WrittenPath);

/// Prints what is in a directory of a disk, or what a file is, to `out`. It is printed as it is read:
/// of a large directory only a block is in memory. A reader that has gone away has what it wanted.
pub fn list(
    files: &VerifiedFiles,
    path: &DiskPath,
    format: ListFormat,
    out: impl Write,
) -> Result<(), ReadingError> {
    let listed = Printer {
        files,
        format,
        out: io::BufWriter::new(out),
        is_first: true,
    }
    .list(path);
    match listed {
        Err(ListError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(ListError::Output(error)) => Err(ReadingError::Output(error)),
        Err(ListError::Filesystem(error)) => Err(files.failed(error)),
        Err(ListError::Other(error)) => Err(error),
        Ok(()) => Ok(()),
    }
}

/// Why a list is not printed to its end.
enum ListError {
    Output(io::Error),
    Filesystem(FilesystemError),
    Other(ReadingError),
}

impl From<io::Error> for ListError {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<FilesystemError> for ListError {
    fn from(error: FilesystemError) -> Self {
        Self::Filesystem(error)
    }
}

struct Printer<'a, W: Write> {
    files: &'a VerifiedFiles,
    format: ListFormat,
    out: io::BufWriter<W>,
    is_first: bool,
}

impl<W: Write> Printer<'_, W> {
    fn list(mut self, path: &DiskPath) -> Result<(), ListError> {
        let found = self.files.find(path).map_err(ListError::Other)?;
        if self.format == ListFormat::Json {
            write!(self.out, "{{\"entries\":[")?;
        }
        if found.is_directory() {
            let mut entries = self.files.view.entries(&found)?;
            while let Some(entry) = entries.next_entry()? {
                match self.format {
                    ListFormat::Names => writeln!(self.out, "{}", Escaped::bytes(entry.name))?,
                    _ => self.entry(entry.name, &self.files.view.node(entry.nid)?)?,
                }
            }
        } else {
            self.entry(path.as_bytes(), &found)?;
        }
        if self.format == ListFormat::Json {
            writeln!(self.out, "]}}")?;
        }
        self.out.flush()?;
        Ok(())
    }

    fn entry(&mut self, name: &[u8], node: &ErofsNode) -> Result<(), ListError> {
        let target = match node.kind() {
            ErofsKind::Link => Some(self.files.view.link_target(node)?),
            _ => None,
        };
        let shown = Escaped::bytes(name);
        match self.format {
            ListFormat::Names => writeln!(self.out, "{shown}")?,
            ListFormat::Long => {
                let mode = mode_text(node.mode());
                write!(self.out, "{mode} {:>15} {shown}", node.size())?;
                match target {
                    Some(target) => writeln!(self.out, " -> {}", Escaped::bytes(&target))?,
                    None => writeln!(self.out)?,
                }
            }
            ListFormat::Json => {
                if !self.is_first {
                    write!(self.out, ",")?;
                }
                self.is_first = false;
                let entry = ListedEntry {
                    name: WrittenPath::new(name.to_owned()),
                    kind: kind_name(node.kind()),
                    mode: format!("{:04o}", node.mode() & 0o7777),
                    size: node.size(),
                    target: target.map(|target| ListedTarget(WrittenPath::new(target))),
                };
                serde_json::to_writer(&mut self.out, &entry).map_err(io::Error::from)?;
            }
        }
        Ok(())
    }
}

fn kind_name(kind: ErofsKind) -> &'static str {
    match kind {
        ErofsKind::File => "file",
        ErofsKind::Directory => "directory",
        ErofsKind::Link => "link",
        ErofsKind::Special => "special",
    }
}

/// As `ls -l` has it.
fn mode_text(mode: u16) -> String {
    let kind = match mode >> 12 {
        0o10 => '-',
        0o04 => 'd',
        0o12 => 'l',
        0o06 => 'b',
        0o02 => 'c',
        0o01 => 'p',
        0o14 => 's',
        _ => '?',
    };
    let mut text = String::from(kind);
    for (shift, special, letters) in [(6, 0o4000, "sS"), (3, 0o2000, "sS"), (0, 0o1000, "tT")] {
        let bits = mode >> shift;
        text.push(if bits & 4 == 0 { '-' } else { 'r' });
        text.push(if bits & 2 == 0 { '-' } else { 'w' });
        let mut letters = letters.chars();
        text.push(match (mode & special != 0, bits & 1 != 0) {
            (false, false) => '-',
            (false, true) => 'x',
            (true, true) => letters.next().unwrap_or('?'),
            (true, false) => letters.nth(1).unwrap_or('?'),
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_as_ls_shows_them() {
        for (mode, text) in [
            (0o100_644, "-rw-r--r--"),
            (0o040_755, "drwxr-xr-x"),
            (0o120_777, "lrwxrwxrwx"),
            (0o104_755, "-rwsr-xr-x"),
            (0o102_644, "-rw-r-Sr--"),
            (0o041_777, "drwxrwxrwt"),
            (0o060_600, "brw-------"),
            (0o177_000, "?--S--S--T"),
        ] {
            assert_eq!(mode_text(mode), text);
        }
    }
}
