//! Models that are fetched, onto block devices.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::fd::AsRawFd,
    path::Path,
    process::Command,
};

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};
use test_support::{
    http::HttpRequest,
    hub::{COMMIT, HubFile, HubServer, MODEL},
};

use crate::{
    Test,
    disk::{Loop, TestDisk, write},
    run::{Outcome, text},
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[(
    "what_is_left_on_a_device_is_gone_on_with",
    what_is_left_on_a_device_is_gone_on_with,
)];

const MIB: usize = 1 << 20;

/// Files that are there, whole, are not fetched again. What there is of another is not taken for its
/// start: on a device nothing tells what has been written.
fn what_is_left_on_a_device_is_gone_on_with() {
    loopback_up();
    let first = vec![7; 3 * MIB];
    let second = vec![8; 3 * MIB + 5];
    let files = [("first.safetensors", first), ("second.safetensors", second)]
        .map(|(path, bytes)| (path.to_owned(), HubFile::new(bytes, true)));
    let server = HubServer::start(BTreeMap::from(files));
    let disk = TestDisk::new();
    let image = disk.path("device");
    File::create(&image).unwrap().set_len(16 << 20).unwrap();
    let device = Loop::new(&image);
    let path = device.path();

    let built = build(&server, path);
    built.is(0, &[]);
    let whole = fs::read(path).unwrap();
    // As a run leaves it that was killed in the middle of the second file.
    let second = whole.windows(MIB).position(|bytes| bytes == [8; MIB]);
    let second = second.unwrap() as u64;
    write(path, 0, &[0; 4096]);
    write(path, second + (2 << 20), &[9; MIB]);
    let before = server.storage.requests().len();
    let again = build(&server, path);
    again.is(0, &["first.safetensors", "\"kept_bytes\": 3145728"]);
    assert!(fs::read(path).unwrap() == whole);
    let requests = server.storage.requests().split_off(before);
    let asked = |name: &str| {
        let requests = requests.iter();
        let requests = requests.filter(|request| request.target.contains(name));
        requests.map(HttpRequest::range).collect::<Vec<_>>()
    };
    assert_eq!(asked("first"), []);
    assert_eq!(asked("second"), [None]);
}

fn build(server: &HubServer, device: &Path) -> Outcome {
    let model = format!("hf://{MODEL}@{COMMIT}");
    let words = [
        "build",
        &model,
        "--output",
        text(device),
        "--resume",
        "--json",
    ];
    let mut command = Command::new("disk-builder");
    let command = command.args(words).env("HF_ENDPOINT", server.hub.url());
    command.output().unwrap().into()
}

/// Has this machine reach itself, which a virtual machine does not by itself.
fn loopback_up() {
    let kernel = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )
    .unwrap();
    let (newlink, request, ack) = (16u16, 1u16, 4u16);
    let (loopback, up) = (1u32, 1u32);
    // `struct nlmsghdr`, and `struct ifinfomsg`: the flag, and which flags are meant.
    let mut message = 32u32.to_ne_bytes().to_vec();
    message.extend(newlink.to_ne_bytes());
    message.extend((request | ack).to_ne_bytes());
    message.extend([0; 12]);
    for number in [loopback, up, up] {
        message.extend(number.to_ne_bytes());
    }
    let kernel = kernel.as_raw_fd();
    send(kernel, &message, MsgFlags::empty()).unwrap();
    let mut answer = [0; 256];
    assert!(recv(kernel, &mut answer, MsgFlags::empty()).unwrap() >= 20);
    // `struct nlmsgerr`, after the header.
    assert_eq!(answer[16..20], [0; 4], "the loopback interface");
}
