//! The image of a model, read before it is written.

use model_disk::erofs::{ExtentSource, ImageExtent, ImagePlan};

use super::file_bytes::FileBytes;
use crate::engine::{Extent, Source, SourceError, Window};

/// How far to look for the end of a stretch of data that goes through several files: as far as is
/// read at once.
const LOOK_AHEAD: u64 = 1 << 20;

/// Gives the bytes of a planned image: its metadata from memory, its files from the model.
pub(super) struct PlanSource<'a> {
    plan: &'a ImagePlan,
    files: Box<dyn FileBytes + 'a>,
}

impl<'a> PlanSource<'a> {
    /// The image `plan` of a model with these files.
    pub(super) fn new(plan: &'a ImagePlan, files: impl FileBytes + 'a) -> Self {
        Self {
            plan,
            files: Box::new(files),
        }
    }

    /// What is known of an extent of the plan from `offset` (in the image) on.
    fn stretch(&self, extent: &ImageExtent, offset: u64) -> Result<Extent, SourceError> {
        match extent.source {
            ExtentSource::File(index) => {
                let start = offset - extent.offset;
                let found = self.files.extent_at(index, extent.length, start)?;
                Ok(Extent {
                    end: extent.offset + found.end,
                    ..found
                })
            }
            // Those zeros only fill up a block.
            _ => Ok(data(extent.end())),
        }
    }

    /// Fills `buf` from an extent, from `offset` (in the image) on.
    #[expect(
        clippy::disallowed_methods,
        clippy::indexing_slicing,
        reason = "the part of an extent that lies in what is asked for"
    )]
    fn read(&self, extent: &ImageExtent, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        let start = offset - extent.offset;
        match extent.source {
            ExtentSource::Metadata(place) => {
                let place = place + start as usize;
                buf.copy_from_slice(&self.plan.metadata()[place..place + buf.len()]);
                Ok(())
            }
            ExtentSource::Zeros => {
                buf.fill(0);
                Ok(())
            }
            ExtentSource::File(index) => self.files.read_exact_at(index, extent.length, buf, start),
        }
    }
}

impl Source for PlanSource<'_> {
    fn bytes(&self) -> u64 {
        self.plan.bytes()
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "the part of an extent that lies in what is asked for"
    )]
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<(), SourceError> {
        let end = offset + buf.len() as u64;
        for extent in self.plan.extents_in(offset..end) {
            let from = extent.offset.max(offset);
            let to = extent.end().min(end);
            let part = &mut buf[(from - offset) as usize..(to - offset) as usize];
            self.read(extent, from, part)?;
        }
        Ok(())
    }

    fn cached(&self, offset: u64, length: usize) -> Option<Window> {
        let [extent] = self.plan.extents_in(offset..offset + length as u64) else {
            return None;
        };
        let ExtentSource::File(index) = extent.source else {
            return None;
        };
        let start = offset - extent.offset;
        self.files.cached(index, extent.length, start, length)
    }

    /// Data of one file after the other is one stretch, so that many small files are read and
    /// hashed at once.
    fn extent_at(&self, offset: u64) -> Result<Extent, SourceError> {
        let mut end = offset;
        for extent in self.plan.extents_in(offset..offset + LOOK_AHEAD) {
            let stretch = self.stretch(extent, end)?;
            if stretch.zeros {
                // Data before it comes first.
                return Ok(if end == offset { stretch } else { data(end) });
            }
            end = stretch.end;
            if end < extent.end() {
                break;
            }
        }
        Ok(data(end))
    }

    fn give_up(&self) {
        self.files.give_up();
    }

    fn check_unchanged(&self) -> Result<(), SourceError> {
        self.files.check()
    }
}

fn data(end: u64) -> Extent {
    Extent { zeros: false, end }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        os::unix::fs::FileExt,
        path::Path,
        sync::Arc,
    };

    use super::*;
    use crate::{
        commands::build::{disk_plan::DiskPlan, reflink::AlreadyThere},
        engine::{HashTreeError, NullSink, Workers, hash_tree},
    };

    const SPARSE: u64 = 8 << 20;

    /// Small files around a sparse one, which has data in its middle.
    fn model() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for number in 0..100u8 {
            let bytes = vec![number + 1; usize::from(number) * 100];
            fs::write(directory.path().join(format!("{number}")), bytes).unwrap();
        }
        let sparse = File::create(directory.path().join("5-sparse")).unwrap();
        sparse.set_len(SPARSE + 7).unwrap();
        sparse.write_all_at(&[0xff; 10_000], SPARSE / 2).unwrap();
        directory
    }

    fn read(source: &PlanSource<'_>, offset: u64, length: u64) -> Vec<u8> {
        let mut bytes = vec![0xaa; length as usize];
        source.read_exact_at(&mut bytes, offset).unwrap();
        bytes
    }

    #[test]
    fn any_range_is_part_of_the_whole() {
        let directory = model();
        let planned = DiskPlan::of_all(directory.path());
        let source = planned.source(true, &AlreadyThere::default());
        let all = read(&source, 0, source.bytes());
        for (file, extent) in
            planned
                .image
                .extents()
                .iter()
                .filter_map(|extent| match extent.source {
                    ExtentSource::File(index) => Some((&planned.model.files()[index], extent)),
                    _ => None,
                })
        {
            let path = directory.path().join(file.path.to_string());
            let (start, end) = (extent.offset as usize, extent.end() as usize);
            assert!(all[start..end] == fs::read(path).unwrap(), "{}", file.path);
        }
        for (offset, length) in [(0, 1), (4095, 2), (100_000, 300_000), (1 << 20, 1 << 20)] {
            let part = &all[offset as usize..(offset + length) as usize];
            assert!(read(&source, offset, length) == part, "{offset} {length}");
        }
    }

    #[test]
    fn extents_cover_the_image_and_tell_the_truth() {
        let directory = model();
        let planned = DiskPlan::of_all(directory.path());
        for find_holes in [true, false] {
            let source = planned.source(find_holes, &AlreadyThere::default());
            let (mut offset, mut zeros, mut calls) = (0, 0, 0);
            while offset < source.bytes() {
                let extent = source.extent_at(offset).unwrap();
                assert!(extent.end > offset);
                if extent.zeros {
                    zeros += extent.end - offset;
                    let bytes = read(&source, offset, extent.end - offset);
                    assert!(bytes.iter().all(|byte| *byte == 0));
                }
                (offset, calls) = (extent.end, calls + 1);
            }
            assert_eq!(offset, source.bytes());
            // Small files do not come one by one.
            assert!(calls < 20, "{calls}");
            assert_eq!(zeros > SPARSE / 2, find_holes, "{zeros}");
        }
    }

    #[test]
    fn an_extent_is_asked_for_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("weights");
        fs::write(&path, vec![1; 8 << 20]).unwrap();
        let planned = DiskPlan::of_all(directory.path());
        let source = planned.source(true, &AlreadyThere::default());
        let start = source.bytes() - (8 << 20);
        let before = source.extent_at(start).unwrap();
        // Whoever asked now would be told of a hole.
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(0)
            .unwrap();
        assert_eq!(source.extent_at(start + (4 << 20)).unwrap(), before);
        assert!(!before.zeros);
    }

    #[test]
    fn a_file_that_changes_is_an_error_that_names_it() {
        type Change = fn(&Path);
        let changes: [Change; 4] = [
            |path| fs::write(path, [1; 2]).unwrap(),
            |path| {
                File::options()
                    .write(true)
                    .open(path)
                    .unwrap()
                    .set_len(0)
                    .unwrap()
            },
            |path| fs::rename(path.with_file_name("2"), path).unwrap(),
            |path| fs::remove_file(path).unwrap(),
        ];
        let workers = Workers::new(2, Arc::default()).unwrap();
        for change in changes {
            let directory = model();
            let planned = DiskPlan::of_all(directory.path());
            let source = planned.source(true, &AlreadyThere::default());
            hash_tree(&planned.tree.params, &source, &NullSink, &workers).unwrap();
            let path = directory.path().join("99");
            change(&path);
            // When all has been read, and when it is still to be read.
            let after = source.check_unchanged().unwrap_err();
            let HashTreeError::Source(before) =
                hash_tree(&planned.tree.params, &source, &NullSink, &workers).unwrap_err()
            else {
                panic!("an error of another kind");
            };
            for error in [after, before] {
                let named = match error {
                    SourceError::Changed(named) | SourceError::Read { path: named, .. } => named,
                    SourceError::File(error) => error.path,
                    other => panic!("{other:?}"),
                };
                // The file that took its place is gone too, and comes first.
                assert!(named == path || named == path.with_file_name("2"));
            }
        }
    }

    /// Where many files are open, the one that was used least recently is closed.
    #[test]
    fn few_files_are_open() {
        let directory = tempfile::tempdir().unwrap();
        for number in 0..200 {
            fs::write(directory.path().join(format!("{number}")), vec![1; 5000]).unwrap();
        }
        let planned = DiskPlan::of_all(directory.path());
        let source = planned.source(true, &AlreadyThere::default());
        let open = || {
            let descriptors = fs::read_dir("/proc/self/fd").unwrap().flatten();
            let links = descriptors.filter_map(|entry| fs::read_link(entry.path()).ok());
            links
                .filter(|path| path.parent() == Some(directory.path()))
                .count()
        };
        for block in 0..source.bytes() / 4096 {
            read(&source, block * 4096, 4096);
        }
        assert!((1..=32).contains(&open()), "{}", open());
    }
}
