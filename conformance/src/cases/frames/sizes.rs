//! Lengths in all their forms, and limits: F5, F8. Each size is a case.

use std::num::NonZeroUsize;

use tokio::io::AsyncWriteExt;
use websock_core::{CloseReason, Error, Message, TooBig};

use crate::case::Case;
use crate::payload::{bytes, text};
use crate::peer::{BINARY, FIN, Frame, Peer, TEXT, frame, header};
use crate::server::Stage;
use crate::site::Site;

pub(super) fn cases() -> Vec<Case> {
    let case = |name, run: fn(&Stage, usize) -> futures_util::future::LocalBoxFuture<'_, ()>, size| {
        Case::new(module_path!(), name, vec!["F8", "F5", "L4"], move |stage| run(stage, size))
    };
    let sizes = [0, 1, 2, 10, 125, 126, 127, 16_000, 65_535, 65_536, 65_537, 1_000_000, 4 << 20];
    let come_back = sizes.map(|size| {
        case(
            format!("messages_of_{size}_bytes_come_back"),
            |stage, size| Box::pin(come_back(stage, size)),
            size,
        )
    });
    let over = [124, 15_999, 65_535, 999_999].map(|size| {
        let name = format!("a_frame_over_a_limit_of_{size}_bytes_closes_with_1009_from_its_header");
        case(name, |stage, size| Box::pin(exceed(stage, size)), size)
    });
    let exactly = [1, 125, 16_000, 65_536, 1_000_000].map(|size| {
        let name = format!("a_frame_of_exactly_its_limit_of_{size}_bytes_is_handled");
        case(name, |stage, size| Box::pin(meet(stage, size)), size)
    });
    come_back.into_iter().chain(over).chain(exactly).collect()
}

async fn come_back(stage: &Stage, size: usize) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    for (opcode, payload) in [(TEXT, text(size).into_bytes()), (BINARY, bytes(size))] {
        let sent = frame(opcode, &payload);
        // A message that fits into no buffer has to be sent while its echo is read.
        let (sending, echo) = tokio::join!(peer.writer.write_all(&sent), peer.reader.frame());
        sending.unwrap();
        assert!(echo == Frame::new(opcode, &payload), "{size} bytes as {opcode}");
        let message = server.message().await;
        assert_eq!(matches!(message, Message::Text(_)), opcode == TEXT);
        assert!(message.as_bytes() == payload, "{size} bytes as {opcode}");
    }
}

fn limited(size: usize) -> Site {
    Site::echo().with_options(Site::usual_options().max_frame_size(NonZeroUsize::new(size)))
}

async fn exceed(stage: &Stage, size: usize) {
    let mut server = stage.start(limited(size)).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(header(FIN | BINARY, size as u64 + 1, [0; 4])).await;
    assert_eq!(peer.close_frame().await, (Some(1009), String::new()));
    peer.end().await;
    let reason = server.terminated().await;
    assert!(
        matches!(reason, CloseReason::Error(Error::TooBig(TooBig::Frame { limit })) if limit == size),
        "{reason:?}"
    );
    server.expect_nothing_more().await;
}

async fn meet(stage: &Stage, size: usize) {
    let mut server = stage.start(limited(size)).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    let sent = frame(BINARY, bytes(size));
    let (sending, echo) = tokio::join!(peer.writer.write_all(&sent), peer.reader.frame());
    sending.unwrap();
    assert!(echo == Frame::new(BINARY, bytes(size)));
    assert_eq!(server.message().await.len(), size);
}
