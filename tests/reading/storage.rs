//! Storage that changes, or gets shorter, while it is read: what comes out is right, or the exit code is 3.

use std::{
    fs::{self, File},
    io::Read as _,
    os::unix::fs::FileExt,
    process::{Child, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use dm_verity::TreeLayout;
use model_disk::ExitCode;

use crate::place::{DiskFolder, ModelFiles, Read, disk_of, files_in, is_marked, model};

/// A file of several parts.
const LARGE: &str = "shards/1.safetensors";

fn image_file(place: &DiskFolder) -> File {
    let path = place.path("disk.img");
    File::options().write(true).open(path).unwrap()
}

/// A byte of the last part of the large file, and one of the hash block over it.
fn places(place: &DiskFolder) -> [usize; 2] {
    let image = &place.image;
    let area = image.bytes.len() - TreeLayout::new(&image.params).blocks() as usize * 4096;
    let layout = TreeLayout::new(&image.params);
    let data = place.start_of(LARGE) + 2_900_000;
    let level_0 = layout.levels()[0].first_block as usize * 4096;
    [data, area + level_0 + data / 4096 * 32]
}

/// Calls `change` again and again until a program ends.
fn change_until_it_ends(child: Child, change: impl Fn(u64) + Sync) -> Read {
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0.. {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                change(number);
            }
        });
        let output = child.wait_with_output();
        ended.store(true, Ordering::Relaxed);
        Read::of(output.unwrap())
    })
}

fn start(place: &DiskFolder, command: &str, arguments: &[&str]) -> Child {
    let mut program = place.command(command);
    program.args(arguments);
    let program = program.stdout(Stdio::piped()).stderr(Stdio::piped());
    program.spawn().unwrap()
}

/// It ended well, or the disk was found to be corrupt. True where it ended well.
#[track_caller]
fn well_or_corrupt(read: &Read) -> bool {
    let codes = [ExitCode::Success, ExitCode::Integrity].map(|code| Some(code as i32));
    assert!(codes.contains(&read.code), "{}", read.stderr);
    read.code == codes[0]
}

/// What an `extract` left is right, and the next one completes it.
#[track_caller]
fn is_right_and_continued(place: &DiskFolder, read: &Read, model: &ModelFiles) {
    let out = place.path("out");
    let there = files_in(&out);
    assert!(there.iter().all(|(path, bytes)| model[path] == *bytes));
    if well_or_corrupt(read) {
        assert!(there == *model && !is_marked(&out));
    } else {
        assert!(there != *model && is_marked(&out));
    }
    image_file(place)
        .write_all_at(&place.image.bytes, 0)
        .unwrap();
    place.run("extract", &["out"]).ok();
    assert!(files_in(&out) == *model);
    fs::remove_dir_all(&out).unwrap();
}

/// A byte is another at one read and the right one at the next.
#[test]
fn bytes_that_change_all_the_time() {
    let model = model();
    let place = DiskFolder::new(disk_of(&model));
    for byte in places(&place) {
        let flipping = image_file(&place);
        let flip = |number: u64| {
            let change = (number % 2) as u8;
            let bytes = [place.image.bytes[byte] ^ change];
            flipping.write_all_at(&bytes, byte as u64).unwrap();
        };
        for _ in 0..10 {
            let read = change_until_it_ends(start(&place, "cat", &[LARGE]), flip);
            if well_or_corrupt(&read) {
                assert!(read.stdout == model[LARGE]);
            } else {
                assert!(model[LARGE].starts_with(&read.stdout));
            }
            let read = change_until_it_ends(start(&place, "extract", &["out"]), flip);
            is_right_and_continued(&place, &read, &model);
        }
    }
}

/// What `cat` has printed makes sure that it has begun, and not come to the end: it waits for its reader
/// before it reads the next part.
#[test]
fn cat_meets_what_changed_after_its_start() {
    let model = model();
    let place = DiskFolder::new(disk_of(&model));
    let [data, _] = places(&place);
    type Change<'a> = &'a dyn Fn(&File);
    let changes: [Change<'_>; 3] = [
        &|file| {
            file.write_all_at(&[!place.image.bytes[data]], data as u64)
                .unwrap()
        },
        &|file| file.set_len(data as u64).unwrap(),
        &|file| file.set_len(0).unwrap(),
    ];
    for change in changes {
        let mut child = start(&place, "cat", &[LARGE, "--threads", "1"]);
        let mut first = vec![0; 1];
        let mut printed = child.stdout.take().unwrap();
        printed.read_exact(&mut first).unwrap();
        change(&image_file(&place));
        printed.read_to_end(&mut first).unwrap();
        let read = Read::of(child.wait_with_output().unwrap());
        assert!(model[LARGE].starts_with(&first));
        let said = format!("cannot read {LARGE} on disk.img");
        read.refused(ExitCode::Integrity, &[&said]);
        image_file(&place)
            .write_all_at(&place.image.bytes, 0)
            .unwrap();
    }
}

/// Cut off as soon as there is anything of what is extracted.
#[test]
fn an_image_that_is_cut_off_while_it_is_extracted() {
    let model = model();
    let place = DiskFolder::new(disk_of(&model));
    for length in [0, 4096, place.start_of(LARGE) as u64 + 1_000_000] {
        let out = place.path("out");
        let child = start(&place, "extract", &["out"]);
        let read = change_until_it_ends(child, |_| {
            if out.exists() {
                image_file(&place).set_len(length).unwrap();
            }
        });
        is_right_and_continued(&place, &read, &model);
    }
}
