//! axum's `extract::ws`.

use std::future::Future;
use std::io;
use std::net::TcpListener;

use axum::Router;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::routing::any;
use futures_util::{FutureExt, SinkExt};

use super::{MAX_MESSAGE, runtime};

/// The loop at the top of its docs.
pub(super) fn one_by_one(listener: TcpListener, workers: usize) -> io::Result<()> {
    serve(listener, workers, async |mut socket: WebSocket| {
        while let Some(message) = socket.recv().await {
            let Ok(message) = message else { return };
            if socket.send(message).await.is_err() {
                return;
            }
        }
    })
}

/// What an author who knows that each send is a flush would write.
pub(super) fn batched(listener: TcpListener, workers: usize) -> io::Result<()> {
    serve(listener, workers, async |mut socket: WebSocket| {
        while let Some(first) = socket.recv().await {
            let mut next = Some(Some(first));
            while let Some(message) = next {
                let Some(Ok(message)) = message else { return };
                if socket.feed(message).await.is_err() {
                    return;
                }
                next = socket.recv().now_or_never();
            }
            if socket.flush().await.is_err() {
                return;
            }
        }
    })
}

fn serve<T>(
    listener: TcpListener,
    workers: usize,
    task: impl Fn(WebSocket) -> T + Clone + Send + Sync + 'static,
) -> io::Result<()>
where
    T: Future<Output = ()> + Send + 'static,
{
    let route = any(move |upgrade: WebSocketUpgrade| async move {
        upgrade.max_message_size(MAX_MESSAGE).max_frame_size(MAX_MESSAGE).on_upgrade(task)
    });
    let router = Router::new().route("/", route);
    runtime(workers)?
        .block_on(async { axum::serve(tokio::net::TcpListener::from_std(listener)?, router).await })
}
