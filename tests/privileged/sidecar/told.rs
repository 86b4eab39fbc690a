//! What is told, to Kubernetes and to what reads logs.

use crate::{
    container::{BARE_DEV, unshared},
    disk::TestDisk,
    run::mounter,
};

pub(super) fn the_termination_log_for_kubernetes() {
    let disk = TestDisk::new();
    let line = disk
        .mount_line("")
        .replace(&disk.root_hash, &"0".repeat(64));
    let status = disk.line("status");
    // Probes run in the sidecar's own container, and help is no failure.
    let script = format!(
        "{}
        touch /dev/termination-log
        disk-mounter {line} || code=$?
        for line in '{status}' 'status' 'unmount' 'inspect /absent' 'mount --help'; do
            disk-mounter --log-format text $line >/dev/null || true
        done
        cat /dev/termination-log
        exit $code",
        BARE_DEV
    );
    let outcome = unshared("--mount", &script);
    outcome.is(3, &[]);
    assert!(
        outcome.stdout.contains("root hash does not match"),
        "{outcome:?}"
    );
    assert!(outcome.stdout.contains(&disk.root_hash), "{outcome:?}");
}

pub(super) fn a_wrong_command_line_in_the_termination_log() {
    let root_hash = "0".repeat(64);
    for (line, word) in [
        ("sidecar --root-hash 12 /dev/model /mnt", "64 hex digits"),
        ("--log-format json mount /dev/model /mnt", "--root-hash"),
        (
            &format!("sidecar --read-ahead 3G --root-hash {root_hash} /dev/model /mnt"),
            "2 GiB",
        ),
        ("model 0 12", "64 hex digits"),
        ("sidecarr", "no command"),
    ] {
        let script = format!(
            "{}
            touch /dev/termination-log
            disk-mounter {line} || code=$?
            cat /dev/termination-log
            exit $code",
            BARE_DEV
        );
        let outcome = unshared("--mount", &script);
        outcome.is(2, &[]);
        assert!(outcome.stdout.contains(word), "{line}: {outcome:?}");
    }
}

pub(super) fn log_lines_as_json() {
    let disk = TestDisk::new();
    let line = disk.mount_line("--log-format json");
    let said = mounter(&line).stderr;
    mounter(&disk.line("unmount --log-format json")).is(0, &[]);
    let error = mounter(&line.replace(&disk.root_hash, &"0".repeat(64))).stderr;
    for (text, level) in [(said, "info"), (error, "error")] {
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["level"], level, "{text}");
        assert!(
            line["message"].as_str().unwrap().contains(&disk.root_hash),
            "{text}"
        );
    }
}
