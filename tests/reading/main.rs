//! Disks that are read without a kernel that verifies: the commands `ls`, `cat`, `extract` and `check`,
//! on good disks and on bad ones. No privileges are needed.

// A failure is a panic here, as in any test.
#![allow(clippy::unwrap_used)]

mod cat;
mod check;
mod extract;
mod fec;
mod foreign;
mod killed;
mod list;
mod place;
mod storage;
