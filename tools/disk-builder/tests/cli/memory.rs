//! How much memory `disk-builder` takes.

use std::{fs, os::unix::fs::FileExt, process::Command};

use crate::{
    model_dir::model,
    program::{Ended, WorkFolder, field},
};

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

/// So do parity and what is not yet whole of the tree.
#[test]
fn parity_takes_no_more_with_many_threads() {
    let place = WorkFolder::on_disk();
    // With the most rows that a strip can have, and some data in each row.
    for (bytes, roots) in [(17 << 30, 2), (1 << 30, 24)] {
        let file = fs::File::create(place.path("data")).unwrap();
        file.set_len(bytes).unwrap();
        let row = vec![1; (bytes / 230) as usize];
        file.write_all_at(&row, 0).unwrap();
        let limit = (64 << 10) + bytes / 16_384 / 1024;
        let hash = format!("hash data --fec --fec-roots {roots} --threads 32 --hash-device");
        let peak = peak_memory(&place, &format!("{hash} {roots}"));
        assert!(peak < limit, "{roots}: {peak} KiB");
    }
}

/// What `verify` keeps of a manifest does not grow with it: not of files, not of what it does not
/// know, nor of what it passes over.
#[test]
fn a_manifest_does_not_fill_the_memory() {
    let place = WorkFolder::new();
    model(&place, "model");
    let root = field(&place.run("build model --output disk").ok(), "Root hash").to_owned();
    let verify = format!("verify disk --root-hash {root} --threads 1");
    let truthful = peak_memory(&place, &verify);
    let manifest = String::from_utf8(place.read("disk.json")).unwrap();
    let many = |element: &str| [element, ","].concat().repeat((16 << 20) / element.len());
    let files = r#"{"path":"a","bytes":0}"#;
    for (before, more) in [
        ("\"excluded\": [", many("\"\"")),
        ("\"excluded\": [", many("[{}]")),
        ("\"files\": [", many(files)),
        // An unknown member.
        ("{", format!("\"x\":[{}0],", many("0"))),
        ("{", many("\"x\":0")),
        ("{", format!("\"x\":{}", "[".repeat(16 << 20))),
        ("\"root_hash\": \"", "0".repeat(16 << 20)),
        ("{", format!("\"{}\":0,", "x".repeat(16 << 20))),
    ] {
        let hostile = manifest.replacen(before, &[before, &more].concat(), 1);
        assert!(hostile.len() > 16 << 20, "{before}");
        // It ends with what makes it none, so that the disk is not of another manifest.
        place.write("disk.json", [&hostile, "!"].concat().as_bytes());
        let peak = peak_memory(&place, &verify);
        let kind = &more[..more.len().min(20)];
        assert!(
            peak < truthful + (8 << 10),
            "{kind}: {peak} KiB, not {truthful}"
        );
    }
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
