//! Where outputs go, and who else is there.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read},
    os::unix::fs::symlink,
    process::{Child, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::program::{Ended, WorkFolder, field};

/// A build that has written all, and waits for the lock of its output's directory.
struct Waiting(Child);

impl Waiting {
    fn start(place: &WorkFolder, arguments: &str) -> Self {
        let mut child = place
            .builder()
            .args(arguments.split(' '))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        while !said.contains("waiting for another process") {
            assert_ne!(stderr.read_line(&mut said).unwrap(), 0, "{said}");
        }
        child.stderr = Some(stderr.into_inner());
        Self(child)
    }

    fn end(mut self) -> Ended {
        let mut rest = String::new();
        let stderr = self.0.stderr.as_mut().unwrap();
        stderr.read_to_string(&mut rest).unwrap();
        let mut ended = Ended::of(self.0.wait_with_output().unwrap());
        ended.stderr = rest;
        ended
    }
}

/// Models `m1` and `m2`.
fn two_models() -> WorkFolder {
    let place = WorkFolder::new();
    for (model, byte) in [("m1", 1), ("m2", 2)] {
        fs::create_dir(place.path(model)).unwrap();
        place.write(&format!("{model}/weights"), &[byte; 5000]);
    }
    place
}

fn root_of(place: &WorkFolder, model: &str) -> String {
    let printed = place.run(&format!("root-hash {model}")).ok();
    printed.trim_end().to_owned()
}

#[test]
fn who_waits_for_another_says_so_and_can_be_ended() {
    let place = two_models();
    let directory = File::open(place.path("")).unwrap();
    directory.lock().unwrap();
    let build = Waiting::start(&place, "build m1 --output disk");
    kill(Pid::from_raw(build.0.id() as i32), Signal::SIGTERM).unwrap();
    build.end().refused(1, "interrupted");
    assert_eq!(place.names(), ["m1", "m2"]);

    let build = Waiting::start(&place, "build m1 --output disk");
    drop(directory);
    build.end().ok();
    let root = root_of(&place, "m1");
    place.run(&format!("verify disk --root-hash {root}")).ok();
}

/// Of two that replace an empty file, as `mktemp` makes it, one is too late.
#[test]
fn the_second_onto_an_empty_file_is_refused() {
    let place = two_models();
    place.write("disk", b"");
    let directory = File::open(place.path("")).unwrap();
    directory.lock().unwrap();
    let builds = ["m1", "m2"]
        .map(|model| Waiting::start(&place, &format!("build {model} --output disk --threads 1")));
    drop(directory);
    let ended = builds.map(Waiting::end);
    let first = ended
        .iter()
        .position(|ended| ended.code == Some(0))
        .unwrap();
    let root = root_of(&place, ["m1", "m2"][first]);
    let printed = place.run(&format!("verify disk --root-hash {root}")).ok();
    assert!(
        printed.contains("disk.json is about this disk"),
        "{printed}"
    );
    let [one, two] = ended;
    let second = if first == 0 { two } else { one };
    second.refused(5, "exists: --force replaces it");
    assert_eq!(place.names(), ["disk", "disk.json", "m1", "m2"]);
}

/// The disk is where the link leads, and so is its manifest.
#[test]
fn a_manifest_is_beside_its_disk_through_a_link_as_well() {
    let place = two_models();
    fs::create_dir(place.path("store")).unwrap();
    place.run("build m1 --output store/v1").ok();
    symlink("store/v1", place.path("current")).unwrap();
    place
        .run("build m2 --output current")
        .refused(5, "store/v1 exists");
    place.run("build m2 --output current --force").ok();
    let root = root_of(&place, "m2");
    for disk in ["store/v1", "current"] {
        let printed = place.run(&format!("verify {disk} --root-hash {root}")).ok();
        assert!(
            printed.contains("store/v1.json is about this disk"),
            "{printed}"
        );
    }
    assert_eq!(place.names(), ["current", "m1", "m2", "store"]);
}

#[test]
fn no_old_manifest_stays_beside_a_new_disk() {
    let place = two_models();
    place.run("build m1 --output disk").ok();
    fs::remove_file(place.path("disk")).unwrap();
    place
        .run("build m2 --output disk --manifest elsewhere")
        .refused(5, "disk.json exists: --force replaces it");
    assert_eq!(place.names(), ["disk.json", "m1", "m2"]);
    place
        .run("build m2 --output disk --manifest elsewhere --force")
        .ok();
    assert_eq!(place.names(), ["disk", "elsewhere", "m1", "m2"]);
    // What is none is somebody else's.
    place.write("disk.json", b"{}");
    place
        .run("build m1 --output disk --manifest elsewhere --force")
        .ok();
    assert!(place.read("disk.json") == b"{}");
}

/// Nor one that another run put there meanwhile.
#[test]
fn a_manifest_that_came_meanwhile_goes_too() {
    let place = two_models();
    place.run("build m1 --output disk").ok();
    let manifest = place.read("disk.json");
    fs::remove_file(place.path("disk.json")).unwrap();
    let directory = File::open(place.path("")).unwrap();
    directory.lock().unwrap();
    let build = Waiting::start(
        &place,
        "build m2 --output disk --manifest elsewhere --force",
    );
    place.write("disk.json", &manifest);
    drop(directory);
    build.end().ok();
    assert_eq!(place.names(), ["disk", "elsewhere", "m1", "m2"]);
}

#[test]
fn places_that_are_none_are_refused_at_once() {
    let place = two_models();
    symlink("gone/disk", place.path("link")).unwrap();
    for force in ["", " --force"] {
        place
            .run(&format!("build m1 --output link{force}"))
            .refused(
                4,
                "link is a symbolic link to gone/disk, which is not there",
            );
        place
            .run(&format!("build m1 --output new/{force}"))
            .refused(2, "new/ names a directory: name a file in it");
    }
    place
        .run("hash m1/weights --data-blocks 1 --hash-device link")
        .refused(4, "link is a symbolic link to gone/disk");
    assert!(place.path("link").is_symlink());
    assert_eq!(place.names(), ["link", "m1", "m2"]);
}

/// What took hours is not lost for a manifest.
#[test]
fn a_disk_without_its_manifest_is_said_to_be_complete() {
    let place = two_models();
    let directory = File::open(place.path("")).unwrap();
    directory.lock().unwrap();
    let build = Waiting::start(&place, "build m1 --output disk");
    let names = place.names();
    let manifest = names.iter().find(|name| name.starts_with(".disk.json."));
    fs::remove_file(place.path(manifest.unwrap())).unwrap();
    drop(directory);
    let root = root_of(&place, "m1");
    let said = format!("the disk disk is complete, with the root hash {root}");
    build.end().refused(4, &said);
    let printed = place.run(&format!("verify disk --root-hash {root}")).ok();
    assert!(!printed.contains("manifest"), "{printed}");
}

/// What was found counts, whether anybody reads it or not.
#[test]
fn a_corrupt_disk_is_one_also_where_nobody_reads_on() {
    let place = two_models();
    let printed = place.run("build m1 --output disk").ok();
    let root = field(&printed, "Root hash").to_owned();
    let mut disk = place.read("disk");
    let weights = disk.windows(16).position(|bytes| bytes == [1; 16]).unwrap();
    disk[weights] = 7;
    place.write("disk", &disk);
    for options in ["", " --json"] {
        let arguments = format!("verify disk --root-hash {root}{options}");
        let (reader, closed) = std::io::pipe().unwrap();
        drop(reader);
        let full = File::options().write(true).open("/dev/full").unwrap();
        for stdout in [Stdio::from(closed), full.into()] {
            let output = place
                .builder()
                .args(arguments.split(' '))
                .stdout(stdout)
                .stderr(Stdio::piped())
                .output()
                .unwrap();
            Ended::of(output).refused(3, "disk is corrupt");
        }
    }
}
