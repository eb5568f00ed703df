//! The closing handshake: X2-X4, X7, X8.

use tokio::task::yield_now;
use tokio_tungstenite::tungstenite::Message as Sent;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use websock_core::{CloseCode, CloseReason, Error, Message, Outcome, ProtocolError};

use crate::payload::text;
use crate::peer::{BINARY, CLOSE, CONTINUATION, Frame, PING, PONG, Peer, TEXT, close, frame, raw_frame};
use crate::referee::Referee;
use crate::server::Stage;
use crate::site::Site;

cases! {
    a_close_is_answered_with_its_code_and_no_reason: X2,
    the_referee_may_close_with_any_code: X2,
    an_empty_close_is_answered_with_an_empty_one: X2,
    a_code_that_must_not_be_sent_is_a_protocol_error: X3,
    a_close_of_one_byte_is_a_protocol_error: X3,
    a_reason_that_is_not_utf8_is_invalid_data: X3,
    what_follows_the_close_is_ignored: X7,
    a_close_within_a_message_drops_the_message: X4,
    messages_before_the_close_are_handled_first: X8,
    a_stop_wins_over_a_close_that_nobody_has_read: O10 X2 X8,
    one_close_is_sent_when_both_sides_close: X2 L7,
    a_close_with_a_reason_of_123_bytes_is_answered: X2,
    a_second_close_of_the_peer_is_not_answered: X2 X7,
    a_ping_before_the_close_is_answered_before_it: X8 L5,
    a_close_within_a_message_with_pings_drops_the_message: X4,
    a_close_in_pieces_is_answered: X2,
    a_close_with_a_code_alone_is_answered: X2,
}

async fn a_close_is_answered_with_its_code_and_no_reason(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut closed = Vec::new();
    for code in
        [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
    {
        let mut peer = Peer::upgraded(server.addr).await;
        server.init().await;
        peer.send(close(code, "tschüß")).await;
        assert_eq!(peer.close_frame().await, (Some(code), String::new()));
        match server.terminated().await {
            CloseReason::Remote { code: seen, reason } => {
                assert_eq!((seen, reason.as_str()), (CloseCode::new(code), "tschüß"));
            }
            other => panic!("{code}: {other:?}"),
        }
        closed.push(peer);
    }
    for mut peer in closed {
        peer.end().await;
    }
}

async fn the_referee_may_close_with_any_code(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut closed = Vec::new();
    for code in [1000_u16, 1001, 1003, 1007, 1011, 3000, 4999] {
        let mut referee = Referee::connect(server.addr).await;
        server.init().await;
        referee.send(Sent::Close(Some(CloseFrame { code: code.into(), reason: "done".into() }))).await;
        let Sent::Close(Some(answer)) = referee.next().await else { panic!("not a Close frame") };
        assert_eq!((u16::from(answer.code), answer.reason.as_str()), (code, ""));
        assert!(matches!(
            server.terminated().await,
            CloseReason::Remote { code: seen, reason } if seen == CloseCode::new(code) && reason == "done"
        ));
        closed.push(referee);
    }
    for mut referee in closed {
        referee.end().await;
    }
}

async fn an_empty_close_is_answered_with_an_empty_one(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(frame(CLOSE, "")).await;
    assert_eq!(peer.close_frame().await, (None, String::new()));
    peer.end().await;
    let reason = server.terminated().await;
    assert!(matches!(&reason, CloseReason::Remote { code: None, reason } if reason.is_empty()), "{reason:?}");
    server.expect_nothing_more().await;
}

async fn a_code_that_must_not_be_sent_is_a_protocol_error(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut closed = Vec::new();
    for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65_535] {
        let mut peer = Peer::upgraded(server.addr).await;
        server.init().await;
        peer.send(close(code, "why")).await;
        assert_eq!(peer.close_frame().await, (Some(1002), String::new()), "{code}");
        let reason = server.terminated().await;
        let CloseReason::Error(Error::Protocol(error)) = reason else { panic!("{code}: {reason:?}") };
        assert_eq!(error, ProtocolError::CloseCode(code));
        closed.push(peer);
    }
    for mut peer in closed {
        peer.end().await;
    }
}

async fn a_close_of_one_byte_is_a_protocol_error(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(frame(CLOSE, [3])).await;
    assert_eq!(peer.close_frame().await, (Some(1002), String::new()));
    peer.end().await;
    let reason = server.terminated().await;
    assert!(
        matches!(reason, CloseReason::Error(Error::Protocol(ProtocolError::TruncatedCloseCode))),
        "{reason:?}"
    );
}

async fn a_reason_that_is_not_utf8_is_invalid_data(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut closed = Vec::new();
    for reason in [&b"\xff"[..], b"cut \xe4\xb8", b"\xed\xa0\x80"] {
        let mut peer = Peer::upgraded(server.addr).await;
        server.init().await;
        peer.send(close(1000, reason)).await;
        assert_eq!(peer.close_frame().await, (Some(1007), String::new()));
        let reason = server.terminated().await;
        assert!(
            matches!(reason, CloseReason::Error(Error::Protocol(ProtocolError::CloseReasonNotUtf8))),
            "{reason:?}"
        );
        closed.push(peer);
    }
    for mut peer in closed {
        peer.end().await;
    }
}

async fn what_follows_the_close_is_ignored(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    // A message, and something that would be a violation.
    peer.send([close(1000, ""), frame(TEXT, "too late"), vec![0xff; 100]].concat()).await;
    assert_eq!(peer.close_frame().await, (Some(1000), String::new()));
    peer.end().await;
    assert!(matches!(server.terminated().await, CloseReason::Remote { .. }));
    server.expect_nothing_more().await;
}

async fn a_close_within_a_message_drops_the_message(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send([raw_frame(TEXT, "half a mess"), close(1001, "")].concat()).await;
    assert_eq!(peer.close_frame().await, (Some(1001), String::new()));
    peer.end().await;
    assert!(matches!(server.terminated().await, CloseReason::Remote { .. }));
    server.expect_nothing_more().await;
}

async fn messages_before_the_close_are_handled_first(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    let messages: Vec<_> = (0..300).map(|number| format!("message {number}")).collect();
    let mut bytes: Vec<u8> = messages.iter().flat_map(|message| frame(TEXT, message)).collect();
    bytes.extend(close(1000, ""));
    peer.send(bytes).await;
    for message in &messages {
        assert_eq!(peer.frame().await, Frame::new(TEXT, message));
        assert_eq!(server.message().await, Message::Text(message.clone().into()));
    }
    assert_eq!(peer.close_frame().await, (Some(1000), String::new()));
    assert!(matches!(server.terminated().await, CloseReason::Remote { .. }));
}

async fn a_stop_wins_over_a_close_that_nobody_has_read(stage: &Stage) {
    let mut server =
        stage.start(Site::new(async |_| Ok(Outcome::stop().close(CloseCode::POLICY, "enough")))).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send([frame(TEXT, "one"), frame(TEXT, "two"), close(1000, "")].concat()).await;
    assert_eq!(peer.close_frame().await, (Some(1008), "enough".into()));
    peer.end().await;
    assert_eq!(server.message().await, Message::Text("one".into()));
    assert!(matches!(server.terminated().await, CloseReason::Normal));
    server.expect_nothing_more().await;
}

async fn one_close_is_sent_when_both_sides_close(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut closed = Vec::new();
    for round in 0..50 {
        let mut peer = Peer::upgraded(server.addr).await;
        let socket = server.init().await;
        peer.send(close(4000, "peer")).await;
        // Later and later, so that now the one side is first and now the other.
        for _ in 0..4 * round {
            yield_now().await;
        }
        let stop = Outcome::stop().close(CloseCode::new(4001).unwrap(), "");
        let _ = socket.mailbox().send(stop).await;
        let (code, _) = peer.close_frame().await;
        match server.terminated().await {
            CloseReason::Normal => assert_eq!(code, Some(4001)),
            CloseReason::Remote { .. } => assert_eq!(code, Some(4000)),
            other => panic!("{other:?}"),
        }
        closed.push(peer);
    }
    for mut peer in closed {
        peer.end().await;
    }
}

async fn a_close_with_a_reason_of_123_bytes_is_answered(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    let reason = text(123);
    peer.send(close(1000, &reason)).await;
    assert_eq!(peer.close_frame().await, (Some(1000), String::new()));
    peer.end().await;
    let ended = server.terminated().await;
    assert!(matches!(&ended, CloseReason::Remote { reason: seen, .. } if *seen == *reason), "{ended:?}");
}

async fn a_second_close_of_the_peer_is_not_answered(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send([close(4001, "first"), close(4002, "second")].concat()).await;
    assert_eq!(peer.close_frame().await, (Some(4001), String::new()));
    peer.end().await;
    let ended = server.terminated().await;
    assert!(matches!(&ended, CloseReason::Remote { reason, .. } if *reason == "first"), "{ended:?}");
    server.expect_nothing_more().await;
}

async fn a_ping_before_the_close_is_answered_before_it(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send([frame(PING, "last"), close(1000, "")].concat()).await;
    assert_eq!(peer.frame().await, Frame::new(PONG, "last"));
    assert_eq!(peer.close_frame().await, (Some(1000), String::new()));
    peer.end().await;
    server.control().await;
    assert!(matches!(server.terminated().await, CloseReason::Remote { .. }));
}

async fn a_close_within_a_message_with_pings_drops_the_message(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    let parts =
        [raw_frame(BINARY, "half"), frame(PING, "p"), raw_frame(CONTINUATION, "more"), frame(CLOSE, "")];
    peer.send(parts.concat()).await;
    assert_eq!(peer.frame().await, Frame::new(PONG, "p"));
    assert_eq!(peer.close_frame().await, (None, String::new()));
    peer.end().await;
    server.control().await;
    assert!(matches!(server.terminated().await, CloseReason::Remote { code: None, .. }));
    server.expect_nothing_more().await;
}

async fn a_close_in_pieces_is_answered(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    for byte in close(3001, "slowly") {
        peer.send([byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(peer.close_frame().await, (Some(3001), String::new()));
    peer.end().await;
    assert!(matches!(server.terminated().await, CloseReason::Remote { reason, .. } if reason == "slowly"));
}

async fn a_close_with_a_code_alone_is_answered(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(close(1000, "")).await;
    assert_eq!(peer.close_frame().await, (Some(1000), String::new()));
    peer.end().await;
    let ended = server.terminated().await;
    assert!(
        matches!(&ended, CloseReason::Remote { code: Some(CloseCode::NORMAL), reason } if reason.is_empty()),
        "{ended:?}"
    );
}
