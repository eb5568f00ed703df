//! From a stop to the end of the connection: X1.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use websock_core::{CloseReason, Drain, Options, Outcome};

use crate::peer::{PING, Peer, TEXT, close, frame, raw_frame, soon};
use crate::server::{Server, Stage};
use crate::site::Site;

cases! {
    the_peers_answer_to_a_close_ends_the_connection: X1,
    terminate_begins_before_the_peer_has_answered: X1,
    a_slow_terminate_does_not_hold_up_the_close: X1,
    a_connection_ends_when_terminate_and_the_peers_answer_are_both_there: X1,
    an_answer_with_another_code_is_an_answer: X1 X2,
    what_comes_between_a_stop_and_the_peers_answer_is_discarded: X1 O10,
    a_peer_that_does_not_answer_is_left_after_the_close_timeout: X1 T3 T5,
}

/// Long enough that nothing here can wait for it.
const PATIENT: Duration = Duration::from_secs(120);

/// A site that stops at the first message, and is patient with the peer's answer. Its drain tells when the connection
/// is gone.
fn stopping() -> (Site, Drain) {
    let drain = Drain::new();
    let options = Options::default().close_timeout(PATIENT).drain(drain.clone());
    (Site::new(async |_| Ok(Outcome::stop())).with_options(options), drain)
}

async fn gone(drain: &Drain) {
    let gone = async {
        while drain.live() > 0 {
            tokio::task::yield_now().await;
        }
    };
    soon("the connection's end", gone).await;
}

async fn stopped(server: &mut Server) -> Peer {
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(frame(TEXT, "stop")).await;
    server.message().await;
    assert_eq!(peer.close_frame().await, (Some(1000), String::new()));
    peer
}

async fn the_peers_answer_to_a_close_ends_the_connection(stage: &Stage) {
    let (site, drain) = stopping();
    let mut server = stage.start(site).await;
    let mut peer = stopped(&mut server).await;
    assert!(matches!(server.terminated().await, CloseReason::Normal));
    assert_eq!(drain.live(), 1);
    peer.send(close(1000, "")).await;
    peer.end().await;
    peer.finish().await;
    gone(&drain).await;
    server.expect_nothing_more().await;
}

async fn terminate_begins_before_the_peer_has_answered(stage: &Stage) {
    let (site, drain) = stopping();
    let mut server = stage.start(site).await;
    let peer = stopped(&mut server).await;
    assert!(matches!(server.terminated().await, CloseReason::Normal));
    assert_eq!(drain.live(), 1);
    drop(peer);
    gone(&drain).await;
}

async fn a_slow_terminate_does_not_hold_up_the_close(stage: &Stage) {
    let (site, drain) = stopping();
    let mut server = stage.start(site.on_terminate(std::future::pending)).await;
    let mut peer = stopped(&mut server).await;
    server.terminated().await;
    peer.send(close(1000, "")).await;
    // The server ends the connection, though the handler is still busy with that.
    peer.end().await;
    assert_eq!(drain.live(), 1);
}

async fn a_connection_ends_when_terminate_and_the_peers_answer_are_both_there(stage: &Stage) {
    let gate = Arc::new(Semaphore::new(0));
    let (site, drain) = stopping();
    let opened = gate.clone();
    let site = site.on_terminate(move || {
        let gate = gate.clone();
        async move { gate.acquire().await.unwrap().forget() }
    });
    let mut server = stage.start(site).await;
    // Once the answer comes last, and once the handler's end.
    let mut first = stopped(&mut server).await;
    server.terminated().await;
    opened.add_permits(1);
    assert_eq!(drain.live(), 1);
    first.send(close(1000, "")).await;
    first.end().await;
    first.finish().await;
    gone(&drain).await;
    let mut second = stopped(&mut server).await;
    server.terminated().await;
    second.send(close(1000, "")).await;
    second.end().await;
    second.finish().await;
    assert_eq!(drain.live(), 1);
    opened.add_permits(1);
    gone(&drain).await;
}

async fn an_answer_with_another_code_is_an_answer(stage: &Stage) {
    let (site, drain) = stopping();
    let mut server = stage.start(site).await;
    let mut peer = stopped(&mut server).await;
    peer.send(close(4000, "as you like")).await;
    peer.end().await;
    peer.finish().await;
    assert!(matches!(server.terminated().await, CloseReason::Normal));
    gone(&drain).await;
    server.expect_nothing_more().await;
}

async fn what_comes_between_a_stop_and_the_peers_answer_is_discarded(stage: &Stage) {
    let (site, drain) = stopping();
    let mut server = stage.start(site).await;
    let mut peer = stopped(&mut server).await;
    // Messages, pings, and something that would be a violation.
    peer.send([frame(TEXT, "still here"), frame(PING, "?"), raw_frame(0x40, "x")].concat()).await;
    peer.send(close(1000, "")).await;
    peer.end().await;
    peer.finish().await;
    assert!(matches!(server.terminated().await, CloseReason::Normal));
    gone(&drain).await;
    server.expect_nothing_more().await;
}

async fn a_peer_that_does_not_answer_is_left_after_the_close_timeout(stage: &Stage) {
    let timeout = Duration::from_millis(200);
    let mut server = stage.start(Site::echo().with_options(Options::default().close_timeout(timeout))).await;
    let mut peer = Peer::upgraded(server.addr).await;
    let socket = server.init().await;
    let start = Instant::now();
    socket.mailbox().send(Outcome::stop()).await.unwrap();
    assert_eq!(peer.close_frame().await, (Some(1000), String::new()));
    peer.end().await;
    assert!(matches!(server.terminated().await, CloseReason::Normal));
    // Until then what the peer sends is taken, and then it is refused: a socket tells that with its next writes.
    let message = frame(TEXT, "are you there?");
    while tokio::io::AsyncWriteExt::write_all(&mut peer.writer, &message).await.is_ok() {
        assert!(start.elapsed() < Duration::from_secs(10), "the server never left");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(start.elapsed() >= timeout, "left after {:?}", start.elapsed());
    server.expect_nothing_more().await;
}
