//! What a peer can still read while a connection ends: X1, X6, X8.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use websock_core::{CloseReason, Error, Message, Options, Outcome};

use crate::peer::{BINARY, CONTINUATION, FIN, Frame, Peer, TEXT, close, frame, header, raw_frame, soon};
use crate::server::Stage;
use crate::site::Site;

cases! {
    messages_before_a_violation_are_handled: X8,
    the_close_can_be_read_by_a_peer_that_first_sends_ten_megabytes_more: X6,
    the_close_of_a_stop_can_be_read_by_a_peer_that_is_sending: X6,
    the_close_can_be_read_while_sending_goes_on: X6,
}

const ZERO: [u8; 4] = [0; 4];

const MUCH: usize = 10 << 20;

/// A server as busy as a hundred cases make it may take several seconds to read [`MUCH`], and the peer is not to be
/// left meanwhile. Nor does the server, where it cannot shut its side alone, end before the peer does.
fn patient() -> Options {
    Options::default().close_timeout(Duration::from_secs(60))
}

/// X8.
async fn messages_before_a_violation_are_handled(stage: &Stage) {
    let mut server = stage.start(Site::echo().with_options(Options::default())).await;
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

/// X6: not a byte is read before everything is sent, so a reset would have eaten the Close frame.
async fn the_close_can_be_read_by_a_peer_that_first_sends_ten_megabytes_more(stage: &Stage) {
    let mut server = stage.start(Site::echo().with_options(patient())).await;
    let violations = [
        (vec![FIN | TEXT, 5], 1002),
        (frame(TEXT, b"\xff"), 1007),
        (header(FIN | BINARY, MUCH as u64, ZERO), 1009),
        (close(5000, ""), 1002),
        (close(1000, ""), 1000),
    ];
    let mut peers = Vec::new();
    for violation in violations {
        peers.push((Peer::upgraded(server.addr).await, violation));
        server.init().await;
    }
    let mut closed = Vec::new();
    for (mut peer, (violation, code)) in peers {
        peer.send(violation).await;
        peer.send(vec![0x55; MUCH]).await;
        assert_eq!(peer.close_frame().await, (Some(code), String::new()));
        closed.push(peer);
    }
    for mut peer in closed {
        peer.finish().await;
        peer.end().await;
        server.terminated().await;
    }
}

async fn the_close_of_a_stop_can_be_read_by_a_peer_that_is_sending(stage: &Stage) {
    let mut server =
        stage.start(Site::new(async |_| Ok(Outcome::stop().with(["enough"]))).with_options(patient())).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    let message = frame(BINARY, vec![1; 64 * 1024]);
    peer.send(message.repeat(MUCH / message.len())).await;
    assert_eq!(peer.frame().await, Frame::new(TEXT, "enough"));
    assert_eq!(peer.close_frame().await, (Some(1000), String::new()));
    peer.finish().await;
    peer.end().await;
    server.message().await;
    assert!(matches!(server.terminated().await, CloseReason::Normal));
}

async fn the_close_can_be_read_while_sending_goes_on(stage: &Stage) {
    let mut server = stage.start(Site::echo().with_options(patient())).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    let bytes = [raw_frame(CONTINUATION, ""), vec![0; MUCH]].concat();
    let (sent, close) =
        tokio::join!(soon("sending", peer.writer.write_all(&bytes)), peer.reader.close_frame());
    sent.unwrap();
    assert_eq!(close, (Some(1002), String::new()));
    peer.finish().await;
    peer.end().await;
    server.terminated().await;
}
