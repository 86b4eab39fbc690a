//! Whose the content of a file is. No I/O.

use std::path::{Path, PathBuf};

/// Where the content of a model's files lies that is its own.
#[derive(Clone, Debug)]
pub(super) struct Own {
    top: PathBuf,
    blobs: Option<PathBuf>,
}

impl Own {
    /// Of a model directory, named by its one true path. Where it is a folder `snapshots/REVISION`
    /// of the hub's cache, what its files lead to in the folder `blobs` there is the model's too.
    pub(super) fn new(top: PathBuf) -> Self {
        let snapshots = top.parent();
        let snapshots = snapshots.filter(|folder| folder.ends_with("snapshots"));
        let cache = snapshots.and_then(Path::parent);
        Self {
            blobs: cache.map(|cache| cache.join("blobs")),
            top,
        }
    }

    /// Whether content with this one true path is.
    pub(super) fn holds(&self, path: &Path) -> bool {
        let blobs = self.blobs.as_ref();
        path.starts_with(&self.top) || blobs.is_some_and(|blobs| path.starts_with(blobs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inside_and_outside() {
        let own = Own::new("/hub/model/snapshots/1".into());
        for inside in ["/hub/model/snapshots/1/a/b", "/hub/model/blobs/5a"] {
            assert!(own.holds(Path::new(inside)), "{inside}");
        }
        for outside in [
            "/hub/model/snapshots/2/a",
            "/hub/model/snapshots/10",
            "/hub/model/refs/main",
            "/hub/model/blobs-of-others",
            "/hub/other/blobs/5a",
            "/etc/passwd",
        ] {
            assert!(!own.holds(Path::new(outside)), "{outside}");
        }
        let own = Own::new("/hub/model/clones/1".into());
        assert!(!own.holds(Path::new("/hub/model/blobs/5a")));
        assert!(Own::new("/".into()).holds(Path::new("/etc/passwd")));
    }
}
