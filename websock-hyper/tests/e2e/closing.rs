//! The closing handshake: O4-O9, X1-X4, X7, X8.

use std::time::{Duration, Instant};

use tokio_tungstenite::tungstenite::Message as Sent;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use websock_hyper::{CloseCode, CloseReason, Error, Frame as Push, Message, Options, Outcome, ProtocolError};

use crate::peer::{CLOSE, Frame, Peer, TEXT, close, frame, raw_frame};
use crate::referee::Referee;
use crate::site::{Host, Report, Site};

on_every_host! {
    a_close_is_answered_with_its_code_and_no_reason,
    the_referee_may_close_with_any_code,
    an_empty_close_is_answered_with_an_empty_one,
    a_code_that_must_not_be_sent_is_a_protocol_error,
    a_close_of_one_byte_is_a_protocol_error,
    a_reason_that_is_not_utf8_is_invalid_data,
    a_stop_closes_with_its_code_and_reason,
    an_overlong_reason_is_cut_at_a_character_boundary,
    last_messages_go_before_the_close_and_nothing_after_it,
    a_failure_closes_with_1011_and_comes_back_to_terminate,
    a_failure_may_choose_its_own_code,
    a_stop_in_init_is_a_whole_connection,
    what_follows_the_close_is_ignored,
    a_close_within_a_message_drops_the_message,
    messages_before_the_close_are_handled_first,
    a_stop_wins_over_a_close_that_nobody_has_read,
    one_close_is_sent_when_both_sides_close,
    a_peer_that_does_not_answer_is_left_after_the_close_timeout,
    the_mailbox_closes_with_code_and_reason,
}

async fn a_close_is_answered_with_its_code_and_no_reason(host: Host) {
    let mut server = host.start(Site::echo());
    for code in
        [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
    {
        let mut peer = Peer::upgraded(server.addr).await;
        server.init().await;
        peer.send(close(code, "tschüß")).await;
        assert_eq!(peer.close_frame().await, (Some(code), String::new()));
        peer.end().await;
        match server.terminated().await {
            CloseReason::Remote { code: seen, reason } => {
                assert_eq!((seen, reason.as_str()), (CloseCode::new(code), "tschüß"));
            }
            other => panic!("{code}: {other:?}"),
        }
    }
}

async fn the_referee_may_close_with_any_code(host: Host) {
    let mut server = host.start(Site::echo());
    for code in [1000_u16, 1001, 1003, 1007, 1011, 3000, 4999] {
        let mut referee = Referee::connect(server.addr).await;
        server.init().await;
        referee.send(Sent::Close(Some(CloseFrame { code: code.into(), reason: "done".into() }))).await;
        let Sent::Close(Some(answer)) = referee.next().await else { panic!("not a Close frame") };
        assert_eq!((u16::from(answer.code), answer.reason.as_str()), (code, ""));
        referee.end().await;
        assert!(matches!(
            server.terminated().await,
            CloseReason::Remote { code: seen, reason } if seen == CloseCode::new(code) && reason == "done"
        ));
    }
}

async fn an_empty_close_is_answered_with_an_empty_one(host: Host) {
    let mut server = host.start(Site::echo());
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(frame(CLOSE, "")).await;
    assert_eq!(peer.close_frame().await, (None, String::new()));
    peer.end().await;
    let reason = server.terminated().await;
    assert!(matches!(&reason, CloseReason::Remote { code: None, reason } if reason.is_empty()), "{reason:?}");
    server.expect_nothing_more().await;
}

async fn a_code_that_must_not_be_sent_is_a_protocol_error(host: Host) {
    let mut server = host.start(Site::echo());
    for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65_535] {
        let mut peer = Peer::upgraded(server.addr).await;
        server.init().await;
        peer.send(close(code, "why")).await;
        assert_eq!(peer.close_frame().await, (Some(1002), String::new()), "{code}");
        peer.end().await;
        let reason = server.terminated().await;
        let CloseReason::Error(Error::Protocol(error)) = reason else { panic!("{code}: {reason:?}") };
        assert_eq!(error, ProtocolError::CloseCode(code));
    }
}

async fn a_close_of_one_byte_is_a_protocol_error(host: Host) {
    let mut server = host.start(Site::echo());
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

async fn a_reason_that_is_not_utf8_is_invalid_data(host: Host) {
    let mut server = host.start(Site::echo());
    for reason in [&b"\xff"[..], b"cut \xe4\xb8", b"\xed\xa0\x80"] {
        let mut peer = Peer::upgraded(server.addr).await;
        server.init().await;
        peer.send(close(1000, reason)).await;
        assert_eq!(peer.close_frame().await, (Some(1007), String::new()));
        peer.end().await;
        let reason = server.terminated().await;
        assert!(
            matches!(reason, CloseReason::Error(Error::Protocol(ProtocolError::CloseReasonNotUtf8))),
            "{reason:?}"
        );
    }
}

async fn a_stop_closes_with_its_code_and_reason(host: Host) {
    let mut server = host.start(Site::echo());
    for (outcome, code, reason) in [
        (Outcome::stop(), 1000, ""),
        (Outcome::stop().close(CloseCode::POLICY, "no shouting"), 1008, "no shouting"),
        (Outcome::stop().close(CloseCode::new(4999).unwrap(), ""), 4999, ""),
        (Outcome::restart(), 1012, ""),
    ] {
        let mut peer = Peer::upgraded(server.addr).await;
        let socket = server.init().await;
        socket.mailbox().send(outcome).await.unwrap();
        assert_eq!(peer.close_frame().await, (Some(code), reason.to_owned()));
        peer.send(close(code, "")).await;
        peer.end().await;
        let ended = server.terminated().await;
        assert!(matches!(ended, CloseReason::Normal), "{ended:?}");
    }
    server.expect_nothing_more().await;
}

async fn an_overlong_reason_is_cut_at_a_character_boundary(host: Host) {
    let mut server = host.start(Site::echo());
    for (reason, on_wire) in [
        ("x".repeat(123), "x".repeat(123)),
        ("x".repeat(124), "x".repeat(123)),
        ("ß".repeat(62), "ß".repeat(61)),
        ("🦀".repeat(1000), "🦀".repeat(30)),
    ] {
        let mut peer = Peer::upgraded(server.addr).await;
        let socket = server.init().await;
        let outcome = Outcome::stop().close(CloseCode::NORMAL, reason);
        socket.mailbox().send(outcome).await.unwrap();
        assert_eq!(peer.close_frame().await, (Some(1000), on_wire));
        server.terminated().await;
    }
}

async fn last_messages_go_before_the_close_and_nothing_after_it(host: Host) {
    let mut server = host.start(Site::echo());
    let mut peer = Peer::upgraded(server.addr).await;
    let socket = server.init().await;
    let last = [Push::text("last"), Push::binary(vec![7; 100_000])];
    socket.mailbox().send(Outcome::stop().close(CloseCode::RESTART, "see you").with(last)).await.unwrap();
    assert_eq!(peer.frame().await, Frame::new(TEXT, "last"));
    assert_eq!(peer.frame().await.payload, [7; 100_000]);
    assert_eq!(peer.close_frame().await, (Some(1012), "see you".into()));
    peer.end().await;
    assert!(matches!(server.terminated().await, CloseReason::Normal));
}

async fn a_failure_closes_with_1011_and_comes_back_to_terminate(host: Host) {
    let mut server = host.start(Site::new(async |_| Err("out of cheese".into())));
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(frame(TEXT, "x")).await;
    assert_eq!(peer.close_frame().await, (Some(1011), String::new()));
    peer.end().await;
    server.message().await;
    let reason = server.terminated().await;
    let CloseReason::Error(Error::Handler(error)) = reason else { panic!("{reason:?}") };
    assert_eq!(error.to_string(), "out of cheese");
}

async fn a_failure_may_choose_its_own_code(host: Host) {
    let mut server = host.start(Site::echo());
    let mut peer = Peer::upgraded(server.addr).await;
    let socket = server.init().await;
    let outcome = Outcome::fail("database gone").close(CloseCode::TRY_AGAIN, "later").with(["sorry"]);
    socket.mailbox().send(outcome).await.unwrap();
    assert_eq!(peer.frame().await, Frame::new(TEXT, "sorry"));
    assert_eq!(peer.close_frame().await, (Some(1013), "later".into()));
    let reason = server.terminated().await;
    let CloseReason::Error(Error::Handler(error)) = reason else { panic!("{reason:?}") };
    assert_eq!(error.to_string(), "database gone");
}

async fn a_stop_in_init_is_a_whole_connection(host: Host) {
    let site = Site::echo()
        .on_init(async |_| Ok(Outcome::stop().close(CloseCode::TRY_AGAIN, "full").with(["hello"])));
    let mut server = host.start(site);
    let mut peer = Peer::upgraded(server.addr).await;
    assert_eq!(peer.frame().await, Frame::new(TEXT, "hello"));
    assert_eq!(peer.close_frame().await, (Some(1013), "full".into()));
    peer.end().await;
    server.init().await;
    assert!(matches!(server.terminated().await, CloseReason::Normal));
    server.expect_nothing_more().await;
}

async fn what_follows_the_close_is_ignored(host: Host) {
    let mut server = host.start(Site::echo());
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    // A message, and something that would be a violation.
    peer.send([close(1000, ""), frame(TEXT, "too late"), vec![0xff; 100]].concat()).await;
    assert_eq!(peer.close_frame().await, (Some(1000), String::new()));
    peer.end().await;
    assert!(matches!(server.terminated().await, CloseReason::Remote { .. }));
    server.expect_nothing_more().await;
}

async fn a_close_within_a_message_drops_the_message(host: Host) {
    let mut server = host.start(Site::echo());
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send([raw_frame(TEXT, "half a mess"), close(1001, "")].concat()).await;
    assert_eq!(peer.close_frame().await, (Some(1001), String::new()));
    peer.end().await;
    assert!(matches!(server.terminated().await, CloseReason::Remote { .. }));
    server.expect_nothing_more().await;
}

async fn messages_before_the_close_are_handled_first(host: Host) {
    let mut server = host.start(Site::echo());
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

async fn a_stop_wins_over_a_close_that_nobody_has_read(host: Host) {
    let mut server = host.start(Site::new(async |_| Ok(Outcome::stop().close(CloseCode::POLICY, "enough"))));
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send([frame(TEXT, "one"), frame(TEXT, "two"), close(1000, "")].concat()).await;
    assert_eq!(peer.close_frame().await, (Some(1008), "enough".into()));
    peer.end().await;
    assert_eq!(server.message().await, Message::Text("one".into()));
    assert!(matches!(server.terminated().await, CloseReason::Normal));
    server.expect_nothing_more().await;
}

async fn one_close_is_sent_when_both_sides_close(host: Host) {
    let mut server = host.start(Site::echo());
    for _ in 0..50 {
        let mut peer = Peer::upgraded(server.addr).await;
        let socket = server.init().await;
        let bytes = close(4000, "peer");
        let (sent, ()) = tokio::join!(
            socket.mailbox().send(Outcome::stop().close(CloseCode::new(4001).unwrap(), "")),
            peer.send(bytes)
        );
        drop(sent);
        let (code, _) = peer.close_frame().await;
        peer.end().await;
        match server.terminated().await {
            CloseReason::Normal => assert_eq!(code, Some(4001)),
            CloseReason::Remote { .. } => assert_eq!(code, Some(4000)),
            other => panic!("{other:?}"),
        }
    }
}

async fn a_peer_that_does_not_answer_is_left_after_the_close_timeout(host: Host) {
    let timeout = Duration::from_millis(200);
    let mut server = host.start(Site::echo().options(Options::default().close_timeout(timeout)));
    let mut peer = Peer::upgraded(server.addr).await;
    let socket = server.init().await;
    let start = Instant::now();
    socket.mailbox().send(Outcome::stop()).await.unwrap();
    assert_eq!(peer.close_frame().await, (Some(1000), String::new()));
    peer.end().await;
    assert!(matches!(server.terminated().await, CloseReason::Normal));
    // Until then what the peer sends is taken, and then it is refused: a socket tells that with its next writes.
    let message = frame(TEXT, "are you there?");
    while tokio::io::AsyncWriteExt::write_all(&mut peer.writer, &message).await.is_ok() {
        assert!(start.elapsed() < Duration::from_secs(10), "the server never left");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(start.elapsed() >= timeout, "left after {:?}", start.elapsed());
    server.expect_nothing_more().await;
}

async fn the_mailbox_closes_with_code_and_reason(host: Host) {
    let mut server = host.start(Site::echo());
    let mut peer = Peer::upgraded(server.addr).await;
    let socket = server.init().await;
    assert!(socket.mailbox().close(CloseCode::new(4001).unwrap(), "logged out"));
    assert!(!socket.mailbox().close(CloseCode::NORMAL, "second"));
    assert_eq!(peer.close_frame().await, (Some(4001), "logged out".into()));
    peer.end().await;
    let (_, report) = server.numbered_report().await;
    assert!(matches!(report, Report::Terminate(CloseReason::Normal)), "{report:?}");
    assert!(socket.mailbox().is_closed());
}
