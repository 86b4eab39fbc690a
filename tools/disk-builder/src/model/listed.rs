//! A model of which somebody else lists the files. No I/O.

use std::{collections::BTreeMap, ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

use model_disk::{FileList, ModelFile, RelativePath};

use super::{
    ScanError, ScanOptions,
    exclude::Used,
    limits::{Count, Counted, Passed},
};

/// Files of a list that go onto a disk.
#[derive(Debug)]
pub(crate) struct ListedModel<T> {
    pub(crate) files: FileList,
    /// What was listed with each of them.
    pub(crate) extra: Vec<T>,
    /// Patterns that left nothing out.
    pub(crate) unused_excludes: Vec<String>,
}

impl<T> ListedModel<T> {
    /// Takes files by their paths and sizes, in any order, but for those that are left out. `name` is
    /// the model's, for messages.
    pub(crate) fn new(
        listed: impl Iterator<Item = (Vec<u8>, u64, T)>,
        name: &Path,
        options: &ScanOptions,
    ) -> Result<Self, ScanError> {
        let too_many = |_: Passed| ScanError::TooMany(name.to_owned());
        let mut used = Used::default();
        let mut count = Count::new();
        // Of each directory, whether it is left out.
        let mut directories = BTreeMap::new();
        let mut found = Vec::new();
        for (path, size, extra) in listed {
            let mut ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
            let is_out = ends.try_fold(false, |out, (end, _)| {
                let directory = path.get(..end).unwrap_or_default();
                if out {
                    return Ok(true);
                }
                if let Some(out) = directories.get(directory) {
                    return Ok(*out);
                }
                let out = options.excludes.leave_out(directory, &mut used);
                if !out {
                    count.add(Counted::Directory, 0)?;
                }
                directories.insert(directory.to_vec(), out);
                Ok(out)
            });
            if is_out.map_err(too_many)? || options.excludes.leave_out(&path, &mut used) {
                continue;
            }
            count.add(Counted::File, 0).map_err(too_many)?;
            let relative =
                RelativePath::new(path.as_slice()).map_err(|source| ScanError::Path {
                    path: name.join(OsStr::from_bytes(&path)),
                    source,
                })?;
            found.push((
                ModelFile {
                    path: relative,
                    size,
                },
                extra,
            ));
        }
        // In the order of the list.
        found.sort_by(|(one, _), (other, _)| one.path.cmp(&other.path));
        let (files, extra) = found.into_iter().unzip();
        let files = FileList::new(files).map_err(|source| ScanError::List {
            directory: name.to_owned(),
            source,
        })?;
        Ok(Self {
            files,
            extra,
            unused_excludes: options.excludes.unused(&used).cloned().collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Excludes;

    fn listed(paths: &[&str], patterns: &[&str]) -> Result<ListedModel<usize>, ScanError> {
        let options = Excludes::new(patterns.iter().copied()).unwrap().into();
        let listed = paths.iter().zip(0..);
        let listed = listed.map(|(path, number)| (path.as_bytes().to_vec(), 7, number));
        ListedModel::new(listed, Path::new("hf://org/model"), &options)
    }

    #[test]
    fn what_is_left_out_is_that_of_a_directory() {
        let paths = [
            "z/b.bin",
            "onnx/deep/model",
            "a",
            ".git/config",
            ".cache/huggingface/x",
            ".cache/other",
            "b.bin",
        ];
        let model = listed(&paths, &["onnx", "*.bin", "*.h5"]).unwrap();
        let kept: Vec<_> = model
            .files
            .iter()
            .map(|file| file.path.to_string())
            .collect();
        assert_eq!(kept, [".cache/other", "a", "z/b.bin"]);
        assert_eq!(model.extra, [5, 2, 0]);
        assert_eq!(model.unused_excludes, ["*.h5"]);
    }

    #[test]
    fn what_no_disk_can_hold() {
        for paths in [&["a/../b"][..], &["/etc/passwd"], &["a//b"], &["a\0b"]] {
            let error = listed(paths, &[]).unwrap_err();
            assert!(matches!(error, ScanError::Path { .. }), "{error}");
        }
        for paths in [&[][..], &["a", "a"], &["a", "a/b"]] {
            let error = listed(paths, &[]).unwrap_err();
            assert!(matches!(error, ScanError::List { .. }), "{error}");
        }
    }
}
