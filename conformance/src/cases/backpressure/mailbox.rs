//! How other tasks reach a connection: B1, B2, B6, B7.

use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::sync::Semaphore;
use websock_core::{CloseCode, CloseReason, Error, Options, Outcome, SendError, TrySendError};

use crate::peer::{Frame, Peer, TEXT, close, frame, soon};
use crate::server::Stage;
use crate::site::{Report, Site};

cases! {
    infos_are_handled_in_order_between_messages: L6 B1,
    infos_that_init_leaves_are_handled_after_it: B2,
    a_callback_cannot_wait_for_its_own_full_mailbox: B6,
    a_full_mailbox_gives_the_message_back_and_can_still_close: B1 B7,
    a_mailbox_outlives_its_connection: B1 B2 B7,
    the_mailbox_closes_with_code_and_reason: B7,
    a_send_waits_for_room_in_the_mailbox: B1,
    a_connection_lives_on_when_nobody_holds_its_mailbox: B2,
    clones_of_a_mailbox_reach_the_same_connection: B2,
    a_close_by_the_mailbox_waits_for_the_running_callback: B7,
}

/// A handler that waits at a gate before it answers nothing.
fn gated(gate: &Arc<Semaphore>) -> Site {
    let gate = gate.clone();
    Site::new(move |_| {
        let gate = gate.clone();
        async move {
            gate.acquire().await?.forget();
            Ok(Outcome::none())
        }
    })
}

async fn infos_are_handled_in_order_between_messages(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    let socket = server.init().await;
    let pushing = tokio::spawn(async move {
        for number in 0..500 {
            socket.mailbox().send(Outcome::push(format!("info {number}"))).await.unwrap();
        }
    });
    peer.send((0..500).flat_map(|number| frame(TEXT, format!("message {number}"))).collect::<Vec<_>>()).await;
    let (mut infos, mut messages) = (0, 0);
    while infos < 500 || messages < 500 {
        let text = String::from_utf8(peer.frame().await.payload).unwrap();
        let next = if text.starts_with("info") { &mut infos } else { &mut messages };
        assert!(text.ends_with(&format!(" {next}")), "{text}, not {next}");
        *next += 1;
    }
    pushing.await.unwrap();
}

async fn infos_that_init_leaves_are_handled_after_it(stage: &Stage) {
    let site = Site::echo().on_init(async |socket| {
        socket.mailbox().send(Outcome::push("second")).await?;
        socket.mailbox().try_send(Outcome::push("third"))?;
        Ok(Outcome::push("first"))
    });
    let server = stage.start(site).await;
    let mut peer = Peer::upgraded(server.addr).await;
    for expected in ["first", "second", "third"] {
        assert_eq!(peer.frame().await, Frame::new(TEXT, expected));
    }
}

async fn a_callback_cannot_wait_for_its_own_full_mailbox(stage: &Stage) {
    let site = Site::echo().on_init(async |socket| {
        socket.mailbox().send(Outcome::none()).await?;
        match socket.mailbox().send(Outcome::none()).await {
            Err(SendError::OwnMailboxFull(_)) => Ok(Outcome::push("told")),
            other => panic!("{other:?}"),
        }
    });
    let server = stage.start(site.with_options(Options::default().mailbox_capacity(NonZeroUsize::MIN))).await;
    let mut peer = Peer::upgraded(server.addr).await;
    assert_eq!(peer.frame().await, Frame::new(TEXT, "told"));
}

async fn a_full_mailbox_gives_the_message_back_and_can_still_close(stage: &Stage) {
    let gate = Arc::new(Semaphore::new(0));
    let options = Options::default().mailbox_capacity(NonZeroUsize::new(2).unwrap());
    let mut server = stage.start(gated(&gate).with_options(options)).await;
    let mut peer = Peer::upgraded(server.addr).await;
    let socket = server.init().await;
    peer.send(frame(TEXT, "work")).await;
    server.message().await;
    let mailbox = socket.mailbox();
    mailbox.try_send(Outcome::push("never handled")).unwrap();
    mailbox.try_send(Outcome::push("nor this")).unwrap();
    assert!(matches!(mailbox.try_send(Outcome::none()), Err(TrySendError::Full(_))));
    assert!(mailbox.close(CloseCode::TRY_AGAIN, "too slow"));
    gate.add_permits(1);
    assert_eq!(peer.close_frame().await, (Some(1013), "too slow".into()));
    assert!(matches!(server.terminated().await, CloseReason::Normal));
    server.expect_nothing_more().await;
}

async fn a_mailbox_outlives_its_connection(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let peer = Peer::upgraded(server.addr).await;
    let socket = server.init().await;
    peer.reset();
    assert!(matches!(server.terminated().await, CloseReason::Error(Error::Disconnected)));
    let mailbox = socket.mailbox().clone();
    drop(socket);
    assert!(matches!(mailbox.send(Outcome::push("x")).await, Err(SendError::Closed(_))));
    assert!(matches!(mailbox.try_send(Outcome::push("x")), Err(TrySendError::Closed(_))));
    assert!(!mailbox.close(CloseCode::NORMAL, ""));
}

async fn the_mailbox_closes_with_code_and_reason(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    let socket = server.init().await;
    assert!(socket.mailbox().close(CloseCode::new(4001).unwrap(), "logged out"));
    assert!(!socket.mailbox().close(CloseCode::NORMAL, "second"));
    assert_eq!(peer.close_frame().await, (Some(4001), "logged out".into()));
    peer.end().await;
    let (_, report) = server.numbered_report().await;
    assert!(matches!(report, Report::Terminate(CloseReason::Normal)), "{report:?}");
    assert!(socket.mailbox().is_closed());
}

async fn a_send_waits_for_room_in_the_mailbox(stage: &Stage) {
    let gate = Arc::new(Semaphore::new(0));
    let options = Options::default().mailbox_capacity(NonZeroUsize::MIN);
    let mut server = stage.start(gated(&gate).with_options(options)).await;
    let mut peer = Peer::upgraded(server.addr).await;
    let socket = server.init().await;
    peer.send(frame(TEXT, "work")).await;
    server.message().await;
    socket.mailbox().send(Outcome::push("first")).await.unwrap();
    let mut second = Box::pin(socket.mailbox().send(Outcome::push("second")));
    assert!(futures_util::FutureExt::now_or_never(&mut second).is_none());
    gate.add_permits(1);
    soon("room", second).await.unwrap();
    for expected in ["first", "second"] {
        assert_eq!(peer.frame().await, Frame::new(TEXT, expected));
    }
}

async fn a_connection_lives_on_when_nobody_holds_its_mailbox(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    drop(server.init().await);
    for text in ["one", "two"] {
        peer.send(frame(TEXT, text)).await;
        assert_eq!(peer.frame().await, Frame::new(TEXT, text));
        server.message().await;
    }
    peer.send(close(1000, "")).await;
    assert_eq!(peer.close_frame().await, (Some(1000), String::new()));
    assert!(matches!(server.terminated().await, CloseReason::Remote { .. }));
}

async fn clones_of_a_mailbox_reach_the_same_connection(stage: &Stage) {
    const TASKS: usize = 16;
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    let socket = server.init().await;
    for task in 0..TASKS {
        let mailbox = socket.mailbox().clone();
        tokio::spawn(async move {
            for number in 0..10 {
                mailbox.send(Outcome::push(format!("{task} {number}"))).await.unwrap();
            }
        });
    }
    let mut next = [0; TASKS];
    for _ in 0..10 * TASKS {
        let text = String::from_utf8(peer.frame().await.payload).unwrap();
        let (task, number) = text.split_once(' ').unwrap();
        let task: usize = task.parse().unwrap();
        assert_eq!(number, next[task].to_string());
        next[task] += 1;
    }
}

async fn a_close_by_the_mailbox_waits_for_the_running_callback(stage: &Stage) {
    let gate = Arc::new(Semaphore::new(0));
    let opened = gate.clone();
    let site = Site::new(move |_| {
        let gate = gate.clone();
        async move {
            gate.acquire().await?.forget();
            Ok(Outcome::push("done"))
        }
    });
    let mut server = stage.start(site).await;
    let mut peer = Peer::upgraded(server.addr).await;
    let socket = server.init().await;
    peer.send([frame(TEXT, "work"), frame(TEXT, "never handled")].concat()).await;
    server.message().await;
    assert!(socket.mailbox().close(CloseCode::new(4002).unwrap(), "away"));
    opened.add_permits(2);
    assert_eq!(peer.frame().await, Frame::new(TEXT, "done"));
    assert_eq!(peer.close_frame().await, (Some(4002), "away".into()));
    assert!(matches!(server.terminated().await, CloseReason::Normal));
    server.expect_nothing_more().await;
}
