//! `disk-mounter mount` against a shell script with `veritysetup` and `mount`, in
//! one boot of one kernel.

use std::{
    fs::{self, File},
    io::Read,
    path::Path,
    process::Command,
};

use anyhow::{Context, Result, bail};
use nix::sys::personality::{self, Persona};
use sha2::{Digest, Sha256};

use crate::{
    cache,
    child::{self, PrintedTo},
    cli::MountArguments,
    experiment::{self, Agreement, Contestant},
    machine::MachineReport,
    report::{Measure, Report, Section},
};

/// The device, the root hash, the hash offset and the mount point are its arguments.
const SCRIPT: &str = r#"set -e
veritysetup open "$1" bench "$1" "$2" "--hash-offset=$3"
mount -t erofs -o ro,nodev,nosuid,noexec /dev/mapper/bench "$4""#;

/// The usual way to have all files in the page cache.
const THEN_CAT: &str = r#"
find "$4" -type f -exec cat {} + >/dev/null"#;

const ABOUT_MOUNT: &str = "From the start of the program to a mounted filesystem. The caches of \
    the whole machine are dropped before each run. The script is run by `sh` and mounts with the \
    same flags.";

/// The same of a disk that is mounted by FUSE; the program's arguments are those of this script.
const FUSE_THEN_CAT: &str = r#"set -e
disk-mounter mount --fuse --root-hash "$2" "$1" "$4"
find "$4" -type f -exec cat {} + >/dev/null"#;

const ABOUT_READ: &str = "From the start of the program until all files are in the page cache, \
    which is checked by reading them once more. The caches are dropped before each run.";

/// RunTimes both comparisons; leaves nothing mounted.
pub(crate) fn run(arguments: &MountArguments) -> Result<Report> {
    load_at_fixed_addresses()?;
    let scratch = tempfile::tempdir()?;
    let disk = BenchDisk {
        arguments,
        mount_point: scratch.path(),
        bytes: disk_bytes(&arguments.device)?,
        files: Agreement::default(),
    };
    let machine = MachineReport::look(scratch.path(), &["veritysetup", "mount"])?;
    Ok(Report {
        sections: vec![disk.mounting()?, disk.reading()?],
        machine,
    })
}

/// For all programs that are started from here on. An emulator translates each page of a program
/// once and finds it again where the addresses are the same; a processor does not care. Without
/// this most of what is measured in a virtual machine without hardware's help is that translation.
fn load_at_fixed_addresses() -> Result<()> {
    let persona = personality::get()? | Persona::ADDR_NO_RANDOMIZE;
    personality::set(persona).context("cannot switch off address space randomization")?;
    Ok(())
}

fn disk_bytes(device: &Path) -> Result<u64> {
    use std::io::{Seek, SeekFrom};
    let size = File::open(device).and_then(|mut file| file.seek(SeekFrom::End(0)));
    size.with_context(|| format!("cannot open {}", device.display()))
}

struct BenchDisk<'a> {
    arguments: &'a MountArguments,
    mount_point: &'a Path,
    bytes: u64,
    /// All must show the same files.
    files: Agreement,
}

impl BenchDisk<'_> {
    fn mounting(&self) -> Result<Section> {
        let contestants = vec![
            self.contestant(
                "disk-mounter mount",
                MountMethod::Mounter,
                self.mounter(&[]),
            ),
            self.contestant(
                "script: veritysetup open, mount",
                MountMethod::Script,
                self.script(""),
            ),
        ];
        let runs = experiment::run(contestants, self.arguments.rounds)?;
        Ok(Section::new("Mount a disk", ABOUT_MOUNT, runs).compare(
            0,
            1,
            Measure::Faster(Some(3.0)),
        ))
    }

    fn reading(&self) -> Result<Section> {
        let mut ours = self.contestant(
            "disk-mounter mount --prefetch",
            MountMethod::Mounter,
            self.mounter(&["--prefetch"]),
        );
        let mut other = self.contestant(
            "script: veritysetup open, mount, cat of all files",
            MountMethod::Script,
            self.script(THEN_CAT),
        );
        let mut fuse = self.contestant(
            "disk-mounter mount --fuse, cat of all files",
            MountMethod::Mounter,
            self.shell(FUSE_THEN_CAT),
        );
        for (contestant, way) in [
            (&mut ours, MountMethod::Mounter),
            (&mut other, MountMethod::Script),
            (&mut fuse, MountMethod::Mounter),
        ] {
            contestant.bytes = self.bytes;
            contestant.finish = Box::new(move |_| {
                self.check_cached()?;
                self.check_and_unmount(way)
            });
        }
        let runs = experiment::run(vec![ours, other, fuse], self.arguments.read_rounds)?;
        Ok(
            Section::new("All files in the page cache", ABOUT_READ, runs)
                .compare(0, 1, Measure::Faster(None))
                .compare(2, 1, Measure::Cost(None)),
        )
    }

    fn contestant(&self, name: &str, way: MountMethod, command: Command) -> Contestant<'_> {
        Contestant {
            name: name.into(),
            bytes: 0,
            memory_limit: None,
            seconds_limit: None,
            commands: vec![command],
            printed_to: PrintedTo::File,
            then_sync: Vec::new(),
            prepare: Box::new(|| {
                nix::unistd::sync();
                fs::write("/proc/sys/vm/drop_caches", "3").context("cannot drop caches")
            }),
            finish: Box::new(move |_| self.check_and_unmount(way)),
        }
    }

    fn mounter(&self, options: &[&str]) -> Command {
        let mut command = Command::new("disk-mounter");
        command
            .args(["mount", "--root-hash"])
            .arg(self.arguments.root_hash.to_string())
            .args(options)
            .args([&self.arguments.device, self.mount_point]);
        command
    }

    fn script(&self, more: &str) -> Command {
        self.shell(&format!("{SCRIPT}{more}"))
    }

    fn shell(&self, script: &str) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", script, "sh"])
            .arg(&self.arguments.device)
            .arg(self.arguments.root_hash.to_string())
            .arg(self.arguments.hash_offset.to_string())
            .arg(self.mount_point);
        command
    }

    fn check_and_unmount(&self, way: MountMethod) -> Result<()> {
        self.files.check(&self.content()?)?;
        let commands: &[&[&str]] = match way {
            MountMethod::Mounter => &[&["disk-mounter", "status"], &["disk-mounter", "unmount"]],
            MountMethod::Script => &[&["umount"]],
        };
        for command in commands {
            child::run(
                Command::new(command[0])
                    .args(&command[1..])
                    .arg(self.mount_point),
            )?;
        }
        if let MountMethod::Script = way {
            child::run(Command::new("veritysetup").args(["close", "bench"]))?;
        }
        Ok(())
    }

    /// The names, sizes and first blocks of all files, as a digest.
    fn content(&self) -> Result<String> {
        let files = cache::files(self.mount_point)?;
        if files.is_empty() {
            bail!("there are no files on the disk, or it is not mounted");
        }
        let mut hasher = Sha256::new();
        for path in files {
            let mut file = File::open(&path)?;
            let size = file.metadata()?.len();
            hasher.update(format!("{} {size}\n", path.display()));
            let mut first = Vec::new();
            file.by_ref().take(4096).read_to_end(&mut first)?;
            hasher.update(first);
        }
        Ok(hex::encode(hasher.finalize()))
    }

    /// Reading all files does not go to the disk any more.
    fn check_cached(&self) -> Result<()> {
        let before = child::read_by_this_process()?;
        let mut buffer = vec![0; 1 << 20];
        for path in cache::files(self.mount_point)? {
            let mut file = File::open(path)?;
            while file.read(&mut buffer)? > 0 {}
        }
        let read = child::read_by_this_process()? - before;
        if read > self.bytes / 100 {
            bail!(
                "{} MiB of {} were not in the page cache",
                read >> 20,
                self.bytes >> 20
            );
        }
        Ok(())
    }
}

/// How it was mounted.
#[derive(Clone, Copy)]
enum MountMethod {
    Mounter,
    Script,
}
