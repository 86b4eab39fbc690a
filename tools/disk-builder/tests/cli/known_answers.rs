//! Whole hash devices that `veritysetup` 2.6.1 made.

use crate::program::{WorkFolder, field};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

/// One run of `veritysetup format`. Data block i is the 64-bit little-endian i, repeated.
#[derive(Deserialize)]
struct Case {
    blocks: u64,
    dbs: usize,
    hbs: usize,
    salt: String,
    uuid: String,
    alg: String,
    typ: u32,
    nosb: bool,
    root_hash: String,
    hash_device_sha256: String,
    hash_device_bytes: usize,
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("../../../../tests/data/verity.json")).unwrap()
}

impl Case {
    fn is_allowed(&self) -> bool {
        self.typ == 1 && ["sha256", "sha512"].contains(&&*self.alg)
    }

    fn data(&self) -> Vec<u8> {
        (0..self.blocks)
            .flat_map(|block| block.to_le_bytes().repeat(self.dbs / 8))
            .collect()
    }

    fn arguments(&self) -> String {
        let Self {
            dbs,
            hbs,
            salt,
            alg,
            uuid,
            ..
        } = self;
        let superblock = if self.nosb {
            "--no-superblock".to_owned()
        } else {
            format!("--uuid {uuid}")
        };
        format!(
            "--hash {alg} --data-block-size {dbs} --hash-block-size {hbs} --salt {salt} {superblock}"
        )
    }
}

#[test]
fn every_allowed_case_to_the_byte() {
    let mut count = 0;
    for case in cases().iter().filter(|case| case.is_allowed()) {
        let place = WorkFolder::new();
        place.write("data", &case.data());
        let arguments = case.arguments();
        let printed = place
            .run(&format!("hash data --hash-device hashes {arguments}"))
            .ok();
        assert_eq!(field(&printed, "Root hash"), case.root_hash, "{arguments}");
        let hashes = place.read("hashes");
        assert_eq!(hashes.len(), case.hash_device_bytes, "{arguments}");
        assert_eq!(
            hex::encode(Sha256::digest(&hashes)),
            case.hash_device_sha256,
            "{arguments}"
        );
        count += 1;
    }
    assert_eq!(count, 19);
}

#[test]
fn other_types_and_algorithms_are_refused() {
    let mut count = 0;
    for case in cases().iter().filter(|case| !case.is_allowed()) {
        let place = WorkFolder::new();
        place.write("data", &case.data());
        if case.alg != "sha256" {
            place
                .run(&format!(
                    "hash data --hash-device hashes --hash {}",
                    case.alg
                ))
                .usage("is not allowed: only sha256 and sha512 are");
            assert_eq!(place.names(), ["data"]);
        }
        // A disk that says so.
        place.run("hash data --hash-device hashes").ok();
        let mut hashes = place.read("hashes");
        hashes[12] = case.typ as u8;
        hashes[32..38].fill(0);
        hashes[32..32 + case.alg.len()].copy_from_slice(case.alg.as_bytes());
        place.write("hashes", &hashes);
        let reason = if case.typ == 0 {
            "hash type 0 is not supported: only type 1 is"
        } else {
            "hash algorithm \"sha1\" is not allowed: only sha256 and sha512 are"
        };
        let root = "00".repeat(32);
        place
            .run(&format!(
                "verify data --hash-device hashes --root-hash {root}"
            ))
            .refused(3, reason);
        count += 1;
    }
    assert_eq!(count, 3);
}
