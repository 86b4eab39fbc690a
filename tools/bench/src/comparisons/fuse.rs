//! A disk that is mounted by FUSE, read in order, against `disk-mounter cat` of the same file.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, ensure};

use super::{Bench, call, model::ModelContest, note_caches, reading::DiskToRead};
use crate::{
    cache::{CachedFile, Caches},
    child::PrintedTo,
    experiment::{self, Contestant},
    report::{Measure, Section},
};

const ABOUT: &str = "One file of a disk that is in the page cache, read in order by two threads of \
    `disk-mounter`, each block of it verified. A file of a mount goes by way of the page cache of \
    the mount into the memory of who reads it, and the mount is new in each run, so that nothing is in that cache. \
    `disk-mounter cat` is listed with its output going to another `cat`, whose memory it comes to in the same way, \
    and going to /dev/null, where nobody takes it.";

/// What is read.
const FILE: &str = "model-00001-of-00004.safetensors";

pub(super) fn section(bench: &Bench) -> Result<Section> {
    let model = ModelContest::new(bench)?;
    let disk = DiskToRead::new(bench, model.path(), "disk-for-fuse")?;
    // It is there twice at times.
    bench.check_memory(bench.settings.size * 2)?;
    let contest = FuseContest {
        bench,
        input: [CachedFile::whole(&disk.path)?],
        bytes: model.path().join(FILE).metadata()?.len(),
        mount_point: bench.data.directory().join("mounted-by-fuse"),
        disk,
    };
    fs::create_dir_all(&contest.mount_point)?;
    let can_mount = contest.mount().and_then(|()| contest.unmount());
    let mut contestants = vec![contest.piped()?, contest.printed()?];
    if can_mount.is_ok() {
        contest.check(model.path())?;
        contestants.push(contest.mounted()?);
    }
    let runs = experiment::run(contestants, bench.settings.rounds)?;
    fs::remove_dir(&contest.mount_point)?;
    let mut section = Section::new("Read a disk that is mounted by FUSE", ABOUT, runs);
    section = match can_mount {
        // 70 % of the rate.
        Ok(()) => {
            section
                .compare(2, 0, Measure::Cost(Some(1.43)))
                .compare(2, 1, Measure::Cost(None))
        }
        Err(error) => {
            let note = format!("A mount by FUSE was not measured: {error:#}.");
            section.notes.push(note);
            section
        }
    };
    note_caches(&mut section, Caches::Warm);
    Ok(section)
}

struct FuseContest<'a> {
    bench: &'a Bench,
    disk: DiskToRead,
    /// The disk.
    input: [CachedFile; 1],
    /// Of the file that is read.
    bytes: u64,
    mount_point: PathBuf,
}

impl FuseContest<'_> {
    /// What is mounted is the model.
    fn check(&self, model: &Path) -> Result<()> {
        self.mount()?;
        let same = call(
            Command::new("diff")
                .arg("-r")
                .args([model, &self.mount_point]),
        );
        self.unmount()?;
        same.map(drop)
    }

    fn mount(&self) -> Result<()> {
        let mut mount = self.disk.mounter(self.bench, "mount");
        call(
            mount
                .arg(&self.mount_point)
                .args(["--fuse", "--threads", "2"]),
        )?;
        Ok(())
    }

    /// Nothing was found to be wrong while it was mounted.
    fn unmount(&self) -> Result<()> {
        let status = call(self.bench.mounter("status").arg(&self.mount_point))?;
        ensure!(status.contains("verified"), "{status}");
        call(self.bench.mounter("unmount").arg(&self.mount_point))?;
        Ok(())
    }

    fn contestant<'c>(&'c self, name: &str, command: Command) -> Result<Contestant<'c>> {
        let warm = (self.input.as_slice(), Caches::Warm);
        let contestant = self
            .bench
            .contestant(name, warm, vec![command], |_| Ok(()))?;
        Ok(Contestant {
            bytes: self.bytes,
            printed_to: PrintedTo::Null,
            ..contestant
        })
    }

    fn mounted(&self) -> Result<Contestant<'_>> {
        let mut cat = Command::new("cat");
        cat.arg(self.mount_point.join(FILE));
        let contestant = self.contestant("cat of a mount by FUSE", cat)?;
        let Contestant {
            prepare, finish, ..
        } = contestant;
        Ok(Contestant {
            prepare: Box::new(move || {
                prepare()?;
                self.mount()
            }),
            finish: Box::new(move |printed| {
                self.unmount()?;
                finish(printed)
            }),
            ..contestant
        })
    }

    fn cat(&self) -> Command {
        let mut cat = self.disk.mounter(self.bench, "cat");
        cat.args([FILE, "--threads", "2"]);
        cat
    }

    fn piped(&self) -> Result<Contestant<'_>> {
        let cat = self.cat();
        let mut shell = Command::new("sh");
        shell.args(["-c", r#""$@" | cat"#, "sh"]);
        shell.arg(cat.get_program()).args(cat.get_args());
        self.contestant("disk-mounter cat, into a pipe", shell)
    }

    fn printed(&self) -> Result<Contestant<'_>> {
        self.contestant("disk-mounter cat, to /dev/null", self.cat())
    }
}
