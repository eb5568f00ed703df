//! The mailbox, and who waits for whom (SPEC B1-B4, B6, B7).

use std::num::NonZeroUsize;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use websock_core::{
    Bytes, CloseCode, HandleResult, Mailbox, Message, Options, Outcome, SendError, Socket, TrySendError,
    WebSock,
};

use crate::support::{
    Gate, SECOND, accepted, close, connect, connect_over, connect_within, go_on, ping, pong, push, quiet,
    text, transport,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const GONE: CloseCode = CloseCode::new(4000).unwrap();
const AGAIN: CloseCode = CloseCode::new(4001).unwrap();

const fn size(size: usize) -> NonZeroUsize {
    NonZeroUsize::new(size).unwrap()
}

/// No timers, so that only the peer lets things go on.
fn patient() -> Options {
    Options::default().timeout(None).message_timeout(None).write_timeout(None)
}

// B1

#[tokio::test(start_paused = true)]
async fn a_full_mailbox_gives_the_message_back_or_makes_the_sender_wait_for_room() {
    let gate = Gate::default();
    let held = gate.clone();
    let (_peer, mut handler) =
        connect(patient().mailbox_capacity(size(3)), move |_| held.then(Outcome::none()));
    let mailbox = handler.mailbox().await;
    for info in 1..=3 {
        assert_eq!(mailbox.try_send(info), Ok(()));
    }
    assert_eq!(mailbox.try_send(4), Err(TrySendError::Full(4)));
    let waiting = tokio::spawn({
        let mailbox = mailbox.clone();
        async move { mailbox.send(5).await }
    });
    quiet().await;
    assert!(!waiting.is_finished());
    gate.open();
    assert_eq!([handler.next().await, handler.next().await], ["init", "info 1"]);
    assert_eq!(waiting.await.unwrap(), Ok(()));
    assert_eq!(mailbox.try_send(6), Err(TrySendError::Full(6)));
    for call in ["info 2", "info 3", "info 5"] {
        gate.open();
        assert_eq!(handler.next().await, call);
    }
}

#[tokio::test(start_paused = true)]
async fn a_closed_mailbox_gives_every_message_back() {
    let gate = Gate::default();
    let held = gate.clone();
    let options = patient().mailbox_capacity(size(1));
    let (mut peer, mut handler) = connect(options, move |call| match call {
        "init" => held.then(Outcome::stop()),
        call if call.starts_with("terminate") => held.then(Outcome::none()),
        _ => go_on(),
    });
    let mailbox = handler.mailbox().await;
    mailbox.try_send(1).unwrap();
    let waiting = tokio::spawn({
        let mailbox = mailbox.clone();
        async move { mailbox.send(2).await }
    });
    quiet().await;
    assert!(!mailbox.is_closed());
    gate.open();
    assert_eq!(waiting.await.unwrap(), Err(SendError::Closed(2)));
    for _ in ["while terminate runs", "after it"] {
        assert!(mailbox.is_closed());
        assert_eq!(mailbox.send(3).await, Err(SendError::Closed(3)));
        assert_eq!(mailbox.try_send(4), Err(TrySendError::Closed(4)));
        gate.open();
        assert_eq!(peer.rest_and_end().await.len(), usize::from(!handler.task.is_finished()));
        handler.rest().await;
        if !handler.task.is_finished() {
            handler.gone().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_gives_up_waiting_takes_no_room() {
    let gate = Gate::default();
    let held = gate.clone();
    let options = patient().mailbox_capacity(size(1));
    let (_peer, mut handler) = connect(options, move |_| held.then(Outcome::none()));
    let mailbox = handler.mailbox().await;
    mailbox.try_send(1).unwrap();
    assert!(tokio::time::timeout(SECOND, mailbox.send(2)).await.is_err());
    gate.open();
    assert_eq!([handler.next().await, handler.next().await], ["init", "info 1"]);
    assert_eq!(mailbox.try_send(3), Ok(()));
    gate.open();
    assert_eq!(handler.next().await, "info 3");
}

// B2

#[tokio::test(start_paused = true)]
async fn a_mailbox_neither_keeps_its_connection_alive_nor_ends_it() {
    let (mut peer, mut handler) = connect(patient(), |_| go_on());
    let mailbox = handler.mailbox().await;
    let clone = mailbox.clone();
    drop(mailbox);
    assert_eq!(clone.try_send(1), Ok(()));
    assert_eq!([handler.next().await, handler.next().await], ["init", "info 1"]);
    peer.send(close(1000, "")).await;
    assert_eq!(peer.rest_and_end().await, ["close 1000"]);
    handler.gone().await;
    assert_eq!(clone.clone().try_send(2), Err(TrySendError::Closed(2)));

    let (actor, stage) = transport();
    tokio::spawn(accepted(&patient()).connection(Hermit).run(actor, Bytes::new()));
    tokio::time::sleep(DAY).await;
    stage.send(text("still there"));
    quiet().await;
    assert_eq!(stage.frames(), ["text still there"]);
}

/// Keeps no mailbox.
struct Hermit;

impl WebSock for Hermit {
    type Info = ();

    async fn handle_in(&mut self, message: Message) -> HandleResult {
        Ok(Outcome::push(message))
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_during_init_is_delivered_after_it_in_order() {
    let gate = Gate::default();
    let held = gate.clone();
    let (_peer, mut handler) = connect(patient(), move |call| match call {
        "init" => held.then(Outcome::none()),
        _ => go_on(),
    });
    let mailbox = handler.mailbox().await;
    mailbox.try_send(1).unwrap();
    mailbox.send(2).await.unwrap();
    quiet().await;
    assert_eq!(handler.so_far(), ["init"]);
    gate.open();
    assert_eq!([handler.next().await, handler.next().await], ["info 1", "info 2"]);
}

// B3

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_stops_callbacks_and_reading_at_the_high_water_mark() {
    // Each callback pushes a frame of 100 bytes; the mark is 1000.
    for by_mailbox in [false, true] {
        let (actor, stage) = transport();
        stage.room(0);
        let options = patient().write_high_water(size(1000)).mailbox_capacity(size(500));
        let mut handler = connect_over(actor, options, |call| match call {
            "init" => go_on(),
            _ => push("x".repeat(98)),
        });
        let mailbox = handler.mailbox().await;
        let more = |count| match by_mailbox {
            true => (0..count).for_each(|info| mailbox.try_send(info).unwrap()),
            false => stage.send(text("x").repeat(count as usize)),
        };
        more(20);
        quiet().await;
        assert_eq!(handler.so_far().len(), 1 + 10);
        let read = stage.read_len();
        more(20);
        stage.send(ping("also waiting"));
        quiet().await;
        stage.room(0);
        quiet().await;
        assert_eq!(handler.so_far(), [""; 0]);
        assert_eq!(stage.read_len(), read, "nothing is read at the mark");
        stage.room(1);
        quiet().await;
        assert_eq!(handler.so_far().len(), 1, "a byte less than the mark lets one callback run");
        stage.room(99);
        quiet().await;
        assert_eq!(handler.so_far().len(), 0, "at the mark none runs");
        stage.room(usize::MAX);
        quiet().await;
        assert_eq!(handler.so_far().len(), 30, "the other 29 and the ping");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_read_behind_a_push_over_the_mark_whichever_callback_makes_it() {
    for pusher in (0..200).map(|info| format!("info {info}")).chain(["init".into()]) {
        let (actor, stage) = transport();
        stage.room(0);
        let gate = Gate::default();
        let held = gate.clone();
        let options = patient().write_high_water(size(1000)).mailbox_capacity(size(200));
        let mut handler = connect_over(actor, options, move |call| match call {
            call if call == pusher => held.then(Outcome::push("x".repeat(1000))),
            _ => go_on(),
        });
        let mailbox = handler.mailbox().await;
        (0..200).for_each(|info| mailbox.try_send(info).unwrap());
        quiet().await;
        stage.send(text("not yet"));
        gate.open();
        quiet().await;
        assert_eq!(stage.read_len(), 0, "{:?}", handler.so_far().last());
    }
}

#[tokio::test(start_paused = true)]
async fn pongs_count_as_unsent_so_that_a_flood_of_pings_stops_the_reading() {
    let (actor, stage) = transport();
    stage.room(0);
    stage.read_size(1000);
    let mut handler = connect_over(actor, patient().write_high_water(size(1000)), |_| go_on());
    stage.send_for_ever(ping(&"x".repeat(98)));
    quiet().await;
    assert_eq!(handler.so_far().len(), 1 + 10);
    assert_eq!(stage.read_len(), 10 * 104);
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_a_peer_that_does_not_read_ends_at_the_write_timeout() {
    let (actor, stage) = transport();
    stage.room(0);
    let options = patient().write_high_water(size(1000)).write_timeout(10 * SECOND);
    let mut handler = connect_over(actor, options, |_| push("x".repeat(98)));
    stage.at(2000).await;
    stage.send(text("x").repeat(20));
    let calls = handler.rest().await;
    assert_eq!(calls.len(), 1 + 9 + 1);
    assert_eq!(calls[10], "terminate Timeout(Write)");
    assert_eq!(handler.gone().await, 10_000);
}

// B4

#[tokio::test(start_paused = true)]
async fn a_slow_handler_stops_the_reading_and_loses_nothing() {
    let gate = Gate::default();
    let held = gate.clone();
    let (peer, mut handler) = connect_within(64, patient(), move |call| match call {
        "init" => go_on(),
        call => held.then(Outcome::push(call)),
    });
    let names: Vec<_> = (0..500).map(|number| format!("number {number}")).collect();
    let sent: Vec<u8> = names.iter().flat_map(|name| text(name)).collect();
    let (mut reading, mut writing) = tokio::io::split(peer.io);
    let sender = tokio::spawn(async move { tokio::io::AsyncWriteExt::write_all(&mut writing, &sent).await });
    quiet().await;
    assert!(!sender.is_finished(), "the peer has to wait");
    assert_eq!(handler.so_far(), ["init", "text number 0"]);
    let mut received = Vec::new();
    for name in &names {
        gate.open();
        let mut frame = vec![0; 2 + "text ".len() + name.len()];
        tokio::io::AsyncReadExt::read_exact(&mut reading, &mut frame).await.unwrap();
        received.extend(crate::support::names_of_sent(&frame));
    }
    assert_eq!(received, names.iter().map(|name| format!("text text {name}")).collect::<Vec<_>>());
    sender.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn while_a_callback_is_pending_nothing_is_read() {
    for call in ["text wait", "pong wait", "info 1"] {
        let (actor, stage) = transport();
        let gate = Gate::default();
        let held = gate.clone();
        let mut handler = connect_over(actor, patient(), move |told| match told {
            told if told == call => held.then(Outcome::none()),
            _ => go_on(),
        });
        match call {
            "text wait" => stage.send(text("wait")),
            "pong wait" => stage.send(pong("wait")),
            _ => handler.mailbox().await.try_send(1).unwrap(),
        }
        quiet().await;
        let read = stage.read_len();
        stage.send(text("more"));
        stage.room(usize::MAX);
        quiet().await;
        assert_eq!(stage.read_len(), read);
        assert_eq!(handler.so_far(), ["init", call]);
        gate.open();
        assert_eq!(handler.next().await, "text more");
    }
}

// B6

/// Sends to its own mailbox from its callbacks, and to `other`, and tells what came of it.
struct Introvert {
    own: Option<Mailbox<u32>>,
    other: Arc<OnceLock<Mailbox<u32>>>,
    told: UnboundedSender<String>,
}

impl WebSock for Introvert {
    type Info = u32;

    async fn init(&mut self, socket: Socket<u32>) -> HandleResult {
        let own = self.own.insert(socket.mailbox().clone());
        for info in 1..=3 {
            self.told.send(format!("{:?}", own.send(info).await)).unwrap();
        }
        assert_eq!(own.send(3).await.unwrap_err().into_inner(), 3);
        Ok(Outcome::none())
    }

    async fn handle_in(&mut self, _: Message) -> HandleResult {
        let own = self.own.clone().unwrap();
        for info in 4..=6 {
            tokio::task::yield_now().await;
            self.told.send(format!("{:?}", own.send(info).await)).unwrap();
        }
        let told = self.told.clone();
        tokio::spawn(async move { told.send(format!("spawned {:?}", own.send(7).await)).unwrap() });
        let result = self.other.get().unwrap().send(8).await;
        self.told.send(format!("other {result:?}")).unwrap();
        Ok(Outcome::none())
    }

    async fn handle_info(&mut self, info: u32) -> HandleResult {
        self.told.send(format!("info {info}")).unwrap();
        Ok(Outcome::none())
    }
}

#[tokio::test(start_paused = true)]
async fn a_callback_that_sends_to_its_own_full_mailbox_gets_an_error_in_place_of_waiting() {
    let gate = Gate::default();
    let held = gate.clone();
    let (_other_peer, mut other) =
        connect(patient().mailbox_capacity(size(1)), move |_| held.then(Outcome::none()));
    let other_mailbox = other.mailbox().await;
    other_mailbox.try_send(0).unwrap();
    let (told, mut tell) = unbounded_channel();
    let (actor, stage) = transport();
    let handler = Introvert { own: None, other: Arc::new(OnceLock::from(other_mailbox)), told };
    let options = patient().mailbox_capacity(size(2));
    tokio::spawn(accepted(&options).connection(handler).run(actor, Bytes::new()));
    let mut next = async || tell.recv().await.unwrap();
    for told in ["Ok(())", "Ok(())", "Err(OwnMailboxFull(..))", "info 1", "info 2"] {
        assert_eq!(next().await, told);
    }
    stage.send(text("x"));
    for told in ["Ok(())", "Ok(())", "Err(OwnMailboxFull(..))"] {
        assert_eq!(next().await, told);
    }
    quiet().await;
    gate.open();
    assert_eq!(next().await, "other Ok(())");
    let mut rest = [next().await, next().await, next().await, next().await];
    rest.sort();
    assert_eq!(rest, ["info 4", "info 5", "info 7", "spawned Ok(())"]);
}

// B7

#[tokio::test(start_paused = true)]
async fn the_mailbox_closes_its_connection_also_when_it_is_full_and_the_first_call_wins() {
    for full in [false, true] {
        let (mut peer, mut handler) = connect(patient(), |_| go_on());
        let mailbox = handler.mailbox().await;
        handler.next().await;
        if full {
            while mailbox.try_send(1).is_ok() {}
        }
        assert!(mailbox.close(GONE, "bye"));
        assert!(!mailbox.clone().close(AGAIN, "again"));
        assert_eq!(handler.rest().await, ["terminate Normal"]);
        assert!(!mailbox.close(AGAIN, "again"));
        assert_eq!(peer.rest_and_end().await, ["close 4000 bye"]);
        handler.gone().await;
        assert!(!mailbox.close(AGAIN, "again"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_by_the_mailbox_comes_after_the_running_callback_and_its_pushes_and_nothing_else() {
    for call in ["init", "text wait", "pong wait", "info 1"] {
        let gate = Gate::default();
        let held = gate.clone();
        let (mut peer, mut handler) = connect(patient(), move |told| match told {
            told if told == call => held.then(Outcome::push("last")),
            _ => go_on(),
        });
        match call {
            "text wait" => peer.send(text("wait")).await,
            "pong wait" => peer.send(pong("wait")).await,
            "info 1" => handler.mailbox().await.try_send(1).unwrap(),
            _ => {}
        }
        while handler.next().await != call {}
        let mailbox = handler.mailbox().await;
        peer.send([text("late"), ping("late"), close(1000, "")].concat()).await;
        mailbox.try_send(2).unwrap();
        assert!(mailbox.close(GONE, ""));
        quiet().await;
        assert_eq!(handler.so_far(), [""; 0]);
        gate.open();
        assert_eq!(handler.rest().await, ["terminate Normal"]);
        assert_eq!(peer.rest().await, ["text last", "close 4000"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_of_the_running_callback_comes_before_a_close_by_the_mailbox() {
    let gate = Gate::default();
    let held = gate.clone();
    let (mut peer, mut handler) = connect(patient(), move |_| held.then(Outcome::stop()));
    assert!(handler.mailbox().await.close(GONE, ""));
    gate.open();
    assert_eq!(peer.rest().await, ["close 1000"]);
}

#[tokio::test(start_paused = true)]
async fn the_mailbox_closes_a_connection_that_is_blocked_on_its_peer() {
    let (mut peer, mut handler) =
        connect_within(64, patient().write_high_water(size(1000)), |call| match call {
            "init" => push(vec![7; 10_000]),
            _ => go_on(),
        });
    peer.send(text("waits")).await;
    quiet().await;
    assert!(handler.mailbox().await.close(GONE, ""));
    assert_eq!(handler.rest().await, ["init", "terminate Normal"]);
    assert_eq!(peer.rest().await, ["binary of 10000 bytes", "close 4000"]);
}
