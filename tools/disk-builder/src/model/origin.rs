//! Where a model is.

use std::path::{Path, PathBuf};

#[cfg(feature = "hub")]
use crate::remote::RemotePlace;

/// Where a model is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelOrigin {
    /// In a directory.
    Directory(PathBuf),
    /// Not on this machine.
    #[cfg(feature = "hub")]
    Remote(RemotePlace),
}

impl ModelOrigin {
    /// The directory, if it is in one.
    pub fn directory(&self) -> Option<&Path> {
        match self {
            Self::Directory(path) => Some(path),
            #[cfg(feature = "hub")]
            Self::Remote(_) => None,
        }
    }

    /// What it is called in messages.
    pub(crate) fn name(&self) -> PathBuf {
        match self {
            Self::Directory(path) => path.clone(),
            #[cfg(feature = "hub")]
            Self::Remote(place) => place.to_string().into(),
        }
    }
}

impl<P: AsRef<Path>> From<P> for ModelOrigin {
    fn from(path: P) -> Self {
        Self::Directory(path.as_ref().to_owned())
    }
}
