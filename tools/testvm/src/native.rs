//! COMMAND on this machine's own kernel.

use std::{
    env,
    ffi::OsString,
    fs,
    os::unix::{fs::symlink, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{
    job::{CarriedFile, DISKS, Job},
    process::{End, ProcessGroup},
    program::ROOTS_PATH,
};

/// A shell's exit codes for a command that is not there, or cannot be started.
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;

/// Runs the job; gives COMMAND's exit code.
pub(crate) fn run(job: &Job) -> Result<u8> {
    let scratch = tempfile::tempdir()?;
    let home = scratch.path().join("home");
    let programs = scratch.path().join("bin");
    fs::create_dir(&home)?;
    fs::create_dir(&programs)?;
    for program in &job.programs {
        symlink(&program.path, programs.join(&program.name))?;
    }
    for file in &job.files {
        place(file, &home)?;
    }
    let disks: Vec<AttachedLoop> = job
        .disks
        .iter()
        .map(|disk| AttachedLoop::attach(disk))
        .collect::<Result<_>>()?;
    let disks: Vec<&str> = disks.iter().map(|disk| disk.0.as_str()).collect();
    let path = search_path(&programs)?;
    // The search for COMMAND itself goes by this PATH too: std takes the child's.
    let mut command = Command::new(&job.command[0]);
    command
        .args(&job.command[1..])
        .current_dir(&home)
        .env_clear()
        .env("PATH", path)
        .env("HOME", &home)
        .env(DISKS, disks.join(":"))
        .envs(
            job.environment
                .iter()
                .map(|variable| (&variable.name, &variable.value)),
        )
        .stdin(Stdio::null());
    let mut group = match ProcessGroup::spawn(&mut command) {
        Ok(group) => group,
        Err(error) => {
            eprintln!("testvm: {}: {error}", job.command[0].display());
            return Ok(match error.kind() {
                std::io::ErrorKind::NotFound => NOT_FOUND,
                _ => NOT_EXECUTABLE,
            });
        }
    };
    match group.wait(job.timeout, || Ok(()))? {
        End::Exited(status) => Ok(exit_code(status)),
        End::TimedOut => bail!(
            "timed out after {} s while COMMAND ran",
            job.timeout.as_secs()
        ),
        End::Interrupted => bail!("interrupted"),
    }
}

fn search_path(programs: &Path) -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    let path = [programs.to_owned()]
        .into_iter()
        .chain(env::split_paths(&path))
        .chain(ROOTS_PATH.map(PathBuf::from));
    Ok(env::join_paths(path)?)
}

/// Links a file into the working directory. Elsewhere it must lie already.
fn place(file: &CarriedFile, home: &Path) -> Result<()> {
    if file.guest.is_absolute() {
        if file.guest != file.host {
            bail!(
                "natively {} cannot be put at {}: give a relative path, which goes to COMMAND's \
                 working directory, or --where vm",
                file.host.display(),
                file.guest.display()
            );
        }
        return Ok(());
    }
    let link = home.join(&file.guest);
    if let Some(parent) = link.parent() {
        fs::create_dir_all(parent)?;
    }
    symlink(&file.host, &link).with_context(|| file.guest.display().to_string())
}

fn exit_code(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    // Both kinds of status fit; a process has one of them.
    code.and_then(|code| u8::try_from(code).ok())
        .unwrap_or(u8::MAX)
}

/// A read-only loop device, by its path. It is detached when it is dropped.
struct AttachedLoop(String);

impl AttachedLoop {
    fn attach(file: &Path) -> Result<Self> {
        let output = Command::new("losetup")
            .args(["--find", "--show", "--read-only", "--"])
            .arg(file)
            .output()
            .context("cannot run losetup")?;
        if !output.status.success() {
            bail!(
                "losetup cannot attach {}: {}",
                file.display(),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(Self(String::from_utf8(output.stdout)?.trim().into()))
    }
}

impl Drop for AttachedLoop {
    fn drop(&mut self) {
        let detached = Command::new("losetup").args(["--detach", &self.0]).status();
        if !detached.is_ok_and(|status| status.success()) {
            eprintln!("testvm: cannot detach {}", self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{ffi::OsStr, time::Duration};

    use crate::program::Program;

    #[test]
    fn signals_become_exit_codes_as_in_a_shell() {
        assert_eq!(exit_code(ExitStatus::from_raw(7 << 8)), 7);
        assert_eq!(exit_code(ExitStatus::from_raw(255 << 8)), 255);
        assert_eq!(exit_code(ExitStatus::from_raw(9)), 137);
    }

    fn job(script: &str) -> Job {
        Job {
            command: vec!["sh".into(), "-c".into(), script.into()],
            environment: vec!["A=b c".parse().unwrap()],
            timeout: Duration::from_secs(60),
            disks: vec![],
            programs: vec![Program::find(Path::new("/bin/cat"), OsStr::new("")).unwrap()],
            files: vec![CarriedFile {
                host: "/etc/passwd".into(),
                guest: "a/b".into(),
            }],
        }
    }

    #[test]
    fn runs_in_an_environment_of_its_own() {
        let script = r#"
            test "$A" = "b c" && test "$HOME" = "$PWD" && test -z "$TESTVM_DISKS" || exit 1
            test -z "${CARGO_MANIFEST_DIR-}" || exit 2
            case $(command -v cat) in /bin/* | /usr/*) exit 3 ;; esac
            cat a/b | grep -q root || exit 4
            exit 7"#;
        assert_eq!(run(&job(script)).unwrap(), 7);
    }

    #[test]
    fn ends_in_time_or_by_a_signal() {
        let mut long = job("sleep 1000");
        long.timeout = Duration::ZERO;
        assert!(run(&long).unwrap_err().to_string().contains("timed out"));
        assert_eq!(run(&job("kill -9 $$")).unwrap(), 137);
    }

    #[test]
    fn a_command_that_is_not_there() {
        let mut missing = job("");
        missing.command = vec!["no-such-command".into()];
        assert_eq!(run(&missing).unwrap(), NOT_FOUND);
        missing.command = vec!["/etc".into()];
        assert_eq!(run(&missing).unwrap(), NOT_EXECUTABLE);
    }

    #[test]
    fn files_lie_in_the_working_directory() {
        let home = tempfile::tempdir().unwrap();
        let file = |guest: &str| CarriedFile {
            host: "/etc/passwd".into(),
            guest: guest.into(),
        };
        place(&file("a/b"), home.path()).unwrap();
        assert!(home.path().join("a/b").is_file());
        place(&file("/etc/passwd"), home.path()).unwrap();
        assert!(place(&file("/elsewhere"), home.path()).is_err());
    }
}
