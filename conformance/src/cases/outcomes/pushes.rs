//! Outcomes that go on: O1-O3, O11.

use tokio_tungstenite::tungstenite::Message as Sent;
use websock_core::{Control, ControlPayload, Frame as Push, Message, Options, Outcome, Prepared};

use crate::payload::{bytes, text};
use crate::peer::{BINARY, Frame, PING, PONG, Peer, TEXT, close, frame, soon};
use crate::referee::Referee;
use crate::server::Stage;
use crate::site::Site;

cases! {
    pushes_of_every_kind_go_out_in_order: O2,
    a_pong_does_not_wait_for_a_callback: O11,
    what_came_before_a_slow_callback_is_answered_during_it: O11,
    a_large_push_is_written_while_a_callback_is_pending: O11,
    a_prepared_message_is_the_same_for_everybody: O2,
    the_referee_gets_pushes_of_every_kind: O2 F8,
    without_an_outcome_to_send_the_server_is_silent: O1,
    control_frames_of_125_bytes_and_of_none_may_be_pushed: O2,
}

async fn pushes_of_every_kind_go_out_in_order(stage: &Stage) {
    let mut server = stage.start(Site::echo().on_init(async |_| Ok(Outcome::push("from init")))).await;
    let mut peer = Peer::upgraded(server.addr).await;
    assert_eq!(peer.frame().await, Frame::new(TEXT, "from init"));
    let socket = server.init().await;
    let payload = ControlPayload::try_from("c").unwrap();
    let frames = vec![
        Push::text("a"),
        Push::binary(bytes(70_000)),
        Push::ping(payload.clone()),
        Push::pong(payload),
        Push::text(""),
    ];
    socket.mailbox().send(Outcome::push(Vec::<Push>::new())).await.unwrap();
    socket.mailbox().send(Outcome::push(frames)).await.unwrap();
    for expected in [
        Frame::new(TEXT, "a"),
        Frame::new(BINARY, bytes(70_000)),
        Frame::new(PING, "c"),
        Frame::new(PONG, "c"),
        Frame::new(TEXT, ""),
    ] {
        assert!(soon("a push", peer.frame()).await == expected);
    }
}

async fn a_pong_does_not_wait_for_a_callback(stage: &Stage) {
    let mut server = stage.start(Site::echo().on_control(async |_| std::future::pending().await)).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send([frame(TEXT, "first"), frame(PING, "second")].concat()).await;
    assert_eq!(peer.frame().await, Frame::new(TEXT, "first"));
    assert_eq!(peer.frame().await, Frame::new(PONG, "second"));
}

async fn what_came_before_a_slow_callback_is_answered_during_it(stage: &Stage) {
    let site = Site::new(async |message| match &message {
        Message::Text(text) if text == "wait" => std::future::pending().await,
        _ => Ok(Outcome::push(message)),
    });
    let mut server = stage.start(site).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send([frame(TEXT, "a"), frame(PING, "b"), frame(BINARY, "c"), frame(TEXT, "wait")].concat()).await;
    assert_eq!(peer.frame().await, Frame::new(TEXT, "a"));
    assert_eq!(peer.frame().await, Frame::new(PONG, "b"));
    assert_eq!(peer.frame().await, Frame::new(BINARY, "c"));
}

async fn a_large_push_is_written_while_a_callback_is_pending(stage: &Stage) {
    // Less than the mark at which nothing more is handled, and yet pushed in many frames.
    let options = Options::default().write_high_water(std::num::NonZeroUsize::new(64 << 20).unwrap());
    let site = Site::new(async |message| match &message {
        Message::Text(text) if text == "wait" => std::future::pending().await,
        _ => Ok(Outcome::push(vec![1; 16 << 20])),
    });
    let mut server = stage.start(site.with_options(options)).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send([frame(TEXT, "a lot"), frame(TEXT, "wait")].concat()).await;
    server.message().await;
    // The second callback is running now, and all that was pushed comes all the same.
    server.message().await;
    assert!(peer.frame().await == Frame::new(BINARY, vec![1; 16 << 20]));
}

async fn a_prepared_message_is_the_same_for_everybody(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let prepared = Prepared::text(text(70_000));
    let mut peers = Vec::new();
    for _ in 0..20 {
        let peer = Peer::upgraded(server.addr).await;
        peers.push((peer, server.init().await));
    }
    for (_, socket) in &peers {
        socket.mailbox().send(Outcome::push([prepared.clone(), prepared.clone()])).await.unwrap();
    }
    for (peer, _) in &mut peers {
        for _ in 0..2 {
            assert!(peer.frame().await == Frame::new(TEXT, text(70_000)));
        }
    }
}

async fn the_referee_gets_pushes_of_every_kind(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut referee = Referee::connect(server.addr).await;
    let socket = server.init().await;
    let payload = ControlPayload::try_from("c").unwrap();
    let frames = vec![
        Push::text("a"),
        Push::ping(payload.clone()),
        Push::binary("b"),
        Push::pong(payload),
        Push::text(""),
    ];
    socket.mailbox().send(Outcome::push(frames)).await.unwrap();
    for expected in
        [Sent::text("a"), Sent::Ping("c".into()), Sent::binary("b"), Sent::Pong("c".into()), Sent::text("")]
    {
        assert_eq!(referee.next().await, expected);
    }
    // The referee has answered the ping.
    assert_eq!(server.control().await, Control::Pong("c".try_into().unwrap()));
}

async fn without_an_outcome_to_send_the_server_is_silent(stage: &Stage) {
    let mut server = stage.start(Site::new(async |_| Ok(Outcome::none()))).await;
    let mut peer = Peer::upgraded(server.addr).await;
    let socket = server.init().await;
    peer.send([frame(TEXT, "a"), frame(PONG, "b"), frame(BINARY, "c")].concat()).await;
    socket.mailbox().send(Outcome::none()).await.unwrap();
    server.message().await;
    server.control().await;
    server.message().await;
    // The first thing that it says is its answer to this.
    peer.send(close(1000, "")).await;
    assert_eq!(peer.close_frame().await, (Some(1000), String::new()));
}

async fn control_frames_of_125_bytes_and_of_none_may_be_pushed(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    let socket = server.init().await;
    for size in [0, 125] {
        let payload = ControlPayload::try_from(bytes(size)).unwrap();
        let frames = [Push::ping(payload.clone()), Push::pong(payload)];
        socket.mailbox().send(Outcome::push(frames)).await.unwrap();
        assert_eq!(peer.frame().await, Frame::new(PING, bytes(size)));
        assert_eq!(peer.frame().await, Frame::new(PONG, bytes(size)));
    }
}
