//! The library behind `disk-builder`.
//!
//! What lives where, and what may call what (downwards only):
//!
//! | module | holds |
//! |---|---|
//! | [`cli`] | arguments, results and exit codes |
//! | [`documents`] | completions and manual pages |
//! | [`commands`] | `build` and `root-hash`, `hash`, `verify`, `repair` |
//! | [`output`] | where a result goes: files that appear whole or not at all |
//! | [`engine`] | makes and checks hash trees, and makes parity, in parallel |
//! | `remote` | models that are not on this machine: what they are, and their bytes while they come; with the feature `hub` |
//! | [`model`] | the files of a model directory, and what is left out |
//! | `sys` | system calls that no crate wraps |
//!
//! What a disk is, its layout and its manifest are in the crate [`model_disk`].
//!
//! A disk is made, its root hash is computed again from the model, and all of it is verified:
//!
//! ```
//! use std::{fs, sync::Arc};
//!
//! use disk_builder::{
//!     commands::{
//!         build::{Build, root_hash},
//!         verify::Verify,
//!     },
//!     engine::Workers,
//!     model::Excludes,
//! };
//! use model_disk::manifest::{Manifest, default_path};
//!
//! let folder = tempfile::tempdir()?;
//! let (model, image) = (folder.path().join("model"), folder.path().join("model.img"));
//! fs::create_dir(&model)?;
//! fs::write(model.join("config.json"), "{}")?;
//! fs::write(model.join("weights.bin"), "left out")?;
//!
//! let workers = Workers::new(2, Arc::default())?;
//! let excludes = Excludes::new(["*.bin"])?;
//! let built = Build::new(&model, excludes.clone(), &image).run(&workers, |note| eprintln!("{note}"))?;
//! assert_eq!(
//!     built.root_hash.to_string(),
//!     "3f085d6cd47fc1e1ffd179c226d51e82f4edbcb5136ac35c81f9b213c6640db4"
//! );
//! let again = root_hash(&model, &excludes.into(), &workers, |note| eprintln!("{note}"))?;
//! assert_eq!(again.root_hash, built.root_hash);
//!
//! let report = Verify::new(&image, built.root_hash).run(&workers)?;
//! assert!(report.findings.is_clean());
//!
//! // What the publisher says of the disk. It proves nothing.
//! let mut files = Vec::new();
//! let disk = Manifest::read(&default_path(&image), |file| files.push(file))?;
//! assert_eq!(disk.data_blocks, built.plan.params.data_blocks());
//! assert_eq!(files.len(), 1);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

// No panic is reachable from input. What cannot happen says so, with its reason.
#![deny(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unreachable
)]
#![cfg_attr(test, allow(clippy::disallowed_macros, clippy::disallowed_methods))]

pub mod cli;
pub mod commands;
pub mod documents;
pub mod engine;
pub mod model;
pub mod output;
#[cfg(feature = "hub")]
pub mod remote;
mod sys;
