//! Places where no hash area can be, and devices that end too early.

use std::fs;

use super::Hostile;
use crate::{
    disk::{Loop, TestDisk, write},
    machine::Leftovers,
};

pub(super) fn places_of_the_hash_area() {
    let hostile = Hostile::new("places", TestDisk::new());
    let end = hostile.disk.data_bytes;
    let length = hostile.image.len() as u64;
    let reasons = &[
        "its magic is missing",
        "cut short",
        "not a multiple",
        "too large",
    ];
    for offset in [
        0,
        1,
        512,
        1024,
        end - 4096,
        end - 512,
        end - 1,
        end + 1,
        end + 512,
        end + 4096,
        length - 512,
        length - 511,
        length,
        length + 4096,
        1 << 40,
        1 << 62,
        (1 << 63) - 512,
        1 << 63,
        u64::MAX - 511,
        u64::MAX,
    ] {
        hostile.is_refused(&format!("--hash-offset {offset}"), 3, reasons);
    }
    // The whole hash area once more, inside the data, where the filesystem claims to end.
    let area = &hostile.image[end as usize..];
    for at in [4096, 8192, (end - area.len() as u64) / 4096 * 4096] {
        write(&hostile.disk.image, at, area);
        hostile.is_refused(&format!("--hash-offset {at}"), 3, &["within the data"]);
        write(
            &hostile.disk.image,
            1024 + 36,
            &(at as u32 / 4096).to_le_bytes(),
        );
        hostile.is_refused("", 3, &["within the data"]);
        hostile.restore();
    }
    hostile.is_mounted("");
}

pub(super) fn block_devices_that_are_cut_short() {
    let hostile = Hostile::new("short devices", TestDisk::new());
    let length = hostile.image.len() as u64;
    for bytes in [
        length - 512,
        length - 4096,
        hostile.disk.data_bytes + 512,
        hostile.disk.data_bytes,
        8192,
        2048,
    ] {
        fs::write(&hostile.disk.image, &hostile.image[..bytes as usize]).unwrap();
        let before = Leftovers::look();
        let device = Loop::new(&hostile.disk.image);
        let image = hostile.disk.image.to_str().unwrap();
        let line = hostile.disk.mount_line("");
        let line = line.replace(image, device.path().to_str().unwrap());
        hostile.line_is_refused(&line, 3, &["cut short"]);
        drop(device);
        before.check();
    }
}
