//! `extract`: the files of a disk, in a directory of this machine.

mod destination;
mod error;
mod plan;
mod report;
mod sparse_file;
mod write;

use std::{
    collections::BTreeSet,
    num::NonZero,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use model_disk::Progress;

use super::{
    DiskPath, VerifiedFiles,
    compare::{Difference, TreeComparison},
    selection::Selection,
    tree::OwnTree,
};
use destination::{Destination, FoundDirectory};
use plan::{Amount, plan};
use write::Writing;

pub use error::{ExtractError, RefusedEntry};
pub(super) use plan::link_target;
pub use report::Extracted;

/// What is to be extracted.
#[derive(Clone, Debug)]
pub struct ExtractRequest {
    /// The directory that it comes to. It is made if it is missing; otherwise it is empty, or what an
    /// earlier run for this disk has left.
    pub destination: PathBuf,
    /// Paths of the disk; all there is if there are none.
    pub paths: Vec<DiskPath>,
    /// How many threads read, verify and write.
    pub threads: NonZero<usize>,
}

/// Extracts files of a disk. Each of them has its name only when all of it has been verified, and as
/// long as not all of them are there, the directory says so.
///
/// Where an earlier run did not come to its end, what it left is compared with the disk, and the rest
/// is written. A directory that has all of it already is left as it is.
pub fn extract(
    files: &VerifiedFiles,
    request: &ExtractRequest,
    progress: &Progress,
) -> Result<Extracted, ExtractError> {
    let selection = Selection::new(request.paths.clone());
    let amount = plan(files, &selection)?;
    let run = ExtractRun {
        files,
        request,
        selection,
        amount,
        progress,
    };
    match Destination::open(&request.destination, &files.root_hash)? {
        FoundDirectory::New(destination) => run.write(destination, None),
        FoundDirectory::Continued(destination) => {
            let different = run.different(destination.tree())?;
            run.write(destination, Some(different))
        }
        FoundDirectory::Unmarked(tree) => run.whole(&tree),
    }
}

struct ExtractRun<'a> {
    files: &'a VerifiedFiles,
    request: &'a ExtractRequest,
    selection: Selection,
    amount: Amount,
    progress: &'a Progress,
}

impl ExtractRun<'_> {
    fn comparison<'a>(&'a self, tree: &'a OwnTree) -> TreeComparison<'a> {
        self.progress.start(self.amount.bytes);
        TreeComparison {
            files: self.files,
            selection: &self.selection,
            tree,
            threads: self.request.threads,
            progress: self.progress,
        }
    }

    /// Files that are as long as on the disk, and have other bytes.
    fn different(&self, tree: &OwnTree) -> Result<BTreeSet<Vec<u8>>, ExtractError> {
        let different = Mutex::new(BTreeSet::new());
        self.comparison(tree).run(&|path, difference| {
            if matches!(difference, Difference::Bytes { .. }) {
                let mut different = different.lock().unwrap_or_else(PoisonError::into_inner);
                different.insert(path.to_owned());
            }
        })?;
        Ok(different
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner))
    }

    /// All of it, in a directory that says nothing of not being whole.
    fn whole(&self, tree: &OwnTree) -> Result<Extracted, ExtractError> {
        let found = Mutex::new(None);
        self.comparison(tree).run(&|path, difference| {
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            found.get_or_insert((DiskPath::of(path), difference));
        })?;
        match found.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some((entry, difference)) => Err(ExtractError::NotEmpty {
                path: tree.path().to_owned(),
                entry,
                difference,
            }),
            None => Ok(self.extracted(self.amount.files)),
        }
    }

    fn write(
        &self,
        destination: Destination,
        different: Option<BTreeSet<Vec<u8>>>,
    ) -> Result<Extracted, ExtractError> {
        self.progress.start(self.amount.bytes);
        let kept = Writing {
            files: self.files,
            selection: &self.selection,
            destination: &destination,
            different,
            progress: self.progress,
        }
        .run(self.request.threads)?;
        destination.finish()?;
        Ok(self.extracted(kept))
    }

    fn extracted(&self, kept: u64) -> Extracted {
        Extracted {
            destination: self.request.destination.clone(),
            root_hash: self.files.root_hash,
            amount: self.amount,
            kept,
            fec_corrected: self.files.corrected(),
        }
    }
}
