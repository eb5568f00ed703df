//! How hyper hands over, or fails to: L12, B10, and what of its own builders' behaviour an upgrade meets.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod hosts;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use websock_conformance::peer::{Frame, Peer, Request, TEXT, frame, soon};
use websock_conformance::{Site, Stage};
use websock_hyper::{Drain, Options, Shutdown};

use hosts::{AUTO, DUPLEX, HTTP1, WITHOUT_UPGRADES, answer};

#[tokio::test]
async fn without_with_upgrades_the_handler_is_dropped_and_the_log_says_why() {
    let drain = Drain::new();
    let stage = Stage::new(&WITHOUT_UPGRADES);
    let site = Site::echo().with_options(Options::default().drain(drain.clone()));
    let mut server = stage.start(site).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.dropped().await;
    // L12's event names the cause and the remedy.
    let event = server.error().await;
    assert_eq!(event.field("message"), "an accepted upgrade came to nothing");
    assert!(event.field("cause").contains("upgrade"), "{event:?}");
    assert!(event.field("remedy").contains("with_upgrades()"), "{event:?}");
    assert!(event.field("handler").ends_with("Probe"), "{event:?}");
    peer.reader.rest().await;
    // It counts no longer, so nobody waits for it.
    soon("the drain", drain.shut_down(Shutdown::within(Duration::from_secs(60)))).await;
    server.expect_nothing_more().await;
}

/// hyper keeps such a connection open.
#[tokio::test]
async fn a_refused_request_leaves_the_connection_to_the_next() {
    for host in [&HTTP1, &AUTO, &DUPLEX] {
        let stage = Stage::new(host);
        let mut server = stage.start(Site::echo()).await;
        let mut peer = Peer::connect(server.addr).await;
        let good = Request::good(server.addr);
        let refused = good.clone().with("Sec-WebSocket-Version", "8");
        // Both requests and a frame in one segment.
        peer.send([refused.bytes(), good.bytes(), frame(TEXT, "x")].concat()).await;
        assert_eq!(peer.response().await.status, 426);
        assert_eq!(peer.response().await.status, 101);
        assert_eq!(peer.frame().await, Frame::new(TEXT, "x"));
        server.dropped().await;
        server.init().await;
    }
}

/// One connection to a site, whose socket can be looked at from the server's side too.
async fn one_connection() -> (Peer, TcpStream, std::net::TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let addr: SocketAddr = listener.local_addr().unwrap();
    let (peer, accepted) = tokio::join!(Peer::connect(addr), listener.accept());
    let stream = accepted.unwrap().0.into_std().unwrap();
    let same = stream.try_clone().unwrap();
    (peer, TcpStream::from_std(stream).unwrap(), same)
}

/// B10. The echo tells that the connection is served, and so that its transport was taken.
async fn expect_nodelay(mut peer: Peer, same: std::net::TcpStream) {
    assert!(!same.nodelay().unwrap());
    peer.send(&Request::good(same.local_addr().unwrap()).bytes()).await;
    assert_eq!(peer.response().await.status, 101);
    peer.send(frame(TEXT, "x")).await;
    assert_eq!(peer.frame().await, Frame::new(TEXT, "x"));
    assert!(same.nodelay().unwrap());
}

#[tokio::test]
async fn hypers_own_builder_hands_over_the_tcp_stream_and_its_delay_is_off() {
    let (peer, stream, same) = one_connection().await;
    let site = Arc::new(Site::echo());
    let service = service_fn(move |request| std::future::ready(answer(request, &site)));
    tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades());
    expect_nodelay(peer, same).await;
}

#[tokio::test]
async fn hyper_utils_builder_hands_over_the_tcp_stream_and_its_delay_is_off() {
    let (peer, stream, same) = one_connection().await;
    let site = Arc::new(Site::echo());
    tokio::spawn(async move {
        let service = service_fn(move |request| std::future::ready(answer(request, &site)));
        let builder = auto::Builder::new(TokioExecutor::new());
        let _ = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
    });
    expect_nodelay(peer, same).await;
}

#[tokio::test]
async fn a_transport_without_tcp_is_served_too() {
    let (client, stream) = tokio::io::duplex(1000);
    let site = Arc::new(Site::echo());
    let service = service_fn(move |request| std::future::ready(answer(request, &site)));
    tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades());
    let connected = soon("a 101", tokio_tungstenite::client_async("ws://localhost/ws", client)).await;
    let (mut socket, _) = connected.unwrap();
    use futures_util::{SinkExt, StreamExt};
    let long = "x".repeat(100_000);
    let (sent, echo) = {
        let (mut sink, mut stream) = (&mut socket).split();
        tokio::join!(sink.send(long.clone().into()), stream.next())
    };
    sent.unwrap();
    assert_eq!(echo.unwrap().unwrap().into_text().unwrap(), long);
}
