//! Reading a disk without a kernel that verifies: `disk-mounter extract` and `cat`.

use std::{
    cell::Cell,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use nix::mount::{MntFlags, umount2};
use verified_disk::CACHE_BYTES;

use super::{Bench, call, model::ModelContest, note_caches, root_hash};
use crate::{
    cache::{CachedFile, Caches},
    child::PrintedTo,
    data,
    experiment::{self, Contestant},
    report::{Measure, RunTimes, Section},
};

const ABOUT: &str = "A disk of a model in the page cache, without a kernel that verifies. `extract` \
    verifies it while it writes its files, to the disk before it ends; `cp -r` copies the model's \
    directory, or, after `veritysetup verify`, the mounted disk, and is listed twice, without and \
    with the time to write the copy to the disk. `cat` prints one file of the disk to /dev/null, \
    and is compared with `verify` of all of it. One byte is printed, the first \
    and the last, of a file that is all holes but for a thousandth, and as large as 25 such models; \
    nothing of its disk is in the page cache.";

/// What `disk-mounter` may take of memory: the cache of verified blocks, and 64 MiB.
const MEMORY_LIMIT: u64 = (64 << 20) + CACHE_BYTES as u64;

/// The goal for a byte of a large disk.
const SECONDS_TO_A_BYTE: f64 = 0.02;

/// How much larger than the model the disk is of which a byte is read: 100 GiB.
const LARGE: u64 = 25;

/// How much room the disks take, beside the model and a copy of it.
pub(super) fn room(size: u64) -> u64 {
    // A disk of it, and the tree and the data of the large one.
    size / 10 * 11 + size * LARGE / 100
}

pub(super) fn section(bench: &Bench) -> Result<Section> {
    let model = ModelContest::new(bench)?;
    let disk = DiskToRead::new(bench, model.path(), "disk-to-read")?;
    // What is written must not push it out of the page cache.
    bench.check_memory(bench.settings.size * 3)?;
    let reading = ReadingContest {
        bench,
        input: [CachedFile::whole(&disk.path)?],
        model,
        disk,
        mount_point: LoopMountPoint::new(bench)?,
    };
    reading.check()?;
    let rounds = bench.settings.rounds;
    let mounted = reading.mounted();
    let mut contestants = reading.copying()?;
    if mounted.is_ok() {
        contestants.push(reading.verify_and_cp()?);
    }
    let mut runs = experiment::run(contestants, rounds)?;
    // What is read through a loop device counts as read from a disk.
    let from_mount = runs.split_off(3);
    let mut section = Section::new("Read a disk without mounting it", ABOUT, runs);
    section
        .runs
        .extend(experiment::run(reading.printing()?, rounds)?);
    section.runs.extend(first_bytes(bench)?);
    note_caches(&mut section, Caches::Warm);
    section = section
        .compare(0, 1, Measure::Cost(Some(1.15)))
        .compare(0, 2, Measure::Cost(Some(1.15)))
        // 85 % of the rate.
        .compare(3, 4, Measure::CostPerByte(Some(1.176)));
    let first = section.runs.len();
    section.runs.extend(from_mount);
    match mounted {
        Ok(()) => {
            section = section
                .compare(0, first, Measure::Faster(Some(3.0)))
                .compare(0, first + 1, Measure::Faster(Some(3.0)));
        }
        Err(error) => section
            .notes
            .push(format!("A mounted disk was not measured: {error:#}.")),
    }
    Ok(section)
}

/// Printing a byte, the first and the last of a file, of a disk that is not in the page cache.
fn first_bytes(bench: &Bench) -> Result<Vec<RunTimes>> {
    let bytes = bench.settings.size * LARGE;
    let model = bench.data.sparse(bytes, (bytes >> 10).max(1 << 20))?;
    let disk = DiskToRead::new(bench, &model, "large-disk-to-read")?;
    let input = [CachedFile::whole(&disk.path)?];
    let contestants = [("first", 0), ("last", bytes - 1)].map(|(which, offset)| {
        let mut command = disk.mounter(bench, "cat");
        command
            .args(["image", "--bytes", "1", "--offset"])
            .arg(offset.to_string());
        let name = format!(
            "disk-mounter cat, cold, {which} byte of {} GiB",
            bytes >> 30
        );
        let cold = (input.as_slice(), Caches::Cold);
        let contestant = bench.contestant(name, cold, vec![command], |_| Ok(()))?;
        Ok(Contestant {
            bytes: 0,
            memory_limit: Some(MEMORY_LIMIT),
            seconds_limit: Some(SECONDS_TO_A_BYTE),
            ..contestant
        })
    });
    let contestants = contestants.into_iter().collect::<Result<_>>()?;
    experiment::run(contestants, bench.settings.rounds)
}

/// A disk that `disk-builder build` made, which is not among the outputs: it goes when it is dropped.
pub(super) struct DiskToRead {
    folder: PathBuf,
    pub(super) path: PathBuf,
    root_hash: String,
    hash_offset: String,
}

impl DiskToRead {
    pub(super) fn new(bench: &Bench, model: &Path, name: &str) -> Result<Self> {
        let folder = bench.data.directory().join(name);
        data::remove(&folder)?;
        fs::create_dir(&folder)?;
        let path = folder.join("disk.img");
        let mut build = bench.builder("build");
        let printed = call(build.arg(model).arg("--output").arg(&path))?;
        let inspected = call(bench.builder("inspect").arg(&path).arg("--json"))?;
        let inspected: serde_json::Value = serde_json::from_str(&inspected)?;
        Ok(Self {
            root_hash: root_hash(&printed)?.to_owned(),
            hash_offset: inspected["hash_offset"].to_string(),
            folder,
            path,
        })
    }

    pub(super) fn mounter(&self, bench: &Bench, command: &str) -> Command {
        let mut mounter = bench.mounter(command);
        mounter
            .arg(&self.path)
            .args(["--root-hash", &self.root_hash]);
        mounter
    }
}

impl Drop for DiskToRead {
    /// What does not go now goes with all of the data.
    fn drop(&mut self) {
        let _ = data::remove(&self.folder);
    }
}

/// Where a disk is mounted for `cp`. That goes when this is dropped.
struct LoopMountPoint {
    path: PathBuf,
    is_used: Cell<bool>,
}

impl LoopMountPoint {
    fn new(bench: &Bench) -> Result<Self> {
        let path = bench.data.directory().join("mounted-disk");
        fs::create_dir_all(&path)?;
        Ok(Self {
            path,
            is_used: Cell::new(false),
        })
    }

    /// The kernel believes the disk: nothing is verified.
    fn mount(&self, disk: &Path) -> Result<()> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "erofs", "-o", "ro,loop"]);
        call(mount.args([disk, &self.path]))?;
        self.is_used.set(true);
        Ok(())
    }

    fn unmount(&self) -> Result<()> {
        umount2(&self.path, MntFlags::empty())?;
        self.is_used.set(false);
        Ok(())
    }
}

impl Drop for LoopMountPoint {
    /// What does not go now goes with the mount namespace.
    fn drop(&mut self) {
        if self.is_used.get() {
            let _ = umount2(&self.path, MntFlags::MNT_DETACH);
        }
        let _ = fs::remove_dir(&self.path);
    }
}

/// A disk, and the programs that read it.
struct ReadingContest<'a> {
    bench: &'a Bench,
    model: ModelContest<'a>,
    disk: DiskToRead,
    /// The disk.
    input: [CachedFile; 1],
    mount_point: LoopMountPoint,
}

impl ReadingContest<'_> {
    /// What comes out is the model.
    fn check(&self) -> Result<()> {
        call(&mut self.extract_command())?;
        let mut diff = Command::new("diff");
        call(diff.arg("-r").args([self.model.path(), &self.model.copy()]))?;
        self.bench.clean()?;
        let printed = self.bench.output("printed");
        let (mut cat, file) = self.cat_command()?;
        let status = cat.stdout(File::create(&printed)?).status()?;
        ensure!(status.success(), "{} failed", cat.get_program().display());
        call(Command::new("cmp").args([&file, &printed]))?;
        self.bench.clean()
    }

    /// Whether the disk can be mounted here.
    fn mounted(&self) -> Result<()> {
        self.bench.namespace.context("no mount namespace")?;
        self.mount_point.mount(&self.disk.path)?;
        self.mount_point.unmount()
    }

    fn extract_command(&self) -> Command {
        let mut command = self.disk.mounter(self.bench, "extract");
        command.arg(self.model.copy()).arg("--quiet");
        command
    }

    /// `cat` of one of the large files, and where the model has that.
    fn cat_command(&self) -> Result<(Command, PathBuf)> {
        let name = "model-00001-of-00004.safetensors";
        let mut command = self.disk.mounter(self.bench, "cat");
        command.args([name, "--threads", "2"]);
        Ok((command, self.model.path().join(name)))
    }

    /// Those that write files.
    fn copying(&self) -> Result<Vec<Contestant<'_>>> {
        Ok(vec![
            self.extract()?,
            Contestant {
                then_sync: vec![self.model.copy()],
                ..self.model.cp()?
            },
        ])
    }

    fn extract(&self) -> Result<Contestant<'_>> {
        let warm = (self.input.as_slice(), Caches::Warm);
        let commands = vec![self.extract_command()];
        let contestant = self
            .bench
            .contestant("disk-mounter extract", warm, commands, |_| {
                self.model.check_bytes(&self.model.copy())
            })?;
        Ok(Contestant {
            memory_limit: Some(MEMORY_LIMIT),
            ..contestant
        })
    }

    fn verify_and_cp(&self) -> Result<Contestant<'_>> {
        let mut verify = Command::new("veritysetup");
        verify
            .arg("verify")
            .args([&self.disk.path, &self.disk.path])
            .arg(&self.disk.root_hash)
            .arg(format!("--hash-offset={}", self.disk.hash_offset));
        let mut cp = Command::new("cp");
        cp.arg("-r")
            .args([&self.mount_point.path, &self.model.copy()]);
        let warm = (self.input.as_slice(), Caches::Warm);
        let name = "veritysetup verify + cp -r of the mounted disk";
        let contestant = self.bench.contestant(name, warm, vec![verify, cp], |_| {
            self.model.check_bytes(&self.model.copy())
        })?;
        let Contestant {
            prepare, finish, ..
        } = contestant;
        Ok(Contestant {
            then_sync: vec![self.model.copy()],
            prepare: Box::new(move || {
                prepare()?;
                self.mount_point.mount(&self.disk.path)
            }),
            finish: Box::new(move |printed| {
                self.mount_point.unmount()?;
                finish(printed)
            }),
            ..contestant
        })
    }

    /// `cat`, and `verify`, which goes through the same blocks and gives nothing.
    fn printing(&self) -> Result<Vec<Contestant<'_>>> {
        let (cat, file) = self.cat_command()?;
        let warm = (self.input.as_slice(), Caches::Warm);
        let name = "disk-mounter cat, 2 threads";
        let contestant = self.bench.contestant(name, warm, vec![cat], |_| Ok(()))?;
        let cat = Contestant {
            bytes: file.metadata()?.len(),
            memory_limit: Some(MEMORY_LIMIT),
            printed_to: PrintedTo::Null,
            ..contestant
        };
        let mut verify = self.bench.builder("verify");
        verify.arg(&self.disk.path).args(["--threads", "2"]);
        verify.args(["--root-hash", &self.disk.root_hash]);
        let name = "disk-builder verify of the disk, 2 threads";
        let verify = self
            .bench
            .contestant(name, warm, vec![verify], |_| Ok(()))?;
        Ok(vec![cat, verify])
    }
}
