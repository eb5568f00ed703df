//! How a connection ends (SPEC X).

use std::num::NonZeroUsize;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::sleep;
use websock_core::{CloseCode, Frame, Options, Outcome};

use crate::support::{
    Gate, Handler, SECOND, Stage, answer, clock_until, close, connect, connect_over, connect_within, frame,
    go_on, names_of_sent, never, ping, push, quiet, slowly, text, transport,
};

const KIB: usize = 1024;

#[tokio::test(start_paused = true)]
async fn the_close_follows_all_that_was_pushed_and_is_written_before_terminate_begins() {
    let (actor, stage) = transport();
    let note = stage.clone();
    let mut handler = connect_over(actor, Options::default(), move |call| match call {
        "init" => push(["a", "b"]),
        "text stop" => answer(Outcome::stop().with([Frame::binary(vec![7; 100_000]), Frame::text("c")])),
        call => {
            note.note(call);
            go_on()
        }
    });
    stage.send(text("stop"));
    handler.rest().await;
    assert_eq!(stage.frames(), ["text a", "text b", "binary of 100000 bytes", "text c", "close 1000"]);
    let log = stage.log();
    let at = log.iter().position(|done| done == "terminate Normal").unwrap();
    assert!(log[..at].iter().all(|done| done.starts_with("read") || done.starts_with("write")), "{log:?}");
    assert!(!log[at..].iter().any(|done| done.starts_with("write")), "{log:?}");
}

#[tokio::test(start_paused = true)]
async fn terminate_begins_when_the_socket_takes_no_more_and_the_rest_is_written_while_it_runs() {
    let gate = Gate::default();
    let held = gate.clone();
    let (mut peer, mut handler) = connect_within(64, Options::default(), move |call| match call {
        "text stop" => answer(Outcome::stop().with(vec![7; 10_000])),
        "terminate Normal" => held.then(Outcome::none()),
        _ => go_on(),
    });
    peer.send(text("stop")).await;
    assert_eq!([handler.next().await, handler.next().await], ["init", "text stop"]);
    assert_eq!(handler.next().await, "terminate Normal");
    assert_eq!(peer.rest_and_end().await, ["binary of 10000 bytes", "close 1000"]);
    quiet().await;
    assert!(peer.io.write_all(b"x").await.is_err(), "the socket is closed while terminate runs");
    assert!(!handler.task.is_finished(), "terminate runs");
    gate.open();
    handler.gone().await;
}

#[tokio::test(start_paused = true)]
async fn the_connection_is_not_gone_before_the_socket_is_closed() {
    let (mut peer, mut handler) = connect(Options::default(), |_| answer(Outcome::stop()));
    assert_eq!(handler.rest().await, ["init", "terminate Normal"]);
    assert_eq!(peer.rest().await, ["close 1000"]);
    quiet().await;
    assert!(!handler.task.is_finished(), "the peer has not ended its side");
    peer.io.shutdown().await.unwrap();
    assert_eq!(handler.gone().await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_answers_has_its_socket_closed_at_the_close_timeout() {
    for (close_timeout, terminate) in [(5000, 0), (5000, 100_000), (0, 0), (50, 0)] {
        let (actor, stage) = transport();
        let options = Options::default().close_timeout(Duration::from_millis(close_timeout));
        let mut handler = connect_over(actor, options, move |call| match call {
            "init" => answer(Outcome::stop()),
            _ => slowly(Duration::from_millis(terminate), Outcome::none()),
        });
        assert_eq!(handler.next().await, "init");
        assert_eq!(handler.next_at().await, ("terminate Normal".into(), 0));
        let began = tokio::time::Instant::now();
        assert_eq!(handler.gone().await, u128::from(close_timeout.max(terminate)));
        assert_eq!(handler.so_far(), [""; 0]);
        assert_eq!(
            stage.moment("shutdown").map(|at| at - began),
            (close_timeout > 0).then_some(Duration::ZERO)
        );
        assert_eq!(stage.moment("dropped").unwrap() - began, Duration::from_millis(close_timeout));
    }
}

#[tokio::test(start_paused = true)]
async fn the_close_timeout_begins_when_the_close_is_written() {
    let (actor, stage) = transport();
    stage.room(0);
    let mut handler = connect_over(actor, Options::default(), |_| answer(Outcome::stop()));
    sleep(20 * SECOND).await;
    stage.room(1000);
    assert_eq!(handler.gone().await, 25_000);
    assert_eq!(stage.frames(), ["close 1000"]);
}

#[tokio::test(start_paused = true)]
async fn a_close_that_cannot_be_written_ends_at_the_write_timeout() {
    let (actor, stage) = transport();
    stage.room(0);
    let options = Options::default().write_timeout(7 * SECOND);
    let mut handler = connect_over(actor, options, |_| answer(Outcome::stop()));
    assert_eq!(handler.gone().await, 7000);
    assert_eq!(stage.written_len(), 0);
    assert_eq!(handler.rest().await, ["init", "terminate Normal"]);
}

#[tokio::test(start_paused = true)]
async fn the_peers_close_is_answered_with_its_code_and_without_its_reason() {
    let codes = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4000, 4999];
    for code in codes {
        for reason in ["", "bye"] {
            let (mut peer, mut handler) = connect(Options::default(), |_| go_on());
            peer.send(close(code, reason)).await;
            assert_eq!(peer.rest_and_end().await, [format!("close {code}")]);
            let end = format!("terminate Remote {{ code: Some(CloseCode({code})), reason: {reason:?} }}");
            assert_eq!(handler.rest().await, ["init", &end]);
            assert_eq!(handler.gone().await, 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_close_is_answered_with_an_empty_one() {
    let (actor, stage) = transport();
    stage.send(frame(0x88, ""));
    stage.end();
    let mut handler = connect_over(actor, Options::default(), |_| go_on());
    assert_eq!(handler.rest().await, ["init", "terminate Remote { code: None, reason: \"\" }"]);
    handler.gone().await;
    assert_eq!(stage.written(), [0x88, 0]);
}

#[tokio::test(start_paused = true)]
async fn one_close_is_sent_when_both_sides_close_at_once_and_the_first_decision_counts() {
    let remote = "terminate Remote { code: Some(CloseCode(4001)), reason: \"\" }";
    let rows = [
        ([text("stop"), close(4001, "")].concat(), false, "close 1000", "terminate Normal"),
        ([close(4001, ""), text("stop")].concat(), false, "close 4001", remote),
        (close(4001, ""), true, "close 4002", "terminate Normal"),
        ([text("stop"), close(4001, "")].concat(), true, "close 4002", "terminate Normal"),
        ([frame(0x01, "stop"), close(4001, "")].concat(), false, "close 4001", remote),
        ([text("stop"), frame(0x88, "x")].concat(), false, "close 1000", "terminate Normal"),
        ([close(4001, ""), close(4003, "")].concat(), false, "close 4001", remote),
    ];
    for (row, (received, by_mailbox, sent, end)) in rows.into_iter().enumerate() {
        let gate = Gate::default();
        let held = gate.clone();
        let (actor, stage) = transport();
        let mut handler = connect_over(actor, Options::default(), move |call| match call {
            "init" => held.then(Outcome::none()),
            "text stop" => answer(Outcome::stop()),
            _ => go_on(),
        });
        stage.send(received);
        stage.end();
        let mailbox = handler.mailbox().await;
        if by_mailbox {
            mailbox.close(CloseCode::new(4002).unwrap(), "");
        }
        gate.open();
        assert_eq!(handler.rest().await.last().unwrap(), end, "row {row}");
        handler.gone().await;
        assert_eq!(stage.frames(), [sent], "row {row}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_that_must_not_be_sent_is_answered_with_1002_or_1007() {
    let bad = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 10_000, 65_535];
    let codes = bad.map(|code: u16| (code.to_be_bytes().to_vec(), 1002, format!("CloseCode({code})")));
    let others = [
        (vec![3], 1002, "TruncatedCloseCode".into()),
        ([&1000_u16.to_be_bytes()[..], b"\xc3\x28"].concat(), 1007, "CloseReasonNotUtf8".into()),
        ([&4000_u16.to_be_bytes()[..], b"cut \xe2\x82"].concat(), 1007, "CloseReasonNotUtf8".into()),
    ];
    for (payload, code, error) in codes.into_iter().chain(others) {
        let (mut peer, mut handler) = connect(Options::default(), |_| go_on());
        peer.send(frame(0x88, payload)).await;
        assert_eq!(peer.rest_and_end().await, [format!("close {code}")]);
        assert_eq!(handler.rest().await, ["init", &format!("terminate Error(Protocol({error}))")]);
        handler.gone().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_the_peers_close_or_end_cuts_off_is_not_told() {
    for (cut_off, echo) in [(close(1000, ""), "close 1000"), (Vec::new(), "")] {
        for partial in [frame(0x01, "begun"), text("begun")[..8].to_vec()] {
            if !echo.is_empty() && partial.len() == 8 {
                continue; // Inside of a frame there is no Close.
            }
            let (mut peer, mut handler) = connect(Options::default(), |_| go_on());
            peer.send([&partial[..], &cut_off].concat()).await;
            peer.io.shutdown().await.unwrap();
            assert_eq!(peer.rest().await.join(" "), echo);
            let calls = handler.rest().await;
            assert_eq!(calls.len(), 2, "{calls:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_or_reset_without_a_close_sends_nothing_and_is_a_lost_connection() {
    for reset in [false, true] {
        for before in [vec![], text("a"), frame(0x01, "a"), text("a")[..3].to_vec()] {
            let (actor, stage) = transport();
            stage.send(before);
            if reset {
                stage.reset()
            } else {
                stage.end()
            }
            let mut handler = connect_over(actor, Options::default(), |_| go_on());
            assert_eq!(handler.rest().await.last().unwrap(), "terminate Error(Disconnected)");
            assert_eq!(handler.gone().await, 0);
            assert_eq!(stage.written_len(), 0);
            assert_eq!(stage.log().last().unwrap(), "dropped");
        }
    }
}

/// What makes a connection send a Close frame, and the frame.
const CLOSES: [(&str, &str); 9] = [
    ("stop", "close 1000"),
    ("fail", "close 1011"),
    ("panic", "close 1011"),
    ("too slow", "close 1011 callback timeout"),
    ("peer", "close 4000"),
    ("violation", "close 1002"),
    ("too big", "close 1009"),
    ("mailbox", "close 1012 again"),
    ("idle", "close 1001 idle timeout"),
];

/// A connection that `cause` makes close, up to its `terminate`.
async fn closing_for(cause: &'static str) -> (Handler, Stage) {
    let (actor, stage) = transport();
    let options = Options::default()
        .timeout(SECOND)
        .callback_timeout(SECOND)
        .max_message_size(NonZeroUsize::new(10 * KIB).unwrap());
    let mut handler = connect_over(actor, options, move |call| match call {
        "text stop" => answer(Outcome::stop()),
        "text fail" => Box::pin(std::future::ready(Err("boom".into()))),
        "text panic" => panic!("boom"),
        "text too slow" => never(),
        _ => go_on(),
    });
    match cause {
        "idle" => {}
        "mailbox" => assert!(handler.mailbox().await.close(CloseCode::RESTART, "again")),
        "peer" => stage.send(close(4000, "bye")),
        "violation" => stage.send([0x83, 0x80]),
        "too big" => stage.send(frame(0x82, vec![7; 20 * KIB])),
        cause => stage.send(text(cause)),
    }
    while !handler.next().await.starts_with("terminate") {}
    (handler, stage)
}

#[tokio::test(start_paused = true)]
async fn every_close_can_be_read_while_the_peer_still_sends_megabytes() {
    for (cause, sent) in CLOSES {
        let (mut handler, stage) = closing_for(cause).await;
        for _ in 0..3 {
            stage.send(vec![0x55; 1000 * KIB]);
            quiet().await;
            assert_eq!(stage.moment("dropped"), None, "{cause}");
        }
        let read = stage.read_len();
        assert!(read >= 3000 * KIB, "{cause}: {read} bytes were drained");
        stage.end();
        let ended = handler.elapsed();
        assert_eq!(handler.gone().await, ended, "{cause}");
        assert_eq!(stage.frames(), [sent]);
        let log = stage.log();
        let shut = log.iter().position(|done| done == "shutdown").unwrap();
        assert!(!log[shut..].iter().any(|done| done.starts_with("write")), "{cause}: {log:?}");
        assert!(!log[shut + 1..].contains(&log[shut]), "{cause}: it is shut once: {log:?}");
        assert_eq!(log[log.len() - 2..], ["read end", "dropped"], "{cause}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_stops_sending_has_its_socket_closed_at_the_close_timeout() {
    for (cause, sent) in CLOSES {
        let (mut handler, stage) = closing_for(cause).await;
        stage.send_for_ever(vec![0x55; 64 * KIB]);
        let took = clock_until(|| stage.moment("dropped").is_some(), SECOND / 10).await;
        assert!((5 * SECOND..5 * SECOND + SECOND / 5).contains(&took), "{cause}: {took:?}");
        handler.gone().await;
        assert_eq!(stage.frames(), [sent]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_reaches_a_peer_that_reads_only_after_it_has_sent_everything() {
    let (mut peer, mut handler) = connect_within(64, Options::default(), |call| match call {
        "text stop" => answer(Outcome::stop().with(vec![7; 10_000])),
        _ => go_on(),
    });
    peer.send(text("stop")).await;
    peer.send(vec![0x55; 200 * KIB]).await;
    assert_eq!(peer.rest_and_end().await, ["binary of 10000 bytes", "close 1000"]);
    assert_eq!(handler.gone().await, 0);
}

/// As with TLS: what is written lies in the transport's own buffer first.
#[tokio::test(start_paused = true)]
async fn a_close_that_is_not_flushed_is_waited_for_while_the_peer_still_sends() {
    let (actor, stage) = transport();
    stage.flush_waits(true);
    let mut handler = connect_over(actor, Options::default(), |call| match call {
        "text stop" => answer(Outcome::stop()),
        _ => go_on(),
    });
    stage.send(text("stop"));
    for second in 1..=20 {
        stage.at(second * 1000).await;
        let before = stage.read_len();
        stage.send(vec![0x55; 1000 * KIB]);
        quiet().await;
        assert_eq!(stage.read_len() - before, 1000 * KIB);
    }
    assert_eq!((stage.moment("shutdown"), stage.moment("dropped")), (None, None));
    stage.flush_waits(false);
    quiet().await;
    assert!(stage.moment("shutdown").is_some());
    stage.end();
    handler.gone().await;
    assert_eq!(stage.frames(), ["close 1000"]);
}

#[tokio::test(start_paused = true)]
async fn a_close_that_cannot_be_flushed_ends_at_the_write_timeout() {
    let (actor, stage) = transport();
    stage.flush_waits(true);
    let mut handler = connect_over(actor, Options::default(), |_| answer(Outcome::stop()));
    stage.send(text("stop"));
    assert_eq!(handler.gone().await, 30_000);
}

#[tokio::test(start_paused = true)]
async fn while_our_side_cannot_be_shut_yet_the_peer_is_read_from() {
    let (actor, stage) = transport();
    stage.shutdown_waits(true);
    let mut handler = connect_over(actor, Options::default(), |_| answer(Outcome::stop()));
    stage.send(vec![0x55; 1000 * KIB]);
    stage.end();
    stage.at(1000).await;
    assert_eq!((stage.read_len(), stage.moment("dropped")), (1000 * KIB, None));
    stage.shutdown_waits(false);
    assert_eq!(handler.gone().await, 1000);
    assert!(stage.moment("shutdown").is_some());
}

#[tokio::test(start_paused = true)]
async fn what_follows_the_peers_close_is_ignored() {
    let (actor, stage) = transport();
    stage.send([close(1000, ""), text("a"), ping("b"), close(1001, "")].concat());
    stage.send([0xff, 0xff]);
    stage.send(text("c"));
    stage.end();
    let mut handler = connect_over(actor, Options::default(), |_| go_on());
    let end = "terminate Remote { code: Some(CloseCode(1000)), reason: \"\" }";
    assert_eq!(handler.rest().await, ["init", end]);
    handler.gone().await;
    assert_eq!(stage.frames(), ["close 1000"]);
}

#[tokio::test(start_paused = true)]
async fn messages_before_the_peers_close_or_end_are_all_handled_and_their_pushes_sent_first() {
    for (last, slow) in [("close", false), ("close", true), ("end", false), ("end", true), ("reset", true)] {
        let (actor, stage) = transport();
        stage.read_size(1000);
        stage.send(text("x").repeat(500));
        match last {
            "close" => stage.send(close(1000, "")),
            "end" => stage.end(),
            _ => stage.reset(),
        }
        let mut handler = connect_over(actor, Options::default(), move |call| match call {
            "text x" if slow => slowly(SECOND, Outcome::push("y")),
            "text x" => push("y"),
            _ => go_on(),
        });
        assert_eq!(handler.rest().await.len(), 502, "{last}");
        stage.end();
        handler.gone().await;
        let echo = (last == "close").then_some("close 1000");
        let sent: Vec<_> = std::iter::repeat_n("text y", 500).chain(echo).collect();
        assert_eq!(stage.frames(), sent, "{last}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_the_end_pushes_are_written_as_far_as_the_socket_takes_them() {
    let (actor, stage) = transport();
    stage.room(12);
    stage.send(text("x").repeat(5));
    stage.end();
    let mut handler = connect_over(actor, Options::default(), |_| push("y"));
    assert_eq!(handler.rest().await[6], "terminate Error(Disconnected)");
    assert_eq!(handler.gone().await, 0);
    assert_eq!(names_of_sent(&stage.written()), ["text y"; 4]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_wins_over_the_close_or_end_behind_it() {
    for ends in [false, true] {
        let (actor, stage) = transport();
        stage.send([text("a"), text("stop"), text("b")].concat());
        if !ends {
            stage.send(close(1001, ""));
        }
        stage.end();
        let mut handler = connect_over(actor, Options::default(), |call| match call {
            "text stop" => slowly(SECOND, Outcome::stop().with("last")),
            _ => go_on(),
        });
        assert_eq!(handler.rest().await, ["init", "text a", "text stop", "terminate Normal"]);
        handler.gone().await;
        assert_eq!(stage.frames(), ["text last", "close 1000"]);
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_write_error_everything_that_had_arrived_is_still_handled() {
    for last in ["nothing", "end", "close"] {
        for read_size in [2, 7, 1000] {
            let (actor, stage) = transport();
            stage.read_size(read_size);
            stage.fail_writes();
            stage.send(text("x").repeat(300));
            match last {
                "end" => stage.end(),
                "close" => stage.send(close(1000, "")),
                _ => {}
            }
            let mut handler = connect_over(actor, Options::default(), |_| push("y"));
            let calls = handler.rest().await;
            assert_eq!(calls.len(), 302, "{last} {read_size}");
            let end = match last {
                "close" => "terminate Remote { code: Some(CloseCode(1000)), reason: \"\" }",
                _ => "terminate Error(Disconnected)",
            };
            assert_eq!(calls[301], end);
            assert_eq!(handler.gone().await, 0);
            assert_eq!(stage.written_len(), 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_runtime_tells_only_after_a_write_error_had_arrived_before_it() {
    let (actor, stage) = transport();
    stage.fail_writes();
    let mut handler = connect_over(actor, Options::default(), |_| push("y"));
    tokio::spawn(async move { stage.send(text("x")) });
    assert_eq!(handler.rest().await, ["init", "text x", "terminate Error(Disconnected)"]);
}

#[tokio::test(start_paused = true)]
async fn a_transport_without_halves_is_closed_once_both_closes_are_through() {
    // What the peer sends at 1 s, and when the connection is gone.
    let answer_frame = || [text("late"), close(1000, "")].concat();
    for (at_once, after_a_second, gone) in [
        (text("stop"), Some(answer_frame()), 1000),
        (text("stop"), Some(text("late")), 5000),
        (text("stop"), None, 5000),
        ([text("stop"), close(1000, "")].concat(), None, 0),
        (close(1000, ""), None, 0),
        (close(5000, ""), None, 0),
        (frame(0xf1, "reserved bits"), Some(close(1000, "")), 1000),
        (vec![0xff, 0xff, 0xff], Some(close(1000, "")), 5000),
    ] {
        let (actor, stage) = transport();
        stage.has_no_halves();
        let began = tokio::time::Instant::now();
        let mut handler = connect_over(actor, Options::default(), |call| match call {
            "text stop" => answer(Outcome::stop()),
            _ => go_on(),
        });
        stage.send(at_once);
        sleep(SECOND).await;
        if let Some(bytes) = after_a_second {
            stage.send(bytes);
        }
        handler.gone().await;
        assert_eq!(stage.moment("dropped").unwrap() - began, Duration::from_millis(gone));
    }
}

#[tokio::test(start_paused = true)]
async fn a_transport_without_halves_is_closed_when_the_peer_ends() {
    let (actor, stage) = transport();
    stage.has_no_halves();
    let mut handler = connect_over(actor, Options::default(), |_| answer(Outcome::stop()));
    stage.send(text("late"));
    sleep(SECOND).await;
    stage.end();
    assert_eq!(handler.gone().await, 1000);
}
