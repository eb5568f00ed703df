//! Slow handlers and peers that do not read: B3, B4, B10, F9, L10, T3.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;
use websock_core::{CloseCode, CloseReason, Control, Options, Outcome, Timeout};

use crate::peer::{BINARY, CLOSE, FIN, Frame, PING, PONG, Peer, TEXT, close, frame, soon};
use crate::server::Stage;
use crate::site::{Report, Site};

cases! {
    a_slow_handler_slows_its_peer_down_and_loses_nothing: B4,
    a_peer_that_does_not_read_stops_the_callbacks_and_is_given_up: B3 T3,
    a_peer_that_does_not_read_its_pongs_is_given_up: F9 B3 T3,
    a_peer_that_reads_slowly_gets_everything_in_order: B3 O2,
    a_peer_that_does_not_read_can_still_be_closed_by_the_mailbox: B3 B7,
    small_messages_do_not_wait_for_acknowledgements: B10,
    a_flood_of_infos_does_not_keep_messages_and_pings_waiting: L10 B1,
    a_flood_of_messages_does_not_keep_infos_waiting: L10 B1,
    ten_thousand_messages_to_a_slow_handler_are_all_handled_in_order: B4,
    pings_to_a_slow_handler_are_answered_after_its_callback: B4 L5,
}

const BLOCK: usize = 64 * 1024;

/// A handler that waits at a gate before it answers nothing.
fn gated(gate: &Arc<Semaphore>) -> Site {
    let gate = gate.clone();
    Site::new(move |_| {
        let gate = gate.clone();
        async move {
            gate.acquire().await?.forget();
            Ok(Outcome::none())
        }
    })
}

async fn a_slow_handler_slows_its_peer_down_and_loses_nothing(stage: &Stage) {
    const COUNT: usize = 512;
    let gate = Arc::new(Semaphore::new(0));
    let mut server = stage.start(gated(&gate)).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    let sent = Arc::new(AtomicUsize::new(0));
    let sending = tokio::spawn({
        let sent = sent.clone();
        async move {
            for number in 0..COUNT {
                let payload = [&number.to_be_bytes()[..], &[0; BLOCK]].concat();
                peer.writer.write_all(&frame(BINARY, payload)).await.unwrap();
                sent.fetch_add(1, Ordering::Relaxed);
            }
            peer
        }
    });
    // 32 MiB do not fit into the sockets' buffers, so the peer gets stuck while the first message is handled.
    server.message().await;
    let stuck = soon("the peer to get stuck", async {
        loop {
            let before = sent.load(Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(300)).await;
            if sent.load(Ordering::Relaxed) == before {
                return before;
            }
        }
    });
    let stuck = stuck.await;
    assert!(stuck < COUNT / 2, "{stuck} of {COUNT} were taken, though nothing is handled");
    gate.add_permits(COUNT);
    for number in 1..COUNT {
        assert_eq!(server.message().await.as_bytes()[..8], number.to_be_bytes());
    }
    let mut peer = sending.await.unwrap();
    peer.send(frame(CLOSE, "")).await;
    assert_eq!(peer.close_frame().await, (None, String::new()));
    assert!(matches!(server.terminated().await, CloseReason::Remote { .. }));
}

fn impatient() -> Options {
    Options::default().write_timeout(Duration::from_millis(200))
}

/// The bytes are whole frames, but for the last, and none of them is a Close.
fn expect_no_close(mut bytes: &[u8]) {
    while let [first, second, rest @ ..] = bytes {
        assert_ne!(*first, FIN | CLOSE);
        let (length, rest) = match (second, rest) {
            (127, length) if length.len() >= 8 => {
                (u64::from_be_bytes(length[..8].try_into().unwrap()), &length[8..])
            }
            (126, [a, b, rest @ ..]) => (u64::from(u16::from_be_bytes([*a, *b])), rest),
            (126 | 127, _) => return,
            (short, rest) => (u64::from(*short), rest),
        };
        bytes = rest.get(usize::try_from(length).unwrap()..).unwrap_or_default();
    }
}

async fn a_peer_that_does_not_read_stops_the_callbacks_and_is_given_up(stage: &Stage) {
    let site = Site::new(async |_| Ok(Outcome::push(vec![0x2a; 1 << 20])));
    let mut server = stage.start(site.with_options(impatient())).await;
    let mut peer = Peer::upgraded_with_little_room(server.addr).await;
    server.init().await;
    let start = Instant::now();
    peer.send(frame(TEXT, "more").repeat(1000)).await;
    // A gigabyte was asked for; what is pushed is what the sockets take, and little more.
    let mut calls = 0;
    let reason = loop {
        match server.numbered_report().await.1 {
            Report::In(_) => calls += 1,
            Report::Terminate(reason) => break reason,
            other => panic!("{other:?}"),
        }
    };
    assert!(matches!(reason, CloseReason::Timeout(Timeout::Write)), "{reason:?}");
    assert!(start.elapsed() >= Duration::from_millis(200), "after {:?}", start.elapsed());
    assert!(calls < 100, "{calls} callbacks");
    // The socket is dropped: no Close frame comes behind what was written.
    expect_no_close(&peer.reader.rest().await);
    server.expect_nothing_more().await;
}

/// F9.
async fn a_peer_that_does_not_read_its_pongs_is_given_up(stage: &Stage) {
    let mut server = stage.start(Site::echo().with_options(impatient())).await;
    let mut peer = Peer::upgraded_with_little_room(server.addr).await;
    server.init().await;
    let pings = frame(PING, [1; 125]).repeat(1000);
    // It ends with a failed write, once the server has dropped the socket.
    let flood = async { while peer.writer.write_all(&pings).await.is_ok() {} };
    soon("the end of the flood", flood).await;
    let mut pings = 0_usize;
    let reason = loop {
        match server.numbered_report().await.1 {
            Report::Control(_) => pings += 1,
            Report::Terminate(reason) => break reason,
            other => panic!("{other:?}"),
        }
    };
    assert!(matches!(reason, CloseReason::Timeout(Timeout::Write)), "{reason:?}");
    assert!(pings > 0);
}

async fn a_peer_that_reads_slowly_gets_everything_in_order(stage: &Stage) {
    const COUNT: u32 = 200;
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    let socket = server.init().await;
    let pushing = tokio::spawn(async move {
        for number in 0..COUNT {
            let payload = [&number.to_be_bytes()[..], &[0; BLOCK]].concat();
            socket.mailbox().send(Outcome::push(payload)).await.unwrap();
        }
    });
    for number in 0..COUNT {
        let pushed = peer.frame().await;
        assert_eq!(pushed.payload[..4], number.to_be_bytes());
        assert_eq!(pushed.payload.len(), 4 + BLOCK);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
    pushing.await.unwrap();
}

async fn a_peer_that_does_not_read_can_still_be_closed_by_the_mailbox(stage: &Stage) {
    let mut server = stage.start(Site::new(async |_| Ok(Outcome::push(vec![1; 32 << 20])))).await;
    let mut peer = Peer::upgraded(server.addr).await;
    let socket = server.init().await;
    peer.send(frame(TEXT, "a lot")).await;
    peer.send(frame(TEXT, "again")).await;
    server.message().await;
    assert!(socket.mailbox().close(CloseCode::POLICY, "read faster"));
    let reason = server.terminated().await;
    assert!(matches!(reason, CloseReason::Normal), "{reason:?}");
    // It was pushed before, so it comes before.
    assert!(peer.frame().await == Frame::new(BINARY, vec![1; 32 << 20]));
    assert_eq!(peer.close_frame().await, (Some(1008), "read faster".into()));
    peer.end().await;
}

/// With Nagle's algorithm each second message of a pair waits for the acknowledgement of the first, which a peer that
/// has nothing to say delays by 40 ms and more. Only a machine that is always so slow fails this by itself.
async fn small_messages_do_not_wait_for_acknowledgements(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    let socket = server.init().await;
    let mut fastest = Duration::MAX;
    for _ in 0..20 {
        peer.delay_acknowledgements();
        socket.mailbox().send(Outcome::push("first")).await.unwrap();
        peer.delay_acknowledgements();
        assert_eq!(peer.frame().await, Frame::new(TEXT, "first"));
        peer.delay_acknowledgements();
        let start = Instant::now();
        socket.mailbox().send(Outcome::push("second")).await.unwrap();
        assert_eq!(peer.frame().await, Frame::new(TEXT, "second"));
        fastest = fastest.min(start.elapsed());
    }
    assert!(fastest < Duration::from_millis(30), "the fastest of 20 took {fastest:?}");
}

/// A flood that does not end before the case has seen what it waits for.
async fn a_flood_of_infos_does_not_keep_messages_and_pings_waiting(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    let socket = server.init().await;
    let flood = tokio::spawn(async move { while socket.mailbox().send(Outcome::none()).await.is_ok() {} });
    peer.send([frame(TEXT, "message"), frame(PING, "ping")].concat()).await;
    assert_eq!(peer.frame().await, Frame::new(TEXT, "message"));
    assert_eq!(peer.frame().await, Frame::new(PONG, "ping"));
    peer.send(close(1000, "")).await;
    assert_eq!(peer.close_frame().await, (Some(1000), String::new()));
    soon("the end of the flood", flood).await.unwrap();
}

async fn a_flood_of_messages_does_not_keep_infos_waiting(stage: &Stage) {
    let mut server = stage.start(Site::new(async |_| Ok(Outcome::none()))).await;
    let peer = Peer::upgraded(server.addr).await;
    let socket = server.init().await;
    let messages = frame(TEXT, "more").repeat(1000);
    let (mut reader, mut writer) = (peer.reader, peer.writer);
    let flood = tokio::spawn(async move { while writer.write_all(&messages).await.is_ok() {} });
    for number in 0..10 {
        socket.mailbox().send(Outcome::push(format!("{number}"))).await.unwrap();
        assert_eq!(reader.frame().await, Frame::new(TEXT, format!("{number}")));
    }
    flood.abort();
}

async fn ten_thousand_messages_to_a_slow_handler_are_all_handled_in_order(stage: &Stage) {
    const COUNT: u32 = 10_000;
    let site = Site::new(async |_| {
        tokio::task::yield_now().await;
        Ok(Outcome::none())
    });
    let mut server = stage.start(site).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send((0..COUNT).flat_map(|number| frame(BINARY, number.to_be_bytes())).collect::<Vec<_>>()).await;
    for number in 0..COUNT {
        assert_eq!(server.message().await.as_bytes(), number.to_be_bytes());
    }
}

async fn pings_to_a_slow_handler_are_answered_after_its_callback(stage: &Stage) {
    let gate = Arc::new(Semaphore::new(0));
    let mut server = stage.start(gated(&gate)).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send([frame(TEXT, "work"), frame(PING, "meanwhile")].concat()).await;
    server.message().await;
    gate.add_permits(1);
    assert_eq!(peer.frame().await, Frame::new(PONG, "meanwhile"));
    assert_eq!(server.control().await, Control::Ping("meanwhile".try_into().unwrap()));
}
