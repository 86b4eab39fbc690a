//! How much memory there is for the page cache, with the limits of the control groups counted.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The share of the available memory that is left for others: one eighth.
const RESERVE: u64 = 8;

/// How many bytes of files can be cached, without pressing anybody. None where the kernel does
/// not tell.
pub(crate) fn available_for_cache() -> Option<u64> {
    let available = available(&fs::read_to_string("/proc/meminfo").ok()?)?;
    let limits = fs::read_to_string("/proc/self/cgroup")
        .map(|text| control_groups(&text))
        .unwrap_or_default();
    let available = limits
        .iter()
        .filter_map(|group| group.available())
        .fold(available, u64::min);
    Some(available - available / RESERVE)
}

/// `MemAvailable` of `/proc/meminfo`, in bytes.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kib.checked_mul(1024)
}

/// A control group that may have a limit.
#[derive(Debug, PartialEq, Eq)]
struct CgroupMemory {
    limit: PathBuf,
    usage: PathBuf,
}

impl CgroupMemory {
    /// What is left of its limit, in bytes; None where it has none.
    fn available(&self) -> Option<u64> {
        let number = |path| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
        // Without a limit it says "max", or a number larger than any memory.
        Some(number(&self.limit)?.saturating_sub(number(&self.usage)?))
    }
}

/// The groups of a process, by the text of `/proc/self/cgroup`: its own and those above. In a
/// container the path may be one of the host's, of which only the end is visible; the root of
/// what is mounted is looked at in any case.
fn control_groups(text: &str) -> Vec<CgroupMemory> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            let (root, limit, usage) = match controllers {
                "" => ("/sys/fs/cgroup", "memory.max", "memory.current"),
                _ if controllers
                    .split(',')
                    .any(|controller| controller == "memory") =>
                {
                    (
                        "/sys/fs/cgroup/memory",
                        "memory.limit_in_bytes",
                        "memory.usage_in_bytes",
                    )
                }
                _ => return None,
            };
            let folders = Path::new(path).ancestors().map(move |group| {
                let folder = Path::new(root).join(group.strip_prefix("/").unwrap_or(group));
                CgroupMemory {
                    limit: folder.join(limit),
                    usage: folder.join(usage),
                }
            });
            Some(folders.collect::<Vec<_>>())
        })
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_available() {
        let text = "MemTotal:       24689764 kB\nMemAvailable:   23 kB\nBuffers: 1 kB\n";
        assert_eq!(available(text), Some(23 * 1024));
        assert_eq!(available("MemTotal: 1 kB\n"), None);
        assert_eq!(available("MemAvailable: many kB\n"), None);
    }

    #[test]
    fn groups_and_those_above() {
        let limits = |text| -> Vec<String> {
            let groups = control_groups(text).into_iter();
            groups
                .map(|group| group.limit.to_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(
            limits("0::/a/b\n"),
            [
                "/sys/fs/cgroup/a/b/memory.max",
                "/sys/fs/cgroup/a/memory.max",
                "/sys/fs/cgroup/memory.max"
            ]
        );
        assert_eq!(
            limits("5:cpu,cpuacct:/x\n4:memory:/y\n1:name=systemd:/z\n"),
            [
                "/sys/fs/cgroup/memory/y/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes"
            ]
        );
        assert_eq!(limits("nonsense\n"), [] as [String; 0]);
    }

    #[test]
    fn a_limit_leaves_less_memory() {
        let folder = tempfile::tempdir().unwrap();
        let group = CgroupMemory {
            limit: folder.path().join("max"),
            usage: folder.path().join("now"),
        };
        assert_eq!(group.available(), None);
        fs::write(&group.usage, "30\n").unwrap();
        for (limit, available) in [("100\n", Some(70)), ("20\n", Some(0)), ("max\n", None)] {
            fs::write(&group.limit, limit).unwrap();
            assert_eq!(group.available(), available);
        }
    }
}
