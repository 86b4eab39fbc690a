//! What of a model directory does not go onto a disk.

use std::{collections::BTreeSet, ffi::OsStr, os::unix::ffi::OsStrExt};

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
/// | `*` | any bytes but `/`, or none |
/// | `?` | one byte but `/` |
/// | `[a-z]`, `[!a-z]` | one byte of these, or of none of these |
/// | `{a,b}` | either |
/// | `**` | any directories, or none: `**/*.bin` is every such file at any depth |
/// | `\` | the next character as it stands |
///
/// So `*.bin` is about the top of the model only. One `/` at the end is ignored. A character
/// beyond ASCII has several bytes: `??` stands for `é`, and `{é,è}` for either, which `[éè]` does
/// not.
#[derive(Clone, Debug)]
pub struct Excludes {
    /// The default ones first, each as it was given.
    patterns: Vec<String>,
    globs: GlobSet,
}

/// Which patterns have left something out, by their places.
#[derive(Debug, Default)]
pub(super) struct Used(BTreeSet<usize>);

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
         with no `/` or `./` at its start and no `//` in it"
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
            if text.split('/').any(is_no_name) {
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
        self.patterns
            .get(DEFAULT_EXCLUDES.len()..)
            .unwrap_or_default()
    }

    /// Whether a path, of a file or a directory, is left out. Ask for each
    /// directory from the top, as what is in one that is left out need not match.
    /// The patterns that match are added to those that were `used`.
    pub(super) fn leave_out(&self, path: &[u8], used: &mut Used) -> bool {
        let matching = self.globs.matches(OsStr::from_bytes(path));
        let any = !matching.is_empty();
        used.0.extend(matching);
        any
    }

    /// Those of the given patterns that were never used.
    pub(super) fn unused(&self, used: &Used) -> impl Iterator<Item = &String> {
        let patterns = self.patterns.iter().enumerate();
        let given = patterns.skip(DEFAULT_EXCLUDES.len());
        given
            .filter(|(place, _)| !used.0.contains(place))
            .map(|(_, pattern)| pattern)
    }
}

fn is_no_name(name: &str) -> bool {
    matches!(name, "" | "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        let excludes = Excludes::new([pattern]).unwrap();
        excludes.leave_out(path.as_bytes(), &mut Used::default())
    }

    #[test]
    fn defaults_are_at_the_top_only() {
        let excludes = Excludes::new([""; 0]).unwrap();
        for left_out in [".git", ".cache/huggingface"] {
            assert!(excludes.leave_out(left_out.as_bytes(), &mut Used::default()));
        }
        for kept in [
            ".gitattributes",
            "a/.git",
            ".cache",
            ".cache/other",
            "a/.cache/huggingface",
        ] {
            assert!(!excludes.leave_out(kept.as_bytes(), &mut Used::default()));
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
            ("a??b", "aéb"),
            ("a*b", "aéb"),
            ("a{é,è}b", "aéb"),
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
            ("a?b", "aéb"),
            ("a[é]b", "aéb"),
            (r"\*", "a"),
        ] {
            assert!(!matches(pattern, path), "{pattern} {path}");
        }
        let all = Excludes::new(["*"]).unwrap();
        assert!(all.leave_out(b"not utf-8 \xff", &mut Used::default()));
    }

    #[test]
    fn patterns_that_were_not_used() {
        let excludes = Excludes::new(["a", "*.bin", "b*", "**/x"]).unwrap();
        let mut used = Used::default();
        for path in ["a", "b.bin", "c", ".git"] {
            excludes.leave_out(path.as_bytes(), &mut used);
        }
        assert_eq!(Vec::from_iter(excludes.unused(&used)), ["**/x"]);
    }

    #[test]
    fn patterns_that_are_wrong() {
        for bad in ["", "/", "/a", "./a", "../a", "a/./b", "a//", "a//b", "//"] {
            let error = Excludes::new([bad]).unwrap_err();
            assert!(matches!(error, ExcludeError::NotRelative(_)), "{bad}");
        }
        for bad in ["[", "{a", "a\\"] {
            let error = Excludes::new([bad]).unwrap_err();
            assert!(matches!(error, ExcludeError::Glob { .. }), "{bad}");
        }
    }
}
