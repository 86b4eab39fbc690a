//! Images put together from their plans: looked at by `fsck.erofs` and
//! `dump.erofs`, by this project's own reader, and by arithmetic.

#![allow(clippy::unwrap_used)] // All of this is tests.

mod checkers;
mod properties;
mod reader;
mod support;
mod view;
