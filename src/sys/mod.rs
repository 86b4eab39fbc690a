//! System calls that no crate wraps, and every `unsafe` of this program.
//!
//! Each function is one call with a checked result; what the calls are for is known to those who
//! call them. Errors are the call's errno.
#![allow(unsafe_code)]

pub(crate) mod block;
pub(crate) mod loop_control;
pub(crate) mod process;
