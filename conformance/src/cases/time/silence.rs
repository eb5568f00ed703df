//! Timeouts, with real options of a fraction of a second: T1, T2, T4. What must not come before its time is
//! measured from before it could begin; how long after it something comes is not asserted.

use std::time::{Duration, Instant};

use websock_core::{CloseReason, Control, Keepalive, Outcome, Timeout};

use crate::peer::{FIN, Frame, PING, PONG, Peer, TEXT, frame, header};
use crate::server::{Server, Stage};
use crate::site::Site;

cases! {
    silence_ends_after_the_timeout_and_not_before: T1 T5,
    any_byte_restarts_the_timeout: T1,
    pushes_do_not_restart_the_timeout: T1,
    a_silent_peer_is_pinged_and_given_up: T2,
    an_answered_ping_is_followed_by_another: T2,
    any_byte_answers_a_ping: T2,
    a_peer_that_has_spoken_once_and_is_silent_then_is_given_up: T1 T5,
    without_a_timeout_silence_ends_nothing: T1,
    infos_that_send_nothing_do_not_restart_the_timeout: T1,
    pongs_to_the_servers_pings_restart_the_timeout: T1 T2,
    a_peer_that_talks_is_not_pinged: T2,
    the_timeout_of_a_busy_connection_runs_from_its_last_byte: T1,
}

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

async fn expect_timeout(server: &mut Server, timeout: Timeout) {
    let reason = server.terminated().await;
    assert!(matches!(reason, CloseReason::Timeout(seen) if seen == timeout), "{reason:?}");
}

async fn silence_ends_after_the_timeout_and_not_before(stage: &Stage) {
    let mut server = stage.start(Site::echo().with_options(Site::usual_options().timeout(ms(200)))).await;
    let start = Instant::now();
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    assert_eq!(peer.close_frame().await, (Some(1001), "idle timeout".into()));
    assert!(start.elapsed() >= ms(200), "after {:?}", start.elapsed());
    peer.end().await;
    expect_timeout(&mut server, Timeout::Idle).await;
    server.expect_nothing_more().await;
}

async fn any_byte_restarts_the_timeout(stage: &Stage) {
    let mut server = stage.start(Site::echo().with_options(Site::usual_options().timeout(ms(300)))).await;
    // Where the machine stood still for that long the attempt says nothing.
    for _ in 0..10 {
        let mut peer = Peer::upgraded(server.addr).await;
        server.init().await;
        let (start, mut longest, mut last) = (Instant::now(), Duration::ZERO, Instant::now());
        // One byte at a time, none of which completes a message.
        for byte in frame(TEXT, "ab") {
            tokio::time::sleep(ms(75)).await;
            longest = longest.max(last.elapsed());
            last = Instant::now();
            if tokio::io::AsyncWriteExt::write_all(&mut peer.writer, &[byte]).await.is_err() {
                break;
            }
        }
        let answer = peer.frame().await;
        longest = longest.max(last.elapsed());
        if longest < ms(200) {
            assert_eq!(answer, Frame::new(TEXT, "ab"));
            assert!(start.elapsed() > ms(300));
            server.message().await;
            assert_eq!(peer.close_frame().await, (Some(1001), "idle timeout".into()));
            assert!(last.elapsed() >= ms(300), "after {:?}", last.elapsed());
            expect_timeout(&mut server, Timeout::Idle).await;
            return;
        }
        server = stage.start(Site::echo().with_options(Site::usual_options().timeout(ms(300)))).await;
    }
    panic!("this machine is too slow to tell");
}

async fn pushes_do_not_restart_the_timeout(stage: &Stage) {
    let mut server = stage.start(Site::echo().with_options(Site::usual_options().timeout(ms(200)))).await;
    let mut peer = Peer::upgraded(server.addr).await;
    let socket = server.init().await;
    // The mailbox is used until the connection ends: if pushes counted it never would.
    let pushing = tokio::spawn(async move {
        while socket.mailbox().send(Outcome::push("tick")).await.is_ok() {
            tokio::time::sleep(ms(5)).await;
        }
    });
    let close = loop {
        let frame = peer.frame().await;
        if frame != Frame::new(TEXT, "tick") {
            break frame;
        }
    };
    assert_eq!(close.payload, [&1001_u16.to_be_bytes()[..], b"idle timeout"].concat());
    expect_timeout(&mut server, Timeout::Idle).await;
    pushing.await.unwrap();
}

async fn a_silent_peer_is_pinged_and_given_up(stage: &Stage) {
    let keepalive = Keepalive::new(ms(100), ms(150)).unwrap();
    let mut server = stage.start(Site::echo().with_options(Site::usual_options().keepalive(keepalive))).await;
    let start = Instant::now();
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    assert_eq!(peer.frame().await, Frame::new(PING, ""));
    assert!(start.elapsed() >= ms(100), "pinged after {:?}", start.elapsed());
    assert_eq!(peer.close_frame().await, (Some(1001), "ping timeout".into()));
    assert!(start.elapsed() >= ms(250), "given up after {:?}", start.elapsed());
    peer.end().await;
    expect_timeout(&mut server, Timeout::Keepalive).await;
    server.expect_nothing_more().await;
}

async fn an_answered_ping_is_followed_by_another(stage: &Stage) {
    let keepalive = Keepalive::new(ms(100), Duration::from_secs(60)).unwrap();
    let mut server = stage.start(Site::echo().with_options(Site::usual_options().keepalive(keepalive))).await;
    let mut start = Instant::now();
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    for _ in 0..3 {
        assert_eq!(peer.frame().await, Frame::new(PING, ""));
        assert!(start.elapsed() >= ms(100), "pinged after {:?}", start.elapsed());
        start = Instant::now();
        peer.send(frame(PONG, "")).await;
        assert_eq!(server.control().await, Control::Pong("".try_into().unwrap()));
    }
}

async fn any_byte_answers_a_ping(stage: &Stage) {
    // No pong comes for longer than the answer may take, and yet the connection lives, as something comes after each ping.
    let keepalive = Keepalive::new(ms(100), ms(1000)).unwrap();
    let mut server = stage.start(Site::echo().with_options(Site::usual_options().keepalive(keepalive))).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(header(FIN | TEXT, 15, [0; 4])).await;
    for byte in *b"fifteen letters" {
        assert_eq!(peer.frame().await, Frame::new(PING, ""));
        peer.send([byte]).await;
    }
    assert_eq!(peer.frame().await, Frame::new(TEXT, "fifteen letters"));
}

async fn a_peer_that_has_spoken_once_and_is_silent_then_is_given_up(stage: &Stage) {
    let mut server = stage.start(Site::echo().with_options(Site::usual_options().timeout(ms(250)))).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    let start = Instant::now();
    peer.send(frame(TEXT, "once")).await;
    assert_eq!(peer.frame().await, Frame::new(TEXT, "once"));
    assert_eq!(peer.close_frame().await, (Some(1001), "idle timeout".into()));
    assert!(start.elapsed() >= ms(250), "after {:?}", start.elapsed());
    peer.end().await;
    server.message().await;
    expect_timeout(&mut server, Timeout::Idle).await;
    server.expect_nothing_more().await;
}

/// A neighbour with a timeout of its own tells that the time has passed.
async fn without_a_timeout_silence_ends_nothing(stage: &Stage) {
    let mut patient = stage.start(Site::echo().with_options(Site::usual_options().timeout(None))).await;
    let hurried = stage.start(Site::echo().with_options(Site::usual_options().timeout(ms(200)))).await;
    let mut peer = Peer::upgraded(patient.addr).await;
    patient.init().await;
    let mut neighbour = Peer::upgraded(hurried.addr).await;
    assert_eq!(neighbour.close_frame().await, (Some(1001), "idle timeout".into()));
    peer.send(frame(TEXT, "still here")).await;
    assert_eq!(peer.frame().await, Frame::new(TEXT, "still here"));
}

async fn infos_that_send_nothing_do_not_restart_the_timeout(stage: &Stage) {
    let mut server = stage.start(Site::echo().with_options(Site::usual_options().timeout(ms(200)))).await;
    let mut peer = Peer::upgraded(server.addr).await;
    let socket = server.init().await;
    let informing = tokio::spawn(async move {
        while socket.mailbox().send(Outcome::none()).await.is_ok() {
            tokio::time::sleep(ms(5)).await;
        }
    });
    assert_eq!(peer.close_frame().await, (Some(1001), "idle timeout".into()));
    expect_timeout(&mut server, Timeout::Idle).await;
    informing.await.unwrap();
}

async fn pongs_to_the_servers_pings_restart_the_timeout(stage: &Stage) {
    let keepalive = Keepalive::new(ms(100), Duration::from_secs(60)).unwrap();
    let options = Site::usual_options().timeout(ms(1000)).keepalive(keepalive);
    let mut server = stage.start(Site::echo().with_options(options)).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    let start = Instant::now();
    while start.elapsed() < ms(1200) {
        assert_eq!(peer.frame().await, Frame::new(PING, ""));
        peer.send(frame(PONG, "")).await;
        server.control().await;
    }
    // Nothing but pongs came for longer than the timeout.
    let mut answer = {
        peer.send(frame(TEXT, "still here")).await;
        peer.frame().await
    };
    while answer == Frame::new(PING, "") {
        answer = peer.frame().await;
    }
    assert_eq!(answer, Frame::new(TEXT, "still here"));
}

async fn a_peer_that_talks_is_not_pinged(stage: &Stage) {
    let keepalive = Keepalive::new(ms(300), Duration::from_secs(60)).unwrap();
    for _ in 0..10 {
        let server = stage.start(Site::echo().with_options(Site::usual_options().keepalive(keepalive))).await;
        let mut peer = Peer::upgraded(server.addr).await;
        let (start, mut longest, mut last) = (Instant::now(), Duration::ZERO, Instant::now());
        let mut pinged = false;
        while start.elapsed() < ms(700) {
            peer.send(frame(TEXT, "talk")).await;
            pinged |= peer.frame().await == Frame::new(PING, "");
            tokio::time::sleep(ms(20)).await;
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
        // Where the machine stood still for that long the attempt says nothing.
        if longest < ms(200) {
            assert!(!pinged);
            return;
        }
    }
    panic!("this machine is too slow to tell");
}

async fn the_timeout_of_a_busy_connection_runs_from_its_last_byte(stage: &Stage) {
    let mut server = stage.start(Site::echo().with_options(Site::usual_options().timeout(ms(1000)))).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    let busy = Instant::now();
    let mut last = Instant::now();
    while busy.elapsed() < ms(500) {
        last = Instant::now();
        peer.send(frame(TEXT, "more")).await;
        assert_eq!(peer.frame().await, Frame::new(TEXT, "more"));
        server.message().await;
    }
    assert_eq!(peer.close_frame().await, (Some(1001), "idle timeout".into()));
    assert!(last.elapsed() >= ms(1000), "after {:?}", last.elapsed());
    expect_timeout(&mut server, Timeout::Idle).await;
}
