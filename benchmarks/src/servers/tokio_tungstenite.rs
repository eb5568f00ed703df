//! tokio-tungstenite without an HTTP server, in the loop of its example.

use std::future::ready;
use std::io;
use std::net::TcpListener;

use futures_util::{StreamExt, TryStreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::MAX_MESSAGE;

pub(super) fn run(listener: TcpListener, workers: usize) -> io::Result<()> {
    super::accept(listener, workers, echo)
}

async fn echo(stream: TcpStream) {
    let config =
        WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
    let Ok(socket) = accept_async_with_config(stream, Some(config)).await else { return };
    let (write, read) = socket.split();
    read.try_filter(|message| ready(message.is_text() || message.is_binary())).forward(write).await.ok();
}
