//! Pods of a namespace that runs nothing privileged: the disk is verified while its files are copied.

use std::{
    fs::{self, File},
    os::unix::fs::{FileExt, PermissionsExt},
};

use nix::sys::signal::Signal::{SIGKILL, SIGTERM};
use serde_json::{Value, json};

use crate::{
    Test,
    cluster::{kubectl, wait_for_description},
    disk::LoopDisk,
    machine::{disk_of, mappings_of},
    pod::{MOUNTER, WORKLOAD, kill_mounter, kill_sandbox},
    release::ClusterRelease,
    run::until,
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    ("a_killed_copy_is_continued", a_killed_copy_is_continued),
    ("a_copy_is_read", a_copy_is_read),
    ("an_image_file", an_image_file),
    ("a_copy_in_memory", a_copy_in_memory),
    ("a_corrupt_disk_is_not_copied", a_corrupt_disk_is_not_copied),
    ("another_root_hash", another_root_hash),
    ("a_copy_that_somebody_changed", a_copy_that_somebody_changed),
    ("without_the_group_disk", without_the_group_disk),
];

/// The manifests of this kind.
pub(crate) const VARIANT: &str = "unprivileged";

/// What says that a copy is not whole.
const MARK: &str = ".disk-mounter-extract";

/// A namespace of the level that the manifests are for.
pub(crate) fn restricted(namespace: &'static str) -> ClusterRelease {
    let mut release = ClusterRelease::new(namespace, "restricted");
    // A node that does not count its room has none to be asked for.
    release.changes = vec![remove("initContainers/0/resources/requests")];
    release
}

/// A change of the pod, for a JSON patch.
fn change(operation: &str, path: &str, value: &Value) -> Value {
    json!({ "op": operation, "path": format!("/spec/template/spec/{path}"), "value": value })
}

/// The same that takes something away.
pub(crate) fn remove(path: &str) -> Value {
    json!({ "op": "remove", "path": format!("/spec/template/spec/{path}") })
}

/// Another value.
pub(crate) fn replace(path: &str, value: &Value) -> Value {
    change("replace", path, value)
}

fn a_copy_is_read() {
    let disk = LoopDisk::new(1);
    let release = restricted("copy");
    release.apply(VARIANT, "model-disk", &disk);
    kubectl("rollout status deployment/inference-server --namespace copy --timeout 180s");
    release.wait_until_read(&disk);
    wait_for_description(
        &format!("pod {} --namespace copy", release.pod()),
        &[
            (
                MOUNTER,
                &["State: Terminated", "Reason: Completed", "Exit Code: 0"],
            ),
            (WORKLOAD, &["State: Running", "Ready: True"]),
        ],
    );
    // No kernel has a part in it, and anybody in the pod may read it.
    assert_eq!(mappings_of(&disk.device), Vec::<String>::new());
    let copy = disk_of(&release.uid());
    let names = fs::read_dir(&copy).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["weights"]);
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(
        (mode(copy.clone()), mode(copy.join("weights"))),
        (0o755, 0o644)
    );
    release.end(&disk);
}

/// On a volume with a filesystem; nobody needs a right to a device then.
fn an_image_file() {
    let disk = LoopDisk::new(1);
    let mut release = restricted("file");
    let image = disk.image();
    fs::set_permissions(&image, PermissionsExt::from_mode(0o444)).unwrap();
    let folder = image.parent().unwrap();
    fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).unwrap();
    release.shows = Some(folder.to_str().unwrap().to_owned());
    release.changes.extend([
        remove("securityContext"),
        remove("initContainers/0/volumeDevices"),
        change(
            "add",
            "initContainers/0/volumeMounts/-",
            &json!({ "name": "model-disk", "mountPath": "/disks", "readOnly": true }),
        ),
        replace("initContainers/0/args/3", &json!("/disks/disk")),
    ]);
    release.apply(VARIANT, "model-disk", &disk);
    release.wait_until_read(&disk);
    release.end(&disk);
}

/// In that of the node, and not on its storage.
fn a_copy_in_memory() {
    let disk = LoopDisk::new(1);
    let mut release = restricted("memory");
    let in_memory = json!({ "medium": "Memory", "sizeLimit": "16Mi" });
    let change = replace("volumes/0/emptyDir", &in_memory);
    release.changes.push(change);
    release.apply(VARIANT, "model-disk", &disk);
    release.wait_until_read(&disk);
    let copy = disk_of(&release.uid());
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let volume = copy.parent().unwrap().to_str().unwrap();
    let mount = format!("tmpfs {volume} tmpfs ");
    assert!(mounts.contains(&mount), "{mounts}");
    release.end(&disk);
}

/// The workload is never started, and the file that is corrupt has no name. A disk that is mended is
/// copied by the next run.
fn a_corrupt_disk_is_not_copied() {
    let disk = LoopDisk::new(1);
    disk.flip();
    let release = restricted("corrupt");
    release.apply(VARIANT, "model-disk", &disk);
    let pod = format!("pod {} --namespace corrupt", release.pod());
    wait_for_description(
        &pod,
        &[
            (
                MOUNTER,
                &[
                    "Reason: CrashLoopBackOff",
                    "Exit Code: 3",
                    "Message:",
                    "cannot read weights on /dev/model",
                    "Ready: False",
                ],
            ),
            (WORKLOAD, &["Reason: PodInitializing", "Restart Count: 0"]),
        ],
    );
    let copy = disk_of(&release.uid());
    assert!(copy.join(MARK).exists() && !copy.join("weights").exists());
    disk.flip();
    release.wait_until_read(&disk);
    assert!(!copy.join(MARK).exists());
    release.end(&disk);
}

fn another_root_hash() {
    let disk = LoopDisk::new(1);
    let release = restricted("another");
    release.apply_with(VARIANT, "model-disk", &disk, &"1a".repeat(32));
    wait_for_description(
        &format!("pod {} --namespace another", release.pod()),
        &[
            (
                MOUNTER,
                &[
                    "Exit Code: 3",
                    "Message:",
                    "the root hash does not match",
                    "Ready: False",
                ],
            ),
            (WORKLOAD, &["Reason: PodInitializing"]),
        ],
    );
    assert!(!disk_of(&release.uid()).exists());
    release.end(&disk);
}

/// By whoever asks it to end, and by whoever does not ask.
fn a_killed_copy_is_continued() {
    let disk = LoopDisk::with_zeros(1, 40);
    let mut release = restricted("killed");
    // It takes its time.
    release.changes.push(change(
        "add",
        "initContainers/0/resources/limits/cpu",
        &json!("200m"),
    ));
    release.apply(VARIANT, "model-disk", &disk);
    let pod = format!("pod {} --namespace killed", release.pod());
    let uid = release.uid();
    let copy = disk_of(&uid);
    until("the first files are there", || {
        let names = fs::read_dir(&copy).into_iter().flatten();
        let names = names.map(|entry| entry.unwrap().file_name());
        let zeros = names.filter(|name| name.to_str().unwrap().starts_with("zeros"));
        (zeros.count() > 1).then_some(())
    });
    for (signal, said) in [
        (SIGTERM, ["Exit Code: 143", "Restart Count: 1"]),
        (SIGKILL, ["Exit Code: 137", "Restart Count: 2"]),
    ] {
        until("it runs", || kill_mounter(&uid, signal));
        wait_for_description(&pod, &[(MOUNTER, &said)]);
        assert!(copy.join(MARK).exists());
    }
    release.wait_until_read(&disk);
    let said = kubectl(&format!(
        "logs {} --namespace killed --container {MOUNTER}",
        release.pod()
    ));
    assert!(said.contains("of them were there before"), "{said}");
    assert!(!copy.join(MARK).exists());
    release.end(&disk);
}

/// The node's copy is another than that of the disk, and nobody notices while the pod runs. Its next
/// start does.
fn a_copy_that_somebody_changed() {
    let disk = LoopDisk::new(1);
    let release = restricted("changed");
    release.apply(VARIANT, "model-disk", &disk);
    release.wait_until_read(&disk);
    let uid = release.uid();
    let weights = File::options()
        .write(true)
        .open(disk_of(&uid).join("weights"));
    weights.unwrap().write_all_at(b"changed", 4096).unwrap();
    kill_sandbox(&uid);
    wait_for_description(
        &format!("pod {} --namespace changed", release.pod()),
        &[
            (
                MOUNTER,
                &[
                    "Exit Code: 5",
                    "Message:",
                    "is not empty, and not what a run for this disk left: weights in it",
                ],
            ),
            (WORKLOAD, &["Ready: False"]),
            ("Events", &["SandboxChanged"]),
        ],
    );
    release.end(&disk);
}

/// The node of the device is root's, and its group's.
fn without_the_group_disk() {
    let disk = LoopDisk::new(1);
    let mut release = restricted("group");
    release.changes.push(remove("securityContext"));
    release.apply(VARIANT, "model-disk", &disk);
    wait_for_description(
        &format!("pod {} --namespace group", release.pod()),
        &[(MOUNTER, &["Exit Code: 6", "Message:", "Permission denied"])],
    );
    release.end(&disk);
}
