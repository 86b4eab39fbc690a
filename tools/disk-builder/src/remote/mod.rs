//! A model that is not on this machine: which files it has, and their bytes while they come.
//!
//! A listing gives each file's path, size and digest. From then on such a model is as one in a
//! directory: the same is left out, the same is noted, and its disk has the same root hash. Its bytes
//! come through a stream, once, in order and in bounded memory; each file's digest is checked on
//! the way. Nothing is trusted that a server says but that: who offers a model says what it is.

mod client;
mod digest;
mod error;
mod hub;
mod hub_address;
mod proxies;
mod retries;
mod settings;
mod stream;
mod url;
mod url_list;
mod window;

use std::{
    fmt,
    io::Cursor,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

use model_disk::{Escaped, ExitCode, FileList, HasExitCode, ModelFile};
use serde_json::{Map, Value, json};

pub use digest::ContentDigest;
pub use error::FetchError;
pub use hub::HubError;
pub use hub_address::{HubAddress, HubAddressError};
pub use proxies::ProxyError;
pub use settings::{HubSettings, SettingsError};
pub use url::{Url, UrlError};
pub use url_list::{UrlLineError, UrlListError};

pub(crate) use stream::{KeptStart, KeptStarts, RemoteStream};
pub(crate) use window::PIECE;

use crate::model::{ListedModel, Note, ScanError, ScanOptions, Signs};
use client::Client;
use error::MAX_ANSWER;
use hub::{HubModel, is_commit};
use url::percent_encoded;

/// Where a model is that is not on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemotePlace {
    /// On the hub.
    Hub(HubAddress),
    /// Where this file says.
    List(PathBuf),
}

/// What was fetched of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteReport {
    /// What it is a copy of, if that is known.
    pub origin: Option<RemoteOrigin>,
    /// All files, in the order of the disk, each with the digest that it has.
    pub files: Vec<(ModelFile, ContentDigest)>,
    /// How many bytes of them an earlier run had fetched.
    pub kept_bytes: u64,
}

impl RemoteReport {
    /// Adds it to a JSON object.
    pub fn add_to(&self, fields: &mut Map<String, Value>) {
        let origin = self.origin.as_ref();
        let source = origin.map(|origin| origin.source.as_str());
        let revision = origin.map(|origin| origin.revision.as_str());
        let files = self.files.iter().map(|(file, digest)| {
            let mut file = json!(file);
            if let Some(members) = file.as_object_mut() {
                members.insert(digest.name().to_owned(), digest.digits().into());
            }
            file
        });
        fields.insert("source".to_owned(), source.into());
        fields.insert("revision".to_owned(), revision.into());
        fields.insert("files".to_owned(), files.collect());
        fields.insert("kept_bytes".to_owned(), self.kept_bytes.into());
    }
}

impl fmt::Display for RemotePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hub(address) => address.fmt(f),
            Self::List(path) => Escaped::path(path).fmt(f),
        }
    }
}

/// A model that is not on this machine.
pub struct RemoteModel {
    client: Arc<Client>,
    files: FileList,
    /// Of each file.
    digests: Vec<ContentDigest>,
    addresses: Addresses,
    notes: Vec<Note>,
    origin: Option<RemoteOrigin>,
}

/// What a model is a copy of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteOrigin {
    /// Where people look at it.
    pub source: String,
    /// The commit.
    pub revision: String,
}

/// Where files are.
enum Addresses {
    /// All below one place, by their paths.
    Below(Url),
    /// Each somewhere.
    Each(Vec<Url>),
}

/// A file that somebody offers.
#[derive(Debug)]
struct ListedFile {
    path: Vec<u8>,
    size: u64,
    digest: ContentDigest,
}

/// Why a model that is not on this machine cannot go onto a disk.
#[derive(Debug, thiserror::Error)]
pub enum RemoteModelError {
    /// The environment does not say how to get it.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The environment says not to get it.
    #[error("HF_HUB_OFFLINE is set, so that {0} is not fetched: unset it, or name a directory")]
    Offline(String),
    /// It cannot be had.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The hub does not say what it is.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// The list does not say what it is.
    #[error(transparent)]
    List(#[from] UrlListError),
    /// What it is can be on no disk.
    #[error(transparent)]
    Scan(#[from] ScanError),
}

impl HasExitCode for RemoteModelError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Settings(error) => error.exit_code(),
            Self::Offline(_) => ExitCode::Unsupported,
            Self::Fetch(error) | Self::Hub(HubError::Fetch(error)) => error.exit_code(),
            Self::Hub(HubError::OtherCommit { .. }) => ExitCode::Integrity,
            Self::Hub(_) => ExitCode::Failure,
            Self::List(UrlListError::File(error)) => error.exit_code(),
            Self::List(UrlListError::Line { .. }) => ExitCode::Usage,
            Self::Scan(error) => error.exit_code(),
        }
    }
}

impl RemoteModel {
    /// Asks which files there are; what `options` says is left out. Stops soon after `interrupted`
    /// becomes true, then and later.
    pub fn list(
        place: &RemotePlace,
        options: &ScanOptions,
        settings: HubSettings,
        interrupted: Arc<AtomicBool>,
    ) -> Result<Self, RemoteModelError> {
        if settings.offline {
            return Err(RemoteModelError::Offline(place.to_string()));
        }
        let client = Arc::new(Client::new(settings, interrupted));
        let mut notes = Vec::new();
        let (listed, each, origin) = match place {
            RemotePlace::Hub(address) => {
                let model = HubModel::resolve(&client, address)?;
                if !is_commit(&address.revision) {
                    notes.push(Note::MovableRevision {
                        model: address.name.clone(),
                        revision: address.revision.clone(),
                        commit: model.commit.clone(),
                    });
                }
                let files = model.list(&client, address)?;
                let files = files.into_iter().map(|file| (file, None)).collect();
                let origin = RemoteOrigin {
                    source: model.page.to_string(),
                    revision: model.commit,
                };
                (files, Some(model.base), Some(origin))
            }
            RemotePlace::List(list) => {
                let files = url_list::read(list)?;
                let files = files
                    .into_iter()
                    .map(|(file, url)| (file, Some(url)))
                    .collect();
                (files, None, None)
            }
        };
        let listed: Vec<(ListedFile, Option<Url>)> = listed;
        let offered = listed
            .into_iter()
            .map(|(file, url)| (file.path, file.size, (file.digest, url)));
        let name = PathBuf::from(place.to_string());
        let ListedModel {
            files,
            extra,
            unused_excludes,
        } = ListedModel::new(offered, &name, options)?;
        let (digests, urls): (Vec<_>, Vec<_>) = extra.into_iter().unzip();
        let addresses = match each {
            Some(base) => Addresses::Below(base),
            None => Addresses::Each(urls.into_iter().flatten().collect()),
        };
        let mut model = Self {
            client,
            files,
            digests,
            addresses,
            notes,
            origin,
        };
        let signs = Signs {
            files: &model.files,
            // The hub tells what they stand for.
            lfs_pointers: &[],
            unused_excludes: &unused_excludes,
            unused_places: &options.allow_outside,
            max_index_bytes: MAX_ANSWER,
        };
        let notes = signs.notes(|place| model.read_all(place))?;
        model.notes.extend(notes);
        Ok(model)
    }

    /// The files, in the order of the disk.
    pub fn files(&self) -> &FileList {
        &self.files
    }

    /// What the file with this place in the list must be.
    #[expect(clippy::indexing_slicing, reason = "a file's place in the list")]
    pub fn digest(&self, place: usize) -> ContentDigest {
        self.digests[place]
    }

    /// What its user may not have meant, to be told before a disk is made.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// What it is a copy of, if that is known.
    pub fn origin(&self) -> Option<&RemoteOrigin> {
        self.origin.as_ref()
    }

    /// What there is to say of it when all of it has been read.
    pub fn report(&self, kept_bytes: u64) -> RemoteReport {
        let files = self.files.iter().cloned().zip(self.digests.iter().copied());
        RemoteReport {
            origin: self.origin.clone(),
            files: files.collect(),
            kept_bytes,
        }
    }

    fn client(&self) -> &Client {
        &self.client
    }

    /// Where the file with this place in the list is.
    #[expect(clippy::indexing_slicing, reason = "a file's place in the list")]
    fn url(&self, place: usize) -> Result<Url, FetchError> {
        match &self.addresses {
            Addresses::Below(base) => {
                let path = percent_encoded(self.files[place].path.as_bytes(), b"/");
                base.below(&path).map_err(|source| FetchError::Redirect {
                    url: base.clone(),
                    source,
                })
            }
            Addresses::Each(urls) => Ok(urls[place].clone()),
        }
    }

    /// The error of a file that has so many bytes where it is fetched from.
    #[expect(clippy::indexing_slicing, reason = "a file's place in the list")]
    fn wrong_length(&self, place: usize, found: u64) -> FetchError {
        let file = &self.files[place];
        FetchError::Length {
            path: file.path.clone(),
            expected: file.size,
            found,
        }
    }

    /// A small file, before anything of it is checked.
    fn read_all(&self, place: usize) -> Result<Cursor<Vec<u8>>, FetchError> {
        let (bytes, _) = self.client.read_all(&self.url(place)?)?;
        Ok(Cursor::new(bytes))
    }
}
