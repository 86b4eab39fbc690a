//! What a model shows of a download that is not complete, and of what is not meant for others.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

use model_disk::{FileList, ModelFile, RelativePath};

use super::{
    Note, ReadError, SourceFile,
    names::NameSign,
    scan::Scanned,
    shard_index::{self, INDEX_END, MAX_INDEX_BYTES},
};

/// All that is to be told of a model in this directory.
pub(super) fn notes(scanned: &Scanned, directory: &Path) -> Result<Vec<Note>, ReadError> {
    let mut notes = Vec::new();
    if !scanned.lfs_pointers.is_empty() {
        let files = scanned.lfs_pointers.clone();
        notes.push(Note::LfsPointers { files });
    }
    let [leftovers, secrets] = [NameSign::Leftover, NameSign::Secret].map(|sign| {
        let files = scanned.files.iter().map(|file| &file.path);
        let files = files.filter(|path| NameSign::of(path.names()) == Some(sign));
        files.cloned().collect::<Vec<_>>()
    });
    if !leftovers.is_empty() {
        notes.push(Note::Leftovers { files: leftovers });
    }
    for file in scanned.files.iter() {
        let is_index = file.path.as_bytes().ends_with(INDEX_END) && file.size <= MAX_INDEX_BYTES;
        if is_index && !scanned.lfs_pointers.contains(&file.path) {
            notes.extend(of_index(file, scanned, directory)?);
        }
    }
    if !secrets.is_empty() {
        notes.push(Note::Secrets { files: secrets });
    }
    let excludes = scanned.unused_excludes.iter().cloned();
    notes.extend(excludes.map(|pattern| Note::UnusedExclude { pattern }));
    let places = scanned.unused_places.iter().cloned();
    notes.extend(places.map(|place| Note::UnusedAllowOutside { place }));
    Ok(notes)
}

fn of_index(
    file: &ModelFile,
    scanned: &Scanned,
    directory: &Path,
) -> Result<Option<Note>, ReadError> {
    let relative = OsStr::from_bytes(file.path.as_bytes());
    let opened = SourceFile::open(&scanned.top, relative, file.path.below(directory))?;
    let is_there = |name: &str| holds(&scanned.files, &beside(&file.path, name));
    let index = file.path.clone();
    Ok(match shard_index::missing(opened.file(), is_there) {
        Ok(missing) if missing.is_empty() => None,
        Ok(missing) => Some(Note::MissingShards { index, missing }),
        Err(error) => {
            let reason = error.to_string();
            Some(Note::UnreadableIndex { index, reason })
        }
    })
}

/// The path of what is called so in the directory of a file.
fn beside(file: &RelativePath, name: &str) -> Vec<u8> {
    let last = file.names().last().unwrap_or_default();
    let directory = file.as_bytes().strip_suffix(last).unwrap_or_default();
    [directory, name.as_bytes()].concat()
}

fn holds(files: &FileList, path: &[u8]) -> bool {
    let found =
        RelativePath::new(path).map(|path| files.binary_search_by(|file| file.path.cmp(&path)));
    matches!(found, Ok(Ok(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_lie_beside_their_index() {
        let path = |text: &str| RelativePath::new(text).unwrap();
        assert_eq!(beside(&path("a/b/x.index.json"), "y"), b"a/b/y");
        assert_eq!(beside(&path("x.index.json"), "z/y"), b"z/y");
        let file = |text| ModelFile {
            path: path(text),
            size: 0,
        };
        let files = FileList::new(["a.b", "a/b", "c"].map(file).to_vec()).unwrap();
        assert!(holds(&files, b"a/b") && holds(&files, b"a.b"));
        for missing in [&b"a"[..], b"d", b"../a/b", b""] {
            assert!(!holds(&files, missing));
        }
    }
}
