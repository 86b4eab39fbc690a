//! One judgement of a disk: what one command refuses, each does, for the same reason. (That the
//! mounter does so too is what the fuzz target `disk` compares.)

use crate::program::{WorkFolder, field};

/// A filesystem that needs data from elsewhere, under a tree by the book.
#[test]
fn an_erofs_with_data_on_other_devices() {
    let place = WorkFolder::new();
    std::fs::create_dir(place.path("model")).unwrap();
    place.write("model/config.json", b"{}");
    let built = place.run("build model --output image --json").ok();
    let built: serde_json::Value = serde_json::from_str(&built).unwrap();
    let number = |name: &str| built[name].as_u64().unwrap();
    let (blocks, offset) = (number("data_blocks"), number("hash_offset"));
    let salt = built["salt"].as_str().unwrap();
    std::fs::remove_file(place.path("image.json")).unwrap();

    let mut image = place.read("image");
    // The number of other devices.
    image[1024 + 86] = 1;
    place.write("image", &image);
    let tree = format!("--data-blocks {blocks} --hash-offset {offset}");
    let formatted = place
        .veritysetup(&format!("format {tree} --salt {salt} image image"))
        .ok();
    let root_hash = field(&formatted, "Root hash");

    let reason = "the EROFS filesystem has data on other devices (1), which no hash tree covers";
    for command in [
        format!("verify image --root-hash {root_hash}"),
        format!("verify image --root-hash {root_hash} --hash-offset {offset}"),
        format!("verify image --root-hash {root_hash} --no-superblock --salt {salt} {tree}")
            .replace(&offset.to_string(), &(offset + 4096).to_string()),
        format!("hash image {tree}"),
        "hash image --hash-device elsewhere".to_owned(),
    ] {
        place.run(&command).refused(3, reason);
    }
    let shown = place.run("inspect image").ok();
    assert!(field(&shown, "Refused").contains(reason), "{shown}");
    assert_eq!(
        field(&shown, "Filesystem"),
        format!("erofs, damaged: {reason}")
    );
    // It is that field alone.
    image[1024 + 86] = 0;
    place.write("image", &image);
    let root_hash = built["root_hash"].as_str().unwrap();
    place
        .run(&format!("verify image --root-hash {root_hash}"))
        .ok();
}
