//! The power goes while `disk-builder` writes, or just after it has: what is there then is whole or
//! absent, and what a run has reported is there and whole.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use crate::{
    Test,
    disk::{Loop, TestDisk, names, root_hash},
    recorder::{Recorder, Recording},
    run::{check, run},
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    ("while_a_disk_is_built", while_a_disk_is_built),
    ("while_a_disk_is_replaced", while_a_disk_is_replaced),
    ("while_a_device_is_written", while_a_device_is_written),
    ("while_a_tree_is_written", while_a_tree_is_written),
    ("while_a_tree_is_appended", while_a_tree_is_appended),
];

/// At how many moments the power goes in each test.
const MOMENTS: usize = 12;

/// The mark of the moment at which the program has ended with success.
const ENDED: &str = "ended";

/// How the moments went, of which each kind must have been met.
#[derive(Default)]
struct Met {
    before: usize,
    whole: usize,
}

impl Met {
    /// Told, or at least complete, at this moment.
    fn note(&mut self, whole: bool) {
        *if whole {
            &mut self.whole
        } else {
            &mut self.before
        } += 1;
    }

    #[track_caller]
    fn check(&self) {
        println!(
            "not there {} times, whole {} times",
            self.before, self.whole
        );
        assert!(
            self.before >= 2 && self.whole >= 2,
            "moments of one kind only"
        );
    }
}

/// A filesystem on a disk that loses its power.
struct PowerTest {
    folder: PathBuf,
    /// Where it is mounted.
    at: PathBuf,
}

impl PowerTest {
    fn new(disk: &TestDisk) -> Self {
        let at = disk.path("at");
        fs::create_dir(&at).unwrap();
        let folder = disk.path("");
        Self { folder, at }
    }

    /// Lets `prepare` fill it, then records what `work` does in it until it ends.
    fn record(&self, prepare: impl FnOnce(&Path), work: impl FnOnce(&Path)) -> Recording {
        let image = self.folder.join("filesystem");
        File::create(&image).unwrap().set_len(24 << 20).unwrap();
        check("mke2fs", ["-q", "-t", "ext4", image.to_str().unwrap()]);
        {
            let device = Loop::new(&image);
            self.mounted(device.path(), prepare);
        }
        let recorder = Recorder::over(&image);
        self.mounted(&recorder.path(), |at| {
            work(at);
            recorder.mark(ENDED);
        });
        recorder.end()
    }

    fn mounted(&self, device: &Path, look: impl FnOnce(&Path)) {
        let (device, at) = (device.to_str().unwrap(), self.at.to_str().unwrap());
        check("mount", ["-t", "ext4", device, at]);
        look(&self.at);
        check("umount", [at]);
    }

    /// Calls `look` with the filesystem as it is after the power went at each of some moments, and
    /// with whether the program had ended by then.
    fn after_each(&self, recording: &Recording, mut look: impl FnMut(&Path, bool)) {
        let ended = recording.mark(ENDED);
        let mut moments = recording.some(0, MOMENTS);
        moments.extend([ended - 1, ended]);
        moments.sort_unstable();
        moments.dedup();
        println!(
            "the power goes at {} of {} moments",
            moments.len(),
            recording.moments()
        );
        let image = self.folder.join("after");
        recording.disks(&moments, |moment, bytes| {
            fs::write(&image, bytes).unwrap();
            let device = Loop::new(&image);
            self.mounted(device.path(), |at| look(at, moment >= ended));
        });
    }
}

fn builder<const N: usize>(words: [&Path; N]) -> String {
    check("disk-builder", words)
}

fn path(text: &str) -> &Path {
    Path::new(text)
}

fn verify(image: &Path, root: &str, more: &[&str]) -> crate::run::Outcome {
    let words = ["verify", image.to_str().unwrap(), "--root-hash", root];
    run("disk-builder", words.iter().chain(more))
}

#[track_caller]
fn is_whole(image: &Path, root: &str, more: &[&str]) {
    verify(image, root, more).is(0, &["verified"]);
}

/// A temporary file of `disk` or of `disk.json`, which the next run removes.
fn is_temporary(name: &str) -> bool {
    name.starts_with('.') && name.contains(".disk-builder-")
}

fn while_a_disk_is_built() {
    let disk = TestDisk::filesystem();
    let model = disk.path("model");
    let place = PowerTest::new(&disk);
    let mut root = String::new();
    let build = |at: &Path| {
        let output = at.join("disk");
        builder([path("build"), &model, path("--output"), &output])
    };
    let recording = place.record(|_| (), |at| root = root_hash(&build(at)));
    let mut met = Met::default();
    place.after_each(&recording, |at, ended| {
        let found = names(&place.at);
        let there = |name: &str| found.iter().any(|other| other == name);
        let image = at.join("disk");
        let known = ["disk", "disk.json"];
        let expected = |name: &String| known.contains(&&name[..]) || is_temporary(name);
        assert!(found.iter().all(expected), "{found:?}");
        met.note(there("disk"));
        if ended {
            // That the lock has gone need not be on the disk yet.
            let left = found
                .iter()
                .filter(|name| *name != ".disk.disk-builder-lock");
            assert!(left.eq(known), "{found:?}");
        }
        assert!(there("disk") || !there("disk.json"), "{found:?}");
        if there("disk") {
            // The manifest too, where there is one.
            is_whole(&image, &root, &[]);
        } else {
            assert_eq!(root_hash(&build(at)), root);
            assert_eq!(names(&place.at), known);
        }
    });
    met.check();
}

/// There is the old one or the new one, and a manifest that is there is its own.
fn while_a_disk_is_replaced() {
    let disk = TestDisk::filesystem();
    let model = disk.path("model");
    let place = PowerTest::new(&disk);
    let (mut old, mut new) = (String::new(), String::new());
    let build = |at: &Path| {
        let output = at.join("disk");
        let words = [
            path("build"),
            &model,
            path("--force"),
            path("--output"),
            &output,
        ];
        root_hash(&builder(words))
    };
    let prepare = |at: &Path| {
        old = build(at);
        crate::disk::flip(&model.join("config.json"), 5);
    };
    let recording = place.record(prepare, |at| new = build(at));
    assert_ne!(old, new);
    let mut met = Met::default();
    place.after_each(&recording, |at, ended| {
        let image = at.join("disk");
        let replaced = verify(&image, &new, &[]).code == 0;
        assert!(replaced || !ended);
        is_whole(&image, if replaced { &new } else { &old }, &[]);
        met.note(replaced);
        if !replaced {
            assert_eq!(build(at), new);
            assert_eq!(names(&place.at), ["disk", "disk.json"]);
        }
    });
    met.check();
}

/// A device whose superblocks are both there is a disk, the old one or the new one.
fn while_a_device_is_written() {
    let disk = TestDisk::filesystem();
    let model = disk.path("model");
    let image = disk.path("device");
    File::create(&image).unwrap().set_len(8 << 20).unwrap();
    let build = |device: &Path| {
        let words = [
            path("build"),
            &model,
            path("--force"),
            path("--output"),
            device,
        ];
        root_hash(&builder(words))
    };
    let old = {
        let device = Loop::new(&image);
        build(device.path())
    };
    crate::disk::flip(&model.join("config.json"), 5);
    let recorder = Recorder::over(&image);
    let new = build(&recorder.path());
    recorder.mark(ENDED);
    let recording = recorder.end();
    let ended = recording.mark(ENDED);
    let mut moments = recording.some(0, MOMENTS);
    moments.extend([ended - 1, ended]);
    moments.sort_unstable();
    println!(
        "the power goes at {} of {} moments",
        moments.len(),
        recording.moments()
    );
    let after = disk.path("after");
    let mut met = Met::default();
    recording.disks(&moments, |moment, bytes| {
        fs::write(&after, bytes).unwrap();
        let claims = check("disk-builder", [path("inspect"), &after, path("--json")]);
        let claims: serde_json::Value = serde_json::from_str(&claims).unwrap();
        let is_new = verify(&after, &new, &[]).code == 0;
        assert!(is_new || moment < ended);
        met.note(is_new);
        // What still looks like the old disk is the old disk.
        let filesystems = claims["filesystems"].as_array().unwrap();
        if !filesystems.is_empty() && claims["verity"].is_object() && !is_new {
            is_whole(&after, &old, &[]);
        }
    });
    met.check();
}

fn while_a_tree_is_written() {
    let disk = TestDisk::filesystem();
    let place = PowerTest::new(&disk);
    let hash = |at: &Path| {
        let (data, tree) = (at.join("data"), at.join("tree"));
        root_hash(&builder([
            path("hash"),
            &data,
            path("--hash-device"),
            &tree,
        ]))
    };
    let mut root = String::new();
    let prepare = |at: &Path| {
        fs::copy(&disk.image, at.join("data")).unwrap();
    };
    let recording = place.record(prepare, |at| root = hash(at));
    let mut met = Met::default();
    place.after_each(&recording, |at, ended| {
        let (data, tree) = (at.join("data"), at.join("tree"));
        met.note(tree.exists());
        assert!(tree.exists() || !ended);
        if tree.exists() {
            is_whole(&data, &root, &["--hash-device", tree.to_str().unwrap()]);
        } else {
            assert_eq!(hash(at), root);
            assert_eq!(names(&place.at), ["data", "tree"]);
        }
    });
    met.check();
}

/// The data never changes, and a superblock stands over nothing but a whole tree. A run after it
/// gives the same root hash.
fn while_a_tree_is_appended() {
    let disk = TestDisk::filesystem();
    let source = fs::read(&disk.image).unwrap();
    let place = PowerTest::new(&disk);
    let mut root = String::new();
    let prepare = |at: &Path| {
        fs::copy(&disk.image, at.join("data")).unwrap();
    };
    let recording = place.record(prepare, |at| {
        root = root_hash(&builder([path("hash"), &at.join("data")]));
    });
    let (mut met, mut begun) = (Met::default(), 0);
    place.after_each(&recording, |at, ended| {
        let data = at.join("data");
        let bytes = fs::read(&data).unwrap();
        assert!(bytes[..source.len()] == source);
        let mut signature = [0; 8];
        // Nothing, where it is not longer than it was.
        let _ = File::open(&data)
            .unwrap()
            .read_exact_at(&mut signature, disk.data_bytes);
        let finished = signature == *b"verity\0\0";
        met.note(finished);
        assert!(finished || !ended);
        if finished {
            return is_whole(&data, &root, &[]);
        }
        begun += usize::from(bytes.len() > source.len());
        // All that the run before had appended is no data.
        assert_eq!(root_hash(&builder([path("hash"), &data])), root);
        is_whole(&data, &root, &[]);
    });
    met.check();
    println!("{begun} times it had been begun");
    assert!(begun >= 1, "never in the middle");
}
