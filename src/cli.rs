//! The command line of `disk-mounter`: raw options, and their checked form.

mod disk;
mod drop_in;
mod fec;
mod mount;
mod read;
mod sidecar;
mod usage_error;

use std::{ffi::OsString, path::PathBuf};

use clap::{Parser, Subcommand};

use crate::log::LogFormat;
use dm_verity::RootHash;
use model_disk::{ExitCode, units::Size};

pub use drop_in::{DevicePathArguments, drop_in, is_device_path_form};
pub use mount::{MountArgs, MountForm};
pub use read::{
    CatArgs, CatRequest, CheckArgs, CheckRequest, ExtractArgs, ListArgs, ReadArgs, WorkOptions,
};
pub use sidecar::SidecarArgs;
pub use usage_error::MounterUsageError;

/// Mounts disks with model weights under dm-verity.
///
/// The root hash on the command line decides what is accepted; nothing on the
/// disk is believed before it is verified.
#[derive(Debug, Parser)]
#[command(name = "disk-mounter", version, max_term_width = 100, after_help = after_help())]
pub struct MounterArguments {
    /// The format of the log messages
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    pub log_format: LogFormat,
    /// What to do.
    #[command(subcommand)]
    pub command: MounterCommand,
}

fn after_help() -> String {
    const TEXT: &str = "\
Example:
  disk-mounter mount /dev/vdb /mnt/model --root-hash \\
      50d858e0985ecc7f60418aaf0cc5ab587f42c2570a884095a9e8ccacd0f6545c

disk-mounter NAME INDEX ROOT_HASH is a sidecar for /dev/modelweights-NAME-INDEX at \
/mnt/modelweights-NAME-INDEX, as Privatemode's container is called.
disk-mounter --root-hash=HEX --device-path=PATH --mount-path=PATH is a sidecar for two partitions of \
a disk, as its older container is called.

";
    TEXT.to_owned() + &ExitCode::help()
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum MounterCommand {
    /// Mount a disk
    #[command(after_help = "\
Example:
  disk-mounter mount /dev/disk/by-id/virtio-weights /mnt/model --root-hash \\
      50d858e0985ecc7f60418aaf0cc5ab587f42c2570a884095a9e8ccacd0f6545c")]
    Mount(Box<MountArgs>),
    /// Mount a disk, watch it until SIGTERM or SIGINT, and unmount it
    #[command(after_help = "\
Example:
  disk-mounter sidecar /dev/model /mnt/model/disk --root-hash \\
      50d858e0985ecc7f60418aaf0cc5ab587f42c2570a884095a9e8ccacd0f6545c

Says at once when a corrupt block is read, and which file it lies in. The disk stays mounted until
SIGTERM or SIGINT, and the exit code is 3 then.")]
    Sidecar(Box<SidecarArgs>),
    /// Unmount a disk; its mapping and its loop device go as well, unless others made or use them
    #[command(after_help = "Example:\n  disk-mounter unmount /mnt/model")]
    Unmount {
        /// Where the disk is mounted
        mount_point: PathBuf,
    },
    /// Tell whether a mounted disk is verified (exit code 0) or corrupt (3)
    #[command(after_help = "\
Example:
  disk-mounter status /mnt/model --root-hash \\
      50d858e0985ecc7f60418aaf0cc5ab587f42c2570a884095a9e8ccacd0f6545c")]
    Status {
        /// Where the disk is mounted
        mount_point: PathBuf,
        /// The root hash that it must have, in hex: then all of the disk must be mounted there, as
        /// `mount` does it, and it must answer
        #[arg(long, value_name = "HEX")]
        root_hash: Option<RootHash>,
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Check, as any user, that a path shows a verified disk, and become a command
    #[command(after_help = "\
Example:
  disk-mounter expect /mnt/model --root-hash \\
      50d858e0985ecc7f60418aaf0cc5ab587f42c2570a884095a9e8ccacd0f6545c -- ls /mnt/model

Ends with 3 where another disk or none that is verified is mounted there, with 4 where nothing is.")]
    Expect {
        /// Where the disk is mounted
        path: PathBuf,
        /// The root hash that it must have, in hex
        #[arg(long, value_name = "HEX")]
        root_hash: RootHash,
        /// The command that is run then, with its arguments
        #[arg(last = true)]
        command: Vec<OsString>,
    },
    /// Show what the superblocks of a disk claim, none of which is verified
    #[command(after_help = "Example:\n  disk-mounter inspect /dev/vdb")]
    Inspect {
        /// A block device or an image file
        device: PathBuf,
        /// Where the dm-verity superblock is [default: after the filesystem]
        #[arg(long, value_name = "BYTES")]
        hash_offset: Option<Size>,
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
    /// List files of a disk, as any user and without mounting it
    Ls(Box<ListArgs>),
    /// Print files of a disk, verified, as any user and without mounting it
    Cat(Box<CatArgs>),
    /// Extract files of a disk, verified, as any user and without mounting it
    Extract(Box<ExtractArgs>),
    /// Compare a directory with a disk, as any user and without mounting it
    Check(Box<CheckArgs>),
    /// `NAME INDEX ROOT_HASH`, as Privatemode's container is called.
    #[command(external_subcommand)]
    DropIn(Vec<OsString>),
}

#[cfg(test)]
mod tests {
    use super::*;

    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        MounterArguments::command().debug_assert();
    }

    /// What stands under `Example:` in a help, with the lines that go on joined.
    fn examples(help: &str) -> Vec<String> {
        help.replace("\\\n", "")
            .lines()
            .map(str::trim)
            .filter(|line| line.starts_with("disk-mounter ") && !line.contains(" is a sidecar "))
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn every_help_has_an_example_that_parses() {
        let mut program = MounterArguments::command();
        program.build();
        let commands = program.get_subcommands();
        let commands = commands.filter(|command| command.get_name() != "help");
        let mut checked = 0;
        for command in commands.chain([&program]) {
            let name = command.get_name();
            let help = command.get_after_help().unwrap().to_string();
            let examples = examples(&help);
            assert!(!examples.is_empty(), "{name}: {help}");
            for example in examples {
                let words = example.split_ascii_whitespace();
                let cli = MounterArguments::try_parse_from(words)
                    .unwrap_or_else(|error| panic!("{error}"));
                assert!(
                    !matches!(cli.command, MounterCommand::DropIn(_)),
                    "{name}: {example} names no command"
                );
                if name != "disk-mounter" {
                    assert!(example.starts_with(&format!("disk-mounter {name} ")));
                }
            }
            checked += 1;
        }
        assert!(checked >= 6);
    }
}
