//! Timers, to the millisecond (SPEC T1-T6).

use std::time::Duration;

use websock_core::{Keepalive, Options, Outcome};

use crate::support::{
    Handler, SECOND, Stage, answer, close, connect_over, frame, go_on, ping, pong, push, quiet, slowly, text,
    transport,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const KEEPALIVE: Keepalive = Keepalive::new(Duration::from_secs(5), Duration::from_secs(3)).unwrap();

/// Everything off but the closing.
fn no_timers() -> Options {
    Options::default().timeout(None).message_timeout(None).write_timeout(None)
}

/// A connection that goes on, except that `text slow` and `info 1` take a hundred seconds.
fn connect(options: Options) -> (Handler, Stage) {
    let (actor, stage) = transport();
    let handler = connect_over(actor, options, |call| match call {
        "text slow" | "info 1" => slowly(100 * SECOND, Outcome::none()),
        "info 2" => push("news"),
        _ => go_on(),
    });
    (handler, stage)
}

/// The last callback must be `terminate` with this timeout at this moment, in which this is written.
async fn ends(handler: &mut Handler, stage: &Stage, timeout: &str, at: u128, written: &str) {
    let terminate = loop {
        let (call, at) = handler.next_at().await;
        if call.starts_with("terminate") {
            break (call, at);
        }
    };
    assert_eq!(terminate, (format!("terminate Timeout({timeout})"), at));
    assert_eq!(stage.frames_at().last(), Some(&(at, written.to_owned())));
    stage.end();
    assert_eq!(handler.gone().await, at);
}

// T1

const IDLE: &str = "close 1001 idle timeout";

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_closed_after_60_seconds_if_nothing_else_is_said() {
    let (mut handler, stage) = connect(Options::default());
    ends(&mut handler, &stage, "Idle", 60_000, IDLE).await;
}

#[tokio::test(start_paused = true)]
async fn any_byte_of_the_peer_restarts_the_idle_timeout() {
    for bytes in [text("x"), ping(""), pong(""), frame(0x01, ""), vec![0x81]] {
        let (mut handler, stage) = connect(no_timers().timeout(10 * SECOND));
        stage.at(9999).await;
        stage.send(bytes);
        ends(&mut handler, &stage, "Idle", 19_999, IDLE).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_and_what_comes_by_the_mailbox_does_not_restart_the_idle_timeout() {
    let (mut handler, stage) = connect(no_timers().timeout(10 * SECOND));
    let mailbox = handler.mailbox().await;
    for second in 1..10 {
        stage.at(second * 1000).await;
        mailbox.send(2).await.unwrap();
    }
    ends(&mut handler, &stage, "Idle", 10_000, IDLE).await;
    assert_eq!(stage.frames().len(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_that_is_off_never_ends_a_connection() {
    let (mut handler, stage) = connect(no_timers());
    stage.send(&text("half")[..3]);
    tokio::time::sleep(DAY).await;
    assert_eq!(handler.so_far(), ["init"]);
    assert_eq!(stage.written_len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_of_no_time_runs_out_as_soon_as_the_connection_waits() {
    let (mut handler, stage) = connect(no_timers().timeout(Duration::ZERO));
    ends(&mut handler, &stage, "Idle", 0, IDLE).await;
}

// T2

const UNANSWERED: &str = "close 1001 ping timeout";

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_pinged_and_then_given_up() {
    let (mut handler, stage) = connect(no_timers().keepalive(KEEPALIVE));
    ends(&mut handler, &stage, "Keepalive", 8000, UNANSWERED).await;
    assert_eq!(stage.frames_at()[0], (5000, "ping".into()));
    assert_eq!(stage.written()[..2], [0x89, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_talks_is_not_pinged() {
    let (mut handler, stage) = connect(no_timers().keepalive(KEEPALIVE));
    for at in [4999, 9998, 14_997] {
        stage.at(at).await;
        stage.send(&[0x01, 0x80, 1, 2, 3, 4][..1]);
        stage.send([0x80, 1, 2, 3, 4]);
        stage.send(frame(0x80, "x"));
    }
    ends(&mut handler, &stage, "Keepalive", 22_997, UNANSWERED).await;
    assert_eq!(stage.frames_at()[0], (19_997, "ping".into()));
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_does_not_spare_the_peer_a_ping() {
    let (mut handler, stage) = connect(no_timers().keepalive(KEEPALIVE));
    let mailbox = handler.mailbox().await;
    stage.at(4000).await;
    mailbox.send(2).await.unwrap();
    ends(&mut handler, &stage, "Keepalive", 8000, UNANSWERED).await;
    assert_eq!(stage.frames_at()[..2], [(4000, "text news".into()), (5000, "ping".into())]);
}

#[tokio::test(start_paused = true)]
async fn any_byte_answers_a_ping_and_its_pong_is_told() {
    for (bytes, told) in [(pong(""), Some("pong")), (text("x"), Some("text x")), (vec![0x81], None)] {
        let (mut handler, stage) = connect(no_timers().keepalive(KEEPALIVE));
        stage.at(7999).await;
        stage.send(bytes);
        stage.at(12_998).await;
        assert_eq!(handler.so_far(), std::iter::once("init").chain(told).collect::<Vec<_>>());
        assert_eq!(stage.frames(), ["ping"]);
        ends(&mut handler, &stage, "Keepalive", 15_999, UNANSWERED).await;
        assert_eq!(stage.frames_at()[..2], [(5000, "ping".into()), (12_999, "ping".into())]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_stricter_of_idle_timeout_and_keepalive_counts() {
    let (mut handler, stage) = connect(no_timers().keepalive(KEEPALIVE).timeout(7999 * SECOND / 1000));
    ends(&mut handler, &stage, "Idle", 7999, IDLE).await;
    let (mut handler, stage) = connect(no_timers().keepalive(KEEPALIVE).timeout(8001 * SECOND / 1000));
    ends(&mut handler, &stage, "Keepalive", 8000, UNANSWERED).await;
}

// T3

/// A connection that has pushed 100 bytes, of which the peer takes nothing from then on.
fn connect_stuck(options: Options) -> (Handler, Stage) {
    let (actor, stage) = transport();
    stage.room(0);
    let handler = connect_over(actor, options, |call| match call {
        "init" => push("x".repeat(98)),
        "text slow" => slowly(100 * SECOND, Outcome::none()),
        "text stop" => answer(Outcome::stop()),
        _ => go_on(),
    });
    (handler, stage)
}

/// The connection is cut off: nothing more is written, and the socket is dropped and not shut.
async fn cut_off(handler: &mut Handler, stage: &Stage, at: u128) {
    assert_eq!(handler.gone().await, at);
    assert!(handler.so_far().ends_with(&["terminate Timeout(Write)".into()]));
    assert_eq!(stage.log().last().unwrap(), "dropped");
    assert_eq!(stage.moment("shutdown"), None);
}

const ONE: std::num::NonZeroUsize = std::num::NonZeroUsize::new(1).unwrap();

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_is_cut_off_at_the_write_timeout() {
    for options in [Options::default().timeout(None), Options::default().write_high_water(ONE)] {
        let (mut handler, stage) = connect_stuck(options);
        cut_off(&mut handler, &stage, 30_000).await;
        assert_eq!(stage.written_len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn every_byte_that_the_peer_takes_restarts_the_write_timeout() {
    for options in [no_timers(), no_timers().write_high_water(ONE)] {
        let (mut handler, stage) = connect_stuck(options.write_timeout(10 * SECOND));
        for times in 1..=5 {
            stage.at(times * 9999).await;
            stage.room(1);
        }
        cut_off(&mut handler, &stage, 59_995).await;
        assert_eq!(stage.written_len(), 5);
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_timeout_that_is_off_never_ends_a_connection() {
    let (mut handler, stage) = connect_stuck(Options::default().write_high_water(ONE).write_timeout(None));
    tokio::time::sleep(DAY).await;
    stage.send(close(1000, ""));
    stage.room(usize::MAX);
    let end = "terminate Remote { code: Some(CloseCode(1000)), reason: \"\" }";
    assert_eq!(handler.rest().await, ["init", end]);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_during_a_callback_is_cut_off_when_it_returns() {
    for flood in [vec![], text("more")] {
        let (mut handler, stage) = connect_stuck(no_timers().write_timeout(30 * SECOND));
        stage.send([text("slow"), text("next")].concat());
        stage.at(50_000).await;
        stage.room(usize::MAX);
        if !flood.is_empty() {
            stage.send_for_ever(flood);
        }
        assert_eq!([handler.next().await, handler.next().await], ["init", "text slow"]);
        assert_eq!(handler.next_at().await, ("terminate Timeout(Write)".into(), 100_000));
        assert_eq!(stage.written_len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_is_cut_off_also_after_the_last_callback_of_a_round() {
    let (actor, stage) = transport();
    stage.room(0);
    let mut handler = connect_over(actor, no_timers().write_timeout(30 * SECOND), |call| match call {
        "init" => push("x".repeat(98)),
        "info 63" => slowly(100 * SECOND, Outcome::none()),
        _ => go_on(),
    });
    let mailbox = handler.mailbox().await;
    (0..64).for_each(|info| mailbox.try_send(info).unwrap());
    cut_off(&mut handler, &stage, 100_000).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_left_to_write_at_the_close_is_under_the_write_timeout() {
    let (mut handler, stage) = connect_stuck(no_timers().write_timeout(10 * SECOND));
    stage.send(text("stop"));
    stage.at(9000).await;
    stage.room(50);
    assert_eq!(handler.gone().await, 19_000);
    assert_eq!(handler.rest().await, ["init", "text stop", "terminate Normal"]);
    assert_eq!(stage.written_len(), 50);
}

#[tokio::test(start_paused = true)]
async fn a_flush_that_waits_is_taken_up_again() {
    let (mut handler, stage) = connect(no_timers());
    stage.flush_waits(true);
    let mailbox = handler.mailbox().await;
    mailbox.send(2).await.unwrap();
    quiet().await;
    stage.flush_waits(false);
    let before = stage.operations();
    quiet().await;
    assert!(stage.operations() > before);
    assert_eq!(stage.frames(), ["text news"]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_flushed_counts_as_not_taken() {
    let (mut handler, stage) = connect(no_timers().write_timeout(10 * SECOND));
    let mailbox = handler.mailbox().await;
    stage.flush_waits(true);
    mailbox.send(2).await.unwrap();
    stage.at(9000).await;
    stage.flush_waits(false);
    stage.at(30_000).await;
    stage.flush_waits(true);
    mailbox.send(2).await.unwrap();
    assert_eq!(handler.gone().await, 40_000);
    let end = "terminate Timeout(Write)";
    assert_eq!(handler.rest().await, ["init", "info 2", "info 2", end]);
}

// T4

#[tokio::test(start_paused = true)]
async fn after_a_slow_callback_what_the_peer_sent_meanwhile_is_read_first() {
    let options = no_timers().timeout(10 * SECOND).message_timeout(10 * SECOND).keepalive(KEEPALIVE);
    for init in [false, true] {
        let (actor, stage) = transport();
        let mut handler = connect_over(actor, options.clone(), move |call| match call {
            "init" if init => slowly(100 * SECOND, Outcome::none()),
            "text slow" => slowly(100 * SECOND, Outcome::none()),
            _ => go_on(),
        });
        if !init {
            stage.send([&text("slow")[..], &text("half")[..5]].concat());
        }
        stage.at(50_000).await;
        if init {
            stage.send(&text("half")[..5]);
        }
        stage.send(&text("half")[5..]);
        assert_eq!(handler.next().await, "init");
        if !init {
            assert_eq!(handler.next().await, "text slow");
        }
        assert_eq!(handler.next_at().await, ("text half".into(), 100_000));
        assert_eq!(stage.frames(), [""; 0]);
        ends(&mut handler, &stage, "Keepalive", 108_000, UNANSWERED).await;
        assert_eq!(stage.frames_at()[0], (105_000, "ping".into()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_pong_that_came_during_a_slow_callback_answers_its_ping() {
    let (mut handler, stage) = connect(no_timers().keepalive(KEEPALIVE));
    let mailbox = handler.mailbox().await;
    stage.at(6000).await;
    mailbox.send(1).await.unwrap();
    stage.at(50_000).await;
    stage.send(pong(""));
    assert_eq!([handler.next().await, handler.next().await], ["init", "info 1"]);
    assert_eq!(handler.next_at().await, ("pong".into(), 106_000));
    ends(&mut handler, &stage, "Keepalive", 114_000, UNANSWERED).await;
    assert_eq!(stage.frames_at()[1], (111_000, "ping".into()));
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_slow_callback_counts_for_no_timer() {
    let first = 1000;
    let rows = [
        (no_timers().timeout(10 * SECOND), vec![], "Idle", IDLE, first + 10_000),
        (no_timers().keepalive(KEEPALIVE), vec![], "Keepalive", UNANSWERED, first + 8000),
        (
            no_timers().message_timeout(10 * SECOND),
            text("half")[..3].to_vec(),
            "Message",
            SLOW,
            first + 10_000,
        ),
    ];
    for (options, bytes, timeout, written, at) in rows {
        let (mut handler, stage) = connect(options);
        stage.at(first).await;
        stage.send([&pong("")[..], &bytes].concat());
        stage.at(7000).await;
        handler.mailbox().await.send(1).await.unwrap();
        ends(&mut handler, &stage, timeout, u128::from(at) + 100_000, written).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_in_which_we_do_not_read_counts_for_no_timer() {
    let rows = [
        (no_timers().timeout(10 * SECOND), "Idle", IDLE),
        (no_timers().message_timeout(10 * SECOND), "Message", SLOW),
        (no_timers().keepalive(Keepalive::new(4 * SECOND, 6 * SECOND).unwrap()), "Keepalive", UNANSWERED),
    ];
    for (options, timeout, written) in rows {
        let (actor, stage) = transport();
        let mut handler = connect_over(actor, options.write_high_water(ONE), |call| match call {
            "info 1" => push("blocked"),
            _ => go_on(),
        });
        stage.at(1000).await;
        stage.send(&text("half")[..3]);
        stage.at(2000).await;
        stage.room(0);
        handler.mailbox().await.send(1).await.unwrap();
        stage.at(70_000).await;
        assert_eq!(handler.so_far(), ["init", "info 1"]);
        stage.room(usize::MAX);
        ends(&mut handler, &stage, timeout, 79_000, written).await;
    }
}

// T6

const SLOW: &str = "close 1008 message timeout";

#[tokio::test(start_paused = true)]
async fn a_message_that_takes_too_long_is_refused_however_steadily_it_comes() {
    let in_one_frame = text(&"x".repeat(100));
    let in_bytes: Vec<Vec<u8>> = in_one_frame.iter().map(|byte| vec![*byte]).collect();
    let fragments = [vec![frame(0x01, "x")], vec![[frame(0x00, ""), ping("")].concat(); 20]].concat();
    let large = frame(0x82, vec![7; 400_000]).chunks(20_000).map(<[u8]>::to_vec).collect();
    for pieces in [in_bytes, fragments, large] {
        let (mut handler, stage) = connect(no_timers().message_timeout(10 * SECOND));
        let sender = stage.clone();
        tokio::spawn(async move {
            for (second, piece) in (2..).zip(pieces) {
                sender.at(second * 1000).await;
                sender.send(piece);
            }
        });
        ends(&mut handler, &stage, "Message", 12_000, SLOW).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_complete_in_time_is_told() {
    let (mut handler, stage) = connect(no_timers().message_timeout(10 * SECOND));
    stage.at(2000).await;
    stage.send(&text("done")[..4]);
    stage.at(11_999).await;
    stage.send(&text("done")[4..]);
    assert_eq!([handler.next().await, handler.next().await], ["init", "text done"]);
    tokio::time::sleep(DAY).await;
    assert_eq!(handler.so_far(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn each_message_has_the_whole_message_timeout() {
    let (mut handler, stage) = connect(no_timers().message_timeout(10 * SECOND));
    stage.at(2000).await;
    stage.send(frame(0x01, "one"));
    stage.at(11_000).await;
    stage.send([frame(0x80, ""), frame(0x01, "two")].concat());
    ends(&mut handler, &stage, "Message", 21_000, SLOW).await;
}
