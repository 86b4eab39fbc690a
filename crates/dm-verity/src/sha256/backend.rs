//! Which backends there are, which the CPU can run, and which is used.
// To call a function that is compiled with an instruction set is unsafe.
#![allow(unsafe_code)]

use alloc::{borrow::ToOwned, string::String, vec::Vec};
use core::{fmt, str::FromStr};
#[cfg(feature = "std")]
use std::{env, ffi::OsStr, sync::OnceLock};

#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
use super::aarch64;
use super::{super::BlockSize, portable, run::BlockRun, salted::Salted};
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512, sha_ni};
use crate::chosen_backend::chosen_backend;

chosen_backend!(
    Backend(InstructionSet),
    BackendError,
    BACKEND_VARIABLE = "DM_VERITY_SHA256_BACKEND",
    "SHA-256"
);

/// A way to compute SHA-256 that this CPU has. Written as its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Backend(InstructionSet);

/// All backends for this architecture, the widest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum InstructionSet {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    ShaNi,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
    Aarch64,
    Portable,
}

impl Backend {
    /// The widest that this CPU has, unless it runs that one in halves: a rule and not a
    /// measurement, so that one machine does the same each time.
    #[cfg(feature = "std")]
    fn fastest() -> Self {
        let best = Self::supported().find(|backend| !backend.0.is_run_in_halves());
        best.unwrap_or(Self(InstructionSet::Portable))
    }

    /// The digests of equal blocks.
    ///
    /// # Panics
    ///
    /// When `blocks` is not a whole number of blocks, or `digests` has not just
    /// the room for theirs.
    pub(crate) fn digest_blocks(
        self,
        salted: &Salted,
        blocks: &[u8],
        block_size: BlockSize,
        digests: &mut [u8],
    ) {
        let mut run = BlockRun::new(blocks, block_size, digests);
        let mut backend = self;
        while !run.is_empty() {
            backend.digest_groups(salted, &mut run);
            backend = backend.for_leftovers();
        }
    }

    /// Hashes as many blocks as make whole groups.
    fn digest_groups(self, salted: &Salted, run: &mut BlockRun<'_>) {
        // Each call crosses from code for every CPU to code for some. Compilers
        // clear the upper halves of vector registers at that border, without
        // which the SHA instructions would be slow after AVX.
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => run.each_group(|group| {
                // SAFETY: this backend exists, so the CPU has AVX-512 F and BW.
                unsafe { avx512::digest(salted, group) }
            }),
            #[cfg(target_arch = "x86_64")]
            InstructionSet::ShaNi => {
                // SAFETY: this backend exists, so the CPU has SHA-NI and AVX.
                run.each_group(|group| unsafe { sha_ni::digest::<2>(salted, group) });
                // SAFETY: as above.
                run.each_group(|group| unsafe { sha_ni::digest::<1>(salted, group) });
            }
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => run.each_group(|group| {
                // SAFETY: this backend exists, so the CPU has AVX2.
                unsafe { avx2::digest(salted, group) }
            }),
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            InstructionSet::Aarch64 => {
                // SAFETY: this backend exists, so the CPU has the SHA-2 instructions.
                run.each_group(|group| unsafe { aarch64::digest::<2>(salted, group) });
                // SAFETY: as above.
                run.each_group(|group| unsafe { aarch64::digest::<1>(salted, group) });
            }
            InstructionSet::Portable => run.each_group(|group| portable::digest(salted, group)),
        }
    }

    /// The backend for the blocks that are too few for a group of this one.
    fn for_leftovers(self) -> Self {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 if InstructionSet::ShaNi.is_supported() => {
                Self(InstructionSet::ShaNi)
            }
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 if InstructionSet::Avx2.is_supported() => {
                Self(InstructionSet::Avx2)
            }
            _ => Self(InstructionSet::Portable),
        }
    }
}

impl InstructionSet {
    const ALL: &[Self] = &[
        #[cfg(target_arch = "x86_64")]
        Self::Avx512,
        #[cfg(target_arch = "x86_64")]
        Self::ShaNi,
        #[cfg(target_arch = "x86_64")]
        Self::Avx2,
        #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
        Self::Aarch64,
        Self::Portable,
    ];

    fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Self::ShaNi => "sha-ni",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Self::Aarch64 => "aarch64",
            Self::Portable => "portable",
        }
    }

    /// Whether this CPU has all instructions that the backend is compiled with.
    #[cfg(feature = "std")]
    fn is_supported(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                std::is_x86_feature_detected!("avx512f")
                    && std::is_x86_feature_detected!("avx512bw")
            }
            #[cfg(target_arch = "x86_64")]
            Self::ShaNi => {
                std::is_x86_feature_detected!("sha") && std::is_x86_feature_detected!("avx")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => std::is_x86_feature_detected!("avx2"),
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Self::Aarch64 => std::arch::is_aarch64_feature_detected!("sha2"),
            Self::Portable => true,
        }
    }

    /// Without the standard library there is no way to ask the CPU.
    #[cfg(not(feature = "std"))]
    fn is_supported(self) -> bool {
        matches!(self, Self::Portable)
    }

    /// Whether the CPU runs each of the backend's operations as two, one after the other. AMD's
    /// Zen 4 does with vectors of 512 bits: there `sha-ni` takes 11 % less time than `avx512`,
    /// where elsewhere it takes up to twice as long. SSE4A is AMD's alone, and Zen 5, which runs
    /// them whole, brought AVX-VNNI.
    #[cfg(feature = "std")]
    fn is_run_in_halves(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                std::is_x86_feature_detected!("sse4a") && !std::is_x86_feature_detected!("avxvnni")
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_backends() {
        for set in InstructionSet::ALL {
            let expected = if set.is_supported() {
                Ok(Backend(*set))
            } else {
                Err(BackendError::Unsupported(set.name()))
            };
            assert_eq!(set.name().parse(), expected);
        }
        for name in ["", "AVX512", "fastest", "sse2"] {
            assert_eq!(
                name.parse::<Backend>(),
                Err(BackendError::Unknown(name.to_owned()))
            );
        }
        assert_eq!("portable".parse(), Ok(Backend(InstructionSet::Portable)));
    }

    #[cfg(feature = "std")]
    #[test]
    fn one_backend_for_a_process() {
        for backend in Backend::supported() {
            let chosen = OnceLock::new();
            let choose = |name: &str| Backend::choose(&chosen, name.as_ref());
            assert_eq!(
                choose("none"),
                Err(BackendError::Unknown("none".to_owned()))
            );
            assert_eq!(choose(backend.name()), Ok(()));
            assert_eq!(chosen.get(), Some(&backend));
            for other in Backend::supported() {
                let expected = if other == backend {
                    Ok(())
                } else {
                    Err(BackendError::TooLate(backend))
                };
                assert_eq!(choose(other.name()), expected);
            }
        }
    }
}
