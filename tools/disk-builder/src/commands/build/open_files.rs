//! The files of a model, opened as they are needed.

use std::sync::{Arc, Mutex, PoisonError};

use crate::{
    engine::KnownExtents,
    model::{Model, ReadError, SourceFile},
};

/// How many files stay open: workers are in few at a time, and those in the order of the model.
const MAX_OPEN: usize = 32;

/// A file that is open for a while.
pub(super) struct OpenFile {
    pub(super) file: SourceFile,
    /// What has been found out about its holes.
    pub(super) extents: KnownExtents,
}

/// Opens files of a model and keeps a few open, for many threads.
pub(super) struct OpenFiles<'a> {
    model: &'a Model,
    /// By their places in the list; what was used last comes last.
    open: Mutex<Vec<(usize, Arc<OpenFile>)>>,
}

impl<'a> OpenFiles<'a> {
    pub(super) fn new(model: &'a Model) -> Self {
        Self {
            model,
            open: Mutex::default(),
        }
    }

    /// A file that is read in one go: it is not kept open, as there may be very many.
    pub(super) fn once(&self, index: usize) -> Result<SourceFile, ReadError> {
        self.model.open(index)
    }

    /// A file that will be asked for again.
    pub(super) fn get(&self, index: usize) -> Result<Arc<OpenFile>, ReadError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let file = match open.iter().position(|(of, _)| *of == index) {
            Some(place) => open.remove(place).1,
            None => Arc::new(OpenFile {
                file: self.model.open(index)?,
                extents: KnownExtents::default(),
            }),
        };
        if open.len() == MAX_OPEN {
            open.remove(0);
        }
        open.push((index, Arc::clone(&file)));
        Ok(file)
    }
}
