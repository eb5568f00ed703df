//! Outcomes that end the connection: O4-O10.

use websock_core::{CloseCode, CloseReason, Error, Frame as Push, Message, Outcome};

use crate::peer::{
    BINARY, CONTINUATION, FIN, Frame, PING, PONG, Peer, Request, TEXT, close, frame, raw_frame,
};
use crate::server::Stage;
use crate::site::Site;

cases! {
    a_stop_closes_with_its_code_and_reason: O4 O5 O7,
    an_overlong_reason_is_cut_at_a_character_boundary: O9,
    last_messages_go_before_the_close_and_nothing_after_it: O6,
    a_failure_closes_with_1011_and_comes_back_to_terminate: O8,
    a_failure_may_choose_its_own_code: O8,
    a_stop_in_init_is_a_whole_connection: L3 O6,
    messages_behind_a_stop_are_not_handled: O10,
    a_stop_by_the_mailbox_within_a_fragmented_message_drops_it: O10 X1,
    a_stop_in_init_drops_what_came_with_the_request: O10 L3,
    a_large_last_message_arrives_whole_before_the_close: O6 X1,
    a_stop_closes_with_each_code_that_may_be_sent: O5,
    what_was_pushed_before_a_stop_goes_out_before_it: O2 O6,
}

async fn a_stop_closes_with_its_code_and_reason(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
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

async fn an_overlong_reason_is_cut_at_a_character_boundary(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
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

async fn last_messages_go_before_the_close_and_nothing_after_it(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
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

async fn a_failure_closes_with_1011_and_comes_back_to_terminate(stage: &Stage) {
    let mut server = stage.start(Site::new(async |_| Err("out of cheese".into()))).await;
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

async fn a_failure_may_choose_its_own_code(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
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

async fn a_stop_in_init_is_a_whole_connection(stage: &Stage) {
    let site = Site::echo()
        .on_init(async |_| Ok(Outcome::stop().close(CloseCode::TRY_AGAIN, "full").with(["hello"])));
    let mut server = stage.start(site).await;
    let mut peer = Peer::upgraded(server.addr).await;
    assert_eq!(peer.frame().await, Frame::new(TEXT, "hello"));
    assert_eq!(peer.close_frame().await, (Some(1013), "full".into()));
    peer.end().await;
    server.init().await;
    assert!(matches!(server.terminated().await, CloseReason::Normal));
    server.expect_nothing_more().await;
}

async fn messages_behind_a_stop_are_not_handled(stage: &Stage) {
    let mut server = stage.start(Site::new(async |_| Ok(Outcome::stop()))).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send([frame(TEXT, "stop").repeat(11), frame(PING, "?")].concat()).await;
    assert_eq!(peer.close_frame().await, (Some(1000), String::new()));
    peer.end().await;
    server.message().await;
    assert!(matches!(server.terminated().await, CloseReason::Normal));
    server.expect_nothing_more().await;
}

async fn a_stop_by_the_mailbox_within_a_fragmented_message_drops_it(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    let socket = server.init().await;
    // The pong tells that the fragment was read.
    peer.send([raw_frame(TEXT, "half a mess"), frame(PING, "")].concat()).await;
    assert_eq!(peer.frame().await, Frame::new(PONG, ""));
    server.control().await;
    socket.mailbox().send(Outcome::stop().close(CloseCode::POLICY, "enough")).await.unwrap();
    assert_eq!(peer.close_frame().await, (Some(1008), "enough".into()));
    peer.send([raw_frame(FIN | CONTINUATION, "age"), close(1008, "")].concat()).await;
    peer.end().await;
    assert!(matches!(server.terminated().await, CloseReason::Normal));
    server.expect_nothing_more().await;
}

async fn a_stop_in_init_drops_what_came_with_the_request(stage: &Stage) {
    let mut server = stage.start(Site::echo().on_init(async |_| Ok(Outcome::stop()))).await;
    let mut peer = Peer::connect(server.addr).await;
    peer.send([Request::good(server.addr).bytes(), frame(TEXT, "early")].concat()).await;
    assert_eq!(peer.response().await.status, 101);
    assert_eq!(peer.close_frame().await, (Some(1000), String::new()));
    peer.end().await;
    server.init().await;
    assert!(matches!(server.terminated().await, CloseReason::Normal));
    server.expect_nothing_more().await;
}

async fn a_large_last_message_arrives_whole_before_the_close(stage: &Stage) {
    const LARGE: usize = 8 << 20;
    let site = Site::new(async |_| Ok(Outcome::stop().with([Push::binary(vec![7; LARGE])])));
    let mut server = stage.start(site).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(frame(TEXT, "all of it")).await;
    server.message().await;
    // It is more than the sockets take, so the handler has its end while the peer has read nothing.
    assert!(matches!(server.terminated().await, CloseReason::Normal));
    assert!(peer.frame().await == Frame::new(BINARY, vec![7; LARGE]));
    assert_eq!(peer.close_frame().await, (Some(1000), String::new()));
    peer.end().await;
}

async fn a_stop_closes_with_each_code_that_may_be_sent(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    for code in (1000..=1014).chain([3000, 3999, 4000, 4999]).filter_map(CloseCode::new) {
        for reason in ["", "test"] {
            let mut peer = Peer::upgraded(server.addr).await;
            let socket = server.init().await;
            socket.mailbox().send(Outcome::stop().close(code, reason)).await.unwrap();
            assert_eq!(peer.close_frame().await, (Some(code.get()), reason.into()));
            peer.finish().await;
            assert!(matches!(server.terminated().await, CloseReason::Normal));
        }
    }
    server.expect_nothing_more().await;
}

async fn what_was_pushed_before_a_stop_goes_out_before_it(stage: &Stage) {
    let site = Site::new(async |message| match &message {
        Message::Text(text) if text == "stop" => Ok(Outcome::stop().with("last")),
        _ => Ok(Outcome::push([message.clone(), message])),
    });
    let server = stage.start(site).await;
    let mut peer = Peer::upgraded(server.addr).await;
    peer.send([frame(TEXT, "a"), frame(TEXT, "b"), frame(TEXT, "stop")].concat()).await;
    for expected in ["a", "a", "b", "b", "last"] {
        assert_eq!(peer.frame().await, Frame::new(TEXT, expected));
    }
    assert_eq!(peer.close_frame().await, (Some(1000), String::new()));
    peer.end().await;
}
