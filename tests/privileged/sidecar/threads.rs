//! A machine that gives no more threads.

use super::{Sidecar, control_group::ControlGroup};
use crate::{disk::TestDisk, machine::Leftovers, run::mounter};

pub(super) fn where_no_thread_can_be_started() {
    let disk = TestDisk::new();
    let before = Leftovers::look();
    let group = ControlGroup::new("pids", 1);
    Sidecar::spawn(&mut group.mounter(&disk.mount_line("")))
        .end()
        .is(6, &["cannot start a thread", "pids.max"]);
    before.check();

    // Fewer threads than usual read as much.
    group.limit("pids", 3);
    let outcome = Sidecar::spawn(&mut group.mounter(&disk.mount_line("--prefetch"))).end();
    outcome.is(0, &["prefetch: done"]);
    assert!(!outcome.stderr.contains("panicked"), "{outcome:?}");
    mounter(&disk.line("unmount")).is(0, &[]);

    // An end needs none.
    let mut sidecar = Sidecar::spawn(&mut group.mounter(&disk.sidecar_line("")));
    sidecar.wait_for("ready");
    group.limit("pids", 1);
    sidecar.terminate().is(0, &["is unmounted"]);
    before.check();
}
