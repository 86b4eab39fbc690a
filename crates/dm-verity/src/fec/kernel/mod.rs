//! Multiples of bytes, added to the planes of parity: all the work of FEC.
//!
//! A [`FecBackend`] is one way to do it, in a file of its own:
//!
//! | backend | bytes at a time | for |
//! |---|---|---|
//! | `portable` | 16, as plain code | everything else |
//!
//! All give the same bytes. One is chosen for the whole process: by looking at the CPU, or by name,
//! for tests and measurements.

mod backend;
mod portable;

#[cfg(feature = "std")]
pub use backend::FEC_BACKEND_VARIABLE;
pub use backend::{FecBackend, FecBackendError};
