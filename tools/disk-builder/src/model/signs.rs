//! What a model shows of a download that is not complete, and of what is not meant for others.

use std::{io::Read, path::PathBuf};

use model_disk::{FileList, ModelFile, RelativePath};

use super::{
    Note,
    names::NameSign,
    shard_index::{self, INDEX_END, MAX_INDEX_BYTES},
};

/// What is known of a model besides the bytes of its files.
pub(crate) struct Signs<'a> {
    pub(crate) files: &'a FileList,
    pub(crate) lfs_pointers: &'a [RelativePath],
    pub(crate) unused_excludes: &'a [String],
    pub(crate) unused_places: &'a [PathBuf],
    /// An index of shards that is longer is not read.
    pub(crate) max_index_bytes: u64,
}

impl Signs<'_> {
    /// All that is to be told. `open` opens the file with this place in the list.
    pub(crate) fn notes<R: Read, E>(
        self,
        open: impl Fn(usize) -> Result<R, E>,
    ) -> Result<Vec<Note>, E> {
        let mut notes = Vec::new();
        if !self.lfs_pointers.is_empty() {
            let files = self.lfs_pointers.to_vec();
            notes.push(Note::LfsPointers { files });
        }
        let [leftovers, secrets] = [NameSign::Leftover, NameSign::Secret].map(|sign| {
            let files = self.files.iter().map(|file| &file.path);
            let files = files.filter(|path| NameSign::of(path.names()) == Some(sign));
            files.cloned().collect::<Vec<_>>()
        });
        if !leftovers.is_empty() {
            notes.push(Note::Leftovers { files: leftovers });
        }
        for (place, file) in self.files.iter().enumerate() {
            let is_index = file.path.as_bytes().ends_with(INDEX_END);
            let is_read = file.size <= self.max_index_bytes.min(MAX_INDEX_BYTES);
            if is_index && is_read && !self.lfs_pointers.contains(&file.path) {
                notes.extend(self.of_index(file, open(place)?));
            }
        }
        if !secrets.is_empty() {
            notes.push(Note::Secrets { files: secrets });
        }
        let excludes = self.unused_excludes.iter().cloned();
        notes.extend(excludes.map(|pattern| Note::UnusedExclude { pattern }));
        let places = self.unused_places.iter().cloned();
        notes.extend(places.map(|place| Note::UnusedAllowOutside { place }));
        Ok(notes)
    }

    fn of_index(&self, file: &ModelFile, content: impl Read) -> Option<Note> {
        let is_there = |name: &str| holds(self.files, &beside(&file.path, name));
        let index = file.path.clone();
        match shard_index::missing(content, is_there) {
            Ok(missing) if missing.is_empty() => None,
            Ok(missing) => Some(Note::MissingShards { index, missing }),
            Err(error) => {
                let reason = error.to_string();
                Some(Note::UnreadableIndex { index, reason })
            }
        }
    }
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
