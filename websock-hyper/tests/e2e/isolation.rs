//! Connections do not disturb each other: E1, L2, L10.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use websock_hyper::{CloseReason, Error, Message, Outcome};

use crate::peer::{Frame, Peer, TEXT, frame};
use crate::referee::Referee;
use crate::site::{Host, Report, Site};

on_every_host! {
    a_panic_ends_its_own_connection_only,
    a_panic_after_a_wait_is_a_panic_too,
    a_panic_in_init_drops_the_handler,
    a_callback_that_waits_does_not_hold_up_others,
    many_clients_at_once_get_their_own_messages,
    connections_that_come_and_go_each_end_once,
}

fn picky() -> Site {
    Site::new(async |message| match &message {
        Message::Text(text) if text == "panic" => panic!("on demand"),
        Message::Text(text) if text == "wait and panic" => {
            tokio::task::yield_now().await;
            panic!("on demand, later")
        }
        _ => Ok(Outcome::push(message)),
    })
}

async fn a_panic_ends_its_own_connection_only(host: Host) {
    let mut server = host.start(picky());
    let mut other = Peer::upgraded(server.addr).await;
    server.init().await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send([frame(TEXT, "before"), frame(TEXT, "panic"), frame(TEXT, "after")].concat()).await;
    assert_eq!(peer.frame().await, Frame::new(TEXT, "before"));
    assert_eq!(peer.close_frame().await, (Some(1011), String::new()));
    peer.end().await;
    server.message().await;
    server.message().await;
    let reason = server.terminated().await;
    assert!(matches!(reason, CloseReason::Error(Error::Panic)), "{reason:?}");
    assert_eq!(server.error().await.field("panic"), "on demand");
    // The other connection, and a new one.
    other.send(frame(TEXT, "still here")).await;
    assert_eq!(other.frame().await, Frame::new(TEXT, "still here"));
    server.message().await;
    let mut third = Peer::upgraded(server.addr).await;
    third.send(frame(TEXT, "hello")).await;
    assert_eq!(third.frame().await, Frame::new(TEXT, "hello"));
}

async fn a_panic_after_a_wait_is_a_panic_too(host: Host) {
    let mut server = host.start(picky());
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(frame(TEXT, "wait and panic")).await;
    assert_eq!(peer.close_frame().await, (Some(1011), String::new()));
    server.message().await;
    assert!(matches!(server.terminated().await, CloseReason::Error(Error::Panic)));
}

async fn a_panic_in_init_drops_the_handler(host: Host) {
    let mut server = host.start(Site::echo().on_init(async |_| panic!("at once")));
    let mut peer = Peer::upgraded(server.addr).await;
    assert_eq!(peer.close_frame().await, (Some(1011), String::new()));
    peer.end().await;
    server.init().await;
    server.dropped().await;
    assert_eq!(server.error().await.field("panic"), "at once");
    server.expect_nothing_more().await;
}

async fn a_callback_that_waits_does_not_hold_up_others(host: Host) {
    let site = Site::new(async |message| match &message {
        Message::Text(text) if text == "wait" => std::future::pending().await,
        _ => Ok(Outcome::push(message)),
    });
    let mut server = host.start(site);
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

async fn many_clients_at_once_get_their_own_messages(host: Host) {
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
    let mut server = host.start(site);
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

async fn connections_that_come_and_go_each_end_once(host: Host) {
    let mut server = host.start(Site::echo());
    let addr = server.addr;
    let clients: Vec<_> = (0..100)
        .map(|client| {
            tokio::spawn(async move {
                let mut peer = Peer::upgraded(addr).await;
                match client % 4 {
                    0 => peer.send(crate::peer::close(1000, "")).await,
                    1 => peer.send([0xff]).await,
                    2 => peer.finish().await,
                    _ => return peer.reset(),
                }
                peer.reader.rest().await;
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    let (mut begun, mut remote, mut protocol, mut lost) = (0, 0, 0, 0);
    while remote + protocol + lost < 100 {
        match server.numbered_report().await.1 {
            Report::Init(_) => begun += 1,
            Report::Terminate(CloseReason::Remote { .. }) => remote += 1,
            Report::Terminate(CloseReason::Error(Error::Protocol(_))) => protocol += 1,
            Report::Terminate(CloseReason::Error(Error::Disconnected)) => lost += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((begun, remote, protocol, lost), (100, 25, 25, 50));
    server.expect_nothing_more().await;
}
