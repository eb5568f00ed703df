//! Panics, errors, and what the log tells of an end: E1-E3.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tracing::Level;
use websock_core::{CloseCode, CloseReason, Drain, Error, Message, Options, Outcome, Shutdown};

use crate::peer::{BINARY, Frame, PING, PONG, Peer, Request, TEXT, ask, close, frame, soon};
use crate::server::{Server, Stage};
use crate::site::{Report, Site};

cases! {
    a_panic_ends_its_own_connection_only: E1,
    a_panic_after_a_wait_is_a_panic_too: E1,
    a_panic_in_init_drops_the_handler: E1 L7,
    the_end_is_told_in_one_event: E3,
    a_panic_in_handle_control_closes_with_1011: E1,
    a_panic_in_handle_info_closes_with_1011: E1,
    a_panic_in_terminate_is_logged_and_the_socket_closes: E1,
    after_panics_in_every_callback_the_server_serves_as_before: E1,
    what_was_pushed_before_a_panic_is_delivered: E1 O2,
    an_error_of_the_handler_is_the_very_one_that_it_returned: E2 O8,
    the_end_by_a_stop_is_told: E3,
    the_end_by_an_error_is_told: E3,
    the_end_by_a_timeout_is_told: E3,
    the_end_by_a_drain_is_told: E3,
    the_end_by_a_lost_connection_is_told: E3,
    the_end_by_a_violation_is_told: E3,
    the_log_says_whether_messages_are_compressed: E3 C1,
    a_refused_upgrade_is_no_connection_in_the_log: E3 L9,
}

fn picky() -> Site {
    Site::new(async |message| match &message {
        Message::Text(text) if text == "panic" => panic!("on demand"),
        Message::Text(text) if text == "wait and panic" => {
            tokio::task::yield_now().await;
            panic!("on demand, later")
        }
        _ => Ok(Outcome::push(message)),
    })
}

async fn a_panic_ends_its_own_connection_only(stage: &Stage) {
    let mut server = stage.start(picky()).await;
    let mut other = Peer::upgraded(server.addr).await;
    server.init().await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send([frame(TEXT, "before"), frame(TEXT, "panic"), frame(TEXT, "after")].concat()).await;
    assert_eq!(peer.frame().await, Frame::new(TEXT, "before"));
    assert_eq!(peer.close_frame().await, (Some(1011), String::new()));
    peer.end().await;
    server.message().await;
    server.message().await;
    let reason = server.terminated().await;
    assert!(matches!(reason, CloseReason::Error(Error::Panic)), "{reason:?}");
    assert_eq!(server.error().await.field("panic"), "on demand");
    // The other connection, and a new one.
    other.send(frame(TEXT, "still here")).await;
    assert_eq!(other.frame().await, Frame::new(TEXT, "still here"));
    server.message().await;
    let mut third = Peer::upgraded(server.addr).await;
    third.send(frame(TEXT, "hello")).await;
    assert_eq!(third.frame().await, Frame::new(TEXT, "hello"));
}

async fn a_panic_after_a_wait_is_a_panic_too(stage: &Stage) {
    let mut server = stage.start(picky()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(frame(TEXT, "wait and panic")).await;
    assert_eq!(peer.close_frame().await, (Some(1011), String::new()));
    server.message().await;
    assert!(matches!(server.terminated().await, CloseReason::Error(Error::Panic)));
}

async fn a_panic_in_init_drops_the_handler(stage: &Stage) {
    let mut server = stage.start(Site::echo().on_init(async |_| panic!("at once"))).await;
    let mut peer = Peer::upgraded(server.addr).await;
    assert_eq!(peer.close_frame().await, (Some(1011), String::new()));
    peer.end().await;
    server.init().await;
    server.dropped().await;
    assert_eq!(server.error().await.field("panic"), "at once");
    server.expect_nothing_more().await;
}

/// E3.
async fn the_end_is_told_in_one_event(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
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

/// The connection ends as after a panic, whichever callback had it.
async fn expect_panic(server: &mut Server, peer: &mut Peer, panic: &str) {
    assert_eq!(peer.close_frame().await, (Some(1011), String::new()));
    peer.end().await;
    let reason = server.terminated().await;
    assert!(matches!(reason, CloseReason::Error(Error::Panic)), "{reason:?}");
    assert_eq!(server.error().await.field("panic"), panic);
}

async fn a_panic_in_handle_control_closes_with_1011(stage: &Stage) {
    let mut server = stage.start(Site::echo().on_control(async |_| panic!("control"))).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(frame(PING, "x")).await;
    assert_eq!(peer.frame().await, Frame::new(PONG, "x"));
    server.control().await;
    expect_panic(&mut server, &mut peer, "control").await;
    server.expect_nothing_more().await;
}

async fn a_panic_in_handle_info_closes_with_1011(stage: &Stage) {
    let mut server = stage.start(Site::echo().on_info(async |_| panic!("info"))).await;
    let mut peer = Peer::upgraded(server.addr).await;
    let socket = server.init().await;
    socket.mailbox().send(Outcome::none()).await.unwrap();
    expect_panic(&mut server, &mut peer, "info").await;
    assert!(socket.mailbox().is_closed());
    server.expect_nothing_more().await;
}

async fn a_panic_in_terminate_is_logged_and_the_socket_closes(stage: &Stage) {
    let mut server = stage.start(Site::echo().on_terminate(async || panic!("terminate"))).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(close(1000, "")).await;
    assert_eq!(peer.close_frame().await, (Some(1000), String::new()));
    peer.end().await;
    assert!(matches!(server.terminated().await, CloseReason::Remote { .. }));
    assert_eq!(server.error().await.field("panic"), "terminate");
    server.expect_nothing_more().await;
}

async fn after_panics_in_every_callback_the_server_serves_as_before(stage: &Stage) {
    let panicking = Arc::new(AtomicBool::new(true));
    let asked = panicking.clone();
    let site = picky().on_init(move |_| {
        let panics = asked.load(Ordering::SeqCst);
        async move { if panics { panic!("init") } else { Ok(Outcome::none()) } }
    });
    let site = site.on_control(async |_| panic!("control")).on_info(async |_| panic!("info"));
    let mut server = stage.start(site.on_terminate(async || panic!("terminate"))).await;
    let mut peer = Peer::upgraded(server.addr).await;
    assert_eq!(peer.close_frame().await, (Some(1011), String::new()));
    server.init().await;
    server.dropped().await;
    panicking.store(false, Ordering::SeqCst);
    for trigger in [frame(TEXT, "panic"), frame(PONG, ""), Vec::new()] {
        let mut peer = Peer::upgraded(server.addr).await;
        let socket = server.init().await;
        if trigger.is_empty() {
            socket.mailbox().send(Outcome::none()).await.unwrap();
        }
        peer.send(&trigger).await;
        assert_eq!(peer.close_frame().await, (Some(1011), String::new()));
        while !matches!(server.numbered_report().await.1, Report::Terminate(CloseReason::Error(Error::Panic)))
        {
        }
    }
    let mut peer = Peer::upgraded(server.addr).await;
    peer.send(frame(TEXT, "as before")).await;
    assert_eq!(peer.frame().await, Frame::new(TEXT, "as before"));
}

async fn what_was_pushed_before_a_panic_is_delivered(stage: &Stage) {
    let mut server = stage.start(picky()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send([frame(BINARY, vec![1; 500_000]), frame(TEXT, "panic")].concat()).await;
    assert!(peer.frame().await == Frame::new(BINARY, vec![1; 500_000]));
    assert_eq!(peer.close_frame().await, (Some(1011), String::new()));
}

async fn an_error_of_the_handler_is_the_very_one_that_it_returned(stage: &Stage) {
    #[derive(Debug, PartialEq)]
    struct OutOfCheese(u32);
    impl std::fmt::Display for OutOfCheese {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "out of cheese {}", self.0)
        }
    }
    impl std::error::Error for OutOfCheese {}

    let mut server = stage.start(Site::new(async |_| Err(OutOfCheese(7).into()))).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(frame(TEXT, "x")).await;
    assert_eq!(peer.close_frame().await, (Some(1011), String::new()));
    server.message().await;
    let reason = server.terminated().await;
    let CloseReason::Error(Error::Handler(error)) = reason else { panic!("{reason:?}") };
    assert_eq!(error.downcast_ref(), Some(&OutOfCheese(7)));
}

/// The one event of a connection's end.
async fn expect_told(server: &mut Server, reason: &str, code: Option<&str>) {
    expect_told_at(Level::INFO, server, reason, code).await;
}

async fn expect_told_at(level: Level, server: &mut Server, reason: &str, code: Option<&str>) {
    let event = server.event_of(&[Level::WARN, Level::INFO]).await;
    assert_eq!(event.level, level);
    assert_eq!(event.field("message"), "websocket closed");
    assert_eq!(event.field("reason"), reason);
    let told = event.fields.iter().find(|(name, _)| *name == "code").map(|(_, value)| &**value);
    assert_eq!(told, code);
}

async fn the_end_by_a_stop_is_told(stage: &Stage) {
    let mut server = stage.start(Site::new(async |_| Ok(Outcome::stop()))).await;
    let mut peer = Peer::upgraded(server.addr).await;
    peer.send(frame(TEXT, "x")).await;
    assert_eq!(peer.close_frame().await, (Some(1000), String::new()));
    peer.finish().await;
    expect_told(&mut server, "normal", Some("1000")).await;
}

async fn the_end_by_an_error_is_told(stage: &Stage) {
    let mut server = stage.start(Site::new(async |_| Err("out of cheese".into()))).await;
    let mut peer = Peer::upgraded(server.addr).await;
    peer.send(frame(TEXT, "x")).await;
    assert_eq!(peer.close_frame().await, (Some(1011), String::new()));
    peer.finish().await;
    expect_told_at(Level::WARN, &mut server, "the handler failed: out of cheese", Some("1011")).await;
}

async fn the_end_by_a_timeout_is_told(stage: &Stage) {
    let options = Site::usual_options().timeout(Duration::from_millis(100));
    let mut server = stage.start(Site::echo().with_options(options)).await;
    let mut peer = Peer::upgraded(server.addr).await;
    assert_eq!(peer.close_frame().await, (Some(1001), "idle timeout".into()));
    peer.finish().await;
    expect_told(&mut server, "idle timeout", Some("1001")).await;
}

async fn the_end_by_a_drain_is_told(stage: &Stage) {
    let drain = Drain::new();
    let mut server = stage.start(Site::echo().with_options(Options::default().drain(drain.clone()))).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    let shutdown = Shutdown::within(Duration::from_secs(60)).code(CloseCode::RESTART);
    tokio::join!(soon("the drain", drain.shut_down(shutdown)), async {
        assert_eq!(peer.close_frame().await, (Some(1012), String::new()));
        peer.finish().await;
    });
    expect_told(&mut server, "server shutdown", Some("1012")).await;
}

async fn the_end_by_a_lost_connection_is_told(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.reset();
    expect_told(&mut server, "the peer went away without a Close frame", None).await;
}

async fn the_end_by_a_violation_is_told(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    peer.send([0x81, 1, b'x']).await;
    assert_eq!(peer.close_frame().await, (Some(1002), String::new()));
    peer.finish().await;
    expect_told(&mut server, "client frame without a mask", Some("1002")).await;
}

async fn the_log_says_whether_messages_are_compressed(stage: &Stage) {
    let mut server = stage.start(Site::echo().with_options(Site::usual_options().compress(true))).await;
    for (offer, told) in [("permessage-deflate", "true"), ("permessage-bzip2", "false")] {
        let mut peer = Peer::connect(server.addr).await;
        peer.send(Request::good(server.addr).with("Sec-WebSocket-Extensions", offer).bytes()).await;
        assert_eq!(peer.response().await.status, 101);
        peer.send(close(1000, "")).await;
        assert_eq!(peer.close_frame().await, (Some(1000), String::new()));
        peer.finish().await;
        let event = server.event(tracing::Level::INFO).await;
        assert!(event.span.contains(&("compression", told.to_owned())), "{event:?}");
    }
}

async fn a_refused_upgrade_is_no_connection_in_the_log(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    assert_eq!(ask(server.addr, &Request::good(server.addr).method("POST")).await.status, 405);
    server.dropped().await;
    // The first event is that of the connection behind it.
    let mut peer = Peer::upgraded(server.addr).await;
    peer.send(close(4003, "")).await;
    assert_eq!(peer.close_frame().await, (Some(4003), String::new()));
    peer.finish().await;
    expect_told(&mut server, "closed by the peer with 4003", Some("4003")).await;
}
