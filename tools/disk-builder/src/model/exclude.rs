//! What of a model directory does not go onto a disk.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// Left out always: what tools keep beside a model and is none of it. Both only
/// at the top of the model directory.
const DEFAULT_EXCLUDES: [&str; 2] = [".git", ".cache/huggingface"];

/// Patterns of what to leave out.
///
/// A pattern is matched against the whole path relative to the model directory,
/// byte for byte and with regard to case. A pattern that matches a directory
/// leaves out all that is in it.
///
/// | pattern | matches |
/// |---|---|
/// | `*` | any characters but `/`, or none |
/// | `?` | one character but `/` |
/// | `[a-z]`, `[!a-z]` | one character of these, or of none of these |
/// | `{a,b}` | either |
/// | `**` | any directories, or none: `**/*.bin` is every such file at any depth |
/// | `\` | the next character as it stands |
///
/// So `*.bin` is about the top of the model only. One `/` at the end is ignored.
#[derive(Clone, Debug)]
pub struct Excludes {
    /// The default ones first, each as it was given.
    patterns: Vec<String>,
    globs: GlobSet,
}

/// Why a pattern is none.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ExcludeError {
    /// It cannot be read.
    #[error("exclude pattern {pattern:?} cannot be read")]
    Glob {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        source: globset::Error,
    },
    /// It could match nothing, which would go unnoticed.
    #[error(
        "exclude pattern {0:?} matches nothing: a path is relative to the model directory, \
         with no `/` or `./` at its start"
    )]
    NotRelative(String),
}

impl Excludes {
    /// The default patterns, and these.
    pub fn new(
        patterns: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Self, ExcludeError> {
        let defaults = DEFAULT_EXCLUDES.map(String::from);
        let patterns: Vec<String> = defaults
            .into_iter()
            .chain(patterns.into_iter().map(Into::into))
            .collect();
        let error = |pattern: &String, source| ExcludeError::Glob {
            pattern: pattern.clone(),
            source,
        };
        let mut set = GlobSetBuilder::new();
        for pattern in &patterns {
            let text = pattern.strip_suffix('/').unwrap_or(pattern);
            if text.is_empty() || text.starts_with('/') || text.split('/').any(is_dots) {
                return Err(ExcludeError::NotRelative(pattern.clone()));
            }
            let glob = GlobBuilder::new(text)
                .literal_separator(true)
                .backslash_escape(true)
                .build();
            set.add(glob.map_err(|source| error(pattern, source))?);
        }
        // Patterns that are good one by one may be too much together.
        let globs = set
            .build()
            .map_err(|source| error(&patterns.join(" "), source))?;
        Ok(Self { patterns, globs })
    }

    /// The patterns besides the default ones.
    pub fn given(&self) -> &[String] {
        &self.patterns[DEFAULT_EXCLUDES.len()..]
    }

    /// Whether a path, of a file or a directory, is left out. Ask for each
    /// directory from the top, as what is in one that is left out need not match.
    pub(super) fn matches(&self, path: &[u8]) -> bool {
        self.globs.is_match(OsStr::from_bytes(path))
    }
}

fn is_dots(name: &str) -> bool {
    matches!(name, "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        Excludes::new([pattern]).unwrap().matches(path.as_bytes())
    }

    #[test]
    fn defaults_are_at_the_top_only() {
        let excludes = Excludes::new([""; 0]).unwrap();
        for left_out in [".git", ".cache/huggingface"] {
            assert!(excludes.matches(left_out.as_bytes()));
        }
        for kept in [
            ".gitattributes",
            "a/.git",
            ".cache",
            ".cache/other",
            "a/.cache/huggingface",
        ] {
            assert!(!excludes.matches(kept.as_bytes()));
        }
    }

    #[test]
    fn patterns_are_about_the_whole_path() {
        for (pattern, path) in [
            ("*.bin", "a.bin"),
            ("*.bin", ".bin"),
            ("**/*.bin", "a.bin"),
            ("**/*.bin", "a/b/c.bin"),
            ("onnx/", "onnx"),
            ("onnx/*.on?x", "onnx/model.onnx"),
            ("*.{bin,h5}", "a.h5"),
            ("[!a]", "b"),
            (r"\*", "*"),
        ] {
            assert!(matches(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("*.bin", "a/b.bin"),
            ("*.bin", "a.BIN"),
            ("a?b", "a/b"),
            ("a[!x]b", "a/b"),
            ("onnx", "a/onnx"),
            (r"\*", "a"),
        ] {
            assert!(!matches(pattern, path), "{pattern} {path}");
        }
        let all = Excludes::new(["*"]).unwrap();
        assert!(all.matches(b"not utf-8 \xff"));
    }

    #[test]
    fn patterns_that_are_wrong() {
        for bad in ["", "/", "/a", "./a", "../a", "a/./b"] {
            let error = Excludes::new([bad]).unwrap_err();
            assert!(matches!(error, ExcludeError::NotRelative(_)), "{bad}");
        }
        for bad in ["[", "{a", "a\\"] {
            let error = Excludes::new([bad]).unwrap_err();
            assert!(matches!(error, ExcludeError::Glob { .. }), "{bad}");
        }
    }
}
