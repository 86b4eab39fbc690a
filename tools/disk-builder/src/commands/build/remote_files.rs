//! The files of a model that is not on this machine.

use std::sync::{Arc, OnceLock};

use super::file_bytes::FileBytes;
use crate::{
    engine::SourceError,
    remote::{KeptStarts, RemoteModel, RemoteStream},
};

/// Reads the files of a model while they come. Each byte can be read once, and in about the order of
/// the disk, as the engine does.
pub(super) struct RemoteFiles<'a> {
    model: &'a Arc<RemoteModel>,
    /// What nobody reads here.
    kept: KeptStarts,
    /// They come when the first byte is read.
    stream: OnceLock<RemoteStream>,
}

impl<'a> RemoteFiles<'a> {
    /// All but what is `kept`.
    pub(super) fn new(model: &'a Arc<RemoteModel>, kept: KeptStarts) -> Self {
        Self {
            model,
            kept,
            stream: OnceLock::new(),
        }
    }

    fn stream(&self) -> &RemoteStream {
        self.stream
            .get_or_init(|| RemoteStream::start(self.model, &self.kept))
    }
}

impl FileBytes for RemoteFiles<'_> {
    fn read_exact_at(
        &self,
        file: usize,
        _length: u64,
        buf: &mut [u8],
        start: u64,
    ) -> Result<(), SourceError> {
        Ok(self.stream().read_exact_at(file, start, buf)?)
    }

    fn give_up(&self) {
        if let Some(stream) = self.stream.get() {
            stream.give_up();
        }
    }

    fn check(&self) -> Result<(), SourceError> {
        Ok(self.stream().finish()?)
    }
}
