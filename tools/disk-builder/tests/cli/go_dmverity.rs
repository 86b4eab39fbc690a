//! The facts of go-dmverity's tests, with our program. No registry of packages has that module, so
//! these are not its tests but the same cases, written anew; docs/peers.md says of which version,
//! and counts them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use crate::program::{Ended, WorkFolder, data, field};

/// How our program does in one of their cases.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum PeerOutcome {
    Same,
    Refused,
    Differs,
}

/// Outcomes by the name of their test.
#[derive(Default)]
struct PeerScore(BTreeMap<(&'static str, PeerOutcome), usize>);

impl PeerScore {
    fn add(&mut self, test: &'static str, outcome: PeerOutcome) {
        *self.0.entry((test, outcome)).or_default() += 1;
    }

    fn of(&self, test: &str, outcome: PeerOutcome) -> usize {
        let mut all = self.0.iter();
        all.find(|(key, _)| **key == (test, outcome))
            .map_or(0, |(_, count)| *count)
    }
}

/// A tree of random data that is made and verified.
struct PeerTree {
    test: &'static str,
    blocks: usize,
    data_block: usize,
    hash_block: usize,
    algorithm: &'static str,
    salt: &'static str,
    superblock: bool,
}

/// `sha256 16 4096/4096 SALT`, with ` superblock` behind it where there is one.
fn tree(test: &'static str, parameters: &'static str) -> PeerTree {
    let words: Vec<_> = parameters.split(' ').collect();
    let (data_block, hash_block) = words[2].split_once('/').unwrap();
    PeerTree {
        test,
        blocks: words[1].parse().unwrap(),
        data_block: data_block.parse().unwrap(),
        hash_block: hash_block.parse().unwrap(),
        algorithm: words[0],
        salt: words[3],
        superblock: words.get(4) == Some(&"superblock"),
    }
}

const TREES: &[(&str, &[&str])] = &[
    (
        "TestCreateWithVeritysetup",
        &[
            "sha256 16 4096/4096 -",
            "sha256 32 4096/4096 integration-test-salt",
            "sha512 16 4096/4096 -",
            "sha1 8 4096/4096 integration-test-salt",
            "sha256 16 4096/4096 - superblock",
            "sha256 32 4096/4096 integration-test-salt superblock",
            "sha512 16 4096/4096 - superblock",
        ],
    ),
    (
        "TestVerifyWithVeritysetup",
        &[
            "sha256 16 4096/4096 verify-test-salt",
            "sha512 8 4096/4096 -",
            "sha256 16 4096/4096 verify-test-salt superblock",
            "sha512 8 4096/4096 - superblock",
        ],
    ),
    (
        "TestCrossVerificationWithVeritysetup",
        &[
            "sha256 16 4096/4096 -",
            "sha256 16 4096/4096 cross-verify-salt",
            "sha512 8 4096/4096 -",
            "sha512 8 4096/4096 cross-verify-salt",
            "sha1 8 4096/4096 -",
            "sha1 8 4096/4096 cross-verify-salt",
        ],
    ),
    (
        "TestDataCorruptionDetection",
        &[
            "sha256 16 4096/4096 -",
            "sha256 16 4096/4096 corruption-test-salt",
            "sha512 8 4096/4096 corruption-test-salt",
        ],
    ),
    (
        "TestHashTreeCorruptionDetection",
        &[
            "sha256 16 4096/4096 hash-corruption-test",
            "sha512 16 4096/4096 hash-corruption-test",
        ],
    ),
    (
        "TestRootHashMismatch",
        &["sha256 16 4096/4096 mismatch-test"],
    ),
    (
        "TestBoundaryConditions",
        &[
            "sha256 1 4096/4096 boundary-test",
            "sha256 2 4096/4096 boundary-test",
            "sha256 512 4096/4096 boundary-test",
        ],
    ),
    (
        "TestGetHashTreeSize",
        &[
            "sha256 16 4096/4096 test-salt",
            "sha256 128 4096/4096 test-salt",
            "sha256 256 4096/4096 test-salt",
            "sha512 16 4096/4096 test-salt",
            "sha512 64 4096/4096 test-salt",
            "sha1 32 4096/4096 test-salt",
            "sha256 64 512/512 test-salt",
            "sha256 128 512/512 test-salt",
            "sha512 32 512/512 test-salt",
            "sha1 64 512/512 test-salt",
            "sha256 100 512/4096 test-salt",
            "sha256 200 4096/512 test-salt",
        ],
    ),
    (
        "TestHashFileContentComparison",
        &[
            "sha256 16 4096/4096 - superblock",
            "sha256 32 4096/4096 comparison-test-salt superblock",
            "sha512 16 4096/4096 - superblock",
        ],
    ),
    (
        "TestCrossCheckWithCryptsetup",
        &[
            "sha256 16 4096/4096 - superblock",
            "sha256 32 4096/4096 cross-check-salt superblock",
            "sha512 16 4096/4096 - superblock",
        ],
    ),
    (
        "TestManualHashTreeVerification",
        &["sha256 4 4096/4096 manual-test"],
    ),
    (
        "TestHashTreeStructure",
        &["sha256 256 4096/4096 structure-test"],
    ),
    (
        "TestCryptHashGetHashTreeSize",
        &[
            "sha256 16 4096/4096 -",
            "sha256 128 4096/4096 -",
            "sha256 129 4096/4096 -",
            "sha256 1024 4096/4096 -",
            "sha512 16 4096/4096 -",
            "sha512 64 4096/4096 -",
            "sha1 32 4096/4096 -",
            "sha256 10000 4096/4096 -",
            "sha256 64 512/512 -",
            "sha256 256 512/512 -",
            "sha512 128 512/512 -",
            "sha1 64 512/512 -",
            "sha256 100 512/4096 -",
            "sha256 200 4096/512 -",
            "sha512 50 512/4096 -",
        ],
    ),
];

impl PeerTree {
    fn options(&self) -> String {
        let salt = match self.salt {
            "-" => "-".to_owned(),
            text => hex::encode(text),
        };
        let superblock = if self.superblock {
            "--uuid 550e8400-e29b-41d4-a716-446655440000"
        } else {
            "--no-superblock"
        };
        format!(
            "--hash {} --data-block-size {} --hash-block-size {} --salt {salt} {superblock}",
            self.algorithm, self.data_block, self.hash_block
        )
    }

    /// How many bytes the levels have, from the data blocks up to one hash block.
    fn bytes(&self) -> usize {
        let digest = if self.algorithm == "sha256" { 32 } else { 64 };
        let (mut blocks, mut all) = (self.blocks, 0);
        while blocks > 1 {
            blocks = blocks.div_ceil(self.hash_block / digest);
            all += blocks * self.hash_block;
        }
        all
    }

    /// All that any of their tests asks of a tree.
    fn check(&self) -> PeerOutcome {
        let place = WorkFolder::new();
        place.write("data", &data(self.blocks * self.data_block, 7));
        let options = self.options();
        let hash = place.run(&format!("hash data --hash-device ours {options}"));
        if self.algorithm == "sha1" {
            hash.usage("hash algorithm \"sha1\" is not allowed");
            return PeerOutcome::Refused;
        }
        let printed = hash.ok();
        let theirs = place.veritysetup(&format!("format data theirs {options}"));
        let root = field(&printed, "Root hash");
        assert_eq!(root, field(&theirs.ok(), "Root hash"), "{options}");

        let first = if self.superblock { self.hash_block } else { 0 };
        assert_eq!(place.read("ours").len(), first + self.bytes(), "{options}");
        // They write nothing at all where there is nothing.
        if self.superblock || self.blocks > 1 {
            assert!(place.read("ours") == place.read("theirs"), "{options}");
            place
                .veritysetup(&format!("verify data ours {root} {options}"))
                .ok();
        }
        let verify = |root: &str| self.verify(&place, root);
        verify(root).ok();
        let wrong = "ff".repeat(root.len() / 2);
        verify(&wrong).refused(3, "");

        let middle = self.blocks / 2 * self.data_block;
        for (file, place_of_it) in [("data", 0), ("data", middle), ("ours", first + 100)] {
            if file == "ours" && self.blocks == 1 {
                continue;
            }
            place.flip(file, place_of_it);
            assert_eq!(verify(root).code, Some(3), "{file} {place_of_it} {options}");
            place.flip(file, place_of_it);
        }
        verify(root).ok();
        PeerOutcome::Same
    }

    fn verify(&self, place: &WorkFolder, root: &str) -> Ended {
        let options = self.options();
        let options = options.split(" --uuid").next().unwrap();
        place.run(&format!(
            "verify data --hash-device ours --root-hash {root} --data-blocks {} {options}",
            self.blocks
        ))
    }
}

/// What `hash` is not to take: their test, the options, and what is said.
const WRONG_PARAMETERS: &[(&str, &str, &str)] = &[
    (
        "TestWriteSuperblockErrors",
        "--uuid invalid-uuid",
        "'--uuid <UUID>'",
    ),
    (
        "TestBuildSuperblockFromParams",
        "--data-block-size 1000",
        "not a power of two",
    ),
    (
        "TestBuildSuperblockFromParams",
        "--hash-block-size 3000",
        "not a power of two",
    ),
    (
        "TestBuildSuperblockFromParams",
        "--salt SALT300",
        "a salt of 300 bytes is too long",
    ),
    (
        "TestBuildSuperblockFromParams",
        "--hash=",
        "hash algorithm \"\" is not allowed",
    ),
    (
        "TestBuildSuperblockFromParams",
        "--hash md5",
        "hash algorithm \"md5\" is not allowed",
    ),
    (
        "TestWriteSuperblock",
        "--hash-offset 100",
        "not a multiple of 512",
    ),
];

/// What `hash` is to take, and `inspect` to show.
const PARAMETERS: &[(&str, &str)] = &[
    ("TestSuperblockRoundTrip", "--hash-offset 0"),
    ("TestReadSuperblock", "--hash-offset 0"),
    (
        "TestReadSuperblock",
        "--hash-offset 512 --hash-block-size 512",
    ),
    ("TestWriteSuperblock", "--hash-offset 0"),
    (
        "TestWriteSuperblock",
        "--hash-offset 512 --hash-block-size 512",
    ),
    (
        "TestWriteReadRoundTrip",
        "--hash-offset 512 --hash-block-size 512",
    ),
    ("TestBuildSuperblockFromParams", "--hash sha256"),
    ("TestBuildSuperblockFromParams", "--hash sha512"),
    (
        "TestBuildSuperblockFromParams",
        "--uuid 00000000-0000-0000-0000-000000000000",
    ),
];

/// Arguments that are not those of the superblock, and bytes that are put into it, with what is said.
const WRONG_SUPERBLOCKS: &[(&str, &str, &[u8], &str)] = &[
    ("--hash sha512", "0 same", &[], "the arguments say sha512"),
    (
        "--data-block-size 8192",
        "0 same",
        &[],
        "the arguments say 8192",
    ),
    (
        "--hash-block-size 8192",
        "0 same",
        &[],
        "the arguments say 8192",
    ),
    ("--salt ff", "0 same", &[], "the arguments say ff"),
    ("", "0 signature", &[0; 8], "its magic is missing"),
    ("", "8 version", &[99], "version 99"),
    ("", "12 hash type", &[99], "hash type 99"),
    ("", "64 block size", &[0xe8, 3], "block size 1000"),
    ("", "80 salt", &[44, 1], "300"),
];

#[test]
fn their_cases_and_how_many_there_are() {
    let mut score = PeerScore::default();
    for (test, trees) in TREES {
        for parameters in *trees {
            let tree = tree(test, parameters);
            score.add(tree.test, tree.check());
        }
    }
    parameters(&mut score);
    superblocks(&mut score);
    dumps(&mut score);
    assert_documented(&score);
}

fn parameters(score: &mut PeerScore) {
    let place = WorkFolder::new();
    place.write("data", &data(16 * 4096, 1));
    for (test, options, reason) in WRONG_PARAMETERS {
        let options = options.replace("SALT300", &"00".repeat(300));
        let ended = place.run(&format!("hash data --hash-device tree {options}"));
        ended.usage(reason);
        assert_eq!(place.names(), ["data"]);
        score.add(test, PeerOutcome::Same);
    }
    for (test, options) in PARAMETERS {
        let hash = format!("hash data --hash-device tree --force --salt 00 {options}");
        let printed = place.run(&hash).ok();
        let offset = options.strip_prefix("--hash-offset 512").map_or(0, |_| 512);
        let shown = place
            .run(&format!("inspect tree --hash-offset {offset}"))
            .ok();
        for label in FIELDS.iter().chain(&["UUID"]) {
            assert_eq!(field(&shown, label), field(&printed, label), "{options}");
        }
        score.add(test, PeerOutcome::Same);
    }
}

fn superblocks(score: &mut PeerScore) {
    const ADOPT: &str = "TestAdoptParamsFromSuperblock";
    let place = WorkFolder::new();
    place.write("data", &data(16 * 4096, 1));
    let hash = "hash data --hash-device whole --force --salt 0102 --uuid";
    let with_uuid = place.run(&format!("{hash} 550e8400-e29b-41d4-a716-446655440000"));
    let root = field(&with_uuid.ok(), "Root hash").to_owned();
    let verify = |blocks: u64, options: &str| {
        place.run(&format!(
            "verify data --hash-device tree --root-hash {root} --data-blocks {blocks} {options}"
        ))
    };
    let whole = place.read("whole");
    place.write("tree", &whole);
    verify(
        16,
        "--hash sha256 --data-block-size 4096 --hash-block-size 4096 --salt 0102",
    )
    .ok();
    score.add(ADOPT, PeerOutcome::Same);
    verify(2048, "").refused(3, "the arguments say 2048");
    score.add(ADOPT, PeerOutcome::Same);
    for (options, place_of_it, bytes, reason) in WRONG_SUPERBLOCKS {
        let mut changed = whole.clone();
        let offset: usize = place_of_it.split(' ').next().unwrap().parse().unwrap();
        changed[offset..offset + bytes.len()].copy_from_slice(bytes);
        place.write("tree", &changed);
        verify(16, options).refused(3, reason);
        score.add(ADOPT, PeerOutcome::Same);
    }
    place.write("tree", &whole);
    for test in ["TestReadSuperblock", "TestReadSuperblockErrors"] {
        let ended = verify(16, "--hash-offset 100");
        assert_ne!(ended.code, Some(0), "{ended:?}");
        score.add(test, PeerOutcome::Same);
    }
    // Without a UUID: they take it in one test, and not in another.
    place
        .run(&format!("{hash} 00000000-0000-0000-0000-000000000000"))
        .ok();
    place.write("tree", &place.read("whole"));
    verify(16, "").ok();
    score.add(ADOPT, PeerOutcome::Same);
    score.add("TestReadSuperblock", PeerOutcome::Differs);
}

/// What their dump compares with that of `veritysetup`.
const FIELDS: [&str; 7] = [
    "Hash type",
    "Data blocks",
    "Data block size",
    "Hash blocks",
    "Hash block size",
    "Hash algorithm",
    "Salt",
];

fn dumps(score: &mut PeerScore) {
    let place = WorkFolder::new();
    place.write("data", &data(16 * 4096, 1));
    for options in [
        "--hash sha256 --salt -",
        "--hash sha256 --salt 0102030405060708",
        "--hash sha512 --salt -",
    ] {
        place
            .veritysetup(&format!("format data tree {options}"))
            .ok();
        let theirs = place.veritysetup("dump tree").ok();
        let ours = place.run("inspect tree").ok();
        for label in FIELDS {
            assert_eq!(field(&ours, label), field(&theirs, label), "{options}");
        }
        let size = format!("{} [bytes]", field(&ours, "Size"));
        assert_eq!(size, field(&theirs, "Hash device size"));
        score.add("TestDump", PeerOutcome::Same);
    }
    // Theirs fail; ours show what there is, and that.
    place
        .run("hash data --hash-device bare --no-superblock")
        .ok();
    place.write("zeros", &[0; 4096]);
    for (test, file) in [
        ("TestDump_NoSuperblock", "bare"),
        ("TestDump_CorruptedSuperblock", "zeros"),
    ] {
        let shown = place.run(&format!("inspect {file}")).ok();
        assert!(field(&shown, "Verity").starts_with("none"), "{shown}");
        score.add(test, PeerOutcome::Differs);
    }
    place
        .run("inspect missing")
        .refused(4, "cannot open missing");
    score.add("TestDump_InvalidDevice", PeerOutcome::Same);
    place.run("inspect").usage("<IMAGE>");
    place
        .run("inspect data bare")
        .usage("unexpected argument 'bare'");
    for _ in 0..2 {
        score.add("TestParseDumpArgs_InvalidArgs", PeerOutcome::Same);
    }
}

/// Each test has a row in docs/peers.md with these numbers: all cases, the same here, refused,
/// different, and those that have nothing here that they could be asked of.
fn assert_documented(score: &PeerScore) {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/peers.md");
    let document = fs::read_to_string(document).unwrap();
    let mut rows = 0;
    for line in document.lines().filter(|line| line.starts_with("| `Test")) {
        let columns: Vec<_> = line.split('|').map(str::trim).collect();
        let test = columns[1].trim_matches('`');
        let number = |column: usize| columns[column].parse::<usize>().unwrap();
        let outcomes = [
            PeerOutcome::Same,
            PeerOutcome::Refused,
            PeerOutcome::Differs,
        ];
        let found = outcomes.map(|outcome| score.of(test, outcome));
        assert_eq!([3, 4, 5].map(number), found, "{test}");
        let all: usize = found.iter().sum::<usize>() + number(6);
        assert_eq!(number(2), all, "{test}");
        rows += 1;
    }
    let counted: BTreeSet<_> = score.0.keys().map(|(test, _)| test).collect();
    let documented = counted
        .iter()
        .all(|test| document.contains(&format!("| `{test}` |")));
    assert!(documented && rows > counted.len(), "{rows} rows");
}
