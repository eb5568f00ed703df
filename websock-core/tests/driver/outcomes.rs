//! What a callback may answer (SPEC O).

use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use websock_core::{
    Bytes, CloseCode, CloseReason, ControlPayload, Error, Frame, HandleResult, Message, Options, Outcome,
    Prepared, Socket, WebSock,
};

use crate::support::{
    Answer, Gate, accepted, answer, close, connect, connect_over, connect_within, go_on, ping, pong, push,
    quiet, text, transport,
};

const TRY_AGAIN: CloseCode = CloseCode::TRY_AGAIN;
const APPLICATIONS: CloseCode = CloseCode::new(4000).unwrap();

/// An outcome, what it puts on the wire, and what `terminate` gets if it ends the connection.
type Row = (fn() -> HandleResult, &'static [&'static str], Option<&'static str>);

fn payload(text: &str) -> ControlPayload {
    text.try_into().unwrap()
}

const NORMAL: Option<&str> = Some("terminate Normal");
const BOOM: Option<&str> = Some("terminate Error(Handler(\"boom\"))");

const ROWS: &[Row] = &[
    // O1
    (|| Ok(Outcome::none()), &[], None),
    // O2
    (|| Ok(Outcome::push("a")), &["text a"], None),
    (|| Ok(Outcome::push(Prepared::binary("b"))), &["binary b"], None),
    (
        || {
            Ok(Outcome::push([
                Frame::text("1"),
                Frame::ping(payload("2")),
                Frame::binary("3"),
                Frame::pong(payload("")),
                Frame::text(""),
            ]))
        },
        &["text 1", "ping 2", "binary 3", "pong", "text"],
        None,
    ),
    (|| Ok(Outcome::push(Vec::<Frame>::new())), &[], None),
    // O3
    (|| Ok(Outcome::reply("a")), &["text a"], None),
    (|| Ok(Outcome::reply(vec!["a", "b"])), &["text a", "text b"], None),
    (|| Ok(Outcome::reply(Vec::<Frame>::new())), &[], None),
    // O4
    (|| Ok(Outcome::stop()), &["close 1000"], NORMAL),
    // O5
    (|| Ok(Outcome::stop().close(APPLICATIONS, "")), &["close 4000"], NORMAL),
    (|| Ok(Outcome::stop().close(APPLICATIONS, "bye")), &["close 4000 bye"], NORMAL),
    // O6
    (|| Ok(Outcome::stop().with(["a", "b"])), &["text a", "text b", "close 1000"], NORMAL),
    (|| Ok(Outcome::stop().close(TRY_AGAIN, "x").with("a")), &["text a", "close 1013 x"], NORMAL),
    (|| Ok(Outcome::push("a").close(TRY_AGAIN, "x")), &["text a", "close 1013 x"], NORMAL),
    // O7
    (|| Ok(Outcome::restart()), &["close 1012"], NORMAL),
    (|| Ok(Outcome::restart().with("a")), &["text a", "close 1012"], NORMAL),
    // O8
    (|| Err("boom".into()), &["close 1011"], BOOM),
    (|| Ok(Outcome::fail("boom")), &["close 1011"], BOOM),
    (|| Ok(Outcome::fail("boom").close(TRY_AGAIN, "x")), &["close 1013 x"], BOOM),
    (
        || Ok(Outcome::fail("boom").with(["a"]).close(TRY_AGAIN, "x").with("b")),
        &["text a", "text b", "close 1013 x"],
        BOOM,
    ),
];

#[tokio::test(start_paused = true)]
async fn every_outcome_does_the_same_in_every_callback() {
    for (row, (outcome, wire, end)) in ROWS.iter().enumerate() {
        for callback in ["init", "text go", "pong go", "info 1"] {
            let (mut peer, mut handler) = connect(Options::default(), move |call| {
                if call == callback { Box::pin(std::future::ready(outcome())) } else { go_on() }
            });
            match callback {
                "text go" => peer.send(text("go")).await,
                "pong go" => peer.send(pong("go")).await,
                "info 1" => handler.mailbox().await.send(1).await.unwrap(),
                _ => {}
            }
            while handler.next().await != callback {}
            peer.send(close(1001, "")).await;
            let echo = end.is_none().then_some("close 1001");
            let sent: Vec<_> = wire.iter().copied().chain(echo).collect();
            assert_eq!(peer.rest_and_end().await, sent, "row {row} in {callback}");
            let remote = "terminate Remote { code: Some(CloseCode(1001)), reason: \"\" }";
            assert_eq!(handler.rest().await, [end.unwrap_or(remote)], "row {row} in {callback}");
            handler.gone().await;
        }
    }
}

/// Fails with an error of its own, and tells whether `terminate` got the very same.
struct Failing {
    wrapped: bool,
    identity: Arc<()>,
    told: UnboundedSender<bool>,
}

/// An error that can be told from every other.
#[derive(Debug, thiserror::Error)]
#[error("precious")]
struct Precious(Arc<()>);

impl WebSock for Failing {
    type Info = ();

    async fn init(&mut self, _: Socket<()>) -> HandleResult {
        let error = Precious(self.identity.clone());
        if self.wrapped { Ok(Outcome::fail(error)) } else { Err(error.into()) }
    }

    async fn handle_in(&mut self, _: Message) -> HandleResult {
        Ok(Outcome::none())
    }

    async fn terminate(self, reason: CloseReason) {
        let CloseReason::Error(Error::Handler(error)) = reason else { panic!("{reason:?}") };
        let precious = error.downcast::<Precious>().unwrap();
        self.told.send(Arc::ptr_eq(&precious.0, &self.identity)).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn terminate_gets_the_very_error_that_a_callback_returned() {
    for wrapped in [false, true] {
        let (told, mut tell) = unbounded_channel();
        let (actor, stage) = transport();
        stage.end();
        let handler = Failing { wrapped, identity: Arc::new(()), told };
        accepted(&Options::default()).connection(handler).run(actor, Bytes::new()).await;
        assert_eq!(tell.recv().await, Some(true));
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_reason_over_123_bytes_is_cut_at_a_character_boundary() {
    let (mut peer, _handler) =
        connect(Options::default(), |_| answer(Outcome::stop().close(APPLICATIONS, "ß".repeat(62))));
    assert_eq!(peer.rest().await, [format!("close 4000 {}", "ß".repeat(61))]);
}

#[tokio::test(start_paused = true)]
async fn what_was_received_before_a_stop_but_not_handled_is_dropped_unhandled() {
    let stop: fn() -> Answer = || answer(Outcome::stop());
    let fail: fn() -> Answer = || Box::pin(std::future::ready(Err("boom".into())));
    for (ends, code) in [(stop, "close 1000"), (fail, "close 1011")] {
        for callback in ["init", "text go", "pong go", "info 1"] {
            let (actor, stage) = transport();
            let gate = Gate::default();
            let held = gate.clone();
            let mut handler = connect_over(actor, Options::default(), move |call| match call {
                call if call == callback => ends(),
                "init" => held.then(Outcome::none()),
                _ => go_on(),
            });
            let after = [text("a"), ping("b"), pong("c"), close(1001, "")].concat();
            match callback {
                "text go" => stage.send([text("go"), after].concat()),
                "pong go" => stage.send([pong("go"), after].concat()),
                _ => stage.send(after),
            }
            let mailbox = handler.mailbox().await;
            for info in 1..10 {
                let _ = mailbox.try_send(if callback == "info 1" { info } else { 0 });
            }
            gate.open();
            let calls = handler.rest().await;
            let at = calls.iter().position(|call| call == callback).unwrap();
            assert_eq!(calls.len(), at + 2, "{calls:?}");
            stage.end();
            handler.gone().await;
            assert_eq!(stage.frames(), [code], "{callback}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_queued_is_written_while_a_callback_is_pending() {
    let gate = Gate::default();
    let held = gate.clone();
    let (mut peer, mut handler) = connect_within(64, Options::default(), move |call| match call {
        "init" => push(vec![7; 50_000]),
        "text slow" => held.then(Outcome::push("done")),
        _ => go_on(),
    });
    peer.send([text("slow"), text("next")].concat()).await;
    assert_eq!([handler.next().await, handler.next().await], ["init", "text slow"]);
    assert_eq!(peer.next().await, "binary of 50000 bytes");
    assert_eq!(handler.so_far(), [""; 0]);
    gate.open();
    assert_eq!(peer.next().await, "text done");
    assert_eq!(handler.next().await, "text next");
}

#[tokio::test(start_paused = true)]
async fn what_is_pushed_in_one_turn_is_one_write() {
    for (messages, writes) in [(1, 1), (100, 1), (127, 1), (200, 2)] {
        let (actor, stage) = transport();
        stage.send(text("x").repeat(messages));
        let _handler = connect_over(actor, Options::default(), |call| match call {
            "text x" => push("y"),
            _ => go_on(),
        });
        quiet().await;
        let log = stage.log();
        let written: Vec<_> = log.iter().filter(|done| done.starts_with("write")).collect();
        assert_eq!(written.len(), writes, "{messages}: {written:?}");
        assert_eq!(stage.frames(), vec!["text y"; messages]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pong_does_not_wait_for_a_slow_callback() {
    for before in ["ping now", "pong other"] {
        let gate = Gate::default();
        let held = gate.clone();
        let (mut peer, mut handler) = connect(Options::default(), move |call| match call {
            call if call == before => held.then(Outcome::none()),
            _ => go_on(),
        });
        peer.send([ping("now"), pong("other")].concat()).await;
        assert_eq!(peer.next().await, "pong now");
        assert_eq!(handler.next().await, "init");
        while handler.next().await != before {}
        peer.send(close(1000, "")).await;
        gate.open();
        assert_eq!(peer.next().await, "close 1000");
    }
}
