//! A server that goes down: S1-S3, L11.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use websock_core::{CloseCode, CloseReason, Drain, Drained, Error, Options, Outcome, Shutdown};

use crate::peer::{Frame, Peer, Request, TEXT, ask, close, frame, soon};
use crate::server::Stage;
use crate::site::Site;

cases! {
    live_connections_are_closed_and_counted: S1 S2,
    the_drain_may_choose_the_code: S2,
    what_was_pushed_before_is_delivered: S2,
    a_callback_that_does_not_end_is_cut_at_the_deadline: S2 L11,
    connections_are_closed_in_batches: S2,
    a_connection_counts_from_its_101_to_its_end: S1,
    without_connections_a_drain_resolves_at_once: S3,
    a_drain_counts_the_connections_of_several_servers: S1,
    a_second_call_waits_for_the_same_end: S2,
    a_connection_whose_peer_is_gone_counts_no_longer: S1 X5,
}

const LONG: Duration = Duration::from_secs(60);

fn with(drain: &Drain) -> Options {
    Options::default().drain(drain.clone())
}

async fn live_connections_are_closed_and_counted(stage: &Stage) {
    let drain = Drain::new();
    let mut server = stage.start(Site::echo().with_options(with(&drain))).await;
    let mut peers = Vec::new();
    for _ in 0..5 {
        peers.push(Peer::upgraded(server.addr).await);
        server.init().await;
    }
    assert_eq!(drain.live(), 5);
    let draining = tokio::spawn({
        let drain = drain.clone();
        async move { drain.shut_down(Shutdown::within(LONG)).await }
    });
    for peer in &mut peers {
        assert_eq!(peer.close_frame().await, (Some(1001), String::new()));
        peer.send(close(1001, "")).await;
        peer.end().await;
        peer.finish().await;
    }
    for _ in &peers {
        let reason = server.terminated().await;
        assert!(matches!(reason, CloseReason::Shutdown), "{reason:?}");
    }
    assert_eq!(soon("the drain", draining).await.unwrap(), Drained { closed: 5, cut: 0 });
    assert_eq!(ask(server.addr, &Request::good(server.addr)).await.status, 503);
    server.dropped().await;
    server.expect_nothing_more().await;
}

async fn the_drain_may_choose_the_code(stage: &Stage) {
    let drain = Drain::new();
    let mut server = stage.start(Site::echo().with_options(with(&drain))).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    let shutdown = Shutdown::within(LONG).code(CloseCode::RESTART);
    let (drained, ()) = tokio::join!(soon("the drain", drain.shut_down(shutdown)), async {
        assert_eq!(peer.close_frame().await, (Some(1012), String::new()));
        peer.finish().await;
    });
    assert_eq!(drained, Drained { closed: 1, cut: 0 });
    assert!(matches!(server.terminated().await, CloseReason::Shutdown));
}

async fn what_was_pushed_before_is_delivered(stage: &Stage) {
    let drain = Drain::new();
    let gate = Arc::new(Semaphore::new(0));
    let opened = gate.clone();
    let site = Site::new(move |message| {
        let gate = gate.clone();
        async move {
            gate.acquire().await?.forget();
            Ok(Outcome::push([message.clone(), message]))
        }
    });
    let mut server = stage.start(site.with_options(with(&drain))).await;
    let mut peer = Peer::upgraded(server.addr).await;
    let socket = server.init().await;
    peer.send([frame(TEXT, "last words"), frame(TEXT, "too late")].concat()).await;
    server.message().await;
    socket.mailbox().send(Outcome::push("nor this")).await.unwrap();
    // The callback runs when the drain begins; its push is to be delivered, and nothing else.
    let draining = {
        let drain = drain.clone();
        tokio::spawn(async move { drain.shut_down(Shutdown::within(LONG)).await })
    };
    while !drain.is_draining() {
        tokio::task::yield_now().await;
    }
    tokio::task::yield_now().await;
    opened.add_permits(1);
    for _ in 0..2 {
        assert_eq!(peer.frame().await, Frame::new(TEXT, "last words"));
    }
    assert_eq!(peer.close_frame().await, (Some(1001), String::new()));
    peer.end().await;
    peer.finish().await;
    assert!(matches!(server.terminated().await, CloseReason::Shutdown));
    assert_eq!(soon("the drain", draining).await.unwrap(), Drained { closed: 1, cut: 0 });
    server.expect_nothing_more().await;
}

async fn a_callback_that_does_not_end_is_cut_at_the_deadline(stage: &Stage) {
    let drain = Drain::new();
    let site = Site::new(async |_| std::future::pending().await);
    let mut server = stage.start(site.with_options(with(&drain))).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(frame(TEXT, "x")).await;
    server.message().await;
    let start = Instant::now();
    let deadline = Duration::from_millis(200);
    let drained = soon("the drain", drain.shut_down(Shutdown::within(deadline))).await;
    assert!(start.elapsed() >= deadline, "cut after {:?}", start.elapsed());
    assert_eq!(drained, Drained { closed: 0, cut: 1 });
    assert!(matches!(server.terminated().await, CloseReason::Shutdown));
    assert_eq!(peer.reader.rest().await, b"");
    server.expect_nothing_more().await;
}

async fn connections_are_closed_in_batches(stage: &Stage) {
    let drain = Drain::new();
    let mut server = stage.start(Site::echo().with_options(with(&drain))).await;
    let mut peers = Vec::new();
    for _ in 0..6 {
        peers.push(Peer::upgraded(server.addr).await);
        server.init().await;
    }
    let pause = Duration::from_millis(150);
    let shutdown = Shutdown::within(LONG).batches(NonZeroUsize::new(2).unwrap(), pause);
    let start = Instant::now();
    let draining = tokio::spawn(async move { drain.shut_down(shutdown).await });
    let peers: Vec<_> = peers
        .into_iter()
        .map(|mut peer| {
            tokio::spawn(async move {
                assert_eq!(peer.close_frame().await, (Some(1001), String::new()));
                peer.finish().await;
                start.elapsed()
            })
        })
        .collect();
    let mut closed = Vec::new();
    for peer in peers {
        closed.push(peer.await.unwrap());
    }
    closed.sort();
    assert!(closed[2] >= pause && closed[4] >= 2 * pause, "{closed:?}");
    assert_eq!(soon("the drain", draining).await.unwrap(), Drained { closed: 6, cut: 0 });
}

async fn a_connection_counts_from_its_101_to_its_end(stage: &Stage) {
    let drain = Drain::new();
    let mut server = stage.start(Site::echo().with_options(with(&drain))).await;
    assert_eq!(ask(server.addr, &Request::good(server.addr).method("POST")).await.status, 405);
    server.dropped().await;
    assert_eq!(drain.live(), 0);
    let mut peer = Peer::upgraded(server.addr).await;
    assert_eq!(drain.live(), 1);
    server.init().await;
    peer.send(close(1000, "")).await;
    peer.close_frame().await;
    peer.end().await;
    peer.finish().await;
    assert!(matches!(server.terminated().await, CloseReason::Remote { .. }));
    // With nobody live it is done at once; with one that has just ended, when that is gone.
    let drained = soon("the drain", drain.shut_down(Shutdown::within(LONG))).await;
    assert_eq!((drain.live(), drained.cut), (0, 0));
}

/// Begins to drain, and gives the task that waits for its end.
async fn begin(drain: &Drain, how: Shutdown) -> tokio::task::JoinHandle<Drained> {
    let draining = tokio::spawn({
        let drain = drain.clone();
        async move { drain.shut_down(how).await }
    });
    while !drain.is_draining() {
        tokio::task::yield_now().await;
    }
    // All connections are told in the same step in which the drain begins.
    tokio::task::yield_now().await;
    draining
}

async fn without_connections_a_drain_resolves_at_once(stage: &Stage) {
    let drain = Drain::new();
    let mut server = stage.start(Site::echo().with_options(with(&drain))).await;
    let drained = soon("the drain", drain.shut_down(Shutdown::within(LONG))).await;
    assert_eq!(drained, Drained { closed: 0, cut: 0 });
    assert_eq!(ask(server.addr, &Request::good(server.addr)).await.status, 503);
    server.dropped().await;
    server.expect_nothing_more().await;
}

async fn a_drain_counts_the_connections_of_several_servers(stage: &Stage) {
    let drain = Drain::new();
    let mut first = stage.start(Site::echo().with_options(with(&drain))).await;
    let mut second = stage.start(Site::echo().with_options(with(&drain))).await;
    let mut peers = [Peer::upgraded(first.addr).await, Peer::upgraded(second.addr).await];
    first.init().await;
    second.init().await;
    assert_eq!(drain.live(), 2);
    let draining = begin(&drain, Shutdown::within(LONG)).await;
    for peer in &mut peers {
        assert_eq!(peer.close_frame().await, (Some(1001), String::new()));
        peer.finish().await;
    }
    assert_eq!(soon("the drain", draining).await.unwrap(), Drained { closed: 2, cut: 0 });
    for mut server in [first, second] {
        assert!(matches!(server.terminated().await, CloseReason::Shutdown));
        assert_eq!(ask(server.addr, &Request::good(server.addr)).await.status, 503);
        server.dropped().await;
        server.expect_nothing_more().await;
    }
}

async fn a_second_call_waits_for_the_same_end(stage: &Stage) {
    let drain = Drain::new();
    let mut server = stage.start(Site::echo().with_options(with(&drain))).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    let first = begin(&drain, Shutdown::within(LONG).code(CloseCode::RESTART)).await;
    let second = begin(&drain, Shutdown::within(Duration::ZERO)).await;
    // The first call's code counts, and its deadline.
    assert_eq!(peer.close_frame().await, (Some(1012), String::new()));
    peer.end().await;
    peer.finish().await;
    for draining in [first, second] {
        assert_eq!(soon("the drain", draining).await.unwrap(), Drained { closed: 1, cut: 0 });
    }
    assert!(matches!(server.terminated().await, CloseReason::Shutdown));
}

async fn a_connection_whose_peer_is_gone_counts_no_longer(stage: &Stage) {
    let drain = Drain::new();
    let mut server = stage.start(Site::echo().with_options(with(&drain))).await;
    for _ in 0..3 {
        let peer = Peer::upgraded(server.addr).await;
        server.init().await;
        assert_eq!(drain.live(), 1);
        peer.reset();
        assert!(matches!(server.terminated().await, CloseReason::Error(Error::Disconnected)));
        let gone = async {
            while drain.live() > 0 {
                tokio::task::yield_now().await;
            }
        };
        soon("the connection's end", gone).await;
    }
    server.expect_nothing_more().await;
}
