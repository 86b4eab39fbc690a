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
//! | [`superblocks`] | reads these |
//! | [`manifest`] | what is written beside a disk about it |
//! | [`output`] | what is at the path of an output, and whether it may go |
//! | [`new_file`] | files that appear whole or not at all |
//! | [`medium`] | opens and measures files and block devices |
//! | [`model`] | the files of a model directory, and what is left out |
//! | [`image`] | the EROFS image of a list of files, as a plan; no I/O |
//! | [`engine`] | makes and checks hash trees, in parallel |

pub mod build;
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
pub mod superblocks;
pub mod verify;
