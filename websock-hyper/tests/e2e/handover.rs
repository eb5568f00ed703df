//! How hyper hands over, or fails to: L12, B10, and what of its own builders' behaviour an upgrade meets.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use websock_hyper::{CloseReason, Drain, Error, Options, Shutdown};

use crate::peer::{Frame, Peer, Request, TEXT, close, frame, soon};
use crate::site::{Event, Host, Report, Site};
use crate::support::{HTTP1, WITHOUT_UPGRADES, answer};

/// L12's event names the cause and the remedy.
fn check_event(event: &Event, cause: &str) {
    assert_eq!(event.field("message"), "an accepted upgrade came to nothing");
    assert!(event.field("cause").contains(cause), "{event:?}");
    assert!(event.field("remedy").contains("with_upgrades()"), "{event:?}");
    assert!(event.field("handler").ends_with("Probe"), "{event:?}");
}

#[tokio::test]
async fn without_with_upgrades_the_handler_is_dropped_and_the_log_says_why() {
    let drain = Drain::new();
    let mut server = WITHOUT_UPGRADES.start(Site::echo().options(Options::default().drain(drain.clone())));
    let mut peer = Peer::upgraded(server.addr).await;
    server.dropped().await;
    check_event(&server.error().await, "upgrade");
    peer.reader.rest().await;
    // It counts no longer, so nobody waits for it.
    soon("the drain", drain.shut_down(Shutdown::within(Duration::from_secs(60)))).await;
    server.expect_nothing_more().await;
}

on_every_host! {
    a_101_that_was_replaced_drops_the_handler_when_the_next_upgrade_comes,
    a_refused_request_leaves_the_connection_to_the_next,
    a_client_that_resets_before_the_101_runs_no_handler_or_a_whole_one,
}

async fn a_101_that_was_replaced_drops_the_handler_when_the_next_upgrade_comes(host: Host) {
    let mut server = host.start(Site::echo());
    let mut peer = Peer::connect(server.addr).await;
    peer.send(&Request::good(server.addr).target("/replaced").bytes()).await;
    let response = peer.response().await;
    assert_eq!((response.status, response.body.as_str()), (200, "replaced"));
    peer.send(&Request::good(server.addr).bytes()).await;
    assert_eq!(peer.response().await.status, 101);
    check_event(&server.error().await, "");
    // The two connections are two tasks: their reports come in either order.
    let mut reports = [server.numbered_report().await, server.numbered_report().await];
    reports.sort_by_key(|(connection, _)| *connection);
    assert!(matches!(reports, [(0, Report::Dropped), (1, Report::Init(_))]), "{reports:?}");
}

/// hyper hands the transport over when the HTTP connection ends, whatever the response was; nothing in the adapter's
/// hands tells a response that was replaced from one that was sent.
#[tokio::test]
#[ignore = "hyper 1.12 hands over although the response was no 101"]
async fn a_101_that_was_replaced_drops_the_handler_when_the_connection_ends() {
    let mut server = HTTP1.start(Site::echo());
    let mut peer = Peer::connect(server.addr).await;
    peer.send(&Request::good(server.addr).target("/replaced").bytes()).await;
    assert_eq!(peer.response().await.body, "replaced");
    peer.finish().await;
    server.dropped().await;
    check_event(&server.error().await, "");
    server.expect_nothing_more().await;
}

/// The same, with a peer that can make a WebSocket of it.
#[tokio::test]
#[ignore = "hyper 1.12 hands over although the response was no 101"]
async fn a_101_that_was_replaced_never_becomes_a_connection() {
    let mut server = HTTP1.start(Site::echo());
    let mut peer = Peer::connect(server.addr).await;
    let replaced = Request::good(server.addr).target("/replaced").with("Connection", "close, upgrade");
    peer.send([replaced.bytes(), frame(TEXT, "hello")].concat()).await;
    assert_eq!(peer.response().await.body, "replaced");
    server.dropped().await;
    check_event(&server.error().await, "");
    peer.end().await;
    server.expect_nothing_more().await;
}

/// hyper keeps such a connection open.
async fn a_refused_request_leaves_the_connection_to_the_next(host: Host) {
    let mut server = host.start(Site::echo());
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

async fn a_client_that_resets_before_the_101_runs_no_handler_or_a_whole_one(host: Host) {
    let mut server = host.start(Site::echo());
    for _ in 0..50 {
        let mut peer = Peer::connect(server.addr).await;
        peer.send(&Request::good(server.addr).bytes()).await;
        peer.reset();
    }
    // A connection that works is the last of them.
    let mut peer = Peer::upgraded(server.addr).await;
    peer.send([frame(TEXT, "x"), close(1000, "")].concat()).await;
    let mut begun = HashSet::new();
    loop {
        match server.numbered_report().await {
            (connection, Report::Init(_)) => assert!(begun.insert(connection), "{connection} began twice"),
            (connection, Report::Dropped) => {
                assert!(!begun.contains(&connection), "{connection} was dropped")
            }
            (connection, Report::In(_)) => assert!(begun.contains(&connection), "{connection} has not begun"),
            (connection, Report::Terminate(CloseReason::Error(Error::Disconnected))) => {
                assert!(begun.remove(&connection), "{connection} has not begun, or ended twice");
            }
            (_, Report::Terminate(CloseReason::Remote { .. })) => break,
            other => panic!("{other:?}"),
        }
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
