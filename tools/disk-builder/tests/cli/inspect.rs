//! `inspect`, and the documents that the program prints of itself.

use serde_json::Value;

use crate::program::{WorkFolder, data, field};

#[test]
fn claims_of_a_hash_device() {
    let place = WorkFolder::new();
    place.write("data", &data(40960, 1));
    let printed = place.run("hash data --hash-device hashes").ok();
    let text = place.run("inspect hashes").ok();
    assert!(text.contains("nothing of it is verified"), "{text}");
    for label in [
        "UUID",
        "Data blocks",
        "Hash blocks",
        "Hash algorithm",
        "Salt",
    ] {
        assert_eq!(field(&text, label), field(&printed, label));
    }
    assert_eq!(field(&text, "Geometry bound by"), "geometry salt");
    place.run("hash data --hash-device unbound --salt 00").ok();
    let unbound = place.run("inspect unbound").ok();
    assert!(
        field(&unbound, "Refused").starts_with("nothing"),
        "{unbound}"
    );
    let json: Value = serde_json::from_str(&place.run("inspect hashes --json").ok()).unwrap();
    assert_eq!(json["verified"], false);
    assert_eq!(json["verity"]["data_blocks"], 10);
    assert_eq!(json["verity"]["tree_end"], 8192);
    assert_eq!(json["filesystems"], serde_json::json!([]));
}

#[test]
fn an_unbound_disk_says_so() {
    let place = WorkFolder::new();
    place.write("image", &data(40960, 1));
    place.run("hash image --salt 00").ok();
    let inspect = "inspect image --hash-offset 40960";
    let text = place.run(inspect).ok();
    assert!(field(&text, "Refused").starts_with("nothing"), "{text}");
    place.write("image", &data(40960, 1));
    place.run("hash image").ok();
    let text = place.run(inspect).ok();
    assert_eq!(field(&text, "Geometry bound by"), "geometry salt");
}

#[test]
fn nothing_there() {
    let place = WorkFolder::new();
    place.write("data", &data(100, 1));
    let text = place.run("inspect data").ok();
    assert!(text.contains("none that is known"), "{text}");
    assert!(text.contains("there is no dm-verity superblock"), "{text}");
    place
        .run("inspect missing")
        .refused(4, "cannot open missing");
}

/// What is wrong is said, by `verify` as well, and the rest is still shown.
#[test]
fn a_damaged_filesystem() {
    let place = WorkFolder::new();
    let mut image = data(40960, 1);
    image[1024..1028].copy_from_slice(&[0xe2, 0xe1, 0xf5, 0xe0]);
    image[1036] = 40;
    place.write("image", &image);
    let reason = "EROFS block size 2^40 is not from 512 to 65536";
    let text = place.run("inspect image").ok();
    assert_eq!(
        field(&text, "Filesystem"),
        format!("erofs, damaged: {reason}")
    );
    assert_eq!(field(&text, "Size"), "40960");
    let json: Value = serde_json::from_str(&place.run("inspect image --json").ok()).unwrap();
    assert_eq!(json["filesystems"], serde_json::json!([]));
    assert_eq!(
        json["damaged_filesystems"],
        serde_json::json!([{"type": "erofs", "reason": reason}])
    );
    let root_hash = "ab".repeat(32);
    place
        .run(&format!("verify image --root-hash {root_hash}"))
        .refused(3, reason);
}

#[test]
fn every_command_shows_an_example() {
    let place = WorkFolder::new();
    let page = place.run("man").ok();
    assert!(page.contains("\n.TH DISK-BUILDER 1 "), "{page}");
    for command in ["build", "hash", "verify", "inspect", "completions", "man"] {
        let help = place.run(&format!("{command} --help")).ok();
        assert!(
            help.contains(&format!("  disk-builder {command}")),
            "{help}"
        );
        assert!(page.contains(&format!("\n.SS {command}\n")), "{page}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(
            place
                .run(&format!("completions {shell}"))
                .ok()
                .contains("hash-offset")
        );
    }
}
