//! The forms in which other systems call their own program that mounts: with `disk-mounter` in the
//! place of that program, what calls it stays as it is.

use std::{ffi::OsString, path::PathBuf};

use clap::{CommandFactory, FromArgMatches, Parser, error::ErrorKind};

use super::{
    MountForm, MounterArguments, MounterCommand, MounterUsageError, mount::MountOptions,
    sidecar::SidecarOptions,
};
use crate::{MountRequest, log::LogFormat};
use model_disk::ErrorChain;

/// The request in `NAME INDEX ROOT_HASH`: a sidecar for `/dev/modelweights-NAME-INDEX` at
/// `/mnt/modelweights-NAME-INDEX`. The error is what clap says of any other wrong command line.
#[expect(
    clippy::unreachable,
    reason = "the command is in the line that is parsed"
)]
pub fn drop_in(arguments: &[OsString]) -> Result<MountForm, clap::Error> {
    let mut command = MounterArguments::command();
    let texts: Option<Vec<&str>> = arguments.iter().map(|argument| argument.to_str()).collect();
    let Some([name, index, root_hash]) = texts.as_deref() else {
        let word = arguments.first().cloned().unwrap_or_default();
        let message = format!(
            "{word:?} is no command, and not the NAME of NAME INDEX ROOT_HASH; --help lists all"
        );
        return Err(command.error(ErrorKind::InvalidSubcommand, message));
    };
    let plain = |text: &str| !text.is_empty() && !text.contains('/');
    if !plain(name) || !plain(index) {
        let message = "NAME and INDEX are parts of a file name";
        return Err(command.error(ErrorKind::ValueValidation, message));
    }
    let place = format!("modelweights-{name}-{index}");
    let line = [
        "disk-mounter",
        "sidecar",
        "--root-hash",
        root_hash,
        "--",
        &format!("/dev/{place}"),
        &format!("/mnt/{place}"),
    ];
    match MounterArguments::try_parse_from(line)?.command {
        MounterCommand::Sidecar(args) => args
            .check()
            .map_err(|error| command.error(ErrorKind::ValueValidation, ErrorChain(&error))),
        _ => unreachable!("the line names the sidecar"),
    }
}

/// `--root-hash=HEX --device-path=PATH --mount-path=PATH`, as Privatemode's older container is called:
/// a sidecar for a disk with a partition for the data and one for its hash tree.
#[derive(Debug, Parser)]
#[command(name = "disk-mounter", version, max_term_width = 100)]
pub struct DevicePathArguments {
    /// The format of the log messages
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub log_format: LogFormat,
    /// A block device or an image file, with a GPT
    #[arg(long, value_name = "PATH", conflicts_with = "hash_device")]
    device_path: PathBuf,
    /// The directory to mount on; it is made if it is missing
    #[arg(long, value_name = "PATH")]
    mount_path: PathBuf,
    #[command(flatten)]
    options: MountOptions,
    #[command(flatten)]
    sidecar: SidecarOptions,
}

impl DevicePathArguments {
    /// Takes a command line [of this form](is_device_path_form). The disk holds an ext4 if
    /// nothing else is said.
    pub fn parse_words(words: &[OsString]) -> Result<Self, clap::Error> {
        let command = Self::command();
        let command = command
            .mut_arg("fs_type", |option| option.default_value("ext4"))
            // The tree is on the same device, always.
            .mut_arg("hash_device", |option| option.hide(true));
        Self::from_arg_matches(&command.try_get_matches_from(words)?)
    }

    /// Checks the options against each other.
    pub fn check(self) -> Result<MountRequest, MounterUsageError> {
        let partitions = Some(self.options.disk.partitions().unwrap_or_default());
        let (device, mount_point) = (self.device_path, self.mount_path);
        let request = self.options.check(device, mount_point, partitions)?;
        Ok(self.sidecar.add_to(request))
    }
}

/// Whether a command line is of the form of [`DevicePathArguments`]: it begins with options, some of
/// which no command line with a command has in that place.
pub fn is_device_path_form(words: &[OsString]) -> bool {
    const OWN: [&str; 3] = ["--root-hash", "--device-path", "--mount-path"];
    let mut words = words.iter().skip(1).map(|word| word.to_string_lossy());
    while let Some(word) = words.next() {
        match word.as_ref() {
            "--log-format" => drop(words.next()),
            option if option.starts_with("--log-format=") => {}
            option => {
                let is = |word: &str, name: &str| {
                    let value = word.strip_prefix(name);
                    value.is_some_and(|value| value.is_empty() || value.starts_with('='))
                };
                let own = |word: &str| OWN.iter().any(|name| is(word, name));
                return own(option) || option.starts_with("--") && words.any(|word| own(&word));
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    use model_disk::{PartitionChoice, filesystem::FsType};

    #[test]
    fn as_privatemodes_container_is_called() {
        let root_hash = "cd".repeat(32);
        let parse = |words: &[&str]| {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            match drop_in(&words) {
                Ok(MountForm::Kernel(request)) => Ok(request),
                Ok(other) => panic!("{other:?}"),
                Err(error) => Err(ErrorChain(&error).to_string()),
            }
        };
        let request = parse(&["llama-3", "0", &root_hash]).unwrap();
        assert_eq!(request.device, PathBuf::from("/dev/modelweights-llama-3-0"));
        assert_eq!(
            request.mount_point,
            PathBuf::from("/mnt/modelweights-llama-3-0")
        );
        assert_eq!(request.root_hash.to_string(), root_hash);
        for (words, reason) in [
            (&["mnt"][..], "no command"),
            (&["a", "0", &root_hash, "more"], "no command"),
            (&["../a", "0", &root_hash], "file name"),
            (&["a", "", &root_hash], "file name"),
            (&["a", "0", "12"], "64 hex digits"),
        ] {
            let error = parse(words).unwrap_err();
            assert!(error.contains(reason), "{words:?}: {error}");
        }
    }

    fn by_options(line: &str) -> Result<MountRequest, String> {
        let words: Vec<_> = line.split(' ').map(OsString::from).collect();
        assert!(is_device_path_form(&words), "{line}");
        let arguments = DevicePathArguments::parse_words(&words);
        let arguments = arguments.map_err(|error| error.to_string())?;
        arguments
            .check()
            .map_err(|error| ErrorChain(&error).to_string())
    }

    #[test]
    fn as_privatemodes_older_container_is_called() {
        DevicePathArguments::command().debug_assert();
        let root_hash = "cd".repeat(32);
        for line in [
            format!("x --root-hash={root_hash} --device-path=/dev/a --mount-path=/mnt/a"),
            format!("x --mount-path /mnt/a --device-path /dev/a --root-hash {root_hash}"),
            format!("x --wait 9 --device-path=/dev/a --mount-path=/mnt/a --root-hash={root_hash}"),
            format!(
                "x --log-format json --device-path=/dev/a --mount-path=/mnt/a --root-hash={root_hash}"
            ),
        ] {
            let request = by_options(&line).unwrap();
            assert_eq!(request.device, PathBuf::from("/dev/a"));
            assert_eq!(request.mount_point, PathBuf::from("/mnt/a"));
            assert_eq!(request.root_hash.to_string(), root_hash);
            assert_eq!(request.fs_type, FsType::Ext4);
            assert_eq!(request.partitions, Some(PartitionChoice::default()));
        }
        let line = format!("x --root-hash={root_hash} --device-path=/dev/a --mount-path=/mnt/a");
        let more = "--fs-type erofs --data-partition 3 --leave-mounted --data-blocks 7";
        let request = by_options(&format!("{line} {more}")).unwrap();
        assert_eq!(request.fs_type, FsType::Erofs);
        assert_eq!(request.partitions.unwrap().data, Some(3));
        assert!(request.leave_mounted);
        for (line, reason) in [
            (
                &*format!("x --root-hash={root_hash} --device-path=/dev/a"),
                "--mount-path",
            ),
            ("x --device-path=/dev/a --mount-path=/mnt/a", "--root-hash"),
            (&format!("{line} /mnt/b"), "unexpected"),
            (
                &format!("{line} --hash-device /dev/b"),
                "cannot be used with",
            ),
        ] {
            let error = by_options(line).unwrap_err();
            assert!(error.contains(reason), "{line}: {error}");
        }
    }

    #[test]
    fn a_line_with_a_command_is_no_other_form() {
        for line in [
            "x",
            "x --help",
            "x --log-format json",
            "x mount --root-hash 12 /dev/a /mnt/a",
            "x --log-format json sidecar --root-hash=12 /dev/a /mnt/a",
            "x llama 0 12",
            "x expect /mnt/a --root-hash 12 -- tool --device-path=/dev/a",
        ] {
            let words: Vec<_> = line.split(' ').map(OsString::from).collect();
            assert!(!is_device_path_form(&words), "{line}");
        }
        // They are no other names of the arguments.
        for line in [
            "x mount --root-hash 12 --device-path /dev/a --mount-path /mnt/a",
            "x sidecar --root-hash 12 --device-path /dev/a --mount-path /mnt/a",
        ] {
            let error = MounterArguments::try_parse_from(line.split(' ')).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnknownArgument);
        }
    }
}
