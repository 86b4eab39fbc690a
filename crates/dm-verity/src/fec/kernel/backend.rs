//! Which backends there are, which the CPU can run, and which is used.
// To call a function that is compiled with an instruction set is unsafe.
#![allow(unsafe_code)]

use alloc::{borrow::ToOwned, string::String, vec::Vec};
use core::{fmt, str::FromStr};
#[cfg(feature = "std")]
use std::{env, ffi::OsStr, sync::OnceLock};

#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
use super::neon;
use super::portable;
#[cfg(target_arch = "x86_64")]
use super::{avx2, gfni_avx2, gfni_avx512, ssse3};
use crate::chosen_backend::chosen_backend;

chosen_backend!(
    FecBackend(FecInstructions),
    FecBackendError,
    FEC_BACKEND_VARIABLE = "DM_VERITY_FEC_BACKEND",
    "FEC"
);

/// A way to multiply bytes that this CPU has. Written as its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FecBackend(FecInstructions);

/// All backends for this architecture, the fastest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum FecInstructions {
    #[cfg(target_arch = "x86_64")]
    GfniAvx512,
    #[cfg(target_arch = "x86_64")]
    GfniAvx2,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Ssse3,
    #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
    Neon,
    Portable,
}

impl FecBackend {
    #[cfg(feature = "std")]
    fn fastest() -> Self {
        let best = Self::supported().next();
        best.unwrap_or(Self(FecInstructions::Portable))
    }

    /// Adds `data`, multiplied by each coefficient, to bytes of the plane of that coefficient, from
    /// `at` on. The planes stand one after the other, each with `stride` bytes.
    ///
    /// # Panics
    ///
    /// When a plane has not as many bytes from `at` on.
    pub(in super::super) fn multiply_add(
        self,
        coefficients: &[u8],
        data: &[u8],
        planes: &mut [u8],
        stride: usize,
        at: usize,
    ) {
        if data.is_empty() || coefficients.is_empty() {
            return;
        }
        let mut planes = planes
            .chunks_mut(stride)
            .map(|plane| &mut plane[at..][..data.len()]);
        // As many as vector registers are enough for: the data is read once for all of them.
        let (fours, rest) = coefficients.as_chunks::<4>();
        for four in fours {
            self.add_to(*four, data, &mut planes);
        }
        match *rest {
            [a, b, c] => self.add_to([a, b, c], data, &mut planes),
            [a, b] => self.add_to([a, b], data, &mut planes),
            [a] => self.add_to([a], data, &mut planes),
            _ => {}
        }
    }

    /// The same for the next few planes.
    fn add_to<'a, const PLANES: usize>(
        self,
        coefficients: [u8; PLANES],
        data: &[u8],
        planes: &mut impl Iterator<Item = &'a mut [u8]>,
    ) {
        let planes = core::array::from_fn(|_| planes.next().unwrap_or_default());
        // Each call crosses from code for every CPU to code for some.
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            FecInstructions::GfniAvx512 => {
                // SAFETY: this backend exists, so the CPU has GFNI and AVX-512 F.
                unsafe { gfni_avx512::multiply_add(coefficients, data, planes) }
            }
            #[cfg(target_arch = "x86_64")]
            FecInstructions::GfniAvx2 => {
                // SAFETY: this backend exists, so the CPU has GFNI and AVX2.
                unsafe { gfni_avx2::multiply_add(coefficients, data, planes) }
            }
            #[cfg(target_arch = "x86_64")]
            FecInstructions::Avx2 => {
                // SAFETY: this backend exists, so the CPU has AVX2.
                unsafe { avx2::multiply_add(coefficients, data, planes) }
            }
            #[cfg(target_arch = "x86_64")]
            FecInstructions::Ssse3 => {
                // SAFETY: this backend exists, so the CPU has SSSE3.
                unsafe { ssse3::multiply_add(coefficients, data, planes) }
            }
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            FecInstructions::Neon => {
                // SAFETY: this backend exists, so the CPU has these vectors.
                unsafe { neon::multiply_add(coefficients, data, planes) }
            }
            FecInstructions::Portable => portable::multiply_add(coefficients, data, planes),
        }
    }
}

impl FecInstructions {
    const ALL: &[Self] = &[
        #[cfg(target_arch = "x86_64")]
        Self::GfniAvx512,
        #[cfg(target_arch = "x86_64")]
        Self::GfniAvx2,
        #[cfg(target_arch = "x86_64")]
        Self::Avx2,
        #[cfg(target_arch = "x86_64")]
        Self::Ssse3,
        #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
        Self::Neon,
        Self::Portable,
    ];

    fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::GfniAvx512 => "gfni-avx512",
            #[cfg(target_arch = "x86_64")]
            Self::GfniAvx2 => "gfni-avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Ssse3 => "ssse3",
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Self::Neon => "neon",
            Self::Portable => "portable",
        }
    }

    /// Whether this CPU has all instructions that the backend is compiled with.
    #[cfg(feature = "std")]
    fn is_supported(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::GfniAvx512 => {
                std::is_x86_feature_detected!("gfni") && std::is_x86_feature_detected!("avx512f")
            }
            #[cfg(target_arch = "x86_64")]
            Self::GfniAvx2 => {
                std::is_x86_feature_detected!("gfni") && std::is_x86_feature_detected!("avx2")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                std::is_x86_feature_detected!("avx2")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Ssse3 => {
                std::is_x86_feature_detected!("ssse3")
            }
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Self::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            Self::Portable => true,
        }
    }

    /// Without the standard library there is no way to ask the CPU.
    #[cfg(not(feature = "std"))]
    fn is_supported(self) -> bool {
        matches!(self, Self::Portable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_backends() {
        for set in FecInstructions::ALL {
            let expected = if set.is_supported() {
                Ok(FecBackend(*set))
            } else {
                Err(FecBackendError::Unsupported(set.name()))
            };
            assert_eq!(set.name().parse(), expected);
        }
        assert_eq!(
            "none".parse::<FecBackend>(),
            Err(FecBackendError::Unknown("none".to_owned()))
        );
        assert_eq!(
            "portable".parse(),
            Ok(FecBackend(FecInstructions::Portable))
        );
    }

    #[cfg(feature = "std")]
    #[test]
    fn one_backend_for_a_process() {
        for backend in FecBackend::supported() {
            let chosen = OnceLock::new();
            let choose = |name: &str| FecBackend::choose(&chosen, name.as_ref());
            assert_eq!(choose(backend.name()), Ok(()));
            for other in FecBackend::supported() {
                let expected = if other == backend {
                    Ok(())
                } else {
                    Err(FecBackendError::TooLate(backend))
                };
                assert_eq!(choose(other.name()), expected);
            }
        }
    }
}
