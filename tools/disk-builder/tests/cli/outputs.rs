//! Where outputs go, and who else is there.

use std::{
    fs::{self, File, Permissions},
    io::{BufRead, BufReader, Read},
    os::unix::fs::{PermissionsExt, symlink},
    process::{Child, Command, Stdio},
};

use nix::{sys::signal::Signal, unistd::geteuid};

use crate::program::{Ended, WorkFolder, field, signal};

/// A build that has written all, and waits for the lock of its output.
struct Waiting(Child);

impl Waiting {
    fn start(place: &WorkFolder, arguments: &str) -> Self {
        let mut child = place.spawn(arguments);
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

/// The lock of the output `disk`, as another run of this user has it.
fn lock(place: &WorkFolder) -> File {
    place.write(".disk.disk-builder-lock", b"");
    let lock = File::open(place.path(".disk.disk-builder-lock")).unwrap();
    lock.lock().unwrap();
    lock
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

/// The same, and a directory that all may write to, as `/tmp`; none, where this user cannot be
/// another.
fn shared_folder() -> Option<WorkFolder> {
    let place = two_models();
    let open = |name: &str, mode| {
        fs::set_permissions(place.path(name), Permissions::from_mode(mode)).unwrap();
    };
    fs::create_dir(place.path("shared")).unwrap();
    open("", 0o755);
    open("shared", 0o1777);
    geteuid().is_root().then_some(place)
}

fn root_of(place: &WorkFolder, model: &str) -> String {
    let printed = place.run(&format!("root-hash {model}")).ok();
    printed.trim_end().to_owned()
}

#[test]
fn who_waits_for_another_says_so_and_can_be_ended() {
    let place = two_models();
    let held = lock(&place);
    let build = Waiting::start(&place, "build m1 --output disk");
    signal(&build.0, Signal::SIGTERM);
    build.end().refused(1, "interrupted");
    // It is theirs who have it.
    assert_eq!(place.names(), [".disk.disk-builder-lock", "m1", "m2"]);

    let build = Waiting::start(&place, "build m1 --output disk");
    drop(held);
    build.end().ok();
    let root = root_of(&place, "m1");
    place.run(&format!("verify disk --root-hash {root}")).ok();
    assert_eq!(place.names(), ["disk", "disk.json", "m1", "m2"]);
}

/// Of two that replace an empty file, as `mktemp` makes it, one is too late.
#[test]
fn the_second_onto_an_empty_file_is_refused() {
    let place = two_models();
    place.write("disk", b"");
    let held = lock(&place);
    let builds = ["m1", "m2"]
        .map(|model| Waiting::start(&place, &format!("build {model} --output disk --threads 1")));
    drop(held);
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

/// Neither to a file, nor to nothing, nor where it may be replaced.
#[test]
fn no_link_is_followed_to_an_output() {
    let place = two_models();
    place.write("victim", b"precious");
    place.write("tree", &vec![7; 8192]);
    place.write("data", &vec![5; 40960]);
    symlink("victim", place.path("link")).unwrap();
    symlink("gone/disk", place.path("nothing")).unwrap();
    symlink("data", place.path("data-link")).unwrap();
    let names = place.names();
    for force in ["", " --force"] {
        for (link, arguments) in [
            ("link", "build m1 --output link"),
            ("link", "build m1 --output disk --manifest link"),
            ("link", "hash data --hash-device link"),
            ("nothing", "build m1 --output nothing"),
            ("nothing", "build m1 --output disk --manifest nothing"),
            ("nothing", "hash data --hash-device nothing"),
            ("data-link", "hash data-link"),
            ("data-link", "hash data --hash-device data-link"),
        ] {
            let said = format!("{link} is a symbolic link, and none is followed to an output");
            place.run(&format!("{arguments}{force}")).refused(5, &said);
        }
    }
    assert!(place.read("victim") == b"precious");
    assert!(place.read("data") == vec![5; 40960]);
    assert_eq!(place.names(), names);
    // What is only read may be a link, and so may the directory.
    place.run("hash data-link --hash-device hashes").ok();
    symlink(".", place.path("here")).unwrap();
    place.run("build m1 --output here/disk").ok();
    assert!(place.path("disk").is_file() && place.path("disk.json").is_file());
}

/// Whoever may write to a directory may put links into it, and files where those of a run go.
#[test]
fn what_strangers_plant_beside_an_output() {
    // Only root can be a stranger; `building` of the privileged tests always is.
    let Some(place) = shared_folder() else {
        return;
    };
    place.write("victim", b"precious");
    let as_nobody = |script: &str| {
        let status = Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .args(["sh", "-c", script])
            .current_dir(place.path("shared"))
            .status();
        assert!(status.unwrap().success());
    };
    as_nobody("ln -s ../victim link; echo theirs > .disk.disk-builder-123456");
    for force in ["", " --force"] {
        place
            .run(&format!("build m1 --output shared/link{force}"))
            .refused(5, "shared/link is a symbolic link");
    }
    assert!(place.read("victim") == b"precious");
    // What looks like a leftover is none of this user's, and stays.
    place.run("build m1 --output shared/disk").ok();
    assert!(place.read("shared/.disk.disk-builder-123456") == b"theirs\n");

    // A lock that is not this user's is not waited for.
    as_nobody("echo theirs > .new.disk-builder-lock");
    place.run("build m1 --output shared/new").refused(
        5,
        "shared/.new.disk-builder-lock locks this output, and belongs to user 65534",
    );
    assert!(!place.path("shared/new").exists());
    as_nobody("rm .new.disk-builder-lock && ln -s ../victim .new.disk-builder-lock");
    place
        .run("build m1 --output shared/new")
        .refused(5, "belongs to user 65534");
    assert!(place.read("victim") == b"precious");
}

/// A lock on what others may open is theirs to take and to keep.
#[test]
fn a_lock_on_the_directory_is_not_waited_for() {
    let place = two_models();
    let directory = File::open(place.path("")).unwrap();
    directory.lock().unwrap();
    place.run("build m1 --output disk").ok();
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
    let held = lock(&place);
    let build = Waiting::start(
        &place,
        "build m2 --output disk --manifest elsewhere --force",
    );
    place.write("disk.json", &manifest);
    drop(held);
    build.end().ok();
    assert_eq!(place.names(), ["disk", "elsewhere", "m1", "m2"]);
}

#[test]
fn places_that_are_none_are_refused_at_once() {
    let place = two_models();
    for force in ["", " --force"] {
        for none in ["new/", "m1/", ".", "..", "m1/..", "/"] {
            place
                .run(&format!("build m1 --output {none}{force}"))
                .refused(2, &format!("{none} names a directory: name a file in it"));
        }
    }
    assert_eq!(place.names(), ["m1", "m2"]);
}

/// What took hours is not lost for a manifest.
#[test]
fn a_disk_without_its_manifest_is_said_to_be_complete() {
    let place = two_models();
    let held = lock(&place);
    let build = Waiting::start(&place, "build m1 --output disk");
    let names = place.names();
    let manifest = names.iter().find(|name| name.starts_with(".disk.json."));
    fs::remove_file(place.path(manifest.unwrap())).unwrap();
    drop(held);
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
