//! An image of which parts are there before it is written.

use super::{shared_parts::SharedParts, source::PlanSource};
use crate::engine::{Extent, FileSource, ImageSink, Sink, SinkError, Source, SourceError};

/// The bytes of an image, some of them from the image itself: those are what is in it, whatever has
/// become of the model's files since they were shared.
pub(super) struct SharedSource<'a> {
    pub(super) plan: PlanSource<'a>,
    /// The image itself.
    pub(super) image: FileSource<'a>,
    /// What is read from it.
    pub(super) parts: &'a SharedParts,
}

impl Source for SharedSource<'_> {
    fn bytes(&self) -> u64 {
        self.plan.bytes()
    }

    #[expect(clippy::indexing_slicing, reason = "pieces of what is asked for")]
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<(), SourceError> {
        for (piece, shared) in self.parts.cut(offset..offset + buf.len() as u64) {
            let here = &mut buf[(piece.start - offset) as usize..(piece.end - offset) as usize];
            if shared {
                self.image.read_exact_at(here, piece.start)?;
            } else {
                self.plan.read_exact_at(here, piece.start)?;
            }
        }
        Ok(())
    }

    fn extent_at(&self, offset: u64) -> Result<Extent, SourceError> {
        let Some((piece, shared)) = self.parts.cut(offset..self.bytes()).next() else {
            return self.plan.extent_at(offset);
        };
        let extent = if shared {
            self.image.extent_at(offset)?
        } else {
            self.plan.extent_at(offset)?
        };
        Ok(Extent {
            end: extent.end.min(piece.end),
            ..extent
        })
    }

    fn give_up(&self) {
        self.plan.give_up();
    }

    fn check_unchanged(&self) -> Result<(), SourceError> {
        self.plan.check_unchanged()
    }
}

/// Writes what is not there.
pub(super) struct UnsharedSink<'a> {
    pub(super) image: ImageSink<'a>,
    pub(super) parts: &'a SharedParts,
}

impl Sink for UnsharedSink<'_> {
    fn takes_data(&self) -> bool {
        self.image.takes_data()
    }

    #[expect(clippy::indexing_slicing, reason = "pieces of what is given")]
    fn data(&self, offset: u64, data: &[u8]) -> Result<(), SinkError> {
        let pieces = self.parts.cut(offset..offset + data.len() as u64);
        for (piece, _) in pieces.filter(|(_, shared)| !shared) {
            let here = (piece.start - offset) as usize..(piece.end - offset) as usize;
            self.image.data(piece.start, &data[here])?;
        }
        Ok(())
    }

    fn hash_blocks(&self, first: u64, blocks: &[u8]) -> Result<(), SinkError> {
        self.image.hash_blocks(first, blocks)
    }

    fn finish(&self) -> Result<(), SinkError> {
        self.image.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::FileExt, path::Path, sync::Arc};

    use model_disk::erofs::ExtentSource;

    use super::*;
    use crate::{
        commands::build::{disk_plan::DiskPlan, reflink::AlreadyThere},
        engine::{NullSink, Workers, hash_tree},
    };

    /// The root hash is that of the image, and what is shared is not written.
    #[test]
    fn what_is_there_is_read_and_the_rest_is_written() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a"), vec![1; 3 << 20]).unwrap();
        fs::write(directory.path().join("b"), vec![2; 5000]).unwrap();
        let planned = DiskPlan::of_all(directory.path());
        let extents = planned.image.extents().iter();
        let shared = extents
            .filter(|extent| extent.source == ExtentSource::File(0))
            .map(|extent| extent.offset..extent.end())
            .next()
            .unwrap();
        let image = tempfile::tempfile().unwrap();
        image.set_len(planned.bytes()).unwrap();
        // Not what is in the model.
        image.write_all_at(&[3; 3 << 20], shared.start).unwrap();
        let mut parts = SharedParts::default();
        parts.push(shared.clone());

        let path = Path::new("image");
        let whole = || FileSource::new(&image, path, planned.image.bytes(), Some(planned.bytes()));
        let source = SharedSource {
            plan: planned.source(true, &AlreadyThere::default()),
            image: whole(),
            parts: &parts,
        };
        let sink = UnsharedSink {
            image: ImageSink::new(&image, path, planned.tree.area),
            parts: &parts,
        };
        let params = &planned.tree.params;
        let workers = Workers::new(2, Arc::default()).unwrap();
        let root_hash = hash_tree(params, &source, &sink, &workers).unwrap();
        assert_eq!(
            hash_tree(params, &whole(), &NullSink, &workers).unwrap(),
            root_hash
        );

        let mut expected = vec![0; planned.image.bytes() as usize];
        let model = planned.source(true, &AlreadyThere::default());
        model.read_exact_at(&mut expected, 0).unwrap();
        expected[shared.start as usize..shared.end as usize].fill(3);
        let mut found = vec![0; expected.len()];
        whole().read_exact_at(&mut found, 0).unwrap();
        assert!(found == expected);
    }
}
