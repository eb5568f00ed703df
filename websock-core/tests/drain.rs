//! The drain (SPEC S1-S3, L11), over an in-memory transport and a paused clock.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::future::pending;
use std::num::NonZeroUsize;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;
use websock_core::upgrade::{Accepted, HttpVersion, negotiate};
use websock_core::{
    Bytes, CloseCode, CloseReason, Drain, Drained, HandleResult, Message, Options, Outcome, RequestHead,
    Shutdown, Socket, UpgradeError, WebSock,
};

const SECOND: Duration = Duration::from_secs(1);

/// What a [`Probe`] does beside reporting.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Habit {
    Echo,
    /// `init` takes two seconds and pushes "late".
    SlowInit,
    /// `handle_in` never ends.
    Stuck,
    /// `terminate` takes half a second.
    Parting,
    /// `terminate` never ends.
    Clinging,
    /// `handle_in` and `terminate` never end.
    StuckAndClinging,
    /// `init` puts a message into its own mailbox and pushes "pushed".
    Busy,
}

/// Reports each callback, and its own drop.
struct Probe {
    habit: Habit,
    reports: UnboundedSender<String>,
}

impl Probe {
    fn report(&self, what: impl Into<String>) {
        self.reports.send(what.into()).unwrap();
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let _ = self.reports.send("dropped".into());
    }
}

impl WebSock for Probe {
    type Info = ();

    async fn init(&mut self, socket: Socket<()>) -> HandleResult {
        self.report("init");
        Ok(match self.habit {
            Habit::SlowInit => {
                tokio::time::sleep(2 * SECOND).await;
                Outcome::push("late")
            }
            Habit::Busy => {
                socket.mailbox().try_send(()).unwrap();
                Outcome::push("pushed")
            }
            _ => Outcome::none(),
        })
    }

    async fn handle_in(&mut self, message: Message) -> HandleResult {
        self.report("in");
        if matches!(self.habit, Habit::Stuck | Habit::StuckAndClinging) {
            pending::<()>().await;
        }
        Ok(Outcome::push(message))
    }

    async fn handle_info(&mut self, (): ()) -> HandleResult {
        self.report("info");
        Ok(Outcome::none())
    }

    async fn terminate(self, reason: CloseReason) {
        self.report(format!("terminate {reason:?}"));
        if self.habit == Habit::Parting {
            tokio::time::sleep(SECOND / 2).await;
            self.report("parted");
        }
        if matches!(self.habit, Habit::Clinging | Habit::StuckAndClinging) {
            pending::<()>().await;
        }
    }
}

fn accepted(options: &Options) -> Result<Accepted, UpgradeError> {
    let head = RequestHead::new(HttpVersion::Http11, "GET")
        .header("connection", b"upgrade")
        .header("upgrade", b"websocket")
        .header("sec-websocket-version", b"13")
        .header("sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==");
    negotiate(&head, options)
}

fn probe(habit: Habit) -> (Probe, UnboundedReceiver<String>) {
    let (reports, receiver) = unbounded_channel();
    (Probe { habit, reports }, receiver)
}

/// A running connection, as its client sees it.
struct Peer {
    stream: DuplexStream,
    reports: UnboundedReceiver<String>,
}

impl Peer {
    /// Connects, and waits until `init` is entered.
    async fn connect(options: &Options, habit: Habit) -> Self {
        let mut peer = Peer::start(options, habit, 4096);
        assert_eq!(peer.reports.recv().await.as_deref(), Some("init"));
        peer
    }

    fn start(options: &Options, habit: Habit, on_the_way: usize) -> Self {
        let (probe, reports) = probe(habit);
        let (stream, server) = tokio::io::duplex(on_the_way);
        tokio::spawn(accepted(options).unwrap().connection(probe).run(server, Bytes::new()));
        Peer { stream, reports }
    }

    /// Sends a text message, masked with a key of zeros.
    async fn say(&mut self, text: &str) {
        let mut frame = vec![0x81, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0];
        frame.extend_from_slice(text.as_bytes());
        self.stream.write_all(&frame).await.unwrap();
        assert_eq!(self.reports.recv().await.as_deref(), Some("in"));
    }

    /// Everything that still comes, to the end.
    async fn rest(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        self.stream.read_to_end(&mut all).await.unwrap();
        all
    }

    /// The same, and then ends its side as well.
    async fn rest_and_end(&mut self) -> Vec<u8> {
        let rest = self.rest().await;
        self.stream.shutdown().await.unwrap();
        rest
    }

    /// What the handler still reports, to its drop.
    async fn reported(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(report) = self.reports.recv().await {
            all.push(report);
        }
        all
    }
}

const GOING_AWAY: &[u8] = &[0x88, 2, 0x03, 0xE9];
const RESTART: &[u8] = &[0x88, 2, 0x03, 0xF4];

#[tokio::test(start_paused = true)]
async fn without_connections_it_is_done_at_once() {
    let start = Instant::now();
    let drained = Drain::new().shut_down(Shutdown::within(10 * SECOND)).await;
    assert_eq!(drained, Drained { closed: 0, cut: 0 });
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn every_connection_gets_its_close_and_is_waited_for() {
    let drain = Drain::new();
    let options = Options::default().drain(drain.clone());
    let mut peers = Vec::new();
    for _ in 0..5 {
        peers.push(Peer::connect(&options, Habit::Echo).await);
    }
    assert_eq!(drain.live(), 5);
    let (drained, ()) =
        tokio::join!(drain.shut_down(Shutdown::within(10 * SECOND).code(CloseCode::RESTART)), async {
            for peer in &mut peers {
                assert_eq!(drain.live(), 5);
                assert_eq!(peer.rest().await, RESTART);
            }
            for peer in &mut peers {
                peer.stream.shutdown().await.unwrap();
                assert_eq!(peer.reported().await, ["terminate Shutdown", "dropped"]);
            }
        });
    assert_eq!(drained, Drained { closed: 5, cut: 0 });
    assert_eq!(drain.live(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_connection_counts_from_its_acceptance_to_its_end() {
    let drain = Drain::new();
    let options = Options::default().drain(drain.clone());
    let connection = accepted(&options).unwrap().connection(probe(Habit::Echo).0);
    assert_eq!(drain.live(), 1);
    connection.fail("the server forgot it", "remember it");
    assert_eq!(drain.live(), 0);
    let connection = accepted(&options).unwrap().connection(probe(Habit::Echo).0);
    let (mut client, server) = tokio::io::duplex(64);
    let running = tokio::spawn(connection.run(server, Bytes::new()));
    tokio::task::yield_now().await;
    assert_eq!(drain.live(), 1);
    client.shutdown().await.unwrap();
    running.await.unwrap();
    assert_eq!(drain.live(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_task_is_dropped_counts_no_longer() {
    let drain = Drain::new();
    let connection =
        accepted(&Options::default().drain(drain.clone())).unwrap().connection(probe(Habit::Echo).0);
    let (_client, server) = tokio::io::duplex(64);
    let running = tokio::spawn(connection.run(server, Bytes::new()));
    tokio::task::yield_now().await;
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    assert_eq!(drain.live(), 0);
}

#[tokio::test(start_paused = true)]
async fn new_upgrades_are_refused_while_it_drains() {
    for (delay, retry_after) in [(Duration::from_millis(6500), 7), (6 * SECOND, 6), (Duration::MAX, u64::MAX)]
    {
        let drain = Drain::new();
        let options = Options::default().drain(drain.clone());
        assert!(accepted(&options).is_ok());
        assert!(!drain.is_draining());
        drain.shut_down(Shutdown::within(SECOND).retry_after(delay)).await;
        assert!(drain.is_draining());
        assert_eq!(accepted(&options).unwrap_err(), UpgradeError::Draining { retry_after });
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_pushed_comes_first_and_what_waits_in_the_mailbox_is_dropped() {
    let drain = Drain::new();
    let mark = NonZeroUsize::MIN; // with one byte unsent, no further callback runs
    let options = Options::default().drain(drain.clone()).write_high_water(mark);
    let mut peer = Peer::start(&options, Habit::Busy, 2); // two bytes are on the way, six are still unsent
    assert_eq!(peer.reports.recv().await.as_deref(), Some("init"));
    let (drained, rest) = tokio::join!(drain.shut_down(Shutdown::within(10 * SECOND)), peer.rest_and_end());
    assert_eq!(rest, [&[0x81, 6][..], b"pushed", GOING_AWAY].concat());
    assert_eq!(drained, Drained { closed: 1, cut: 0 });
    assert_eq!(peer.reported().await, ["terminate Shutdown", "dropped"]);
}

#[tokio::test(start_paused = true)]
async fn a_drain_before_init_closes_without_a_callback() {
    let drain = Drain::new();
    let options = Options::default().drain(drain.clone());
    let (probe, reports) = probe(Habit::Echo);
    let connection = accepted(&options).unwrap().connection(probe);
    let (stream, server) = tokio::io::duplex(64);
    let mut peer = Peer { stream, reports };
    let run = async {
        tokio::task::yield_now().await;
        connection.run(server, Bytes::new()).await;
    };
    let shut_down = drain.shut_down(Shutdown::within(10 * SECOND));
    let (drained, (), rest) = tokio::join!(shut_down, run, peer.rest_and_end());
    assert_eq!(drained, Drained { closed: 1, cut: 0 });
    assert_eq!(rest, GOING_AWAY);
    assert_eq!(peer.reported().await, ["dropped"]);
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_that_was_negotiated_before_the_drain_began_is_closed_too() {
    let drain = Drain::new();
    let late = accepted(&Options::default().drain(drain.clone())).unwrap();
    drain.shut_down(Shutdown::within(SECOND)).await;
    let (probe, reports) = probe(Habit::Echo);
    let (stream, server) = tokio::io::duplex(64);
    tokio::spawn(late.connection(probe).run(server, Bytes::new()));
    let mut peer = Peer { stream, reports };
    assert_eq!(peer.rest_and_end().await, GOING_AWAY);
    assert_eq!(peer.reported().await, ["dropped"]);
}

#[tokio::test(start_paused = true)]
async fn a_callback_that_runs_ends_first() {
    let drain = Drain::new();
    let mut peer = Peer::connect(&Options::default().drain(drain.clone()), Habit::SlowInit).await;
    let start = Instant::now();
    let (drained, rest) = tokio::join!(drain.shut_down(Shutdown::within(10 * SECOND)), peer.rest_and_end());
    assert_eq!(rest, [&[0x81, 4][..], b"late", GOING_AWAY].concat());
    assert_eq!(drained, Drained { closed: 1, cut: 0 });
    assert_eq!(start.elapsed(), 2 * SECOND);
    assert_eq!(peer.reported().await, ["terminate Shutdown", "dropped"]);
}

#[tokio::test(start_paused = true)]
async fn a_callback_that_does_not_end_is_cut_at_the_deadline() {
    let drain = Drain::new();
    let mut peer = Peer::connect(&Options::default().drain(drain.clone()), Habit::Stuck).await;
    peer.say("x").await;
    let start = Instant::now();
    assert_eq!(drain.shut_down(Shutdown::within(3 * SECOND)).await, Drained { closed: 0, cut: 1 });
    assert_eq!(start.elapsed(), 3 * SECOND);
    assert_eq!(peer.rest().await, b"");
    assert_eq!(peer.reported().await, ["terminate Shutdown", "dropped"]);
}

#[tokio::test(start_paused = true)]
async fn terminate_has_one_second_after_a_cut() {
    let drain = Drain::new();
    let mut peer = Peer::connect(&Options::default().drain(drain.clone()), Habit::StuckAndClinging).await;
    peer.say("x").await;
    let start = Instant::now();
    assert_eq!(drain.shut_down(Shutdown::within(3 * SECOND)).await, Drained { closed: 0, cut: 1 });
    assert_eq!(start.elapsed(), 4 * SECOND);
    assert_eq!(peer.reported().await, ["terminate Shutdown", "dropped"]);
}

#[tokio::test(start_paused = true)]
async fn a_cut_during_init_or_terminate_drops_the_handler() {
    let drain = Drain::new();
    let options = Options::default().drain(drain.clone());
    let mut in_init = Peer::connect(&options, Habit::SlowInit).await;
    let mut in_terminate = Peer::connect(&options, Habit::Clinging).await;
    let start = Instant::now();
    assert_eq!(drain.shut_down(Shutdown::within(SECOND)).await, Drained { closed: 0, cut: 2 });
    assert_eq!(start.elapsed(), SECOND);
    assert_eq!(in_init.rest().await, b"");
    assert_eq!(in_init.reported().await, ["dropped"]);
    assert_eq!(in_terminate.rest().await, GOING_AWAY);
    assert_eq!(in_terminate.reported().await, ["terminate Shutdown", "dropped"]);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_answer_is_cut_at_the_deadline() {
    let drain = Drain::new();
    let mut peer = Peer::connect(&Options::default().drain(drain.clone()), Habit::Echo).await;
    let start = Instant::now();
    assert_eq!(drain.shut_down(Shutdown::within(2 * SECOND)).await, Drained { closed: 0, cut: 1 });
    assert_eq!(start.elapsed(), 2 * SECOND);
    assert_eq!(peer.reported().await, ["terminate Shutdown", "dropped"]);
}

#[tokio::test(start_paused = true)]
async fn batches_are_told_one_after_the_other() {
    let drain = Drain::new();
    let options = Options::default().drain(drain.clone());
    let start = Instant::now();
    let mut told = Vec::new();
    for _ in 0..5 {
        let mut peer = Peer::connect(&options, Habit::Echo).await;
        told.push(tokio::spawn(async move {
            assert_eq!(peer.rest_and_end().await, GOING_AWAY);
            start.elapsed().as_secs()
        }));
    }
    let how = Shutdown::within(60 * SECOND).batches(NonZeroUsize::new(2).unwrap(), 10 * SECOND);
    assert_eq!(drain.shut_down(how).await, Drained { closed: 5, cut: 0 });
    let mut times = Vec::new();
    for told in told {
        times.push(told.await.unwrap());
    }
    times.sort_unstable();
    assert_eq!(times, [0, 0, 10, 10, 20]);
}

#[tokio::test(start_paused = true)]
async fn batches_are_for_those_that_live_and_the_last_pause_is_for_nobody() {
    let drain = Drain::new();
    let options = Options::default().drain(drain.clone());
    let start = Instant::now();
    let mut peers = Vec::new();
    for _ in 0..6 {
        peers.push(Peer::connect(&options, Habit::Echo).await);
    }
    let mut stays = peers.remove(0);
    let how = Shutdown::within(600 * SECOND).batches(NonZeroUsize::MIN, 50 * SECOND);
    let others_go = async {
        tokio::time::sleep(SECOND).await;
        drop(peers);
        assert_eq!(stays.rest_and_end().await, GOING_AWAY);
    };
    let (drained, ()) = tokio::join!(drain.shut_down(how), others_go);
    assert_eq!(drained, Drained { closed: 6, cut: 0 });
    // At once, if it happens to be in the first batch, else in the second.
    assert!(start.elapsed() <= 50 * SECOND, "{:?}", start.elapsed());

    let drain = Drain::new();
    let peers = [(); 4].map(|()| Peer::start(&Options::default().drain(drain.clone()), Habit::Echo, 64));
    let start = Instant::now();
    let how = Shutdown::within(600 * SECOND).batches(NonZeroUsize::MIN, 60 * SECOND);
    let all_go = async {
        tokio::time::sleep(SECOND).await;
        drop(peers);
    };
    let (drained, ()) = tokio::join!(drain.shut_down(how), all_go);
    assert_eq!((drained, start.elapsed()), (Drained { closed: 4, cut: 0 }, SECOND));
}

#[tokio::test(start_paused = true)]
async fn batches_that_the_deadline_leaves_no_time_for_are_still_told() {
    let drain = Drain::new();
    let options = Options::default().drain(drain.clone());
    let mut first = Peer::connect(&options, Habit::Echo).await;
    let mut second = Peer::connect(&options, Habit::Echo).await;
    let how = Shutdown::within(5 * SECOND).batches(NonZeroUsize::MIN, 60 * SECOND);
    let start = Instant::now();
    let drained = drain.shut_down(how).await;
    assert_eq!(drained.closed + drained.cut, 2);
    assert_eq!(start.elapsed(), 5 * SECOND);
    assert_eq!(first.rest().await, GOING_AWAY);
    assert_eq!(second.rest().await, GOING_AWAY);
}

#[tokio::test(start_paused = true)]
async fn terminate_has_its_second_also_where_the_deadline_leaves_no_time_for_a_batch() {
    for deadline in [Duration::ZERO, SECOND] {
        let drain = Drain::new();
        let options = Options::default().drain(drain.clone());
        let mut first = Peer::connect(&options, Habit::Parting).await;
        let mut second = Peer::connect(&options, Habit::Parting).await;
        let start = Instant::now();
        let how = Shutdown::within(deadline).batches(NonZeroUsize::MIN, 60 * SECOND);
        let (drained, first_rest) = tokio::join!(drain.shut_down(how), first.rest_and_end());
        assert_eq!(drained.closed + drained.cut, 2);
        assert_eq!(start.elapsed(), deadline + SECOND / 2);
        assert_eq!(first_rest, GOING_AWAY);
        assert_eq!(second.rest().await, GOING_AWAY);
        assert_eq!(first.reported().await, ["terminate Shutdown", "parted", "dropped"]);
        assert_eq!(second.reported().await, ["terminate Shutdown", "parted", "dropped"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_call_waits_for_the_same_end() {
    let drain = Drain::new();
    let mut peer = Peer::connect(&Options::default().drain(drain.clone()), Habit::SlowInit).await;
    let first = drain.shut_down(Shutdown::within(10 * SECOND));
    let second = drain.shut_down(Shutdown::within(Duration::ZERO).code(CloseCode::RESTART));
    let (first, second, rest) = tokio::join!(first, second, peer.rest_and_end());
    assert_eq!(rest[rest.len() - 4..], *GOING_AWAY);
    assert_eq!((first, second), (Drained { closed: 1, cut: 0 }, Drained { closed: 1, cut: 0 }));
}

#[tokio::test(start_paused = true)]
async fn what_a_dropped_call_has_not_closed_a_later_one_closes() {
    let drain = Drain::new();
    let options = Options::default().drain(drain.clone());
    let start = Instant::now();
    let mut told = Vec::new();
    for _ in 0..3 {
        let mut peer = Peer::connect(&options, Habit::Echo).await;
        told.push(tokio::spawn(async move {
            assert_eq!(peer.rest_and_end().await, GOING_AWAY);
            start.elapsed().as_secs()
        }));
    }
    let how = Shutdown::within(60 * SECOND).batches(NonZeroUsize::MIN, 10 * SECOND);
    tokio::time::timeout(5 * SECOND, drain.shut_down(how.clone())).await.unwrap_err();
    assert_eq!(drain.live(), 2);
    assert_eq!(drain.shut_down(how).await, Drained { closed: 3, cut: 0 });
    let mut times = Vec::new();
    for told in told {
        times.push(told.await.unwrap());
    }
    times.sort_unstable();
    assert_eq!(times, [0, 5, 15]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_polled_no_longer_keeps_no_later_one_from_its_deadline() {
    let drain = Drain::new();
    let options = Options::default().drain(drain.clone());
    let mut peers = [Peer::connect(&options, Habit::Echo).await, Peer::connect(&options, Habit::Echo).await];
    let how = Shutdown::within(20 * SECOND).batches(NonZeroUsize::MIN, 30 * SECOND);
    let mut stuck = std::pin::pin!(drain.shut_down(how.clone()));
    tokio::time::timeout(SECOND, stuck.as_mut()).await.unwrap_err();
    let drained = drain.shut_down(how).await;
    assert_eq!((drained.closed + drained.cut, drain.live()), (2, 0));
    for peer in &mut peers {
        assert_eq!(peer.rest().await, GOING_AWAY);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_closing_already_keeps_its_own_end() {
    let drain = Drain::new();
    let mut peer = Peer::connect(&Options::default().drain(drain.clone()), Habit::Echo).await;
    peer.stream.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE8]).await.unwrap();
    let report = peer.reports.recv().await.unwrap();
    assert!(report.starts_with("terminate Remote"), "{report}");
    let (drained, rest) = tokio::join!(drain.shut_down(Shutdown::within(10 * SECOND)), peer.rest_and_end());
    assert_eq!(rest, [0x88, 2, 0x03, 0xE8]);
    assert_eq!(drained, Drained { closed: 1, cut: 0 });
    assert_eq!(peer.reported().await, ["dropped"]);
}
