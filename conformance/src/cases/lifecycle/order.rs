//! Which callback runs when: L1-L3, L6, L9.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;
use websock_core::{CloseReason, Control, Error, Message, Outcome};

use crate::peer::{BINARY, Frame, PING, PONG, Peer, Request, TEXT, ask, close, frame};
use crate::referee::Referee;
use crate::server::Stage;
use crate::site::{Report, Site};

cases! {
    a_callback_that_waits_does_not_hold_up_others: L2,
    many_clients_at_once_get_their_own_messages: L2,
    nothing_that_init_pushes_precedes_the_101: L1 L3,
    callbacks_run_from_init_to_terminate_in_the_order_of_the_wire: L1,
    no_two_callbacks_of_a_connection_run_at_once: L2,
    init_runs_before_what_came_with_the_request: L1 L3,
    nothing_is_handled_before_init_has_ended: L3 L1,
    each_info_is_handled_once: L6,
    the_value_of_the_upgrade_is_the_one_that_is_run: L9,
    a_refused_upgrade_drops_its_handler_untouched: L9,
    a_callback_is_not_cancelled_when_the_peer_closes: L11,
    a_callback_is_not_cancelled_when_the_peer_is_gone: L11,
    a_hundred_connections_live_at_the_same_time: L2,
}

async fn a_callback_that_waits_does_not_hold_up_others(stage: &Stage) {
    let site = Site::new(async |message| match &message {
        Message::Text(text) if text == "wait" => std::future::pending().await,
        _ => Ok(Outcome::push(message)),
    });
    let mut server = stage.start(site).await;
    let mut waiting = Vec::new();
    for _ in 0..10 {
        let mut peer = Peer::upgraded(server.addr).await;
        server.init().await;
        peer.send(frame(TEXT, "wait")).await;
        server.message().await;
        waiting.push(peer);
    }
    let mut peer = Peer::upgraded(server.addr).await;
    peer.send(frame(TEXT, "hello")).await;
    assert_eq!(peer.frame().await, Frame::new(TEXT, "hello"));
}

async fn many_clients_at_once_get_their_own_messages(stage: &Stage) {
    const CLIENTS: usize = 64;
    const MESSAGES: usize = 200;
    let running = Arc::new(AtomicUsize::new(0));
    let at_once = Arc::new(AtomicUsize::new(0));
    let (counted, most) = (running.clone(), at_once.clone());
    let site = Site::new(move |message| {
        let (running, most) = (counted.clone(), most.clone());
        async move {
            most.fetch_max(running.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            running.fetch_sub(1, Ordering::Relaxed);
            Ok(Outcome::push(message))
        }
    });
    let mut server = stage.start(site).await;
    let addr = server.addr;
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            tokio::spawn(async move {
                let mut referee = Referee::connect(addr).await;
                for message in 0..MESSAGES {
                    referee.send(format!("{client}: {message}")).await;
                    // Two at a time, so that there is always one on its way.
                    if message > 0 {
                        assert_eq!(
                            referee.next().await.into_text().unwrap(),
                            format!("{client}: {}", message - 1)
                        );
                    }
                }
                assert_eq!(referee.next().await.into_text().unwrap(), format!("{client}: {}", MESSAGES - 1));
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    // Each handler saw one client's messages, in order.
    let mut seen = vec![Vec::new(); CLIENTS];
    let mut ended = 0;
    while ended < CLIENTS {
        match server.numbered_report().await {
            (connection, Report::In(Message::Text(text))) => seen[connection].push(text.to_string()),
            (_, Report::Terminate(_)) => ended += 1,
            _ => {}
        }
    }
    for texts in &seen {
        let (client, _) = texts[0].split_once(':').unwrap();
        let expected: Vec<_> = (0..MESSAGES).map(|message| format!("{client}: {message}")).collect();
        assert_eq!(texts, &expected);
    }
    assert!(at_once.load(Ordering::Relaxed) > 1, "the clients were served one after the other");
    server.expect_nothing_more().await;
}

async fn nothing_that_init_pushes_precedes_the_101(stage: &Stage) {
    let server = stage.start(Site::echo().on_init(async |_| Ok(Outcome::push(["first", "second"])))).await;
    let mut peer = Peer::connect(server.addr).await;
    peer.send(&Request::good(server.addr).bytes()).await;
    assert_eq!(peer.reader.take(12).await, b"HTTP/1.1 101");
    while !peer.reader.take(1).await.ends_with(b"\r") || peer.reader.take(3).await != b"\n\r\n" {}
    assert_eq!(peer.frame().await, Frame::new(TEXT, "first"));
    assert_eq!(peer.frame().await, Frame::new(TEXT, "second"));
}

async fn callbacks_run_from_init_to_terminate_in_the_order_of_the_wire(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    peer.send(
        [frame(TEXT, "a"), frame(PING, "b"), frame(BINARY, "c"), frame(PONG, "d"), close(1000, "e")].concat(),
    )
    .await;
    server.init().await;
    assert_eq!(server.message().await, Message::Text("a".into()));
    assert_eq!(server.control().await, Control::Ping("b".try_into().unwrap()));
    assert_eq!(server.message().await, Message::Binary("c".into()));
    assert_eq!(server.control().await, Control::Pong("d".try_into().unwrap()));
    assert!(matches!(server.terminated().await, CloseReason::Remote { reason, .. } if reason == "e"));
    server.expect_nothing_more().await;
}

/// Each callback waits a little, while everything else has something for the handler too.
async fn no_two_callbacks_of_a_connection_run_at_once(stage: &Stage) {
    const COUNT: usize = 200;
    let running = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let work = {
        let (running, most) = (running.clone(), most.clone());
        move || {
            let (running, most) = (running.clone(), most.clone());
            async move {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                for _ in 0..3 {
                    tokio::task::yield_now().await;
                }
                running.fetch_sub(1, Ordering::SeqCst);
                Ok(Outcome::push("done"))
            }
        }
    };
    let (message, control, info) = (work.clone(), work.clone(), work);
    let site = Site::new(move |_| message()).on_control(move |_| control()).on_info(move |_| info());
    let mut server = stage.start(site).await;
    let mut peer = Peer::upgraded(server.addr).await;
    let socket = server.init().await;
    let informing = tokio::spawn(async move {
        for _ in 0..COUNT {
            socket.mailbox().send(Outcome::none()).await.unwrap();
        }
    });
    peer.send([frame(TEXT, "x"), frame(PONG, "y")].concat().repeat(COUNT)).await;
    for _ in 0..3 * COUNT {
        assert_eq!(peer.frame().await, Frame::new(TEXT, "done"));
    }
    informing.await.unwrap();
    assert_eq!(most.load(Ordering::SeqCst), 1);
}

async fn init_runs_before_what_came_with_the_request(stage: &Stage) {
    let mut server = stage.start(Site::echo().on_init(async |_| Ok(Outcome::push("init")))).await;
    let mut peer = Peer::connect(server.addr).await;
    peer.send([Request::good(server.addr).bytes(), frame(TEXT, "early")].concat()).await;
    assert_eq!(peer.response().await.status, 101);
    assert_eq!(peer.frame().await, Frame::new(TEXT, "init"));
    assert_eq!(peer.frame().await, Frame::new(TEXT, "early"));
    server.init().await;
    server.message().await;
}

async fn nothing_is_handled_before_init_has_ended(stage: &Stage) {
    let gate = Arc::new(Semaphore::new(0));
    let opened = gate.clone();
    let site = Site::echo().on_init(move |_| {
        let gate = gate.clone();
        async move {
            gate.acquire().await?.forget();
            Ok(Outcome::push("from init"))
        }
    });
    let mut server = stage.start(site).await;
    let mut slow = Peer::upgraded(server.addr).await;
    slow.send(frame(TEXT, "waits")).await;
    server.init().await;
    // Another connection comes meanwhile, and it is the next of which anything is heard.
    let mut other = Peer::upgraded(server.addr).await;
    other.send(frame(TEXT, "waits too")).await;
    assert!(matches!(server.numbered_report().await, (1, Report::Init(_))));
    opened.add_permits(2);
    for (peer, echo) in [(&mut slow, "waits"), (&mut other, "waits too")] {
        assert_eq!(peer.frame().await, Frame::new(TEXT, "from init"));
        assert_eq!(peer.frame().await, Frame::new(TEXT, echo));
    }
}

async fn each_info_is_handled_once(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    let socket = server.init().await;
    for number in 0..300 {
        socket.mailbox().send(Outcome::push(format!("{number}"))).await.unwrap();
    }
    for number in 0..300 {
        assert_eq!(peer.frame().await, Frame::new(TEXT, format!("{number}")));
    }
    peer.send(close(1000, "")).await;
    assert_eq!(peer.close_frame().await, (Some(1000), String::new()));
}

/// The handlers are numbered as the route made them, one for each request.
async fn the_value_of_the_upgrade_is_the_one_that_is_run(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let bad = Request::good(server.addr).with("Sec-WebSocket-Version", "8");
    for round in 0..10 {
        assert_eq!(ask(server.addr, &bad).await.status, 426);
        assert!(matches!(server.numbered_report().await, (dropped, Report::Dropped) if dropped == 2 * round));
        let mut peer = Peer::upgraded(server.addr).await;
        peer.send(close(1000, "")).await;
        assert!(matches!(server.numbered_report().await, (run, Report::Init(_)) if run == 2 * round + 1));
        assert!(
            matches!(server.numbered_report().await, (run, Report::Terminate(_)) if run == 2 * round + 1)
        );
    }
    server.expect_nothing_more().await;
}

async fn a_refused_upgrade_drops_its_handler_untouched(stage: &Stage) {
    let mut server = stage.start(Site::echo().on_init(async |_| panic!("it was touched"))).await;
    let good = Request::good(server.addr);
    for bad in
        [good.clone().method("POST"), good.clone().without("Sec-WebSocket-Key"), good.without("Upgrade")]
    {
        assert_ne!(ask(server.addr, &bad).await.status, 101);
        server.dropped().await;
    }
    server.expect_nothing_more().await;
}

/// A site whose callback waits at the gate, and then says that it came to its end.
fn finishing(gate: &Arc<Semaphore>, finished: &Arc<AtomicUsize>) -> Site {
    let (gate, finished) = (gate.clone(), finished.clone());
    Site::new(move |_| {
        let (gate, finished) = (gate.clone(), finished.clone());
        async move {
            gate.acquire().await?.forget();
            finished.fetch_add(1, Ordering::SeqCst);
            Ok(Outcome::push("finished"))
        }
    })
}

async fn a_callback_is_not_cancelled_when_the_peer_closes(stage: &Stage) {
    let (gate, finished) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut server = stage.start(finishing(&gate, &finished)).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send([frame(TEXT, "work"), close(1000, "")].concat()).await;
    server.message().await;
    assert_eq!(finished.load(Ordering::SeqCst), 0);
    gate.add_permits(1);
    assert_eq!(peer.frame().await, Frame::new(TEXT, "finished"));
    assert_eq!(peer.close_frame().await, (Some(1000), String::new()));
    assert!(matches!(server.terminated().await, CloseReason::Remote { .. }));
    assert_eq!(finished.load(Ordering::SeqCst), 1);
}

async fn a_callback_is_not_cancelled_when_the_peer_is_gone(stage: &Stage) {
    let (gate, finished) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut server = stage.start(finishing(&gate, &finished)).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(frame(TEXT, "work")).await;
    server.message().await;
    peer.reset();
    // Something else is served meanwhile.
    assert_eq!(ask(server.addr, &Request::good(server.addr).target("/elsewhere")).await.status, 404);
    server.dropped().await;
    gate.add_permits(1);
    assert!(matches!(server.terminated().await, CloseReason::Error(Error::Disconnected)));
    assert_eq!(finished.load(Ordering::SeqCst), 1);
    server.expect_nothing_more().await;
}

async fn a_hundred_connections_live_at_the_same_time(stage: &Stage) {
    let server = stage.start(Site::echo()).await;
    let mut peers = Vec::new();
    for _ in 0..100 {
        peers.push(Peer::upgraded(server.addr).await);
    }
    for (number, peer) in peers.iter_mut().enumerate() {
        peer.send(frame(TEXT, format!("{number}"))).await;
    }
    for (number, peer) in peers.iter_mut().enumerate().rev() {
        assert_eq!(peer.frame().await, Frame::new(TEXT, format!("{number}")));
    }
}
