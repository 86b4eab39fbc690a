//! SHA-256 of many equal blocks with one salt: nearly all the work there is in
//! making or checking a tree.
//!
//! A [`Backend`] is one way to do it, in a file of its own:
//!
//! | backend | blocks at a time | for |
//! |---|---|---|
//! | `avx512` | 16, one to a vector lane | x86-64 with AVX-512 |
//! | `sha-ni` | 2, interleaved | x86-64 with SHA-NI |
//! | `avx2` | 8, one to a vector lane | x86-64 with AVX2 and no SHA-NI |
//! | `aarch64` | 2, interleaved | ARM with the SHA-2 instructions |
//! | `portable` | 1 | everything else: the crate `sha2` |
//!
//! All give the same digests; which one it is decides nothing but the speed. One
//! is chosen for the whole process: by looking at the CPU, or by name, for tests
//! and measurements.
//!
//! A backend is a safe function compiled with an instruction set; the only unsafe
//! code is the call of it, sound because a [`Backend`] that the CPU has not got
//! cannot be made.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "arrays, whose lengths the compiler knows, are indexed by constants, and no input but \
              whole blocks gets here; these functions have a fuzz target of their own"
)]

mod backend;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod instructions;
#[cfg(target_arch = "x86_64")]
mod lanes;
mod portable;
#[cfg(target_arch = "x86_64")]
mod prefetch;
mod run;
mod salted;
#[cfg(test)]
mod tests;

#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod sha_ni;

#[cfg(feature = "std")]
pub use backend::BACKEND_VARIABLE;
pub use backend::{Backend, BackendError};
pub(crate) use salted::Salted;
