//! Drains that come at a bad moment: S3, L7, O6.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use websock_core::{CloseReason, Drain, Drained, Options, Outcome, Shutdown};

use crate::peer::{
    BINARY, CONTINUATION, FIN, Frame, PING, PONG, Peer, Request, TEXT, close, frame, raw_frame, soon,
};
use crate::server::Stage;
use crate::site::{Report, Site};

cases! {
    a_drain_that_races_with_upgrades_leaves_nobody_behind: S1 S3 L7,
    a_drain_during_init_closes_after_it: S3 L7,
    a_drain_during_a_half_written_push_closes_after_it: S3 O6,
    a_drain_while_the_connection_is_closing_sends_no_second_close: S3 O6,
    a_drain_waits_for_terminate: S2 X1,
    a_terminate_that_does_not_end_is_cut_at_the_deadline: S2 L7 L11,
    a_peer_that_closes_by_itself_during_a_drain_is_no_shutdown: S2 X2,
    a_drain_closes_a_connection_within_a_fragmented_message: S2 X4,
}

const LONG: Duration = Duration::from_secs(60);

fn with(drain: &Drain) -> Options {
    Options::default().drain(drain.clone())
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

/// Some of these connections have begun when the drain comes, some get a 503, and some are in between: those get their
/// 101 and a Close.
async fn a_drain_that_races_with_upgrades_leaves_nobody_behind(stage: &Stage) {
    let drain = Drain::new();
    let mut server = stage.start(Site::echo().with_options(with(&drain))).await;
    let addr = server.addr;
    let peers: Vec<_> = (0..32)
        .map(|_| {
            tokio::spawn(async move {
                let mut peer = Peer::connect(addr).await;
                peer.send(&Request::good(addr).bytes()).await;
                let status = peer.response().await.status;
                if status == 101 {
                    assert_eq!(peer.close_frame().await, (Some(1001), String::new()));
                    peer.end().await;
                    peer.finish().await;
                }
                status
            })
        })
        .collect();
    while drain.live() == 0 {
        tokio::task::yield_now().await;
    }
    let drained = soon("the drain", drain.shut_down(Shutdown::within(LONG))).await;
    let mut upgraded = 0;
    for peer in peers {
        match peer.await.unwrap() {
            101 => upgraded += 1,
            503 => {}
            other => panic!("{other}"),
        }
    }
    assert!(upgraded > 0 && drained.cut == 0, "{upgraded} {drained:?}");
    let (mut begun, mut ended) = (HashSet::new(), 0);
    while ended < 32 {
        match server.numbered_report().await {
            (connection, Report::Init(_)) => assert!(begun.insert(connection)),
            (connection, Report::Terminate(CloseReason::Shutdown)) => {
                assert!(begun.remove(&connection), "{connection} has not begun");
                ended += 1;
            }
            (connection, Report::Dropped) => {
                assert!(!begun.contains(&connection), "{connection} was dropped");
                ended += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    server.expect_nothing_more().await;
}

async fn a_drain_during_init_closes_after_it(stage: &Stage) {
    let drain = Drain::new();
    let gate = Arc::new(Semaphore::new(0));
    let opened = gate.clone();
    let site = Site::echo().on_init(move |_| {
        let gate = gate.clone();
        async move {
            gate.acquire().await?.forget();
            Ok(Outcome::push("hello"))
        }
    });
    let mut server = stage.start(site.with_options(with(&drain))).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    let draining = begin(&drain, Shutdown::within(LONG)).await;
    opened.add_permits(1);
    assert_eq!(peer.frame().await, Frame::new(TEXT, "hello"));
    assert_eq!(peer.close_frame().await, (Some(1001), String::new()));
    peer.end().await;
    peer.finish().await;
    assert!(matches!(server.terminated().await, CloseReason::Shutdown));
    assert_eq!(soon("the drain", draining).await.unwrap(), Drained { closed: 1, cut: 0 });
    server.expect_nothing_more().await;
}

async fn a_drain_during_a_half_written_push_closes_after_it(stage: &Stage) {
    const LARGE: usize = 32 << 20;
    let drain = Drain::new();
    let site = Site::new(async |_| Ok(Outcome::push(vec![1; LARGE])));
    let mut server = stage.start(site.with_options(with(&drain))).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(frame(TEXT, "a lot")).await;
    server.message().await;
    // What came first is the push's beginning, and there is more of it than the sockets take.
    assert_eq!(peer.reader.take(2).await, [FIN | BINARY, 127]);
    let draining = begin(&drain, Shutdown::within(LONG)).await;
    assert_eq!(peer.reader.take(8).await, (LARGE as u64).to_be_bytes());
    assert!(peer.reader.take(LARGE).await == vec![1; LARGE]);
    assert_eq!(peer.close_frame().await, (Some(1001), String::new()));
    peer.end().await;
    peer.finish().await;
    assert!(matches!(server.terminated().await, CloseReason::Shutdown));
    assert_eq!(soon("the drain", draining).await.unwrap(), Drained { closed: 1, cut: 0 });
    server.expect_nothing_more().await;
}

async fn a_drain_while_the_connection_is_closing_sends_no_second_close(stage: &Stage) {
    let drain = Drain::new();
    let site = Site::new(async |_| Ok(Outcome::stop()));
    let mut server = stage.start(site.with_options(with(&drain).close_timeout(LONG))).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(frame(TEXT, "stop")).await;
    server.message().await;
    // The Close is out, and its answer is awaited.
    assert_eq!(peer.close_frame().await, (Some(1000), String::new()));
    assert!(matches!(server.terminated().await, CloseReason::Normal));
    let draining = begin(&drain, Shutdown::within(LONG)).await;
    peer.send(close(1000, "")).await;
    peer.end().await;
    peer.finish().await;
    assert_eq!(soon("the drain", draining).await.unwrap(), Drained { closed: 1, cut: 0 });
    server.expect_nothing_more().await;
}

async fn a_drain_waits_for_terminate(stage: &Stage) {
    let drain = Drain::new();
    let gate = Arc::new(Semaphore::new(0));
    let opened = gate.clone();
    let site = Site::echo().on_terminate(move || {
        let gate = gate.clone();
        async move { gate.acquire().await.unwrap().forget() }
    });
    let mut server = stage.start(site.with_options(with(&drain))).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    let draining = begin(&drain, Shutdown::within(LONG)).await;
    assert_eq!(peer.close_frame().await, (Some(1001), String::new()));
    peer.send(close(1001, "")).await;
    peer.end().await;
    peer.finish().await;
    assert!(matches!(server.terminated().await, CloseReason::Shutdown));
    // The transport is gone; the handler is not.
    assert!(!draining.is_finished());
    assert_eq!(drain.live(), 1);
    opened.add_permits(1);
    assert_eq!(soon("the drain", draining).await.unwrap(), Drained { closed: 1, cut: 0 });
}

async fn a_terminate_that_does_not_end_is_cut_at_the_deadline(stage: &Stage) {
    let drain = Drain::new();
    let site = Site::echo().on_terminate(std::future::pending);
    let mut server = stage.start(site.with_options(with(&drain))).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    let start = Instant::now();
    let draining = begin(&drain, Shutdown::within(Duration::from_millis(100))).await;
    assert_eq!(peer.close_frame().await, (Some(1001), String::new()));
    assert!(matches!(server.terminated().await, CloseReason::Shutdown));
    assert_eq!(soon("the drain", draining).await.unwrap(), Drained { closed: 0, cut: 1 });
    assert!(start.elapsed() >= Duration::from_millis(100), "after {:?}", start.elapsed());
    server.expect_nothing_more().await;
}

async fn a_peer_that_closes_by_itself_during_a_drain_is_no_shutdown(stage: &Stage) {
    let drain = Drain::new();
    let mut server = stage.start(Site::echo().with_options(with(&drain))).await;
    let (mut early, mut late) = (Peer::upgraded(server.addr).await, Peer::upgraded(server.addr).await);
    server.init().await;
    server.init().await;
    // In batches of one the second connection still lives for a while when the drain has begun.
    let batches = Shutdown::within(LONG).batches(NonZeroUsize::MIN, Duration::from_millis(300));
    let draining = begin(&drain, batches).await;
    assert_eq!(early.close_frame().await, (Some(1001), String::new()));
    early.finish().await;
    assert!(matches!(server.terminated().await, CloseReason::Shutdown));
    late.send(close(4000, "")).await;
    let (code, _) = late.close_frame().await;
    late.finish().await;
    match server.terminated().await {
        CloseReason::Remote { .. } => assert_eq!(code, Some(4000)),
        // This machine stood still for the pause.
        CloseReason::Shutdown => assert_eq!(code, Some(1001)),
        other => panic!("{other:?}"),
    }
    assert_eq!(soon("the drain", draining).await.unwrap(), Drained { closed: 2, cut: 0 });
}

async fn a_drain_closes_a_connection_within_a_fragmented_message(stage: &Stage) {
    let drain = Drain::new();
    let mut server = stage.start(Site::echo().with_options(with(&drain))).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send([raw_frame(TEXT, "half a mess"), frame(PING, "")].concat()).await;
    assert_eq!(peer.frame().await, Frame::new(PONG, ""));
    server.control().await;
    let draining = begin(&drain, Shutdown::within(LONG)).await;
    assert_eq!(peer.close_frame().await, (Some(1001), String::new()));
    peer.send([raw_frame(FIN | CONTINUATION, "age"), close(1001, "")].concat()).await;
    peer.end().await;
    peer.finish().await;
    assert!(matches!(server.terminated().await, CloseReason::Shutdown));
    assert_eq!(soon("the drain", draining).await.unwrap(), Drained { closed: 1, cut: 0 });
    server.expect_nothing_more().await;
}
