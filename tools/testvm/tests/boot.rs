//! Boots the virtual machine. These tests need what `testvm run` needs, and some
//! of them `veritysetup`, `mkfs.erofs` and `losetup`; without, they fail.

use std::{
    ffi::OsString,
    fs::{self, File},
    os::unix::ffi::OsStringExt,
    process::Command,
};

use assert_cmd::assert::OutputAssertExt;

fn testvm(options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_testvm"));
    command.args(["run", "--where", "vm"]).args(options);
    command
}

fn shell(options: &[&str], script: &str) -> Command {
    let mut command = testvm(options);
    command.args(["--", "sh", "-euc", script]);
    command
}

#[test]
fn outputs_and_exit_code_come_through() {
    // A process that goes on, with its output open, is ended.
    let script = "sleep 1000 & echo hi; echo err >/dev/stderr; exit 7";
    shell(&[], script)
        .assert()
        .code(7)
        .stdout("hi\n")
        .stderr("err\n");
}

#[test]
fn the_kernel_is_the_one_that_is_named() {
    for kernel in ["6.1", "6.12", "7.3"] {
        let output = shell(&["--kernel", kernel], "uname -r").output().unwrap();
        let release = String::from_utf8_lossy(&output.stdout);
        assert!(release.starts_with(&format!("{kernel}.")), "{output:?}");
    }
}

#[test]
fn what_goes_along_arrives_unchanged() {
    let directory = tempfile::tempdir().unwrap();
    // More than fits any buffer on the way.
    let large: Vec<u8> = (0..3_000_000u32).flat_map(u32::to_le_bytes).collect();
    let path = directory.path().join("large");
    fs::write(&path, &large).unwrap();
    let here = path.to_str().unwrap();

    let every_byte = OsString::from_vec((1..=255).collect());
    let script = r#"
        printf '%s\0' "$@" "$A"
        command -v losetup
        losetup --version >/dev/null
        cmp "$0" sub/copy
        test "$(stat -c %a /tmp)" = 1777
        cat "$0""#;
    let mut command = testvm(&[
        "--program",
        "losetup",
        "--env",
        "A=it's =\n",
        "--file",
        here,
    ]);
    command.args(["--file", &format!("{here}:sub/copy")]);
    command.args(["--", "sh", "-euc", script, here]);
    command.arg(&every_byte).args(["", "a'b \"$(reboot)"]);

    let every_byte: Vec<u8> = (1..=255).collect();
    let expected = [
        &every_byte[..],
        b"\0\0a'b \"$(reboot)\0it's =\n\0",
        b"/usr/local/bin/losetup\n",
        &large,
    ];
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    // Not assert_eq: it would print megabytes.
    assert!(output.stdout == expected.concat(), "other output came back");
}

#[test]
fn a_guest_that_goes_away_is_a_failure() {
    let output = shell(&[], "poweroff -f; sleep 1000")
        .assert()
        .code(125)
        .get_output()
        .clone();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("the guest ended before COMMAND did"),
        "{stderr}"
    );
}

#[test]
fn a_panic_is_a_failure_with_the_kernels_log() {
    let output = shell(&[], "echo before; echo c >/proc/sysrq-trigger")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{stderr}");
    assert!(stderr.contains("sysrq triggered crash"), "{stderr}");
    assert!(!stderr.contains("is started again"), "{stderr}");
}

#[test]
fn a_kernel_that_crashes_at_its_start_is_started_once_more() {
    let output = shell(&["--memory", "1"], "echo never").output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{stderr}");
    assert_eq!(stderr.matches("is started again").count(), 1, "{stderr}");
    assert!(
        stderr.contains("the guest ended before COMMAND did"),
        "{stderr}"
    );
    assert!(output.stdout.is_empty());
}

#[test]
fn a_command_that_takes_too_long_is_a_failure() {
    let output = shell(&["--timeout", "1"], "sleep 1000").output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{stderr}");
    assert!(
        stderr.contains("timed out after 1 s while COMMAND ran"),
        "{stderr}"
    );
}

#[test]
fn dm_verity_works_and_finds_corruption() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("image");
    let model = directory.path().join("model");
    fs::create_dir(&model).unwrap();
    fs::write(model.join("weights"), vec![b'w'; 1 << 20]).unwrap();
    Command::new("mkfs.erofs")
        .arg(&image)
        .arg(&model)
        .assert()
        .success();
    let spare = directory.path().join("spare");
    File::create(&spare).unwrap().set_len(1 << 20).unwrap();

    let script = r#"
        image=${TESTVM_DISKS%:*} spare=${TESTVM_DISKS#*:}
        test "$(blockdev --getro "$image")$(blockdev --getro "$spare")" = 11
        test "$(blockdev --getsize64 "$spare")" = 1048576
        test "$(ls /sys/block/vda/mq | wc -l)" = 2
        root=$(veritysetup format "$image" hashes | awk '/^Root hash:/ { print $3 }')
        veritysetup open "$image" good hashes "$root"
        mount -t erofs -o ro /dev/mapper/good /mnt
        test "$(sha256sum </mnt/weights)" = "$(head -c 1048576 /dev/zero | tr '\0' w | sha256sum)"
        umount /mnt
        veritysetup close good

        cp "$image" bad
        printf x | dd of=bad bs=1 seek=500000 conv=notrunc 2>/dev/null
        veritysetup open bad bad hashes "$root"
        if cat /dev/mapper/bad >/dev/null 2>&1; then exit 1; fi
        dmsetup status bad"#;
    let (image, spare) = (image.to_str().unwrap(), spare.to_str().unwrap());
    let programs = ["--program", "veritysetup", "--program", "dmsetup"];
    let output = shell(
        &[&programs[..], &["--disk", image, "--disk", spare]].concat(),
        script,
    )
    .output()
    .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let status = String::from_utf8_lossy(&output.stdout);
    assert!(status.trim_end().ends_with("verity C"), "{status}");
}

/// The guest is a machine that has dm-verity.
#[test]
fn runs_natively_where_the_kernel_can() {
    let directory = tempfile::tempdir().unwrap();
    let disk = directory.path().join("disk");
    fs::write(&disk, vec![b'd'; 8192]).unwrap();
    let disk = disk.to_str().unwrap();
    let script = r#"
        testvm run --disk "$0" --program cat --file /etc/group:sub/group -- sh -euc '
            test "$(blockdev --getro "$TESTVM_DISKS")" = 1
            test "$(head -c 3 "$TESTVM_DISKS")" = ddd
            test "$(cat sub/group)" = "$(cat /etc/group)"
            echo native
            exit 9' || code=$?
        if testvm run --where native --kernel 6.1 -- true 2>refusal; then exit 1; fi
        grep -q 'only a virtual machine has a --kernel' refusal || exit 2
        echo "$code, loop devices: $(losetup --all | wc -l)""#;
    let own = env!("CARGO_BIN_EXE_testvm");
    let options = ["--program", own, "--program", "losetup", "--file", disk];
    let mut command = testvm(&options);
    command.args(["--", "sh", "-euc", script, disk]);
    command
        .assert()
        .code(0)
        .stderr("")
        .stdout("native\n9, loop devices: 0\n");
}

#[test]
fn what_is_written_to_a_disk_outlives_a_guest_that_is_reset() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    File::create(&path).unwrap().set_len(1 << 20).unwrap();
    let disk = ["--writable-disk", path.to_str().unwrap()];
    let script = r#"
        printf kept | dd of="$TESTVM_DISKS" conv=fsync 2>/dev/null
        echo b >/proc/sysrq-trigger
        sleep 1000"#;
    shell(&disk, script).assert().code(125);
    shell(&disk, r#"head -c 4 "$TESTVM_DISKS""#)
        .assert()
        .code(0)
        .stdout("kept");
}
