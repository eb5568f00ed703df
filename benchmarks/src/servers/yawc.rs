//! yawc on hyper: as in its docs, and as in its benchmarks.

use std::future::Future;
use std::io;
use std::net::TcpListener;

use futures_util::{FutureExt, SinkExt, StreamExt};
use yawc::{Frame, HttpWebSocket, OpCode, Options, WebSocket, WebSocketError};

use super::MAX_MESSAGE;

/// How many ready messages its benchmarks answer with one flush.
const BATCH: usize = 32;

pub(super) fn one_by_one(listener: TcpListener, workers: usize) -> io::Result<()> {
    serve(listener, workers, options, async |mut socket: HttpWebSocket| {
        while let Some(frame) = socket.next().await {
            if is_data(&frame) && socket.send(frame).await.is_err() {
                return;
            }
        }
    })
}

pub(super) fn batched(listener: TcpListener, workers: usize) -> io::Result<()> {
    let options = || options().with_read_buffer_capacity(128 * 1024).with_backpressure_boundary(64 * 1024);
    serve(listener, workers, options, async |mut socket: HttpWebSocket| {
        while let Some(first) = socket.next().await {
            let (mut next, mut fed) = (Some(Some(first)), 0);
            while let Some(frame) = next {
                let Some(frame) = frame else { return };
                if is_data(&frame) && socket.feed(frame).await.is_err() {
                    return;
                }
                fed += 1;
                next = if fed < BATCH { socket.next().now_or_never() } else { None };
            }
            if socket.flush().await.is_err() {
                return;
            }
        }
    })
}

/// Its limits are exclusive, and it checks text only when told to, which the others do of their own accord.
fn options() -> Options {
    Options::default().with_limits(MAX_MESSAGE + 1, MAX_MESSAGE + 1).with_utf8()
}

fn is_data(frame: &Frame) -> bool {
    matches!(frame.opcode(), OpCode::Text | OpCode::Binary)
}

fn serve<T>(
    listener: TcpListener,
    workers: usize,
    options: impl Fn() -> Options + Copy + Send + 'static,
    task: impl Fn(HttpWebSocket) -> T + Copy + Send + 'static,
) -> io::Result<()>
where
    T: Future<Output = ()> + Send + 'static,
{
    super::http(listener, workers, move |mut request| {
        let (response, socket) = WebSocket::upgrade_with_options(&mut request, options())?;
        tokio::spawn(async move {
            if let Ok(socket) = socket.await {
                task(socket).await;
            }
        });
        Ok::<_, WebSocketError>(response)
    })
}
