//! A client that writes its bytes by hand: requests, responses and frames. It shares no code with `websock-core`, so
//! that no mistake cancels out.
//!
//! # Panics
//! It is for tests, so whatever cannot be done panics and fails its test: a connection that is refused, bytes that are no
//! frame or response, and what does not come [soon].

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, TcpStream};

/// The key of RFC 6455 §1.3, and what it is answered with.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// What [`KEY`] is answered with.
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// How long [`soon`] waits: much longer than anything takes, however busy the machine is.
pub const PATIENCE: Duration = Duration::from_secs(10);

thread_local! {
    /// A case runs on one thread, and only a case of a server that is expected to fail has less.
    static PATIENCE_HERE: Cell<Duration> = const { Cell::new(PATIENCE) };
}

/// How long [`soon`] waits on this thread, until the guard is dropped.
pub(crate) fn have_patience(patience: Duration) -> impl Drop {
    struct Guard;
    impl Drop for Guard {
        fn drop(&mut self) {
            PATIENCE_HERE.set(PATIENCE);
        }
    }
    PATIENCE_HERE.set(patience);
    Guard
}

/// Waits for something that is about to happen; if it does not, the test fails instead of hanging.
pub async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    let patience = PATIENCE_HERE.get();
    let Ok(output) = tokio::time::timeout(patience, future).await else {
        panic!("{what}: not within {patience:?}")
    };
    output
}

/// A TCP connection to a server.
pub struct Peer {
    /// What the server sends.
    pub reader: Reader,
    /// Where the server reads.
    pub writer: OwnedWriteHalf,
}

impl Peer {
    /// A connection on which nothing was sent yet.
    pub async fn connect(addr: SocketAddr) -> Self {
        Peer::new(soon("a connection", TcpStream::connect(addr)).await.unwrap())
    }

    fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        let (reader, writer) = stream.into_split();
        Peer { reader: Reader { stream: reader, buffer: Vec::new() }, writer }
    }

    /// A connection that has become a WebSocket.
    pub async fn upgraded(addr: SocketAddr) -> Self {
        Peer::connect(addr).await.upgrade(addr).await
    }

    /// A connection that has become a WebSocket, for which the system holds little of what is not read. Otherwise it
    /// holds as many megabytes as it pleases, and it takes long to fill them.
    pub async fn upgraded_with_little_room(addr: SocketAddr) -> Self {
        let socket = connect_with_little_room(addr);
        Peer::new(soon("a connection", socket).await.unwrap()).upgrade(addr).await
    }

    async fn upgrade(mut self, addr: SocketAddr) -> Self {
        self.send(&Request::good(addr).bytes()).await;
        assert_eq!(self.response().await.status, 101);
        self
    }

    /// Writes bytes; that must succeed.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        soon("writing", self.writer.write_all(bytes.as_ref())).await.unwrap();
    }

    /// Ends the writing side.
    pub async fn finish(&mut self) {
        self.writer.shutdown().await.unwrap();
    }

    /// Goes away without a word: the server gets a reset.
    pub fn reset(self) {
        self.reader.stream.reunite(self.writer).unwrap().set_zero_linger().unwrap();
    }

    /// Asks the system not to acknowledge at once what it gets. It forgets that from time to time. Where the system
    /// cannot be asked, this does nothing.
    pub fn delay_acknowledgements(&self) {
        #[cfg(target_os = "linux")]
        self.reader.stream.as_ref().set_quickack(false).unwrap();
    }

    /// The next response, with its body.
    pub async fn response(&mut self) -> Response {
        self.reader.response(true).await
    }

    /// The answer to HEAD.
    pub async fn response_without_body(&mut self) -> Response {
        self.reader.response(false).await
    }

    /// The next frame.
    pub async fn frame(&mut self) -> Frame {
        self.reader.frame().await
    }

    /// The next frame, and whether it is [marked](RSV1) as compressed.
    pub async fn marked_frame(&mut self) -> (Frame, bool) {
        self.reader.marked_frame().await
    }

    /// The next frame, which must be a Close: its code and reason.
    pub async fn close_frame(&mut self) -> (Option<u16>, String) {
        self.reader.close_frame().await
    }

    /// The server must have nothing more to say, and end its side without a reset.
    pub async fn end(&mut self) {
        self.reader.end().await;
    }
}

/// A TCP connection for which the system holds little of what is not read.
///
/// # Errors
/// When the server cannot be reached.
pub async fn connect_with_little_room(addr: SocketAddr) -> io::Result<TcpStream> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_recv_buffer_size(64 * 1024)?;
    socket.connect(addr).await
}

/// Sends one request on a connection of its own and gives the response.
pub async fn ask(addr: SocketAddr, request: &Request) -> Response {
    let mut peer = Peer::connect(addr).await;
    peer.send(&request.bytes()).await;
    peer.reader.response(request.method != "HEAD").await
}

/// What a server sends.
pub struct Reader {
    stream: OwnedReadHalf,
    buffer: Vec<u8>,
}

impl Reader {
    /// Reads until so many bytes are there, and takes them.
    pub async fn take(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            self.read_more().await;
        }
        let rest = self.buffer.split_off(count);
        std::mem::replace(&mut self.buffer, rest)
    }

    async fn read_more(&mut self) {
        let count = soon("reading", self.stream.read_buf(&mut self.buffer)).await.unwrap();
        assert!(count > 0, "the server ended the connection after {:?}", self.buffer);
    }

    /// A frame, which must look as frames from a server have to (SPEC F8), and be uncompressed.
    pub async fn frame(&mut self) -> Frame {
        let (frame, compressed) = self.marked_frame().await;
        assert!(!compressed, "RSV1 is set: {frame:?}");
        frame
    }

    /// A frame as it is on the wire, and whether RSV1 is set, which only a message's first frame may have (SPEC C4).
    pub async fn marked_frame(&mut self) -> (Frame, bool) {
        let start = self.take(2).await;
        assert_eq!(start[0] & 0x30, 0, "no extension was negotiated, but a reserved bit is set");
        assert_eq!(start[1] & 0x80, 0, "a server must not mask");
        let length = match start[1] {
            126 => {
                let length = u16::from_be_bytes(self.take(2).await.try_into().unwrap());
                assert!(length > 125, "a length that is not in its shortest form");
                u64::from(length)
            }
            127 => {
                let length = u64::from_be_bytes(self.take(8).await.try_into().unwrap());
                assert!(length > 0xffff, "a length that is not in its shortest form");
                length
            }
            short => u64::from(short),
        };
        let (fin, opcode) = (start[0] & 0x80 != 0, start[0] & 0x0f);
        assert!(fin, "this server does not fragment");
        assert!(opcode < 8 || length <= 125, "a control frame of {length} bytes");
        let compressed = start[0] & RSV1 != 0;
        assert!(!compressed || matches!(opcode, TEXT | BINARY), "RSV1 is set, the opcode is {opcode:x}");
        let payload = self.take(usize::try_from(length).unwrap()).await;
        (Frame { opcode, payload }, compressed)
    }

    /// A Close frame's code and reason.
    pub async fn close_frame(&mut self) -> (Option<u16>, String) {
        let frame = self.frame().await;
        assert_eq!(frame.opcode, CLOSE, "not a Close frame: {frame:?}");
        match frame.payload.split_first_chunk() {
            Some((code, reason)) => {
                (Some(u16::from_be_bytes(*code)), String::from_utf8(reason.to_vec()).unwrap())
            }
            None => {
                assert_eq!(frame.payload, b"", "half a close code");
                (None, String::new())
            }
        }
    }

    /// The server must have nothing more to say, and end its side without a reset.
    pub async fn end(&mut self) {
        let more = soon("the end", self.stream.read_buf(&mut self.buffer)).await;
        assert_eq!(more.unwrap(), 0, "more came: {:?}", self.buffer);
        assert_eq!(self.buffer, b"", "left over");
    }

    /// Everything until the end, or until a reset.
    pub async fn rest(&mut self) -> Vec<u8> {
        while soon("the end", self.stream.read_buf(&mut self.buffer)).await.is_ok_and(|count| count > 0) {}
        std::mem::take(&mut self.buffer)
    }

    async fn response(&mut self, has_body: bool) -> Response {
        let end = loop {
            match self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                Some(at) => break at,
                None => self.read_more().await,
            }
        };
        let head = String::from_utf8(self.take(end + 4).await).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let mut status = lines.next().unwrap().splitn(3, ' ');
        let version = status.next().unwrap().to_owned();
        let status = status.next().unwrap().parse().unwrap();
        let fields = lines
            .map(|line| line.split_once(':').unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut response = Response { version, status, fields, body: String::new() };
        if !has_body {
            return response;
        }
        let body = match (response.field("content-length"), response.tokens("transfer-encoding").last()) {
            (_, Some(coding)) if coding == "chunked" => self.chunks().await,
            (Some(length), _) => self.take(length.parse().unwrap()).await,
            (None, _) => Vec::new(),
        };
        response.body = String::from_utf8(body).unwrap();
        response
    }

    /// A body in chunks (RFC 9112 §7.1).
    async fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let line = self.line().await;
            let size = line.split(';').next().unwrap().trim();
            let size = usize::from_str_radix(size, 16).unwrap();
            if size == 0 {
                while !self.line().await.is_empty() {}
                return body;
            }
            body.extend(self.take(size).await);
            assert_eq!(self.line().await, "", "a chunk is longer than it says");
        }
    }

    async fn line(&mut self) -> String {
        let end = loop {
            match self.buffer.windows(2).position(|window| window == b"\r\n") {
                Some(at) => break at,
                None => self.read_more().await,
            }
        };
        let line = self.take(end + 2).await;
        String::from_utf8(line[..end].to_vec()).unwrap()
    }
}

/// A request, good until it is changed.
#[derive(Clone, Debug)]
pub struct Request {
    method: &'static str,
    target: String,
    version: &'static str,
    fields: Vec<(String, String)>,
}

impl Request {
    /// The upgrade request of RFC 6455 §1.2, for this server.
    pub fn good(addr: SocketAddr) -> Self {
        Request { method: "GET", target: "/ws".into(), version: "HTTP/1.1", fields: Vec::new() }
            .with("Host", addr.to_string())
            .with("Upgrade", "websocket")
            .with("Connection", "Upgrade")
            .with("Sec-WebSocket-Key", KEY)
            .with("Sec-WebSocket-Version", "13")
    }

    /// Sets the method.
    pub fn method(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    /// Sets the path and query, or a whole URI.
    pub fn target(mut self, target: impl Into<String>) -> Self {
        self.target = target.into();
        self
    }

    /// Sets the version of HTTP.
    pub fn version(mut self, version: &'static str) -> Self {
        self.version = version;
        self
    }

    /// Sets a field, in place of those of this name.
    pub fn with(self, name: &str, value: impl Into<String>) -> Self {
        self.without(name).and(name, value)
    }

    /// Takes all fields of this name away.
    pub fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self
    }

    /// Adds a field beside those of this name.
    pub fn and(mut self, name: &str, value: impl Into<String>) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// What goes over the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} {}\r\n", self.method, self.target, self.version);
        for (name, value) in &self.fields {
            text += &format!("{name}: {value}\r\n");
        }
        text += "\r\n";
        text.into_bytes()
    }
}

/// A response. Names of fields are in lower case.
#[derive(Clone, Debug)]
pub struct Response {
    /// The version of HTTP.
    pub version: String,
    /// The status code.
    pub status: u16,
    /// Names and values, in the order in which they came.
    pub fields: Vec<(String, String)>,
    /// The body, as far as its length was told.
    pub body: String,
}

impl Response {
    /// The value of a field that must not be repeated.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values =
            self.fields.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str());
        let value = values.next();
        assert_eq!(values.next(), None, "{name} is repeated: {self:?}");
        value
    }

    /// The elements of a list, in lower case, over all the fields of the name.
    pub fn tokens(&self, name: &str) -> Vec<String> {
        let values = self.fields.iter().filter(|(other, _)| other == name);
        values
            .flat_map(|(_, value)| value.split(','))
            .map(|token| token.trim().to_ascii_lowercase())
            .collect()
    }
}

/// The opcode of a fragment that is not the first.
pub const CONTINUATION: u8 = 0x0;
/// The opcode of text.
pub const TEXT: u8 = 0x1;
/// The opcode of bytes.
pub const BINARY: u8 = 0x2;
/// The opcode of a Close frame.
pub const CLOSE: u8 = 0x8;
/// The opcode of a ping.
pub const PING: u8 = 0x9;
/// The opcode of a pong.
pub const PONG: u8 = 0xA;

/// The bit that marks a message's last frame.
pub const FIN: u8 = 0x80;

/// The bit that marks the first frame of a compressed message (RFC 7692 §6).
pub const RSV1: u8 = 0x40;

/// A frame from a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub opcode: u8,
    /// What is in it.
    pub payload: Vec<u8>,
}

impl Frame {
    /// A frame to compare with.
    pub fn new(opcode: u8, payload: impl AsRef<[u8]>) -> Self {
        Frame { opcode, payload: payload.as_ref().to_vec() }
    }
}

/// A whole message or control frame, masked, as a client sends it.
pub fn frame(opcode: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    raw_frame(FIN | opcode, payload)
}

/// A masked frame with any first byte.
pub fn raw_frame(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let payload = payload.as_ref();
    let mut bytes = header(first, payload.len() as u64, MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// A masked frame's header, in the shortest form, with whatever length.
pub fn header(first: u8, length: u64, mask: [u8; 4]) -> Vec<u8> {
    let mut bytes = vec![first];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ ..=125), _) => bytes.push(0x80 | length),
        (_, Ok(length)) => {
            bytes.push(0x80 | 126);
            bytes.extend(length.to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend(length.to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes
}

/// A Close frame as a client sends it.
pub fn close(code: u16, reason: impl AsRef<[u8]>) -> Vec<u8> {
    frame(CLOSE, [&code.to_be_bytes()[..], reason.as_ref()].concat())
}
