//! Messages, writes and closes that take too long: T3, T4, T6.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use websock_core::{CloseReason, Drain, Keepalive, Options, Outcome, Timeout};

use crate::peer::{BINARY, FIN, Frame, PING, PONG, Peer, TEXT, close, frame, header, raw_frame, soon};
use crate::server::{Server, Stage};
use crate::site::Site;

cases! {
    a_message_that_takes_too_long_is_given_up: T6,
    a_slow_callback_is_not_taken_for_a_silent_peer: T4,
    the_time_of_a_callback_does_not_count_as_the_peers_silence: T1 T4,
    a_message_that_trickles_is_given_up_though_each_byte_comes_in_time: T6,
    each_message_has_its_own_time: T6,
    without_a_message_timeout_a_message_may_take_long: T6,
    silence_between_messages_is_no_slow_message: T6,
    a_peer_that_reads_a_little_now_and_then_is_not_given_up: T3 B3,
    a_close_timeout_of_no_time_does_not_wait_for_the_peer: T3 X1,
}

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

async fn expect_timeout(server: &mut Server, timeout: Timeout) {
    let reason = server.terminated().await;
    assert!(matches!(reason, CloseReason::Timeout(seen) if seen == timeout), "{reason:?}");
}

async fn a_message_that_takes_too_long_is_given_up(stage: &Stage) {
    let mut server =
        stage.start(Site::echo().with_options(Site::usual_options().message_timeout(ms(200)))).await;
    // Within a header, within a frame, and between fragments with a ping.
    for bytes in [
        vec![FIN | TEXT],
        [&header(FIN | TEXT, 100, [0; 4])[..], b"some"].concat(),
        [raw_frame(TEXT, "a fragment"), frame(PING, "")].concat(),
    ] {
        let mut peer = Peer::upgraded(server.addr).await;
        server.init().await;
        let start = Instant::now();
        peer.send(&bytes).await;
        if bytes.len() > 15 {
            assert_eq!(peer.frame().await, Frame::new(PONG, ""));
            server.control().await;
        }
        assert_eq!(peer.close_frame().await, (Some(1008), "message timeout".into()));
        assert!(start.elapsed() >= ms(200), "after {:?}", start.elapsed());
        peer.end().await;
        expect_timeout(&mut server, Timeout::Message).await;
    }
    server.expect_nothing_more().await;
}

async fn a_slow_callback_is_not_taken_for_a_silent_peer(stage: &Stage) {
    let keepalive = Keepalive::new(ms(60), ms(60)).unwrap();
    let options = Site::usual_options().timeout(ms(100)).message_timeout(ms(100)).keepalive(keepalive);
    let site = Site::new(async |message| {
        tokio::time::sleep(ms(300)).await;
        Ok(Outcome::push(message))
    });
    let mut server = stage.start(site.with_options(options)).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    // What lies in the socket when the callback is done is read before any timer is asked.
    let start = Instant::now();
    peer.send([frame(TEXT, "one"), frame(TEXT, "two"), raw_frame(TEXT, "thr")].concat()).await;
    server.message().await;
    peer.send(raw_frame(0x80, "ee")).await;
    for message in ["one", "two", "three"] {
        let mut next = peer.frame().await;
        while next.opcode == PING {
            next = peer.frame().await;
        }
        assert_eq!(next, Frame::new(TEXT, message));
    }
    assert!(start.elapsed() >= ms(900));
}

async fn the_time_of_a_callback_does_not_count_as_the_peers_silence(stage: &Stage) {
    let site = Site::new(async |message| {
        tokio::time::sleep(ms(900)).await;
        Ok(Outcome::push(message))
    });
    let mut server = stage.start(site.with_options(Site::usual_options().timeout(ms(600)))).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    // The peer waits for the answer before it goes on, and has its whole time for that.
    for message in ["one", "two"] {
        peer.send(frame(TEXT, message)).await;
        assert_eq!(peer.frame().await, Frame::new(TEXT, message));
    }
}

async fn a_message_that_trickles_is_given_up_though_each_byte_comes_in_time(stage: &Stage) {
    let options = Site::usual_options().timeout(Duration::from_secs(60)).message_timeout(ms(200));
    let mut server = stage.start(Site::echo().with_options(options)).await;
    let peer = Peer::upgraded(server.addr).await;
    server.init().await;
    let start = Instant::now();
    let (mut reader, mut writer) = (peer.reader, peer.writer);
    // A byte now and then, of a message that would take minutes.
    let trickle = tokio::spawn(async move {
        let whole = frame(BINARY, vec![0; 60_000]);
        for byte in whole {
            if writer.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(ms(10)).await;
        }
    });
    assert_eq!(reader.close_frame().await, (Some(1008), "message timeout".into()));
    assert!(start.elapsed() >= ms(200), "after {:?}", start.elapsed());
    trickle.abort();
    expect_timeout(&mut server, Timeout::Message).await;
    server.expect_nothing_more().await;
}

async fn each_message_has_its_own_time(stage: &Stage) {
    let mut server =
        stage.start(Site::echo().with_options(Site::usual_options().message_timeout(ms(1000)))).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    let start = Instant::now();
    // Each takes a while, and together they take longer than one may.
    while start.elapsed() < ms(1200) {
        peer.send(raw_frame(TEXT, "a ")).await;
        tokio::time::sleep(ms(100)).await;
        peer.send(raw_frame(0x80, "b")).await;
        assert_eq!(peer.frame().await, Frame::new(TEXT, "a b"));
        server.message().await;
    }
}

async fn without_a_message_timeout_a_message_may_take_long(stage: &Stage) {
    let mut patient =
        stage.start(Site::echo().with_options(Site::usual_options().message_timeout(None))).await;
    let hurried =
        stage.start(Site::echo().with_options(Site::usual_options().message_timeout(ms(200)))).await;
    let mut peer = Peer::upgraded(patient.addr).await;
    patient.init().await;
    let mut neighbour = Peer::upgraded(hurried.addr).await;
    peer.send(raw_frame(TEXT, "a ")).await;
    neighbour.send(raw_frame(TEXT, "a ")).await;
    assert_eq!(neighbour.close_frame().await, (Some(1008), "message timeout".into()));
    peer.send(raw_frame(0x80, "b")).await;
    assert_eq!(peer.frame().await, Frame::new(TEXT, "a b"));
}

async fn silence_between_messages_is_no_slow_message(stage: &Stage) {
    let options = Site::usual_options().message_timeout(ms(100));
    let mut server = stage.start(Site::echo().with_options(options)).await;
    let hurried = stage.start(Site::echo().with_options(Site::usual_options().timeout(ms(250)))).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(frame(TEXT, "one")).await;
    assert_eq!(peer.frame().await, Frame::new(TEXT, "one"));
    // The neighbour's end tells that the time has passed.
    let mut neighbour = Peer::upgraded(hurried.addr).await;
    assert_eq!(neighbour.close_frame().await, (Some(1001), "idle timeout".into()));
    peer.send(frame(TEXT, "two")).await;
    assert_eq!(peer.frame().await, Frame::new(TEXT, "two"));
}

/// Each write of the server makes progress, though all of them together take longer than the timeout.
async fn a_peer_that_reads_a_little_now_and_then_is_not_given_up(stage: &Stage) {
    const LARGE: usize = 24 << 20;
    let site = Site::new(async |_| Ok(Outcome::push(vec![1; LARGE])));
    let mut server = stage.start(site.with_options(Site::usual_options().write_timeout(ms(1000)))).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    let start = Instant::now();
    peer.send(frame(TEXT, "a lot")).await;
    assert_eq!(peer.reader.take(10).await.len(), 10);
    for _ in 0..16 {
        peer.reader.take(LARGE / 16).await;
        tokio::time::sleep(ms(80)).await;
    }
    assert!(start.elapsed() >= ms(1200));
    peer.send(close(1000, "")).await;
    assert_eq!(peer.close_frame().await, (Some(1000), String::new()));
}

async fn a_close_timeout_of_no_time_does_not_wait_for_the_peer(stage: &Stage) {
    let drain = Drain::new();
    let options = Options::default().close_timeout(Duration::ZERO).drain(drain.clone());
    let mut server = stage.start(Site::new(async |_| Ok(Outcome::stop())).with_options(options)).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(frame(TEXT, "stop")).await;
    server.message().await;
    assert_eq!(peer.close_frame().await, (Some(1000), String::new()));
    assert!(matches!(server.terminated().await, CloseReason::Normal));
    // The peer has not answered, and yet nobody waits.
    let gone = async {
        while drain.live() > 0 {
            tokio::task::yield_now().await;
        }
    };
    soon("the connection's end", gone).await;
    server.expect_nothing_more().await;
}
