//! Forward error correction, on the command lines of what reads a disk.

use std::path::PathBuf;

use clap::Args;
use dm_verity::fec::FecRoots;
use model_disk::{FecArguments, units::Size};

/// Whether corrupt blocks are corrected, and by what.
#[derive(Debug, Args)]
pub(super) struct FecOptions {
    /// Correct corrupt blocks by the disk's FEC area; what was corrected is verified again
    #[arg(long)]
    fec: bool,
    /// The device with the FEC area, if it is not on that with the hash tree
    #[arg(long, value_name = "PATH", requires = "fec")]
    fec_device: Option<PathBuf>,
    /// Where the FEC area starts [default: after the hash tree; 0 on an FEC device]
    #[arg(long, value_name = "BYTES", requires = "fec")]
    fec_offset: Option<Size>,
    /// How many of the 255 bytes of a codeword are parity: 2 to 24 [default: 2]
    #[arg(long, value_name = "N", requires = "fec")]
    fec_roots: Option<FecRoots>,
}

impl FecOptions {
    /// None where nothing is to be corrected.
    pub(super) fn arguments(self) -> Option<FecArguments> {
        self.fec.then(|| FecArguments {
            device: self.fec_device,
            offset: self.fec_offset.map(|Size(bytes)| bytes),
            roots: self.fec_roots.unwrap_or_default(),
        })
    }
}
