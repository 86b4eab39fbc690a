//! What is wrong with a command line is told as that, whatever the machine has.

use std::process::Command;

/// With a device-mapper or without: exit code 6 does not hide 2 or 4.
#[test]
fn a_wrong_path_is_told_before_the_kernel_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("absent");
    let absent = absent.to_str().unwrap();
    let root_hash = "0".repeat(64);
    for (path, code, words) in [("/tmp/../mnt", 2, "`..`"), (absent, 4, "not mounted")] {
        for command in [
            &["status"][..],
            &["status", "--root-hash", &root_hash],
            &["unmount"],
        ] {
            let output = Command::new(env!("CARGO_BIN_EXE_disk-mounter"))
                .args(command)
                .arg(path)
                .output()
                .unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(
                output.status.code(),
                Some(code),
                "{command:?} {path}: {said}"
            );
            assert!(said.contains(words), "{command:?} {path}: {said}");
        }
    }
}
