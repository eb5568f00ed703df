//! warp's `ws`, in the loop of its example.

use std::io;
use std::net::TcpListener;

use futures_util::StreamExt;
use warp::Filter;
use warp::ws::{WebSocket, Ws};

use super::{MAX_MESSAGE, runtime};

pub(super) fn run(listener: TcpListener, workers: usize) -> io::Result<()> {
    let route = warp::ws().map(|upgrade: Ws| {
        upgrade.max_message_size(MAX_MESSAGE).max_frame_size(MAX_MESSAGE).on_upgrade(
            |socket: WebSocket| async {
                let (sink, stream) = socket.split();
                stream.forward(sink).await.ok();
            },
        )
    });
    runtime(workers)?.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        warp::serve(route).incoming(listener).run().await;
        Ok(())
    })
}
