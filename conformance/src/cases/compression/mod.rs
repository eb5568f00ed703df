//! Compression: C. What is agreed on, compressed messages both ways, and how large they may become.
//!
//! The bytes that the peer sends were made with Python's zlib: for the messages of a stream
//! `c = zlib.compressobj(9, zlib.DEFLATED, -15)` and then `(c.compress(message) + c.flush(zlib.Z_SYNC_FLUSH))[:-4]`.
//! Stored blocks are written by hand.

mod limits;
mod negotiation;
mod receiving;
mod sending;
mod violations;

use std::net::SocketAddr;
use std::num::NonZeroUsize;

use websock_core::Deflate;

use crate::case::Case;
use crate::inflater::Inflater;
use crate::peer::{Frame, Peer, Request};
use crate::site::Site;

pub(super) fn cases() -> Vec<Case> {
    [limits::cases(), negotiation::cases(), receiving::cases(), sending::cases(), violations::cases()]
        .into_iter()
        .flatten()
        .collect()
}

const OFFER: &str = "permessage-deflate";

/// The first message of a stream: [`FOX_TEXT`].
const FOX: [u8; 21] = [
    0x0a, 0xc9, 0x48, 0x55, 0x28, 0x2c, 0xcd, 0x4c, 0xce, 0x56, 0x48, 0x2a, 0xca, 0x2f, 0xcf, 0x53, 0x48,
    0xcb, 0xaf, 0x00, 0x00,
];
const FOX_TEXT: &str = "The quick brown fox";
/// The second, which refers to the first: [`JUMPS_TEXT`].
const JUMPS: [u8; 11] = [0x0a, 0xc1, 0x14, 0x52, 0xc8, 0x2a, 0xcd, 0x2d, 0x28, 0x06, 0x00];
const JUMPS_TEXT: &str = "The quick brown fox jumps";
/// The third, which refers to the second: [`DOG_TEXT`].
const DOG: [u8; 21] = [
    0xc2, 0x29, 0xa1, 0x90, 0x5f, 0x96, 0x5a, 0xa4, 0x50, 0x02, 0x94, 0xce, 0x49, 0xac, 0xaa, 0x54, 0x48,
    0xc9, 0x4f, 0x07, 0x00,
];
const DOG_TEXT: &str = "The quick brown fox jumps over the lazy dog";

/// A message of its own: [`GREEK_TEXT`].
const GREEK: [u8; 23] = [
    0x4a, 0x2f, 0x3a, 0xbc, 0xe7, 0xf0, 0xfc, 0x54, 0x1d, 0x85, 0x73, 0xbb, 0xce, 0xf7, 0x9c, 0x6f, 0x3e,
    0xb7, 0xe7, 0xdc, 0x56, 0x00, 0x00,
];
const GREEK_TEXT: &str = "grüße, κόσμε";

/// A message of its own: the bytes from 0 to 15, twenty times.
const BYTES: [u8; 23] = [
    0x62, 0x60, 0x64, 0x62, 0x66, 0x61, 0x65, 0x63, 0xe7, 0xe0, 0xe4, 0xe2, 0xe6, 0xe1, 0xe5, 0xe3, 0x67,
    0x18, 0xe5, 0x93, 0xc4, 0x07, 0x00,
];

/// 258 bytes that stand 32 468 bytes before: behind `noise(32_768)`, its bytes from 300 on.
const FAR: [u8; 5] = [0x1a, 0xbd, 0xd3, 0x1e, 0x00];

/// A message of its own: `good \xff bad`.
const BAD_TEXT: [u8; 12] = [0x4a, 0xcf, 0xcf, 0x4f, 0x51, 0xf8, 0xaf, 0x90, 0x94, 0x98, 0x02, 0x00];

/// What [`BYTES`] says.
fn twenty_times_sixteen() -> Vec<u8> {
    (0..16).collect::<Vec<_>>().repeat(20)
}

/// A million times the letter a, in blocks that refer to nothing before them: with `zlib.Z_FULL_FLUSH`, and whole.
/// Several of them may follow each other in one message, with a zero byte behind the last.
fn million() -> Vec<u8> {
    let begin =
        [0xec, 0xc1, 0x81, 0x00, 0x00, 0x00, 0x00, 0xc3, 0x20, 0xd6, 0xf9, 0x4b, 0x1c, 0xe4, 0x55, 0x01];
    [&begin[..], &[0; 968], &[0xaf, 0x06, 0x00, 0x00, 0xff, 0xff]].concat()
}

/// A message in stored blocks of so many bytes.
fn stored(bytes: &[u8], block: u16) -> Vec<u8> {
    let blocks = bytes.chunks(block.into()).flat_map(|bytes| {
        let length = u16::try_from(bytes.len()).unwrap();
        [&[0][..], &length.to_le_bytes(), &(!length).to_le_bytes(), bytes].concat()
    });
    blocks.chain([0]).collect()
}

/// Bytes in which nothing is repeated, so that nothing makes them smaller: an xorshift's.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        Some(state.to_le_bytes()[0])
    };
    std::iter::from_fn(next).take(count).collect()
}

/// Text that becomes much smaller.
fn prose(length: usize) -> String {
    let text = r#"{"kind":"price","of":"cheese","value":12.5},"#.repeat(length / 40 + 1);
    text[..length].to_owned()
}

/// Compresses whatever there is to compress, each message for itself.
fn alone() -> Deflate {
    Deflate::default().threshold(0)
}

/// And here messages may refer to those before them.
fn takeover() -> Deflate {
    alone().server_context_takeover(true).client_context_takeover(true)
}

/// Does with this site what the server's settings for compression say.
fn compressing(site: Site, deflate: Deflate) -> Site {
    let options = site.options().clone().deflate(deflate);
    site.with_options(options)
}

fn echo(deflate: Deflate) -> Site {
    compressing(Site::echo(), deflate)
}

/// An echo whose messages may have so many bytes.
fn limited(deflate: Deflate, limit: usize) -> Site {
    let site = echo(deflate);
    let options = site.options().clone().max_message_size(NonZeroUsize::new(limit).unwrap());
    site.with_options(options)
}

fn offering(addr: SocketAddr, offer: &str) -> Request {
    Request::good(addr).with("Sec-WebSocket-Extensions", offer)
}

/// A client that has offered to compress, and understands what it was answered.
struct Client {
    peer: Peer,
    /// The extensions of the 101.
    agreed: Option<String>,
    inflater: Inflater,
}

impl Client {
    /// A connection for which this was offered.
    async fn offering(addr: SocketAddr, offer: &str) -> Self {
        Client::sending(addr, &offering(addr, offer).bytes()).await
    }

    /// A connection for this request, with what may stand behind it.
    async fn sending(addr: SocketAddr, request: &[u8]) -> Self {
        let mut peer = Peer::connect(addr).await;
        peer.send(request).await;
        let response = peer.response().await;
        assert_eq!(response.status, 101, "{response:?}");
        let agreed = response.field("sec-websocket-extensions").map(str::to_owned);
        let inflater = inflater(agreed.as_deref());
        Client { peer, agreed, inflater }
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.peer.send(bytes).await;
    }

    /// The next frame, which must not be compressed.
    async fn plain(&mut self) -> Frame {
        self.peer.frame().await
    }

    /// The next frame, which must be compressed, with the message that it carries, and the length in which it came.
    async fn compressed(&mut self) -> (Frame, usize) {
        let (frame, is_compressed) = self.peer.marked_frame().await;
        assert!(is_compressed, "RSV1 is not set: {frame:?}");
        self.inflate(frame)
    }

    /// The next message, compressed or not.
    async fn any(&mut self) -> Frame {
        match self.peer.marked_frame().await {
            (frame, true) => self.inflate(frame).0,
            (frame, false) => frame,
        }
    }

    fn inflate(&mut self, Frame { opcode, payload }: Frame) -> (Frame, usize) {
        let agreed = self.agreed.as_deref().expect("RSV1 is set, but nothing was agreed on");
        if agreed.contains("server_no_context_takeover") {
            self.inflater = inflater(Some(agreed));
        }
        (Frame { opcode, payload: self.inflater.message(&payload) }, payload.len())
    }
}

/// For the window that was agreed on.
fn inflater(agreed: Option<&str>) -> Inflater {
    let parameters = agreed.unwrap_or_default().split(';');
    let mut bits =
        parameters.filter_map(|parameter| parameter.trim().strip_prefix("server_max_window_bits="));
    Inflater::new(bits.next().map_or(15, |bits| bits.parse().unwrap()))
}
