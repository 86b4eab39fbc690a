//! Lists of files that are not on this machine: one a line, as `URL BYTES SHA256 [PATH]`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use model_disk::{Escaped, FileError};

use super::{
    ListedFile,
    digest::ContentDigest,
    url::{Url, UrlError},
};

/// Why a list is none.
#[derive(Debug, thiserror::Error)]
pub enum UrlListError {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A line cannot be understood.
    #[error(
        "line {line} of {} is not URL BYTES SHA256 [PATH]",
        Escaped::path(list)
    )]
    Line {
        /// The list.
        list: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What of it.
        source: UrlLineError,
    },
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub enum UrlLineError {
    /// The first word.
    #[error("the URL cannot be fetched")]
    Url(#[from] UrlError),
    /// The second word.
    #[error("there is no size in bytes")]
    Bytes,
    /// The third word.
    #[error("there is no SHA-256 of 64 digits")]
    Sha256,
    /// The last word.
    #[error("the URL ends with no name of a file, and no PATH says another")]
    Path,
}

/// Reads a list. Lines that are empty or begin with `#` are left out.
pub(super) fn read(list: &Path) -> Result<Vec<(ListedFile, Url)>, UrlListError> {
    let text = fs::read_to_string(list).map_err(FileError::new("read", list))?;
    let lines = text
        .lines()
        .zip(1..)
        .map(|(text, line)| (text.trim(), line));
    lines
        .filter(|(text, _)| !text.is_empty() && !text.starts_with('#'))
        .map(|(text, line)| {
            parse(text).map_err(|source| UrlListError::Line {
                list: list.to_owned(),
                line,
                source,
            })
        })
        .collect()
}

fn parse(line: &str) -> Result<(ListedFile, Url), UrlLineError> {
    let (url, rest) = next_word(line);
    let (bytes, rest) = next_word(rest);
    let (sha256, path) = next_word(rest);
    let url = Url::parse(url)?;
    let path = match path {
        "" => last_name(url.uri().path()).ok_or(UrlLineError::Path)?,
        path => path.as_bytes().to_vec(),
    };
    let file = ListedFile {
        path,
        size: bytes.parse().map_err(|_| UrlLineError::Bytes)?,
        digest: ContentDigest::sha256(sha256).ok_or(UrlLineError::Sha256)?,
    };
    Ok((file, url))
}

fn next_word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim_start())
}

/// What a path in an address ends with, as it is without `%`.
fn last_name(path: &str) -> Option<Vec<u8>> {
    let name = path.rsplit('/').next().filter(|name| !name.is_empty())?;
    let mut parts = name.split('%');
    let mut decoded = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        decoded.push(u8::from_str_radix(digits, 16).ok()?);
        decoded.extend_from_slice(rest.as_bytes());
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA256: &str = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";

    fn path_of(line: &str) -> Result<Vec<u8>, UrlLineError> {
        parse(line).map(|(file, _)| file.path)
    }

    #[test]
    fn lines() {
        for (start, rest, path) in [
            ("https://x/a/b.bin", "", "b.bin"),
            ("https://x/a%20b?c", "", "a b"),
            ("http://x/a", "dir/a file.bin", "dir/a file.bin"),
            ("https://x/", " \tweights", "weights"),
        ] {
            let line = format!("{start} 6  {SHA256} {rest}");
            let (file, url) = parse(&line).unwrap();
            assert_eq!(file.path, path.as_bytes(), "{line}");
            assert_eq!((file.size, url), (6, Url::parse(start).unwrap()));
        }
    }

    #[test]
    fn what_is_wrong_with_a_line() {
        let error = |line: &str| path_of(line).unwrap_err();
        assert!(matches!(error("x 6 y"), UrlLineError::Url(_)));
        assert!(matches!(error("https://x/a"), UrlLineError::Bytes));
        assert!(matches!(error("https://x/a -1"), UrlLineError::Bytes));
        assert!(matches!(error("https://x/a 6 abc"), UrlLineError::Sha256));
        for url in ["https://x/", "https://x", "https://x/%zz"] {
            let line = format!("{url} 6 {SHA256}");
            assert!(matches!(error(&line), UrlLineError::Path), "{url}");
        }
    }

    #[test]
    fn lists() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("list");
        let line = format!("https://x/a 6 {SHA256}");
        fs::write(&list, format!("# of a model\n\n{line}\r\n  {line} b\n")).unwrap();
        let paths: Vec<_> = read(&list)
            .unwrap()
            .into_iter()
            .map(|(file, _)| file.path)
            .collect();
        assert_eq!(paths, [b"a", b"b"]);
        fs::write(&list, format!("{line}\nx\n")).unwrap();
        let error = read(&list).unwrap_err();
        assert!(matches!(error, UrlListError::Line { line: 2, .. }));
    }
}
