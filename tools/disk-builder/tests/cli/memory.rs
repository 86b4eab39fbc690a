//! How much memory `disk-builder` takes.

use std::{fs, os::unix::fs::FileExt, process::Command};

use crate::program::{Ended, WorkFolder};

/// The most memory that a run takes, in KiB.
fn peak_memory(place: &WorkFolder, arguments: &str) -> u64 {
    const MEASURE: &str = "import resource, subprocess, sys; \
        subprocess.run(sys.argv[1:], check=True, stdout=2); \
        print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)";
    let output = Command::new("python3")
        .args(["-c", MEASURE, env!("CARGO_BIN_EXE_disk-builder")])
        .args(arguments.split(' '))
        .current_dir(place.path(""))
        .output();
    let ended = Ended::of(output.expect("python3 is needed"));
    ended.ok().trim_end().parse().unwrap()
}

/// As many threads as there are by default on the largest machine.
#[test]
fn memory_is_bounded_with_many_threads() {
    let place = WorkFolder::new();
    fs::create_dir(place.path("model")).unwrap();
    // Files that are read, as they are too small to be mapped or asked for holes.
    let (count, bytes) = (2000, 120 << 10);
    for number in 0..count {
        let file = fs::File::create(place.path(&format!("model/{number}"))).unwrap();
        file.set_len(bytes).unwrap();
    }
    let limit = (64 << 10) + count * bytes / 16_384 / 1024;
    let peak = peak_memory(&place, "root-hash model --threads 32");
    assert!(peak < limit, "{peak} KiB");
}

/// The digests of so much data take 128 MiB.
#[test]
fn holes_take_no_memory() {
    let place = WorkFolder::new();
    fs::create_dir(place.path("model")).unwrap();
    let file = fs::File::create(place.path("model/sparse")).unwrap();
    file.set_len(2 << 40).unwrap();
    file.write_all_at(&[1; 5000], 1 << 40).unwrap();
    let peak = peak_memory(&place, "root-hash model --threads 2");
    assert!(peak < 64 << 10, "{peak} KiB");
}

/// What `deploy/kubernetes/build/job.yaml` reckons with.
#[test]
fn each_file_takes_half_a_kibibyte() {
    let place = WorkFolder::new();
    fs::create_dir(place.path("model")).unwrap();
    let peak_of = |from: u32, to: u32| {
        for number in from..to {
            let name = format!("model/a-name-of-the-usual-length-{number}.json");
            fs::write(place.path(&name), "{}").unwrap();
        }
        peak_memory(&place, "root-hash model --threads 1")
    };
    let (few, many) = (peak_of(0, 1000), peak_of(1000, 41_000));
    assert!(many - few < 40_000 / 2, "{few} KiB, {many} KiB");
}
