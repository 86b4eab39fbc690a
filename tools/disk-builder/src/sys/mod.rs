//! System calls that no crate wraps safely.
#![allow(unsafe_code)]

pub(crate) mod clone;
pub(crate) mod fiemap;
pub(crate) mod signal;
