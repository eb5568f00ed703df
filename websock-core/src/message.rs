//! What goes over a connection: received [`Message`]s and [`Control`]s, and [`Frame`]s to send.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::payload::Payload;
use crate::protocol::{Opcode, encode_header, header_size};
use crate::text::Text;

/// A complete data message from the peer, its fragments joined (SPEC L4).
///
/// A message that came in one frame and one read holds no memory but its own bytes. One that came in parts, or has at
/// least 128 KiB, may hold up to twice as much; before keeping it for long, [`detach`](Message::detach) it (SPEC B9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A text message.
    Text(Text),
    /// A binary message.
    Binary(Payload),
    /// A text message that nobody has checked to be UTF-8. Comes only where
    /// [`validate_utf8`](crate::Options::validate_utf8) is turned off, and then in place of [`Text`](Message::Text).
    UncheckedText(Payload),
}

impl Message {
    /// The payload.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(payload) | Message::UncheckedText(payload) => payload,
        }
    }

    /// The payload, without a copy.
    pub fn into_payload(self) -> Payload {
        match self {
            Message::Text(text) => text.into(),
            Message::Binary(payload) | Message::UncheckedText(payload) => payload,
        }
    }

    /// The payload as [`Bytes`]: [`Payload::into_bytes`].
    pub fn into_bytes(self) -> Bytes {
        self.into_payload().into_bytes()
    }

    /// The payload's length in bytes.
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether the payload is empty.
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }

    /// The same message, holding no memory but its own bytes (SPEC B9). Copies.
    #[must_use]
    pub fn detach(&self) -> Self {
        match self {
            Message::Text(text) => Message::Text(text.detach()),
            Message::Binary(payload) => Message::Binary(payload.detach()),
            Message::UncheckedText(payload) => Message::UncheckedText(payload.detach()),
        }
    }
}

/// A ping or a pong from the peer (SPEC L5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// A ping. Its pong is queued already; a handler never answers it.
    Ping(ControlPayload),
    /// A pong, asked for or not.
    Pong(ControlPayload),
}

impl Control {
    /// The payload, at most 125 bytes, often empty.
    pub fn payload(&self) -> &ControlPayload {
        match self {
            Control::Ping(payload) | Control::Pong(payload) => payload,
        }
    }
}

/// The payload of a ping or a pong: at most 125 bytes by type (RFC 6455 §5.5, SPEC O9).
///
/// ```
/// use websock_core::ControlPayload;
///
/// const PROBE: ControlPayload = ControlPayload::from_static(b"probe").unwrap();
/// assert_eq!(&PROBE[..], b"probe");
/// assert!(ControlPayload::try_from(vec![0; 126]).is_err());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ControlPayload(Payload);

/// A payload of more than 125 bytes does not fit in a ping or a pong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a control frame carries at most 125 bytes, not {0}")]
pub struct ControlPayloadTooLong(pub usize);

impl ControlPayload {
    /// The most bytes that a control frame carries.
    pub const MAX: usize = 125;

    /// No payload.
    pub const EMPTY: ControlPayload = ControlPayload(Payload::EMPTY);

    /// A payload that lives as long as the program, or `None` if it is too long.
    pub const fn from_static(bytes: &'static [u8]) -> Option<Self> {
        if bytes.len() > Self::MAX { None } else { Some(ControlPayload(Payload::from_static(bytes))) }
    }

    /// The bytes as [`Bytes`]: [`Payload::into_bytes`].
    pub fn into_bytes(self) -> Bytes {
        self.0.into_bytes()
    }

    /// For payloads whose length the decoder has checked already.
    pub(crate) fn received(payload: Payload) -> Self {
        debug_assert!(payload.len() <= Self::MAX);
        ControlPayload(payload)
    }
}

impl Deref for ControlPayload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<Payload> for ControlPayload {
    type Error = ControlPayloadTooLong;

    /// # Errors
    /// When there are more than 125 bytes.
    fn try_from(payload: Payload) -> Result<Self, ControlPayloadTooLong> {
        if payload.len() > Self::MAX {
            Err(ControlPayloadTooLong(payload.len()))
        } else {
            Ok(ControlPayload(payload))
        }
    }
}

impl From<ControlPayload> for Payload {
    /// Without a copy.
    fn from(payload: ControlPayload) -> Self {
        payload.0
    }
}

macro_rules! control_payload_from {
    ($($source:ty),*) => {$(
        impl TryFrom<$source> for ControlPayload {
            type Error = ControlPayloadTooLong;

            /// # Errors
            /// When there are more than 125 bytes.
            fn try_from(source: $source) -> Result<Self, ControlPayloadTooLong> {
                Payload::from(source).try_into()
            }
        }
    )*};
}

control_payload_from!(Bytes, Vec<u8>, &[u8], &str);

/// One message to send: what the outcomes [`push`](crate::Outcome::push) and [`stop`](crate::Outcome::stop) carry.
///
/// Made from text, bytes, a received [`Message`] or a [`Prepared`] frame by `into()`, or by name:
///
/// ```
/// use websock_core::{ControlPayload, Frame};
///
/// let frames = [
///     Frame::text("hello"),
///     Frame::binary(vec![1, 2, 3]),
///     Frame::ping(ControlPayload::EMPTY),
/// ];
/// ```
///
/// Two are equal if the peer gets the same: a [`Prepared`] one equals one that is not.
#[derive(Clone)]
pub struct Frame {
    pub(crate) opcode: Opcode,
    /// Whether it must not be compressed.
    pub(crate) uncompressed: bool,
    /// Empty where there is a prepared frame.
    pub(crate) payload: Payload,
    pub(crate) prepared: Option<Prepared>,
}

impl Frame {
    const fn new(opcode: Opcode, payload: Payload) -> Self {
        Frame { opcode, uncompressed: false, payload, prepared: None }
    }

    /// A text message.
    pub fn text(text: impl Into<Text>) -> Self {
        Frame::new(Opcode::Text, text.into().into())
    }

    /// A binary message. What is borrowed is copied; [`Payload::from_static`] is not.
    pub fn binary(bytes: impl Into<Payload>) -> Self {
        Frame::new(Opcode::Binary, bytes.into())
    }

    /// A text message of bytes that nobody checks. If they are not UTF-8, a peer that keeps to the protocol closes
    /// the connection with 1007; meant for passing on what came as [`Message::UncheckedText`].
    pub fn unchecked_text(bytes: impl Into<Payload>) -> Self {
        Frame::new(Opcode::Text, bytes.into())
    }

    /// A ping. The peer's pong comes to [`handle_control`](crate::WebSock::handle_control). To learn whether the
    /// peer is alive the option [`keepalive`](crate::Options::keepalive) is there.
    pub fn ping(payload: ControlPayload) -> Self {
        Frame::new(Opcode::Ping, payload.0)
    }

    /// A pong that no ping asked for. (Pings are answered without the handler.)
    pub fn pong(payload: ControlPayload) -> Self {
        Frame::new(Opcode::Pong, payload.0)
    }

    /// The same message, never compressed (SPEC C5): for what holds a secret beside text that others choose, whose
    /// size would tell of it (as in the CRIME attack), and for what is compressed already.
    #[must_use]
    pub fn uncompressed(mut self) -> Self {
        self.uncompressed = true;
        self
    }

    /// What kind of message this is.
    pub fn opcode(&self) -> Opcode {
        self.opcode
    }

    /// The payload, without the header.
    pub fn payload(&self) -> &[u8] {
        match &self.prepared {
            None => &self.payload,
            Some(prepared) => prepared.payload(),
        }
    }
}

impl PartialEq for Frame {
    fn eq(&self, other: &Frame) -> bool {
        let uncompressed = self.uncompressed == other.uncompressed;
        self.opcode == other.opcode && uncompressed && self.payload() == other.payload()
    }
}

impl Eq for Frame {}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let payload = Payload::from(self.payload());
        let mut tuple = f.debug_tuple(match self.opcode {
            Opcode::Text => "Text",
            Opcode::Ping => "Ping",
            Opcode::Pong => "Pong",
            _ => "Binary",
        });
        tuple.field(&payload);
        if self.uncompressed {
            tuple.field(&format_args!("uncompressed"));
        }
        tuple.finish()
    }
}

impl From<Message> for Frame {
    fn from(message: Message) -> Self {
        match message {
            Message::Text(text) => Frame::new(Opcode::Text, text.into()),
            Message::Binary(payload) => Frame::new(Opcode::Binary, payload),
            Message::UncheckedText(payload) => Frame::new(Opcode::Text, payload),
        }
    }
}

macro_rules! frame_from {
    ($constructor:ident: $($source:ty),*) => {$(
        impl From<$source> for Frame {
            fn from(source: $source) -> Self {
                Frame::$constructor(source)
            }
        }
    )*};
}

frame_from!(text: &str, String, &String, Text);
frame_from!(binary: Payload, Bytes, Vec<u8>);

/// A message that is encoded once and sent to many connections: a broadcast (RFC 6455 §5.2).
///
/// Cloning shares the encoded bytes, so a thousand subscribers cost one encoding and no copies of the payload. It is
/// compressed once too, with the level of the first connection that asks for it, and goes so to every connection that
/// has agreed to compression without context takeover on the server's side, with a window that holds it and a threshold
/// that is not above it; to the others it goes as it is.
///
/// ```
/// use websock_core::{Outcome, Prepared};
///
/// let news = Prepared::text("it rains");
/// let for_one = Outcome::push(news.clone());
/// let for_another = Outcome::push(news);
/// ```
#[derive(Clone)]
pub struct Prepared(Arc<Encoded>);

/// A whole frame, header included, and its compressed form.
struct Encoded {
    opcode: Opcode,
    plain: Bytes,
    /// `None` inside where it would not be smaller.
    compressed: OnceLock<Option<Bytes>>,
}

impl Prepared {
    /// A text message.
    pub fn text(text: impl AsRef<str>) -> Self {
        Prepared::encode(Opcode::Text, text.as_ref().as_bytes())
    }

    /// A binary message.
    pub fn binary(bytes: impl AsRef<[u8]>) -> Self {
        Prepared::encode(Opcode::Binary, bytes.as_ref())
    }

    fn encode(opcode: Opcode, payload: &[u8]) -> Self {
        let (header, size) = encode_header(opcode, payload.len());
        let mut plain = Vec::with_capacity(size + payload.len());
        plain.extend_from_slice(&header[..size]);
        plain.extend_from_slice(payload);
        Prepared(Arc::new(Encoded { opcode, plain: plain.into(), compressed: OnceLock::new() }))
    }

    /// The payload, without the header.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.0.plain[header_size(&self.0.plain)..]
    }

    /// The whole frame, uncompressed.
    pub(crate) fn plain(&self) -> &Bytes {
        &self.0.plain
    }

    /// The whole frame, compressed as `compress` does it when it is asked for first.
    pub(crate) fn compressed(&self, compress: impl FnOnce(Opcode) -> Option<Bytes>) -> Option<Bytes> {
        self.0.compressed.get_or_init(|| compress(self.0.opcode)).clone()
    }
}

impl PartialEq for Prepared {
    fn eq(&self, other: &Prepared) -> bool {
        self.0.plain == other.0.plain
    }
}

impl Eq for Prepared {}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Prepared").field(&Frame::from(self.clone())).finish()
    }
}

impl From<Prepared> for Frame {
    fn from(prepared: Prepared) -> Self {
        Frame {
            opcode: prepared.0.opcode,
            uncompressed: false,
            payload: Payload::EMPTY,
            prepared: Some(prepared),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SPEC O9.
    #[test]
    fn a_control_payload_over_125_bytes_cannot_be_built() {
        assert_eq!(ControlPayload::try_from(vec![0; 126]), Err(ControlPayloadTooLong(126)));
        assert_eq!(ControlPayload::try_from(&[0; 125][..]).unwrap().len(), 125);
        assert!(ControlPayload::from_static(&[0; 126]).is_none());
        assert!(ControlPayload::try_from("x".repeat(126).as_str()).is_err());
    }

    #[test]
    fn a_prepared_frame_has_the_payload_of_the_message() {
        for len in [0, 1, 125, 126, 65_535, 65_536] {
            let frame = Frame::from(Prepared::binary(vec![7; len]));
            assert_eq!(frame.payload(), vec![7; len], "{len}");
            assert_eq!(frame.opcode(), Opcode::Binary);
        }
        assert_eq!(Frame::from(Prepared::text("hi")).payload(), b"hi");
    }

    #[test]
    fn frames_are_equal_if_the_peer_gets_the_same() {
        let text = Frame::text("a");
        assert_eq!(text, Frame::from(Prepared::text("a")));
        assert_eq!(Frame::from(Prepared::text("a")), text);
        assert_ne!(text, Frame::from(Prepared::text("b")));
        assert_ne!(text, Frame::from(Prepared::binary("a")));
        assert_ne!(text, Frame::text("a").uncompressed());
        assert_eq!(format!("{text:?}"), "Text(b\"a\")");
        assert_eq!(format!("{:?}", text.uncompressed()), "Text(b\"a\", uncompressed)");
    }

    /// SPEC B9.
    #[test]
    fn a_detached_message_owns_its_bytes() {
        let read = Bytes::from(vec![b'x'; 1000]);
        for size in [10, 100] {
            let message = Message::Binary(read.slice(10..10 + size).into());
            let detached = message.detach();
            assert_eq!(message, detached);
            assert_ne!(message.as_bytes().as_ptr(), detached.as_bytes().as_ptr());
        }
    }
}
