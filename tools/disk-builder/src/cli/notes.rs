//! Notes on a model, told at once and kept for the JSON object.

use std::io::{self, Write};

use model_disk::ErrorChain;
use serde_json::{Value, json};

use super::{CommandError, write};
use crate::{
    commands::build::BuildError,
    model::{Note, ScanError},
};

/// What has been told.
#[derive(Debug, Default)]
pub(super) struct Notes(Vec<Note>);

impl Notes {
    /// Tells one, before the first progress is drawn.
    pub(super) fn tell(&mut self, note: &Note) {
        // Nothing depends on it.
        let _ = writeln!(io::stderr(), "disk-builder: note: {note}");
        self.0.push(note.clone());
    }

    /// A JSON object with the notes in it.
    pub(super) fn with(&self, mut object: Value) -> Value {
        if let Some(members) = object.as_object_mut() {
            members.insert("notes".to_owned(), json!(self.0));
        }
        object
    }

    /// What came of a model. Where that is refused for what is in it, all of that is in the JSON
    /// object, as only a part of it may be in the message.
    pub(super) fn or_refusal<T>(
        &self,
        outcome: Result<T, BuildError>,
        json: bool,
    ) -> Result<T, CommandError> {
        let error = match outcome {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let refused = matches!(
            error,
            BuildError::Scan(ScanError::Outside { .. }) | BuildError::Strict(_)
        );
        if refused && json {
            let refusal = json!({ "error": ErrorChain(&error).to_string() });
            write(format!("{:#}\n", self.with(refusal)).as_bytes())?;
        }
        Err(error.into())
    }
}
