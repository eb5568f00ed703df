//! Upgrades that are rejected, so that other filters may serve the request.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use warp::{Filter, Reply};
use websock_warp::{
    Drain, HandleResult, Message, Options, Outcome, Rejection, Shutdown, Upgrade, WebSock, upgrade_or_reject,
};

struct Echo;

impl WebSock for Echo {
    type Info = ();

    async fn handle_in(&mut self, message: Message) -> HandleResult {
        Ok(Outcome::push(message))
    }
}

/// The WebSocket and the page are both at `/`; a rejection is a reply only at `/recovered`.
async fn serve(options: Options) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let rejecting = upgrade_or_reject(options.clone());
    let echo = rejecting.map(move |upgrade: Upgrade| upgrade.accept(Echo, &options));
    let page = warp::path::end().map(|| "a page");
    let recovered =
        warp::path("recovered").and(echo.clone()).recover(async |rejection: warp::Rejection| match rejection
            .find::<Rejection>(
        ) {
            Some(refused) => Ok(refused.clone().into_response()),
            None => Err(rejection),
        });
    let routes = recovered.or(warp::path("alone").and(echo.clone())).or(echo.or(page));
    tokio::spawn(warp::serve(routes).incoming(listener).run());
    addr
}

/// The status of the response to a request for an upgrade, with these fields in place of the good ones.
async fn status(addr: SocketAddr, path: &str, fields: &str) -> u16 {
    let version = if fields.contains("Version") { "" } else { "Sec-WebSocket-Version: 13\r\n" };
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{version}{fields}\r\n"
    );
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut line = [0; 12];
    stream.read_exact(&mut line).await.unwrap();
    str::from_utf8(&line).unwrap().strip_prefix("HTTP/1.1 ").unwrap().parse().unwrap()
}

const OLD: &str = "Sec-WebSocket-Version: 8\r\n";
const FOREIGN: &str = "Origin: https://elsewhere.example\r\n";

#[tokio::test]
async fn another_filter_serves_what_is_rejected_and_what_is_good_is_upgraded() {
    let addr = serve(Options::default()).await;
    assert_eq!(status(addr, "/", "").await, 101);
    for fields in [OLD, FOREIGN] {
        assert_eq!(status(addr, "/", fields).await, 200, "{fields}");
    }
}

#[tokio::test]
async fn where_none_does_the_rejection_is_a_500_unless_it_is_recovered_from() {
    let addr = serve(Options::default()).await;
    for (fields, recovered) in [(OLD, 426), (FOREIGN, 403)] {
        assert_eq!(status(addr, "/alone", fields).await, 500, "{fields}");
        assert_eq!(status(addr, "/recovered", fields).await, recovered, "{fields}");
    }
}

#[tokio::test]
async fn while_it_drains_every_upgrade_is_rejected() {
    let drain = Drain::new();
    let addr = serve(Options::default().drain(drain.clone())).await;
    assert_eq!(status(addr, "/recovered", "").await, 101);
    drain.shut_down(Shutdown::within(Duration::ZERO)).await;
    assert_eq!(status(addr, "/recovered", "").await, 503);
    assert_eq!(status(addr, "/", "").await, 200);
}
