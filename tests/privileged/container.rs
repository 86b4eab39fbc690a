//! A machine as a container sees it: no udev, no `/dev/mapper`, a `/dev` with little in it.

use std::{
    fs::{self, File},
    path::Path,
    process::Command,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    Test,
    disk::{TestDisk, root_hash},
    machine::kernel_is_before,
    run::{Outcome, check, run, text},
    sidecar::until,
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    ("without_dev_mapper", without_dev_mapper),
    (
        "with_what_a_runtime_puts_into_dev",
        with_what_a_runtime_puts_into_dev,
    ),
    (
        "many_images_in_a_dev_without_nodes",
        many_images_in_a_dev_without_nodes,
    ),
    (
        "a_visible_udev_that_cannot_answer",
        a_visible_udev_that_cannot_answer,
    ),
    ("without_the_right", without_the_right),
    (
        "as_the_first_process_it_ends_when_it_is_asked",
        as_the_first_process_it_ends_when_it_is_asked,
    ),
    (
        "an_image_on_an_overlay_over_a_tmpfs",
        an_image_on_an_overlay_over_a_tmpfs,
    ),
];

/// Runs a script with mounts of its own, which stops at its first failure.
pub(crate) fn unshared(options: &str, script: &str) -> Outcome {
    let script = format!("set -eu\n{script}");
    run("unshare", options.split(' ').chain(["sh", "-c", &script]))
}

/// A `/dev` of the container's own, with the nodes that the runtime specification names.
pub(crate) const BARE_DEV: &str = "
    mount -t tmpfs tmpfs /dev
    mknod /dev/null c 1 3
    mknod /dev/zero c 1 5
    mknod /dev/full c 1 7
    mknod /dev/random c 1 8
    mknod /dev/urandom c 1 9
    mknod /dev/tty c 5 0
";

/// What shows that udev runs.
pub(crate) const VISIBLE_UDEV: &str = "
    mount -t tmpfs tmpfs /run
    mkdir /run/udev
    touch /run/udev/control
";

fn without_dev_mapper() {
    let disk = TestDisk::new();
    let (mount, unmount) = (disk.mount_line(""), disk.line("unmount"));
    let script = format!(
        "mkdir /tmp/dev
        mount --bind /dev /tmp/dev
        mount -t tmpfs tmpfs /dev
        for node in loop-control loop0 loop1 loop2; do
            [ ! -e /tmp/dev/$node ] || cp -a /tmp/dev/$node /dev/
        done
        mknod /dev/null c 1 3
        umount /tmp/dev
        rmdir /tmp/dev
        disk-mounter {mount}
        ls /dev/mapper
        disk-mounter {unmount}"
    );
    let outcome = unshared("--mount", &script);
    outcome.is(0, &["is mounted at"]);
    // The node of the mapping was needed for a moment only.
    assert_eq!(outcome.stdout, "control\n");
}

fn with_what_a_runtime_puts_into_dev() {
    let disk = TestDisk::new();
    let (mount, status, unmount) = (
        disk.mount_line(""),
        disk.line("status"),
        disk.line("unmount"),
    );
    let script = format!(
        "{BARE_DEV}
        disk-mounter {mount}
        disk-mounter {mount}
        disk-mounter {status}
        disk-mounter {unmount}
        find /dev -mindepth 1 | sort"
    );
    let outcome = unshared("--mount", &script);
    outcome.is(0, &["is mounted at", "already", "verified"]);
    let nodes: Vec<_> = outcome
        .stdout
        .lines()
        .filter(|line| line.starts_with("/dev/"))
        .collect();
    let expected = [
        "full",
        "loop-control",
        "mapper",
        "mapper/control",
        "null",
        "random",
        "tty",
        "urandom",
        "zero",
    ];
    assert_eq!(nodes, expected.map(|name| format!("/dev/{name}")));
}

/// Each makes the nodes that it needs, and removes them while the others look.
fn many_images_in_a_dev_without_nodes() {
    const MANY: usize = 16;
    let disk = TestDisk::new();
    let (root_hash, folder) = (&disk.root_hash, disk.path("many"));
    fs::create_dir(&folder).unwrap();
    for i in 0..MANY {
        fs::copy(&disk.image, folder.join(i.to_string())).unwrap();
    }
    let script = format!(
        "{BARE_DEV}
        cd {}
        for round in 1 2 3 4; do
            for command in 'mount --root-hash {root_hash}' unmount; do
                runs=
                for image in {}; do
                    case $command in
                        unmount) disk-mounter unmount mnt-$image & ;;
                        *) disk-mounter $command $image mnt-$image & ;;
                    esac
                    runs=\"$runs $!\"
                done
                for run in $runs; do wait $run; done
            done
        done",
        folder.display(),
        (0..MANY).map(|i| format!("{i} ")).collect::<String>(),
    );
    unshared("--mount", &script).is(0, &["is mounted at", "is unmounted"]);
}

fn a_visible_udev_that_cannot_answer() {
    let disk = TestDisk::new();
    let mount = disk.mount_line("");
    let script = format!(
        "{VISIBLE_UDEV}
        disk-mounter {mount}"
    );
    unshared("--mount --ipc", &script).is(6, &["/run/udev", "IPC namespace"]);
}

fn without_the_right() {
    let disk = TestDisk::new();
    let mount = disk.mount_line("");
    let script = format!("{BARE_DEV} disk-mounter {mount}");
    unshared(
        "--mount --user --map-root-user",
        &format!("disk-mounter {mount}"),
    )
    .is(6, &["ermi"]);
    unshared(
        "--mount",
        &format!("{script} && umount {}", disk.mount_point().display()),
    )
    .is(0, &[]);
}

/// The root filesystem of a container that is kept in memory: the kernel takes direct I/O there, and
/// every such read fails before Linux 6.6, in which tmpfs came to know it.
fn an_image_on_an_overlay_over_a_tmpfs() {
    let disk = TestDisk::new();
    let (root_hash, folder) = (&disk.root_hash, disk.path("layers"));
    fs::create_dir(&folder).unwrap();
    let check = "for file in *; do [ ! -f $file ] || sha256sum $file; done";
    // Below, above, and shown by another program's loop device.
    let script = format!(
        "cd {folder}
        mount -t tmpfs tmpfs .
        cd {folder}
        mkdir lower upper work merged
        cp {image} lower/below
        cp {image} lower/shown
        mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged
        cp {image} merged/above
        shown=$(losetup --find --show --read-only merged/shown)
        losetup --direct-io=on $shown
        for image in below above shown; do
            disk-mounter mount --root-hash {root_hash} merged/$image mnt
            disk-mounter mount --root-hash {root_hash} merged/$image again
            (cd mnt; {check})
            disk-mounter unmount again
            disk-mounter unmount mnt
        done
        losetup --detach $shown",
        folder = folder.display(),
        image = disk.image.display(),
    );
    let outcome = unshared("--mount", &script);
    outcome.is(0, &["in a mapping that was there"]);
    // Whoever comes second finds it as it should be.
    let said = outcome.stderr.matches("is read through the page cache");
    let expected = if kernel_is_before([6, 6]) { 3 } else { 0 };
    assert_eq!(said.count(), expected, "{outcome:?}");
    let model = &disk.files[Path::new("model.safetensors")];
    assert_eq!(outcome.stdout.matches(model).count(), 3, "{outcome:?}");
}

/// The kernel keeps from such a process the signals that it does not wait for.
fn as_the_first_process_it_ends_when_it_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let [model, image, out] = ["model", "image", "out"].map(|name| folder.path().join(name));
    fs::create_dir(&model).unwrap();
    // It takes no room, and time to be read.
    let zeros = File::create(model.join("zeros"));
    zeros.unwrap().set_len(2 << 30).unwrap();
    let arguments = ["build", text(&model), "--output", text(&image)];
    let root_hash = root_hash(&check("disk-builder", arguments));
    let mut unshare = Command::new("unshare")
        .args(["--pid", "--fork", "disk-mounter", "extract", "--root-hash"])
        .args([&root_hash, text(&image), text(&out)])
        .spawn()
        .unwrap();
    let mark = out.join(".disk-mounter-extract");
    until("it extracts", || mark.exists());
    let children = format!("/proc/{0}/task/{0}/children", unshare.id());
    let child = fs::read_to_string(children).unwrap();
    let child = Pid::from_raw(child.trim().parse().unwrap());
    kill(child, Signal::SIGTERM).unwrap();
    assert_eq!(unshare.wait().unwrap().code(), Some(143));
    assert!(mark.exists());
}
