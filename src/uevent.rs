//! The kernel's uevents: dm-verity sends one for each corrupt block that it finds.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use nix::{
    errno::Errno,
    sys::socket::{
        AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recvfrom, socket,
    },
};

use dm_verity::DeviceNumber;

/// The group to which the kernel sends; udev sends to another.
const KERNEL_GROUP: u32 = 1;

/// A block that is not what the root hash says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CorruptBlock {
    /// A data block, counted from the start of the data.
    Data(u64),
    /// A hash block, counted from the start of the hash device.
    Hash(u64),
}

/// The socket on which the kernel tells of changes to devices.
pub(crate) struct Uevents(OwnedFd);

impl Uevents {
    /// Starts to listen.
    pub(crate) fn open() -> io::Result<Self> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Datagram,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            SockProtocol::NetlinkKObjectUEvent,
        )?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, KERNEL_GROUP))?;
        Ok(Self(socket))
    }

    /// Takes what has come, up to the first corrupt block of a device.
    #[expect(
        clippy::indexing_slicing,
        reason = "the kernel tells how much of the buffer it filled"
    )]
    pub(crate) fn corrupt_block(&self, device: DeviceNumber) -> io::Result<Option<CorruptBlock>> {
        // A uevent has at most 2048 bytes of variables.
        let mut message = [0; 8192];
        loop {
            match recvfrom::<NetlinkAddr>(self.0.as_raw_fd(), &mut message) {
                // Only the kernel has the port 0.
                Ok((length, Some(sender))) if sender.pid() == 0 => {
                    if let Some(block) = parse(&message[..length], device) {
                        return Ok(Some(block));
                    }
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(None),
                // More came than the socket holds. The device's status tells of the corruption.
                Err(Errno::ENOBUFS) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for Uevents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Finds the corrupt block in a uevent: `ACTION@DEVPATH` and variables, each ended by a NUL.
pub(super) fn parse(message: &[u8], device: DeviceNumber) -> Option<CorruptBlock> {
    let variable = |name: &str| {
        message.split(|byte| *byte == 0).find_map(|variable| {
            str::from_utf8(variable)
                .ok()?
                .strip_prefix(name)?
                .strip_prefix('=')
        })
    };
    let number = |name| variable(name)?.parse().ok();
    if (number("MAJOR")?, number("MINOR")?) != (device.major, device.minor) {
        return None;
    }
    let (kind, block) = variable("DM_VERITY_ERR_BLOCK_NR")?.split_once(',')?;
    let block = block.parse().ok()?;
    match kind {
        "0" => Some(CorruptBlock::Data(block)),
        "1" => Some(CorruptBlock::Hash(block)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: DeviceNumber = DeviceNumber {
        major: 253,
        minor: 1,
    };

    fn message(error: &str) -> Vec<u8> {
        format!(
            "change@/devices/virtual/block/dm-1\0ACTION=change\0\
             DEVPATH=/devices/virtual/block/dm-1\0SUBSYSTEM=block\0{error}\0\
             MAJOR=253\0MINOR=1\0DEVNAME=dm-1\0DEVTYPE=disk\0SEQNUM=1234\0"
        )
        .into()
    }

    #[test]
    fn corrupt_blocks() {
        let parse = |error| parse(&message(error), DEVICE);
        assert_eq!(
            parse("DM_VERITY_ERR_BLOCK_NR=0,12"),
            Some(CorruptBlock::Data(12))
        );
        assert_eq!(
            parse("DM_VERITY_ERR_BLOCK_NR=1,7"),
            Some(CorruptBlock::Hash(7))
        );
    }

    #[test]
    fn others() {
        for error in [
            "",
            "DM_VERITY_ERR_BLOCK_NR=",
            "DM_VERITY_ERR_BLOCK_NR=2,1",
            "DM_COOKIE=1",
        ] {
            assert_eq!(parse(&message(error), DEVICE), None, "{error:?}");
        }
        let other = DeviceNumber { minor: 2, ..DEVICE };
        assert_eq!(parse(&message("DM_VERITY_ERR_BLOCK_NR=0,12"), other), None);
        for garbage in [&b""[..], b"\0\0", &[0xff; 100]] {
            assert_eq!(parse(garbage, DEVICE), None);
        }
    }
}
