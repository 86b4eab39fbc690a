//! Memory that other programs can change, and what the kernel does about it.
#![allow(unsafe_code)]

pub(super) mod window;
