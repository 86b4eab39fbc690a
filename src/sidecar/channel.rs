//! How the watcher asks the helper: one message for a request, one for the reply, on a socket that
//! keeps them apart.

use std::{
    fs::File,
    io::{self, IoSlice, IoSliceMut, Write},
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
};

use model_disk::ExitCode;
use rustix::{
    io::{Errno, read},
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
    },
};

/// The longest reply, in bytes; a longer text is cut.
const LONGEST: usize = 8192;

/// What the helper is asked for. All of it is about the one disk that was mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// How the disk is.
    State,
    /// Its mapping, open to be read.
    Open,
    /// To unmount it.
    Unmount,
    /// To take it out of sight, though it is in use.
    Detach,
}

impl Request {
    const ALL: [Self; 4] = [Self::State, Self::Open, Self::Unmount, Self::Detach];
}

/// How the disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DiskState {
    /// Mounted, shown at its path, and nothing corrupt was found in it.
    Verified,
    /// A block of it is corrupt.
    Corrupt,
    /// Not mounted any more.
    Gone,
    /// Its path leads to something else.
    Covered,
}

impl DiskState {
    const ALL: [Self; 4] = [Self::Verified, Self::Corrupt, Self::Gone, Self::Covered];
}

/// What the helper answers.
#[derive(Debug)]
pub(super) enum Reply {
    /// To [`Request::State`], with how many blocks were corrected, where that is known.
    State(DiskState, Option<u64>),
    /// To [`Request::Open`]; None where there is none to be had.
    Opened(Option<File>),
    /// It is done, and this is to be said of it.
    Done(String),
    /// Somebody else has unmounted it.
    NotMounted,
    /// It is in use.
    Busy(String),
    /// It failed.
    Failed(ExitCode, String),
}

/// The watcher's end.
#[derive(Debug)]
pub(super) struct Channel(File);

/// The helper's end.
pub(super) struct ServerEnd(OwnedFd);

/// Makes the two ends.
pub(super) fn pair() -> io::Result<(Channel, OwnedFd)> {
    let (client, server) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?;
    Ok((Channel(client.into()), server))
}

impl Channel {
    /// Asks, and waits for the reply; UnexpectedEof where the helper has ended.
    pub(super) fn ask(&self, request: Request) -> io::Result<Reply> {
        match (&self.0).write(&[request as u8]) {
            Ok(_) => self.receive(),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                Err(io::ErrorKind::UnexpectedEof.into())
            }
            Err(error) => Err(error),
        }
    }

    /// Waits for a reply; UnexpectedEof where the helper has ended.
    pub(super) fn receive(&self) -> io::Result<Reply> {
        let mut buffer = [0; LONGEST];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut attached = RecvAncillaryBuffer::new(&mut space);
        let length = loop {
            let mut parts = [IoSliceMut::new(&mut buffer)];
            let flags = RecvFlags::CMSG_CLOEXEC;
            match recvmsg(&self.0, &mut parts, &mut attached, flags) {
                Err(Errno::INTR) => {}
                received => break received?.bytes,
            }
        };
        let files = attached.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(files) => Some(files),
            _ => None,
        });
        let file = files.flatten().next().map(File::from);
        let message = buffer.get(..length).unwrap_or_default();
        if message.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        decode(message, file).ok_or(io::ErrorKind::InvalidData.into())
    }
}

impl From<OwnedFd> for ServerEnd {
    fn from(socket: OwnedFd) -> Self {
        Self(socket)
    }
}

impl ServerEnd {
    /// Waits for a request; None where the watcher has ended, or sends what is none.
    pub(super) fn next(&self) -> Option<Request> {
        let mut buffer = [0; 2];
        loop {
            match read(&self.0, &mut buffer) {
                Ok(1) => {
                    let requests = Request::ALL.into_iter();
                    return requests.zip(0..).find_map(|(request, number)| {
                        (buffer.first() == Some(&number)).then_some(request)
                    });
                }
                Err(rustix::io::Errno::INTR) => {}
                _ => return None,
            }
        }
    }

    /// Sends a reply.
    pub(super) fn send(&self, reply: &Reply) -> io::Result<()> {
        let message = encode(reply);
        let files = match reply {
            Reply::Opened(Some(file)) => &[file.as_fd()][..],
            _ => &[],
        };
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut attached = SendAncillaryBuffer::new(&mut space);
        // There is space for one.
        attached.push(SendAncillaryMessage::ScmRights(files));
        // A watcher that has ended is no reason to be ended by a signal.
        let flags = SendFlags::NOSIGNAL;
        sendmsg(&self.0, &[IoSlice::new(&message)], &mut attached, flags)?;
        Ok(())
    }
}

/// A letter, a number where there is one, and a text.
fn encode(reply: &Reply) -> Vec<u8> {
    let corrected;
    let (letter, number, text) = match reply {
        Reply::State(state, count) => {
            corrected = count.map(|count| count.to_string()).unwrap_or_default();
            (b's', *state as u8, &*corrected)
        }
        Reply::Opened(_) => (b'o', 0, ""),
        Reply::Done(text) => (b'd', 0, &**text),
        Reply::NotMounted => (b'n', 0, ""),
        Reply::Busy(text) => (b'b', 0, &**text),
        Reply::Failed(code, text) => (b'f', *code as u8, &**text),
    };
    let mut message = vec![letter, number];
    message.extend_from_slice(text.as_bytes());
    message.truncate(LONGEST);
    message
}

/// None where it is nothing that [`encode`] makes.
fn decode(message: &[u8], file: Option<File>) -> Option<Reply> {
    let (&[letter, number], text) = message.split_first_chunk()?;
    let text = || String::from_utf8_lossy(text).into_owned();
    Some(match letter {
        b's' => {
            let corrected = text();
            let corrected = match &*corrected {
                "" => None,
                count => Some(count.parse().ok()?),
            };
            Reply::State(*DiskState::ALL.get(usize::from(number))?, corrected)
        }
        b'o' => Reply::Opened(file),
        b'd' => Reply::Done(text()),
        b'n' => Reply::NotMounted,
        b'b' => Reply::Busy(text()),
        b'f' => Reply::Failed(*ExitCode::ALL.get(usize::from(number))?, text()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn requests_and_replies_come_through() {
        let (channel, server) = pair().unwrap();
        let server = ServerEnd::from(server);
        let model = tempfile::tempdir().unwrap();
        let path = model.path().join("model");
        std::fs::write(&path, "weights").unwrap();
        let replies = || {
            vec![
                Reply::State(DiskState::Covered, None),
                Reply::State(DiskState::Verified, Some(0)),
                Reply::State(DiskState::Corrupt, Some(u64::MAX)),
                Reply::Opened(None),
                Reply::Opened(Some(File::open(&path).unwrap())),
                Reply::Done("unmounted".to_owned()),
                Reply::NotMounted,
                Reply::Busy("in use".to_owned()),
                Reply::Failed(ExitCode::Unsupported, "é".repeat(LONGEST)),
            ]
        };
        let requests: Vec<Request> = Request::ALL
            .into_iter()
            .cycle()
            .take(replies().len())
            .collect();
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| {
                let answer = |reply| {
                    let request = server.next().unwrap();
                    server.send(&reply).unwrap();
                    request
                };
                replies().into_iter().map(answer).collect::<Vec<_>>()
            });
            for (request, sent) in requests.iter().zip(replies()) {
                let received = channel.ask(*request).unwrap();
                if let Reply::Opened(Some(file)) = &received {
                    let mut bytes = [0; 7];
                    file.read_exact_at(&mut bytes, 0).unwrap();
                    assert_eq!(&bytes, b"weights");
                    continue;
                }
                let (received, sent) = (format!("{received:?}"), format!("{sent:?}"));
                // The longest is cut.
                assert!(received == sent || received.len() > 4000, "{received}");
            }
            assert_eq!(asked.join().unwrap(), requests);
        });
        drop(server);
        let error = channel.ask(Request::State).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn what_is_no_request_ends_the_helper() {
        for message in [&b"\x09"[..], b"\0\0", b"\xff"] {
            let (channel, server) = pair().unwrap();
            let server = ServerEnd::from(server);
            (&channel.0).write_all(message).unwrap();
            assert_eq!(server.next(), None, "{message:?}");
        }
        for message in [&b""[..], b"s", b"s\x04", b"s\0-", b"f\x07", b"x\0"] {
            assert!(decode(message, None).is_none(), "{message:?}");
        }
    }
}
