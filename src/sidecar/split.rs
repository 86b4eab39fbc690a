//! How the sidecar becomes two processes, of which this one keeps no right.

use std::{
    cell::Cell,
    io::{self, ErrorKind},
    path::Path,
};

use nix::{sys::wait::waitpid, unistd::Pid};

use super::{
    SidecarError,
    channel::{Channel, Reply, Request, ServerEnd, pair},
    confine::{ConfineError, confine_helper, confine_watcher},
    helper::{Helper, failed},
};
use crate::{mount::Mounted, sys};

/// Who is asked about the disk, and to unmount it.
pub(super) enum Asked<'a> {
    /// The helper.
    There(HelperProcess<'a>),
    /// Nobody else: before there is a second process, or where there can be none.
    Here(Helper<'a>),
}

/// The helper's process. Dropped, it is told to end, and waited for.
pub(super) struct HelperProcess<'a> {
    mount_point: &'a Path,
    process: Pid,
    channel: Option<Channel>,
    has_ended: Cell<bool>,
}

impl Asked<'_> {
    /// Asks, and waits for the reply.
    pub(super) fn ask(&self, request: Request) -> Result<Reply, SidecarError> {
        match self {
            Self::Here(helper) => Ok(helper.answer(request)),
            Self::There(helper) => helper.hear(|channel| channel.ask(request)),
        }
    }
}

impl<'a> HelperProcess<'a> {
    fn start(mounted: &'a Mounted) -> Result<Self, SidecarError> {
        let failed = || ConfineError::new::<io::Error>("start its helper process");
        let (channel, server) = pair().map_err(failed())?;
        let process = sys::process::spawn(server, |server| serve(&server.into(), mounted));
        Ok(Self {
            mount_point: &mounted.mount_point,
            process: process.map_err(failed())?,
            channel: Some(channel),
            has_ended: Cell::new(false),
        })
    }

    /// Waits until it has given up what it does not need.
    fn wait_until_ready(&self) -> Result<(), SidecarError> {
        match self.hear(Channel::receive)? {
            Reply::Failed(code, message) => Err(SidecarError::Helper { code, message }),
            _ => Ok(()),
        }
    }

    fn hear(
        &self,
        hear: impl FnOnce(&Channel) -> io::Result<Reply>,
    ) -> Result<Reply, SidecarError> {
        let ended = || SidecarError::HelperEnded(self.mount_point.to_owned());
        let channel = self.channel.as_ref().ok_or_else(ended)?;
        hear(channel).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => {
                self.has_ended.set(true);
                ended()
            }
            _ => SidecarError::io("ask the helper process")(error),
        })
    }
}

impl Drop for HelperProcess<'_> {
    fn drop(&mut self) {
        self.channel = None;
        // One that was killed may have been waited for already.
        if !self.has_ended.get() {
            let _ = waitpid(self.process, None);
        }
    }
}

/// Starts the helper, and gives up all that this process does not need then. To be called while it has
/// one thread. `here` answers where that fails, which the error tells then.
pub(super) fn split<'a>(
    here: Helper<'a>,
    mounted: &'a Mounted,
) -> (Asked<'a>, Option<SidecarError>) {
    let started = HelperProcess::start(mounted).and_then(|helper| {
        helper.wait_until_ready()?;
        Ok(helper)
    });
    match started {
        Ok(helper) => {
            // What it has open is not for this process any more.
            drop(here);
            let confined = confine_watcher().map_err(SidecarError::from);
            (Asked::There(helper), confined.err())
        }
        Err(error) => (Asked::Here(here), Some(error)),
    }
}

/// What the helper does until the watcher ends; with which code it ends.
fn serve(server: &ServerEnd, mounted: &Mounted) -> i32 {
    let helper = match Helper::new(mounted) {
        Ok(helper) => helper,
        Err(error) => return server.send(&failed(&error)).is_err().into(),
    };
    let ready = match confine_helper() {
        Ok(()) => Reply::Done(String::new()),
        Err(error) => failed(&error),
    };
    let mut sent = server.send(&ready);
    while sent.is_ok()
        && let Some(request) = server.next()
    {
        sent = server.send(&helper.answer(request));
    }
    sent.is_err().into()
}
