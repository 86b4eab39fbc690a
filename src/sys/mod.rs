//! System calls, and every `unsafe` that is not a hash kernel.
//!
//! Each function is one call with a checked result; what the calls are for is
//! known to those who call them. Errors are the call's errno.
#![allow(unsafe_code)]

#[cfg(feature = "mount")]
pub(crate) mod block;
#[cfg(feature = "mount")]
pub(crate) mod credentials;
#[cfg(feature = "mount")]
pub(crate) mod loop_control;
#[cfg(feature = "mount")]
pub(crate) mod mount_api;
pub mod signal;
pub mod window;
