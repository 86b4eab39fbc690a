//! What can go wrong on the way.

use std::{sync::Arc, time::Instant};

use nix::sys::signal::Signal;
use test_support::{
    http::{HttpReply, HttpRequest},
    hub::{COMMIT, MODEL, Times},
};

use super::{HubPlace, files};
use crate::program::{Ended, signal};

const LARGE: &str = "model-1.safetensors";

fn address() -> String {
    format!("hf://{MODEL}@{COMMIT}")
}

/// The root hash of a hub with a fault must be that of the directory.
fn survived(
    fault: impl Fn(&HttpRequest, Option<&str>, HttpReply) -> HttpReply + Send + Sync + 'static,
) -> HubPlace {
    let place = HubPlace::faulty(&files(), fault);
    let got = place.run(&format!("root-hash {}", address()));
    assert_eq!(got.ok(), place.expected(""));
    place
}

/// A build from a hub with a fault must fail so, and leave nothing.
fn refused(
    code: i32,
    said: &str,
    fault: impl Fn(&HttpRequest, Option<&str>, HttpReply) -> HttpReply + Send + Sync + 'static,
) {
    let place = HubPlace::faulty(&files(), fault);
    place
        .run(&format!("build {} --output disk", address()))
        .refused(code, said);
    assert_eq!(place.place.names(), ["model"]);
}

#[test]
fn connections_that_are_cut_go_on_at_the_byte() {
    const CUT: u64 = (3 << 20) + 5;
    let times = Times::default();
    let place = survived(move |request, _, mut reply| {
        let is_first = request.range().is_some_and(|(first, _)| first == 0);
        if is_first && reply.status == 206 && times.count("") == 0 {
            reply.cut_after = Some(CUT);
        }
        reply
    });
    let mut ranges = place.ranges_of(LARGE);
    ranges.sort_unstable();
    let [first, again, ..] = ranges[..] else {
        panic!("{ranges:?}");
    };
    assert_eq!((first, again), (0, CUT));
}

/// The first answer to each question is cut short, or is none.
#[test]
fn servers_that_fail_now_and_then() {
    for status in [0, 429, 500, 503] {
        let times = Times::default();
        survived(move |request, _, mut reply| {
            let what = format!("{} {:?}", request.target, request.range());
            if times.count(&what) > 0 {
                return reply;
            }
            if status == 0 {
                reply.cut_after = Some(reply.length / 2);
                return reply;
            }
            HttpReply::bytes(status, "wait").with("Retry-After", "0")
        });
    }
}

#[test]
fn a_server_that_asks_for_time_gets_it() {
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let times = Arc::clone(&asked);
    let place = HubPlace::faulty(&files(), move |request, _, reply| {
        if !request.target.contains("/tree/") {
            return reply;
        }
        let mut times = times.lock().unwrap();
        times.push(Instant::now());
        match times.len() {
            1 => HttpReply::bytes(429, "").with("Retry-After", "2"),
            _ => reply,
        }
    });
    place.run(&format!("root-hash {}", address())).ok();
    let asked = asked.lock().unwrap();
    assert!(asked[1].duration_since(asked[0]).as_secs() >= 2);
}

#[test]
fn a_server_without_ranges() {
    let times = Times::default();
    let place = survived(move |request, path, reply| {
        let Some(path) = path.filter(|_| reply.status == 206) else {
            return reply;
        };
        let mut whole = HttpReply::filled(200, files()[path].size, reply.fill);
        // Once in the middle, so that all before that comes once more.
        if path == LARGE && times.count(path) == 0 {
            whole.cut_after = Some((13 << 20) + 3);
        }
        assert!(request.header("range").is_some());
        whole
    });
    let requests = place.server.storage.requests();
    let large = requests
        .iter()
        .filter(|request| request.target.contains(LARGE));
    assert_eq!(large.count(), 2);
}

#[test]
fn a_server_that_does_not_say_how_long() {
    let times = Times::default();
    survived(move |_, path, mut reply| {
        if path.is_some() {
            reply.told_length = None;
        }
        if path == Some("onnx.txt") && times.count("") == 0 {
            reply.cut_after = Some(1000);
        }
        reply
    });
}

#[test]
fn a_place_that_is_only_for_a_while() {
    let times = Times::default();
    let place = survived(move |request, _, reply| {
        let is_storage = request.target.contains("Signature");
        if is_storage && request.range().is_some_and(|(first, _)| first > 0) && times.count("") == 0
        {
            return HttpReply::bytes(403, "Request has expired");
        }
        reply
    });
    let requests = place.server.hub.requests();
    let asked = requests
        .iter()
        .filter(|request| request.target.ends_with(LARGE));
    assert!(asked.count() >= 2);
}

#[test]
fn wrong_bytes_are_named() {
    for (path, kind) in [(LARGE, "SHA-256"), ("onnx.txt", "Git's id")] {
        let expected = format!("{path} is not what it should be: expected {kind} ");
        refused(3, &expected, move |_, found, mut reply| {
            if found == Some(path) && reply.status != 302 {
                let fill = Arc::clone(&reply.fill);
                reply.fill = Arc::new(move |offset, bytes: &mut [u8]| {
                    fill(offset, bytes);
                    if offset == 0 {
                        bytes[100] ^= 1;
                    }
                });
            }
            reply
        });
    }
}

#[test]
fn wrong_lengths_are_named() {
    let small = "config.json has 613 bytes where it is fetched from, and should have 612";
    let longer = |told: bool| {
        move |_: &HttpRequest, path: Option<&str>, mut reply: HttpReply| {
            if path == Some("config.json") {
                reply = HttpReply::bytes(200, vec![1; 613]);
                reply.told_length = told.then_some(613);
            }
            reply
        }
    };
    refused(3, small, longer(true));
    refused(3, small, longer(false));
    let shorter = "config.json has 611 bytes where it is fetched from, and should have 612";
    refused(3, shorter, |_, path, mut reply| {
        if path == Some("config.json") {
            reply = HttpReply::bytes(200, vec![1; 611]);
            reply.told_length = None;
        }
        reply
    });
    let large = format!("{LARGE} has 5 bytes where it is fetched from, and should have 20971597");
    refused(3, &large, |request, path, reply| match path {
        Some(LARGE) if reply.status != 302 => HttpReply::bytes(200, "short").in_range(request),
        _ => reply,
    });
}

#[test]
fn other_bytes_than_were_asked_for() {
    refused(
        1,
        "answers with other bytes than it was asked for",
        |_, path, mut reply| {
            if path == Some(LARGE) {
                for (name, value) in &mut reply.headers {
                    if name == "Content-Range" {
                        *value = value.replace("bytes ", "bytes 9");
                    }
                }
            }
            reply
        },
    );
}

#[test]
fn places_that_lead_in_a_circle() {
    refused(
        1,
        "leads to more than 10 places after each other",
        |request, path, reply| match path {
            Some("config.json") => HttpReply::redirect(&request.target),
            _ => reply,
        },
    );
    refused(
        1,
        "leads to what cannot be followed: it does not begin with https://",
        |_, path, reply| match path {
            Some("config.json") => HttpReply::redirect("ftp://127.0.0.1/weights"),
            _ => reply,
        },
    );
}

/// A server that goes silent, and somebody who has enough: while the files are listed, and while they
/// come.
#[test]
fn signals_leave_nothing() {
    for sent in [Signal::SIGINT, Signal::SIGTERM] {
        for silent in ["/revision/", "/tree/", LARGE] {
            let place = HubPlace::faulty(&files(), move |request, _, mut reply| {
                if request.target.contains(silent) && reply.status != 302 {
                    reply.stalls_after = Some(reply.length.min(2 << 20) / 2);
                }
                reply
            });
            let child = place.spawn(&format!("build {} --output disk", address()));
            let server = &place.server;
            let asked = if silent == LARGE {
                &server.storage
            } else {
                &server.hub
            };
            asked.wait_for(|request| request.target.contains(silent));
            signal(&child, sent);
            let killed = Instant::now();
            let ended = Ended::of(child.wait_with_output().unwrap());
            ended.refused(1, "disk-builder: interrupted");
            assert_eq!(place.place.names(), ["model"]);
            // A server may be silent for 30 seconds before it is given up.
            assert!(killed.elapsed().as_secs() < 15, "{silent}");
        }
    }
}
