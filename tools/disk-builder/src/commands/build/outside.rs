//! An output must not be a part of the model: the next run would put it onto the disk, or this
//! one destroy it.

use model_disk::FileError;

use super::{BuildError, disk_plan::DiskPlan};
use crate::{model::ModelOrigin, output::OutputPlace};

/// An error where the place of an output is in the model directory, by whatever path. Where there is
/// no such directory there is nothing to refuse: that is found out later.
pub(super) fn check_place(output: &OutputPlace, model: &ModelOrigin) -> Result<(), BuildError> {
    let Some(model) = model.directory() else {
        return Ok(());
    };
    match model.metadata() {
        Ok(top) if output.is_in(&top) => Err(BuildError::Inside {
            output: output.path().to_owned(),
            model: model.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// An error where an output is a file of the model by another way, such as a link out of the model
/// directory, or would be one.
pub(super) fn check_files(output: &OutputPlace, planned: &DiskPlan) -> Result<(), BuildError> {
    let Some(model) = planned.model.directory() else {
        return Ok(());
    };
    let found = output.look()?;
    if let Some(file) = found.and_then(|found| model.find(&found)) {
        return Err(BuildError::IsModelFile {
            output: output.path().to_owned(),
            file,
        });
    }
    let directory = output.open_directory()?.metadata();
    let directory = directory.map_err(FileError::new("write beside", output.path()))?;
    match model.find(&directory) {
        None => Ok(()),
        Some(model) => Err(BuildError::Inside {
            output: output.path().to_owned(),
            model,
        }),
    }
}
