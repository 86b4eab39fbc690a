//! What to tell although a disk can be made: of its model, and of who else makes one.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use dm_verity::BlockSize;
use model_disk::{Escaped, RelativePath};
use serde::{Serialize, Serializer};

use super::{OutsideLink, first_few::FirstFew};

/// How many names a note shows.
const MAX_NAMED: usize = 5;

/// How many links that lead out of a model: each may be the one that matters.
const MAX_LINKS: usize = 20;

/// The size of a page of most kernels, in bytes.
const COMMON_PAGE: u32 = 4096;

/// Something that the user should know, and may not have meant. As JSON it is an object with the
/// member `kind` and what it is about, whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Note {
    /// Links that lead out of the model, which is an error.
    Outside {
        /// All of them.
        links: Vec<OutsideLink>,
    },
    /// Files that are not there, but what Git LFS keeps in their places.
    LfsPointers {
        /// All of them.
        files: Vec<RelativePath>,
    },
    /// What a download leaves behind when it is interrupted, or keeps for itself.
    Leftovers {
        /// All of them.
        files: Vec<RelativePath>,
    },
    /// What by its name is nobody else's business.
    Secrets {
        /// All of them.
        files: Vec<RelativePath>,
    },
    /// An index of shards names files that do not go onto the disk.
    MissingShards {
        /// The index.
        index: RelativePath,
        /// What it names, in order.
        missing: Vec<String>,
    },
    /// An index of shards that ends in its middle, or is none.
    UnreadableIndex {
        /// The index.
        index: RelativePath,
        /// Why.
        reason: String,
    },
    /// A pattern of what to leave out left nothing out.
    UnusedExclude {
        /// The pattern.
        pattern: String,
    },
    /// A branch or a tag, which may lead to another commit tomorrow.
    #[cfg(feature = "hub")]
    MovableRevision {
        /// The model.
        model: String,
        /// The branch or tag.
        revision: String,
        /// Where it leads now.
        commit: String,
    },
    /// No link leads to a place that was allowed.
    UnusedAllowOutside {
        /// The place.
        #[serde(serialize_with = "escaped")]
        place: PathBuf,
    },
    /// Data blocks that most machines cannot read.
    LargerThanPages {
        /// Their size in bytes.
        data_block_size: u32,
    },
    /// Another run has the lock of an output.
    Waiting {
        /// The file that is locked.
        #[serde(serialize_with = "escaped")]
        lock: PathBuf,
    },
}

impl Note {
    /// What there is to tell of data blocks of this size.
    pub(crate) fn of_data_blocks(size: BlockSize) -> Option<Self> {
        let data_block_size = size.get();
        (data_block_size > COMMON_PAGE).then_some(Self::LargerThanPages { data_block_size })
    }
}

/// Paths of this machine are for people.
fn escaped<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Escaped::path(path))
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outside { links } => {
                write!(f, "out of the model:{}", FirstFew::new(links, MAX_LINKS))
            }
            Self::LfsPointers { files } => write!(
                f,
                "Git LFS pointers in the place of files, which `git lfs pull` fetches:{}",
                FirstFew::new(files, MAX_NAMED)
            ),
            Self::Leftovers { files } => write!(
                f,
                "left behind by a download, and hardly a part of the model; --exclude leaves it \
                 out:{}",
                FirstFew::new(files, MAX_NAMED)
            ),
            Self::Secrets { files } => write!(
                f,
                "named like secrets, which a disk gives to everybody; --exclude leaves them out:{}",
                FirstFew::new(files, MAX_NAMED)
            ),
            Self::MissingShards { index, missing } => {
                let missing: Vec<_> = missing
                    .iter()
                    .map(|name| Escaped::bytes(name.as_bytes()))
                    .collect();
                write!(
                    f,
                    "{index} names what does not go onto the disk; is the download complete?{}",
                    FirstFew::new(&missing, MAX_NAMED)
                )
            }
            Self::UnreadableIndex { index, reason } => write!(
                f,
                "{index} is no JSON that can be read; is the download complete? {reason}"
            ),
            Self::UnusedExclude { pattern } => {
                write!(f, "--exclude {pattern:?} left nothing out")
            }
            #[cfg(feature = "hub")]
            Self::MovableRevision {
                model,
                revision,
                commit,
            } => {
                let revision = Escaped::bytes(revision.as_bytes());
                write!(
                    f,
                    "{revision} of {model} is the commit {commit} now and may be another later: \
                     hf://{model}@{commit} stays"
                )
            }
            Self::UnusedAllowOutside { place } => write!(
                f,
                "--allow-outside {}: no link leads there",
                Escaped::path(place)
            ),
            Self::LargerThanPages { data_block_size } => write!(
                f,
                "data blocks of {data_block_size} bytes can be mounted only where the kernel's \
                 pages are as large, and most have {COMMON_PAGE} bytes"
            ),
            Self::Waiting { lock } => write!(
                f,
                "all is written; waiting for another process, which has {} locked",
                Escaped::path(lock)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(count: usize) -> Vec<RelativePath> {
        let path = |number| RelativePath::new(format!("a/{number}\n")).unwrap();
        (0..count).map(path).collect()
    }

    #[test]
    fn the_first_few_are_shown_and_all_are_in_the_json() {
        let note = Note::LfsPointers { files: paths(7) };
        let text = note.to_string();
        assert_eq!(text.lines().count(), 7, "{text}");
        assert!(text.contains("fetches:\n    a/0\\n\n"), "{text}");
        assert!(text.ends_with("\n    and 2 more"), "{text}");
        let json = serde_json::to_value(note).unwrap();
        assert_eq!(json["kind"], "lfs_pointers");
        assert_eq!(json["files"].as_array().unwrap().len(), 7);
        assert_eq!(json["files"][6]["path"], "a/6\n");
    }

    #[test]
    fn names_within_an_index_are_escaped() {
        let note = Note::MissingShards {
            index: RelativePath::new("x.index.json").unwrap(),
            missing: vec!["\x1b[31m".to_owned()],
        };
        assert!(note.to_string().ends_with("\n    \\u{1b}[31m"), "{note}");
        let place = "/a\n".into();
        let json = serde_json::to_value(Note::UnusedAllowOutside { place }).unwrap();
        assert_eq!(json["place"], "/a\\n");
    }
}
