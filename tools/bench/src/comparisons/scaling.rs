//! How the cost of `hash` grows with the size of the image: in a straight line.

use anyhow::Result;

use super::{Bench, fits, hash, memory_limit};
use crate::{
    cache::{CachedFile, Caches},
    experiment::{self, Agreement, Contestant},
    report::{Measure, Section},
};

const ABOUT: &str = "Parts of one image, each from the disk, and from the page cache where it fits \
    in; then an image that is nearly all holes, of which the tree is still written in full: with \
    `hash` to a file, with `root-hash` (of a directory with just that image) nowhere.";

/// What a doubling may cost per byte and still be called a straight line.
const STRAIGHT: Option<f64> = Some(1.25);

/// Of the parts: by default 1, 4 and 16 GiB.
pub(super) fn sizes(size: u64) -> [u64; 3] {
    [size / 4, size, size * 4]
}

/// The size of the image with holes and of its data: by default 1 TiB and 1 GiB.
fn sparse(size: u64) -> (u64, u64) {
    (size * 256, size / 4)
}

/// What the image with holes and its tree take on the disk.
pub(super) fn sparse_room(size: u64) -> u64 {
    let (bytes, data) = sparse(size);
    data + bytes / 120
}

pub(super) fn section(bench: &Bench) -> Result<Section> {
    let size = bench.settings.size;
    let sizes = sizes(size);
    let images: Vec<[CachedFile; 1]> = sizes
        .iter()
        .map(|size| Ok([bench.image(*size)?]))
        .collect::<Result<_>>()?;
    let agreed: [Agreement; 3] = Default::default();
    let parts = || images.iter().zip(&agreed).zip(sizes);

    let mut section = Section::new("Growth with the size", ABOUT, Vec::new());
    for caches in [Caches::Cold, Caches::Warm] {
        let mut contestants = Vec::new();
        for ((image, agreed), size) in parts() {
            if caches == Caches::Warm && !fits(size)? {
                section.notes.push(format!(
                    "{} does not fit into this machine's page cache.",
                    human(size)
                ));
                continue;
            }
            let ours = hash::disk_builder(bench, (image, caches), None, agreed)?;
            contestants.push(named(ours, &human(size)));
        }
        let first = section.runs.len();
        section
            .runs
            .extend(experiment::run(contestants, rounds(bench))?);
        for larger in first + 1..section.runs.len() {
            section = section.compare(larger, larger - 1, Measure::CostPerByte(STRAIGHT));
        }
    }

    let (bytes, data) = sparse(size);
    let directory = bench.data.sparse(bytes, data)?;
    let image = [CachedFile::whole(&directory.join("image"))?];
    let warm = (&image, Caches::Warm);
    let (of_hash, of_root_hash) = (Agreement::default(), Agreement::default());
    let mut root_hash = bench.builder("root-hash");
    root_hash.arg(&directory);
    let root_hash = bench.contestant(
        "disk-builder root-hash, warm",
        (warm.0.as_slice(), warm.1),
        vec![root_hash],
        |printed| of_root_hash.check(printed.trim()),
    )?;
    let root_hash = Contestant {
        memory_limit: Some(memory_limit(bytes)),
        ..root_hash
    };
    let hash = hash::disk_builder(bench, warm, None, &of_hash)?;
    let what = format!("{} with {} of data", human(bytes), human(data));
    let contestants = vec![named(hash, &what), named(root_hash, &what)];
    section
        .runs
        .extend(experiment::run(contestants, rounds(bench))?);
    Ok(section)
}

fn named<'a>(contestant: Contestant<'a>, what: &str) -> Contestant<'a> {
    Contestant {
        name: format!("{}, {what}", contestant.name),
        ..contestant
    }
}

/// Large runs are few: they take long and vary little.
fn rounds(bench: &Bench) -> u32 {
    bench.settings.rounds.min(3)
}

/// Bytes in the largest unit that they are a whole number of.
fn human(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB")];
    let unit = units
        .iter()
        .find(|(shift, _)| bytes > 0 && bytes.is_multiple_of(1 << shift));
    match unit {
        Some((shift, unit)) => format!("{} {unit}", bytes >> shift),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_for_people() {
        assert_eq!(human(1 << 40), "1 TiB");
        assert_eq!(human(5 << 30), "5 GiB");
        assert_eq!(human(1536 << 20), "1536 MiB");
        assert_eq!(human(1 << 12), "4096 bytes");
        assert_eq!(sizes(4 << 30).map(human), ["1 GiB", "4 GiB", "16 GiB"]);
        assert_eq!(sparse(4 << 30), (1 << 40, 1 << 30));
    }
}
