//! Multiples of bytes, added to the planes of parity: all the work of FEC.
//!
//! A [`FecBackend`] is one way to do it, in a file of its own:
//!
//! | backend | bytes of a vector | for |
//! |---|---|---|
//! | `gfni-avx512` | 64 | x86-64 with GFNI and AVX-512 |
//! | `gfni-avx2` | 32 | x86-64 with GFNI and AVX2 |
//! | `avx2` | 32, by half bytes | x86-64 with AVX2 |
//! | `ssse3` | 16, by half bytes | x86-64 with SSSE3 |
//! | `neon` | 16, by half bytes | 64-bit ARM |
//! | `portable` | words of eight bytes, bit by bit | everything else |
//!
//! All give the same bytes. One is chosen for the whole process: by looking at the CPU, or by name,
//! for tests and measurements.
//!
//! A backend is a safe function compiled with an instruction set; the only unsafe code is the call
//! of it, sound because a [`FecBackend`] that the CPU has not got cannot be made.

mod backend;
mod portable;
#[cfg(any(
    target_arch = "x86_64",
    all(target_arch = "aarch64", target_endian = "little")
))]
mod tables;
#[cfg(test)]
mod tests;
#[cfg(any(
    target_arch = "x86_64",
    all(target_arch = "aarch64", target_endian = "little")
))]
mod vectors;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod gfni_avx2;
#[cfg(target_arch = "x86_64")]
mod gfni_avx512;
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod neon;
#[cfg(target_arch = "x86_64")]
mod ssse3;

#[cfg(feature = "std")]
pub use backend::FEC_BACKEND_VARIABLE;
pub use backend::{FecBackend, FecBackendError};
