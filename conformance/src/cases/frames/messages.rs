//! Frames as they may come, and what becomes of them: F2, F4, F5, F7-F9.

use websock_core::{Control, Message, Outcome};

use crate::payload::{bytes, text};
use crate::peer::{
    BINARY, CONTINUATION, FIN, Frame, PING, PONG, Peer, TEXT, close, frame, header, raw_frame,
};
use crate::server::Stage;
use crate::site::Site;

cases! {
    a_length_is_written_in_its_shortest_form: F8,
    controls_between_fragments_are_handled_at_once: F2,
    pings_are_answered_in_order: F9,
    a_message_that_comes_byte_by_byte_comes_whole: F7,
    unchecked_text_is_neither_checked_nor_changed: F4,
    one_frame_and_a_half_in_a_segment_are_two_messages: F7 L4,
    two_frames_in_a_segment_are_two_messages_in_order: F7 L4,
    a_header_that_stops_short_is_waited_for: F7,
    any_mask_is_taken_off: F1 F8,
    a_fragmented_text_in_one_segment_is_one_message: F5 L4,
    a_fragmented_text_in_many_segments_is_one_message: F5 F7 L4,
    fragmented_bytes_are_one_message: F5 L4,
    an_empty_last_fragment_ends_the_message: F5,
    an_empty_fragment_in_the_middle_is_legal: F5,
    a_message_of_empty_fragments_is_an_empty_message: F5,
    a_thousand_fragments_with_pings_between_are_one_message: F2 F9 L4,
    a_ping_between_fragments_is_handled_between_them: F2 L5,
    a_pong_between_fragments_is_handled_between_them: F2 L5,
    a_ping_of_125_bytes_is_answered: F2 L5,
    an_empty_ping_is_answered_with_an_empty_pong: F2 L5,
    many_messages_in_one_write_come_in_order: F7 L4,
    a_character_of_four_bytes_may_be_cut_between_fragments_and_reads: F4 F7,
    fragmented_text_that_is_not_checked_comes_unchanged: F4,
}

async fn a_length_is_written_in_its_shortest_form(stage: &Stage) {
    let server = stage.start(Site::echo()).await;
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

async fn controls_between_fragments_are_handled_at_once(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
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

async fn pings_are_answered_in_order(stage: &Stage) {
    let server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    let many: Vec<u8> = (0..1000_u32).flat_map(|number| frame(PING, number.to_be_bytes())).collect();
    peer.send(many).await;
    for number in 0..1000_u32 {
        assert_eq!(peer.frame().await, Frame::new(PONG, number.to_be_bytes()));
    }
}

async fn a_message_that_comes_byte_by_byte_comes_whole(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
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

async fn unchecked_text_is_neither_checked_nor_changed(stage: &Stage) {
    let mut server = stage.start(Site::echo().with_options(Site::usual_options().validate_utf8(false))).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(header(FIN | TEXT, 2, [0; 4])).await;
    peer.send([0xff, 0xfe]).await;
    assert_eq!(peer.frame().await, Frame::new(TEXT, [0xff, 0xfe]));
    assert_eq!(server.message().await, Message::UncheckedText(vec![0xff, 0xfe].into()));
}

async fn one_frame_and_a_half_in_a_segment_are_two_messages(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    let second = frame(TEXT, "second");
    peer.send([&frame(TEXT, "first")[..], &second[..7]].concat()).await;
    assert_eq!(peer.frame().await, Frame::new(TEXT, "first"));
    assert_eq!(server.message().await, Message::Text("first".into()));
    peer.send(&second[7..]).await;
    assert_eq!(peer.frame().await, Frame::new(TEXT, "second"));
    assert_eq!(server.message().await, Message::Text("second".into()));
}

async fn two_frames_in_a_segment_are_two_messages_in_order(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send([frame(TEXT, "first"), frame(BINARY, "second")].concat()).await;
    assert_eq!(peer.frame().await, Frame::new(TEXT, "first"));
    assert_eq!(peer.frame().await, Frame::new(BINARY, "second"));
    assert_eq!(server.message().await, Message::Text("first".into()));
    assert_eq!(server.message().await, Message::Binary("second".into()));
}

/// A ping before each cut tells by its pong that the server has read what came before.
async fn a_header_that_stops_short_is_waited_for(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    for size in [5, 200, 70_000] {
        let whole = frame(BINARY, bytes(size));
        for cut in 1..14 {
            peer.send([&frame(PING, "")[..], &whole[..cut.min(whole.len() - 1)]].concat()).await;
            assert_eq!(peer.frame().await, Frame::new(PONG, ""));
            server.control().await;
            peer.send(&whole[cut.min(whole.len() - 1)..]).await;
            assert!(peer.frame().await == Frame::new(BINARY, bytes(size)), "{size} bytes cut at {cut}");
            assert_eq!(server.message().await.len(), size);
        }
    }
}

async fn any_mask_is_taken_off(stage: &Stage) {
    let server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    for mask in [[0; 4], [0, 0, 0, 1], [1, 2, 3, 4], [0x80, 0, 0, 0], [0xff; 4], [0x37, 0xfa, 0x21, 0x3d]] {
        for size in 0..=65 {
            let payload = bytes(size);
            let masked = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
            let mut sent = header(FIN | BINARY, size as u64, mask);
            sent.extend(masked);
            peer.send(sent).await;
            assert_eq!(peer.frame().await, Frame::new(BINARY, payload), "{size} bytes under {mask:x?}");
        }
    }
}

/// Sends fragments, each in a write of its own or all in one, and sees that they are one message.
async fn expect_one_message(stage: &Stage, opcode: u8, fragments: &[&[u8]], in_one: bool) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    let last = fragments.len() - 1;
    let frames = fragments.iter().enumerate().map(|(at, fragment)| {
        let opcode = if at == 0 { opcode } else { CONTINUATION };
        raw_frame(if at == last { FIN | opcode } else { opcode }, fragment)
    });
    if in_one {
        peer.send(frames.collect::<Vec<_>>().concat()).await;
    } else {
        for frame in frames {
            peer.send(frame).await;
        }
    }
    let whole = fragments.concat();
    assert_eq!(peer.frame().await, Frame::new(opcode, &whole));
    let message = server.message().await;
    assert_eq!(matches!(message, Message::Text(_)), opcode == TEXT);
    assert_eq!(message.as_bytes(), whole);
    // And nothing else was handled.
    peer.send(close(1000, "")).await;
    assert_eq!(peer.close_frame().await, (Some(1000), String::new()));
    server.terminated().await;
    server.expect_nothing_more().await;
}

async fn a_fragmented_text_in_one_segment_is_one_message(stage: &Stage) {
    expect_one_message(stage, TEXT, &[b"first ", b"continued ", b"last"], true).await;
}

async fn a_fragmented_text_in_many_segments_is_one_message(stage: &Stage) {
    expect_one_message(stage, TEXT, &[b"first ", b"continued ", b"last"], false).await;
}

async fn fragmented_bytes_are_one_message(stage: &Stage) {
    expect_one_message(stage, BINARY, &[&[0xff; 300], &[0xfe; 3], &[0xfd]], true).await;
}

async fn an_empty_last_fragment_ends_the_message(stage: &Stage) {
    expect_one_message(stage, TEXT, &[b"all of it", b""], false).await;
}

async fn an_empty_fragment_in_the_middle_is_legal(stage: &Stage) {
    expect_one_message(stage, BINARY, &[b"one ", b"", b"", b"two"], true).await;
}

async fn a_message_of_empty_fragments_is_an_empty_message(stage: &Stage) {
    expect_one_message(stage, TEXT, &[b"", b"", b""], true).await;
}

async fn a_thousand_fragments_with_pings_between_are_one_message(stage: &Stage) {
    const COUNT: usize = 1000;
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    let mut sent = raw_frame(TEXT, "");
    for number in 0..COUNT {
        sent.extend(frame(PING, number.to_be_bytes()));
        sent.extend(raw_frame(CONTINUATION, "x"));
    }
    sent.extend(raw_frame(FIN | CONTINUATION, ""));
    peer.send(sent).await;
    for number in 0..COUNT {
        assert_eq!(peer.frame().await, Frame::new(PONG, number.to_be_bytes()));
        server.control().await;
    }
    assert_eq!(peer.frame().await, Frame::new(TEXT, "x".repeat(COUNT)));
    assert_eq!(server.message().await, Message::Text("x".repeat(COUNT).into()));
}

/// The handler pushes what it sees, so that the wire tells the order.
async fn expect_control_between(stage: &Stage, opcode: u8) {
    let site = Site::echo().on_control(async |control| Ok(Outcome::push(format!("{control:?}"))));
    let mut server = stage.start(site).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send([raw_frame(TEXT, "AB"), frame(opcode, "OK"), raw_frame(FIN | CONTINUATION, "CD")].concat())
        .await;
    if opcode == PING {
        assert_eq!(peer.frame().await, Frame::new(PONG, "OK"));
    }
    let control = server.control().await;
    assert_eq!(matches!(control, Control::Ping(_)), opcode == PING);
    assert_eq!(peer.frame().await, Frame::new(TEXT, format!("{control:?}")));
    assert_eq!(peer.frame().await, Frame::new(TEXT, "ABCD"));
    assert_eq!(server.message().await, Message::Text("ABCD".into()));
}

async fn a_ping_between_fragments_is_handled_between_them(stage: &Stage) {
    expect_control_between(stage, PING).await;
}

async fn a_pong_between_fragments_is_handled_between_them(stage: &Stage) {
    expect_control_between(stage, PONG).await;
}

async fn expect_pong(stage: &Stage, payload: Vec<u8>) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(frame(PING, &payload)).await;
    assert_eq!(peer.frame().await, Frame::new(PONG, &payload));
    assert_eq!(server.control().await.payload().as_ref(), payload);
}

async fn a_ping_of_125_bytes_is_answered(stage: &Stage) {
    expect_pong(stage, bytes(125)).await;
}

async fn an_empty_ping_is_answered_with_an_empty_pong(stage: &Stage) {
    expect_pong(stage, Vec::new()).await;
}

async fn many_messages_in_one_write_come_in_order(stage: &Stage) {
    const COUNT: u32 = 2000;
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send((0..COUNT).flat_map(|number| frame(BINARY, number.to_be_bytes())).collect::<Vec<_>>()).await;
    for number in 0..COUNT {
        assert_eq!(peer.frame().await, Frame::new(BINARY, number.to_be_bytes()));
        assert_eq!(server.message().await.as_bytes(), number.to_be_bytes());
    }
}

async fn a_character_of_four_bytes_may_be_cut_between_fragments_and_reads(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    let crab = "🦀".as_bytes();
    for cut in 1..4 {
        peer.send(raw_frame(TEXT, &crab[..cut])).await;
        // The pong tells that the first part was read alone.
        peer.send(frame(PING, "")).await;
        assert_eq!(peer.frame().await, Frame::new(PONG, ""));
        server.control().await;
        peer.send(raw_frame(FIN | CONTINUATION, &crab[cut..])).await;
        assert_eq!(peer.frame().await, Frame::new(TEXT, "🦀"), "cut at {cut}");
        assert_eq!(server.message().await, Message::Text("🦀".into()));
    }
}

async fn fragmented_text_that_is_not_checked_comes_unchanged(stage: &Stage) {
    let mut server = stage.start(Site::echo().with_options(Site::usual_options().validate_utf8(false))).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send([raw_frame(TEXT, [0xff]), raw_frame(FIN | CONTINUATION, [0xc3])].concat()).await;
    assert_eq!(peer.frame().await, Frame::new(TEXT, [0xff, 0xc3]));
    assert_eq!(server.message().await, Message::UncheckedText(vec![0xff, 0xc3].into()));
}
