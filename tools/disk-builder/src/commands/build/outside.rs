//! An output must not be a part of the model: the next run would put it onto the disk, or this
//! one destroy it.

use std::path::{Path, PathBuf};

use super::BuildError;
use crate::{model::Model, output::directory};

/// An error where the place of an output is in the model directory. Where the paths do not exist
/// there is nothing to refuse: that is found out later.
pub(super) fn check_place(output: &Path, model: &Path) -> Result<(), BuildError> {
    let (Some(place), Ok(top)) = (place(output), model.canonicalize()) else {
        return Ok(());
    };
    if !place.starts_with(top) {
        return Ok(());
    }
    Err(BuildError::Inside {
        output: output.to_owned(),
        model: model.to_owned(),
    })
}

/// An error where an output is a file of the model by another way, such as a link out of the model
/// directory.
pub(super) fn check_files(output: &Path, model: &Model) -> Result<(), BuildError> {
    let metadata = output.metadata().ok();
    match metadata.and_then(|metadata| model.find(&metadata)) {
        None => Ok(()),
        Some(file) => Err(BuildError::IsModelFile {
            output: output.to_owned(),
            file,
        }),
    }
}

/// Whether two paths of outputs are one place.
pub(super) fn is_same_place(one: &Path, other: &Path) -> bool {
    one == other || place(one).is_some_and(|one| Some(one) == place(other))
}

/// Where an output is or would be, by its one true path.
fn place(output: &Path) -> Option<PathBuf> {
    if let Ok(place) = output.canonicalize() {
        return Some(place);
    }
    let directory = directory(output).canonicalize().ok()?;
    Some(directory.join(output.file_name()?))
}
