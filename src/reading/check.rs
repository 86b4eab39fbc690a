//! `check`: whether a directory is what is on a disk.

use std::{
    collections::BTreeMap,
    fmt,
    num::NonZero,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use model_disk::{Escaped, ExitCode, Progress, WrittenPath};
use serde::Serialize;

use super::{
    Difference, DiskPath, ReadingError, VerifiedFiles, compare::TreeComparison,
    selection::Selection, tree::OwnTree,
};

/// How many differences are kept: a directory that is all wrong must not fill the memory.
const MAX_DIFFERENCES: usize = 1 << 16;

/// How a directory differs from a disk.
#[derive(Debug)]
pub struct CheckReport {
    directory: PathBuf,
    differences: BTreeMap<DiskPath, Vec<Difference>>,
    /// There are more than are kept.
    is_incomplete: bool,
    /// How many blocks of the disk were corrected; None where none are.
    fec_corrected: Option<u64>,
}

/// A difference in JSON.
#[derive(Serialize)]
struct ReportedDifference {
    #[serde(flatten)]
    path: WrittenPath,
    difference: String,
}

/// Compares all of a directory with all that is on a disk.
pub fn check_directory(
    files: &VerifiedFiles,
    directory: &Path,
    threads: NonZero<usize>,
    progress: &Progress,
) -> Result<CheckReport, ReadingError> {
    let tree = OwnTree::open(directory)?;
    let selection = Selection::all();
    progress.start(selection.bytes(files)?);
    let report = Mutex::new(CheckReport {
        directory: directory.to_owned(),
        differences: BTreeMap::new(),
        is_incomplete: false,
        fec_corrected: None,
    });
    TreeComparison {
        files,
        selection: &selection,
        tree: &tree,
        threads,
        progress,
    }
    .run(&|path, difference| {
        let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
        report.add(path, difference);
    })?;
    let report = report.into_inner();
    Ok(CheckReport {
        fec_corrected: files.corrected(),
        ..report.unwrap_or_else(PoisonError::into_inner)
    })
}

impl CheckReport {
    fn add(&mut self, path: &[u8], difference: Difference) {
        let path = DiskPath::of(path);
        let room = self.differences.len() < MAX_DIFFERENCES;
        if !room && !self.differences.contains_key(&path) {
            self.is_incomplete = true;
            return;
        }
        let known = self.differences.entry(path).or_default();
        // Each part of a file tells its first.
        match (known.last_mut(), difference) {
            (Some(Difference::Bytes { first }), Difference::Bytes { first: other }) => {
                *first = other.min(*first);
            }
            _ => known.push(difference),
        }
    }

    /// Whether there is no difference.
    pub fn is_same(&self) -> bool {
        self.differences.is_empty()
    }

    /// The differences, by their paths.
    pub fn differences(&self) -> impl Iterator<Item = (&DiskPath, Difference)> {
        let all = self.differences.iter();
        all.flat_map(|(path, found)| found.iter().map(move |difference| (path, *difference)))
    }

    /// What a program ends with that was to find none.
    pub fn exit_code(&self) -> ExitCode {
        if self.is_same() {
            ExitCode::Success
        } else {
            ExitCode::Integrity
        }
    }

    /// As a JSON object.
    pub fn to_json(&self) -> serde_json::Value {
        let differences = self
            .differences()
            .map(|(path, difference)| ReportedDifference {
                path: WrittenPath::new(path.as_bytes().to_owned()),
                difference: difference.to_string(),
            });
        serde_json::json!({
            "same": self.is_same(),
            "differences": differences.collect::<Vec<_>>(),
            "incomplete": self.is_incomplete,
            "fec_corrected": self.fec_corrected,
        })
    }
}

/// Lines for people.
impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_same() {
            let directory = Escaped::path(&self.directory);
            return writeln!(f, "{directory} is what is on the disk");
        }
        for (path, difference) in self.differences() {
            writeln!(f, "{path} {difference}")?;
        }
        if self.is_incomplete {
            writeln!(f, "There are more differences than are told.")?;
        }
        Ok(())
    }
}
