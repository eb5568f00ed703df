//! Compressed messages of the client: C3, C4.

use websock_core::{CloseReason, Control, Deflate, Message, WindowBits};

use super::{
    BAD_TEXT, BYTES, Client, DOG, DOG_TEXT, FAR, FOX, FOX_TEXT, GREEK, GREEK_TEXT, JUMPS, JUMPS_TEXT, OFFER,
    alone, echo, noise, stored, takeover, twenty_times_sixteen,
};
use crate::peer::{BINARY, CONTINUATION, FIN, Frame, PING, PONG, RSV1, TEXT, close, frame, raw_frame};
use crate::server::Stage;

cases! {
    the_examples_of_the_rfc_say_hello: C4,
    compressed_text_is_inflated_and_answered_in_kind: C4 L4,
    compressed_bytes_are_inflated_and_answered_in_kind: C4 L4,
    compressed_text_in_fragments_is_one_message: C4 L4,
    compressed_bytes_in_fragments_are_one_message: C4 L4,
    a_fragment_of_a_compressed_message_may_end_anywhere: C4,
    pings_between_compressed_fragments_are_handled_between_them: C4 F2,
    a_compressed_message_may_come_byte_by_byte: C4 F7,
    a_compressed_message_may_come_with_the_request: C4 F7,
    empty_compressed_messages_are_messages: C4,
    uncompressed_messages_may_come_between_compressed_ones: C4,
    messages_may_refer_to_those_before_them: C3 C4,
    each_message_stands_for_itself_where_no_context_is_kept: C3 C4,
    messages_may_refer_as_far_back_as_a_window_reaches: C3 C4,
    messages_may_refer_back_within_a_small_window: C3 C4,
    a_close_within_a_compressed_message_drops_the_message: C4 X4,
    compressed_bytes_are_never_checked_for_utf8: C4 F4,
    many_compressed_messages_in_one_write_come_in_order: C4 F7,
}

/// A whole compressed message.
pub(super) fn whole(opcode: u8, deflated: impl AsRef<[u8]>) -> Vec<u8> {
    raw_frame(FIN | RSV1 | opcode, deflated)
}

/// A compressed message in these fragments.
pub(super) fn fragments(opcode: u8, fragments: &[&[u8]]) -> Vec<Vec<u8>> {
    let last = fragments.len() - 1;
    let first = |at| if at == 0 { RSV1 | opcode } else { CONTINUATION };
    let fin = |at| if at == last { FIN } else { 0 };
    fragments.iter().enumerate().map(|(at, fragment)| raw_frame(first(at) | fin(at), fragment)).collect()
}

/// RFC 7692 §7.2.3.
async fn the_examples_of_the_rfc_say_hello(stage: &Stage) {
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let examples = [
        whole(TEXT, hello),
        fragments(TEXT, &[&hello[..3], &hello[3..]]).concat(),
        // A stored block.
        whole(TEXT, [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00]),
        // A last block, and the beginning of another stream.
        whole(TEXT, [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00]),
        // Two blocks.
        whole(TEXT, [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00]),
    ];
    for deflate in [alone(), takeover()] {
        let server = stage.start(echo(deflate)).await;
        for example in &examples {
            // One behind the other, since none may spoil what follows it.
            let mut client = Client::offering(server.addr, OFFER).await;
            client.send([&example[..], &whole(TEXT, hello), example].concat()).await;
            for _ in 0..3 {
                assert_eq!(client.any().await, Frame::new(TEXT, "Hello"), "{example:x?}");
            }
        }
    }
    // The second refers to the first.
    let server = stage.start(echo(takeover())).await;
    let mut client = Client::offering(server.addr, OFFER).await;
    client.send([whole(TEXT, hello), whole(TEXT, [0xf2, 0x00, 0x11, 0x00, 0x00])].concat()).await;
    assert_eq!(client.any().await, Frame::new(TEXT, "Hello"));
    assert_eq!(client.any().await, Frame::new(TEXT, "Hello"));
}

async fn compressed_text_is_inflated_and_answered_in_kind(stage: &Stage) {
    for deflate in [alone(), takeover()] {
        let mut server = stage.start(echo(deflate)).await;
        let mut client = Client::offering(server.addr, OFFER).await;
        server.init().await;
        for (deflated, text) in [(&FOX[..], FOX_TEXT), (&GREEK, GREEK_TEXT)] {
            // What is too short to become smaller may go as it is.
            client.send(whole(TEXT, deflated)).await;
            assert_eq!(server.message().await, Message::Text(text.into()));
            assert_eq!(client.any().await, Frame::new(TEXT, text));
        }
        // Stored, and so this long text comes smaller than it went.
        let text = super::prose(5000);
        client.send(whole(TEXT, stored(text.as_bytes(), 1000))).await;
        assert_eq!(server.message().await, Message::Text((&text).into()));
        let (frame, length) = client.compressed().await;
        assert_eq!(frame, Frame::new(TEXT, &text));
        assert!(length < 500, "{length}");
    }
}

async fn compressed_bytes_are_inflated_and_answered_in_kind(stage: &Stage) {
    for deflate in [alone(), takeover()] {
        let mut server = stage.start(echo(deflate)).await;
        let mut client = Client::offering(server.addr, OFFER).await;
        server.init().await;
        client.send(whole(BINARY, BYTES)).await;
        assert_eq!(server.message().await, Message::Binary(twenty_times_sixteen().into()));
        let (frame, length) = client.compressed().await;
        assert_eq!(frame, Frame::new(BINARY, twenty_times_sixteen()));
        assert!(length < 100, "{length}");
    }
}

async fn compressed_text_in_fragments_is_one_message(stage: &Stage) {
    let mut server = stage.start(echo(alone())).await;
    let mut client = Client::offering(server.addr, OFFER).await;
    server.init().await;
    // With an empty fragment in the middle, and one at the end.
    for fragment in fragments(TEXT, &[&GREEK[..5], &[], &GREEK[5..6], &GREEK[6..], &[]]) {
        client.send(fragment).await;
    }
    assert_eq!(server.message().await, Message::Text(GREEK_TEXT.into()));
    assert_eq!(client.any().await, Frame::new(TEXT, GREEK_TEXT));
    // And an empty first one.
    client.send(fragments(TEXT, &[&[], &FOX]).concat()).await;
    assert_eq!(server.message().await, Message::Text(FOX_TEXT.into()));
}

async fn compressed_bytes_in_fragments_are_one_message(stage: &Stage) {
    let mut server = stage.start(echo(takeover())).await;
    let mut client = Client::offering(server.addr, OFFER).await;
    server.init().await;
    for fragment in fragments(BINARY, &[&BYTES[..20], &BYTES[20..]]) {
        client.send(fragment).await;
    }
    assert_eq!(server.message().await, Message::Binary(twenty_times_sixteen().into()));
    assert_eq!(client.compressed().await.0, Frame::new(BINARY, twenty_times_sixteen()));
}

/// Also within what ends the data, the same for every message.
async fn a_fragment_of_a_compressed_message_may_end_anywhere(stage: &Stage) {
    for deflate in [alone(), takeover()] {
        let mut server = stage.start(echo(deflate)).await;
        let mut client = Client::offering(server.addr, OFFER).await;
        server.init().await;
        for cut in 0..=FOX.len() {
            client.send(fragments(TEXT, &[&FOX[..cut], &FOX[cut..]]).concat()).await;
            assert_eq!(client.any().await, Frame::new(TEXT, FOX_TEXT), "cut at {cut}");
            assert_eq!(server.message().await, Message::Text(FOX_TEXT.into()), "cut at {cut}");
        }
    }
}

async fn pings_between_compressed_fragments_are_handled_between_them(stage: &Stage) {
    let mut server = stage.start(echo(alone())).await;
    let mut client = Client::offering(server.addr, OFFER).await;
    server.init().await;
    let [first, second, third]: [_; 3] =
        fragments(TEXT, &[&GREEK[..3], &GREEK[3..9], &GREEK[9..]]).try_into().unwrap();
    client.send([first, frame(PING, "1"), second].concat()).await;
    assert_eq!(client.plain().await, Frame::new(PONG, "1"));
    assert!(matches!(server.control().await, Control::Ping(payload) if &payload[..] == b"1"));
    client.send([frame(PING, "2"), frame(PONG, "3"), third].concat()).await;
    assert_eq!(client.plain().await, Frame::new(PONG, "2"));
    assert_eq!(client.any().await, Frame::new(TEXT, GREEK_TEXT));
    server.control().await;
    server.control().await;
    assert_eq!(server.message().await, Message::Text(GREEK_TEXT.into()));
}

async fn a_compressed_message_may_come_byte_by_byte(stage: &Stage) {
    let mut server = stage.start(echo(takeover())).await;
    let mut client = Client::offering(server.addr, OFFER).await;
    server.init().await;
    for byte in [whole(TEXT, FOX), whole(TEXT, JUMPS), whole(BINARY, BYTES)].concat() {
        client.send([byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(server.message().await, Message::Text(FOX_TEXT.into()));
    assert_eq!(server.message().await, Message::Text(JUMPS_TEXT.into()));
    assert_eq!(server.message().await, Message::Binary(twenty_times_sixteen().into()));
}

async fn a_compressed_message_may_come_with_the_request(stage: &Stage) {
    let server = stage.start(echo(takeover())).await;
    let request = super::offering(server.addr, OFFER).bytes();
    let mut client = Client::sending(server.addr, &[request, whole(TEXT, FOX)].concat()).await;
    assert_eq!(client.any().await, Frame::new(TEXT, FOX_TEXT));
    client.send(whole(TEXT, JUMPS)).await;
    assert_eq!(client.any().await, Frame::new(TEXT, JUMPS_TEXT));
}

async fn empty_compressed_messages_are_messages(stage: &Stage) {
    for deflate in [alone(), takeover()] {
        let mut server = stage.start(echo(deflate)).await;
        let mut client = Client::offering(server.addr, OFFER).await;
        server.init().await;
        let empty = [
            whole(TEXT, [0x00]),
            whole(BINARY, [0x00]),
            // A block of no bytes, with fixed codes; and a last one.
            whole(TEXT, [0x02, 0x00]),
            whole(BINARY, [0x03, 0x00]),
            fragments(TEXT, &[&[], &[0x00], &[]]).concat(),
        ];
        for deflated in empty {
            client.send(&deflated).await;
            assert!(server.message().await.is_empty(), "{deflated:x?}");
            assert_eq!(client.any().await.payload, b"", "{deflated:x?}");
        }
        client.send(whole(TEXT, FOX)).await;
        assert_eq!(server.message().await, Message::Text(FOX_TEXT.into()));
        assert_eq!(client.any().await, Frame::new(TEXT, FOX_TEXT));
    }
}

async fn uncompressed_messages_may_come_between_compressed_ones(stage: &Stage) {
    let mut server = stage.start(echo(takeover())).await;
    let mut client = Client::offering(server.addr, OFFER).await;
    server.init().await;
    let plain = [raw_frame(TEXT, "pl"), raw_frame(FIN | CONTINUATION, "ain")].concat();
    client
        .send([whole(TEXT, FOX), frame(TEXT, "plain"), whole(TEXT, JUMPS), plain, whole(TEXT, DOG)].concat())
        .await;
    for text in [FOX_TEXT, "plain", JUMPS_TEXT, "plain", DOG_TEXT] {
        assert_eq!(server.message().await, Message::Text(text.into()));
        assert_eq!(client.any().await, Frame::new(TEXT, text));
    }
}

async fn messages_may_refer_to_those_before_them(stage: &Stage) {
    // Whatever becomes of the server's own messages.
    for (deflate, offer) in [
        (takeover(), OFFER),
        (alone().client_context_takeover(true), OFFER),
        (takeover(), "permessage-deflate; server_no_context_takeover"),
    ] {
        let mut server = stage.start(echo(deflate)).await;
        let mut client = Client::offering(server.addr, offer).await;
        server.init().await;
        for (deflated, text) in [(&FOX[..], FOX_TEXT), (&JUMPS, JUMPS_TEXT), (&DOG, DOG_TEXT)] {
            client.send(whole(TEXT, deflated)).await;
            assert_eq!(server.message().await, Message::Text(text.into()), "{offer}");
        }
        // Another connection has a context of its own.
        let mut other = Client::offering(server.addr, offer).await;
        other.send(whole(TEXT, JUMPS)).await;
        assert_eq!(other.peer.close_frame().await, (Some(1007), String::new()), "{offer}");
    }
}

async fn each_message_stands_for_itself_where_no_context_is_kept(stage: &Stage) {
    for (deflate, offer) in [
        (alone(), OFFER),
        (alone().server_context_takeover(true), OFFER),
        (takeover(), "permessage-deflate; client_no_context_takeover"),
    ] {
        let mut server = stage.start(echo(deflate)).await;
        let mut client = Client::offering(server.addr, offer).await;
        server.init().await;
        client.send([whole(TEXT, FOX), whole(TEXT, GREEK)].concat()).await;
        assert_eq!(client.any().await, Frame::new(TEXT, FOX_TEXT), "{offer}");
        assert_eq!(client.any().await, Frame::new(TEXT, GREEK_TEXT), "{offer}");
        client.send([whole(TEXT, FOX), whole(TEXT, JUMPS)].concat()).await;
        assert_eq!(client.any().await, Frame::new(TEXT, FOX_TEXT), "{offer}");
        assert_eq!(client.peer.close_frame().await, (Some(1007), String::new()), "{offer}");
        for _ in 0..3 {
            server.message().await;
        }
        assert!(matches!(server.terminated().await, CloseReason::Error(_)), "{offer}");
    }
}

/// Sends 32 KiB in stored blocks, and a message that refers to the beginning of it.
pub(super) async fn refer_far_back(client: &mut Client) {
    let noise = noise(32_768);
    client.send(whole(BINARY, stored(&noise, 8192))).await;
    assert_eq!(client.any().await, Frame::new(BINARY, &noise));
    client.send(whole(BINARY, FAR)).await;
    assert_eq!(client.any().await, Frame::new(BINARY, &noise[300..558]));
}

async fn messages_may_refer_as_far_back_as_a_window_reaches(stage: &Stage) {
    let server = stage.start(echo(takeover())).await;
    for offer in [OFFER, "permessage-deflate; client_max_window_bits"] {
        refer_far_back(&mut Client::offering(server.addr, offer).await).await;
    }
}

/// The messages of a stream with a window of 9 bits: `noise(500)` and `noise(500)[300..400]`.
async fn messages_may_refer_back_within_a_small_window(stage: &Stage) {
    let small: Deflate = takeover().client_max_window_bits(WindowBits::MIN);
    for (deflate, offer) in [
        (small, "permessage-deflate; client_max_window_bits"),
        (takeover(), "permessage-deflate; client_max_window_bits=9"),
    ] {
        let server = stage.start(echo(deflate)).await;
        let mut client = Client::offering(server.addr, offer).await;
        assert_eq!(client.agreed.as_deref(), Some("permessage-deflate; client_max_window_bits=9"));
        let noise = noise(500);
        client
            .send(
                [whole(BINARY, stored(&noise, 500)), whole(BINARY, [0xa2, 0x87, 0x3f, 0x00, 0x00])].concat(),
            )
            .await;
        assert_eq!(client.any().await, Frame::new(BINARY, &noise));
        assert_eq!(client.any().await, Frame::new(BINARY, &noise[300..400]));
    }
}

async fn a_close_within_a_compressed_message_drops_the_message(stage: &Stage) {
    for deflate in [alone(), takeover()] {
        let mut server = stage.start(echo(deflate)).await;
        let mut client = Client::offering(server.addr, OFFER).await;
        server.init().await;
        client.send([raw_frame(RSV1 | TEXT, FOX), close(4000, "bye")].concat()).await;
        assert_eq!(client.peer.close_frame().await, (Some(4000), String::new()));
        client.peer.end().await;
        assert!(matches!(server.terminated().await, CloseReason::Remote { reason, .. } if reason == "bye"));
        server.expect_nothing_more().await;
    }
}

async fn many_compressed_messages_in_one_write_come_in_order(stage: &Stage) {
    let server = stage.start(echo(alone())).await;
    let mut client = Client::offering(server.addr, OFFER).await;
    let messages =
        [whole(TEXT, FOX), whole(BINARY, BYTES), whole(TEXT, GREEK), frame(TEXT, "plain")].concat();
    client.send(messages.repeat(100)).await;
    for _ in 0..100 {
        assert_eq!(client.any().await, Frame::new(TEXT, FOX_TEXT));
        assert_eq!(client.compressed().await.0, Frame::new(BINARY, twenty_times_sixteen()));
        assert_eq!(client.any().await, Frame::new(TEXT, GREEK_TEXT));
        assert_eq!(client.any().await, Frame::new(TEXT, "plain"));
    }
}

async fn compressed_bytes_are_never_checked_for_utf8(stage: &Stage) {
    let mut server = stage.start(echo(alone())).await;
    let mut client = Client::offering(server.addr, OFFER).await;
    server.init().await;
    client.send([whole(BINARY, BAD_TEXT), whole(TEXT, FOX)].concat()).await;
    assert_eq!(server.message().await, Message::Binary(b"good \xff bad"[..].into()));
    assert_eq!(server.message().await, Message::Text(FOX_TEXT.into()));
}
