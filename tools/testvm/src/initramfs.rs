//! All that the guest holds, as one archive that its kernel unpacks.

use std::{
    fs::File,
    io::BufWriter,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{
    cpio::Archive,
    job::{DISKS, Job},
    kernel::Kernel,
    modules,
    program::Program,
    quote::quote,
};

/// Loaded before COMMAND starts, with all that they depend on. ext4 is built in.
const MODULES: [&str; 17] = [
    "virtio_pci",
    "virtio_blk",
    "virtio_console",
    "loop",
    "dm-mod",
    "dm-bufio",
    "dm-verity",
    "dm-flakey",
    "dm-delay",
    "dm-log-writes",
    "dm-crypt",
    "xts", // for dm-crypt
    "erofs",
    "squashfs",
    "xfs",
    "overlay",
    "fuse",
];

const HOME: &str = "/root";
/// Programs that were taken along come before busybox's.
const PATH: &str = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Writes the archive for a job to a file; gives its size in bytes. `disks` are
/// the guest's names of the job's disks.
pub(crate) fn write(file: &Path, kernel: &Kernel, job: &Job, disks: &[String]) -> Result<u64> {
    let out = File::create(file).with_context(|| file.display().to_string())?;
    let mut archive = Archive::new(BufWriter::new(out));
    add_directories(&mut archive)?;
    // What was asked for goes first: what comes later gives way to it.
    for carried in &job.files {
        archive.copy(&carried.host, &Path::new(HOME).join(&carried.guest))?;
    }
    for program in &job.programs {
        add_program(&mut archive, program)?;
        let link = Path::new("/usr/local/bin").join(&program.name);
        if !archive.has(&link) {
            archive.symlink(&link, program.path.as_os_str())?;
        }
    }
    add_base(&mut archive)?;
    let mut order = String::new();
    for module in modules::load(&kernel.modules, &[&MODULES, kernel.own_modules].concat())? {
        let path = format!("/testvm/modules/{}.ko", module.name);
        archive.file(Path::new(&path), 0o644, &module.content)?;
        order += &format!("{}\n", module.name);
    }
    archive.file(Path::new("/testvm/modules/order"), 0o644, order.as_bytes())?;
    archive.file(
        Path::new("/testvm/command"),
        0o644,
        &command_script(job, disks),
    )?;
    archive.file(Path::new("/init"), 0o755, include_bytes!("init.sh"))?;
    archive.finish()
}

fn add_directories(archive: &mut Archive<BufWriter<File>>) -> Result<()> {
    for directory in ["/dev", "/mnt", "/proc", "/run", "/sys", "/var"] {
        archive.directory(Path::new(directory), 0o755)?;
    }
    archive.directory(Path::new(HOME), 0o700)?;
    for directory in ["/tmp", "/var/tmp"] {
        archive.directory(Path::new(directory), 0o1777)?;
    }
    Ok(())
}

/// What a small system has: a shell, busybox's other programs, the accounts of root and of nobody.
fn add_base(archive: &mut Archive<BufWriter<File>>) -> Result<()> {
    let search = std::env::var_os("PATH").unwrap_or_default();
    // Not busybox's shell: that one prefers busybox's programs to those on PATH.
    let shell = Program::find(Path::new("/bin/sh"), &search)?;
    add_program(archive, &shell)?;
    let busybox = Program::find(Path::new("busybox"), &search)?;
    let inside = Path::new("/bin/busybox");
    if !archive.has(inside) {
        archive.copy(&busybox.path, inside)?;
        add_libraries(archive, &busybox)?;
    }
    for applet in applets(&busybox)? {
        if !archive.has(&applet) {
            archive.symlink(&applet, inside.as_os_str())?;
        }
    }
    for (path, content) in [
        (
            "/etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
        ),
        ("/etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    ] {
        if !archive.has(Path::new(path)) {
            archive.file(Path::new(path), 0o644, content.as_bytes())?;
        }
    }
    // For mount programs that look there.
    let mount_table = Path::new("/etc/mtab");
    if !archive.has(mount_table) {
        archive.symlink(mount_table, "../proc/self/mounts".as_ref())?;
    }
    // Where the loader finds libraries outside of its own directories.
    let loader_cache = Path::new("/etc/ld.so.cache");
    if loader_cache.exists() {
        add(archive, loader_cache)?;
    }
    Ok(())
}

/// A program and its libraries, each where it lies on this machine.
fn add_program(archive: &mut Archive<BufWriter<File>>, program: &Program) -> Result<()> {
    add(archive, &program.path)?;
    add_libraries(archive, program)
}

fn add_libraries(archive: &mut Archive<BufWriter<File>>, program: &Program) -> Result<()> {
    for library in program.libraries()? {
        add(archive, &library)?;
    }
    Ok(())
}

/// A file that lies in the guest where it lies on this machine.
fn add(archive: &mut Archive<BufWriter<File>>, path: &Path) -> Result<()> {
    if !archive.has(path) {
        archive.copy(path, path)?;
    }
    Ok(())
}

/// Where busybox's programs belong.
fn applets(busybox: &Program) -> Result<Vec<PathBuf>> {
    let output = Command::new(&busybox.path)
        .arg("--list-full")
        .output()
        .context("cannot run busybox")?;
    if !output.status.success() {
        bail!("busybox --list-full failed ({})", output.status);
    }
    let list = String::from_utf8(output.stdout)?;
    Ok(list.lines().map(|path| Path::new("/").join(path)).collect())
}

/// A shell script that becomes COMMAND, with its environment.
fn command_script(job: &Job, disks: &[String]) -> Vec<u8> {
    let disks = disks.join(":");
    let base = [("PATH", PATH), ("HOME", HOME), (DISKS, &disks)];
    let own = job
        .environment
        .iter()
        .map(|variable| (variable.name.as_str(), variable.value.as_str()));
    let mut script = Vec::new();
    for (name, value) in base.into_iter().chain(own) {
        script.extend_from_slice(format!("export {name}=").as_bytes());
        script.extend(quote(value.as_bytes()));
        script.push(b'\n');
    }
    script.extend_from_slice(b"exec");
    for word in &job.command {
        script.push(b' ');
        script.extend(quote(word.as_bytes()));
    }
    script.push(b'\n');
    script
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_script_becomes_the_command() {
        let job = Job {
            command: vec!["printf".into(), "%s".into(), "it's".into()],
            environment: vec!["A=b c".parse().unwrap()],
            timeout: Duration::ZERO,
            disks: vec![],
            programs: vec![],
            files: vec![],
        };
        let disks = ["/dev/vda".to_owned(), "/dev/vdb".to_owned()];
        let script = String::from_utf8(command_script(&job, &disks)).unwrap();
        let lines: Vec<_> = script.lines().skip(2).collect();
        let expected = [
            "export TESTVM_DISKS='/dev/vda:/dev/vdb'",
            "export A='b c'",
            r"exec 'printf' '%s' 'it'\''s'",
        ];
        assert_eq!(lines, expected);
    }
}
