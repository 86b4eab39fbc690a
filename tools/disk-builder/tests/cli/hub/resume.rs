//! Builds that go on with what an earlier one left.

use std::{fs, os::unix::fs::PermissionsExt};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use test_support::hub::{COMMIT, MODEL, Times};

use super::{HubPlace, files};
use crate::program::{Ended, data, field};

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
    place.place.write(LEFT, &left);
    fs::set_permissions(place.place.path(LEFT), fs::Permissions::from_mode(0o600)).unwrap();

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
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
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
    place.place.write(LEFT, &vec![7; 40 << 20]);
    fs::set_permissions(place.place.path(LEFT), fs::Permissions::from_mode(0o600)).unwrap();
    place.run(&resume()).ok();
    is_whole(&place);
    place
        .run("build model --output other --resume")
        .usage("--resume is for a model that is fetched");
}
