//! Text that is none, and messages over their limits: F4, F5.

use std::num::NonZeroUsize;

use websock_core::{CloseReason, Error, Message, Options, Outcome, ProtocolError, TooBig};

use crate::peer::{BINARY, CONTINUATION, FIN, Frame, Peer, Request, TEXT, frame, header, raw_frame};
use crate::server::{Server, Stage};
use crate::site::Site;

cases! {
    text_that_is_not_utf8_closes_with_1007_before_it_is_complete: F4,
    utf8_is_checked_across_frames_and_cut_characters: F4,
    a_frame_over_its_limit_closes_with_1009_from_its_header: F5,
    a_message_over_its_limit_closes_with_1009_from_the_header_that_passes_it: F5,
    a_message_of_exactly_the_limits_is_no_violation: F5,
    too_many_fragments_close_with_1009: F5,
    a_fragment_that_passes_the_message_limit_closes_with_1009: F5,
    a_last_fragment_that_passes_the_message_limit_closes_with_1009: F5,
    a_message_of_exactly_the_default_limit_is_handled: F5,
    the_default_number_of_fragments_is_a_limit_too: F5,
    the_stricter_of_two_limits_holds: F5 E4,
    an_http_request_behind_the_upgrade_is_no_http_any_more: F1 F7,
    text_in_fragments_that_is_not_utf8_closes_with_1007: F4,
    bytes_are_never_checked_for_utf8: F4,
}

const ZERO: [u8; 4] = [0; 4];

/// Sends the bytes, and sees that they are answered with the code and nothing else.
async fn violate(server: &mut Server, bytes: &[u8], code: u16) -> Error {
    let (mut peer, error) = provoke(server, bytes, code).await;
    peer.end().await;
    error
}

/// The peer has yet to see the end.
async fn provoke(server: &mut Server, bytes: &[u8], code: u16) -> (Peer, Error) {
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(bytes).await;
    assert_eq!(peer.close_frame().await, (Some(code), String::new()), "{bytes:x?}");
    match server.terminated().await {
        CloseReason::Error(error) => (peer, error),
        other => panic!("{other:?} of {bytes:x?}"),
    }
}

async fn expect_protocol_error(stage: &Stage, cases: Vec<(Vec<u8>, ProtocolError)>, code: u16) {
    let mut server = stage.start(Site::echo()).await;
    let mut closed = Vec::new();
    for (bytes, expected) in cases {
        let (peer, error) = provoke(&mut server, &bytes, code).await;
        assert!(matches!(error, Error::Protocol(error) if error == expected), "{error:?}, not {expected:?}");
        closed.push(peer);
    }
    for mut peer in closed {
        peer.end().await;
    }
    server.expect_nothing_more().await;
}

/// F4.
async fn text_that_is_not_utf8_closes_with_1007_before_it_is_complete(stage: &Stage) {
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
    expect_protocol_error(stage, cases, 1007).await;
}

async fn utf8_is_checked_across_frames_and_cut_characters(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
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
    Site::usual_options().max_frame_size(size(1000)).max_message_size(size(1500)).max_fragments(size(4))
}

/// F5.
async fn a_frame_over_its_limit_closes_with_1009_from_its_header(stage: &Stage) {
    let mut server = stage.start(Site::echo().with_options(limits())).await;
    for length in [1001, 70_000, 1 << 62] {
        let error = violate(&mut server, &header(FIN | BINARY, length, ZERO), 1009).await;
        assert!(matches!(error, Error::TooBig(TooBig::Frame { limit: 1000 })), "{error:?}");
    }
    server.expect_nothing_more().await;
}

async fn a_message_over_its_limit_closes_with_1009_from_the_header_that_passes_it(stage: &Stage) {
    let mut server = stage.start(Site::echo().with_options(limits())).await;
    let bytes = [raw_frame(BINARY, [1; 900]), header(CONTINUATION, 601, ZERO)].concat();
    let error = violate(&mut server, &bytes, 1009).await;
    assert!(matches!(error, Error::TooBig(TooBig::Message { limit: 1500 })), "{error:?}");

    // The default bounds frames too.
    let mut server = stage.start(Site::echo()).await;
    let error = violate(&mut server, &header(BINARY, 10_000_001, ZERO), 1009).await;
    assert!(matches!(error, Error::TooBig(TooBig::Message { limit: 10_000_000 })), "{error:?}");
}

async fn a_message_of_exactly_the_limits_is_no_violation(stage: &Stage) {
    let mut server = stage.start(Site::echo().with_options(limits())).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(raw_frame(BINARY, [1; 1000])).await;
    peer.send(raw_frame(CONTINUATION, [1; 500])).await;
    peer.send(raw_frame(CONTINUATION, "")).await;
    peer.send(raw_frame(FIN | CONTINUATION, "")).await;
    assert_eq!(peer.frame().await, Frame::new(BINARY, [1; 1500]));
}

async fn too_many_fragments_close_with_1009(stage: &Stage) {
    let mut server = stage.start(Site::echo().with_options(limits())).await;
    let mut bytes = raw_frame(TEXT, "");
    for _ in 0..3 {
        bytes.extend(raw_frame(CONTINUATION, ""));
    }
    bytes.extend(header(FIN | CONTINUATION, 5, ZERO));
    let error = violate(&mut server, &bytes, 1009).await;
    assert!(matches!(error, Error::TooBig(TooBig::Fragments { limit: 4 })), "{error:?}");
}

async fn a_fragment_that_passes_the_message_limit_closes_with_1009(stage: &Stage) {
    let mut server = stage.start(Site::echo().with_options(limits())).await;
    let bytes = [raw_frame(TEXT, [b'x'; 900]), header(CONTINUATION, 601, ZERO)].concat();
    let error = violate(&mut server, &bytes, 1009).await;
    assert!(matches!(error, Error::TooBig(TooBig::Message { limit: 1500 })), "{error:?}");
    server.expect_nothing_more().await;
}

async fn a_last_fragment_that_passes_the_message_limit_closes_with_1009(stage: &Stage) {
    let mut server = stage.start(Site::echo().with_options(limits())).await;
    let bytes = [raw_frame(TEXT, [b'x'; 900]), raw_frame(FIN | CONTINUATION, [b'x'; 601])].concat();
    let error = violate(&mut server, &bytes, 1009).await;
    assert!(matches!(error, Error::TooBig(TooBig::Message { limit: 1500 })), "{error:?}");
    server.expect_nothing_more().await;
}

async fn a_message_of_exactly_the_default_limit_is_handled(stage: &Stage) {
    let mut server = stage.start(Site::new(async |_| Ok(Outcome::push("got it")))).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(frame(BINARY, vec![1; 10_000_000])).await;
    assert_eq!(peer.frame().await, Frame::new(TEXT, "got it"));
    assert_eq!(server.message().await.len(), 10_000_000);
}

async fn the_default_number_of_fragments_is_a_limit_too(stage: &Stage) {
    const LIMIT: usize = 131_072;
    let mut server = stage.start(Site::new(async |_| Ok(Outcome::push("got it")))).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    let most = [raw_frame(BINARY, "x"), raw_frame(CONTINUATION, "x").repeat(LIMIT - 2)].concat();
    peer.send([&most[..], &raw_frame(FIN | CONTINUATION, "x")].concat()).await;
    assert_eq!(peer.frame().await, Frame::new(TEXT, "got it"));
    assert_eq!(server.message().await.len(), LIMIT);
    peer.send([&most[..], &raw_frame(CONTINUATION, "x").repeat(2)].concat()).await;
    assert_eq!(peer.close_frame().await, (Some(1009), String::new()));
    let reason = server.terminated().await;
    assert!(
        matches!(reason, CloseReason::Error(Error::TooBig(TooBig::Fragments { limit: LIMIT }))),
        "{reason:?}"
    );
}

async fn the_stricter_of_two_limits_holds(stage: &Stage) {
    let size = |size| NonZeroUsize::new(size).unwrap();
    let options = Site::usual_options().max_frame_size(size(5000)).max_message_size(size(1000));
    let mut server = stage.start(Site::echo().with_options(options)).await;
    let error = violate(&mut server, &header(FIN | BINARY, 1001, ZERO), 1009).await;
    assert!(matches!(error, Error::TooBig(TooBig::Message { limit: 1000 })), "{error:?}");
    server.expect_nothing_more().await;
}

async fn an_http_request_behind_the_upgrade_is_no_http_any_more(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::connect(server.addr).await;
    let request = Request::good(server.addr).bytes();
    peer.send([&request[..], &request[..]].concat()).await;
    assert_eq!(peer.response().await.status, 101);
    // "GET": fin is 0, RSV1 is 1, the opcode is 7.
    assert_eq!(peer.close_frame().await, (Some(1002), String::new()));
    peer.end().await;
    server.init().await;
    assert!(matches!(server.terminated().await, CloseReason::Error(Error::Protocol(_))));
    server.expect_nothing_more().await;
}

async fn text_in_fragments_that_is_not_utf8_closes_with_1007(stage: &Stage) {
    let cases = [&b"\xf0\x9f"[..], b"\xc3", b"fine\xe4\xb8"].map(|start| {
        let bytes = [raw_frame(TEXT, start), raw_frame(FIN | CONTINUATION, "(")].concat();
        (bytes, ProtocolError::TextNotUtf8)
    });
    expect_protocol_error(stage, cases.into(), 1007).await;
}

async fn bytes_are_never_checked_for_utf8(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send([raw_frame(BINARY, [0xff]), raw_frame(FIN | CONTINUATION, [0xc3])].concat()).await;
    assert_eq!(peer.frame().await, Frame::new(BINARY, [0xff, 0xc3]));
    assert_eq!(server.message().await, Message::Binary(vec![0xff, 0xc3].into()));
}
