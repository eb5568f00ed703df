//! Panics, faults of the transport, and what is told of an end (SPEC E1-E3).

use std::fmt;
use std::num::NonZeroUsize;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::yield_now;
use websock_core::upgrade::Subprotocol;
use websock_core::{
    BoxWebSock, Bytes, CloseCode, CloseReason, ControlPayload, Drain, Drained, Error, Frame, HandleResult,
    Keepalive, Message, Options, Outcome, ProtocolError, Shutdown, Socket, Timeout, TooBig, WebSock,
};

use crate::support::{
    Answer, Ear, Fault, SECOND, Stage, accepted, answer, close, connect, connect_over, frame, go_on, never,
    ping, pong, push, text, transport,
};

// E1

/// Panics when it is dropped.
#[derive(Debug)]
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

/// Panics before there is a future, in its first poll, or behind an `.await`.
fn panicking(how: &str) -> Answer {
    match how {
        "before" => panic!("boom"),
        "at once" => Box::pin(async { panic!("boom {}", 1) }),
        _ => Box::pin(async {
            yield_now().await;
            std::panic::panic_any(Bomb)
        }),
    }
}

const PANICS: [(&str, &str); 3] =
    [("before", "boom"), ("at once", "boom 1"), ("later", "a value that is no text")];

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_callback_ends_its_own_connection_with_1011_and_no_other() {
    for call in ["init", "text go", "pong go", "info 1"] {
        for (how, message) in PANICS {
            let ear = Ear::new();
            let (mut neighbour, _neighbour) = connect(Options::default(), |call| push(call));
            let (mut peer, mut handler) = connect(Options::default(), move |told| match told {
                told if told == call => panicking(how),
                "init" => push("hello"),
                _ => go_on(),
            });
            match call {
                "text go" => peer.send([text("go"), text("not handled")].concat()).await,
                "pong go" => peer.send([pong("go"), text("not handled")].concat()).await,
                "info 1" => handler.mailbox().await.try_send(1).unwrap(),
                _ => {}
            }
            let hello = (call != "init").then_some("text hello");
            let sent: Vec<_> = hello.into_iter().chain(["close 1011"]).collect();
            assert_eq!(peer.rest_and_end().await, sent, "{call} {how}");
            let end = if call == "init" { "init" } else { "terminate Error(Panic)" };
            assert_eq!(handler.rest().await.last().unwrap(), end, "{call} {how}");
            handler.gone().await;
            let events = ear.events();
            let panics: Vec<_> = events.iter().filter(|event| event.level == "ERROR").collect();
            assert_eq!(panics.len(), 1);
            assert_eq!(panics[0].field("panic"), Some(message));

            neighbour.send(text("still there")).await;
            assert_eq!(
                [neighbour.next().await, neighbour.next().await],
                ["text init", "text text still there"]
            );
            let (mut another, _another) = connect(Options::default(), |call| push(call));
            another.send(text("new")).await;
            assert_eq!([another.next().await, another.next().await], ["text init", "text text new"]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_terminate_is_logged_and_the_socket_still_closes() {
    for (how, message) in PANICS {
        let ear = Ear::new();
        let (actor, stage) = transport();
        stage.room(0);
        let mut handler = connect_over(actor, Options::default(), move |call| match call {
            "init" => answer(Outcome::stop().with("last")),
            _ => panicking(how),
        });
        assert_eq!(handler.rest().await, ["init", "terminate Normal"]);
        stage.room(usize::MAX);
        stage.end();
        handler.gone().await;
        assert_eq!(stage.frames(), ["text last", "close 1000"]);
        assert!(stage.log().ends_with(&["shutdown".into(), "read end".into(), "dropped".into()]));
        let events = ear.events();
        assert_eq!(events.len(), 2, "{events:?}");
        assert_eq!((&*events[0].level, events[0].field("panic")), ("ERROR", Some(message)));
        assert_eq!(events[1].field("reason"), Some("normal"));
    }
}

/// Stops with bombs in its mailbox; or has one itself, and panics so that it is dropped without `terminate`.
struct Bombs {
    told: UnboundedSender<CloseReason>,
    bomb: Option<Bomb>,
}

impl WebSock for Bombs {
    type Info = Bomb;

    async fn init(&mut self, socket: Socket<Bomb>) -> HandleResult {
        if self.bomb.is_some() {
            panic!("boom");
        }
        for _ in 0..3 {
            assert!(socket.mailbox().try_send(Bomb).is_ok());
        }
        Ok(Outcome::stop())
    }

    async fn handle_in(&mut self, _message: Message) -> HandleResult {
        unreachable!()
    }

    async fn terminate(self, reason: CloseReason) {
        self.told.send(reason).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_drop_does_not_keep_the_connection_from_its_end() {
    let rows = [
        (None, Some("Normal"), "close 1000", vec!["dropped"; 3]),
        (Some(Bomb), None, "close 1011", vec!["boom", "dropped"]),
    ];
    for (bomb, reason, sent, panics) in rows {
        let ear = Ear::new();
        let (told, mut tell) = unbounded_channel();
        let (actor, stage) = transport();
        let options = Options::default();
        let served = accepted(&options).connection(Bombs { told, bomb }).run(actor, Bytes::new());
        let served = tokio::spawn(served);
        stage.at(10).await;
        stage.end();
        served.await.unwrap();
        assert_eq!(tell.recv().await.map(|reason| format!("{reason:?}")).as_deref(), reason);
        assert_eq!(stage.frames(), [sent]);
        let events = ear.events();
        let logged: Vec<_> = events.iter().filter_map(|event| event.field("panic")).collect();
        assert_eq!(logged, panics);
        assert_eq!(events.len(), panics.len() + 1, "{events:?}");
    }
}

/// SPEC L7, L11.
#[tokio::test(start_paused = true)]
async fn a_terminate_that_panics_as_it_is_cut_is_told_and_counted() {
    let (ear, drain) = (Ear::new(), Drain::new());
    let options = Options::default().drain(drain.clone());
    let (_peer, mut handler) = connect(options, |call| match call {
        "init" => go_on(),
        _ => Box::pin(async {
            let _bomb = Bomb;
            std::future::pending().await
        }),
    });
    assert_eq!(handler.next().await, "init");
    assert_eq!(drain.shut_down(Shutdown::within(SECOND)).await, Drained { closed: 0, cut: 1 });
    handler.gone().await;
    let events = ear.events();
    assert_eq!(events[0].field("panic"), Some("dropped"));
    assert_eq!(events[1].field("reason"), Some("server shutdown"));
}

/// An error whose text ends in a failure, or in a panic.
#[derive(Debug)]
struct Unspeakable {
    panics: bool,
}

impl std::error::Error for Unspeakable {}

impl fmt::Display for Unspeakable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("so far")?;
        if self.panics { std::panic::panic_any(Bomb) } else { Err(fmt::Error) }
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_whose_text_cannot_be_shown_ends_its_connection_like_any_other() {
    for panics in [false, true] {
        let ear = Ear::new();
        let (mut peer, mut handler) = connect(Options::default(), move |call| match call {
            "init" => Box::pin(async move { Err(Unspeakable { panics }.into()) }),
            _ => go_on(),
        });
        assert_eq!(peer.rest_and_end().await, ["close 1011"]);
        let reason = format!("terminate Error(Handler(Unspeakable {{ panics: {panics} }}))");
        assert_eq!(handler.rest().await, ["init", &reason]);
        handler.gone().await;
        let [event] = &ear.events()[..] else { panic!("{:?}", ear.events()) };
        let told = "the handler failed: so far (its text cannot be shown)";
        assert_eq!((&*event.level, event.field("reason")), ("WARN", Some(told)));
    }
}

// The transport.

/// A connection that uses its transport in every way, and comes to its end if that allows it.
async fn eventful(prepare: impl FnOnce(&Stage)) -> (Vec<String>, Stage) {
    let (actor, stage) = transport();
    prepare(&stage);
    let mut handler = connect_over(actor, Options::default(), |call| match call {
        "init" => push("hello"),
        "info 1" => push([Frame::binary(vec![7; 20_000]), Frame::text("x"), Frame::binary(vec![8; 20_000])]),
        "terminate Normal" => go_on(),
        _ => push("y"),
    });
    stage.send([&text("a")[..], &text("b")[..3]].concat());
    stage.at(10).await;
    if let Ok(mailbox) = tokio::time::timeout(SECOND, handler.mailbox()).await {
        let _ = mailbox.try_send(1);
    }
    stage.at(20).await;
    stage.send(&text("b")[3..]);
    stage.send(frame(0x82, vec![1; 100_000]));
    stage.send(ping("c"));
    stage.at(30).await;
    stage.send(close(1000, ""));
    stage.at(40).await;
    stage.end();
    let calls = handler.rest().await;
    let _ = (&mut handler.task).await;
    (calls, stage)
}

#[tokio::test(start_paused = true)]
async fn the_bytes_on_the_wire_do_not_depend_on_how_the_transport_cuts_them() {
    let (calls, stage) = eventful(|_| {}).await;
    let sent = [
        "text hello",
        "text y",
        "binary of 20000 bytes",
        "text x",
        "binary of 20000 bytes",
        "text y",
        "text y",
        "pong c",
        "text y",
        "close 1000",
    ];
    assert_eq!(stage.frames(), sent);
    assert!(
        stage.log().iter().any(|done| done.ends_with("in 4")),
        "large payloads are written where they lie"
    );
    for read_size in [1, 2, 13, 1000, usize::MAX] {
        for write_size in [1, 2, 3, 1000, usize::MAX] {
            let (cut_calls, cut) = eventful(|stage| {
                stage.read_size(read_size);
                stage.write_size(write_size);
            })
            .await;
            assert_eq!(cut.written(), stage.written(), "{read_size} {write_size}");
            assert_eq!(cut_calls, calls, "{read_size} {write_size}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn terminate_is_called_once_whenever_the_transport_fails_or_stalls() {
    let (_, whole) = eventful(|_| {}).await;
    for fault in [Fault::Error, Fault::Stall, Fault::Panic] {
        for after in 0..whole.operations() {
            let (calls, stage) = eventful(|stage| stage.fault_after(after, fault)).await;
            let terminates = calls.iter().filter(|call| call.starts_with("terminate")).count();
            assert_eq!(terminates, 1, "{fault:?} after {after}: {calls:?}");
            assert!(calls.last().unwrap().starts_with("terminate"), "{fault:?} after {after}: {calls:?}");
            assert!(stage.moment("dropped").is_some());
        }
    }
}

// E2

/// Tells how it ended.
struct Told(UnboundedSender<CloseReason>);

impl WebSock for Told {
    type Info = ();

    async fn handle_in(&mut self, message: Message) -> HandleResult {
        match message.as_bytes() {
            b"fail" => Err("boom".into()),
            b"panic" => panic!("boom"),
            b"slow" => std::future::pending().await,
            b"flood" => Ok(Outcome::push(vec![7; 100])),
            _ => Ok(Outcome::none()),
        }
    }

    async fn terminate(self, reason: CloseReason) {
        self.0.send(reason).unwrap();
    }
}

/// What the peer sends, what the connection answers, and whether this is what `terminate` gets.
type Row = (Vec<u8>, Option<&'static str>, fn(&CloseReason) -> bool);

macro_rules! row {
    ($sent:expr, $answer:expr, $reason:pat) => {
        ($sent.to_vec(), $answer.into(), |reason: &CloseReason| matches!(reason, $reason))
    };
}

macro_rules! protocol_row {
    ($sent:expr, $answer:expr, $error:pat) => {
        row!($sent, $answer, CloseReason::Error(Error::Protocol($error)))
    };
}

#[tokio::test(start_paused = true)]
async fn every_end_reaches_terminate_as_a_variant_of_its_own() {
    use ProtocolError::*;
    let fragments = [frame(0x01, ""), frame(0x00, ""), frame(0x00, ""), frame(0x80, "")].concat();
    let rows: Vec<Row> = vec![
        protocol_row!([0x81, 0x01, b'x'], "close 1002", Unmasked),
        protocol_row!(frame(0xc1, "x"), "close 1002", ReservedBits(0b100)),
        protocol_row!(frame(0xb1, "x"), "close 1002", ReservedBits(0b011)),
        protocol_row!(frame(0x83, "x"), "close 1002", UnknownOpcode(3)),
        protocol_row!(frame(0x8f, "x"), "close 1002", UnknownOpcode(15)),
        protocol_row!(frame(0x09, "x"), "close 1002", FragmentedControl),
        protocol_row!(frame(0x89, [7; 126]), "close 1002", ControlTooLong),
        protocol_row!(frame(0x80, "x"), "close 1002", UnexpectedContinuation),
        protocol_row!([frame(0x01, "x"), frame(0x81, "y")].concat(), "close 1002", UnfinishedMessage),
        protocol_row!([0x81, 0xfe, 0, 125], "close 1002", NonMinimalLength),
        protocol_row!([0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0], "close 1002", LengthTopBit),
        protocol_row!(close(1005, ""), "close 1002", CloseCode(1005)),
        protocol_row!(frame(0x88, "x"), "close 1002", TruncatedCloseCode),
        protocol_row!(frame(0x88, [3, 232, 0xff]), "close 1007", CloseReasonNotUtf8),
        protocol_row!(frame(0x81, [0xff]), "close 1007", TextNotUtf8),
        row!(
            frame(0x82, [7; 101]),
            "close 1009",
            CloseReason::Error(Error::TooBig(TooBig::Frame { limit: 100 }))
        ),
        row!(
            [frame(0x02, [7; 100]), frame(0x80, [7; 51])].concat(),
            "close 1009",
            CloseReason::Error(Error::TooBig(TooBig::Message { limit: 150 }))
        ),
        row!(fragments, "close 1009", CloseReason::Error(Error::TooBig(TooBig::Fragments { limit: 3 }))),
        row!(text("fail"), "close 1011", CloseReason::Error(Error::Handler(_))),
        row!(text("panic"), "close 1011", CloseReason::Error(Error::Panic)),
        row!(b"", None, CloseReason::Error(Error::Disconnected)),
        row!(close(1000, ""), "close 1000", CloseReason::Remote { code: Some(_), .. }),
        row!(frame(0x88, ""), "close", CloseReason::Remote { code: None, .. }),
        row!(text("idle"), "close 1001 idle timeout", CloseReason::Timeout(Timeout::Idle)),
        row!(text("x")[..3], "close 1008 message timeout", CloseReason::Timeout(Timeout::Message)),
        row!(text("slow"), "close 1011 callback timeout", CloseReason::Timeout(Timeout::Callback)),
        row!(text("flood"), None, CloseReason::Timeout(Timeout::Write)),
    ];
    let size = |size| NonZeroUsize::new(size).unwrap();
    let options = Options::default()
        .max_frame_size(size(100))
        .max_message_size(size(150))
        .max_fragments(size(3))
        .message_timeout(5 * SECOND)
        .callback_timeout(SECOND);
    for (sent, answer, is_it) in rows {
        let (told, mut tell) = unbounded_channel();
        let (actor, stage) = transport();
        if sent == text("flood") {
            stage.room(0);
        }
        if sent.is_empty() {
            stage.end();
        }
        stage.send(&sent);
        tokio::spawn(accepted(&options).connection(Told(told)).run(actor, Bytes::new()));
        let reason = tell.recv().await.unwrap();
        assert!(is_it(&reason), "{sent:?}: {reason:?}");
        assert_eq!(stage.frames(), Vec::from_iter(answer), "{reason:?}");
    }
}

// E3

#[tokio::test(start_paused = true)]
async fn a_boxed_handler_is_told_by_its_own_type() {
    let ear = Ear::new();
    let (told, _tell) = unbounded_channel();
    let twice = BoxWebSock::new(BoxWebSock::new(Told(told)));
    let connection = accepted(&Options::default()).connection(twice);
    drop(connection.run(transport().0, Bytes::new()));
    assert!(ear.spans()[0].field("handler").unwrap().ends_with("::Told"), "{:?}", ear.spans());
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_one_span_and_its_end_one_event_that_counts_everything() {
    let ear = Ear::new();
    let (actor, stage) = transport();
    let subprotocols = [Subprotocol::new("chat").unwrap()];
    let options = Options::default().subprotocols(subprotocols);
    let mut handler = connect_over(actor, options, |call| match call {
        "text go" => push([
            Frame::text("1234567"),
            Frame::binary(vec![7; 20_000]),
            Frame::binary("8"),
            Frame::ping(ControlPayload::try_from("12").unwrap()),
            Frame::pong(ControlPayload::EMPTY),
            Frame::text(""),
        ]),
        _ => go_on(),
    });
    stage.send([frame(0x01, "g"), ping("1"), frame(0x80, "o")].concat());
    stage.send([text("text"), frame(0x82, [7; 1000]), ping("234"), pong("56789"), pong("")].concat());
    stage.send(close(4321, "bye"));
    stage.at(10).await;
    assert_eq!(ear.events().len(), 0);
    stage.end();
    handler.gone().await;

    let (spans, events) = (ear.spans(), ear.events());
    let [span] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!(span.field("span"), Some("websocket"));
    assert!(span.field("handler").unwrap().ends_with("::Probe"));
    assert_eq!(span.field("subprotocol"), Some("chat"));
    assert_eq!(span.field("compression"), Some("false"));
    let [event] = &events[..] else { panic!("{events:?}") };
    assert_eq!(event.level, "INFO");
    assert_eq!(event.within.as_ref(), Some(&span.fields));
    let expected = [
        ("reason", "closed by the peer with 4321"),
        ("code", "4321"),
        ("received.text", "2"),
        ("received.text_bytes", "6"),
        ("received.binary", "1"),
        ("received.binary_bytes", "1000"),
        ("received.ping", "2"),
        ("received.ping_bytes", "4"),
        ("received.pong", "2"),
        ("received.pong_bytes", "5"),
        ("received.close", "1"),
        ("received.close_bytes", "5"),
        ("sent.text", "2"),
        ("sent.text_bytes", "7"),
        ("sent.binary", "2"),
        ("sent.binary_bytes", "20001"),
        ("sent.ping", "1"),
        ("sent.ping_bytes", "2"),
        ("sent.pong", "3"),
        ("sent.pong_bytes", "4"),
        ("sent.close", "1"),
        ("sent.close_bytes", "2"),
    ];
    for (field, value) in expected {
        assert_eq!(event.field(field), Some(value), "{field}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_end_is_told_in_one_event_with_its_reason_and_code() {
    let rows = [
        ("stop", "normal", Some("1000")),
        ("restart", "normal", Some("1012")),
        ("fail", "the handler failed: boom", Some("1011")),
        ("panic", "the handler panicked", Some("1011")),
        ("peer", "closed by the peer with 1000", Some("1000")),
        ("peer, empty", "closed by the peer", None),
        ("end", "the peer went away without a Close frame", None),
        ("violation", "client frame without a mask", Some("1002")),
        ("too big", "message over the limit of 10 bytes", Some("1009")),
        ("mailbox", "normal", Some("4000")),
        ("idle", "idle timeout", Some("1001")),
        ("ping", "ping timeout", Some("1001")),
        ("slow", "callback timeout", Some("1011")),
        ("write", "write timeout", None),
    ];
    for (row, reason, code) in rows {
        let ear = Ear::new();
        let (actor, stage) = transport();
        let options = Options::default()
            .max_message_size(NonZeroUsize::new(10).unwrap())
            .callback_timeout(SECOND)
            .keepalive((row == "ping").then(Keepalive::default));
        let mut handler = connect_over(actor, options, |call| match call {
            "text stop" => answer(Outcome::stop()),
            "text restart" => answer(Outcome::restart()),
            "text fail" => answer(Outcome::fail("boom")),
            "text panic" => panic!("boom"),
            "text slow" => never(),
            "text write" => push("not taken"),
            _ => go_on(),
        });
        match row {
            "peer" => stage.send(close(1000, "bye")),
            "peer, empty" => stage.send(frame(0x88, "")),
            "end" => stage.end(),
            "violation" => stage.send([0x81, 0x00]),
            "too big" => stage.send(text("too much text")),
            "mailbox" => assert!(handler.mailbox().await.close(CloseCode::new(4000).unwrap(), "")),
            "idle" | "ping" => {}
            row => stage.send(text(row)),
        }
        stage.room(if row == "write" { 0 } else { usize::MAX });
        handler.gone().await;
        let events = ear.events();
        let ends: Vec<_> =
            events.iter().filter(|event| event.field("message") == Some("websocket closed")).collect();
        assert_eq!(ends.len(), 1, "{row}: {events:?}");
        assert_eq!(ends[0].level, if row == "fail" { "WARN" } else { "INFO" }, "{row}");
        assert_eq!((ends[0].field("reason"), ends[0].field("code")), (Some(reason), code), "{row}");
    }
}
