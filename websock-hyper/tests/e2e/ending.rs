//! Peers that go away without a word: L7, X5, X8.

use std::time::Duration;

use websock_hyper::{CloseReason, Error, Message, Options, Outcome};

use crate::peer::{BINARY, FIN, Frame, Peer, TEXT, close, frame, header};
use crate::site::{Host, Report, Server, Site};

on_every_host! {
    a_reset_is_a_disconnect,
    an_end_without_a_close_is_a_disconnect,
    an_end_within_a_frame_is_a_disconnect,
    messages_before_the_end_are_handled_and_answered,
    a_peer_that_vanishes_during_a_callback_is_noticed_after_it,
    a_connection_that_is_lost_drops_what_waits_in_its_mailbox,
    the_end_is_told_in_one_event,
    terminate_runs_once_however_many_ends_there_are,
}

async fn expect_disconnect(server: &mut Server) {
    let reason = server.terminated().await;
    assert!(matches!(reason, CloseReason::Error(Error::Disconnected)), "{reason:?}");
}

async fn a_reset_is_a_disconnect(host: Host) {
    let mut server = host.start(Site::echo());
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(frame(TEXT, "here")).await;
    assert_eq!(peer.frame().await, Frame::new(TEXT, "here"));
    server.message().await;
    peer.reset();
    expect_disconnect(&mut server).await;
    server.expect_nothing_more().await;
}

async fn an_end_without_a_close_is_a_disconnect(host: Host) {
    let mut server = host.start(Site::echo());
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.finish().await;
    expect_disconnect(&mut server).await;
    // 1006 never appears on the wire: nothing does.
    peer.end().await;
    server.expect_nothing_more().await;
}

async fn an_end_within_a_frame_is_a_disconnect(host: Host) {
    let mut server = host.start(Site::echo());
    for bytes in [
        vec![FIN | TEXT],
        header(FIN | TEXT, 500, [0; 4]),
        [header(BINARY, 50, [0; 4]), vec![1; 49]].concat(),
    ] {
        let mut peer = Peer::upgraded(server.addr).await;
        server.init().await;
        peer.send(bytes).await;
        peer.finish().await;
        expect_disconnect(&mut server).await;
        peer.end().await;
    }
    server.expect_nothing_more().await;
}

async fn messages_before_the_end_are_handled_and_answered(host: Host) {
    let mut server = host.start(Site::echo());
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send((0..200).flat_map(|number| frame(TEXT, format!("{number}"))).collect::<Vec<_>>()).await;
    peer.finish().await;
    for number in 0..200 {
        assert_eq!(peer.frame().await, Frame::new(TEXT, format!("{number}")));
        assert_eq!(server.message().await, Message::Text(format!("{number}").into()));
    }
    peer.end().await;
    expect_disconnect(&mut server).await;
}

async fn a_peer_that_vanishes_during_a_callback_is_noticed_after_it(host: Host) {
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let opened = gate.clone();
    let site = Site::new(move |_| {
        let gate = gate.clone();
        async move {
            gate.acquire().await?.forget();
            Ok(Outcome::push("nobody reads this"))
        }
    });
    let mut server = host.start(site);
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(frame(TEXT, "work")).await;
    server.message().await;
    peer.reset();
    // Another connection is served meanwhile, so the reset has had its time.
    let mut other = Peer::upgraded(server.addr).await;
    server.init().await;
    other.send(frame(TEXT, "work")).await;
    server.message().await;
    opened.add_permits(2);
    let (connection, report) = server.numbered_report().await;
    assert_eq!(connection, 0);
    assert!(matches!(report, Report::Terminate(CloseReason::Error(Error::Disconnected))), "{report:?}");
    other.frame().await;
}

async fn a_connection_that_is_lost_drops_what_waits_in_its_mailbox(host: Host) {
    let mut server = host.start(Site::new(async |_| std::future::pending().await).options(
        Options::default().callback_timeout(Duration::from_millis(100)).close_timeout(Duration::ZERO),
    ));
    let mut peer = Peer::upgraded(server.addr).await;
    let socket = server.init().await;
    peer.send(frame(TEXT, "wait")).await;
    server.message().await;
    socket.mailbox().send(Outcome::push("never sent")).await.unwrap();
    peer.finish().await;
    let reason = server.terminated().await;
    assert!(matches!(reason, CloseReason::Timeout(websock_hyper::Timeout::Callback)), "{reason:?}");
    assert!(socket.mailbox().send(Outcome::none()).await.is_err());
    assert!(socket.mailbox().is_closed());
    assert_eq!(peer.close_frame().await, (Some(1011), "callback timeout".into()));
    server.expect_nothing_more().await;
}

/// E3.
async fn the_end_is_told_in_one_event(host: Host) {
    let mut server = host.start(Site::echo());
    let mut peer = Peer::upgraded(server.addr).await;
    peer.send([frame(TEXT, "four"), frame(BINARY, "x"), frame(BINARY, "yz"), close(4321, "bye")].concat())
        .await;
    peer.reader.rest().await;
    peer.finish().await;
    let event = server.event(tracing::Level::INFO).await;
    for (field, value) in [
        ("message", "websocket closed"),
        ("reason", "closed by the peer with 4321"),
        ("code", "4321"),
        ("received.text", "1"),
        ("received.text_bytes", "4"),
        ("received.binary", "2"),
        ("received.binary_bytes", "3"),
        ("received.close", "1"),
        ("sent.text", "1"),
        ("sent.binary_bytes", "3"),
        ("sent.close_bytes", "2"),
        ("sent.ping", "0"),
    ] {
        assert_eq!(event.field(field), value, "{field}");
    }
}

async fn terminate_runs_once_however_many_ends_there_are(host: Host) {
    let mut server = host.start(Site::new(async |_| Err("failed".into())));
    for _ in 0..100 {
        let mut peer = Peer::upgraded(server.addr).await;
        let socket = server.init().await;
        // A failure, a close by the mailbox, the peer's Close and its end, all at once.
        let bytes = [frame(TEXT, "x"), close(1000, "")].concat();
        peer.send(bytes).await;
        socket.mailbox().close(websock_hyper::CloseCode::POLICY, "");
        peer.finish().await;
        let (code, _) = peer.close_frame().await;
        let reason = loop {
            match server.numbered_report().await.1 {
                Report::In(_) => {}
                Report::Terminate(reason) => break reason,
                other => panic!("{other:?}"),
            }
        };
        match reason {
            CloseReason::Error(Error::Handler(_)) => assert_eq!(code, Some(1011)),
            CloseReason::Normal => assert_eq!(code, Some(1008)),
            other => panic!("{other:?}"),
        }
        peer.end().await;
    }
    server.expect_nothing_more().await;
}
