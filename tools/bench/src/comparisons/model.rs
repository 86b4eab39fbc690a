//! `disk-builder root-hash` and `build` against `mkfs.erofs` with `veritysetup
//! format`, and against `cp -r`.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, bail};

use super::{Bench, call, memory_limit, note_caches, root_hash as root_hash_in};
use crate::{
    cache::{self, CachedFile, Caches},
    experiment::{self, Agreement, Contestant},
    report::{Measure, Section},
};

const ABOUT_ROOT_HASH: &str = "The root hash of a model directory in the page cache. \
    `disk-builder root-hash` writes nothing; the others must make an image for it, and are not \
    made to wait for the disk.";

const ABOUT_BUILD: &str = "From a model directory in the page cache to a disk image with its \
    tree. Only `disk-builder build` writes its image to the disk before it ends; so the others \
    are listed twice, without and with the time to do that for what they wrote. With parity the image \
    has that of 2 roots too.";

/// `root-hash` against what it takes to get one from others.
pub(super) fn root_hash(bench: &Bench) -> Result<Section> {
    let model = ModelContest::new(bench)?;
    let contestants = vec![model.root_hash()?, model.mkfs_and_format()?];
    let runs = experiment::run(contestants, bench.settings.rounds)?;
    let mut section = Section::new("Root hash of a model", ABOUT_ROOT_HASH, runs).compare(
        0,
        1,
        Measure::Faster(Some(10.0)),
    );
    note_caches(&mut section, Caches::Warm);
    Ok(section)
}

/// `build` against others that write as much.
pub(super) fn build(bench: &Bench) -> Result<Section> {
    let model = ModelContest::new(bench)?;
    model.check_build()?;
    let (image, tree, copy) = (model.peers_image(), model.peers_tree(), model.copy());
    let contestants = vec![
        model.build()?,
        Contestant {
            then_sync: vec![image, tree],
            ..model.mkfs_and_format()?
        },
        Contestant {
            then_sync: vec![copy],
            ..model.cp()?
        },
        model.build_with_parity()?,
    ];
    let runs = experiment::run(contestants, bench.settings.rounds)?;
    let mut section = Section::new("Build a disk from a model", ABOUT_BUILD, runs)
        .compare(0, 1, Measure::Faster(Some(2.5)))
        .compare(0, 2, Measure::Faster(Some(2.5)))
        .compare(0, 3, Measure::Cost(Some(1.15)))
        .compare(0, 4, Measure::Cost(Some(1.15)))
        .compare(5, 0, Measure::Cost(Some(1.5)));
    note_caches(&mut section, Caches::Warm);
    Ok(section)
}

/// A model directory, and the programs that turn it into something.
pub(super) struct ModelContest<'a> {
    bench: &'a Bench,
    path: PathBuf,
    inputs: Vec<CachedFile>,
    /// On the root hash that disk-builder gives.
    agreed: Agreement,
}

impl<'a> ModelContest<'a> {
    pub(super) fn new(bench: &'a Bench) -> Result<Self> {
        // What it is made into must not push it out of the page cache.
        bench.check_memory(bench.settings.size * 2)?;
        let path = bench.data.model(bench.settings.size)?;
        let inputs = cache::files(&path)?
            .iter()
            .map(|file| CachedFile::whole(file))
            .collect::<Result<_>>()?;
        Ok(Self {
            bench,
            path,
            inputs,
            agreed: Agreement::default(),
        })
    }

    /// The model directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn warm(&self) -> (&[CachedFile], Caches) {
        (&self.inputs, Caches::Warm)
    }

    fn peers_image(&self) -> PathBuf {
        self.bench.output("model.erofs")
    }

    fn peers_tree(&self) -> PathBuf {
        self.bench.output("model.tree")
    }

    pub(super) fn copy(&self) -> PathBuf {
        self.bench.output("copy")
    }

    pub(super) fn build_command(&self, image: &Path) -> Command {
        let mut command = self.bench.builder("build");
        command.arg(&self.path).arg("--output").arg(image);
        command
    }

    fn root_hash_command(&self) -> Command {
        let mut command = self.bench.builder("root-hash");
        command.arg(&self.path);
        command
    }

    fn root_hash(&self) -> Result<Contestant<'_>> {
        let commands = vec![self.root_hash_command()];
        let check = |printed: &str| self.agreed.check(printed.trim());
        self.ours("disk-builder root-hash", commands, check)
    }

    pub(super) fn build(&self) -> Result<Contestant<'_>> {
        let commands = vec![self.build_command(&self.bench.output("model.img"))];
        let check = |printed: &str| self.agreed.check(root_hash_in(printed)?);
        self.ours("disk-builder build", commands, check)
    }

    fn build_with_parity(&self) -> Result<Contestant<'_>> {
        let mut command = self.build_command(&self.bench.output("model.img"));
        command.arg("--fec");
        let check = |printed: &str| self.agreed.check(root_hash_in(printed)?);
        self.ours("disk-builder build, parity", vec![command], check)
    }

    fn ours<'s>(
        &'s self,
        name: &str,
        commands: Vec<Command>,
        check: impl Fn(&str) -> Result<()> + 's,
    ) -> Result<Contestant<'s>> {
        let contestant = self.bench.contestant(name, self.warm(), commands, check)?;
        Ok(Contestant {
            memory_limit: Some(memory_limit(contestant.bytes)),
            ..contestant
        })
    }

    fn mkfs_and_format(&self) -> Result<Contestant<'_>> {
        let mut mkfs = Command::new("mkfs.erofs");
        mkfs.args(["--quiet", "-T0", "--all-root"])
            .args([&self.peers_image(), &self.path]);
        let mut format = Command::new("veritysetup");
        format
            .arg("format")
            .arg(self.peers_image())
            .arg(self.peers_tree());
        let name = "mkfs.erofs + veritysetup format";
        self.bench
            .contestant(name, self.warm(), vec![mkfs, format], |printed| {
                root_hash_in(printed)?;
                self.check_bytes(&self.peers_image())
            })
    }

    pub(super) fn cp(&self) -> Result<Contestant<'_>> {
        let mut cp = Command::new("cp");
        cp.arg("-r").arg(&self.path).arg(self.copy());
        self.bench.contestant("cp -r", self.warm(), vec![cp], |_| {
            self.check_bytes(&self.copy())
        })
    }

    /// A copy that shares no blocks, with the time to write it to the disk.
    pub(super) fn copy_synced(&self) -> Result<Contestant<'_>> {
        let mut cp = Command::new("cp");
        cp.args(["-r", "--reflink=never"])
            .args([&self.path, &self.copy()]);
        let contestant =
            self.bench
                .contestant("cp -r --reflink=never", self.warm(), vec![cp], |_| {
                    self.check_bytes(&self.copy())
                })?;
        Ok(Contestant {
            then_sync: vec![self.copy()],
            ..contestant
        })
    }

    /// What `look` finds while a disk of the model is there.
    pub(super) fn built<T>(&self, look: impl FnOnce() -> Result<T>) -> Result<T> {
        call(&mut self.build_command(&self.bench.output("model.img")))?;
        let found = look()?;
        self.bench.clean()?;
        Ok(found)
    }

    /// There are as many bytes as in the model at least.
    pub(super) fn check_bytes(&self, made: &Path) -> Result<()> {
        let files = cache::files(made)?;
        let bytes = files
            .iter()
            .map(|file| Ok(file.metadata()?.len()))
            .sum::<Result<u64>>()?;
        let expected: u64 = self.inputs.iter().map(|input| input.length).sum();
        if bytes < expected {
            bail!("{} has {bytes} bytes and not {expected}", made.display());
        }
        Ok(())
    }

    /// What `build` makes is a disk that others accept, and that `root-hash` foretells.
    fn check_build(&self) -> Result<()> {
        let image = self.bench.output("model.img");
        let printed = call(&mut self.build_command(&image))?;
        let root_hash = root_hash_in(&printed)?;
        self.agreed.check(root_hash)?;
        self.agreed
            .check(call(&mut self.root_hash_command())?.trim())?;
        let inspected = call(self.bench.builder("inspect").arg(&image).arg("--json"))?;
        let inspected: serde_json::Value = serde_json::from_str(&inspected)?;
        call(
            Command::new("veritysetup")
                .arg("verify")
                .arg(&image)
                .arg(&image)
                .arg(root_hash)
                .arg(format!("--hash-offset={}", inspected["hash_offset"])),
        )?;
        call(Command::new("fsck.erofs").arg(&image))?;
        self.bench.clean()
    }
}
