//! System calls that no crate wraps safely.
#![allow(unsafe_code)]

pub(crate) mod clone;
pub(crate) mod fiemap;
#[cfg(all(feature = "hub", target_env = "gnu", target_feature = "crt-static"))]
pub(crate) mod name_service;
pub(crate) mod signal;
