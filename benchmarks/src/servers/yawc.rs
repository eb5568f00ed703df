//! yawc on hyper: as in its docs, and as in its benchmarks.

use std::future::Future;
use std::io;
use std::net::TcpListener;

use futures_util::{FutureExt, SinkExt, StreamExt};
use yawc::{CompressionLevel, DeflatePool, Frame, HttpWebSocket, OpCode, Options, WebSocket, WebSocketError};

use super::{LEVEL, MAX_MESSAGE, THRESHOLD};

/// How many ready messages its benchmarks answer with one flush.
const BATCH: usize = 32;

/// How many compressors its docs let wait in the pool.
const POOL: usize = 64;

pub(super) fn one_by_one(listener: TcpListener, workers: usize) -> io::Result<()> {
    serve(listener, workers, options(), echo)
}

pub(super) fn batched(listener: TcpListener, workers: usize) -> io::Result<()> {
    serve(listener, workers, large(options()), echo_batched)
}

pub(super) fn deflate(listener: TcpListener, workers: usize) -> io::Result<()> {
    serve(listener, workers, compressing(options()), echo)
}

pub(super) fn deflate_batched(listener: TcpListener, workers: usize) -> io::Result<()> {
    serve(listener, workers, large(compressing(options())), echo_batched)
}

async fn echo(mut socket: HttpWebSocket) {
    while let Some(frame) = socket.next().await {
        if is_data(&frame) && socket.send(frame).await.is_err() {
            return;
        }
    }
}

async fn echo_batched(mut socket: HttpWebSocket) {
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
}

/// Its limits are exclusive, and it checks text only when told to, which the others do of their own accord.
fn options() -> Options {
    Options::default().with_limits(MAX_MESSAGE + 1, MAX_MESSAGE + 1).with_utf8()
}

fn large(options: Options) -> Options {
    options.with_read_buffer_capacity(128 * 1024).with_backpressure_boundary(64 * 1024)
}

/// The client decides about context takeover. Without a window of its own it would answer browsers with the smallest.
fn compressing(options: Options) -> Options {
    options
        .with_compression_level(CompressionLevel::new(LEVEL.into()))
        .with_compression_threshold(THRESHOLD)
        .with_server_max_window_bits(15)
        .with_client_max_window_bits(15)
        .with_deflate_pool(DeflatePool::new(POOL))
}

fn is_data(frame: &Frame) -> bool {
    matches!(frame.opcode(), OpCode::Text | OpCode::Binary)
}

fn serve<T>(
    listener: TcpListener,
    workers: usize,
    options: Options,
    task: impl Fn(HttpWebSocket) -> T + Copy + Send + 'static,
) -> io::Result<()>
where
    T: Future<Output = ()> + Send + 'static,
{
    super::http(listener, workers, move |mut request| {
        let (response, socket) = WebSocket::upgrade_with_options(&mut request, options.clone())?;
        tokio::spawn(async move {
            if let Ok(socket) = socket.await {
                task(socket).await;
            }
        });
        Ok::<_, WebSocketError>(response)
    })
}
