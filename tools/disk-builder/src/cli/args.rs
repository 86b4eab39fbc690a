//! The arguments as they are written.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueHint};
use clap_complete::Shell;
use dm_verity::{BlockSize, HashAlgorithm, RootHash, Salt, fec::FecRoots};
use model_disk::{
    ExitCode,
    filesystem::FsType,
    units::{Size, block_size},
};
use uuid::Uuid;

use super::MAX_DEFAULT_THREADS;

/// Makes disks with model weights that are verified block by block
#[derive(Debug, Parser)]
#[command(name = "disk-builder", version, max_term_width = 100, after_help = after_help())]
pub(super) struct BuilderArguments {
    #[command(subcommand)]
    pub(super) command: BuilderCommand,
}

fn after_help() -> String {
    format!(
        "Example:\n  disk-builder build model/ --output model.img\n\n{}",
        ExitCode::help()
    )
}

#[derive(Debug, Subcommand)]
pub(super) enum BuilderCommand {
    Build(BuildArguments),
    RootHash(RootHashArguments),
    Hash(HashArguments),
    Verify(VerifyArguments),
    Repair(RepairArguments),
    Inspect(InspectArguments),
    Completions(CompletionsArguments),
    /// Print the manual page of this program
    #[command(after_help = "\
Example:
  disk-builder man > disk-builder.1")]
    Man,
}

/// What both commands that take a GLOB say of it, at the end of their help.
macro_rules! glob_help {
    () => {
        "

In a GLOB, * is any number of bytes but /, ** any number of directories, ? and [a-z] one byte, and
{a,b} either; a character that is not ASCII has more than one byte. A directory that matches is left
out with all that is in it."
    };
}

/// What both say of models that are not on this machine.
macro_rules! fetch_help {
    () => {
        "

A model that is not on this machine is fetched, and nothing of it is kept. HF_ENDPOINT names the hub,
HF_TOKEN says who asks (or the file HF_TOKEN_PATH, or token in HF_HOME), HF_HUB_OFFLINE that nothing is
to be fetched; HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY name proxies, and SSL_CERT_FILE the
certificates to trust."
    };
}

/// Make a disk of a model, and print its root hash
#[derive(Debug, Args)]
#[command(after_help = concat!("\
Examples:
  disk-builder build model/ --output model.img --exclude '*.md'
  disk-builder build hf://ORG/MODEL@REVISION --output model.img --resume

The root hash depends on the relative paths and the bytes of the files, and on nothing else.
Symbolic links are followed as long as they lead to what is in MODEL_DIR, in the blobs of its hub
cache, or in a place that --allow-outside names; empty directories, .git and .cache/huggingface are
left out. It does not depend on parity, which --fec has follow the tree.
A file appears whole or not at all. A block device is written over; one with a filesystem, a
partition table or the like on it only with --force. No link is followed to an output, except to a
block device by one that nobody else can have made, as in /dev/disk/by-id.", fetch_help!(), glob_help!()))]
pub(super) struct BuildArguments {
    #[command(flatten)]
    pub(super) model: ModelFlags,

    /// Where the disk goes: a file outside of MODEL_DIR, or a block device
    #[arg(long, value_name = "IMAGE", value_hint = ValueHint::FilePath)]
    pub(super) output: PathBuf,

    /// Where the model came from, for the manifest
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub(super) source: Option<String>,

    /// Which revision of the model it is, for the manifest
    #[arg(long, value_name = "REV")]
    pub(super) revision: Option<String>,

    /// Where the manifest goes [default: IMAGE.json; none beside a block device]
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(super) manifest: Option<PathBuf>,

    /// Replace an existing image and manifest, or overwrite what is on a block device
    #[arg(long)]
    pub(super) force: bool,

    /// Leave what was written if it fails, and go on with what a run that failed left: only of a model
    /// that is fetched
    #[arg(long)]
    pub(super) resume: bool,

    #[command(flatten)]
    pub(super) fec: FecFlags,

    #[command(flatten)]
    pub(super) common: Common,
}

/// Print the root hash of the disk that `build` makes, and write nothing
#[derive(Debug, Args)]
#[command(after_help = concat!("\
Examples:
  disk-builder root-hash model/ --exclude '*.md'
  disk-builder root-hash hf://ORG/MODEL@REVISION", fetch_help!(), glob_help!()))]
pub(super) struct RootHashArguments {
    #[command(flatten)]
    pub(super) model: ModelFlags,

    #[command(flatten)]
    pub(super) common: Common,
}

/// What `build` and `root-hash` are told of a model.
#[derive(Debug, Args)]
pub(super) struct ModelFlags {
    /// The directory with the model's files, or hf://ORG/MODEL[@REVISION] on the hub
    #[arg(value_name = "MODEL_DIR", value_hint = ValueHint::DirPath, required_unless_present = "files_from")]
    pub(super) model: Option<PathBuf>,

    /// Instead of MODEL_DIR: a list of files to fetch, each line as URL BYTES SHA256 [PATH]
    #[arg(long, value_name = "LIST", value_hint = ValueHint::FilePath, conflicts_with = "model")]
    pub(super) files_from: Option<PathBuf>,

    /// Leave out what matches, of the paths relative to MODEL_DIR; may be given several times
    #[arg(long, value_name = "GLOB")]
    pub(super) exclude: Vec<String>,

    /// Let links lead to this file or directory outside of MODEL_DIR; may be given several times
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(super) allow_outside: Vec<PathBuf>,

    /// Fail where there is anything to note, such as a shard that is missing
    #[arg(long)]
    pub(super) strict: bool,
}

/// Add a hash tree to an existing image, and print its root hash
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  disk-builder hash model.erofs
  disk-builder hash /dev/vdb --hash-device /dev/vdc
  disk-builder hash model.erofs --fec --fec-roots 4

Unless something else is said, all of DATA is covered, in data blocks and hash blocks of 4096 bytes;
the algorithm is sha256, the salt one that binds the geometry; and the hash area starts at byte 0 of
a hash device, or after the data. Parity is what veritysetup makes: with 2 roots unless --fec-roots
says more, at byte 0 of an FEC device, or after the tree. The root hash does not depend on it.
Nothing is overwritten that is known to be something, such as a filesystem on the hash device or an
older tree, but with --force. No link is followed to what is written to, except to a block device by
one that nobody else can have made, as in /dev/disk/by-id.")]
pub(super) struct HashArguments {
    /// The image: a regular file or a block device
    #[arg(value_name = "DATA", value_hint = ValueHint::FilePath)]
    pub(super) data: PathBuf,

    /// Where the tree goes: a block device or a new file [default: appended to DATA]
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(super) hash_device: Option<PathBuf>,

    #[command(flatten)]
    pub(super) tree: TreeFlags,

    #[command(flatten)]
    pub(super) fec: FecFlags,

    /// Where parity goes: a block device or a new file [default: after the tree]
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath, requires = "fec")]
    pub(super) fec_device: Option<PathBuf>,

    /// Where the FEC area starts, a multiple of the block size
    #[arg(long, value_name = "BYTES", requires = "fec")]
    pub(super) fec_offset: Option<Size>,

    /// The UUID of the superblock [default: one that the root hash gives]
    #[arg(long, conflicts_with = "no_superblock")]
    pub(super) uuid: Option<Uuid>,

    /// Replace an existing file with the tree, or overwrite what has a mark where the tree goes
    #[arg(long)]
    pub(super) force: bool,

    #[command(flatten)]
    pub(super) common: Common,
}

/// Check every block of an image against a root hash
#[derive(Debug, Args)]
#[command(mut_arg("fec_device", |arg| arg.requires("fec")))]
#[command(mut_arg("fec_offset", |arg| arg.requires("fec")))]
#[command(mut_arg("fec_roots", |arg| arg.requires("fec")))]
#[command(after_help = "\
Example:
  disk-builder verify model.img --root-hash \\
      2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae

The superblock is looked for at byte 0 of a hash device, or after the filesystem, unless
--hash-offset says where. It tells the rest, and what is given is compared with what it claims.
Where the salt is one of somebody's own, and no filesystem of the type fills the data blocks, nothing
else says how many the root hash covers: --data-blocks must be given then.
With --no-superblock, --data-blocks, --salt and --hash-offset (or --hash-device) must be given;
blocks have 4096 bytes unless something else is said; the algorithm follows from the length of the
root hash.
Exit code 3 says that the image is not what the root hash says.")]
pub(super) struct VerifyArguments {
    #[command(flatten)]
    pub(super) disk: VerifiedDiskFlags,

    /// Tell of each corrupt block whether `repair` can correct it, and whether parity is right
    #[arg(long)]
    pub(super) fec: bool,

    #[command(flatten)]
    pub(super) fec_area: FecAreaFlags,

    #[command(flatten)]
    pub(super) common: Common,
}

/// Correct an image in place by its FEC area, so that it is what the root hash says
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  disk-builder repair model.img --root-hash \\
      2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae

Where everything is, is found and told as for verify. A block is written only where it is wrong, and
only with bytes that the root hash covers: as many corrupt blocks of a row, of 255 less --fec-roots
blocks, can be corrected as there are roots. Parity is made again where that of blocks that are right
is wrong. Nothing else may use the image: a mounted device is refused. A run that is cut off leaves it
no worse, and the next one goes on.
Exit code 3 says that some blocks could not be corrected; those that could be are.")]
pub(super) struct RepairArguments {
    #[command(flatten)]
    pub(super) disk: VerifiedDiskFlags,

    #[command(flatten)]
    pub(super) fec_area: FecAreaFlags,

    #[command(flatten)]
    pub(super) common: Common,
}

/// What `verify` and `repair` are told of a disk.
#[derive(Debug, Args)]
pub(super) struct VerifiedDiskFlags {
    /// The image: a regular file or a block device
    #[arg(value_name = "IMAGE", value_hint = ValueHint::FilePath)]
    pub(super) image: PathBuf,

    /// The root hash in hex
    #[arg(long, value_name = "HEX")]
    pub(super) root_hash: RootHash,

    /// Where the tree is [default: with the data]
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(super) hash_device: Option<PathBuf>,

    /// The filesystem on it, after which the superblock is looked for: erofs, squashfs, ext4 or xfs
    #[arg(long, value_name = "TYPE", default_value_t)]
    pub(super) fs_type: FsType,

    #[command(flatten)]
    pub(super) tree: TreeFlags,
}

/// What both are told of an FEC area.
#[derive(Debug, Args)]
pub(super) struct FecAreaFlags {
    /// Where parity is [default: with the tree]
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(super) fec_device: Option<PathBuf>,

    /// Where the FEC area starts [default: after the tree; 0 on an FEC device]
    #[arg(long, value_name = "BYTES")]
    pub(super) fec_offset: Option<Size>,

    /// How many parity bytes there are to 255 bytes, 2 to 24 [default: 2]
    #[arg(long, value_name = "N")]
    pub(super) fec_roots: Option<FecRoots>,
}

/// What `hash` and `verify` may be told of a tree. Where nothing is said each does something else,
/// so the help of each has its own words for that.
#[derive(Debug, Args)]
pub(super) struct TreeFlags {
    /// Where the hash area starts
    #[arg(long, value_name = "BYTES")]
    pub(super) hash_offset: Option<Size>,

    /// How many data blocks the root hash covers
    #[arg(long, value_name = "N")]
    pub(super) data_blocks: Option<u64>,

    /// The size of a data block
    #[arg(long, value_name = "BYTES", value_parser = block_size)]
    pub(super) data_block_size: Option<BlockSize>,

    /// The size of a hash block
    #[arg(long, value_name = "BYTES", value_parser = block_size)]
    pub(super) hash_block_size: Option<BlockSize>,

    /// The hash algorithm: sha256 or sha512
    #[arg(long, value_name = "ALGORITHM")]
    pub(super) hash: Option<HashAlgorithm>,

    /// The salt in hex, or - for none
    #[arg(long, value_name = "HEX", allow_hyphen_values = true)]
    pub(super) salt: Option<Salt>,

    /// The hash area has no superblock
    #[arg(long)]
    pub(super) no_superblock: bool,
}

/// What `build` and `hash` may be told of parity.
#[derive(Debug, Args)]
pub(super) struct FecFlags {
    /// Add parity (forward error correction), by which corrupt blocks can be corrected
    #[arg(long)]
    pub(super) fec: bool,

    /// How many parity bytes there are to 255 bytes, 2 to 24: as many corrupt blocks can be corrected of
    /// so many blocks [default: 2]
    #[arg(long, value_name = "N", requires = "fec")]
    pub(super) fec_roots: Option<FecRoots>,
}

impl FecFlags {
    /// None without parity.
    pub(super) fn roots(&self) -> Option<FecRoots> {
        self.fec.then(|| self.fec_roots.unwrap_or_default())
    }
}

fn threads_help() -> String {
    format!(
        "How many threads to use [default: one per processor, and two to build; at most \
         {MAX_DEFAULT_THREADS}]"
    )
}

#[derive(Debug, Args)]
pub(super) struct Common {
    #[arg(long, value_name = "N", help = threads_help(), value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(super) threads: Option<u16>,

    /// Print one JSON object instead of text
    #[arg(long)]
    pub(super) json: bool,

    /// Show no progress
    #[arg(long, short)]
    pub(super) quiet: bool,
}

/// Show what the superblocks of an image claim; nothing of it is verified
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  disk-builder inspect model.img")]
pub(super) struct InspectArguments {
    /// The image: a regular file or a block device
    #[arg(value_name = "IMAGE", value_hint = ValueHint::FilePath)]
    pub(super) image: PathBuf,

    /// Where the hash area starts [default: after the filesystem, or 0 where there is none]
    #[arg(long, value_name = "BYTES")]
    pub(super) hash_offset: Option<Size>,

    /// Print one JSON object instead of text
    #[arg(long)]
    pub(super) json: bool,
}

/// Print a script that completes this program's arguments
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  disk-builder completions bash > /etc/bash_completion.d/disk-builder")]
pub(super) struct CompletionsArguments {
    /// For which shell
    #[arg(value_name = "SHELL")]
    pub(super) shell: Shell,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_help_has_an_example_that_parses() {
        let mut program = BuilderArguments::command();
        program.build();
        let commands = program.get_subcommands();
        let commands = commands.filter(|command| command.get_name() != "help");
        let mut checked = 0;
        for command in commands.chain([&program]) {
            let name = command.get_name();
            let help = command.get_after_help().unwrap().to_string();
            // A line may go on, and what a shell does with the output is left out.
            let help = help.replace("\\\n", "");
            let lines = help.lines().map(str::trim);
            let examples: Vec<&str> = lines
                .filter(|line| line.starts_with("disk-builder "))
                .map(|line| line.split(" > ").next().unwrap())
                .collect();
            assert!(!examples.is_empty(), "{name}: {help}");
            for example in examples {
                let words = example.split_ascii_whitespace();
                BuilderArguments::try_parse_from(words).unwrap_or_else(|error| panic!("{error}"));
                if name != "disk-builder" {
                    assert!(format!("{example} ").starts_with(&format!("disk-builder {name} ")));
                }
            }
            checked += 1;
        }
        assert!(checked >= 8);
    }

    /// What `hash` takes where nothing is said is not what `verify` takes.
    #[test]
    fn defaults_are_those_of_the_command() {
        let help = |name: &str| {
            let mut program = BuilderArguments::command();
            program.build();
            let command = program.find_subcommand_mut(name).unwrap();
            command.render_help().to_string()
        };
        let (hash, verify) = (help("hash"), help("verify"));
        for says in ["4096 bytes", "algorithm is sha256", "one that binds"] {
            assert!(hash.contains(says), "{hash}");
        }
        for says_not in ["[default: 4096]", "algorithm is sha256", "one that binds"] {
            assert!(!verify.contains(says_not), "{verify}");
        }
        let when = "somebody's own, and no filesystem of the type fills the data blocks";
        assert!(verify.contains(when), "{verify}");
        for help in [hash, verify, help("build"), help("root-hash")] {
            // Wherever the line ends.
            let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(
                help.contains("one per processor, and two to build; at most 32]"),
                "{help}"
            );
        }
    }
}
