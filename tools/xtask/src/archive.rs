//! Archives that are the same wherever, whenever and by whomever they are made.

use std::{io::Write, path::Path};

use anyhow::{Context, Result};
use flate2::{Compression, GzBuilder};

use crate::{
    child::{bytes, command},
    date::Date,
};

/// What is in a folder, or in a folder of it, as a tar archive: in the order of its names, of
/// root, and readable for all.
pub(crate) fn tar(folder: &Path, name: &str, date: Date) -> Result<Vec<u8>> {
    let time = format!("--mtime=@{}", date.epoch());
    let mut tar = command("tar", ["--create", "--format=ustar", "--sort=name", &time]);
    tar.args(["--owner=0", "--group=0", "--numeric-owner"]);
    tar.args(["--mode=u=rwX,go=rX", "--file=-", "--directory"]);
    bytes(tar.arg(folder).arg("--").arg(name))
}

/// Compresses for gzip, with neither a name nor a time in it.
pub(crate) fn gzip(content: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().write(Vec::new(), Compression::best());
    encoder.write_all(content)?;
    encoder.finish().context("cannot compress")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files;

    #[test]
    fn an_archive_has_nothing_of_the_machine() {
        let make = || {
            let folder = tempfile::tempdir().unwrap();
            for (name, mode) in [("top/b", 0o700), ("top/a", 0o600)] {
                files::put(&folder.path().join(name), mode, b"content").unwrap();
            }
            let date = Date::or_1970().unwrap();
            tar(folder.path(), "top", date).unwrap()
        };
        let archive = make();
        assert_eq!(archive, make());
        let position = |word: &[u8]| archive.windows(word.len()).position(|part| part == word);
        let (first, second) = (position(b"top/a\0"), position(b"top/b\0"));
        assert!(first.is_some() && first < second, "{first:?} {second:?}");
        assert!(position(b"0000644\0").is_some() && position(b"0000755\0").is_some());
    }

    #[test]
    fn compressed_without_name_and_time() {
        let compressed = gzip(b"content").unwrap();
        // Magic number, deflate, no flags, no time.
        assert_eq!(compressed[..8], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0]);
    }
}
