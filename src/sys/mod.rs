//! System calls, and every `unsafe` that is not a hash kernel.
//!
//! Each function is one call with a checked result; what the calls are for is
//! known to `mounter` alone. Errors are the call's errno.
#![allow(unsafe_code)]

pub(crate) mod block;
pub(crate) mod credentials;
pub(crate) mod loop_control;
pub(crate) mod mount_api;
