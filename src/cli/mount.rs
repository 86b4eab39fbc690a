//! The command line of `mount`, and what all that mounts has of it.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum, value_parser};
use dm_verity::{OnCorruption, OnReadError};
use model_disk::{PartitionChoice, filesystem::FsType, units::Size};

use super::{MounterUsageError, disk::DiskOptions, read::threads_or_default};
use crate::{FuseRequest, MappingName, MountRequest, ReadRequest};

/// The arguments of `mount`, and those of `sidecar` that it shares.
#[derive(Debug, Args)]
pub struct MountArgs {
    /// A block device or an image file
    device: PathBuf,
    /// The directory to mount on; it is made if it is missing
    mount_point: PathBuf,
    #[command(flatten)]
    options: MountOptions,
    #[command(flatten)]
    fuse: FuseOptions,
}

/// The options of a mount by FUSE.
#[derive(Debug, Args)]
struct FuseOptions {
    /// Mount by FUSE, as any user and without device-mapper: a process serves the disk, and verifies
    /// what is read of it; EROFS alone
    #[arg(long, conflicts_with_all = [
        "on_corruption", "on_error", "name", "prefetch", "read_ahead", "min_free_kbytes",
    ])]
    fuse: bool,
    /// How many threads of --fuse read and verify [default: one per processor, at most 16]
    #[arg(long, value_name = "N", requires = "fuse", value_parser = value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

/// A mount that is asked for, of one kind or the other.
#[derive(Clone, Debug)]
pub enum MountForm {
    /// The kernel verifies what is read.
    Kernel(MountRequest),
    /// A process does.
    Fuse(FuseRequest),
}

/// The options of all that mounts.
#[derive(Debug, Args)]
pub(super) struct MountOptions {
    #[command(flatten)]
    pub(super) disk: DiskOptions,
    /// The filesystem on the disk: erofs, squashfs, ext4 or xfs
    #[arg(long, value_name = "TYPE", default_value_t)]
    fs_type: FsType,
    /// Seconds to wait for the device to appear, and for each later answer (at least 10)
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    wait: u64,
    /// What the kernel does about a corrupt block; --on-error is for one that cannot be read
    #[arg(long, value_enum, default_value_t)]
    on_corruption: OnCorruptionArg,
    /// What the kernel does when a block cannot be read (all but eio need Linux 6.12)
    #[arg(long, value_enum, default_value_t)]
    on_error: OnErrorArg,
    /// The name of the device-mapper mapping [default: derived from what is mounted]
    #[arg(long)]
    name: Option<MappingName>,
    /// Read all files into the page cache, in parallel, as far as memory has room; a sidecar reads those
    /// that are for everybody to read
    #[arg(long)]
    prefetch: bool,
    /// Accept a mount point on virtiofs, 9p, FUSE or a network filesystem, whose other side could show
    /// something else in the place of the disk
    #[arg(long)]
    allow_remote_mount_point: bool,
    /// How much the device reads ahead
    #[arg(long, value_name = "BYTES")]
    read_ahead: Option<Size>,
    /// Raise the kernel's reserve of free memory, vm.min_free_kbytes, before the mount: with very
    /// large disks, allocations that cannot wait may fail otherwise
    #[arg(long, value_name = "KIB")]
    min_free_kbytes: Option<u64>,
}

/// [`OnCorruption`] on the command line.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum OnCorruptionArg {
    /// The reader gets an I/O error
    #[default]
    Eio,
    /// The machine restarts
    Restart,
    /// The kernel panics
    Panic,
}

/// [`OnReadError`] on the command line.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum OnErrorArg {
    /// The reader gets an I/O error
    #[default]
    Eio,
    /// The machine restarts
    Restart,
    /// The kernel panics
    Panic,
}

impl MountArgs {
    /// Checks the options against each other.
    pub fn check(self) -> Result<MountForm, MounterUsageError> {
        let partitions = self.options.disk.partitions();
        let request = self
            .options
            .check(self.device, self.mount_point, partitions)?;
        if !self.fuse.fuse {
            return Ok(MountForm::Kernel(request));
        }
        if request.fs_type != FsType::Erofs {
            return Err(MounterUsageError::FuseFilesystem(request.fs_type));
        }
        Ok(MountForm::Fuse(FuseRequest {
            read: ReadRequest {
                root_hash: request.root_hash,
                device: request.device,
                hash_device: request.hash_device,
                partitions: request.partitions,
                params: request.params,
                fec: request.fec,
            },
            mount_point: request.mount_point,
            wait: request.wait,
            allow_remote_mount_point: request.allow_remote_mount_point,
            threads: threads_or_default(self.fuse.threads),
            // A mount has no option for it: what it leaves behind serves all the same, and this is said.
            allow_unconfined: true,
        }))
    }
}

impl MountOptions {
    /// Checks them against each other. With `partitions` the device is taken apart.
    pub(super) fn check(
        self,
        device: PathBuf,
        mount_point: PathBuf,
        partitions: Option<PartitionChoice>,
    ) -> Result<MountRequest, MounterUsageError> {
        let disk = self.disk.check(device, partitions)?;
        let read_ahead = self
            .read_ahead
            .map(|Size(bytes)| match u32::try_from(bytes.div_ceil(512)) {
                Ok(sectors) if bytes <= 2 << 30 => Ok(sectors),
                _ => Err(MounterUsageError::ReadAhead(bytes)),
            })
            .transpose()?;
        Ok(MountRequest {
            root_hash: disk.root_hash,
            device: disk.device,
            hash_device: disk.hash_device,
            partitions: disk.partitions,
            params: disk.params,
            fec: disk.fec,
            mount_point,
            fs_type: self.fs_type,
            wait: Duration::from_secs(self.wait),
            on_corruption: match self.on_corruption {
                OnCorruptionArg::Eio => OnCorruption::Eio,
                OnCorruptionArg::Restart => OnCorruption::Restart,
                OnCorruptionArg::Panic => OnCorruption::Panic,
            },
            on_error: match self.on_error {
                OnErrorArg::Eio => OnReadError::Eio,
                OnErrorArg::Restart => OnReadError::Restart,
                OnErrorArg::Panic => OnReadError::Panic,
            },
            name: self.name,
            read_ahead,
            min_free: self.min_free_kbytes,
            prefetch: self.prefetch,
            allow_remote_mount_point: self.allow_remote_mount_point,
            allow_unconfined: false,
            leave_mounted: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use clap::Parser;
    use dm_verity::{HashAlgorithm, fec::FecRoots};
    use model_disk::{ErrorChain, FecArguments, ParamsSource};

    use crate::cli::{MounterArguments, MounterCommand};

    fn parse_form(options: &[&str]) -> Result<MountForm, String> {
        let root_hash = "ab".repeat(32);
        let line = [
            "disk-mounter",
            "mount",
            "--root-hash",
            &root_hash,
            "/dev/vda",
            "/mnt",
        ];
        let cli = MounterArguments::try_parse_from(line.iter().chain(options))
            .map_err(|error| error.to_string())?;
        let form = match cli.command {
            MounterCommand::Mount(args) => args.check(),
            _ => return Err("another command".to_owned()),
        };
        form.map_err(|error| ErrorChain(&error).to_string())
    }

    fn parse(options: &[&str]) -> Result<MountRequest, String> {
        match parse_form(options)? {
            MountForm::Kernel(request) => Ok(request),
            MountForm::Fuse(request) => Err(format!("{request:?}")),
        }
    }

    #[test]
    fn defaults() {
        let request = parse(&[]).unwrap();
        assert_eq!(request.params, ParamsSource::default());
        assert_eq!(request.fs_type, FsType::Erofs);
        assert_eq!(request.wait, Duration::from_secs(30));
        assert_eq!(request.on_corruption, OnCorruption::Eio);
        assert_eq!(request.on_error, OnReadError::Eio);
        assert_eq!(
            (request.name, request.hash_device, request.read_ahead),
            (None, None, None)
        );
    }

    #[test]
    fn all_parameters_by_arguments() {
        let options = [
            "--no-superblock",
            "--hash-offset",
            "4M",
            "--salt",
            "00",
            "--data-blocks",
            "1024",
        ];
        let request = parse(&options).unwrap();
        let ParamsSource::Arguments { params, hash_area } = request.params else {
            panic!("{request:?}")
        };
        assert_eq!(params.algorithm(), HashAlgorithm::Sha256);
        assert_eq!(
            (params.data_blocks(), params.salt().to_string()),
            (1024, "00".to_owned())
        );
        assert_eq!(
            (hash_area.offset(), hash_area.first_block()),
            (4 << 20, 1024)
        );
        // Each to its own place.
        let sizes = ["--data-block-size", "1024", "--hash-block-size", "2048"];
        let ParamsSource::Arguments { params, .. } =
            parse(&[&options[..], &sizes].concat()).unwrap().params
        else {
            panic!("the superblock is read")
        };
        assert_eq!(params.data_block_size().get(), 1024);
        assert_eq!(params.hash_block_size().get(), 2048);
        for (missing, words) in [
            (1, "--hash-offset or --hash-device must be given"),
            (3, "required"),
            (5, "required"),
        ] {
            let mut options = options.to_vec();
            options.drain(missing..missing + 2);
            let error = parse(&options).unwrap_err();
            assert!(error.contains(words), "{options:?}: {error}");
        }
        // As its help says.
        let of_its_own = [&options[..1], &options[3..], &["--hash-device", "tree"]].concat();
        let ParamsSource::Arguments { hash_area, .. } = parse(&of_its_own).unwrap().params else {
            panic!("the superblock is read")
        };
        assert_eq!(hash_area.offset(), 0);
    }

    #[test]
    fn a_mount_by_fuse_has_fewer_options() {
        let MountForm::Fuse(request) = parse_form(&["--fuse", "--threads", "3"]).unwrap() else {
            panic!("a mount by the kernel")
        };
        assert_eq!(request.threads.get(), 3);
        assert_eq!(request.read.device, PathBuf::from("/dev/vda"));
        for (options, word) in [
            (&["--threads", "3"][..], "--fuse"),
            (&["--fuse", "--fs-type", "ext4"], "EROFS"),
            (&["--fuse", "--name", "model"], "cannot be used with"),
            (
                &["--fuse", "--on-corruption", "panic"],
                "cannot be used with",
            ),
            (&["--fuse", "--on-error", "panic"], "cannot be used with"),
            (&["--fuse", "--prefetch"], "cannot be used with"),
            (&["--fuse", "--read-ahead", "1M"], "cannot be used with"),
            (&["--fuse", "--min-free-kbytes", "1"], "cannot be used with"),
        ] {
            let error = parse_form(options).unwrap_err();
            assert!(error.contains(word), "{options:?}: {error}");
        }
        parse_form(&["--fuse", "--fs-type", "erofs"]).unwrap();
    }

    #[test]
    fn correction_is_asked_for() {
        assert_eq!(parse(&[]).unwrap().fec, None);
        let request = parse(&["--fec"]).unwrap();
        assert_eq!(request.fec, Some(FecArguments::default()));
        let options = [
            "--fec",
            "--fec-device",
            "/dev/vdc",
            "--fec-offset",
            "1M",
            "--fec-roots",
            "24",
        ];
        let fec = FecArguments {
            device: Some("/dev/vdc".into()),
            offset: Some(1 << 20),
            roots: FecRoots::try_from(24).unwrap(),
        };
        assert_eq!(parse(&options).unwrap().fec, Some(fec.clone()));
        let MountForm::Fuse(request) = parse_form(&[&options[..], &["--fuse"]].concat()).unwrap()
        else {
            panic!("a mount by the kernel")
        };
        assert_eq!(request.read.fec, Some(fec));
    }

    #[test]
    fn what_happens_on_corruption_and_on_an_error_is_told_apart() {
        let request = parse(&["--on-corruption", "panic", "--on-error", "restart"]).unwrap();
        assert_eq!(request.on_corruption, OnCorruption::Panic);
        assert_eq!(request.on_error, OnReadError::Restart);
        let request = parse(&["--on-error", "panic"]).unwrap();
        assert_eq!(request.on_corruption, OnCorruption::Eio);
        assert_eq!(request.on_error, OnReadError::Panic);
    }

    #[test]
    fn refused() {
        for (options, word) in [
            (&["--salt", "00"][..], "--no-superblock"),
            (&["--hash", "sha256"], "--no-superblock"),
            (&["--fs-type", "auto"], "erofs, squashfs"),
            (&["--name", "a/b"], "no name"),
            (&["--read-ahead", "3G"], "2 GiB"),
            (&["--fec-device", "/dev/vdc"], "--fec"),
            (&["--fec-offset", "0"], "--fec"),
            (&["--fec-roots", "2"], "--fec"),
            (&["--fec", "--fec-roots", "1"], "2 to 24"),
            (&["--hash-offset", "1X"], "K, M, G"),
            (&["--on-corruption", "ignore"], "possible values"),
            (&["--on-error", "ignore"], "possible values"),
            (
                &[
                    "--no-superblock",
                    "--hash-offset",
                    "100",
                    "--salt",
                    "-",
                    "--data-blocks",
                    "1",
                ],
                "multiple of 4096",
            ),
            (
                &[
                    "--no-superblock",
                    "--hash-offset",
                    "0",
                    "--salt",
                    "-",
                    "--data-blocks",
                    "0",
                ],
                "zero",
            ),
            (
                &[
                    "--no-superblock",
                    "--hash-offset",
                    "0",
                    "--salt",
                    "-",
                    "--data-blocks",
                    "1",
                    "--hash",
                    "sha512",
                ],
                "sha256",
            ),
        ] {
            let error = parse(options).unwrap_err();
            assert!(error.contains(word), "{options:?}: {error}");
        }
    }
}
