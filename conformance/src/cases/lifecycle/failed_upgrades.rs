//! Upgrades that were accepted and come to nothing: L12.

use std::collections::HashSet;
use std::time::Duration;

use websock_core::{CloseReason, Drain, Error};

use crate::peer::{Peer, Request, TEXT, close, frame, soon};
use crate::server::{Server, Stage};
use crate::site::{Report, Site};

cases! {
    a_101_that_was_replaced_drops_the_handler_when_the_next_upgrade_comes: L12,
    a_101_that_was_replaced_drops_the_handler_when_the_connection_ends: L12,
    a_101_that_was_replaced_never_becomes_a_connection: L12,
    a_client_that_resets_before_the_101_runs_no_handler_or_a_whole_one: L12 L7,
}

/// The one event names the cause and the remedy.
async fn expect_remedy(server: &mut Server) {
    let event = server.error().await;
    assert_eq!(event.field("message"), "an accepted upgrade came to nothing");
    assert!(!event.field("cause").is_empty() && !event.field("remedy").is_empty(), "{event:?}");
    assert!(event.field("handler").ends_with("Probe"), "{event:?}");
}

async fn a_101_that_was_replaced_drops_the_handler_when_the_next_upgrade_comes(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::connect(server.addr).await;
    peer.send(&Request::good(server.addr).target("/replaced").bytes()).await;
    let response = peer.response().await;
    assert_eq!((response.status, response.body.as_str()), (200, "replaced"));
    peer.send(&Request::good(server.addr).bytes()).await;
    assert_eq!(peer.response().await.status, 101);
    expect_remedy(&mut server).await;
    // The two connections are two tasks: their reports come in either order.
    let mut reports = [server.numbered_report().await, server.numbered_report().await];
    reports.sort_by_key(|(connection, _)| *connection);
    assert!(matches!(reports, [(0, Report::Dropped), (1, Report::Init(_))]), "{reports:?}");
}

async fn a_101_that_was_replaced_drops_the_handler_when_the_connection_ends(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::connect(server.addr).await;
    peer.send(&Request::good(server.addr).target("/replaced").bytes()).await;
    assert_eq!(peer.response().await.body, "replaced");
    peer.finish().await;
    server.dropped().await;
    expect_remedy(&mut server).await;
    server.expect_nothing_more().await;
}

/// The same, with a peer that can make a WebSocket of it.
async fn a_101_that_was_replaced_never_becomes_a_connection(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::connect(server.addr).await;
    let replaced = Request::good(server.addr).target("/replaced").with("Connection", "close, upgrade");
    peer.send([replaced.bytes(), frame(TEXT, "hello")].concat()).await;
    assert_eq!(peer.response().await.body, "replaced");
    server.dropped().await;
    expect_remedy(&mut server).await;
    peer.end().await;
    server.expect_nothing_more().await;
}

async fn a_client_that_resets_before_the_101_runs_no_handler_or_a_whole_one(stage: &Stage) {
    let drain = Drain::new();
    let options = Site::usual_options().drain(drain.clone());
    let mut server = stage.start(Site::echo().with_options(options)).await;
    for _ in 0..50 {
        let mut peer = Peer::connect(server.addr).await;
        peer.send(&Request::good(server.addr).bytes()).await;
        peer.reset();
    }
    // A connection that works is the last of them.
    let mut peer = Peer::upgraded(server.addr).await;
    peer.send([frame(TEXT, "x"), close(1000, "")].concat()).await;
    let mut begun = HashSet::new();
    let mut the_last_has_ended = false;
    while !(the_last_has_ended && begun.is_empty()) {
        match server.numbered_report().await {
            (connection, Report::Init(_)) => assert!(begun.insert(connection), "{connection} began twice"),
            (connection, Report::Dropped) => {
                assert!(!begun.contains(&connection), "{connection} was dropped")
            }
            (connection, Report::In(_)) => assert!(begun.contains(&connection), "{connection} has not begun"),
            (connection, Report::Terminate(CloseReason::Error(Error::Disconnected))) => {
                assert!(begun.remove(&connection), "{connection} has not begun, or ended twice");
            }
            (connection, Report::Terminate(CloseReason::Remote { .. })) => {
                begun.remove(&connection);
                the_last_has_ended = true;
            }
            other => panic!("{other:?}"),
        }
    }
    drop(peer);
    soon("the end of all connections", async {
        while drain.live() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}
