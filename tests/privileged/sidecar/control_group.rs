//! A control group with a limit.

use std::{fs, path::PathBuf, process::Command};

use super::until;

/// A control group for one controller. Dropped, it is removed when it is empty.
pub(super) struct ControlGroup(PathBuf);

impl ControlGroup {
    /// Makes one, and sets its limit: the file `CONTROLLER.max`.
    pub(super) fn new(controller: &str, limit: u64) -> Self {
        let group = Self("/sys/fs/cgroup/disk-mounter-test".into());
        fs::create_dir(&group.0).unwrap();
        let enabled = format!("+{controller}");
        fs::write("/sys/fs/cgroup/cgroup.subtree_control", enabled).unwrap();
        group.limit(controller, limit);
        group
    }

    /// Sets its limit anew.
    pub(super) fn limit(&self, controller: &str, limit: u64) {
        let file = self.0.join(format!("{controller}.max"));
        fs::write(file, limit.to_string()).unwrap();
    }

    /// `disk-mounter` with these words, in the group.
    pub(super) fn mounter(&self, line: &str) -> Command {
        let group = self.0.display();
        let script = format!("echo $$ >{group}/cgroup.procs; exec disk-mounter {line}");
        let mut command = Command::new("sh");
        command.args(["-c", &script]);
        command
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        until("the group can be removed", || {
            fs::remove_dir(&self.0).is_ok()
        });
    }
}
