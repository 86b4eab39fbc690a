//! FEC areas that are not what they should be, and places that cannot hold one.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
};

use crate::{
    disk::{TestDisk, write},
    machine::Leftovers,
    run::{mounter, text},
};

use super::{FecDevices, FecDisk, spoil};

/// What is in the area is never believed: it corrects, or it does not.
pub(super) fn hostile_areas() {
    let parity = |disk: &FecDisk| disk.rows() * disk.roots * disk.block_size;
    type Change = fn(&FecDisk, u64);
    let changes: [Change; 4] = [
        |disk, bytes| spoil(&disk.fec.0, disk.fec.1, bytes),
        |disk, bytes| write(&disk.fec.0, disk.fec.1, &vec![0; bytes as usize]),
        |disk, bytes| write(&disk.fec.0, disk.fec.1, &vec![0xff; bytes as usize]),
        // The parity of other rows.
        |disk, bytes| {
            let row = disk.roots * disk.block_size;
            let mut area = vec![0; bytes as usize];
            let file = File::open(&disk.fec.0).unwrap();
            file.read_exact_at(&mut area, disk.fec.1).unwrap();
            area.rotate_left(row as usize);
            write(&disk.fec.0, disk.fec.1, &area);
        },
    ];
    for change in changes {
        let disk = FecDisk::new();
        change(&disk, parity(&disk));
        // As long as nothing is corrupt, nobody looks at it.
        disk.reads_right();
        disk.spoil(disk.block);
        disk.is_corrupt(&disk.options);
    }
    // One of another number of roots.
    let disk = FecDisk::with(4096, 4, FecDevices::OneImage);
    disk.spoil(disk.block);
    disk.is_corrupt("--fec --fec-roots 3");
    // Bytes of the disk itself in its place.
    let disk = FecDisk::with(4096, 2, FecDevices::ThreeDevices);
    disk.spoil(disk.block);
    for file in [&disk.disk.image, &disk.hash.0] {
        let bytes = fs::read(file).unwrap();
        fs::write(&disk.fec.0, &bytes[..parity(&disk) as usize]).unwrap();
        disk.is_corrupt(&disk.options);
    }
}

#[track_caller]
fn refused(disk: &FecDisk, options: &str, code: i32, words: &[&str]) {
    let before = Leftovers::look();
    mounter(&disk.disk.mount_line(options)).is(code, words);
    before.check();
}

pub(super) fn areas_that_cannot_be() {
    let disk = FecDisk::new();
    let (_, start) = disk.fec;
    let end = fs::metadata(&disk.disk.image).unwrap().len();
    refused(
        &disk,
        "--fec --fec-roots 24",
        3,
        &["no whole FEC area", "24 roots"],
    );
    let far = format!("--fec --fec-offset {}", start + 4096);
    refused(&disk, &far, 3, &["no whole FEC area", &end.to_string()]);
    let beyond = "--fec --fec-offset 8T";
    refused(&disk, beyond, 3, &["no whole FEC area"]);
    let most = format!("--fec --fec-offset {}", u64::MAX / 4096 * 4096);
    refused(&disk, &most, 2, &["FEC offset", "too large"]);
    let within = format!("--fec --fec-offset {}", start - 4096);
    refused(&disk, &within, 3, &["within the hash tree"]);
    refused(&disk, "--fec --fec-offset 0", 3, &["within the hash tree"]);
    let unaligned = format!("--fec --fec-offset {}", start + 512);
    refused(&disk, &unaligned, 2, &["not a multiple of 4096 bytes"]);
    refused(&disk, "--fec --fec-roots 25", 2, &["2 to 24"]);
    refused(&disk, "--fec-roots 2", 2, &["--fec"]);
    let absent = "--wait 0 --fec --fec-device /nowhere";
    refused(&disk, absent, 4, &["/nowhere", "no such device"]);
    let short = disk.disk.path("short");
    fs::write(&short, vec![0; 4096]).unwrap();
    let short = format!("--fec --fec-device {}", text(&short));
    refused(&disk, &short, 3, &["no whole FEC area"]);
    // Within the data of a disk whose tree is elsewhere.
    let apart = FecDisk::with(4096, 2, FecDevices::HashDevice);
    let (image, tree) = (text(&apart.disk.image), text(&apart.hash.0));
    let options = format!("--hash-device {tree} --fec --fec-device {image}");
    refused(&apart, &options, 3, &["within the data"]);

    let unequal = TestDisk::with(&["--hash-block-size", "1024"]);
    let before = Leftovers::look();
    mounter(&unequal.mount_line("--fec")).is(3, &["can have no FEC area", "one size"]);
    before.check();
}
