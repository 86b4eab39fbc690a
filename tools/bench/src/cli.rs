//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use dm_verity::RootHash;
use model_disk::units::Size;

const TARGET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/bench");

/// Measures this project's programs against those that do the same
#[derive(Debug, Parser)]
#[command(name = "bench", version, max_term_width = 100)]
pub(crate) struct BenchArguments {
    #[command(subcommand)]
    pub(crate) command: BenchCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    Run(BenchRunArguments),
    Mount(MountArguments),
    /// Print the tables of results that were written as JSON
    Show {
        /// What `--json` wrote
        file: PathBuf,
    },
}

/// Compare disk-builder and disk-mounter with veritysetup, mkfs.erofs and cp
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bench run --quick
  bench run --only hash --only cold --rounds 9 --keep")]
pub(crate) struct BenchRunArguments {
    /// A look within two minutes: 512 MiB and 3 rounds, unless others are given
    #[arg(long)]
    pub(crate) quick: bool,
    /// Only this comparison (repeatable)
    #[arg(long, value_name = "NAME", value_enum)]
    pub(crate) only: Vec<Comparison>,
    /// How much the model and the image hold; K, M, G, T are powers of 1024 [default: 4G]
    #[arg(long, value_name = "BYTES", value_parser = size)]
    pub(crate) size: Option<Size>,
    /// How often each program runs [default: 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: Option<u32>,
    /// Where the data goes; it says what filesystem and disk is measured
    #[arg(long, value_name = "DIR", default_value = TARGET, hide_default_value = true)]
    pub(crate) dir: PathBuf,
    /// Leave the data in DIR for the next run
    #[arg(long)]
    pub(crate) keep: bool,
    /// Also write the results, with every single run, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// The program disk-builder [default: the one beside this program]
    #[arg(long, value_name = "PATH")]
    pub(crate) builder: Option<PathBuf>,
    /// The program disk-mounter [default: the one beside this program]
    #[arg(long, value_name = "PATH")]
    pub(crate) mounter: Option<PathBuf>,
}

/// Compare disk-mounter with a shell script of veritysetup and mount
#[derive(Debug, Args)]
#[command(after_help = "\
Needs root, a kernel with dm-verity, and disk-mounter, veritysetup, mount, umount, find and
cat on PATH: `make bench-mount` runs it where they are.")]
pub(crate) struct MountArguments {
    /// The block device with the disk
    #[arg(value_name = "DEVICE")]
    pub(crate) device: PathBuf,
    /// What the disk must be
    #[arg(long, value_name = "HEX")]
    pub(crate) root_hash: RootHash,
    /// Where the hash area starts
    #[arg(long, value_name = "BYTES")]
    pub(crate) hash_offset: Size,
    /// How often each is mounted
    #[arg(long, value_name = "N", default_value_t = 15,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,
    /// How often each reads all files
    #[arg(long, value_name = "N", default_value_t = 3,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) read_rounds: u32,
    /// Also write the results, with every single run, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// The names that `--only` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Comparison {
    /// SHA-256 of blocks against the crate sha2
    Kernels,
    /// Parity of blocks against ISA-L
    FecKernels,
    /// `hash` against `veritysetup format`, data in the page cache
    Hash,
    /// The same, data on the disk
    Cold,
    /// `hash --fec` against `veritysetup format --fec-device`, and `hash`
    Fec,
    /// `verify` against `veritysetup verify`
    Verify,
    /// `repair` of 1,000 corrupt blocks against `verify`
    Repair,
    /// `root-hash` against `mkfs.erofs` and `veritysetup format`
    RootHash,
    /// `build` against the same, and against `cp -r`; `build --fec` against `build`
    Build,
    /// `build` that shares the model's blocks, against `cp -r`
    Reflink,
    /// `hash` on tmpfs, XFS, btrfs and FUSE
    Filesystems,
    /// `root-hash` of small files
    SmallFiles,
    /// `root-hash` of what a server sends, against `curl`
    Hub,
    /// `hash` of an image that is nine tenths holes
    Sparse,
    /// `disk-mounter extract` and `cat` against `cp -r`, `veritysetup verify` and `verify`
    Reading,
    /// Reading a disk that is mounted by FUSE against `disk-mounter cat`
    Fuse,
    /// How the cost of `hash` grows with the size
    Scaling,
}

/// What is run, with everything decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Never empty, in the order of the list above.
    pub(crate) comparisons: Vec<Comparison>,
    /// Bytes of the model, and of the image.
    pub(crate) size: u64,
    pub(crate) rounds: u32,
}

impl Settings {
    pub(crate) fn new(arguments: &BenchRunArguments) -> Self {
        let (size, rounds) = if arguments.quick {
            (512 << 20, 3)
        } else {
            (4 << 30, 5)
        };
        let mut comparisons = Comparison::value_variants().to_vec();
        if !arguments.only.is_empty() {
            comparisons.retain(|comparison| arguments.only.contains(comparison));
        }
        Self {
            comparisons,
            size: arguments.size.map_or(size, |size| size.0),
            rounds: arguments.rounds.unwrap_or(rounds),
        }
    }

    pub(crate) fn has(&self, comparison: Comparison) -> bool {
        self.comparisons.contains(&comparison)
    }
}

/// Less than 4 MiB would be all start and end; and parts of it are whole blocks.
fn size(text: &str) -> Result<Size, String> {
    const LEAST: u64 = 4 << 20;
    let size: Size = text
        .parse()
        .map_err(|error: model_disk::units::SizeError| error.to_string())?;
    if size.0 < LEAST || !size.0.is_multiple_of(1 << 20) {
        return Err("the size must be whole MiB, and 4 at least".into());
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn settings(line: &str) -> Settings {
        let BenchArguments {
            command: BenchCommand::Run(arguments),
        } = BenchArguments::try_parse_from(line.split(' ')).unwrap()
        else {
            panic!("not run: {line}");
        };
        Settings::new(&arguments)
    }

    #[test]
    fn the_definition_is_consistent() {
        BenchArguments::command().debug_assert();
    }

    #[test]
    fn what_is_run() {
        let all = Comparison::value_variants().to_vec();
        let expected = |comparisons: &[Comparison], size, rounds| Settings {
            comparisons: comparisons.to_vec(),
            size,
            rounds,
        };
        assert_eq!(settings("bench run"), expected(&all, 4 << 30, 5));
        assert_eq!(settings("bench run --quick"), expected(&all, 512 << 20, 3));
        assert_eq!(
            settings("bench run --quick --rounds 7 --size 1G --only root-hash --only hash"),
            expected(&[Comparison::Hash, Comparison::RootHash], 1 << 30, 7)
        );
    }

    #[test]
    fn what_is_refused() {
        for line in [
            "bench",
            "bench run --only none",
            "bench run --rounds 0",
            "bench run --size 3M",
            "bench run --size 16777217",
            "bench run --size 4GiB",
            "bench mount /dev/vda --root-hash 00 --hash-offset 0",
            "bench show",
        ] {
            assert!(
                BenchArguments::try_parse_from(line.split(' ')).is_err(),
                "{line}"
            );
        }
    }
}
