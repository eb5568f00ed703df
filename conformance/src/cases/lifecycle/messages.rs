//! Messages, pings and pongs, as the handler sees them: L4, L5.

use tokio_tungstenite::tungstenite::Message as Sent;
use websock_core::{CloseReason, Control, Frame as Push, Message, Outcome};

use crate::payload::{bytes, text};
use crate::peer::{BINARY, CONTINUATION, FIN, Frame, PING, PONG, Peer, TEXT, close, frame, raw_frame};
use crate::referee::Referee;
use crate::server::Stage;
use crate::site::Site;

cases! {
    the_referee_gets_back_what_it_sent: L4,
    fragments_are_joined_and_keep_the_opcode_of_the_first: L4 F5,
    a_ping_is_answered_with_its_payload_before_the_handler_sees_it: L5,
    an_unasked_pong_reaches_the_handler_and_is_not_answered: L5,
    pings_and_pongs_do_not_disturb_messages: L5 L4,
    the_referees_pings_reach_the_handler_and_are_answered: L5,
    a_ping_of_the_server_comes_back_as_a_pong: L5 O2,
    an_empty_pong_reaches_the_handler_as_empty_bytes: L5,
    a_close_is_no_control: L5 X2,
    an_empty_message_is_a_message: L4,
    a_pong_of_125_bytes_reaches_the_handler: L5 F2,
}

const SIZES: [usize; 9] = [0, 1, 125, 126, 127, 65_535, 65_536, 65_537, 4 << 20];

async fn the_referee_gets_back_what_it_sent(stage: &Stage) {
    let server = stage.start(Site::echo()).await;
    let mut referee = Referee::connect(server.addr).await;
    for size in SIZES {
        referee.send(text(size)).await;
        assert!(referee.next().await.into_text().unwrap() == text(size), "{size} bytes of text");
        referee.send(bytes(size)).await;
        assert!(referee.next().await.into_data() == bytes(size), "{size} bytes");
    }
}

async fn fragments_are_joined_and_keep_the_opcode_of_the_first(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    // "ß" is cut in two, and empty fragments are legal.
    let parts: [&[u8]; 5] = [b"", b"Gru\xc3", b"\x9f", b"", b" dich"];
    peer.send(raw_frame(TEXT, parts[0])).await;
    for part in &parts[1..4] {
        peer.send(raw_frame(CONTINUATION, part)).await;
    }
    peer.send(raw_frame(FIN | CONTINUATION, parts[4])).await;
    assert_eq!(peer.frame().await, Frame::new(TEXT, "Gruß dich"));
    assert_eq!(server.message().await, Message::Text("Gruß dich".into()));

    peer.send(raw_frame(BINARY, [0xff; 70_000])).await;
    peer.send(raw_frame(FIN | CONTINUATION, [0xfe])).await;
    let joined = [&[0xff; 70_000][..], &[0xfe]].concat();
    assert!(peer.frame().await == Frame::new(BINARY, &joined));
    assert!(server.message().await == Message::Binary(joined.into()));
}

async fn a_ping_is_answered_with_its_payload_before_the_handler_sees_it(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    for payload in [vec![], vec![0], bytes(125)] {
        peer.send(frame(PING, &payload)).await;
        assert_eq!(peer.frame().await, Frame::new(PONG, &payload));
        assert_eq!(server.control().await, Control::Ping(payload.try_into().unwrap()));
    }
}

async fn an_unasked_pong_reaches_the_handler_and_is_not_answered(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(frame(PONG, "unasked")).await;
    assert_eq!(server.control().await, Control::Pong("unasked".try_into().unwrap()));
    // Were there an answer, it would come before this one's.
    peer.send(frame(TEXT, "next")).await;
    assert_eq!(peer.frame().await, Frame::new(TEXT, "next"));
}

async fn pings_and_pongs_do_not_disturb_messages(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(
        [frame(TEXT, "1"), frame(PING, "2"), frame(TEXT, "3"), frame(PONG, "4"), frame(TEXT, "5")].concat(),
    )
    .await;
    for expected in
        [Frame::new(TEXT, "1"), Frame::new(PONG, "2"), Frame::new(TEXT, "3"), Frame::new(TEXT, "5")]
    {
        assert_eq!(peer.frame().await, expected);
    }
}

async fn the_referees_pings_reach_the_handler_and_are_answered(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut referee = Referee::connect(server.addr).await;
    server.init().await;
    for payload in ["", "123"] {
        referee.send(Sent::Ping(payload.into())).await;
        assert_eq!(referee.next().await, Sent::Pong(payload.into()));
        assert_eq!(server.control().await, Control::Ping(payload.try_into().unwrap()));
    }
}

async fn a_ping_of_the_server_comes_back_as_a_pong(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut referee = Referee::connect(server.addr).await;
    let socket = server.init().await;
    for payload in ["", "123"] {
        let ping = Push::ping(payload.try_into().unwrap());
        socket.mailbox().send(Outcome::push([ping, Push::text("go on")])).await.unwrap();
        assert_eq!(referee.next().await, Sent::Ping(payload.into()));
        // The referee answers when it is next asked for something.
        assert_eq!(referee.next().await, Sent::text("go on"));
        assert_eq!(server.control().await, Control::Pong(payload.try_into().unwrap()));
    }
}

async fn an_empty_pong_reaches_the_handler_as_empty_bytes(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(frame(PONG, "")).await;
    assert!(server.control().await.payload().as_ref().is_empty());
}

async fn a_close_is_no_control(stage: &Stage) {
    let site = Site::echo().on_control(async |control| panic!("{control:?}"));
    let mut server = stage.start(site).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(close(1000, "bye")).await;
    assert_eq!(peer.close_frame().await, (Some(1000), String::new()));
    assert!(matches!(server.terminated().await, CloseReason::Remote { .. }));
    server.expect_nothing_more().await;
}

async fn an_empty_message_is_a_message(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send([frame(TEXT, ""), frame(BINARY, "")].concat()).await;
    assert_eq!(peer.frame().await, Frame::new(TEXT, ""));
    assert_eq!(peer.frame().await, Frame::new(BINARY, ""));
    assert_eq!(server.message().await, Message::Text("".into()));
    assert_eq!(server.message().await, Message::Binary(Vec::new().into()));
}

async fn a_pong_of_125_bytes_reaches_the_handler(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(frame(PONG, bytes(125))).await;
    assert_eq!(server.control().await, Control::Pong(bytes(125).try_into().unwrap()));
}
