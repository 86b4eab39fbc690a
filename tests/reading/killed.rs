//! `extract`, killed at any moment: what has its name is whole, and the next run completes it.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Child, Stdio},
    thread,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use test_support::model::bytes;

use crate::place::{DiskFolder, ModelFiles, disk_of, files_in, is_marked};

/// How many moments are tried.
const MOMENTS: u64 = 20;

fn large_model() -> ModelFiles {
    let mut files: ModelFiles = (0..200_u64)
        .map(|number| {
            let path = format!("shards/{}/{number}", number % 7);
            (path, bytes(1000 + 500 * number as usize, number))
        })
        .collect();
    files.insert("large".to_owned(), bytes(25 << 20, 300));
    files
}

/// How many bytes of storage everything below a folder takes.
fn used(folder: &Path) -> u64 {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        // Files come and go.
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        bytes += metadata.blocks() * 512;
        if metadata.is_dir() {
            bytes += used(&entry.path());
        }
    }
    bytes
}

fn end(child: &mut Child, signal: Signal) {
    let pid = Pid::from_raw(child.id().try_into().unwrap());
    // It may have come to its end.
    let _ = kill(pid, signal);
    child.wait().unwrap();
}

#[test]
fn at_twenty_moments() {
    let model = large_model();
    let place = DiskFolder::new(disk_of(&model));
    let out = place.path("out");
    let all: u64 = model.values().map(|bytes| bytes.len() as u64).sum();
    let mut unfinished = 0;
    for moment in 0..MOMENTS {
        let mut program = place.command("extract");
        program
            .args(["out", "--threads", "2"])
            .stdout(Stdio::null());
        let mut child = program.spawn().unwrap();
        while used(&out) < all * moment / MOMENTS && child.try_wait().unwrap().is_none() {
            thread::yield_now();
        }
        let signal = if moment % 3 == 1 {
            Signal::SIGINT
        } else {
            Signal::SIGKILL
        };
        end(&mut child, signal);
        let there = if out.exists() {
            files_in(&out)
        } else {
            ModelFiles::new()
        };
        assert!(
            there.iter().all(|(path, bytes)| model[path] == *bytes),
            "{moment}"
        );
        if there.len() < model.len() {
            assert!(there.is_empty() || is_marked(&out), "{moment}");
            unfinished += 1;
        }
        place.run("extract", &["out"]).ok();
        assert!(files_in(&out) == model, "{moment}");
        assert!(!is_marked(&out), "{moment}");
        fs::remove_dir_all(&out).unwrap();
    }
    assert!(unfinished > MOMENTS / 2, "{unfinished}");
}

/// Killed again and again, it comes to its end.
#[test]
fn again_and_again() {
    let model = large_model();
    let place = DiskFolder::new(disk_of(&model));
    let out = place.path("out");
    for files in (0..model.len()).step_by(20) {
        let mut child = place
            .command("extract")
            .args(["out", "--quiet"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        while child.try_wait().unwrap().is_none() && (!out.exists() || files_in(&out).len() < files)
        {
            thread::yield_now();
        }
        end(&mut child, Signal::SIGKILL);
    }
    place.run("extract", &["out"]).ok();
    assert!(files_in(&out) == model);
    assert!(!is_marked(&out));
}
