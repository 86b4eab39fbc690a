//! What is compared with what, and the goals.

mod fec;
mod fec_kernels;
mod filesystems;
mod fuse;
mod hash;
mod hub;
mod in_cache;
mod kernels;
mod model;
mod reading;
mod repair;
mod scaling;
mod small_files;
mod sparse;
mod verify;

use std::{
    fs::File,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::{
    cache::{self, CachedFile, Caches},
    child::{self, PrintedTo},
    cli::{BenchRunArguments, Comparison, Settings},
    data::{self, Data},
    experiment::Contestant,
    filesystem::{self, Scratch},
    machine::{self, MachineReport},
    report::{Report, Section},
};

const BLOCK: u64 = 4096;

/// The peers, and the Debian packages that they are in. (fsck.erofs comes with mkfs.erofs.)
const PEERS: [(&str, &str); 5] = [
    ("veritysetup", "cryptsetup-bin"),
    ("mkfs.erofs", "erofs-utils"),
    ("cp", "coreutils"),
    ("curl", "curl"),
    ("openssl", "openssl"),
];

/// Makes the data and runs all comparisons.
pub(crate) fn run(arguments: &BenchRunArguments) -> Result<Report> {
    for (program, package) in PEERS {
        if Command::new(program).arg("--version").output().is_err() {
            bail!("{program} is missing; on Debian: apt-get install {package}");
        }
    }
    let bench = Bench::new(arguments)?;
    let machine = MachineReport::look(bench.data.directory(), &PEERS.map(|(program, _)| program))?;
    let sections = bench.settings.comparisons.iter().map(|comparison| {
        let section = match comparison {
            Comparison::Kernels => kernels::section(&bench),
            Comparison::FecKernels => fec_kernels::section(&bench),
            Comparison::Hash => hash::section(&bench, Caches::Warm),
            Comparison::Cold => hash::section(&bench, Caches::Cold),
            Comparison::Fec => fec::section(&bench),
            Comparison::Verify => verify::section(&bench),
            Comparison::Repair => repair::section(&bench),
            Comparison::RootHash => model::root_hash(&bench),
            Comparison::Build => model::build(&bench),
            Comparison::Reflink => filesystems::reflink(&bench),
            Comparison::Filesystems => filesystems::hash(&bench),
            Comparison::SmallFiles => small_files::section(&bench),
            Comparison::Hub => hub::section(&bench),
            Comparison::Sparse => sparse::section(&bench),
            Comparison::Reading => reading::section(&bench),
            Comparison::Fuse => fuse::section(&bench),
            Comparison::Scaling => scaling::section(&bench),
        };
        section.with_context(|| format!("{comparison:?}"))
    });
    Ok(Report {
        sections: sections.collect::<Result<_>>()?,
        machine,
    })
}

/// What all comparisons share.
struct Bench {
    settings: Settings,
    data: Data,
    /// Where the programs put what they make. It is empty between runs.
    outputs: PathBuf,
    builder: PathBuf,
    mounter: PathBuf,
    /// Whether filesystems can be made.
    namespace: nix::Result<()>,
}

impl Bench {
    fn new(arguments: &BenchRunArguments) -> Result<Self> {
        let builder = program("builder", arguments.builder.as_deref())?;
        let mounter = program("mounter", arguments.mounter.as_deref())?;
        let settings = Settings::new(arguments);
        // Before anything is made in it, and before there are threads.
        let namespace = filesystem::enter_namespace();
        let data = Data::new(&arguments.dir, arguments.keep)?;
        let outputs = data.outputs()?;
        let bench = Self {
            settings,
            data,
            outputs,
            builder,
            mounter,
            namespace,
        };
        bench.check_room()?;
        Ok(bench)
    }

    /// The same on another filesystem, with data of so many bytes.
    fn on(&self, scratch: &Scratch, size: u64) -> Result<Self> {
        let data = Data::new(scratch.path(), false)?;
        Ok(Self {
            settings: Settings {
                comparisons: Vec::new(),
                size,
                rounds: self.settings.rounds,
            },
            outputs: data.outputs()?,
            data,
            builder: self.builder.clone(),
            mounter: self.mounter.clone(),
            namespace: self.namespace,
        })
    }

    fn check_room(&self) -> Result<()> {
        let size = self.settings.size;
        let mut needed = self.image_bytes() + size / 10;
        let of_models = [
            Comparison::RootHash,
            Comparison::Build,
            Comparison::Reading,
            Comparison::Fuse,
        ];
        if of_models.into_iter().any(|it| self.settings.has(it)) {
            needed += size / 10 * 22;
        }
        if self.settings.has(Comparison::Reading) {
            needed += reading::room(size);
        }
        if self.settings.has(Comparison::Reflink) || self.settings.has(Comparison::Filesystems) {
            needed += 3 * size.min(1 << 30);
        }
        if self.settings.has(Comparison::Scaling) {
            needed += scaling::sparse_room(size);
        }
        let files = cache::files(self.data.directory())?;
        let there = files
            .iter()
            .map(|file| Ok(file.metadata()?.blocks() * 512))
            .sum::<Result<u64>>()?;
        self.data.check_room(needed.saturating_sub(there))
    }

    /// How long the longest image is that any comparison takes a part of.
    fn image_bytes(&self) -> u64 {
        if self.settings.has(Comparison::Scaling) {
            scaling::sizes(self.settings.size)[2]
        } else {
            self.settings.size
        }
    }

    /// The first bytes of an image without holes.
    fn image(&self, length: u64) -> Result<CachedFile> {
        let path = self.data.image(self.image_bytes())?;
        Ok(CachedFile { path, length })
    }

    fn output(&self, name: &str) -> PathBuf {
        self.outputs.join(name)
    }

    fn builder(&self, command: &str) -> Command {
        let mut builder = Command::new(&self.builder);
        builder.arg(command);
        builder
    }

    fn mounter(&self, command: &str) -> Command {
        let mut mounter = Command::new(&self.mounter);
        mounter.arg(command);
        mounter
    }

    /// A contestant that reads `inputs` and leaves files in the outputs. After each run
    /// `check` gets what was printed; then the outputs are removed.
    fn contestant<'a>(
        &'a self,
        name: impl Into<String>,
        (inputs, caches): (&'a [CachedFile], Caches),
        commands: Vec<Command>,
        check: impl Fn(&str) -> Result<()> + 'a,
    ) -> Result<Contestant<'a>> {
        let bytes = inputs
            .iter()
            .map(CachedFile::data_bytes)
            .sum::<Result<u64>>()?;
        Ok(Contestant {
            name: name.into(),
            bytes,
            memory_limit: None,
            seconds_limit: None,
            commands,
            printed_to: PrintedTo::File,
            then_sync: Vec::new(),
            prepare: Box::new(move || {
                cache::flush(&self.outputs)?;
                inputs.iter().try_for_each(|input| input.prepare(caches))
            }),
            finish: Box::new(move |printed| {
                check(printed)?;
                self.clean()
            }),
        })
    }

    fn clean(&self) -> Result<()> {
        for entry in self.outputs.read_dir()? {
            data::remove(&entry?.path())?;
        }
        Ok(())
    }

    /// Makes sure that data of this size can stay in the page cache.
    fn check_memory(&self, bytes: u64) -> Result<()> {
        if !fits(bytes)? {
            bail!(
                "{} MiB of data do not stay in this machine's memory: choose a smaller --size",
                bytes >> 20
            );
        }
        Ok(())
    }
}

/// One of this project's programs, `disk-` before its name.
fn program(name: &str, named: Option<&Path>) -> Result<PathBuf> {
    let path = match named {
        Some(path) => path.to_owned(),
        None => std::env::current_exe()?.with_file_name(format!("disk-{name}")),
    };
    path.canonicalize().with_context(|| {
        format!(
            "there is no {}: `make build` makes it, or name it with --{name}",
            path.display()
        )
    })
}

/// Whether data of this size stays in the page cache, with a tenth to spare.
fn fits(bytes: u64) -> Result<bool> {
    Ok(bytes + bytes / 10 <= machine::available_memory()?)
}

/// The goal for the memory of disk-builder.
fn memory_limit(image_bytes: u64) -> u64 {
    (64 << 20) + image_bytes / 16_384
}

/// Notes which runs did not find their data where they should have.
fn note_caches(section: &mut Section, caches: Caches) {
    for runs in &section.runs {
        let from_disk = runs.disk_read();
        let bytes = runs.bytes as f64;
        let unlike = match caches {
            // Beside data there may be a program or a block of the filesystem to read.
            Caches::Warm => from_disk > bytes / 100.0 + f64::from(4 << 20),
            Caches::Cold => from_disk < bytes * 0.9,
        };
        if unlike {
            section.notes.push(format!(
                "{} was to run {}, but read {:.0} % of its data from the disk. Its figures are not \
                 what they are called.",
                runs.name,
                caches.name(),
                from_disk / bytes * 100.0
            ));
        }
    }
}

/// The root hash in what disk-builder or veritysetup printed.
fn root_hash(printed: &str) -> Result<&str> {
    let line = printed
        .lines()
        .find_map(|line| line.strip_prefix("Root hash:"));
    line.map(str::trim)
        .with_context(|| format!("there is no root hash in what was printed: {printed}"))
}

/// What a hash area holds after its superblock, in which the UUID may be any.
fn tree_digest(path: &Path) -> Result<String> {
    file_digest(path, BLOCK as usize)
}

/// What a file holds after so many bytes.
fn file_digest(path: &Path, mut skip: usize) -> Result<String> {
    let mut file = File::open(path).with_context(|| path.display().to_string())?;
    let mut buffer = vec![0; 1 << 20];
    let mut hasher = Sha256::new();
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(hasher.finalize())),
            length => {
                hasher.update(&buffer[skip.min(length)..length]);
                skip -= skip.min(length);
            }
        }
    }
}

/// RunTimes a program whose time does not matter.
fn call(command: &mut Command) -> Result<String> {
    Ok(child::run(command)?.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::runs;

    #[test]
    fn root_hashes_are_found() {
        assert_eq!(
            root_hash("UUID: x\nRoot hash:      \tabc\n").unwrap(),
            "abc"
        );
        assert!(root_hash("abc").is_err());
    }

    #[test]
    fn the_superblock_does_not_count() {
        let directory = tempfile::tempdir().unwrap();
        let digest = |bytes: &[u8]| {
            let path = directory.path().join("tree");
            std::fs::write(&path, bytes).unwrap();
            tree_digest(&path).unwrap()
        };
        let (mut first, mut second) = ([1; 8192], [1; 8192]);
        second[4095] = 2;
        assert_eq!(digest(&first), digest(&second));
        first[4096] = 2;
        assert_ne!(digest(&first), digest(&second));
    }

    #[test]
    fn runs_are_noted_that_read_from_elsewhere() {
        let with = |caches, disk_read| {
            let mut runs = runs("a", 1 << 30, &[1.0]);
            runs.samples[0].disk_read = disk_read;
            let mut section = Section::new("", "", vec![runs]);
            note_caches(&mut section, caches);
            section.notes.len()
        };
        assert_eq!(with(Caches::Warm, 0), 0);
        assert_eq!(with(Caches::Warm, 1 << 29), 1);
        assert_eq!(with(Caches::Cold, 1 << 30), 0);
        assert_eq!(with(Caches::Cold, 1 << 29), 1);
    }
}
