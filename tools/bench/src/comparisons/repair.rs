//! `disk-builder repair` against `disk-builder verify`.

use std::{fs::OpenOptions, os::unix::fs::FileExt, path::Path};

use anyhow::Result;
use dm_verity::{
    BlockSize, HashAlgorithm, Salt, VerityParams,
    fec::{FecLayout, FecRoots},
};

use super::{BLOCK, Bench, call, memory_limit, note_caches, root_hash};
use crate::{
    cache::{CachedFile, Caches},
    data,
    experiment::{self, Contestant},
    report::{Measure, Section},
};

const ABOUT: &str = "1,000 corrupt blocks of an image with 2 roots, one to a row, corrected in place and \
    synced, against verify of the image when it is whole; data, tree and parity in the page cache.";

/// How many blocks are corrupt, as long as there are so many rows.
const BAD_BLOCKS: u64 = 1000;

pub(super) fn section(bench: &Bench) -> Result<Section> {
    bench.check_memory(bench.settings.size)?;
    let image = bench.image(bench.settings.size)?;
    let blocks = image.length / BLOCK;
    // Not among the outputs, which are removed after each run.
    let [tree, parity] =
        ["tree-to-repair", "parity-to-repair"].map(|name| bench.data.directory().join(name));
    data::remove(&tree)?;
    data::remove(&parity)?;
    let printed = call(
        bench
            .builder("hash")
            .arg(&image.path)
            .arg("--hash-device")
            .arg(&tree)
            .args([
                "--data-blocks",
                &blocks.to_string(),
                "--fec",
                "--fec-device",
            ])
            .arg(&parity),
    )?;
    let root_hash = root_hash(&printed)?;
    let bad = bad_blocks(blocks)?;
    let (image_path, length) = (image.path.clone(), image.length);
    let inputs = [
        image,
        CachedFile::whole(&tree)?,
        CachedFile::whole(&parity)?,
    ];
    let warm = (inputs.as_slice(), Caches::Warm);
    let ours = |command: &str, options: &[&str]| -> Result<Contestant<'_>> {
        let name = format!("disk-builder {command}, 2 threads");
        let mut command = bench.builder(command);
        command
            .arg(&image_path)
            .arg("--hash-device")
            .arg(&tree)
            .args(["--root-hash", root_hash, "--threads", "2"])
            .args(options);
        if options.contains(&"--fec-device") {
            command.arg(&parity);
        }
        let contestant = bench.contestant(name, warm, vec![command], |_| Ok(()))?;
        Ok(Contestant {
            memory_limit: Some(memory_limit(length)),
            ..contestant
        })
    };
    let repair = ours("repair", &["--fec-device"])?;
    let prepare = repair.prepare;
    let repair = Contestant {
        prepare: Box::new(|| {
            prepare()?;
            damage(&image_path, &bad)
        }),
        ..repair
    };
    let contestants = vec![repair, ours("verify", &[])?];
    let runs = experiment::run(contestants, bench.settings.rounds)?;
    data::remove(&tree)?;
    data::remove(&parity)?;
    let mut section =
        Section::new("Repair an image, warm", ABOUT, runs).compare(0, 1, Measure::Cost(Some(2.0)));
    note_caches(&mut section, Caches::Warm);
    Ok(section)
}

/// Blocks of an image from all over it, each in a row of its own.
fn bad_blocks(data_blocks: u64) -> Result<Vec<u64>> {
    let size = BlockSize::DEFAULT;
    let algorithm = HashAlgorithm::Sha256;
    let params = VerityParams::new(algorithm, size, size, data_blocks, Salt::default())?;
    let layout = FecLayout::new(&params, FecRoots::default())?;
    let rounds = layout.rounds();
    let count = BAD_BLOCKS.min(rounds);
    let columns = data_blocks / rounds;
    Ok((0..count)
        .map(|n| n * 97 % columns.max(1) * rounds + n * rounds / count)
        .filter(|block| *block < data_blocks)
        .collect())
}

/// Fills blocks with something else.
fn damage(image: &Path, blocks: &[u64]) -> Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(image)?;
    let mut bytes = vec![0; BLOCK as usize];
    for block in blocks {
        file.read_exact_at(&mut bytes, block * BLOCK)?;
        bytes.iter_mut().for_each(|byte| *byte ^= 0x5a);
        file.write_all_at(&bytes, block * BLOCK)?;
    }
    Ok(file.sync_all()?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn one_block_to_a_row() {
        // Covered blocks of the last two: 1000 + 9, and 2^20 + 2^13 + 2^6 + 1.
        for (blocks, rounds, count) in [(1, 1, 1), (5, 1, 1), (1000, 4, 4), (1 << 20, 4178, 1000)] {
            let bad = bad_blocks(blocks).unwrap();
            let rows: BTreeSet<_> = bad.iter().map(|block| block % rounds).collect();
            assert_eq!((bad.len(), rows.len()), (count, count), "{blocks}");
            assert!(bad.iter().all(|block| *block < blocks));
        }
    }
}
