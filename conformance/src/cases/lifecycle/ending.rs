//! How a handler ends, and what may cut a callback: L7, L11.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use websock_core::{CloseReason, Error, Options, Outcome, Timeout};

use crate::peer::{Frame, PING, PONG, Peer, TEXT, close, frame, soon};
use crate::server::{Server, Stage};
use crate::site::{Report, Site};

cases! {
    a_peer_that_vanishes_during_a_callback_is_noticed_after_it: L11,
    a_connection_that_is_lost_drops_what_waits_in_its_mailbox: B1 L11,
    terminate_runs_once_however_many_ends_there_are: L7,
    connections_that_come_and_go_each_end_once: L7,
    a_callback_that_takes_too_long_is_given_up: L11,
    an_init_that_takes_too_long_is_given_up: L11,
    a_server_that_is_stopped_drops_its_handlers_without_terminate: L7,
    a_handle_control_that_takes_too_long_is_given_up: L11,
    a_handle_info_that_takes_too_long_is_given_up: L11,
    a_terminate_may_take_longer_than_the_callback_timeout: L11 L7,
    no_callback_runs_while_terminate_does: L7,
}

async fn a_peer_that_vanishes_during_a_callback_is_noticed_after_it(stage: &Stage) {
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let opened = gate.clone();
    let site = Site::new(move |_| {
        let gate = gate.clone();
        async move {
            gate.acquire().await?.forget();
            Ok(Outcome::push("nobody reads this"))
        }
    });
    let mut server = stage.start(site).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(frame(TEXT, "work")).await;
    server.message().await;
    peer.reset();
    // Another connection is served meanwhile, so the reset has had its time.
    let mut other = Peer::upgraded(server.addr).await;
    server.init().await;
    other.send(frame(TEXT, "work")).await;
    server.message().await;
    opened.add_permits(2);
    let (connection, report) = server.numbered_report().await;
    assert_eq!(connection, 0);
    assert!(matches!(report, Report::Terminate(CloseReason::Error(Error::Disconnected))), "{report:?}");
    other.frame().await;
}

async fn a_connection_that_is_lost_drops_what_waits_in_its_mailbox(stage: &Stage) {
    let mut server = stage
        .start(Site::new(async |_| std::future::pending().await).with_options(
            Options::default().callback_timeout(Duration::from_millis(100)).close_timeout(Duration::ZERO),
        ))
        .await;
    let mut peer = Peer::upgraded(server.addr).await;
    let socket = server.init().await;
    peer.send(frame(TEXT, "wait")).await;
    server.message().await;
    socket.mailbox().send(Outcome::push("never sent")).await.unwrap();
    peer.finish().await;
    let reason = server.terminated().await;
    assert!(matches!(reason, CloseReason::Timeout(websock_core::Timeout::Callback)), "{reason:?}");
    assert!(socket.mailbox().send(Outcome::none()).await.is_err());
    assert!(socket.mailbox().is_closed());
    assert_eq!(peer.close_frame().await, (Some(1011), "callback timeout".into()));
    server.expect_nothing_more().await;
}

async fn terminate_runs_once_however_many_ends_there_are(stage: &Stage) {
    let mut server = stage.start(Site::new(async |_| Err("failed".into()))).await;
    for _ in 0..100 {
        let mut peer = Peer::upgraded(server.addr).await;
        let socket = server.init().await;
        // A failure, a close by the mailbox, the peer's Close and its end, all at once.
        let bytes = [frame(TEXT, "x"), close(1000, "")].concat();
        peer.send(bytes).await;
        socket.mailbox().close(websock_core::CloseCode::POLICY, "");
        peer.finish().await;
        let (code, _) = peer.close_frame().await;
        let reason = loop {
            match server.numbered_report().await.1 {
                Report::In(_) => {}
                Report::Terminate(reason) => break reason,
                other => panic!("{other:?}"),
            }
        };
        match reason {
            CloseReason::Error(Error::Handler(_)) => assert_eq!(code, Some(1011)),
            CloseReason::Normal => assert_eq!(code, Some(1008)),
            other => panic!("{other:?}"),
        }
        peer.end().await;
    }
    server.expect_nothing_more().await;
}

async fn connections_that_come_and_go_each_end_once(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
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

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

async fn expect_timeout(server: &mut Server, timeout: Timeout) {
    let reason = server.terminated().await;
    assert!(matches!(reason, CloseReason::Timeout(seen) if seen == timeout), "{reason:?}");
}

async fn a_callback_that_takes_too_long_is_given_up(stage: &Stage) {
    let site = Site::new(async |_| std::future::pending().await);
    let mut server = stage.start(site.with_options(Site::usual_options().callback_timeout(ms(150)))).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    let start = Instant::now();
    peer.send(frame(TEXT, "x")).await;
    assert_eq!(peer.close_frame().await, (Some(1011), "callback timeout".into()));
    assert!(start.elapsed() >= ms(150), "after {:?}", start.elapsed());
    peer.end().await;
    server.message().await;
    expect_timeout(&mut server, Timeout::Callback).await;
    server.expect_nothing_more().await;
}

async fn an_init_that_takes_too_long_is_given_up(stage: &Stage) {
    let site = Site::echo().on_init(async |_| std::future::pending().await);
    let mut server = stage.start(site.with_options(Site::usual_options().callback_timeout(ms(100)))).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    assert_eq!(peer.close_frame().await, (Some(1011), "callback timeout".into()));
    expect_timeout(&mut server, Timeout::Callback).await;
    server.expect_nothing_more().await;
}

async fn a_server_that_is_stopped_drops_its_handlers_without_terminate(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peers = Vec::new();
    for _ in 0..3 {
        peers.push(Peer::upgraded(server.addr).await);
        server.init().await;
    }
    let (reports, errors) = server.stop().await;
    assert_eq!(reports.len(), 3, "{reports:?}");
    assert!(reports.iter().all(|report| matches!(report, Report::Dropped)), "{reports:?}");
    assert!(errors.is_empty(), "{errors:?}");
}

fn hurried(site: Site) -> Site {
    site.with_options(Site::usual_options().callback_timeout(ms(150)))
}

async fn expect_given_up(server: &mut Server, mut peer: Peer, start: Instant) {
    assert_eq!(peer.close_frame().await, (Some(1011), "callback timeout".into()));
    assert!(start.elapsed() >= ms(150), "after {:?}", start.elapsed());
    peer.end().await;
    expect_timeout(server, Timeout::Callback).await;
}

async fn a_handle_control_that_takes_too_long_is_given_up(stage: &Stage) {
    let site = Site::echo().on_control(async |_| std::future::pending().await);
    let mut server = stage.start(hurried(site)).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    let start = Instant::now();
    peer.send(frame(PING, "x")).await;
    assert_eq!(peer.frame().await, Frame::new(PONG, "x"));
    server.control().await;
    expect_given_up(&mut server, peer, start).await;
    server.expect_nothing_more().await;
}

async fn a_handle_info_that_takes_too_long_is_given_up(stage: &Stage) {
    let site = Site::echo().on_info(async |_| std::future::pending().await);
    let mut server = stage.start(hurried(site)).await;
    let peer = Peer::upgraded(server.addr).await;
    let socket = server.init().await;
    let start = Instant::now();
    socket.mailbox().send(Outcome::none()).await.unwrap();
    expect_given_up(&mut server, peer, start).await;
    server.expect_nothing_more().await;
}

async fn a_terminate_may_take_longer_than_the_callback_timeout(stage: &Stage) {
    let finished = Arc::new(Semaphore::new(0));
    let finishing = finished.clone();
    let site = Site::echo().on_terminate(move || {
        let finished = finishing.clone();
        async move {
            tokio::time::sleep(ms(300)).await;
            finished.add_permits(1);
        }
    });
    let mut server = stage.start(site.with_options(Site::usual_options().callback_timeout(ms(100)))).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(close(1000, "")).await;
    assert_eq!(peer.close_frame().await, (Some(1000), String::new()));
    assert!(matches!(server.terminated().await, CloseReason::Remote { .. }));
    soon("the end of terminate", finished.acquire()).await.unwrap().forget();
    server.expect_nothing_more().await;
}

async fn no_callback_runs_while_terminate_does(stage: &Stage) {
    let site = Site::new(async |_| Ok(Outcome::stop())).on_terminate(std::future::pending);
    let mut server = stage.start(site).await;
    let mut peer = Peer::upgraded(server.addr).await;
    let socket = server.init().await;
    peer.send(frame(TEXT, "stop")).await;
    server.message().await;
    assert!(matches!(server.terminated().await, CloseReason::Normal));
    // What comes now, by either way, comes too late.
    assert!(socket.mailbox().send(Outcome::push("late")).await.is_err());
    assert_eq!(peer.close_frame().await, (Some(1000), String::new()));
    peer.send([frame(TEXT, "late"), frame(PING, "late"), close(1000, "")].concat()).await;
    peer.end().await;
    server.expect_nothing_more().await;
}
