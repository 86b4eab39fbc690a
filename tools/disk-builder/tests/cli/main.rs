//! `disk-builder` as a program: its output, exit codes and files.

#![allow(clippy::unwrap_used)] // in helpers too

mod hash;
mod inspect;
mod known_answers;
mod program;
mod verify;
mod veritysetup;
