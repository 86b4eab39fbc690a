//! The commands in the documents that need a kernel with dm-verity. `tests/commands.rs` runs the
//! others, and says how a document marks them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;
use test_support::documents::{blocks, script};

use crate::{
    Test,
    disk::{Files, Named, files, root_hash},
    run::{Outcome, check},
    sidecar::Sidecar,
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    ("readme", || run(include_str!("../../README.md"))),
    ("correction", || {
        run(include_str!("../../docs/correction.md"))
    }),
    ("auditing", || run(include_str!("../../docs/auditing.md"))),
    ("fuse", || run(include_str!("../../docs/fuse.md"))),
    ("other_disks", || {
        run(include_str!("../../docs/other-disks.md"))
    }),
    ("publishing", || {
        run(include_str!("../../docs/publishing.md"))
    }),
];

/// What the documents speak of: a model, a disk of it as a file and as a block device, and a
/// device to put one on.
struct Scene {
    folder: TempDir,
    root_hash: String,
    files: Files,
    _devices: [Named; 3],
}

/// Where the documents mount.
const MOUNT_POINTS: [&str; 2] = ["/mnt/model", "/mnt/modelweights-llama-3-0"];

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("model");
        fs::create_dir_all(model.join("1_Pooling")).unwrap();
        fs::write(model.join("config.json"), "{}\n").unwrap();
        fs::write(model.join("1_Pooling/config.json"), "{}\n").unwrap();
        let weights: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        fs::write(model.join("model.safetensors"), weights).unwrap();
        let image = folder.path().join("disk.img");
        let words = ["build", "--output"].map(PathBuf::from);
        let [build, output] = words;
        let printed = check(
            "disk-builder",
            [build, model.clone(), output, image.clone()],
        );
        let volume = folder.path().join("volume");
        fs::File::create(&volume)
            .unwrap()
            .set_len(16 << 20)
            .unwrap();
        Self {
            root_hash: root_hash(&printed),
            files: files(&model),
            _devices: [
                Named::new(&image, "model"),
                Named::new(&image, "modelweights-llama-3-0"),
                Named::new(&volume, "volume"),
            ],
            folder,
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // A document that leaves a mount behind fails in the end.
        for place in MOUNT_POINTS {
            let _ = fs::remove_dir(place);
        }
    }
}

/// Runs all of a document.
fn run(document: &str) {
    let scene = Scene::new();
    let kernel = script(document, "sh kernel").replace("ROOT_HASH", &scene.root_hash);
    assert_ne!(kernel, "", "the document has no commands for a kernel");
    let output = Command::new("sh")
        .args(["-eux", "-c", &kernel])
        .current_dir(scene.folder.path())
        .output()
        .unwrap();
    Outcome::from(output).is(0, &[]);
    for block in blocks(document) {
        if block.info == "sh sidecar" {
            sidecar(&scene, &block.text);
        }
    }
}

/// Runs a sidecar until it serves the model, and ends it.
fn sidecar(scene: &Scene, command: &str) {
    let command = command.replace("ROOT_HASH", &scene.root_hash);
    let (program, line) = command.trim_end().split_once(' ').unwrap();
    let mut sidecar = Sidecar::start(program, line);
    sidecar.wait_for("ready");
    let serves = |place: &&str| Path::new(place).exists() && files(Path::new(place)) == scene.files;
    assert_eq!(MOUNT_POINTS.iter().filter(|place| serves(place)).count(), 1);
    sidecar.terminate().is(0, &["is unmounted"]);
}
