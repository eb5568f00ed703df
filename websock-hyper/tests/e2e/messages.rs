//! Messages, fragments, pings: L4, L5, L6, O2, O11, F2-F4, F7-F9.

use websock_hyper::{Control, ControlPayload, Frame as Push, Message, Options, Outcome};

use crate::peer::{
    BINARY, CONTINUATION, FIN, Frame, PING, PONG, Peer, TEXT, close, frame, header, raw_frame, soon,
};
use crate::referee::Referee;
use crate::site::{Host, Site};

on_every_host! {
    a_message_of_any_size_comes_back,
    the_referee_gets_back_what_it_sent,
    a_length_is_written_in_its_shortest_form,
    fragments_are_joined_and_keep_the_opcode_of_the_first,
    controls_between_fragments_are_handled_at_once,
    a_ping_is_answered_with_its_payload_before_the_handler_sees_it,
    a_pong_does_not_wait_for_a_callback,
    pings_are_answered_in_order,
    an_unasked_pong_reaches_the_handler_and_is_not_answered,
    a_message_that_comes_byte_by_byte_comes_whole,
    pushes_of_every_kind_go_out_in_order,
    unchecked_text_is_neither_checked_nor_changed,
}

const SIZES: [usize; 9] = [0, 1, 125, 126, 127, 65_535, 65_536, 65_537, 4 << 20];

/// Bytes in which no shift and no repetition goes unseen.
fn bytes(length: usize) -> Vec<u8> {
    (0..length as u64).map(|at| at.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[0]).collect()
}

/// Text of this many bytes.
fn text(length: usize) -> String {
    let unit = "Grüße, 世界! 🦀 ";
    let mut text = unit.repeat(length / unit.len());
    text.extend(std::iter::repeat_n('.', length - text.len()));
    text
}

async fn a_message_of_any_size_comes_back(host: Host) {
    let mut server = host.start(Site::echo());
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    for size in SIZES {
        for (opcode, payload) in [(TEXT, text(size).into_bytes()), (BINARY, bytes(size))] {
            let sent = frame(opcode, &payload);
            // A message that fits into no buffer has to be sent while its echo is read.
            let (sending, echo) = tokio::join!(
                tokio::io::AsyncWriteExt::write_all(&mut peer.writer, &sent),
                peer.reader.frame()
            );
            sending.unwrap();
            assert!(echo == Frame::new(opcode, &payload), "{size} bytes as {opcode}");
            let message = server.message().await;
            assert_eq!(matches!(message, Message::Text(_)), opcode == TEXT);
            assert!(message.as_bytes() == payload, "{size} bytes as {opcode}");
        }
    }
}

async fn the_referee_gets_back_what_it_sent(host: Host) {
    let server = host.start(Site::echo());
    let mut referee = Referee::connect(server.addr).await;
    for size in SIZES {
        referee.send(text(size)).await;
        assert!(referee.next().await.into_text().unwrap() == text(size), "{size} bytes of text");
        referee.send(bytes(size)).await;
        assert!(referee.next().await.into_data() == bytes(size), "{size} bytes");
    }
}

async fn a_length_is_written_in_its_shortest_form(host: Host) {
    let server = host.start(Site::echo());
    let mut peer = Peer::upgraded(server.addr).await;
    for (size, head) in [
        (0, &[0x82, 0][..]),
        (125, &[0x82, 125]),
        (126, &[0x82, 126, 0, 126]),
        (65_535, &[0x82, 126, 0xff, 0xff]),
        (65_536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
    ] {
        peer.send(frame(BINARY, bytes(size))).await;
        let echo = peer.reader.take(head.len() + size).await;
        assert_eq!(&echo[..head.len()], head);
    }
}

async fn fragments_are_joined_and_keep_the_opcode_of_the_first(host: Host) {
    let mut server = host.start(Site::echo());
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

async fn controls_between_fragments_are_handled_at_once(host: Host) {
    let mut server = host.start(Site::echo());
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(raw_frame(TEXT, "be")).await;
    peer.send(frame(PING, "now")).await;
    assert_eq!(peer.frame().await, Frame::new(PONG, "now"));
    assert_eq!(server.control().await, Control::Ping("now".try_into().unwrap()));
    peer.send(frame(PONG, "too")).await;
    assert_eq!(server.control().await, Control::Pong("too".try_into().unwrap()));
    peer.send(raw_frame(FIN | CONTINUATION, "fore")).await;
    assert_eq!(peer.frame().await, Frame::new(TEXT, "before"));
    assert_eq!(server.message().await, Message::Text("before".into()));
}

async fn a_ping_is_answered_with_its_payload_before_the_handler_sees_it(host: Host) {
    let mut server = host.start(Site::echo());
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    for payload in [vec![], vec![0], bytes(125)] {
        peer.send(frame(PING, &payload)).await;
        assert_eq!(peer.frame().await, Frame::new(PONG, &payload));
        assert_eq!(server.control().await, Control::Ping(payload.try_into().unwrap()));
    }
}

async fn a_pong_does_not_wait_for_a_callback(host: Host) {
    let mut server = host.start(Site::echo().on_control(async |_| std::future::pending().await));
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send([frame(TEXT, "first"), frame(PING, "second")].concat()).await;
    assert_eq!(peer.frame().await, Frame::new(TEXT, "first"));
    assert_eq!(peer.frame().await, Frame::new(PONG, "second"));
}

async fn pings_are_answered_in_order(host: Host) {
    let server = host.start(Site::echo());
    let mut peer = Peer::upgraded(server.addr).await;
    let many: Vec<u8> = (0..1000_u32).flat_map(|number| frame(PING, number.to_be_bytes())).collect();
    peer.send(many).await;
    for number in 0..1000_u32 {
        assert_eq!(peer.frame().await, Frame::new(PONG, number.to_be_bytes()));
    }
}

async fn an_unasked_pong_reaches_the_handler_and_is_not_answered(host: Host) {
    let mut server = host.start(Site::echo());
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(frame(PONG, "unasked")).await;
    assert_eq!(server.control().await, Control::Pong("unasked".try_into().unwrap()));
    // Were there an answer, it would come before this one's.
    peer.send(frame(TEXT, "next")).await;
    assert_eq!(peer.frame().await, Frame::new(TEXT, "next"));
}

async fn a_message_that_comes_byte_by_byte_comes_whole(host: Host) {
    let mut server = host.start(Site::echo());
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    let whole =
        [frame(TEXT, text(300)), frame(PING, "p"), raw_frame(BINARY, "a"), raw_frame(0x80, "b")].concat();
    for byte in whole {
        peer.send([byte]).await;
    }
    assert_eq!(peer.frame().await, Frame::new(TEXT, text(300)));
    assert_eq!(peer.frame().await, Frame::new(PONG, "p"));
    assert_eq!(peer.frame().await, Frame::new(BINARY, "ab"));
    peer.send(close(1000, "")).await;
    assert_eq!(peer.close_frame().await, (Some(1000), String::new()));
}

async fn pushes_of_every_kind_go_out_in_order(host: Host) {
    let mut server = host.start(Site::echo().on_init(async |_| Ok(Outcome::push("from init"))));
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

async fn unchecked_text_is_neither_checked_nor_changed(host: Host) {
    let mut server = host.start(Site::echo().options(Options::default().validate_utf8(false)));
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(header(FIN | TEXT, 2, [0; 4])).await;
    peer.send([0xff, 0xfe]).await;
    assert_eq!(peer.frame().await, Frame::new(TEXT, [0xff, 0xfe]));
    assert_eq!(server.message().await, Message::UncheckedText(vec![0xff, 0xfe].into()));
}
