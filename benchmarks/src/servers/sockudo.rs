//! sockudo-ws without an HTTP server, in the echo loop of its docs.

use std::io;
use std::net::TcpListener;

use futures_util::{SinkExt, StreamExt};
use sockudo_ws::handshake::server_handshake;
use sockudo_ws::{Config, Message, WebSocketStream};
use tokio::net::TcpStream;

use super::MAX_MESSAGE;

pub(super) fn run(listener: TcpListener, workers: usize) -> io::Result<()> {
    super::accept(listener, workers, |stream| async { echo(stream).await.unwrap_or_default() })
}

async fn echo(mut stream: TcpStream) -> sockudo_ws::Result<()> {
    let config = Config::builder().max_message_size(MAX_MESSAGE).max_frame_size(MAX_MESSAGE).build();
    server_handshake(&mut stream).await?;
    let mut socket = WebSocketStream::server(stream, config);
    while let Some(message) = socket.next().await {
        match message? {
            message @ (Message::Text(_) | Message::Binary(_)) => socket.feed(message).await?,
            Message::Close(_) => return Ok(()),
            _ => {}
        }
    }
    Ok(())
}
