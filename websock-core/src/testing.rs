//! An in-memory client, to test a handler without a server.
//!
//! The handler runs on the real driver and engine; only the network is missing. With tokio's paused clock
//! (`start_paused = true`) timeouts pass at once.
//!
//! ```
//! use websock_core::testing::{Client, Received};
//! use websock_core::{CloseCode, CloseFrame, HandleResult, Message, Options, Outcome, WebSock};
//!
//! struct Shout;
//!
//! impl WebSock for Shout {
//!     type Info = ();
//!
//!     async fn handle_in(&mut self, message: Message) -> HandleResult {
//!         Ok(match message {
//!             Message::Text(text) => Outcome::push(text.to_uppercase()),
//!             _ => Outcome::stop().close(CloseCode::UNSUPPORTED, "text only"),
//!         })
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let mut client = Client::connect(Shout, &Options::default());
//! client.send("hello").await;
//! assert_eq!(client.receive().await, Received::text("HELLO"));
//! client.send(vec![1, 2, 3]).await;
//! let close = CloseFrame::new(CloseCode::UNSUPPORTED, "text only");
//! assert_eq!(client.receive().await, Received::Close(Some(close)));
//! assert_eq!(client.receive().await, Received::End);
//! # }
//! ```

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::close::{CloseCode, CloseFrame};
use crate::handler::WebSock;
use crate::message::{ControlPayload, Frame};
use crate::options::Options;
use crate::payload::Payload;
use crate::protocol::{Opcode, encode_header};
use crate::text::Text;
use crate::upgrade::{HttpVersion, RequestHead, negotiate};

/// The client's end of a connection to a handler.
#[derive(Debug)]
pub struct Client {
    stream: DuplexStream,
}

/// What came from the handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// A message, a ping or a pong.
    Frame(Frame),
    /// A Close frame, `None` if it was empty.
    Close(Option<CloseFrame>),
    /// The connection has ended.
    End,
}

impl Received {
    /// A text message, to compare with.
    pub fn text(text: impl Into<Text>) -> Self {
        Received::Frame(Frame::text(text))
    }

    /// A binary message, to compare with.
    pub fn binary(bytes: impl Into<Payload>) -> Self {
        Received::Frame(Frame::binary(bytes))
    }
}

/// How much may be on the way in one direction; a handler that is not read from is held up behind it.
const ON_THE_WAY: usize = 64 * 1024;

impl Client {
    /// Connects to a handler, whose connection runs in a task of its own.
    ///
    /// # Panics
    /// Outside of a tokio runtime with its timer enabled, and where the options' drain has begun.
    pub fn connect<H: WebSock>(handler: H, options: &Options) -> Self {
        Client::connect_offering(handler, options, "")
    }

    /// The same with an offer of subprotocols, a list separated by commas.
    ///
    /// # Panics
    /// Outside of a tokio runtime with its timer enabled, and where the options' drain has begun.
    pub fn connect_offering<H: WebSock>(handler: H, options: &Options, subprotocols: &str) -> Self {
        let head = RequestHead::new(HttpVersion::Http11, "GET")
            .header("connection", b"upgrade")
            .header("upgrade", b"websocket")
            .header("sec-websocket-version", b"13")
            .header("sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==")
            .header("sec-websocket-protocol", subprotocols.as_bytes());
        let accepted =
            negotiate(&head, options).unwrap_or_else(|error| panic!("no connection is accepted: {error}"));
        let (stream, server) = tokio::io::duplex(ON_THE_WAY);
        tokio::spawn(accepted.connection(handler).run(server, Bytes::new()));
        Client { stream }
    }

    /// Sends a message, a ping or a pong. After the connection's end nothing happens.
    pub async fn send(&mut self, frame: impl Into<Frame>) {
        let frame = frame.into();
        self.send_frame(frame.opcode(), frame.payload()).await;
    }

    /// Sends a Close frame, `None` for an empty one. What the handler still sends can be received.
    pub async fn close(&mut self, frame: Option<&CloseFrame>) {
        let mut payload = Vec::new();
        if let Some(frame) = frame {
            payload.extend_from_slice(&frame.code().get().to_be_bytes());
            payload.extend_from_slice(frame.reason().as_bytes());
        }
        self.send_frame(Opcode::Close, &payload).await;
    }

    async fn send_frame(&mut self, opcode: Opcode, payload: &[u8]) {
        const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
        let (mut header, size) = encode_header(opcode, payload.len());
        header[1] |= 0x80;
        let masked = payload.iter().zip(MASK.into_iter().cycle()).map(|(byte, key)| byte ^ key);
        let frame: Vec<u8> = header[..size].iter().copied().chain(MASK).chain(masked).collect();
        // The other end may be gone already, which `receive` tells.
        let _ = self.stream.write_all(&frame).await;
    }

    /// The next that comes from the handler.
    ///
    /// # Panics
    /// If what comes is not a frame as a server sends it.
    pub async fn receive(&mut self) -> Received {
        self.try_receive().await.unwrap_or(Received::End)
    }

    async fn try_receive(&mut self) -> Option<Received> {
        let first = self.stream.read_u8().await.ok()?;
        let length = match self.stream.read_u8().await.ok()? {
            126 => self.stream.read_u16().await.ok()?.into(),
            127 => self.stream.read_u64().await.ok()?,
            short => short.into(),
        };
        let mut payload = vec![0; usize::try_from(length).ok()?];
        self.stream.read_exact(&mut payload).await.ok()?;
        Some(match first {
            0x81 => Received::Frame(Frame::unchecked_text(payload)),
            0x82 => Received::Frame(Frame::binary(payload)),
            0x88 => Received::Close(close_frame(&payload)),
            0x89 => Received::Frame(Frame::ping(control_payload(payload))),
            0x8a => Received::Frame(Frame::pong(control_payload(payload))),
            other => panic!("a server sends no frame that begins with {other:#x}"),
        })
    }
}

fn control_payload(payload: Vec<u8>) -> ControlPayload {
    ControlPayload::try_from(payload).unwrap_or_else(|error| panic!("{error}"))
}

fn close_frame(payload: &[u8]) -> Option<CloseFrame> {
    let (code, reason) = payload.split_first_chunk()?;
    let code = u16::from_be_bytes(*code);
    let code = CloseCode::new(code).unwrap_or_else(|| panic!("a server does not close with {code}"));
    Some(CloseFrame::new(code, String::from_utf8_lossy(reason).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HandleResult, Keepalive, Message, Outcome, Socket};

    /// Echoes, and tells its subprotocol at once.
    struct Echo;

    impl WebSock for Echo {
        type Info = ();

        async fn init(&mut self, socket: Socket<()>) -> HandleResult {
            Ok(socket.subprotocol().map_or(Outcome::none(), Outcome::push))
        }

        async fn handle_in(&mut self, message: Message) -> HandleResult {
            Ok(Outcome::push(message))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn messages_of_every_size_and_kind_come_back() {
        let mut client = Client::connect(Echo, &Options::default());
        for size in [0, 1, 125, 126, 65_535, 65_536] {
            client.send(vec![7; size]).await;
            assert_eq!(client.receive().await, Received::binary(vec![7; size]), "{size}");
        }
        client.send(Frame::ping(ControlPayload::try_from("x").unwrap())).await;
        assert_eq!(
            client.receive().await,
            Received::Frame(Frame::pong(ControlPayload::try_from("x").unwrap()))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_close_is_answered_and_then_comes_the_end() {
        let mut client = Client::connect(Echo, &Options::default());
        client.close(Some(&CloseFrame::new(CloseCode::NORMAL, "bye"))).await;
        assert_eq!(client.receive().await, Received::Close(Some(CloseCode::NORMAL.into())));
        assert_eq!(client.receive().await, Received::End);
    }

    #[tokio::test(start_paused = true)]
    async fn the_subprotocol_and_the_clock_are_real() {
        let spoken = crate::Subprotocol::new("echo").unwrap();
        let options = Options::default().subprotocols([spoken]).keepalive(Keepalive::default());
        let mut client = Client::connect_offering(Echo, &options, "other, echo");
        assert_eq!(client.receive().await, Received::text("echo"));
        let start = tokio::time::Instant::now();
        assert_eq!(client.receive().await, Received::Frame(Frame::ping(ControlPayload::EMPTY)));
        assert_eq!(start.elapsed().as_secs(), 25);
    }
}
