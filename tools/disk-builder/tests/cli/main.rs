//! `disk-builder` as a program: its output, exit codes and files.

#![allow(clippy::unwrap_used)] // in helpers too

mod build;
mod damage;
mod fec;
mod forged;
mod go_dmverity;
mod hash;
#[cfg(feature = "hub")]
mod hub;
mod inspect;
mod interrupted;
mod judgement;
mod known_answers;
mod layout1;
mod memory;
mod model_dir;
mod notes;
mod outputs;
mod program;
mod progress;
mod repair;
mod same;
mod verify;
mod veritysetup;
