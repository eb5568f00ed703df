//! sockudo-ws without an HTTP server, in the echo loop of its docs.

use std::io;
use std::net::TcpListener;

use bytes::BytesMut;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use sockudo_ws::deflate::{DeflateConfig, negotiate_server_deflate};
use sockudo_ws::handshake::{build_response, generate_accept_key, parse_request, server_handshake};
use sockudo_ws::{CompressedWebSocketStream, Config, Error, Message, Result, WebSocketStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{LEVEL, MAX_MESSAGE, THRESHOLD};

pub(super) fn run(listener: TcpListener, workers: usize) -> io::Result<()> {
    super::accept(listener, workers, |stream| async { serve(stream).await.unwrap_or_default() })
}

pub(super) fn deflate(listener: TcpListener, workers: usize) -> io::Result<()> {
    super::accept(listener, workers, |stream| async { serve_deflate(stream).await.unwrap_or_default() })
}

async fn serve(mut stream: TcpStream) -> Result<()> {
    server_handshake(&mut stream).await?;
    echo(WebSocketStream::server(stream, config())).await
}

/// Its own handshake does not answer extensions.
async fn serve_deflate(mut stream: TcpStream) -> Result<()> {
    let mut request = BytesMut::with_capacity(4096);
    loop {
        if stream.read_buf(&mut request).await? == 0 {
            return Err(Error::ConnectionClosed);
        }
        let Some((head, end)) = parse_request(&request)? else { continue };
        let offers = head.extensions.unwrap_or_default();
        let agreed = negotiate_server_deflate(offers, &policy())
            .ok_or(Error::HandshakeFailed("nothing to compress with"))?;
        let answer = agreed.to_response_header();
        stream.write_all(&build_response(&generate_accept_key(head.key), None, Some(&answer))).await?;
        let rest = request.split_off(end).freeze();
        let socket =
            CompressedWebSocketStream::server_with_leftover(stream, config(), agreed.config, Some(rest));
        return echo(socket).await;
    }
}

fn config() -> Config {
    Config::builder().max_message_size(MAX_MESSAGE).max_frame_size(MAX_MESSAGE).build()
}

/// The largest windows, as by default; the client decides about context takeover.
fn policy() -> DeflateConfig {
    DeflateConfig {
        compression_level: LEVEL.into(),
        compression_threshold: THRESHOLD,
        ..DeflateConfig::default()
    }
}

async fn echo<S>(mut socket: S) -> Result<()>
where
    S: Stream<Item = Result<Message>> + Sink<Message, Error = Error> + Unpin,
{
    while let Some(message) = socket.next().await {
        match message? {
            message @ (Message::Text(_) | Message::Binary(_)) => socket.feed(message).await?,
            Message::Close(_) => return Ok(()),
            _ => {}
        }
    }
    Ok(())
}
