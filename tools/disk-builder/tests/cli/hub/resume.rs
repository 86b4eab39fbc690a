//! Builds that go on with what an earlier one left.

use std::{
    collections::BTreeMap,
    fs,
    ops::Range,
    os::unix::fs::PermissionsExt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use nix::sys::signal::Signal;
use serde_json::Value;
use test_support::{
    http::HttpReply,
    hub::{COMMIT, HubFile, MODEL, Times},
};

use super::{HubPlace, files};
use crate::program::{Ended, data, field, signal};

const LEFT: &str = ".disk.disk-builder-000000";

fn resume() -> String {
    format!("build hf://{MODEL}@{COMMIT} --output disk --resume")
}

/// The disk must be the one of the directory, and nothing else must be there.
fn is_whole(place: &HubPlace) {
    place
        .run("build model --output local --manifest local.json")
        .ok();
    assert!(place.place.read("disk") == place.place.read("local"));
    assert_eq!(
        place.place.names(),
        ["disk", "disk.json", "local", "local.json", "model"]
    );
}

/// As a run leaves it that was killed.
fn leave(place: &HubPlace, bytes: &[u8]) {
    place.place.write(LEFT, bytes);
    fs::set_permissions(place.place.path(LEFT), fs::Permissions::from_mode(0o600)).unwrap();
}

/// What is left is the image, with other bytes in one file and in all that is no file.
#[test]
fn whole_files_are_kept_and_others_fetched() {
    let place = HubPlace::new(&files());
    let printed = place.run("build model --output disk").ok();
    let offset: usize = field(&printed, "Data blocks").parse().unwrap();
    let mut left = place.place.read("disk");
    left[5000..6000].fill(0xaa);
    // The last bytes before the tree are in the last file.
    left[4096 * offset - 4096..].fill(0xbb);
    let second = data(64, 2 * 5);
    let wrong = left.windows(64).position(|bytes| bytes == second);
    left[wrong.unwrap() + 1000] ^= 1;
    fs::remove_file(place.place.path("disk")).unwrap();
    fs::remove_file(place.place.path("disk.json")).unwrap();
    leave(&place, &left);

    let printed = place.run(&format!("{} --json", resume())).ok();
    let object: Value = serde_json::from_str(&printed).unwrap();
    assert!(
        object["kept_bytes"].as_u64().unwrap() > 20 << 20,
        "{printed}"
    );
    assert!(place.ranges_of("model-1").is_empty());
    let requests = place.server.storage.requests();
    assert!(
        requests
            .iter()
            .any(|request| request.target.contains("model-2"))
    );
    is_whole(&place);
}

#[test]
fn what_an_interrupted_run_left_is_gone_on_with() {
    let times = Times::default();
    let place = HubPlace::faulty(&files(), move |_, path, mut reply| {
        let is_second = path == Some("model-2.safetensors") && reply.status != 302;
        if is_second && times.count("") == 0 {
            reply.stalls_after = Some(1 << 20);
        }
        reply
    });
    let child = place.spawn(&resume());
    place
        .server
        .storage
        .wait_for(|request| request.target.contains("model-2"));
    signal(&child, Signal::SIGINT);
    Ended::of(child.wait_with_output().unwrap()).refused(1, "interrupted");
    let names = place.place.names();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names[0].starts_with(".disk.disk-builder-"), "{names:?}");
    place.run(&resume()).ok();
    is_whole(&place);
}

/// Who does not say `--resume` begins anew.
#[test]
fn what_was_left_goes_unless_it_is_asked_for() {
    let place = HubPlace::new(&files());
    place.place.write(LEFT, &[7; 100_000]);
    place.run(&resume().replace(" --resume", "")).ok();
    is_whole(&place);
}

/// Of other files, or nothing at all: it must not show through.
#[test]
fn what_is_left_may_be_anything() {
    let place = HubPlace::new(&files());
    leave(&place, &vec![7; 40 << 20]);
    place.run(&resume()).ok();
    is_whole(&place);
    place
        .run("build model --output other --resume")
        .usage("--resume is for a model that is fetched");
}

const LARGE: &str = "model-1.safetensors";
const MIB: usize = 1 << 20;

/// What a run leaves that has all of a disk but the end of one large file.
struct Broken {
    place: HubPlace,
    /// The server does not have the large file.
    is_down: Arc<AtomicBool>,
    /// The disk as it is in such a file, with nothing missing.
    left: Vec<u8>,
    /// Where the large file is.
    large: Range<usize>,
}

impl Broken {
    fn new(files: &BTreeMap<String, HubFile>) -> Self {
        let is_down = Arc::new(AtomicBool::new(true));
        let down = Arc::clone(&is_down);
        let place = HubPlace::faulty(files, move |_, path, reply| {
            if path == Some(LARGE) && reply.status != 302 && down.load(Ordering::Relaxed) {
                return HttpReply::bytes(404, "");
            }
            reply
        });
        let start = place.place.read(&format!("model/{LARGE}"));
        place.run(&resume()).refused(4, "is not there");
        let names = place.place.names();
        let left = place.place.read(&names[0]);
        fs::remove_file(place.place.path(&names[0])).unwrap();
        // Only what stands before the first block is of that run.
        place
            .run("build model --output local --manifest local.json")
            .ok();
        let mut whole = place.place.read("local");
        whole[..4096].copy_from_slice(&left[..4096]);
        let offset = whole
            .windows(64)
            .position(|bytes| bytes == &start[..64])
            .unwrap();
        for name in ["local", "local.json"] {
            fs::remove_file(place.place.path(name)).unwrap();
        }
        Self {
            place,
            is_down,
            left: whole,
            large: offset..offset + start.len(),
        }
    }

    /// Goes on where the large file is as `change` makes it: where it is asked for, in order.
    fn go_on(&self, change: impl FnOnce(&mut [u8])) -> Vec<u64> {
        let mut left = self.left.clone();
        change(&mut left[self.large.clone()]);
        leave(&self.place, &left);
        self.is_down.store(false, Ordering::Relaxed);
        let before = self.place.ranges_of(LARGE).len();
        self.place.run(&resume()).ok();
        let mut asked = self.place.ranges_of(LARGE).split_off(before);
        asked.sort_unstable();
        is_whole(&self.place);
        for name in ["disk", "disk.json", "local", "local.json"] {
            fs::remove_file(self.place.place.path(name)).unwrap();
        }
        asked
    }
}

#[test]
fn only_the_rest_of_a_file_is_fetched() {
    let broken = Broken::new(&files());
    let size = broken.large.len();
    let mib = |number: u64| number << 20;
    for (written, asked) in [
        (0, vec![0, mib(8), mib(16)]),
        (MIB - 4096, vec![0, mib(8), mib(16)]),
        (MIB, vec![mib(1), mib(9), mib(17)]),
        (15 * MIB + 3 * 4096, vec![mib(15)]),
        (20 * MIB, vec![mib(20)]),
        (size, vec![]),
    ] {
        let found = broken.go_on(|large| large[written..].fill(0));
        assert_eq!(found, asked, "{written}");
    }
}

/// Parts of a file are not written in order.
#[test]
fn a_file_is_kept_up_to_its_first_hole() {
    let broken = Broken::new(&files());
    let asked = broken.go_on(|large| large[5 * MIB + 4096..][..4096].fill(0));
    assert_eq!(asked, [5 << 20, 13 << 20]);
    // To its end, and another one.
    let asked = broken.go_on(|large| large[5 * MIB] ^= 1);
    assert_eq!(asked, [0, 8 << 20, 16 << 20]);
}

#[test]
fn zeros_of_a_whole_file_are_its_own() {
    let mut files = files();
    let mut bytes = data(9 * MIB, 18);
    bytes[2 * MIB..4 * MIB].fill(0);
    bytes[8 * MIB..].fill(0);
    files.insert(LARGE.to_owned(), HubFile::new(bytes, true));
    let broken = Broken::new(&files);
    assert_eq!(broken.go_on(|_| ()), [0; 0]);
    let asked = broken.go_on(|large| large[7 * MIB..].fill(0));
    assert_eq!(asked, [2 << 20]);
}

/// Nobody can know whether what was left or what came is wrong: not the server is blamed, and the
/// next run fetches all.
#[test]
fn a_start_that_is_wrong_is_kept_once() {
    let broken = Broken::new(&files());
    let mut left = broken.left.clone();
    left[broken.large.start + 7] ^= 1;
    left[broken.large.start + 10 * MIB..broken.large.end].fill(0);
    leave(&broken.place, &left);
    broken.is_down.store(false, Ordering::Relaxed);
    let said = "model-1.safetensors is not what it should be, with the start of it that an earlier \
                run left";
    broken.place.run(&resume()).refused(1, said);
    let asked = broken.place.ranges_of(LARGE);
    assert!(asked.contains(&(10 << 20)), "{asked:?}");
    broken.place.run(&resume()).ok();
    let asked = broken.place.ranges_of(LARGE).split_off(asked.len());
    assert!(asked.contains(&0), "{asked:?}");
    is_whole(&broken.place);
}

/// The same files in the same places, but for what is in one.
#[test]
fn a_start_of_another_revision_is_not_kept() {
    let earlier = Broken::new(&files());
    let mut files = files();
    let bytes = data(20 * MIB + 77, 20);
    files.insert(LARGE.to_owned(), HubFile::new(bytes, true));
    let later = Broken::new(&files);
    assert!(earlier.left[..4096] != later.left[..4096]);
    let mut left = earlier.left.clone();
    left[earlier.large.start + 10 * MIB..earlier.large.end].fill(0);
    leave(&later.place, &left);
    // It is not there for the one that comes after this one either.
    later.place.run(&resume()).refused(4, "is not there");
    let now = later.place.place.read(LEFT);
    assert!(now[..4096] == later.left[..4096]);
    assert!(now[later.large.clone()].iter().all(|byte| *byte == 0));
    later.is_down.store(false, Ordering::Relaxed);
    let printed = later.place.run(&format!("{} --json", resume())).ok();
    let object: Value = serde_json::from_str(&printed).unwrap();
    assert!(
        object["kept_bytes"].as_u64().unwrap() > 3 << 20,
        "{printed}"
    );
    assert!(later.place.ranges_of(LARGE).contains(&0));
    is_whole(&later.place);
}

/// What came wrong is not taken for a start because there are zeros in the file.
#[test]
fn what_came_wrong_is_not_kept() {
    let mut files = files();
    let mut bytes = data(9 * MIB, 18);
    bytes[2 * MIB..4 * MIB].fill(0);
    files.insert(LARGE.to_owned(), HubFile::new(bytes, true));
    let is_wrong = Arc::new(AtomicBool::new(true));
    let wrong = Arc::clone(&is_wrong);
    let place = HubPlace::faulty(&files, move |_, path, mut reply| {
        if path == Some(LARGE) && reply.status != 302 && wrong.load(Ordering::Relaxed) {
            let fill = Arc::clone(&reply.fill);
            reply.fill = Arc::new(move |offset, bytes: &mut [u8]| {
                fill(offset, bytes);
                bytes[0] ^= u8::from(offset == 0);
            });
        }
        reply
    });
    let expected = "model-1.safetensors is not what it should be: expected SHA-256 ";
    place.run(&resume()).refused(3, expected);
    is_wrong.store(false, Ordering::Relaxed);
    let before = place.ranges_of(LARGE).len();
    place.run(&resume()).ok();
    let asked = place.ranges_of(LARGE).split_off(before);
    assert!(asked.contains(&0), "{asked:?}");
    is_whole(&place);
}
