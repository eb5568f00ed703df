//! Timeouts, with real options of a fraction of a second: T1-T4, T6, L11. What must not come before its time is
//! measured from before it could begin; how long after it something comes is not asserted.

use std::time::{Duration, Instant};

use websock_hyper::{CloseReason, Control, Keepalive, Options, Outcome, Timeout};

use crate::peer::{FIN, Frame, PING, PONG, Peer, TEXT, frame, header, raw_frame};
use crate::site::{Host, Server, Site};

on_every_host! {
    silence_ends_after_the_timeout_and_not_before,
    any_byte_restarts_the_timeout,
    pushes_do_not_restart_the_timeout,
    a_silent_peer_is_pinged_and_given_up,
    an_answered_ping_is_followed_by_another,
    any_byte_answers_a_ping,
    a_message_that_takes_too_long_is_given_up,
    a_callback_that_takes_too_long_is_given_up,
    an_init_that_takes_too_long_is_given_up,
    a_slow_callback_is_not_taken_for_a_silent_peer,
    the_time_of_a_callback_does_not_count_as_the_peers_silence,
}

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

async fn expect_timeout(server: &mut Server, timeout: Timeout) {
    let reason = server.terminated().await;
    assert!(matches!(reason, CloseReason::Timeout(seen) if seen == timeout), "{reason:?}");
}

async fn silence_ends_after_the_timeout_and_not_before(host: Host) {
    let mut server = host.start(Site::echo().options(Options::default().timeout(ms(200))));
    let start = Instant::now();
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    assert_eq!(peer.close_frame().await, (Some(1001), "idle timeout".into()));
    assert!(start.elapsed() >= ms(200), "after {:?}", start.elapsed());
    peer.end().await;
    expect_timeout(&mut server, Timeout::Idle).await;
    server.expect_nothing_more().await;
}

async fn any_byte_restarts_the_timeout(host: Host) {
    let mut server = host.start(Site::echo().options(Options::default().timeout(ms(300))));
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
        server = host.start(Site::echo().options(Options::default().timeout(ms(300))));
    }
    panic!("this machine is too slow to tell");
}

async fn pushes_do_not_restart_the_timeout(host: Host) {
    let mut server = host.start(Site::echo().options(Options::default().timeout(ms(200))));
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

async fn a_silent_peer_is_pinged_and_given_up(host: Host) {
    let keepalive = Keepalive::new(ms(100), ms(150)).unwrap();
    let mut server = host.start(Site::echo().options(Options::default().keepalive(keepalive)));
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

async fn an_answered_ping_is_followed_by_another(host: Host) {
    let keepalive = Keepalive::new(ms(100), Duration::from_secs(60)).unwrap();
    let mut server = host.start(Site::echo().options(Options::default().keepalive(keepalive)));
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

async fn any_byte_answers_a_ping(host: Host) {
    // The answer time is short, and yet the connection lives, as long as anything comes after a ping.
    let keepalive = Keepalive::new(ms(100), Duration::from_secs(5)).unwrap();
    let mut server = host.start(Site::echo().options(Options::default().keepalive(keepalive)));
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(header(FIN | TEXT, 3, [0; 4])).await;
    for byte in *b"abc" {
        assert_eq!(peer.frame().await, Frame::new(PING, ""));
        peer.send([byte]).await;
    }
    assert_eq!(peer.frame().await, Frame::new(TEXT, "abc"));
}

async fn a_message_that_takes_too_long_is_given_up(host: Host) {
    let mut server = host.start(Site::echo().options(Options::default().message_timeout(ms(200))));
    // Within a header, within a frame, and between fragments with a ping.
    for bytes in [
        vec![FIN | TEXT],
        [&header(FIN | TEXT, 100, [0; 4])[..], b"some"].concat(),
        raw_frame(TEXT, "a fragment"),
    ] {
        let mut peer = Peer::upgraded(server.addr).await;
        server.init().await;
        let start = Instant::now();
        peer.send(&bytes).await;
        if bytes.len() > 15 {
            peer.send(frame(PING, "")).await;
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

async fn a_callback_that_takes_too_long_is_given_up(host: Host) {
    let site = Site::new(async |_| std::future::pending().await);
    let mut server = host.start(site.options(Options::default().callback_timeout(ms(150))));
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    let start = Instant::now();
    peer.send(frame(TEXT, "x")).await;
    assert_eq!(peer.close_frame().await, (Some(1011), "callback timeout".into()));
    assert!(start.elapsed() >= ms(150), "after {:?}", start.elapsed());
    peer.end().await;
    server.message().await;
    expect_timeout(&mut server, Timeout::Callback).await;
    server.expect_nothing_more().await;
}

async fn an_init_that_takes_too_long_is_given_up(host: Host) {
    let site = Site::echo().on_init(async |_| std::future::pending().await);
    let mut server = host.start(site.options(Options::default().callback_timeout(ms(100))));
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    assert_eq!(peer.close_frame().await, (Some(1011), "callback timeout".into()));
    expect_timeout(&mut server, Timeout::Callback).await;
    server.expect_nothing_more().await;
}

async fn a_slow_callback_is_not_taken_for_a_silent_peer(host: Host) {
    let keepalive = Keepalive::new(ms(60), ms(60)).unwrap();
    let options = Options::default().timeout(ms(100)).message_timeout(ms(100)).keepalive(keepalive);
    let site = Site::new(async |message| {
        tokio::time::sleep(ms(300)).await;
        Ok(Outcome::push(message))
    });
    let mut server = host.start(site.options(options));
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

async fn the_time_of_a_callback_does_not_count_as_the_peers_silence(host: Host) {
    let site = Site::new(async |message| {
        tokio::time::sleep(ms(900)).await;
        Ok(Outcome::push(message))
    });
    let mut server = host.start(site.options(Options::default().timeout(ms(600))));
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    // The peer waits for the answer before it goes on, and has its whole time for that.
    for message in ["one", "two"] {
        peer.send(frame(TEXT, message)).await;
        assert_eq!(peer.frame().await, Frame::new(TEXT, message));
    }
}
