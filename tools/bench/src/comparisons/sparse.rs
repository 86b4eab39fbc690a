//! `hash` of an image that is nine tenths holes: its time follows the data.

use anyhow::Result;

use super::{Bench, hash, note_caches};
use crate::{
    cache::{CachedFile, Caches},
    experiment::{self, Agreement},
    report::{Measure, Section},
};

const ABOUT: &str = "A hash tree over an image of which nine tenths are holes, against one of the \
    same length without holes. The same work on the data would make it 10 × faster; the tree that \
    is written is as long for both.";

pub(super) fn section(bench: &Bench) -> Result<Section> {
    let size = bench.settings.size;
    bench.check_memory(size)?;
    let sparse = bench
        .data
        .sparse(size, (size / 10).max(1 << 20))?
        .join("image");
    let sparse = [CachedFile::whole(&sparse)?];
    let dense = [bench.image(size)?];
    let warm = Caches::Warm;
    let (of_sparse, of_dense) = (Agreement::default(), Agreement::default());
    let mut contestants = vec![
        hash::disk_builder(bench, (&sparse, warm), Some(2), &of_sparse)?,
        hash::veritysetup(bench, (&sparse, warm), &of_sparse)?,
        hash::disk_builder(bench, (&dense, warm), Some(2), &of_dense)?,
    ];
    contestants[0].name += ", sparse";
    contestants[1].name += ", sparse";
    contestants[2].name += ", no holes";
    let runs = experiment::run(contestants, bench.settings.rounds)?;
    let mut section = Section::new("Hash a sparse image", ABOUT, runs)
        .compare(0, 2, Measure::Faster(Some(5.0)))
        .compare(0, 1, Measure::Faster(None));
    note_caches(&mut section, warm);
    Ok(section)
}
