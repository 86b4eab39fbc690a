//! The library behind `disk-builder`.
//!
//! What lives where, and what may call what (downwards only):
//!
//! | module | holds |
//! |---|---|
//! | [`cli`] | arguments, results and exit codes |
//! | [`documents`] | completions and manual pages |
//! | [`build`] | makes the disk of a model directory, or its root hash alone |
//! | [`hash`] | adds a tree to data that exists |
//! | [`verify`] | checks every block of a disk |
//! | [`inspect`] | what the superblocks of a disk claim |
//! | [`manifest`] | what is written beside a disk about it |
//! | [`output`] | what is at the path of an output, and whether it may go |
//! | [`new_file`] | files that appear whole or not at all |
//! | [`medium`] | opens and measures files and block devices |
//! | [`model`] | the files of a model directory, and what is left out |
//! | [`image`] | the EROFS image of a list of files, as a plan; no I/O |
//! | [`engine`] | makes and checks hash trees, in parallel |
//! | `storage` | which storage a path is on in the end |
//! | `cause` | errors and what caused them, on one line |
//!
//! A disk is made, its root hash is computed again from the model, and all of it is verified:
//!
//! ```
//! use std::{fs, sync::Arc};
//!
//! use disk_builder::{
//!     build::{Build, root_hash},
//!     engine::Workers,
//!     manifest::{Manifest, default_path},
//!     model::Excludes,
//!     verify::Verify,
//! };
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
//! assert_eq!(root_hash(&model, &excludes, &workers, |note| eprintln!("{note}"))?, built.root_hash);
//!
//! let report = Verify::new(&image, built.root_hash).run(&workers)?;
//! assert!(report.findings.is_clean());
//!
//! // What the publisher says of the disk. It proves nothing.
//! let manifest = Manifest::read(&default_path(&image))?;
//! assert_eq!(manifest.disk.data_blocks, built.plan.params.data_blocks());
//! assert_eq!(manifest.files.len(), 1);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

pub mod build;
mod cause;
pub mod cli;
pub mod documents;
pub mod engine;
pub mod hash;
pub mod image;
pub mod inspect;
pub mod manifest;
pub mod medium;
pub mod model;
pub mod new_file;
pub mod output;
mod storage;
pub mod verify;
