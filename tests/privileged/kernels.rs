//! What docs/kernels.md says of this kernel. On one that has no column there, all is tried, and
//! nothing is compared.

use std::{fs, path::Path};

use crate::{
    Test,
    disk::{TestDisk, files, root_hash},
    machine::{Leftovers, kernel_release, unmount_below},
    mounting::verity_version,
    real_model::variable,
    run::{check, mounter, text},
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    ("what_a_kernel_has", what_a_kernel_has),
    ("filesystems_of_mkfs_erofs", filesystems_of_mkfs_erofs),
];

const DOCUMENT: &str = include_str!("../../docs/kernels.md");

/// The first cell of each row in the table below a heading, and what it says of this kernel.
fn rows(heading: &str) -> Vec<(&'static str, Option<&'static str>)> {
    let (_, text) = DOCUMENT.split_once(&format!("## {heading}\n")).unwrap();
    let text = text.split("\n## ").next().unwrap();
    let lines = text.lines().filter(|line| line.starts_with("| "));
    let mut rows =
        lines.map(|line| -> Vec<_> { line.trim_matches('|').split('|').map(str::trim).collect() });
    let head = rows.next().unwrap();
    let release = kernel_release();
    let column = head
        .iter()
        .position(|version| release.starts_with(&format!("{version}.")));
    if column.is_none() {
        println!("docs/kernels.md has no column for {release}");
    }
    rows.map(|row| (row[0], column.map(|column| row[column])))
        .collect()
}

/// What a row is about, and what finds out what is so.
type Probe = (&'static str, fn() -> String);

/// One for each row.
const PROBES: &[Probe] = &[
    ("version of dm-verity's target", target_version),
    ("`--on-error restart` and `panic`", on_error),
    ("an image file on a tmpfs is read directly", direct_reads),
    ("blocks that FEC has corrected are counted", || {
        yes_or_no(crate::fec::are_counted())
    }),
];

fn what_a_kernel_has() {
    let rows = rows("What a kernel has");
    let names: Vec<_> = rows.iter().map(|(name, _)| *name).collect();
    let probed: Vec<_> = PROBES.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, probed);
    for ((name, said), (_, probe)) in rows.into_iter().zip(PROBES) {
        let found = probe();
        assert_eq!(said.unwrap_or(&found), found, "{name}");
    }
}

fn yes_or_no(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_owned()
}

fn target_version() -> String {
    let (version, _) = verity_version();
    format!("{}.{}", version[0], version[1])
}

fn on_error() -> String {
    let disk = TestDisk::new();
    let has = ["restart", "panic"].map(|choice| {
        let outcome = mounter(&disk.mount_line(&format!("--on-error {choice}")));
        if outcome.code == 0 {
            mounter(&disk.line("unmount")).is(0, &[]);
            return true;
        }
        outcome.is(6, &["Linux 6.12"]);
        false
    });
    assert_eq!(has[0], has[1]);
    yes_or_no(has[0])
}

fn direct_reads() -> String {
    let disk = TestDisk::new();
    let tmpfs = disk.path("tmpfs");
    fs::create_dir(&tmpfs).unwrap();
    check("mount", ["-t", "tmpfs", "tmpfs", text(&tmpfs)]);
    let image = tmpfs.join("image");
    fs::copy(&disk.image, &image).unwrap();
    let mount_point = disk.path("mnt");
    mounter(&format!(
        "mount --root-hash {} {} {}",
        disk.root_hash,
        image.display(),
        mount_point.display()
    ))
    .is(0, &[]);
    let columns = ["--noheadings", "--output", "DIO", "--associated"];
    let direct = check("losetup", [&columns[..], &[text(&image)]].concat());
    mounter(&disk.line("unmount")).is(0, &[]);
    unmount_below(&tmpfs);
    yes_or_no(direct.trim() == "1")
}

/// Each is mounted and holds its model's bytes, or is refused with what the kernel would need.
/// (`tests/privileged/erofs_images.sh` makes them, by the rows of the same table.)
fn filesystems_of_mkfs_erofs() {
    let images = variable("EROFS_IMAGES");
    let images = Path::new(&images);
    let model = files(&images.join("model"));
    assert!(model.len() > 10);
    let rows = rows("Filesystems of mkfs.erofs");
    assert!(rows.len() > 15, "only {} rows", rows.len());
    let mut wrong = Vec::new();
    for (name, said) in rows {
        let name = name.trim_matches('`');
        let found = mounts(&images.join(format!("{name}.erofs")), &model);
        if said.is_some_and(|said| said != found) {
            wrong.push(format!("{name}: {found}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// A disk with one of these images.
pub(crate) fn disk_of(image: &Path) -> TestDisk {
    let mut disk = TestDisk::filesystem();
    fs::copy(image, &disk.image).unwrap();
    // Data blocks are no larger than those of the filesystem.
    let block_size = 1 << fs::read(image).unwrap()[1024 + 12];
    let (image, block_size) = (disk.image.clone(), format!("{block_size}"));
    let hash = ["hash", text(&image), "--data-block-size", &block_size];
    disk.root_hash = root_hash(&check("disk-builder", hash));
    disk
}

/// Whether the kernel mounts an image, and reads what is in it.
fn mounts(image: &Path, model: &crate::disk::Files) -> String {
    let disk = disk_of(image);
    let before = Leftovers::look();
    let outcome = mounter(&disk.mount_line(""));
    if outcome.code != 0 {
        outcome.is(6, &["this kernel may lack what it uses", "Linux"]);
        before.check();
        return "no".to_owned();
    }
    let copy = disk.path("copy");
    check("cp", ["-r", text(&disk.mount_point()), text(&copy)]);
    mounter(&disk.line("unmount")).is(0, &[]);
    assert_eq!(files(&copy), *model, "{image:?}");
    "yes".to_owned()
}
