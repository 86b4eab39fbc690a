//! `hash` on filesystems other than that of the data, and `build` where blocks can be shared.

use anyhow::Result;
use nix::sys::statvfs::statvfs;

use super::{Bench, hash, model::ModelContest};
use crate::{
    cache::{self, Caches},
    experiment::{self, Agreement},
    filesystem::{FilesystemKind, Scratch},
    report::{Measure, Section},
};

const ABOUT_HASH: &str = "As \"Hash an image, warm\", of at most 1 GiB, with image and tree on a \
    filesystem that was made for it: tmpfs, XFS and btrfs on loop devices, and FUSE (`bindfs`) in \
    the place of a network's.";

const ABOUT_REFLINK: &str = "From a model directory of at most 1 GiB to a disk image on the same \
    filesystem, model in the page cache. `build` shares the model's blocks; the copy shares none, \
    and is written to the disk too.";

/// So much fits into memory with what it is made of, on any machine that measures anything.
const MOST: u64 = 1 << 30;

/// What a disk may take beside the blocks of its model, in parts of it.
const EXTRA_SPACE: f64 = 0.015;

/// `hash` against `veritysetup format` on each filesystem that can be made here.
pub(super) fn hash(bench: &Bench) -> Result<Section> {
    let size = bench.settings.size.min(MOST);
    let mut section = Section::new(
        "Hash an image on other filesystems, warm",
        ABOUT_HASH,
        vec![],
    );
    for kind in [
        FilesystemKind::Tmpfs,
        FilesystemKind::Xfs,
        FilesystemKind::Btrfs,
        FilesystemKind::Fuse,
    ] {
        let Some(scratch) = scratch(bench, kind, &mut section) else {
            continue;
        };
        let there = bench.on(&scratch, size)?;
        let image = [there.image(size)?];
        let (input, agreed) = ((&image, Caches::Warm), Agreement::default());
        let mut contestants = vec![
            hash::disk_builder(&there, input, Some(2), &agreed)?,
            hash::disk_builder(&there, input, Some(1), &agreed)?,
            hash::veritysetup(&there, input, &agreed)?,
        ];
        for contestant in &mut contestants {
            contestant.name += &format!(", {}", kind.name());
        }
        let first = section.runs.len();
        let runs = experiment::run(contestants, bench.settings.rounds)?;
        section.runs.extend(runs);
        section = section
            .compare(first, first + 2, Measure::Faster(Some(5.0)))
            .compare(first + 1, first + 2, Measure::Faster(Some(2.5)));
    }
    Ok(section)
}

/// `build` against `cp -r` on the filesystems that share blocks.
pub(super) fn reflink(bench: &Bench) -> Result<Section> {
    let size = bench.settings.size.min(MOST);
    let mut section = Section::new(
        "Build a disk that shares its model's blocks",
        ABOUT_REFLINK,
        vec![],
    );
    for kind in [FilesystemKind::Xfs, FilesystemKind::Btrfs] {
        let Some(scratch) = scratch(bench, kind, &mut section) else {
            continue;
        };
        let there = bench.on(&scratch, size)?;
        let model = ModelContest::new(&there)?;
        let before = used(&there)?;
        let extra = model.built(|| Ok(used(&there)?.saturating_sub(before)))?;
        let share = extra as f64 / size as f64;
        section.notes.push(format!(
            "On {} the disk takes {:.2} % of the model's space beside the model; the goal is ≤ {} %.",
            kind.name(),
            share * 100.0,
            EXTRA_SPACE * 100.0
        ));
        let mut contestants = vec![model.build()?, model.copy_synced()?];
        for contestant in &mut contestants {
            contestant.name += &format!(", {}", kind.name());
        }
        let first = section.runs.len();
        let runs = experiment::run(contestants, bench.settings.rounds)?;
        section.runs.extend(runs);
        section = section.compare(first, first + 2, Measure::Faster(Some(3.0)));
    }
    Ok(section)
}

/// A filesystem, or a note that says why there is none.
fn scratch(bench: &Bench, kind: FilesystemKind, section: &mut Section) -> Option<Scratch> {
    let room = bench.settings.size.min(MOST) * 3;
    let made = match bench.namespace {
        Ok(()) => Scratch::new(kind, bench.data.directory(), room),
        Err(errno) => Err(anyhow::Error::new(errno).context("no mount namespace")),
    };
    made.inspect_err(|error| {
        let name = kind.name();
        section
            .notes
            .push(format!("{name} was not measured: {error:#}."));
    })
    .ok()
}

/// How many bytes are used on a filesystem, when all is on its disk.
fn used(bench: &Bench) -> Result<u64> {
    cache::flush(bench.data.directory())?;
    let space = statvfs(bench.data.directory())?;
    Ok((space.blocks() - space.blocks_free()) * space.fragment_size())
}
