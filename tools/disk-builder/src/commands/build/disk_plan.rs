//! The disk of a model, before it is made.

use std::path::Path;

use dm_verity::RootHash;
use model_disk::{BackingKind, erofs::ImagePlan};

use super::{BuildError, source::PlanSource};
use crate::{
    commands::hash::{Capacity, TreePlan, TreeRequest},
    engine::{NullSink, Workers, hash_tree},
    model::{Model, Note, ScanError, ScanOptions},
};

/// What a disk of layout 1 is going to be: all that is known before a file is read.
pub(super) struct DiskPlan {
    pub(super) model: Model,
    pub(super) image: ImagePlan,
    /// The tree, and its place after the image.
    pub(super) tree: TreePlan,
}

impl DiskPlan {
    /// Looks through a model directory. `tell` gets what the user may not have meant.
    pub(super) fn new(
        directory: &Path,
        options: &ScanOptions,
        workers: &Workers,
        mut tell: impl FnMut(&Note),
    ) -> Result<Self, BuildError> {
        let model = match workers.install(|| Model::scan(directory, options)) {
            Err(ScanError::Outside { directory, links }) => {
                tell(&Note::Outside {
                    links: links.clone(),
                });
                return Err(ScanError::Outside { directory, links }.into());
            }
            scanned => scanned?,
        };
        model.notes().iter().for_each(tell);
        if options.strict && !model.notes().is_empty() {
            return Err(BuildError::Strict(directory.to_owned()));
        }
        let image = ImagePlan::new(model.files())?;
        let capacity = Capacity {
            kind: BackingKind::File,
            bytes: image.bytes(),
        };
        let tree = TreePlan::new(&TreeRequest::default(), capacity, None)?;
        Ok(Self { model, image, tree })
    }

    /// The image. Holes need not be found where they must be written too.
    pub(super) fn source(&self, find_holes: bool) -> PlanSource<'_> {
        PlanSource::new(&self.model, &self.image, find_holes)
    }

    /// How long the disk is in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.tree.area.end(&self.tree.layout)
    }
}

#[cfg(test)]
impl DiskPlan {
    /// The disk of all that is in a directory.
    pub(super) fn of_all(directory: &Path) -> Self {
        let workers = Workers::new(2, std::sync::Arc::default()).unwrap();
        let options = crate::model::Excludes::new([""; 0]).unwrap().into();
        Self::new(directory, &options, &workers, |_| ()).unwrap()
    }
}

/// The root hash of the disk that `build` makes of a model directory. Nothing is written. `tell` gets
/// what the user may not have meant before anything is read.
pub fn root_hash(
    directory: &Path,
    options: &ScanOptions,
    workers: &Workers,
    tell: impl FnMut(&Note),
) -> Result<RootHash, BuildError> {
    let planned = DiskPlan::new(directory, options, workers, tell)?;
    let source = planned.source(true);
    Ok(hash_tree(
        &planned.tree.params,
        &source,
        &NullSink,
        workers,
    )?)
}
