//! The disk of a model, before it is made.

#[cfg(feature = "hub")]
use std::sync::Arc;
use std::{fs::File, path::Path};

use dm_verity::{RootHash, fec::FecRoots};
use model_disk::{BackingKind, FileError, FileList, erofs::ImagePlan};
use serde_json::{Map, Value};

use super::{BuildError, local_files::LocalFiles, reflink::AlreadyThere, source::PlanSource};
#[cfg(feature = "hub")]
use super::{kept_files::kept_files, remote_files::RemoteFiles, resume_marker::ResumeMarker};
#[cfg(feature = "hub")]
use crate::engine::SourceError;
#[cfg(feature = "hub")]
use crate::remote::{HubSettings, RemoteModel, RemoteModelError, RemotePlace, RemoteReport};
use crate::{
    commands::hash::{Capacity, TreePlan, TreePlanError, TreeRequest},
    engine::{FileSource, HashTreeError, NullSink, Workers, hash_tree},
    model::{Model, ModelOrigin, Note, ScanError, ScanOptions},
};

/// What a disk of layout 1 is going to be: all that is known before a file is read.
pub(super) struct DiskPlan {
    pub(super) model: PlannedModel,
    pub(super) image: ImagePlan,
    /// The tree, and its place after the image.
    pub(super) tree: TreePlan,
}

/// A model of which all but the bytes is known.
pub(super) enum PlannedModel {
    Directory(Model),
    #[cfg(feature = "hub")]
    Remote(Arc<RemoteModel>),
}

impl PlannedModel {
    fn of_directory(
        directory: &Path,
        options: &ScanOptions,
        workers: &Workers,
        tell: &mut impl FnMut(&Note),
    ) -> Result<Self, BuildError> {
        match workers.install(|| Model::scan(directory, options)) {
            Err(ScanError::Outside { directory, links }) => {
                tell(&Note::Outside {
                    links: links.clone(),
                });
                Err(ScanError::Outside { directory, links }.into())
            }
            scanned => Ok(Self::Directory(scanned?)),
        }
    }

    #[cfg(feature = "hub")]
    fn remote(
        place: &RemotePlace,
        options: &ScanOptions,
        workers: &Workers,
    ) -> Result<Self, RemoteModelError> {
        let settings = HubSettings::from_env()?;
        let interrupted = Arc::clone(workers.interrupted());
        let model = RemoteModel::list(place, options, settings, interrupted)?;
        Ok(Self::Remote(Arc::new(model)))
    }

    /// The same, if it is in a directory of this machine.
    pub(super) fn directory(&self) -> Option<&Model> {
        match self {
            Self::Directory(model) => Some(model),
            #[cfg(feature = "hub")]
            Self::Remote(_) => None,
        }
    }

    /// The files, in the order of the disk.
    pub(super) fn files(&self) -> &FileList {
        match self {
            Self::Directory(model) => model.files(),
            #[cfg(feature = "hub")]
            Self::Remote(model) => model.files(),
        }
    }

    fn notes(&self) -> &[Note] {
        match self {
            Self::Directory(model) => model.notes(),
            #[cfg(feature = "hub")]
            Self::Remote(model) => model.notes(),
        }
    }

    /// What is known of where it came from, and of which revision it is.
    pub(super) fn source_and_revision(&self) -> (Option<String>, Option<String>) {
        match self {
            Self::Directory(_) => (None, None),
            #[cfg(feature = "hub")]
            Self::Remote(model) => model
                .origin()
                .cloned()
                .map(|origin| (origin.source, origin.revision))
                .unzip(),
        }
    }

    /// What there is to say of a model that was fetched, but for so many bytes that an earlier run
    /// had fetched.
    #[cfg(feature = "hub")]
    pub(super) fn report(&self, kept_bytes: u64) -> Option<RemoteReport> {
        match self {
            Self::Directory(_) => None,
            Self::Remote(model) => Some(model.report(kept_bytes)),
        }
    }
}

impl DiskPlan {
    /// Looks through a model. `tell` gets what the user may not have meant.
    pub(super) fn new(
        origin: &ModelOrigin,
        options: &ScanOptions,
        workers: &Workers,
        mut tell: impl FnMut(&Note),
    ) -> Result<Self, BuildError> {
        let model = match origin {
            ModelOrigin::Directory(directory) => {
                PlannedModel::of_directory(directory, options, workers, &mut tell)?
            }
            #[cfg(feature = "hub")]
            ModelOrigin::Remote(place) => PlannedModel::remote(place, options, workers)?,
        };
        model.notes().iter().for_each(tell);
        if options.strict && !model.notes().is_empty() {
            return Err(BuildError::Strict(origin.name()));
        }
        let image = ImagePlan::new(model.files())?;
        let tree = TreePlan::new(&TreeRequest::default(), file_of(&image), None)?;
        Ok(Self { model, image, tree })
    }

    /// The image. Holes need not be found where they must be written too. Nobody reads here what of
    /// it is `there` already.
    #[cfg_attr(not(feature = "hub"), expect(unused_variables))]
    pub(super) fn source(&self, find_holes: bool, there: &AlreadyThere) -> PlanSource<'_> {
        match &self.model {
            PlannedModel::Directory(model) => {
                PlanSource::new(&self.image, LocalFiles::new(model, find_holes))
            }
            #[cfg(feature = "hub")]
            PlannedModel::Remote(model) => {
                PlanSource::new(&self.image, RemoteFiles::new(model, there.starts.clone()))
            }
        }
    }

    /// What of the image is there already, in what an earlier run has written, where that can be told.
    #[cfg_attr(not(feature = "hub"), expect(unused_variables))]
    pub(super) fn kept_in(
        &self,
        image: &FileSource<'_>,
        workers: &Workers,
    ) -> Result<Option<AlreadyThere>, HashTreeError> {
        match &self.model {
            PlannedModel::Directory(_) => Ok(None),
            #[cfg(feature = "hub")]
            PlannedModel::Remote(model) => {
                let is_of_this = ResumeMarker::of(&self.image, model).is_on(image)?;
                kept_files(self.image.extents(), model, image, is_of_this, workers).map(Some)
            }
        }
    }

    /// Leaves of a file only what is kept, and has the next run know that what it finds there is of
    /// this image, if this one does not come to its end.
    #[cfg_attr(not(feature = "hub"), expect(unused_variables))]
    pub(super) fn keep_only(
        &self,
        kept: &AlreadyThere,
        file: &File,
        path: &Path,
    ) -> Result<(), FileError> {
        match &self.model {
            PlannedModel::Directory(_) => Ok(()),
            #[cfg(feature = "hub")]
            PlannedModel::Remote(model) => {
                let marker = ResumeMarker::of(&self.image, model);
                marker
                    .put(file, &kept.parts, self.bytes())
                    .map_err(FileError::new("write", path))
            }
        }
    }

    /// Has the next run go on with no file in its middle, where this one has failed because a file is
    /// not what it should be. What fails here is left out: the error is what the user must know.
    #[cfg_attr(not(feature = "hub"), expect(unused_variables))]
    pub(super) fn keep_no_starts(&self, error: &BuildError, file: &File) {
        #[cfg(feature = "hub")]
        if let BuildError::Tree(HashTreeError::Source(SourceError::Fetch(error))) = error
            && error.is_of_content()
        {
            let _ = ResumeMarker::remove(file);
        }
    }

    /// Has parity go after the tree.
    pub(super) fn add_fec(&mut self, roots: FecRoots) -> Result<(), TreePlanError> {
        let tree = self.tree.clone();
        self.tree = tree.with_fec(roots, None, file_of(&self.image), None)?;
        Ok(())
    }

    /// How long the disk is in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.tree.end()
    }
}

/// What holds the image, before there is a tree.
fn file_of(image: &ImagePlan) -> Capacity {
    Capacity {
        kind: BackingKind::File,
        bytes: image.bytes(),
    }
}

#[cfg(test)]
impl DiskPlan {
    /// The disk of all that is in a directory.
    pub(super) fn of_all(directory: &Path) -> Self {
        let workers = Workers::new(2, std::sync::Arc::default()).unwrap();
        let options = crate::model::Excludes::new([""; 0]).unwrap().into();
        Self::new(&directory.into(), &options, &workers, |_| ()).unwrap()
    }
}

/// What `root-hash` has found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootHashReport {
    /// The root hash.
    pub root_hash: RootHash,
    /// What was fetched, where the model is not on this machine.
    #[cfg(feature = "hub")]
    pub remote: Option<RemoteReport>,
}

impl RootHashReport {
    /// As a JSON object.
    pub fn to_json(&self) -> Value {
        let mut fields = Map::new();
        fields.insert("root_hash".to_owned(), self.root_hash.to_string().into());
        #[cfg(feature = "hub")]
        if let Some(remote) = &self.remote {
            remote.add_to(&mut fields);
        }
        fields.into()
    }
}

/// The root hash of the disk that `build` makes of a model. Nothing is written. `tell` gets what the
/// user may not have meant before anything is read.
pub fn root_hash(
    model: impl Into<ModelOrigin>,
    options: &ScanOptions,
    workers: &Workers,
    tell: impl FnMut(&Note),
) -> Result<RootHashReport, BuildError> {
    let planned = DiskPlan::new(&model.into(), options, workers, tell)?;
    let source = planned.source(true, &AlreadyThere::default());
    let root_hash = hash_tree(&planned.tree.params, &source, &NullSink, workers)?;
    Ok(RootHashReport {
        root_hash,
        #[cfg(feature = "hub")]
        remote: planned.model.report(0),
    })
}
