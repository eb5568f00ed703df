//! What a peer must not send, its close code, and that it can read it: F1-F5, F8, X6.

use std::num::NonZeroUsize;

use tokio::io::AsyncWriteExt;
use websock_hyper::{CloseReason, Error, Message, Options, Outcome, ProtocolError, TooBig};

use crate::peer::{
    BINARY, CLOSE, CONTINUATION, FIN, Frame, PING, PONG, Peer, TEXT, close, frame, header, raw_frame, soon,
};
use crate::site::{Host, Server, Site};

on_every_host! {
    a_header_that_breaks_a_rule_is_enough_for_1002,
    a_continuation_out_of_place_closes_with_1002,
    text_that_is_not_utf8_closes_with_1007_before_it_is_complete,
    utf8_is_checked_across_frames_and_cut_characters,
    a_frame_over_its_limit_closes_with_1009_from_its_header,
    a_message_over_its_limit_closes_with_1009_from_the_header_that_passes_it,
    a_message_of_exactly_the_limits_is_no_violation,
    too_many_fragments_close_with_1009,
    messages_before_a_violation_are_handled,
    the_close_can_be_read_by_a_peer_that_first_sends_ten_megabytes_more,
    the_close_of_a_stop_can_be_read_by_a_peer_that_is_sending,
    the_close_can_be_read_while_sending_goes_on,
}

const ZERO: [u8; 4] = [0; 4];

/// Sends the bytes, and sees that they are answered with the code and nothing else.
async fn violate(server: &mut Server, bytes: &[u8], code: u16) -> Error {
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(bytes).await;
    assert_eq!(peer.close_frame().await, (Some(code), String::new()), "{bytes:x?}");
    peer.end().await;
    match server.terminated().await {
        CloseReason::Error(error) => error,
        other => panic!("{other:?} of {bytes:x?}"),
    }
}

async fn expect_protocol_error(host: Host, cases: Vec<(Vec<u8>, ProtocolError)>, code: u16) {
    let mut server = host.start(Site::echo());
    for (bytes, expected) in cases {
        let error = violate(&mut server, &bytes, code).await;
        assert!(matches!(error, Error::Protocol(error) if error == expected), "{error:?}, not {expected:?}");
    }
    server.expect_nothing_more().await;
}

/// F1, F2, F8. No payload follows any of these.
async fn a_header_that_breaks_a_rule_is_enough_for_1002(host: Host) {
    use ProtocolError::*;
    let mut cases = vec![
        (vec![FIN | TEXT, 5], Unmasked),
        (vec![FIN | CLOSE, 0], Unmasked),
        (vec![FIN | 0x40 | TEXT], ReservedBits(4)),
        (vec![FIN | 0x20 | TEXT], ReservedBits(2)),
        (vec![FIN | 0x10 | BINARY], ReservedBits(1)),
        (vec![FIN | 0x40 | PING], ReservedBits(4)),
        (vec![FIN | 0x70 | CONTINUATION], ReservedBits(7)),
        (vec![PING], FragmentedControl),
        (vec![PONG, 0x80], FragmentedControl),
        (vec![CLOSE, 0x82], FragmentedControl),
        (vec![FIN | PING, 0x80 | 126], ControlTooLong),
        (vec![FIN | PONG, 0x80 | 127], ControlTooLong),
        (header(FIN | CLOSE, 126, ZERO), ControlTooLong),
        (vec![FIN | TEXT, 0x80 | 126, 0, 125], NonMinimalLength),
        (vec![FIN | BINARY, 0x80 | 126, 0, 0], NonMinimalLength),
        ([&[FIN | BINARY, 0x80 | 127][..], &0xffff_u64.to_be_bytes()].concat(), NonMinimalLength),
        ([&[FIN | BINARY, 0x80 | 127][..], &(1_u64 << 63).to_be_bytes()].concat(), LengthTopBit),
        ([&[FIN | BINARY, 0x80 | 127][..], &u64::MAX.to_be_bytes()].concat(), LengthTopBit),
    ];
    for opcode in [0x3, 0x4, 0x5, 0x6, 0x7, 0xb, 0xc, 0xd, 0xe, 0xf] {
        cases.push((vec![FIN | opcode], UnknownOpcode(opcode)));
    }
    expect_protocol_error(host, cases, 1002).await;
}

/// F3.
async fn a_continuation_out_of_place_closes_with_1002(host: Host) {
    use ProtocolError::*;
    let start = raw_frame(TEXT, "start");
    let cases = vec![
        (header(FIN | CONTINUATION, 5, ZERO), UnexpectedContinuation),
        (header(CONTINUATION, 0, ZERO), UnexpectedContinuation),
        ([start.clone(), header(FIN | TEXT, 5, ZERO)].concat(), UnfinishedMessage),
        ([start, frame(PING, ""), header(BINARY, 5, ZERO)].concat(), UnfinishedMessage),
    ];
    let mut server = host.start(Site::echo());
    for (bytes, expected) in cases {
        let mut peer = Peer::upgraded(server.addr).await;
        server.init().await;
        peer.send(&bytes).await;
        if bytes.len() > 20 {
            assert_eq!(peer.frame().await, Frame::new(PONG, ""));
            server.control().await;
        }
        assert_eq!(peer.close_frame().await, (Some(1002), String::new()), "{bytes:x?}");
        let reason = server.terminated().await;
        assert!(
            matches!(reason, CloseReason::Error(Error::Protocol(error)) if error == expected),
            "{expected:?}"
        );
    }
}

/// F4.
async fn text_that_is_not_utf8_closes_with_1007_before_it_is_complete(host: Host) {
    let claimed = |bytes: &[u8]| [&header(FIN | TEXT, 1000, ZERO)[..], bytes].concat();
    let bad: [&[u8]; 7] = [
        b"\xff",
        b"fine until \xc0\xaf",
        b"surrogate \xed\xa0\x80",
        b"too high \xf4\x90\x80\x80",
        b"lone \x80",
        b"overlong \xe0\x80",
        b"\xc3(",
    ];
    let mut cases: Vec<_> = bad.iter().map(|bytes| claimed(bytes)).collect();
    cases.extend(bad.iter().map(|bytes| raw_frame(TEXT, bytes)));
    cases.extend(bad.iter().map(|bytes| frame(TEXT, bytes)));
    // Fine as far as it goes, but the message ends there.
    cases.push(frame(TEXT, b"\xe4\xb8"));
    cases.push([raw_frame(TEXT, b"\xf0\x9f"), raw_frame(FIN | CONTINUATION, b"\xa6")].concat());
    let cases = cases.into_iter().map(|bytes| (bytes, ProtocolError::TextNotUtf8)).collect();
    expect_protocol_error(host, cases, 1007).await;
}

async fn utf8_is_checked_across_frames_and_cut_characters(host: Host) {
    let mut server = host.start(Site::echo());
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(raw_frame(TEXT, b"\xf0\x9f")).await;
    peer.send(raw_frame(CONTINUATION, b"\xa6")).await;
    peer.send(raw_frame(FIN | CONTINUATION, b"\x80!")).await;
    assert_eq!(peer.frame().await, Frame::new(TEXT, "🦀!"));
    // The second frame's first byte cannot go on with what the first one began.
    peer.send(raw_frame(TEXT, b"\xf0\x9f")).await;
    peer.send([&header(CONTINUATION, 50, ZERO)[..], b"("].concat()).await;
    assert_eq!(peer.close_frame().await, (Some(1007), String::new()));
    server.message().await;
    let reason = server.terminated().await;
    assert!(matches!(reason, CloseReason::Error(Error::Protocol(ProtocolError::TextNotUtf8))), "{reason:?}");
}

fn limits() -> Options {
    let size = |size| NonZeroUsize::new(size).unwrap();
    Options::default().max_frame_size(size(1000)).max_message_size(size(1500)).max_fragments(size(4))
}

/// F5.
async fn a_frame_over_its_limit_closes_with_1009_from_its_header(host: Host) {
    let mut server = host.start(Site::echo().options(limits()));
    for length in [1001, 70_000, 1 << 62] {
        let error = violate(&mut server, &header(FIN | BINARY, length, ZERO), 1009).await;
        assert!(matches!(error, Error::TooBig(TooBig::Frame { limit: 1000 })), "{error:?}");
    }
    server.expect_nothing_more().await;
}

async fn a_message_over_its_limit_closes_with_1009_from_the_header_that_passes_it(host: Host) {
    let mut server = host.start(Site::echo().options(limits()));
    let bytes = [raw_frame(BINARY, [1; 900]), header(CONTINUATION, 601, ZERO)].concat();
    let error = violate(&mut server, &bytes, 1009).await;
    assert!(matches!(error, Error::TooBig(TooBig::Message { limit: 1500 })), "{error:?}");

    // The default bounds frames too.
    let mut server = host.start(Site::echo());
    let error = violate(&mut server, &header(BINARY, 10_000_001, ZERO), 1009).await;
    assert!(matches!(error, Error::TooBig(TooBig::Message { limit: 10_000_000 })), "{error:?}");
}

async fn a_message_of_exactly_the_limits_is_no_violation(host: Host) {
    let mut server = host.start(Site::echo().options(limits()));
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(raw_frame(BINARY, [1; 1000])).await;
    peer.send(raw_frame(CONTINUATION, [1; 500])).await;
    peer.send(raw_frame(CONTINUATION, "")).await;
    peer.send(raw_frame(FIN | CONTINUATION, "")).await;
    assert_eq!(peer.frame().await, Frame::new(BINARY, [1; 1500]));
}

async fn too_many_fragments_close_with_1009(host: Host) {
    let mut server = host.start(Site::echo().options(limits()));
    let mut bytes = raw_frame(TEXT, "");
    for _ in 0..3 {
        bytes.extend(raw_frame(CONTINUATION, ""));
    }
    bytes.extend(header(FIN | CONTINUATION, 5, ZERO));
    let error = violate(&mut server, &bytes, 1009).await;
    assert!(matches!(error, Error::TooBig(TooBig::Fragments { limit: 4 })), "{error:?}");
}

/// X8.
async fn messages_before_a_violation_are_handled(host: Host) {
    let mut server = host.start(Site::echo());
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send([frame(TEXT, "one"), frame(TEXT, "two"), vec![0x83]].concat()).await;
    assert_eq!(peer.frame().await, Frame::new(TEXT, "one"));
    assert_eq!(peer.frame().await, Frame::new(TEXT, "two"));
    assert_eq!(peer.close_frame().await, (Some(1002), String::new()));
    assert_eq!(server.message().await, Message::Text("one".into()));
    assert_eq!(server.message().await, Message::Text("two".into()));
    assert!(matches!(server.terminated().await, CloseReason::Error(Error::Protocol(_))));
}

const MUCH: usize = 10 << 20;

/// X6: not a byte is read before everything is sent, so a reset would have eaten the Close frame.
async fn the_close_can_be_read_by_a_peer_that_first_sends_ten_megabytes_more(host: Host) {
    let mut server = host.start(Site::echo().options(Options::default()));
    for (violation, code) in [
        (vec![FIN | TEXT, 5], 1002),
        (frame(TEXT, b"\xff"), 1007),
        (header(FIN | BINARY, MUCH as u64, ZERO), 1009),
        (close(5000, ""), 1002),
        (close(1000, ""), 1000),
    ] {
        let mut peer = Peer::upgraded(server.addr).await;
        server.init().await;
        peer.send(violation).await;
        peer.send(vec![0x55; MUCH]).await;
        assert_eq!(peer.close_frame().await, (Some(code), String::new()));
        peer.end().await;
        peer.finish().await;
        server.terminated().await;
    }
}

async fn the_close_of_a_stop_can_be_read_by_a_peer_that_is_sending(host: Host) {
    let mut server =
        host.start(Site::new(async |_| Ok(Outcome::stop().with(["enough"]))).options(Options::default()));
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    let message = frame(BINARY, vec![1; 64 * 1024]);
    peer.send(message.repeat(MUCH / message.len())).await;
    assert_eq!(peer.frame().await, Frame::new(TEXT, "enough"));
    assert_eq!(peer.close_frame().await, (Some(1000), String::new()));
    peer.end().await;
    server.message().await;
    assert!(matches!(server.terminated().await, CloseReason::Normal));
}

async fn the_close_can_be_read_while_sending_goes_on(host: Host) {
    let mut server = host.start(Site::echo());
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    let bytes = [raw_frame(CONTINUATION, ""), vec![0; MUCH]].concat();
    let (sent, close) =
        tokio::join!(soon("sending", peer.writer.write_all(&bytes)), peer.reader.close_frame());
    sent.unwrap();
    assert_eq!(close, (Some(1002), String::new()));
    peer.end().await;
    server.terminated().await;
}
