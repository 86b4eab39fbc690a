//! The process that serves a disk after `mount` has ended: a child of that command, which waits for its
//! word that the disk is mounted, or why it is not.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::fd::{AsFd, OwnedFd},
};

use model_disk::{ErrorChain, Escaped, ExitCode, HasExitCode as _};
use nix::sys::signal::{Signal, raise};
use rustix::{
    process::{chdir, set_parent_process_death_signal, setsid},
    stdio::{dup2_stderr, dup2_stdin, dup2_stdout},
};

use super::{Begun, FuseError, FuseRequest, begin};
use crate::{log, signals::Signals, sys};

/// Mounts a disk by FUSE, and leaves a process behind that serves it until it is unmounted. To be called
/// while this process has one thread. That process says on standard error why the disk is not mounted;
/// the code is the one to end with then.
pub fn mount_fuse(request: &FuseRequest) -> Result<ExitCode, FuseError> {
    let (mut word, its) = io::pipe().map_err(FuseError::process("make a pipe"))?;
    let server = sys::process::spawn(its.into(), |word| serve(word, request) as i32);
    server.map_err(FuseError::process("start a process"))?;
    let mut byte = [0];
    // It says nothing only if it was killed.
    let heard = word.read_exact(&mut byte);
    heard.map_err(FuseError::process(
        "mount: the process that serves the disk was ended",
    ))?;
    let code = ExitCode::ALL.into_iter().find(|code| byte == [*code as u8]);
    Ok(code.unwrap_or(ExitCode::Failure))
}

/// What that process does; with which code it ends.
fn serve(word: OwnedFd, request: &FuseRequest) -> ExitCode {
    let mut word = File::from(word);
    let mut say = |code: ExitCode| word.write_all(&[code as u8]);
    let begun = leave_the_session().and_then(|signals| Ok((begin(request, &signals)?, signals)));
    match begun {
        Err(error) => {
            log::error(format_args!("{}", ErrorChain(&error)));
            let _ = say(error.exit_code());
            error.exit_code()
        }
        Ok((Begun::Existing(path), _)) => {
            log::info(format_args!(
                "{} is mounted at {} already",
                Escaped::path(&request.read.device),
                Escaped::path(&path)
            ));
            let _ = say(ExitCode::Success);
            ExitCode::Success
        }
        Ok((Begun::Serving(server, place), signals)) => {
            // From here on the command may end. If it has been ended already, nobody wants the mount.
            let _ = set_parent_process_death_signal(None);
            if say(ExitCode::Success).is_err() {
                let _ = raise(Signal::SIGTERM);
            }
            drop(word);
            fall_silent();
            match server.watch(&place, &signals, &|_| ()) {
                Ok(()) => ExitCode::Success,
                Err(error) => error.exit_code(),
            }
        }
    }
}

/// Away from the terminal, whose signals are for the command. When that is ended, this process is asked
/// to end, too.
fn leave_the_session() -> Result<Signals, FuseError> {
    setsid().map_err(FuseError::process("start a session"))?;
    let signals = Signals::open().map_err(FuseError::process("wait for signals"))?;
    set_parent_process_death_signal(Some(rustix::process::Signal::TERM))
        .map_err(FuseError::process("hear of the end of the command"))?;
    Ok(signals)
}

/// From here on nobody hears what is said: the state of the disk is for `status` to tell.
fn fall_silent() {
    let mut options = File::options();
    if let Ok(nowhere) = options.read(true).open("/dev/null") {
        let nowhere = nowhere.as_fd();
        let _ = dup2_stdin(nowhere);
        let _ = dup2_stdout(nowhere);
        let _ = dup2_stderr(nowhere);
    }
    let _ = chdir("/");
}
