//! Runs every target over its corpus, without a fuzzer.

// A failure is a panic here, as in any test.
#![allow(clippy::unwrap_used)]

use std::{fs, path::Path};

use disk_mounter_fuzz::TARGETS;

#[test]
fn the_corpus() {
    for (name, run) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(name);
        let files: Vec<_> = fs::read_dir(&folder).unwrap().collect();
        assert!(!files.is_empty(), "{name} has no seeds");
        for file in files {
            let path = file.unwrap().path();
            // Named before it is run: a panic says no more than what went wrong.
            println!("{}", path.display());
            run(&fs::read(path).unwrap());
        }
    }
}

/// Each target takes anything: also nothing, and what its seeds become when they are cut.
#[test]
fn short_inputs() {
    for (name, run) in TARGETS {
        run(&[]);
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(name);
        let largest = fs::read_dir(&folder)
            .unwrap()
            .map(|file| fs::read(file.unwrap().path()).unwrap())
            .max_by_key(Vec::len)
            .unwrap();
        for length in (0..largest.len()).step_by(largest.len().div_ceil(40)) {
            run(&largest[..length]);
        }
    }
}

/// The list of targets is that of the programs.
#[test]
fn every_target_has_its_program() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
    let manifest = manifest.unwrap();
    let programs: Vec<_> = manifest
        .lines()
        .filter_map(|line| {
            line.strip_prefix("path = \"fuzz_targets/")?
                .strip_suffix(".rs\"")
        })
        .collect();
    let targets: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(programs, targets);
}
