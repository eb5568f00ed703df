//! HTTP/2, on the host that speaks it: the first row of U3.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod hosts;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use hyper::ext::Protocol;
use hyper::{Method, Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use hosts::AUTO;
use websock_conformance::peer::{KEY, soon};
use websock_conformance::{Server, Site, Stage};

/// The response, its body, and what it must have in common with every other refusal.
async fn ask(server: &mut Server, request: Request<Empty<Bytes>>) -> (Response<()>, String) {
    let stream = TcpStream::connect(server.addr).await.unwrap();
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    soon("readiness", sender.ready()).await.unwrap();
    let response = soon("a response", sender.send_request(request)).await.unwrap();
    let (head, body) = response.into_parts();
    let body = soon("a body", body.collect()).await.unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    assert_eq!(head.version, Version::HTTP_2);
    assert_eq!(head.headers["content-type"], "text/plain; charset=utf-8");
    for name in ["upgrade", "connection", "sec-websocket-accept", "allow"] {
        assert!(!head.headers.contains_key(name), "{head:?}");
    }
    assert_eq!(body.lines().count(), 1, "{body:?}");
    server.dropped().await;
    (Response::from_parts(head, ()), body)
}

fn request(server: &Server, method: Method) -> Request<Empty<Bytes>> {
    let request = Request::builder()
        .method(method)
        .uri(format!("http://{}/ws", server.addr))
        .version(Version::HTTP_2)
        .header("sec-websocket-key", KEY)
        .header("sec-websocket-version", "13");
    request.body(Empty::new()).unwrap()
}

#[tokio::test]
async fn a_request_over_http_2_is_not_implemented() {
    let stage = Stage::new(&AUTO);
    let mut server = stage.start(Site::echo()).await;
    let request = request(&server, Method::GET);
    let (head, body) = ask(&mut server, request).await;
    assert_eq!(head.status(), 501);
    assert!(body.contains("HTTP/2") && body.contains("ALPN"), "{body}");
    server.expect_nothing_more().await;
}

/// RFC 8441.
#[tokio::test]
async fn an_extended_connect_is_not_implemented() {
    let stage = Stage::new(&AUTO);
    let mut server = stage.start(Site::echo()).await;
    let mut request = request(&server, Method::CONNECT);
    request.extensions_mut().insert(Protocol::from_static("websocket"));
    let (head, _) = ask(&mut server, request).await;
    assert_eq!(head.status(), 501);
    server.expect_nothing_more().await;
}

#[tokio::test]
async fn the_version_counts_before_every_other_defect() {
    let stage = Stage::new(&AUTO);
    let mut server = stage.start(Site::echo()).await;
    let mut request = request(&server, Method::DELETE);
    request.headers_mut().clear();
    request.headers_mut().insert("origin", "null".parse().unwrap());
    let (head, _) = ask(&mut server, request).await;
    assert_eq!(head.status(), 501);
}
