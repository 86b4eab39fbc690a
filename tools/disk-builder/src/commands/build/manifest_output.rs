//! The manifest of a disk that is built: where it goes, what it says, and the old one that goes.

use std::path::Path;

use model_disk::{
    FileError,
    manifest::{self, DiskSummary, FecSummary, Manifest, SCHEMA},
};

use super::{Build, BuildError, disk_plan::DiskPlan, outside};
use crate::output::{Output, OutputPlace};

/// Of a file that is to be made.
pub(super) struct ManifestOutput {
    pub(super) place: OutputPlace,
    pub(super) replace: bool,
}

impl Build {
    pub(super) fn manifest_output(
        &self,
        output: &Output,
    ) -> Result<Option<ManifestOutput>, BuildError> {
        let place = match (&self.manifest, output) {
            (Some(path), _) => OutputPlace::of(path)?,
            (None, Output::File { place, .. }) => default_manifest(place),
            (None, Output::Device(_)) => return Ok(None),
        };
        outside::check_place(&place, &self.model)?;
        if matches!(output, Output::File { place: disk, .. } if disk.is_same(&place)) {
            return Err(BuildError::SameOutput(place.path().to_owned()));
        }
        match Output::find(&place, self.force)? {
            Output::Device(_) => Err(BuildError::ManifestDevice(place.path().to_owned())),
            Output::File { place, replace } => Ok(Some(ManifestOutput { place, replace })),
        }
    }

    /// The manifest that stands beside the old disk, where that of the new one goes elsewhere. An
    /// error where it may not be removed.
    pub(super) fn stale_manifest(
        &self,
        output: &Output,
        manifest: Option<&ManifestOutput>,
    ) -> Result<Option<ManifestOutput>, BuildError> {
        let Output::File { place, .. } = output else {
            return Ok(None);
        };
        let place = default_manifest(place);
        let new = manifest.is_some_and(|manifest| manifest.place.is_same(&place));
        // What is no manifest says nothing of the disk.
        if new || Manifest::read(place.path(), |_| ()).is_err() {
            return Ok(None);
        }
        match Output::find(&place, self.force)? {
            Output::File { place, replace } => Ok(Some(ManifestOutput { place, replace })),
            Output::Device(_) => Ok(None),
        }
    }

    pub(super) fn manifest<'a>(&'a self, planned: &'a DiskPlan, disk: DiskSummary) -> Manifest<'a> {
        let (source, revision) = planned.model.source_and_revision();
        let fec = planned.tree.fec.as_ref();
        Manifest {
            schema: SCHEMA,
            disk,
            fec: fec.map(|fec| FecSummary::new(&fec.layout, &fec.area)),
            source: self.source.clone().or(source),
            revision: self.revision.clone().or(revision),
            excluded: self.options.excludes.given().into(),
            files: planned.model.files()[..].into(),
            builder_version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// The place of a disk's manifest, unless somebody says otherwise.
fn default_manifest(disk: &OutputPlace) -> OutputPlace {
    disk.beside(manifest::default_path(Path::new(disk.name())).into())
}

/// Removes the manifest of the disk that is going to be replaced.
pub(super) fn remove_old(manifest: Option<&ManifestOutput>) -> Result<(), FileError> {
    match manifest.filter(|manifest| manifest.replace) {
        Some(manifest) => manifest.place.remove(),
        None => Ok(()),
    }
}
