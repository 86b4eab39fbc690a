//! Programs that are run.

use std::{
    env,
    ffi::OsStr,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// A command with arguments.
pub(crate) fn command<S: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    arguments: impl IntoIterator<Item = S>,
) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// Runs a command, which must succeed, and gives what it prints.
pub(crate) fn bytes(command: &mut Command) -> Result<Vec<u8>> {
    let name = name(command);
    let done = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {name}"))?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        bail!("{name} failed ({}): {}", done.status, said.trim());
    }
    Ok(done.stdout)
}

/// Runs a command, which must succeed, and gives the text that it prints.
pub(crate) fn text(command: &mut Command) -> Result<String> {
    let name = name(command);
    String::from_utf8(bytes(command)?).with_context(|| format!("{name} printed no text"))
}

/// Runs a command, which must succeed. What it says is for the user, what it prints for nobody.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let name = name(command);
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .with_context(|| format!("cannot run {name}"))?;
    if !status.success() {
        bail!("{name} failed ({status})");
    }
    Ok(())
}

fn name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

/// Whether a program of this name is on PATH.
pub(crate) fn is_on_path(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| is_executable(&folder.join(name)))
}

/// Whether a path is that of a file that can be run.
pub(crate) fn is_executable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_prints_or_why_it_failed() {
        assert_eq!(text(&mut command("echo", ["hello"])).unwrap(), "hello\n");
        let script = "echo why >&2; exit 3";
        let error = text(&mut command("sh", ["-c", script])).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("why") && error.contains('3'), "{error}");
        assert!(run(&mut command("false", [""])).is_err());
        let error = run(&mut command("no-such-program", [""])).unwrap_err();
        assert!(error.to_string().contains("no-such-program"), "{error}");
    }

    #[test]
    fn programs_on_path() {
        assert!(is_on_path("sh"));
        assert!(!is_on_path("no-such-program"));
        assert!(!is_executable(Path::new("/etc/passwd")));
        assert!(!is_executable(Path::new("/bin")));
    }
}
