//! Builds that come to no good end.

use std::{
    fs::{self, File, OpenOptions},
    hash::{BuildHasher, RandomState},
    io::Write,
    process::{Command, Stdio},
    thread,
    time::Instant,
};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    model_dir::{model, write},
    program::{Ended, WorkFolder, data, field, signal},
};

/// Waits until the run has looked through its model, and writes.
fn wait_for_temporary_file(place: &WorkFolder) {
    while !place
        .names()
        .iter()
        .any(|name| name.contains(".disk-builder-"))
    {
        thread::yield_now();
    }
}

/// A model that takes minutes, most of it holes.
fn large_model(place: &WorkFolder) {
    let directory = model(place, "model");
    let sparse = File::create(directory.join("sparse")).unwrap();
    sparse.set_len(1 << 40).unwrap();
}

#[test]
fn killed_at_any_moment() {
    let place = WorkFolder::new();
    write(&place.path("old"), &[("weights", data(9 << 20, 1))]);
    write(&place.path("new"), &[("weights", data(64 << 20, 2))]);
    let old_root = field(&place.run("build old --output disk").ok(), "Root hash").to_owned();
    let (disk, manifest) = (place.read("disk"), place.read("disk.json"));
    let started = Instant::now();
    let printed = place.run("build new --output other").ok();
    let whole = started.elapsed();
    let new_root = field(&printed, "Root hash").to_owned();
    fs::remove_file(place.path("other")).unwrap();
    fs::remove_file(place.path("other.json")).unwrap();

    for round in 0..20u64 {
        let mut child = place.spawn("build new --output disk --force");
        let random = RandomState::new().hash_one(round) % 1000;
        thread::sleep(whole.mul_f64(random as f64 / 1000.0));
        child.kill().unwrap();
        let killed = !child.wait().unwrap().success();
        let replaced = place.read("disk") != disk;
        assert!(killed || replaced);
        let root = if replaced { &new_root } else { &old_root };
        // With a manifest or, in between, without one.
        let verified = place.run(&format!("verify disk --root-hash {root}"));
        verified.ok();
        if replaced {
            place.write("disk", &disk);
            place.write("disk.json", &manifest);
        } else if let Ok(kept) = fs::read(place.path("disk.json")) {
            assert!(kept == manifest);
        } else {
            place.write("disk.json", &manifest);
        }
    }
    place.run("build new --output disk --force").ok();
    assert_eq!(place.names(), ["disk", "disk.json", "new", "old"]);
    let manifest: Value = serde_json::from_slice(&place.read("disk.json")).unwrap();
    assert_eq!(manifest["root_hash"], new_root);
}

#[test]
fn signals_leave_nothing() {
    for sent in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let place = WorkFolder::new();
        large_model(&place);
        let child = place.spawn("build model --output disk");
        wait_for_temporary_file(&place);
        signal(&child, sent);
        let ended = Ended::of(child.wait_with_output().unwrap());
        ended.refused(1, "disk-builder: interrupted");
        assert_eq!(place.names(), ["model"]);
    }
}

/// nohup(1) makes a program ignore SIGHUP, and it must go on doing that.
#[test]
fn what_nohup_started_outlives_its_terminal() {
    let place = WorkFolder::new();
    large_model(&place);
    let mut nohup = Command::new("nohup");
    nohup
        .args([env!("CARGO_BIN_EXE_disk-builder"), "build", "model"])
        .args(["--output", "disk"])
        .current_dir(place.path(""))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = nohup.spawn().unwrap();
    wait_for_temporary_file(&place);
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let ignored = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:\t"));
    let ignored = u64::from_str_radix(ignored.unwrap(), 16).unwrap();
    assert_eq!(ignored & 1, 1, "{status}");
    signal(&child, Signal::SIGHUP);
    signal(&child, Signal::SIGTERM);
    Ended::of(child.wait_with_output().unwrap()).refused(1, "interrupted");
}

/// Another run of the same output does not take the file from under one that is at work.
#[test]
fn two_at_a_time() {
    let place = WorkFolder::new();
    large_model(&place);
    model(&place, "small");
    let child = place.spawn("build model --output disk");
    wait_for_temporary_file(&place);
    place.run("build small --output disk").ok();
    let names = place.names();
    assert!(
        names.iter().any(|name| name.contains(".disk-builder-")),
        "{names:?}"
    );
    signal(&child, Signal::SIGINT);
    Ended::of(child.wait_with_output().unwrap()).refused(1, "interrupted");
    assert_eq!(place.names(), ["disk", "disk.json", "model", "small"]);
}

#[test]
fn a_file_that_changes_is_named_and_leaves_no_output() {
    for resized in [true, false] {
        let place = WorkFolder::new();
        let directory = model(&place, "model");
        let sparse = File::create(directory.join("sparse")).unwrap();
        // Much work still to come when it is stopped, and yet to be done to the end.
        sparse.set_len(64 << 30).unwrap();
        let child = place.spawn("build model --output disk");
        wait_for_temporary_file(&place);
        signal(&child, Signal::SIGSTOP);
        let path = directory.join("config.json");
        if resized {
            let mut file = OpenOptions::new().append(true).open(path).unwrap();
            file.write_all(b"x").unwrap();
        } else {
            fs::write(path, data(612, 99)).unwrap();
        }
        signal(&child, Signal::SIGCONT);
        let ended = Ended::of(child.wait_with_output().unwrap());
        ended.refused(1, "model/config.json changed while it was read");
        assert_eq!(place.names(), ["model"]);
    }
}

/// Room is set aside before anything is read.
#[test]
fn no_room() {
    let place = WorkFolder::new();
    write(&place.path("model"), &[("weights", data(2 << 20, 1))]);
    place
        .run_limited(1028, "build model --output disk")
        .refused(1, "disk: File too large");
    assert_eq!(place.names(), ["model"]);
}
