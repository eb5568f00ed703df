//! hyper-tungstenite: tokio-tungstenite on hyper's upgrade.

use std::io;
use std::net::TcpListener;

use futures_util::{SinkExt, StreamExt};
use hyper_tungstenite::HyperWebsocket;
use hyper_tungstenite::tungstenite::Error;
use hyper_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::MAX_MESSAGE;

pub(super) fn run(listener: TcpListener, workers: usize) -> io::Result<()> {
    super::http(listener, workers, |request| {
        let (response, socket) = hyper_tungstenite::upgrade(request, Some(config()))?;
        tokio::spawn(async { echo(socket).await.unwrap_or_default() });
        Ok::<_, hyper_tungstenite::tungstenite::error::ProtocolError>(response)
    })
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE))
}

async fn echo(socket: HyperWebsocket) -> Result<(), Error> {
    let mut socket = socket.await?;
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}
