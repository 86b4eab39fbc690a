//! What the hub says of a model: which commit a revision is, and which files it has.

use std::sync::Arc;

use model_disk::{Escaped, erofs::MAX_ENTRIES};
use serde::{Deserialize, de::DeserializeOwned};
use ureq::http::{HeaderMap, header};

use super::{
    ListedFile,
    client::{Client, follow},
    digest::ContentDigest,
    error::FetchError,
    hub_address::HubAddress,
    url::{Url, UrlError, percent_encoded},
};

/// A model at a commit.
pub(super) struct HubModel {
    /// The commit.
    pub(super) commit: String,
    /// Where people look at it.
    pub(super) page: Url,
    /// What its files are below.
    pub(super) base: Url,
}

/// Why what the hub says of a model is of no use.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// It does not answer.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// It is not what it was.
    #[error(
        "{} is the commit {}, and not the one that was asked for",
        model,
        Escaped::bytes(found.as_bytes())
    )]
    OtherCommit {
        /// The model.
        model: HubAddress,
        /// What the hub says.
        found: String,
    },
    /// It says what no commit is.
    #[error("{} is answered with {}, which is no commit", model, Escaped::bytes(found.as_bytes()))]
    NoCommit {
        /// The model.
        model: HubAddress,
        /// What the hub says.
        found: String,
    },
    /// It leads to nowhere.
    #[error("{url} leads to what cannot be followed")]
    Address {
        /// Where that stands.
        url: Url,
        /// What is wrong with it.
        source: UrlError,
    },
    /// The list does not end.
    #[error("{0} has more than {MAX_ENTRIES} files and directories, which no disk can have")]
    TooMany(HubAddress),
    /// A file would go unchecked.
    #[error("{} has neither a SHA-256 nor a Git id on the hub", Escaped::bytes(path.as_bytes()))]
    NoDigest {
        /// The file.
        path: String,
    },
}

/// The part of an answer that is of use.
#[derive(Deserialize)]
struct RevisionAnswer {
    sha: String,
}

/// The same, for an entry of a listing.
#[derive(Deserialize)]
struct TreeEntry {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    oid: String,
    #[serde(default)]
    size: u64,
    path: String,
    lfs: Option<LfsEntry>,
}

#[derive(Deserialize)]
struct LfsEntry {
    oid: String,
    size: u64,
}

impl HubModel {
    /// Asks which commit the revision is.
    pub(super) fn resolve(client: &Arc<Client>, address: &HubAddress) -> Result<Self, HubError> {
        let revision = percent_encoded(address.revision.as_bytes(), b"");
        let page = below(client.endpoint(), &address.name)?;
        let api = format!("api/models/{}/revision/{revision}", address.name);
        let url = below(client.endpoint(), &api)?;
        let (bytes, _) = client.read_all(&url)?;
        let RevisionAnswer { sha: commit } = parse(&url, "description of a model", &bytes)?;
        let (model, found) = (address.clone(), commit.clone());
        if !is_commit(&commit) {
            return Err(HubError::NoCommit { model, found });
        }
        if is_commit(&address.revision) && address.revision != commit {
            return Err(HubError::OtherCommit { model, found });
        }
        let base = below(
            client.endpoint(),
            &format!("{}/resolve/{commit}", address.name),
        )?;
        Ok(Self { commit, page, base })
    }

    /// Asks which files it has, page by page.
    pub(super) fn list(
        &self,
        client: &Arc<Client>,
        address: &HubAddress,
    ) -> Result<Vec<ListedFile>, HubError> {
        let api = format!(
            "api/models/{}/tree/{}?recursive=true",
            address.name, self.commit
        );
        let mut next = Some(below(client.endpoint(), &api)?);
        let mut files = Vec::new();
        let mut listed = ListedEntries::default();
        while let Some(url) = next {
            let (bytes, headers) = client.read_all(&url)?;
            let page: Vec<TreeEntry> = parse(&url, "list of files", &bytes)?;
            listed.add(page.len(), address)?;
            for entry in page.into_iter().filter(|entry| entry.kind != "directory") {
                files.push(entry.into_file()?);
            }
            next = next_page(&headers)
                .map(|place| follow(&url, place))
                .transpose()?;
        }
        Ok(files)
    }
}

/// How many entries a list has had so far: pages can lead to each other for ever.
#[derive(Default)]
struct ListedEntries(u64);

impl ListedEntries {
    /// One more page, with so many of them. One without any counts too.
    fn add(&mut self, entries: usize, model: &HubAddress) -> Result<(), HubError> {
        self.0 += entries.max(1) as u64;
        if self.0 > MAX_ENTRIES {
            return Err(HubError::TooMany(model.clone()));
        }
        Ok(())
    }
}

impl TreeEntry {
    fn into_file(self) -> Result<ListedFile, HubError> {
        let (digest, size) = match self.lfs {
            Some(lfs) => (ContentDigest::sha256(&lfs.oid), lfs.size),
            None => (ContentDigest::git_blob(&self.oid), self.size),
        };
        match digest {
            Some(digest) => Ok(ListedFile {
                path: self.path.into_bytes(),
                size,
                digest,
            }),
            None => Err(HubError::NoDigest { path: self.path }),
        }
    }
}

fn below(endpoint: &Url, path: &str) -> Result<Url, HubError> {
    endpoint.below(path).map_err(|source| HubError::Address {
        url: endpoint.clone(),
        source,
    })
}

fn parse<T: DeserializeOwned>(
    url: &Url,
    what: &'static str,
    bytes: &[u8],
) -> Result<T, FetchError> {
    serde_json::from_slice(bytes).map_err(|source| FetchError::Answer {
        url: url.clone(),
        what,
        source,
    })
}

/// Whether this is the whole name of a commit, which never comes to be another one.
pub(super) fn is_commit(revision: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    revision.len() == 40 && revision.bytes().all(is_digit)
}

/// The place of the next page, in a header `Link`.
fn next_page(headers: &HeaderMap) -> Option<&str> {
    let mut links = headers.get_all(header::LINK).iter();
    links.find_map(|link| next_link(link.to_str().ok()?))
}

fn next_link(links: &str) -> Option<&str> {
    links.split(", ").find_map(|link| {
        let (place, meaning) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = |word: &str| matches!(word.trim(), "rel=\"next\"" | "rel=next");
        meaning.split(';').any(is_next).then_some(place)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits() {
        assert!(is_commit(&"0a".repeat(20)));
        for other in [
            "main",
            "",
            &"0A".repeat(20),
            &"0a".repeat(32),
            &"x".repeat(40),
        ] {
            assert!(!is_commit(other), "{other}");
        }
    }

    #[test]
    fn links_to_the_next_page() {
        let next = "https://hub.example/api?cursor=a,b&limit=1";
        for links in [
            format!("<{next}>; rel=\"next\""),
            format!("<https://x>; rel=\"prev\", <{next}>; rel=next"),
        ] {
            assert_eq!(next_link(&links), Some(next), "{links}");
        }
        for links in ["", "<https://x>; rel=\"prev\"", "https://x; rel=\"next\""] {
            assert_eq!(next_link(links), None, "{links}");
        }
    }

    #[test]
    fn a_list_that_does_not_end() {
        let model: HubAddress = "hf://org/model".parse().unwrap();
        for entries in [0, 1, 1000] {
            let mut listed = ListedEntries::default();
            let pages = MAX_ENTRIES / entries.max(1) as u64;
            for _ in 0..pages {
                listed.add(entries, &model).unwrap();
            }
            let error = listed.add(entries, &model).unwrap_err();
            assert!(
                error
                    .to_string()
                    .starts_with("hf://org/model@main has more than")
            );
        }
    }

    #[test]
    fn entries_of_a_listing() {
        let sha256 = "a".repeat(64);
        let blob = "b".repeat(40);
        let json = format!(
            r#"[{{"type":"file","oid":"{blob}","size":3,"path":"a/b"}},
                {{"type":"file","oid":"{blob}","size":9,"path":"c","xetHash":"x",
                  "lfs":{{"oid":"{sha256}","size":9,"pointerSize":134}}}},
                {{"type":"directory","oid":"x","size":0,"path":"a"}}]"#
        );
        let entries: Vec<TreeEntry> = serde_json::from_str(&json).unwrap();
        let [small, large, directory] = entries.try_into().ok().unwrap();
        assert_eq!(directory.kind, "directory");
        let (small, large) = (small.into_file().unwrap(), large.into_file().unwrap());
        assert_eq!((small.path.as_slice(), small.size), (&b"a/b"[..], 3));
        assert_eq!(small.digest.digits(), blob);
        assert_eq!((large.size, large.digest.digits()), (9, sha256));
    }
}
