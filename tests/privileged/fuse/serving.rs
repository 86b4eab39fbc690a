//! What becomes of those who serve a disk.

use std::fs;

use nix::sys::signal::{Signal, kill};

use crate::{
    disk::{TestDisk, files, in_the_largest_file},
    machine::mount_line,
    run::{check, mounter, run},
    sidecar::Sidecar,
};

use super::{all_have_ended, is_io_error, mounted, read_last, server, status, unmount};

fn sidecar(disk: &TestDisk) -> Sidecar {
    let line = disk.sidecar_line("--fuse");
    let mut sidecar = Sidecar::start("disk-mounter", &line);
    sidecar.wait_for("ready:");
    sidecar
}

pub(super) fn a_sidecar_tells_and_unmounts() {
    let disk = TestDisk::new();
    let serving = sidecar(&disk);
    assert_eq!(files(&disk.mount_point()), disk.files);
    serving.terminate().is(0, &["is unmounted"]);
    assert_eq!(mount_line(&disk.mount_point()), None);

    disk.flip(in_the_largest_file(&disk));
    let mut serving = sidecar(&disk);
    is_io_error(read_last(&disk));
    // At once, and with the file.
    serving.wait_for("it lies in model.safetensors");
    status(&disk).is(3, &["corrupt"]);
    serving
        .terminate()
        .is(3, &["is corrupt: data block", "is unmounted"]);
    assert_eq!(mount_line(&disk.mount_point()), None);
}

pub(super) fn a_sidecar_that_is_killed() {
    let disk = TestDisk::new();
    let serving = sidecar(&disk);
    serving.signal(Signal::SIGKILL);
    serving.end().is(-1, &[]);
    // Nothing can be read, and it is known why.
    let error = read_last(&disk).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(nix::libc::ENOTCONN), "{error}");
    status(&disk).is(4, &["the process that served the disk has ended"]);
    // The next one finds it so.
    let next = sidecar(&disk);
    assert_eq!(files(&disk.mount_point()), disk.files);
    next.signal(Signal::SIGKILL);
    next.end().is(-1, &["nobody serves what was mounted at"]);
    unmount(&disk);
    assert_eq!(mount_line(&disk.mount_point()), None);
}

pub(super) fn a_sidecar_whose_disk_others_unmount() {
    let disk = TestDisk::new();
    let serving = sidecar(&disk);
    check("umount", [disk.mount_point()]);
    serving.end().is(4, &["somebody else has unmounted it"]);
}

pub(super) fn gives_up_what_it_does_not_need() {
    let disk = TestDisk::new();
    mounted(&disk);
    assert_eq!(files(&disk.mount_point()), disk.files);
    let threads = fs::read_dir(format!("/proc/{}/task", server())).unwrap();
    for thread in threads {
        let status = fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        // CAP_SYS_ADMIN, to unmount.
        for line in [
            "CapEff:\t0000000000200000\n",
            "CapPrm:\t0000000000200000\n",
            "CapBnd:\t0000000000200000\n",
            "CapAmb:\t0000000000000000\n",
            "NoNewPrivs:\t1\n",
            "Seccomp:\t2\n",
        ] {
            assert!(status.contains(line), "{line}: {status}");
        }
    }
    // Nothing of the command that has mounted it is open any more, nor of its terminal.
    let open = fs::read_dir(format!("/proc/{}/fd", server())).unwrap();
    let open = open.map(|entry| fs::read_link(entry.unwrap().path()).unwrap());
    let open: Vec<_> = open.map(|path| path.display().to_string()).collect();
    for path in &open {
        let kinds = ["/dev/null", "/dev/fuse", "anon_inode:[signalfd]", "pipe:"];
        let image = disk.image.display().to_string();
        let is_known = kinds.iter().any(|kind| path.starts_with(kind)) || *path == image;
        assert!(is_known, "{open:?}");
    }
    unmount(&disk);
    all_have_ended();
}

pub(super) fn a_server_that_is_stopped() {
    let disk = TestDisk::new();
    mounted(&disk);
    let server = server();
    kill(server, Signal::SIGSTOP).unwrap();
    status(&disk).is(4, &["does not answer"]);
    mounter(&disk.mount_line("--fuse")).is(5, &["whose server does not answer"]);
    kill(server, Signal::SIGCONT).unwrap();
    status(&disk).is(0, &[]);
    kill(server, Signal::SIGSTOP).unwrap();
    unmount(&disk);
    kill(server, Signal::SIGCONT).unwrap();
    all_have_ended();
}

pub(super) fn a_server_that_is_asked_to_end() {
    let disk = TestDisk::new();
    mounted(&disk);
    kill(server(), Signal::SIGTERM).unwrap();
    all_have_ended();
    assert_eq!(mount_line(&disk.mount_point()), None);
    run(
        "disk-mounter",
        ["status", disk.mount_point().to_str().unwrap()],
    )
    .is(4, &["not mounted"]);
}
