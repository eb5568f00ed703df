//! The life of a connection (SPEC L).

use std::future::{Future, ready};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Wake};
use std::time::Duration;

use miniz_oxide::deflate::compress_to_vec;
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::yield_now;
use tokio::time::sleep;
use websock_core::upgrade::{HttpVersion, negotiate};
use websock_core::{
    Bytes, CloseCode, CloseReason, Control, HandleResult, Mailbox, Message, Options, Outcome, RequestHead,
    Socket, TrySendError, WebSock,
};

use crate::support::{
    Ear, Gate, SECOND, Sharing, accepted, answer, clock_until, close, connect, connect_over, connect_with,
    frame, go_on, never, ping, pong, push, quiet, slowly, text, transport,
};

#[tokio::test(start_paused = true)]
async fn callbacks_run_from_init_to_terminate_in_the_order_in_which_things_arrive() {
    let (mut peer, mut handler) = connect(Options::default(), |_| go_on());
    assert_eq!(handler.next().await, "init");
    peer.send([text("one"), ping("two"), frame(0x82, "three"), pong("four")].concat()).await;
    for call in ["text one", "ping two", "binary three", "pong four"] {
        assert_eq!(handler.next().await, call);
    }
    handler.mailbox().await.send(5).await.unwrap();
    assert_eq!(handler.next().await, "info 5");
    peer.send([text("six"), close(4000, "bye")].concat()).await;
    let end = "terminate Remote { code: Some(CloseCode(4000)), reason: \"bye\" }";
    assert_eq!(handler.rest().await, ["text six", end]);
}

/// Counts its callbacks across an `.await`, and finds out whether two run at once.
struct Counter {
    count: u32,
    inside: Arc<AtomicBool>,
    result: UnboundedSender<u32>,
}

impl Counter {
    async fn count(&mut self) -> HandleResult {
        assert!(!self.inside.swap(true, Ordering::Relaxed), "two callbacks at once");
        let before = self.count;
        yield_now().await;
        sleep(Duration::from_millis(1)).await;
        self.count = before + 1;
        self.inside.store(false, Ordering::Relaxed);
        Ok(Outcome::push(self.count.to_string()))
    }
}

impl WebSock for Counter {
    type Info = ();

    async fn init(&mut self, socket: Socket<()>) -> HandleResult {
        (0..20).for_each(|_| socket.mailbox().try_send(()).unwrap());
        self.count().await
    }

    async fn handle_in(&mut self, _: Message) -> HandleResult {
        self.count().await
    }

    async fn handle_control(&mut self, _: Control) -> HandleResult {
        self.count().await
    }

    async fn handle_info(&mut self, (): ()) -> HandleResult {
        self.count().await
    }

    async fn terminate(mut self, _: CloseReason) {
        let _ = self.count().await.unwrap();
        self.result.send(self.count).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn no_two_callbacks_run_at_once_and_each_sees_the_state_of_the_one_before() {
    let (actor, stage) = transport();
    let (result, mut results) = unbounded_channel();
    stage.send([text("x"), pong("y")].concat().repeat(20));
    tokio::spawn(
        accepted(&Options::default())
            .connection(Counter { count: 0, inside: Arc::default(), result })
            .run(actor, Bytes::new()),
    );
    quiet().await;
    sleep(SECOND).await;
    stage.send(close(1000, ""));
    assert_eq!(results.recv().await, Some(62));
    let counted = (1..=61).map(|count| format!("text {count}"));
    assert_eq!(stage.frames(), counted.chain(["close 1000".into()]).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn nothing_runs_before_init_has_ended_and_what_it_pushes_comes_first() {
    let gate = Gate::default();
    let held = gate.clone();
    let (mut peer, mut handler) = connect(Options::default(), move |call| match call {
        "init" => held.then(Outcome::push("from init")),
        call => push(call),
    });
    handler.mailbox().await.send(1).await.unwrap();
    peer.send(text("a")).await;
    quiet().await;
    assert_eq!(handler.so_far(), ["init"]);
    gate.open();
    assert_eq!(peer.next().await, "text from init");
    let mut others = [peer.next().await, peer.next().await];
    others.sort();
    assert_eq!(others, ["text info 1", "text text a"]);
}

#[tokio::test(start_paused = true)]
async fn a_push_or_stop_of_init_goes_out_before_anything_is_read() {
    let (actor, stage) = transport();
    stage.send(text("early"));
    let mut handler = connect_over(actor, Options::default(), |_| {
        answer(Outcome::stop().with(["last"]).close(CloseCode::POLICY, "no"))
    });
    assert_eq!(handler.rest().await, ["init", "terminate Normal"]);
    stage.end();
    handler.gone().await;
    assert_eq!(stage.frames(), ["text last", "close 1008 no"]);
    assert!(stage.log()[0].starts_with("write"), "{:?}", stage.log());
}

#[tokio::test(start_paused = true)]
async fn bytes_that_came_with_the_request_are_the_first_of_the_stream() {
    let (actor, stage) = transport();
    let bytes = [text("one"), text("two"), text("three")].concat();
    let (first, second) = bytes.split_at(13);
    stage.send(second);
    let received = Bytes::copy_from_slice(first);
    let mut handler = connect_with(actor, received, &Options::default(), |_| go_on());
    for call in ["init", "text one", "text two", "text three"] {
        assert_eq!(handler.next().await, call);
    }
}

#[tokio::test(start_paused = true)]
async fn fragments_are_told_as_one_message_of_the_kind_of_the_first() {
    let (mut peer, mut handler) = connect(Options::default(), |_| go_on());
    peer.send([frame(0x01, "a"), ping("between"), frame(0x00, ""), frame(0x80, "b")].concat()).await;
    peer.send([frame(0x02, "c"), frame(0x80, "d")].concat()).await;
    peer.send(close(1000, "")).await;
    let calls = handler.rest().await;
    assert_eq!(calls[..4], ["init", "ping between", "text ab", "binary cd"]);
    assert_eq!(calls.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_pong_is_queued_before_its_ping_is_told_and_a_pong_is_not_answered() {
    let (mut peer, mut handler) = connect(Options::default(), |call| push(call));
    assert_eq!(peer.next().await, "text init");
    peer.send([ping("a"), ping(""), pong("b"), close(1000, "")].concat()).await;
    let sent = ["pong a", "text ping a", "pong", "text ping", "text pong b", "close 1000"];
    assert_eq!(peer.rest().await, sent);
    assert_eq!(handler.rest().await[1..4], ["ping a", "ping", "pong b"]);
}

#[tokio::test(start_paused = true)]
async fn each_message_in_the_mailbox_is_told_in_order() {
    let (_peer, mut handler) = connect(Options::default(), |_| go_on());
    let mailbox = handler.mailbox().await;
    for info in 0..200 {
        mailbox.send(info).await.unwrap();
    }
    assert_eq!(handler.next().await, "init");
    for info in 0..200 {
        assert_eq!(handler.next().await, format!("info {info}"));
    }
}

/// What may end a connection at the same moment as the others.
#[derive(Clone, Copy, Debug)]
struct Ends {
    callback: &'static str,
    by_mailbox: bool,
    peer_closes: bool,
    peer_ends: bool,
}

impl Ends {
    fn all() -> impl Iterator<Item = Ends> {
        let callbacks = ["goes on", "stops", "fails", "panics", "takes too long"];
        callbacks.into_iter().flat_map(|callback| {
            (0..8).map(move |bits| Ends {
                callback,
                by_mailbox: bits & 1 > 0,
                peer_closes: bits & 2 > 0,
                peer_ends: bits & 4 > 0,
            })
        })
    }

    /// The end that the driver comes upon first.
    fn first(self) -> &'static str {
        match self {
            Ends { callback: "stops", .. } => "terminate Normal",
            Ends { callback: "fails", .. } => "terminate Error(Handler(\"boom\"))",
            Ends { callback: "panics", .. } => "terminate Error(Panic)",
            Ends { callback: "takes too long", .. } => "terminate Timeout(Callback)",
            Ends { by_mailbox: true, .. } => "terminate Normal",
            Ends { peer_closes: true, .. } => {
                "terminate Remote { code: Some(CloseCode(1001)), reason: \"\" }"
            }
            Ends { peer_ends: true, .. } => "terminate Error(Disconnected)",
            _ => "terminate Timeout(Idle)",
        }
    }
}

/// SPEC L7.
#[tokio::test(start_paused = true)]
async fn terminate_is_called_once_and_last_when_several_ends_come_at_once() {
    for ends in Ends::all() {
        let (actor, stage) = transport();
        let options = Options::default().timeout(10 * SECOND).callback_timeout(5 * SECOND);
        let mut handler = connect_over(actor, options, move |call| match (call, ends.callback) {
            ("text go", "takes too long") => never(),
            ("text go", callback) => Box::pin(async move {
                sleep(4 * SECOND).await;
                match callback {
                    "stops" => Ok(Outcome::stop()),
                    "fails" => Err("boom".into()),
                    "panics" => panic!("boom"),
                    _ => Ok(Outcome::none()),
                }
            }),
            _ => slowly(SECOND, Outcome::none()),
        });
        stage.send(text("go"));
        assert_eq!([handler.next().await, handler.next().await], ["init", "text go"], "{ends:?}");
        if ends.by_mailbox {
            handler.mailbox().await.close(CloseCode::NORMAL, "");
        }
        if ends.peer_closes {
            stage.send(close(1001, ""));
        }
        if ends.peer_ends {
            stage.end();
        }
        assert_eq!(handler.rest().await, [ends.first()], "{ends:?}");
        handler.gone().await;
        let closes = usize::from(ends.first() != "terminate Error(Disconnected)");
        assert_eq!(stage.frames().len(), closes, "{ends:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_callback_runs_after_terminate_has_begun() {
    let gate = Gate::default();
    let held = gate.clone();
    let (mut peer, mut handler) = connect(Options::default(), move |call| match call {
        "text stop" => answer(Outcome::stop()),
        "terminate Normal" => held.then(Outcome::push("nothing")),
        _ => go_on(),
    });
    let mailbox = handler.mailbox().await;
    peer.send(text("stop")).await;
    assert_eq!(peer.next().await, "close 1000");
    peer.send([text("late"), ping("late")].concat()).await;
    assert_eq!(mailbox.try_send(1), Err(TrySendError::Closed(1)));
    quiet().await;
    gate.open();
    assert_eq!(handler.rest().await, ["init", "text stop", "terminate Normal"]);
    assert_eq!(peer.rest().await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_handler_whose_init_panics_is_dropped_without_terminate() {
    let (mut peer, mut handler) = connect(Options::default(), |_| panic!("boom"));
    assert_eq!(handler.rest().await, ["init"]);
    assert_eq!(peer.rest_and_end().await, ["close 1011"]);
    handler.gone().await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_whose_task_is_dropped_is_dropped_without_terminate() {
    for stuck_in in ["", "init", "text a", "terminate Normal"] {
        let (mut peer, mut handler) = connect(Options::default(), move |call| match call {
            call if call == stuck_in => never(),
            "text a" => answer(Outcome::stop()),
            _ => go_on(),
        });
        if stuck_in != "init" {
            peer.send(text("a")).await;
        }
        quiet().await;
        handler.task.abort();
        let mut calls = handler.rest().await;
        if stuck_in.is_empty() || stuck_in == "terminate Normal" {
            assert_eq!(calls.pop().unwrap(), "terminate Normal");
        }
        assert!(!calls.iter().any(|call| call.starts_with("terminate")), "{stuck_in}: {calls:?}");
    }
}

/// A handler of which each message waits until it is let go on, and which gives away its mailbox.
struct Held(Arc<Notify>, UnboundedSender<Mailbox<()>>);

impl WebSock for Held {
    type Info = ();

    async fn init(&mut self, socket: Socket<()>) -> HandleResult {
        self.1.send(socket.mailbox().clone()).unwrap();
        Ok(Outcome::none())
    }

    async fn handle_in(&mut self, message: Message) -> HandleResult {
        self.0.notified().await;
        Ok(Outcome::push(message))
    }
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_is_waited_for_wakes_who_polled_the_connection_last() {
    let (gate, [one, other]) = (Arc::new(Notify::new()), <[Arc<Woken>; 2]>::default());
    let (mut peer, io) = tokio::io::duplex(1024);
    let (give, mut given) = unbounded_channel();
    let connection = accepted(&Options::default()).connection(Held(gate.clone(), give));
    let mut connection = pin!(connection.run(io, Bytes::new()));
    let mut poll = |woken: &Arc<Woken>| {
        let pending = connection.as_mut().poll(&mut Context::from_waker(&woken.clone().into())).is_pending();
        assert!(pending);
        woken.0.store(false, Ordering::Relaxed);
    };
    poll(&one);
    peer.write_all(&[text("a"), text("b"), text("c")].concat()).await.unwrap();
    for last in [&other, &one, &other] {
        poll(last);
        gate.notify_one();
        assert!(last.0.load(Ordering::Relaxed));
    }
    poll(&one);
    peer.write_all(&text("d")).await.unwrap();
    assert!(one.0.load(Ordering::Relaxed));
    poll(&one);
    gate.notify_one();
    let mailbox = given.try_recv().unwrap();
    for last in [&one, &other, &one] {
        poll(last);
        mailbox.try_send(()).unwrap();
        assert!(last.0.load(Ordering::Relaxed));
        poll(last);
    }
    poll(&other);
    mailbox.close(CloseCode::NORMAL, "");
    assert!(other.0.load(Ordering::Relaxed));
}

/// A handler that has nothing but what every handler must have.
struct Echo;

impl WebSock for Echo {
    type Info = u32;

    async fn handle_in(&mut self, message: Message) -> HandleResult {
        Ok(Outcome::push(message))
    }
}

/// SPEC L8.
#[tokio::test(start_paused = true)]
async fn the_default_callbacks_go_on() {
    let (actor, stage) = transport();
    stage.send([ping("a"), pong("b"), text("c"), close(1000, "")].concat());
    stage.end();
    accepted(&Options::default()).connection(Echo).run(actor, Bytes::new()).await;
    assert_eq!(stage.frames(), ["pong a", "text c", "close 1000"]);
}

/// Tells when it is touched, and when it is dropped.
struct Untouched(UnboundedSender<&'static str>);

impl Drop for Untouched {
    fn drop(&mut self) {
        self.0.send("dropped").unwrap();
    }
}

impl WebSock for Untouched {
    type Info = ();

    fn init(&mut self, _: Socket<()>) -> impl Future<Output = HandleResult> + Send {
        self.0.send("init").unwrap();
        ready(Ok(Outcome::none()))
    }

    fn handle_in(&mut self, _: Message) -> impl Future<Output = HandleResult> + Send {
        self.0.send("in").unwrap();
        ready(Ok(Outcome::none()))
    }

    fn terminate(self, _: CloseReason) -> impl Future<Output = ()> + Send {
        self.0.send("terminate").unwrap();
        ready(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_whose_upgrade_is_refused_or_comes_to_nothing_is_dropped_untouched() {
    let (told, mut tell) = unbounded_channel();
    let refused = RequestHead::new(HttpVersion::Http11, "POST");
    let handler = Untouched(told.clone());
    assert!(negotiate(&refused, &Options::default()).map(|accepted| accepted.connection(handler)).is_err());
    drop(accepted(&Options::default()).connection(Untouched(told.clone())));
    accepted(&Options::default()).connection(Untouched(told.clone())).fail("no transport", "give one");
    drop(told);
    let told: Vec<_> = std::iter::from_fn(|| tell.try_recv().ok()).collect();
    assert_eq!(told, ["dropped"; 3]);
}

/// SPEC L12.
#[tokio::test(start_paused = true)]
async fn a_failed_upgrade_is_one_error_event_with_cause_and_remedy() {
    let ear = Ear::new();
    accepted(&Options::default()).connection(Echo).fail("hyper kept it", "serve with upgrades");
    let events = ear.events();
    let [event] = &events[..] else { panic!("{events:?}") };
    assert_eq!(event.level, "ERROR");
    assert_eq!(event.field("cause"), Some("hyper kept it"));
    assert_eq!(event.field("remedy"), Some("serve with upgrades"));
    assert!(event.field("handler").unwrap().ends_with("Echo"));
}

#[tokio::test(start_paused = true)]
async fn what_a_transport_shows_is_told_as_what_is_read_from_it() {
    let (long, large) = ("long".repeat(40), vec![7; 70_000]);
    let script = [
        text("short"),
        text(&long),
        frame(0x82, &large),
        ping("p"),
        frame(0x01, &long),
        frame(0x80, &long),
        text(&long),
        text(&long),
        frame(0x81, [0xff; 200]),
        text("late"),
    ];
    let mut told = Vec::new();
    for read_size in [usize::MAX, 1000, 7] {
        for shares in [false, true] {
            let (actor, stage) = transport();
            stage.read_size(read_size);
            let mut handler = match shares {
                false => connect_over(actor, Options::default(), |_| go_on()),
                true => connect_over(Sharing::from(actor), Options::default(), |_| go_on()),
            };
            stage.send(script.concat());
            stage.end();
            told.push((handler.rest().await, stage.frames()));
        }
    }
    assert_eq!(told[0].0.len(), 9, "{:?}", told[0]);
    assert!(told.iter().all(|one| *one == told[0]), "{told:?}");
}

/// The longest run of callbacks of one source while the other still had something.
fn longest_run(calls: &[String]) -> usize {
    let kind = |call: &String| call.split(' ').next().unwrap().to_owned();
    let both =
        calls.len() - calls.iter().rev().take_while(|call| kind(call) == kind(calls.last().unwrap())).count();
    calls[..both].chunk_by(|one, other| kind(one) == kind(other)).map(<[_]>::len).max().unwrap_or(0)
}

const CAPACITY: std::num::NonZeroUsize = std::num::NonZeroUsize::new(2000).unwrap();

/// SPEC L10.
#[tokio::test(start_paused = true)]
async fn at_most_128_callbacks_in_a_row_come_from_one_of_two_busy_sources() {
    let gate = Gate::default();
    let held = gate.clone();
    let (actor, stage) = transport();
    let options = Options::default().mailbox_capacity(CAPACITY);
    let mut handler = connect_over(actor, options, move |call| match call {
        "init" => held.then(Outcome::none()),
        _ => go_on(),
    });
    let mailbox = handler.mailbox().await;
    (0..2000).for_each(|info| mailbox.try_send(info).unwrap());
    stage.send(text("x").repeat(2000));
    gate.open();
    quiet().await;
    let calls = handler.so_far();
    assert_eq!(calls.len(), 4001);
    assert!(longest_run(&calls[1..]) <= 128, "{}", longest_run(&calls[1..]));
}

#[tokio::test(start_paused = true)]
async fn behind_a_callback_that_took_its_time_the_other_source_is_next() {
    for (slow, expected) in [
        ("text", ["init", "text x", "info 1", "info 2", "text x", "text x"]),
        ("info", ["init", "info 1", "text x", "text x", "text x", "info 2"]),
    ] {
        let (actor, stage) = transport();
        let mut handler = connect_over(actor, Options::default(), move |call| match call {
            call if call.starts_with(slow) => slowly(SECOND, Outcome::none()),
            _ => go_on(),
        });
        let mailbox = handler.mailbox().await;
        let inform = || [1, 2].into_iter().for_each(|info| mailbox.try_send(info).unwrap());
        let send = || stage.send(text("x").repeat(3));
        if slow == "text" {
            send()
        } else {
            inform()
        }
        stage.at(500).await;
        if slow == "text" {
            inform()
        } else {
            send()
        }
        stage.at(10_000).await;
        assert_eq!(handler.so_far(), expected, "{slow}");
    }
}

/// How far `progress` went at most between two turns of another task on the same thread.
async fn longest_turn(progress: impl Fn() -> usize, enough: usize) -> usize {
    let (mut longest, mut before) = (0, progress());
    while before < enough {
        yield_now().await;
        let now = progress();
        longest = longest.max(now - before);
        before = now;
    }
    longest
}

#[tokio::test(start_paused = true)]
async fn another_task_runs_after_at_most_128_callbacks() {
    let floods = [text("x"), ping("y"), pong(""), [text("x"), ping("y")].concat()];
    for (flood, infos) in floods.into_iter().flat_map(|flood| [(flood.clone(), 0), (flood, 2000)]) {
        let called = Arc::new(AtomicUsize::new(0));
        let count = called.clone();
        let (actor, stage) = transport();
        let options = Options::default().mailbox_capacity(CAPACITY);
        let mut handler = connect_over(actor, options, move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            go_on()
        });
        let mailbox = handler.mailbox().await;
        (0..infos).for_each(|info| mailbox.try_send(info).unwrap());
        stage.send_for_ever(flood.repeat(50));
        let longest = longest_turn(|| called.load(Ordering::Relaxed), 5000).await;
        assert!((100..=128).contains(&longest), "{longest}");
    }
}

#[tokio::test(start_paused = true)]
async fn another_task_runs_after_a_mailbox_had_at_most_128_callbacks() {
    let called = Arc::new(AtomicUsize::new(0));
    let count = called.clone();
    let options = Options::default().mailbox_capacity(CAPACITY);
    let (_peer, mut handler) = connect(options, move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        go_on()
    });
    let mailbox = handler.mailbox().await;
    (0..2000).for_each(|info| mailbox.try_send(info).unwrap());
    let longest = longest_turn(|| called.load(Ordering::Relaxed), 2000).await;
    assert!((100..=128).contains(&longest), "{longest}");
}

const KIB: usize = 1024;

#[tokio::test(start_paused = true)]
async fn another_task_runs_after_256_kib_were_read_or_discarded() {
    for (stops, shares) in [(false, false), (false, true), (true, false), (true, true)] {
        let (actor, stage) = transport();
        stage.read_size(64 * KIB);
        let script = move |call: &str| match call {
            "init" if stops => answer(Outcome::stop()),
            _ => go_on(),
        };
        let _handler = match shares {
            false => connect_over(actor, Options::default(), script),
            true => connect_over(Sharing::from(actor), Options::default(), script),
        };
        stage.send_for_ever(frame(0x82, vec![7; 40 * KIB]));
        let longest = longest_turn(|| stage.read_len(), 4096 * KIB).await;
        assert!((192 * KIB..256 * KIB + 64 * KIB).contains(&longest), "{stops} {shares}: {longest}");
    }
}

#[tokio::test(start_paused = true)]
async fn another_task_runs_after_256_kib_were_inflated() {
    let inflated = Arc::new(AtomicUsize::new(0));
    let count = inflated.clone();
    let (actor, stage) = transport();
    let mut handler = connect_over(actor, Options::default().compress(true), move |call| {
        if call == "binary of 40960 bytes" {
            count.fetch_add(40 * KIB, Ordering::Relaxed);
        }
        go_on()
    });
    let mailbox = handler.mailbox().await;
    stage.send_for_ever(frame(0xc2, compress_to_vec(&[7; 40 * KIB], 6)));
    let longest = longest_turn(|| inflated.load(Ordering::Relaxed), 4096 * KIB).await;
    assert!((192 * KIB..256 * KIB + 41 * KIB).contains(&longest), "{longest}");
    mailbox.try_send(1).unwrap();
    let before = inflated.load(Ordering::Relaxed);
    while handler.next().await != "info 1" {}
    assert!(inflated.load(Ordering::Relaxed) - before <= 512 * KIB);
}

#[tokio::test(start_paused = true)]
async fn another_task_runs_after_256_kib_were_written() {
    let (actor, stage) = transport();
    let _handler = connect_over(actor, Options::default(), |_| push(vec![7; 40 * KIB]));
    stage.send_for_ever(text("more"));
    let longest = longest_turn(|| stage.written_len(), 4096 * KIB).await;
    assert!((192 * KIB..256 * KIB + 41 * KIB).contains(&longest), "{longest}");
}

#[tokio::test(start_paused = true)]
async fn a_timer_fires_under_a_flood_of_the_mailbox() {
    let (actor, stage) = transport();
    let mut handler = connect_over(actor, Options::default().timeout(10 * SECOND), |_| go_on());
    let mailbox = handler.mailbox().await;
    tokio::spawn(async move { while mailbox.send(1).await.is_ok() {} });
    let took = clock_until(|| stage.written_len() > 0, SECOND / 10).await;
    assert_eq!(stage.frames(), ["close 1001 idle timeout"]);
    assert!((10 * SECOND..11 * SECOND).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn the_write_timeout_fires_under_a_flood_of_the_socket() {
    for flood in [text("x"), text("x").repeat(1000), frame(0x82, vec![7; 40 * KIB])] {
        let (actor, stage) = transport();
        stage.room(3);
        let options = Options::default().write_timeout(10 * SECOND);
        let mut handler = connect_over(actor, options, |call| match call {
            "init" => push("not taken"),
            _ => go_on(),
        });
        let length = flood.len();
        stage.send_for_ever(flood);
        let took = clock_until(|| stage.moment("dropped").is_some(), SECOND / 10).await;
        assert!((10 * SECOND..11 * SECOND).contains(&took), "{length}: {took:?}");
        assert_eq!(handler.rest().await.last().unwrap(), "terminate Timeout(Write)");
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_by_the_mailbox_is_seen_under_a_flood_of_the_socket() {
    let called = Arc::new(AtomicUsize::new(0));
    let count = called.clone();
    let (actor, stage) = transport();
    let mut handler = connect_over(actor, Options::default(), move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        go_on()
    });
    stage.send_for_ever(text("x").repeat(1000));
    let mailbox = handler.mailbox().await;
    longest_turn(|| called.load(Ordering::Relaxed), 5000).await;
    let before = called.load(Ordering::Relaxed);
    mailbox.close(CloseCode::NORMAL, "");
    assert_eq!(handler.rest().await.last().unwrap(), "terminate Normal");
    assert!(called.load(Ordering::Relaxed) - before <= 129);
}

/// Tells when it is dropped.
struct Told(UnboundedSender<&'static str>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.send("callback dropped").unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_callback_over_its_timeout_is_dropped_and_then_terminate_is_called() {
    for slow in ["init", "text a", "ping a", "info 1"] {
        let (told, mut tell) = unbounded_channel();
        let (actor, stage) = transport();
        let options = Options::default().callback_timeout(Duration::from_millis(1500));
        let mut handler = connect_over(actor, options, move |call| {
            if call.starts_with("terminate") {
                told.send("terminate").unwrap();
            }
            if call != slow {
                return slowly(Duration::from_millis(1499), Outcome::none());
            }
            let guard = Told(told.clone());
            Box::pin(async move {
                let _guard = guard;
                std::future::pending().await
            })
        });
        match slow {
            "text a" => stage.send(text("a")),
            "ping a" => stage.send(ping("a")),
            "info 1" => handler.mailbox().await.send(1).await.unwrap(),
            _ => {}
        }
        let init_took = if slow == "init" { 0 } else { 1499 };
        assert_eq!(handler.next_at().await, ("init".into(), 0));
        if slow != "init" {
            assert_eq!(handler.next_at().await, (slow.into(), init_took));
        }
        assert_eq!(handler.next_at().await, ("terminate Timeout(Callback)".into(), init_took + 1500));
        assert_eq!([tell.recv().await, tell.recv().await], [Some("callback dropped"), Some("terminate")]);
        assert_eq!(stage.frames().last().unwrap(), "close 1011 callback timeout");
    }
}

#[tokio::test(start_paused = true)]
async fn terminate_is_not_under_the_callback_timeout() {
    let (mut peer, mut handler) = connect(Options::default().callback_timeout(SECOND), |call| match call {
        "terminate Normal" => slowly(100 * SECOND, Outcome::none()),
        _ => answer(Outcome::stop()),
    });
    assert_eq!(peer.rest_and_end().await, ["close 1000"]);
    assert_eq!(handler.gone().await, 100_000);
}

#[tokio::test(start_paused = true)]
async fn no_end_cancels_a_callback_and_a_vanished_peer_is_noticed_when_it_returns() {
    for by in ["end", "reset", "close", "mailbox", "write"] {
        let (actor, stage) = transport();
        let mut handler = connect_over(actor, Options::default(), |call| match call {
            "init" => push("x"),
            "text go" => slowly(100 * SECOND, Outcome::push("done")),
            _ => go_on(),
        });
        stage.send(text("go"));
        stage.room(if by == "write" { 0 } else { usize::MAX });
        assert_eq!([handler.next().await, handler.next().await], ["init", "text go"]);
        match by {
            "end" => stage.end(),
            "reset" => stage.reset(),
            "close" => stage.send(close(1000, "")),
            "mailbox" => assert!(handler.mailbox().await.close(CloseCode::POLICY, "")),
            _ => stage.fail_writes(),
        }
        let (call, at) = handler.next_at().await;
        assert_eq!(at, 100_000, "{by}");
        match by {
            "close" => {
                assert_eq!(call, "terminate Remote { code: Some(CloseCode(1000)), reason: \"\" }");
                assert_eq!(stage.frames(), ["text x", "text done", "close 1000"]);
            }
            "mailbox" => {
                assert_eq!(call, "terminate Normal");
                assert_eq!(stage.frames(), ["text x", "text done", "close 1008"]);
            }
            "write" => assert_eq!(call, "terminate Error(Disconnected)"),
            _ => {
                assert_eq!(call, "terminate Error(Disconnected)");
                assert_eq!(stage.frames(), ["text x", "text done"], "{by}");
            }
        }
    }
}
