//! Slow handlers and peers that do not read: B1-B4, B6, B7, F9, T3.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;
use websock_hyper::{CloseCode, CloseReason, Error, Options, Outcome, SendError, Timeout, TrySendError};

use crate::peer::{BINARY, CLOSE, FIN, Frame, PING, Peer, TEXT, frame, soon};
use crate::site::{Host, Report, Site};

on_every_host! {
    a_slow_handler_slows_its_peer_down_and_loses_nothing,
    a_peer_that_does_not_read_stops_the_callbacks_and_is_given_up,
    a_peer_that_does_not_read_its_pongs_is_given_up,
    a_peer_that_reads_slowly_gets_everything_in_order,
    a_peer_that_does_not_read_can_still_be_closed_by_the_mailbox,
    infos_are_handled_in_order_between_messages,
    infos_that_init_leaves_are_handled_after_it,
    a_callback_cannot_wait_for_its_own_full_mailbox,
    a_full_mailbox_gives_the_message_back_and_can_still_close,
    a_mailbox_outlives_its_connection,
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

async fn a_slow_handler_slows_its_peer_down_and_loses_nothing(host: Host) {
    const COUNT: usize = 512;
    let gate = Arc::new(Semaphore::new(0));
    let mut server = host.start(gated(&gate));
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
    let stuck = tokio::time::timeout(Duration::from_millis(300), async {
        while sent.load(Ordering::Relaxed) < COUNT {
            tokio::task::yield_now().await
        }
    });
    assert!(stuck.await.is_err(), "everything was taken, though nothing is handled");
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

async fn a_peer_that_does_not_read_stops_the_callbacks_and_is_given_up(host: Host) {
    let site = Site::new(async |_| Ok(Outcome::push(vec![0x2a; 1 << 20])));
    let mut server = host.start(site.options(impatient()));
    let mut peer = Peer::upgraded(server.addr).await;
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
async fn a_peer_that_does_not_read_its_pongs_is_given_up(host: Host) {
    let mut server = host.start(Site::echo().options(impatient()));
    let mut peer = Peer::upgraded(server.addr).await;
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

async fn a_peer_that_reads_slowly_gets_everything_in_order(host: Host) {
    const COUNT: u32 = 200;
    let mut server = host.start(Site::echo());
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

async fn a_peer_that_does_not_read_can_still_be_closed_by_the_mailbox(host: Host) {
    let mut server = host.start(Site::new(async |_| Ok(Outcome::push(vec![1; 32 << 20]))));
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

async fn infos_are_handled_in_order_between_messages(host: Host) {
    let mut server = host.start(Site::echo());
    let mut peer = Peer::upgraded(server.addr).await;
    let socket = server.init().await;
    let pushing = tokio::spawn(async move {
        for number in 0..500 {
            socket.mailbox().send(Outcome::push(format!("info {number}"))).await.unwrap();
        }
    });
    peer.send((0..500).flat_map(|number| frame(TEXT, format!("message {number}"))).collect::<Vec<_>>()).await;
    let (mut infos, mut messages) = (0, 0);
    while infos < 500 || messages < 500 {
        let text = String::from_utf8(peer.frame().await.payload).unwrap();
        let next = if text.starts_with("info") { &mut infos } else { &mut messages };
        assert!(text.ends_with(&format!(" {next}")), "{text}, not {next}");
        *next += 1;
    }
    pushing.await.unwrap();
}

async fn infos_that_init_leaves_are_handled_after_it(host: Host) {
    let site = Site::echo().on_init(async |socket| {
        socket.mailbox().send(Outcome::push("second")).await?;
        socket.mailbox().try_send(Outcome::push("third"))?;
        Ok(Outcome::push("first"))
    });
    let server = host.start(site);
    let mut peer = Peer::upgraded(server.addr).await;
    for expected in ["first", "second", "third"] {
        assert_eq!(peer.frame().await, Frame::new(TEXT, expected));
    }
}

async fn a_callback_cannot_wait_for_its_own_full_mailbox(host: Host) {
    let site = Site::echo().on_init(async |socket| {
        socket.mailbox().send(Outcome::none()).await?;
        match socket.mailbox().send(Outcome::none()).await {
            Err(SendError::OwnMailboxFull(_)) => Ok(Outcome::push("told")),
            other => panic!("{other:?}"),
        }
    });
    let server = host.start(site.options(Options::default().mailbox_capacity(NonZeroUsize::MIN)));
    let mut peer = Peer::upgraded(server.addr).await;
    assert_eq!(peer.frame().await, Frame::new(TEXT, "told"));
}

async fn a_full_mailbox_gives_the_message_back_and_can_still_close(host: Host) {
    let gate = Arc::new(Semaphore::new(0));
    let options = Options::default().mailbox_capacity(NonZeroUsize::new(2).unwrap());
    let mut server = host.start(gated(&gate).options(options));
    let mut peer = Peer::upgraded(server.addr).await;
    let socket = server.init().await;
    peer.send(frame(TEXT, "work")).await;
    server.message().await;
    let mailbox = socket.mailbox();
    mailbox.try_send(Outcome::push("never handled")).unwrap();
    mailbox.try_send(Outcome::push("nor this")).unwrap();
    assert!(matches!(mailbox.try_send(Outcome::none()), Err(TrySendError::Full(_))));
    assert!(mailbox.close(CloseCode::TRY_AGAIN, "too slow"));
    gate.add_permits(1);
    assert_eq!(peer.close_frame().await, (Some(1013), "too slow".into()));
    assert!(matches!(server.terminated().await, CloseReason::Normal));
    server.expect_nothing_more().await;
}

async fn a_mailbox_outlives_its_connection(host: Host) {
    let mut server = host.start(Site::echo());
    let peer = Peer::upgraded(server.addr).await;
    let socket = server.init().await;
    peer.reset();
    assert!(matches!(server.terminated().await, CloseReason::Error(Error::Disconnected)));
    let mailbox = socket.mailbox().clone();
    drop(socket);
    assert!(matches!(mailbox.send(Outcome::push("x")).await, Err(SendError::Closed(_))));
    assert!(matches!(mailbox.try_send(Outcome::push("x")), Err(TrySendError::Closed(_))));
    assert!(!mailbox.close(CloseCode::NORMAL, ""));
}
