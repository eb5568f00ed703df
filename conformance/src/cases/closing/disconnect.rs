//! Peers that go away without a word: X5, X8.

use websock_core::{CloseReason, Error, Message};

use crate::peer::{BINARY, CONTINUATION, FIN, Frame, Peer, TEXT, close, frame, header, raw_frame};
use crate::server::{Server, Stage};
use crate::site::Site;

cases! {
    a_reset_is_a_disconnect: X5,
    an_end_without_a_close_is_a_disconnect: X5,
    an_end_within_a_frame_is_a_disconnect: X5,
    messages_before_the_end_are_handled_and_answered: X8,
    an_end_within_a_fragmented_message_drops_the_message: X5 X4,
    an_end_that_follows_a_close_is_no_second_end: X2 X5,
}

async fn expect_disconnect(server: &mut Server) {
    let reason = server.terminated().await;
    assert!(matches!(reason, CloseReason::Error(Error::Disconnected)), "{reason:?}");
}

async fn a_reset_is_a_disconnect(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(frame(TEXT, "here")).await;
    assert_eq!(peer.frame().await, Frame::new(TEXT, "here"));
    server.message().await;
    peer.reset();
    expect_disconnect(&mut server).await;
    server.expect_nothing_more().await;
}

async fn an_end_without_a_close_is_a_disconnect(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.finish().await;
    expect_disconnect(&mut server).await;
    // 1006 never appears on the wire: nothing does.
    peer.end().await;
    server.expect_nothing_more().await;
}

async fn an_end_within_a_frame_is_a_disconnect(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
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

async fn messages_before_the_end_are_handled_and_answered(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
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

async fn an_end_within_a_fragmented_message_drops_the_message(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send([raw_frame(TEXT, "half a mess"), raw_frame(CONTINUATION, "a")].concat()).await;
    peer.finish().await;
    expect_disconnect(&mut server).await;
    peer.end().await;
    server.expect_nothing_more().await;
}

async fn an_end_that_follows_a_close_is_no_second_end(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(close(1000, "")).await;
    peer.finish().await;
    assert_eq!(peer.close_frame().await, (Some(1000), String::new()));
    peer.end().await;
    assert!(matches!(server.terminated().await, CloseReason::Remote { .. }));
    server.expect_nothing_more().await;
}
