//! Who sees the token.

use test_support::{
    http::{HttpReply, HttpServer},
    hub::{COMMIT, MODEL},
};

use super::{HubPlace, files};
use crate::program::Ended;

const TOKEN: &str = "hf_very_secret";

#[test]
fn the_token_goes_to_the_hub_alone() {
    let place = HubPlace::new(&files());
    for arguments in ["root-hash", "build --output disk"] {
        let mut command = place.builder(&format!("{arguments} hf://{MODEL}@{COMMIT} --json"));
        let ended = Ended::of(command.env("HF_TOKEN", TOKEN).output().unwrap());
        assert!(!format!("{ended:?}").contains(TOKEN));
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
    let (hub, storage) = (place.server.hub.requests(), place.server.storage.requests());
    assert!(hub.len() > 8 && storage.len() > 8);
    for request in hub {
        let expected = format!("Bearer {TOKEN}");
        assert_eq!(
            request.header("authorization"),
            Some(&*expected),
            "{request:?}"
        );
    }
    for request in storage {
        assert!(!format!("{request:?}").contains(TOKEN), "{request:?}");
        assert_eq!(request.header("accept-encoding"), Some("identity"));
    }
    assert!(!String::from_utf8_lossy(&place.place.read("disk.json")).contains(TOKEN));
}

#[test]
fn the_token_file_of_the_hubs_client_is_read() {
    let place = HubPlace::new(&files());
    let cache = place.place.path("home/.cache/huggingface");
    std::fs::create_dir_all(&cache).unwrap();
    std::fs::write(cache.join("token"), TOKEN).unwrap();
    place.run(&format!("root-hash hf://{MODEL}@{COMMIT}")).ok();
    let requests = place.server.hub.requests();
    assert!(
        requests
            .iter()
            .all(|request| request.header("authorization").is_some())
    );
}

/// The hub sends on to another server that asks for the token.
#[test]
fn another_server_does_not_get_it_by_asking() {
    let other = HttpServer::start(|_| {
        HttpReply::bytes(401, "").with("WWW-Authenticate", "Bearer realm=\"hub\"")
    });
    let url = other.url();
    let place = HubPlace::faulty(&files(), move |_, path, reply| match path {
        Some("model-2.safetensors") => HttpReply::redirect(format!("{url}/x?Signature=secret")),
        _ => reply,
    });
    let mut command = place.builder(&format!("root-hash hf://{MODEL}@{COMMIT}"));
    let ended = Ended::of(command.env("HF_TOKEN", TOKEN).output().unwrap());
    assert!(!ended.stderr.contains("secret"), "{ended:?}");
    ended.refused(1, "/x is answered with status 401");
    let requests = other.requests();
    assert!(!requests.is_empty());
    assert!(
        requests
            .iter()
            .all(|request| request.header("authorization").is_none())
    );
}

/// A proxy is asked for what it is for, and sees no token of its own.
#[test]
fn a_proxy_is_asked() {
    let proxy = HttpServer::start(|_| HttpReply::bytes(502, ""));
    let place = HubPlace::new(&files());
    let run = |no_proxy| {
        let mut command = place.builder(&format!("root-hash hf://{MODEL}@{COMMIT}"));
        command
            .env("HTTP_PROXY", proxy.url())
            .env("NO_PROXY", no_proxy)
            .env("HF_TOKEN", TOKEN);
        Ended::of(command.output().unwrap())
    };
    run("127.0.0.1").ok();
    assert!(proxy.requests().is_empty());
    run("").refused(1, "cannot fetch");
    let requests = proxy.requests();
    let authority = place.server.hub.url().replace("http://", "");
    assert!(!requests.is_empty());
    for request in requests {
        assert_eq!((&*request.method, &request.target), ("CONNECT", &authority));
        assert!(!format!("{request:?}").contains(TOKEN));
    }
}
