//! Where the content of a model may lie.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use model_disk::FileError;

use super::opened::{open_path, true_path_of};

/// The places that links may lead to, each by its one true path.
#[derive(Debug)]
pub(super) struct Places {
    own: OwnPlaces,
    allowed: Vec<AllowedPlace>,
}

/// The model's own.
#[derive(Clone, Debug)]
struct OwnPlaces {
    top: PathBuf,
    blobs: Option<PathBuf>,
}

/// One that the user names.
#[derive(Debug)]
struct AllowedPlace {
    /// As it was named.
    given: PathBuf,
    path: PathBuf,
    used: AtomicBool,
}

impl Places {
    /// Those of the model directory `top`, which was opened by `path`, and those that are `allowed`
    /// besides.
    pub(super) fn new(top: &File, path: &Path, allowed: &[PathBuf]) -> Result<Self, FileError> {
        let allow = |given: &PathBuf| {
            let opened = open_path(given).map_err(FileError::new("open", given))?;
            Ok(AllowedPlace {
                given: given.clone(),
                path: true_path_of(given, &opened)
                    .map_err(FileError::new("find the true path of", given))?,
                used: AtomicBool::new(false),
            })
        };
        let top = true_path_of(path, top).map_err(FileError::new("find the true path of", path))?;
        Ok(Self {
            own: OwnPlaces::new(top),
            allowed: allowed.iter().map(allow).collect::<Result<_, _>>()?,
        })
    }

    /// Whether content with this one true path may go onto the disk.
    pub(super) fn hold(&self, path: &Path) -> bool {
        if self.own.hold(path) {
            return true;
        }
        let mut held = false;
        for place in &self.allowed {
            if path.starts_with(&place.path) {
                place.used.store(true, Ordering::Relaxed);
                held = true;
            }
        }
        held
    }

    /// Those that the user named, and no link leads to.
    pub(super) fn unused(self) -> impl Iterator<Item = PathBuf> {
        let unused = |place: &AllowedPlace| !place.used.load(Ordering::Relaxed);
        let allowed = self.allowed.into_iter();
        allowed.filter(unused).map(|place| place.given)
    }
}

impl OwnPlaces {
    /// Of a model directory. Where it is a folder `snapshots/REVISION` of the hub's cache, what its
    /// files lead to in the folder `blobs` there is the model's too.
    fn new(top: PathBuf) -> Self {
        let snapshots = top.parent();
        let snapshots = snapshots.filter(|folder| folder.ends_with("snapshots"));
        let cache = snapshots.and_then(Path::parent);
        Self {
            blobs: cache.map(|cache| cache.join("blobs")),
            top,
        }
    }

    fn hold(&self, path: &Path) -> bool {
        let blobs = self.blobs.as_ref();
        path.starts_with(&self.top) || blobs.is_some_and(|blobs| path.starts_with(blobs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inside_and_outside() {
        let own = OwnPlaces::new("/hub/model/snapshots/1".into());
        for inside in ["/hub/model/snapshots/1/a/b", "/hub/model/blobs/5a"] {
            assert!(own.hold(Path::new(inside)), "{inside}");
        }
        for outside in [
            "/hub/model/snapshots/2/a",
            "/hub/model/snapshots/10",
            "/hub/model/refs/main",
            "/hub/model/blobs-of-others",
            "/hub/other/blobs/5a",
            "/etc/passwd",
            // What the kernel says of a place that has no path here.
            "(unreachable)/hub/model/blobs/5a",
        ] {
            assert!(!own.hold(Path::new(outside)), "{outside}");
        }
        let own = OwnPlaces::new("/hub/model/clones/1".into());
        assert!(!own.hold(Path::new("/hub/model/blobs/5a")));
        assert!(OwnPlaces::new("/".into()).hold(Path::new("/etc/passwd")));
    }
}
