//! What device-mapper gets from udev: an answer to each of the kernel's events that asks for one.

use std::{
    os::fd::{AsRawFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use nix::sys::{
    socket::{
        AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv,
        setsockopt, socket, sockopt::ReceiveTimeout,
    },
    time::{TimeVal, TimeValLike},
};

use crate::container::{VISIBLE_UDEV, unshared};

/// Plays udev, in a thread.
pub(super) struct Udev {
    end: Arc<AtomicBool>,
    thread: JoinHandle<u32>,
}

impl Udev {
    /// Starts to answer.
    pub(super) fn start() -> Self {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Datagram,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkKObjectUEvent,
        )
        .unwrap();
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 1)).unwrap();
        setsockopt(&socket, ReceiveTimeout, &TimeVal::milliseconds(50)).unwrap();
        let end = Arc::<AtomicBool>::default();
        let seen = Arc::clone(&end);
        let thread = thread::spawn(move || {
            let mut answers = 0;
            while !seen.load(Ordering::Relaxed) {
                answers += u32::from(answer(&socket));
            }
            answers
        });
        Self { end, thread }
    }

    /// Ends; how many events were answered.
    pub(super) fn stop(self) -> u32 {
        self.end.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Answers the next event, if there is one soon that asks for an answer.
fn answer(socket: &OwnedFd) -> bool {
    let mut message = [0; 8192];
    let Ok(length) = recv(socket.as_raw_fd(), &mut message, MsgFlags::empty()) else {
        return false;
    };
    let text = String::from_utf8_lossy(&message[..length]);
    let cookie = text
        .split('\0')
        .find_map(|variable| variable.strip_prefix("DM_COOKIE="));
    let Some(cookie) = cookie else {
        return false;
    };
    // Where no udev is visible, it does nothing.
    let script = format!("{VISIBLE_UDEV} dmsetup udevcomplete {cookie}");
    unshared("--mount", &script).is(0, &[]);
    true
}
