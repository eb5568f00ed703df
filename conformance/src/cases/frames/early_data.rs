//! Bytes that come with the request, and bytes that come in pieces: F7.

use websock_core::{CloseReason, Error, Message};

use crate::peer::{BINARY, Frame, Peer, Request, TEXT, close, frame};
use crate::server::Stage;
use crate::site::Site;

cases! {
    a_frame_in_the_requests_segment_is_the_first_message: F7,
    a_frame_may_be_cut_anywhere_behind_the_request: F7,
    a_request_may_be_cut_anywhere: F7,
    a_whole_connection_may_come_byte_by_byte: F7,
    many_frames_in_the_requests_segment_come_in_order: F7,
    a_large_message_may_begin_in_the_requests_segment: F7,
    a_whole_connection_fits_in_one_segment: F7 X8,
}

async fn a_frame_in_the_requests_segment_is_the_first_message(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::connect(server.addr).await;
    peer.send([Request::good(server.addr).bytes(), frame(TEXT, "early")].concat()).await;
    assert_eq!(peer.response().await.status, 101);
    assert_eq!(peer.frame().await, Frame::new(TEXT, "early"));
    server.init().await;
    assert_eq!(server.message().await, Message::Text("early".into()));
    peer.send(frame(TEXT, "later")).await;
    assert_eq!(peer.frame().await, Frame::new(TEXT, "later"));
}

/// The rest is sent when the 101 is there, so that the server has surely read the first part alone.
async fn a_frame_may_be_cut_anywhere_behind_the_request(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let request = Request::good(server.addr).bytes();
    let payload = "x".repeat(130);
    let frames = [frame(TEXT, &payload), frame(BINARY, "second")].concat();
    for cut in 0..=frames.len() {
        let mut peer = Peer::connect(server.addr).await;
        peer.send([&request, &frames[..cut]].concat()).await;
        assert_eq!(peer.response().await.status, 101);
        peer.send(&frames[cut..]).await;
        assert_eq!(peer.frame().await, Frame::new(TEXT, &payload), "cut at {cut}");
        assert_eq!(peer.frame().await, Frame::new(BINARY, "second"), "cut at {cut}");
        server.init().await;
        assert_eq!(server.message().await.as_bytes(), payload.as_bytes());
        assert_eq!(server.message().await.as_bytes(), b"second");
        peer.send(close(1000, "")).await;
        peer.close_frame().await;
        server.terminated().await;
    }
}

async fn a_request_may_be_cut_anywhere(stage: &Stage) {
    let server = stage.start(Site::echo()).await;
    let whole = [Request::good(server.addr).bytes(), frame(TEXT, "behind")].concat();
    for cut in 1..whole.len() {
        let mut peer = Peer::connect(server.addr).await;
        peer.send(&whole[..cut]).await;
        tokio::task::yield_now().await;
        peer.send(&whole[cut..]).await;
        assert_eq!(peer.response().await.status, 101, "cut at {cut}");
        assert_eq!(peer.frame().await, Frame::new(TEXT, "behind"), "cut at {cut}");
    }
}

async fn a_whole_connection_may_come_byte_by_byte(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::connect(server.addr).await;
    let whole = [
        Request::good(server.addr).bytes(),
        frame(TEXT, "slow"),
        frame(BINARY, vec![7; 200]),
        close(4000, "bye"),
    ];
    for byte in whole.concat() {
        peer.send([byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(peer.response().await.status, 101);
    assert_eq!(peer.frame().await, Frame::new(TEXT, "slow"));
    assert_eq!(peer.frame().await, Frame::new(BINARY, vec![7; 200]));
    assert_eq!(peer.close_frame().await, (Some(4000), String::new()));
    peer.end().await;
    server.init().await;
    server.message().await;
    server.message().await;
    assert!(matches!(server.terminated().await, CloseReason::Remote { reason, .. } if reason == "bye"));
}

async fn many_frames_in_the_requests_segment_come_in_order(stage: &Stage) {
    let server = stage.start(Site::echo()).await;
    let mut peer = Peer::connect(server.addr).await;
    // 64 KiB and more, far beyond what an HTTP server reads for a request.
    let count = 800_u32;
    let payload = |number: u32| [&number.to_be_bytes()[..], &[1; 90]].concat();
    let mut bytes = Request::good(server.addr).bytes();
    bytes.extend((0..count).flat_map(|number| frame(BINARY, payload(number))));
    assert!(bytes.len() > 64 * 1024);
    peer.send(bytes).await;
    assert_eq!(peer.response().await.status, 101);
    for number in 0..count {
        assert_eq!(peer.frame().await, Frame::new(BINARY, payload(number)));
    }
}

async fn a_large_message_may_begin_in_the_requests_segment(stage: &Stage) {
    let server = stage.start(Site::echo()).await;
    let mut peer = Peer::connect(server.addr).await;
    let payload: Vec<u8> = (0..200_000_u32).flat_map(|number| number.to_be_bytes()[1..].to_vec()).collect();
    let bytes = [Request::good(server.addr).bytes(), frame(BINARY, &payload)].concat();
    peer.send(bytes).await;
    assert_eq!(peer.response().await.status, 101);
    assert!(peer.frame().await == Frame::new(BINARY, payload));
}

async fn a_whole_connection_fits_in_one_segment(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    // With a Close, and with an end instead of one.
    for last in [close(1000, ""), Vec::new()] {
        let mut peer = Peer::connect(server.addr).await;
        peer.send([Request::good(server.addr).bytes(), frame(TEXT, "all"), last.clone()].concat()).await;
        peer.finish().await;
        assert_eq!(peer.response().await.status, 101);
        assert_eq!(peer.frame().await, Frame::new(TEXT, "all"));
        server.init().await;
        server.message().await;
        if last.is_empty() {
            peer.end().await;
            assert!(matches!(server.terminated().await, CloseReason::Error(Error::Disconnected)));
        } else {
            assert_eq!(peer.close_frame().await, (Some(1000), String::new()));
            assert!(matches!(server.terminated().await, CloseReason::Remote { .. }));
        }
    }
    server.expect_nothing_more().await;
}
