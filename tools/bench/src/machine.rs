//! What it was measured on.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use anyhow::Result;
use dm_verity::sha256::Backend;
use serde::{Deserialize, Serialize};

/// The environment variable that names the commit where git and the sources are out of
/// reach, as in a virtual machine.
const COMMIT_VARIABLE: &str = "BENCH_COMMIT";

/// The machine and the programs. What cannot be found out is "unknown".
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct MachineReport {
    pub(crate) cpu: String,
    pub(crate) cpus: usize,
    pub(crate) memory_bytes: u64,
    pub(crate) kernel: String,
    pub(crate) filesystem: String,
    /// The mean number of busy processes in the minute before, the program's own
    /// excluded.
    pub(crate) load_before: String,
    pub(crate) sha256_kernel: String,
    /// Of this project, with a `+` where files were changed since.
    pub(crate) commit: String,
    /// Of the others, each with its name.
    pub(crate) versions: Vec<String>,
}

impl MachineReport {
    /// Looks at the machine. The data is in a directory.
    pub(crate) fn look(directory: &Path, others: &[&str]) -> Result<Self> {
        let meminfo = fs::read_to_string("/proc/meminfo")?;
        Ok(Self {
            cpu: cpu(&fs::read_to_string("/proc/cpuinfo")?),
            cpus: thread::available_parallelism()?.get(),
            memory_bytes: memory(&meminfo, "MemTotal"),
            kernel: kernel_version(&nix::sys::utsname::uname()?.release().display().to_string()),
            filesystem: filesystem(&fs::read_to_string("/proc/self/mountinfo")?, directory),
            load_before: fs::read_to_string("/proc/loadavg")?
                .split(' ')
                .next()
                .unwrap_or("unknown")
                .into(),
            sha256_kernel: Backend::chosen().name().into(),
            commit: commit(),
            versions: others.iter().map(|program| version(program)).collect(),
        })
    }
}

/// How many bytes programs could have without anything being swapped; what is in
/// the page cache counts among them.
pub(crate) fn available_memory() -> Result<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    Ok(memory(&meminfo, "MemAvailable"))
}

/// A line of /proc/meminfo in bytes; 0 where there is none.
fn memory(meminfo: &str, name: &str) -> u64 {
    let value = meminfo.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found == name).then_some(value)
    });
    let kib = value.and_then(|value| value.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

fn cpu(cpuinfo: &str) -> String {
    let field = |name: &str| {
        cpuinfo.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            (found.trim() == name).then(|| value.trim())
        })
    };
    // The name alone may be "AMD EPYC": family and model say which.
    match (field("model name"), field("cpu family"), field("model")) {
        (Some(name), Some(family), Some(model)) => {
            format!("{name} (family {family}, model {model})")
        }
        (Some(name), ..) => name.into(),
        _ => "unknown".into(),
    }
}

/// The type and the source of the filesystem that a directory is on.
fn filesystem(mountinfo: &str, directory: &Path) -> String {
    let mounts = mountinfo.lines().filter_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mount_point = PathBuf::from(left.split(' ').nth(4)?);
        let mut right = right.split(' ');
        let (kind, source) = (right.next()?, right.next()?);
        directory.starts_with(&mount_point).then(|| {
            (
                mount_point.components().count(),
                format!("{kind} on {source}"),
            )
        })
    });
    // Of two at one place the later covers the earlier.
    let innermost = mounts.max_by_key(|(depth, _)| *depth);
    innermost.map_or("unknown".into(), |(_, name)| name)
}

fn commit() -> String {
    if let Ok(commit) = env::var(COMMIT_VARIABLE) {
        return commit;
    }
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(arguments)
            .output()
            .ok()?;
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    match (
        git(&["rev-parse", "--short", "HEAD"]),
        git(&["status", "--porcelain"]),
    ) {
        (Some(commit), Some(changes)) if changes.is_empty() => commit,
        (Some(commit), _) => commit + "+",
        _ => "unknown".into(),
    }
}

/// The first line that a program prints about its version. (Some know no such
/// option, but then they print it with their usage.)
fn version(program: &str) -> String {
    let output = Command::new(program).arg("--version").output();
    let text = output.map_or(String::new(), |output| {
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    });
    let line = text.lines().find(|line| line.contains(char::is_numeric));
    match line {
        Some(line) => line.trim().into(),
        None => format!("{program} unknown"),
    }
}

/// The version of a kernel's release, without what its maker has added.
fn kernel_version(release: &str) -> String {
    release.split(['-', '+']).next().unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors() {
        let cpuinfo = "processor\t: 0\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\n";
        assert_eq!(cpu(cpuinfo), "AMD EPYC (family 25, model 17)");
        assert_eq!(cpu("model name : x\n"), "x");
        assert_eq!(cpu(""), "unknown");
    }

    #[test]
    fn amounts_of_memory() {
        let meminfo = "MemTotal:       24684084 kB\nMemFree:  12 kB\n";
        assert_eq!(memory(meminfo, "MemTotal"), 24_684_084 << 10);
        assert_eq!(memory(meminfo, "MemFree"), 12 << 10);
        assert_eq!(memory(meminfo, "MemAvailable"), 0);
        assert!(available_memory().unwrap() > 0);
    }

    #[test]
    fn the_innermost_filesystem_is_named() {
        let mountinfo = "\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
28 27 0:5 / /data rw shared:7 - tmpfs none rw
29 27 0:6 / /data rw - xfs /dev/vdb rw
";
        let of = |path: &str| filesystem(mountinfo, Path::new(path));
        assert_eq!(of("/data/x"), "xfs on /dev/vdb");
        assert_eq!(of("/database"), "ext4 on /dev/vda");
        assert_eq!(filesystem("", Path::new("/")), "unknown");
    }

    #[test]
    fn versions() {
        assert!(version("cargo").starts_with("cargo 1."));
        assert_eq!(version("no-such-program"), "no-such-program unknown");
    }
}
