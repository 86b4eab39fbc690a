//! Disks that are read without a kernel that verifies: the commands `ls` and `cat`,
//! on good disks and on bad ones. No privileges are needed.

// A failure is a panic here, as in any test.
#![allow(clippy::unwrap_used)]

mod cat;
mod foreign;
mod list;
mod place;
