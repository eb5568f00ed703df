//! The other client: an implementation of the protocol that others wrote.
//!
//! # Panics
//! Whatever cannot be done panics and fails its test, as with the [peer](crate::peer).

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::peer::soon;

/// tokio-tungstenite's client.
pub struct Referee(WebSocketStream<TcpStream>);

impl Referee {
    /// A connection to `/ws`.
    pub async fn connect(addr: SocketAddr) -> Self {
        Referee::offering(addr, "").await.0
    }

    /// A connection for which these subprotocols are offered, and the one that was chosen.
    pub async fn offering(addr: SocketAddr, subprotocols: &str) -> (Self, Option<String>) {
        let stream = TcpStream::connect(addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut request = format!("ws://{addr}/ws").into_client_request().unwrap();
        if !subprotocols.is_empty() {
            request.headers_mut().insert("sec-websocket-protocol", subprotocols.parse().unwrap());
        }
        let connected = soon("a 101", tokio_tungstenite::client_async(request, stream)).await;
        let (socket, response) = connected.unwrap();
        let chosen = response.headers().get("sec-websocket-protocol");
        (Referee(socket), chosen.map(|chosen| chosen.to_str().unwrap().to_owned()))
    }

    /// Sends a message.
    pub async fn send(&mut self, message: impl Into<Message>) {
        soon("writing", self.0.send(message.into())).await.unwrap();
    }

    /// The next message, of any kind.
    pub async fn next(&mut self) -> Message {
        soon("a message", self.0.next()).await.unwrap().unwrap()
    }

    /// The connection must have ended as the protocol wants it.
    pub async fn end(&mut self) {
        let next = soon("the end", self.0.next()).await;
        assert!(next.is_none(), "{next:?}");
    }
}
