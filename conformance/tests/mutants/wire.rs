//! What goes over the wire, understood as far as one has to in order to spoil it: heads of HTTP, and frames in both
//! directions. Nothing here waits or reads; bytes go in, and bytes come out.

use std::collections::VecDeque;

/// What is spoilt. [`TRUE`](Wire::TRUE) changes not a byte.
#[derive(Clone, Copy)]
pub(crate) struct Wire {
    /// Each request's head.
    pub(crate) request: Option<fn(&mut Head)>,
    /// Each response's head; the request's comes first. Its body is lost where the length becomes 0.
    pub(crate) response: Option<fn(&Head, &mut Head)>,
    /// Bytes that come with the request are lost.
    pub(crate) early_bytes_lost: bool,
    /// The first byte of each frame of the client.
    pub(crate) first_byte: Option<fn(u8) -> u8>,
    /// What the client has not masked is masked.
    pub(crate) masks: bool,
    /// Lengths of the client get their shortest form.
    pub(crate) shortens: bool,
    /// Each control frame of the client that is legal by its header.
    pub(crate) control: Option<fn(&Seen, Frame) -> Place>,
    /// Each frame of the server that is not large.
    pub(crate) frame: Option<fn(&mut Seen, Frame) -> Vec<u8>>,
    /// What the server says before it ends its side.
    pub(crate) last_words: Option<fn(&Seen) -> Vec<u8>>,
    /// Small writes to the client wait for acknowledgements.
    pub(crate) delays: bool,
    /// All that the client sends is taken, however little of it the server takes.
    pub(crate) hoards: bool,
}

impl Wire {
    pub(crate) const TRUE: Wire = Wire {
        request: None,
        response: None,
        early_bytes_lost: false,
        first_byte: None,
        masks: false,
        shortens: false,
        control: None,
        frame: None,
        last_words: None,
        delays: false,
        hoards: false,
    };
}

/// What is known of a connection.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) request: Head,
    /// Payloads of the client's pings that are not answered yet.
    pub(crate) pings: VecDeque<Vec<u8>>,
    /// The client is within a fragmented message.
    pub(crate) in_message: bool,
    pub(crate) client_closed: bool,
    pub(crate) server_closed: bool,
    /// The connection is to be reset now.
    pub(crate) reset: bool,
}

/// Where a client's control frame goes, or what goes there instead.
pub(crate) enum Place {
    Here(Vec<u8>),
    /// Before everything that came in the same read.
    First(Vec<u8>),
    /// Behind everything that came in the same read.
    Last(Vec<u8>),
}

/// The head of a request or a response.
#[derive(Clone, Default)]
pub(crate) struct Head {
    pub(crate) line: String,
    pub(crate) fields: Vec<(String, String)>,
}

impl Head {
    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.trim_end().split("\r\n");
        let line = lines.next().unwrap_or_default().to_owned();
        let fields = lines.filter_map(|line| line.split_once(':'));
        Head {
            line,
            fields: fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect(),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let fields = self.fields.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        format!("{}\r\n{}\r\n", self.line, fields.collect::<String>()).into_bytes()
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        field.map(|(_, value)| value.as_str())
    }

    pub(crate) fn without(&mut self, name: &str) {
        self.fields.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
    }

    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.without(name);
        self.fields.push((name.to_owned(), value.into()));
    }

    /// A response's status.
    pub(crate) fn status(&self) -> u16 {
        self.line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }
}

/// A whole frame, without its mask.
pub(crate) struct Frame {
    pub(crate) first: u8,
    pub(crate) payload: Vec<u8>,
}

pub(crate) const CLOSE: u8 = 0x88;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8A;
pub(crate) const BINARY: u8 = 0x82;

impl Frame {
    pub(crate) fn new(first: u8, payload: impl AsRef<[u8]>) -> Self {
        Frame { first, payload: payload.as_ref().to_vec() }
    }

    /// A Close frame's code; 0 if it has none.
    pub(crate) fn code(&self) -> u16 {
        self.payload.first_chunk().map_or(0, |code| u16::from_be_bytes(*code))
    }

    /// As a server sends it.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.with_length_of(if self.payload.len() < 126 { 1 } else { 2 })
    }

    /// With a length field of 1, of 2 + 1 or of 8 + 1 bytes.
    pub(crate) fn with_length_of(&self, bytes: usize) -> Vec<u8> {
        let length = self.payload.len() as u64;
        let field = match length.to_be_bytes() {
            [.., short] if bytes == 1 => vec![short],
            [.., high, low] if bytes == 2 && length <= 0xffff => vec![126, high, low],
            long => [&[127][..], &long].concat(),
        };
        [&[self.first][..], &field, &self.payload].concat()
    }

    /// As a client sends it, under a mask of zeros.
    pub(crate) fn masked(&self) -> Vec<u8> {
        let mut bytes = self.bytes();
        let at = bytes.len() - self.payload.len();
        bytes[1] |= 0x80;
        bytes.splice(at..at, [0; 4]);
        bytes
    }
}

/// The way from the client to the server.
pub(crate) struct ToServer {
    wire: Wire,
    at: Request,
}

enum Request {
    Head(Vec<u8>),
    /// The header so far, as it came.
    Header(Vec<u8>),
    Payload {
        header: Vec<u8>,
        left: u64,
        /// The payload so far, of a control frame.
        control: Option<Vec<u8>>,
        held: bool,
    },
}

impl ToServer {
    pub(crate) fn new(wire: Wire) -> Self {
        ToServer { wire, at: Request::Head(Vec::new()) }
    }

    /// What goes to the server when these bytes have come.
    pub(crate) fn pass(&mut self, seen: &mut Seen, mut bytes: &[u8]) -> Vec<u8> {
        let (mut first, mut out, mut last) = (Vec::new(), Vec::new(), Vec::new());
        while !bytes.is_empty() {
            match &mut self.at {
                // What comes now is not looked at any more.
                Request::Header(header) if header.is_empty() && seen.server_closed => {
                    out.extend(bytes);
                    bytes = &[];
                }
                Request::Head(head) => {
                    head.push(bytes[0]);
                    if self.wire.request.is_none() {
                        out.push(bytes[0]);
                    }
                    bytes = &bytes[1..];
                    if head.ends_with(b"\r\n\r\n") {
                        let mut parsed = Head::parse(head);
                        seen.request = parsed.clone();
                        if let Some(spoil) = self.wire.request {
                            spoil(&mut parsed);
                            out.extend(parsed.bytes());
                        }
                        if self.wire.early_bytes_lost {
                            bytes = &[];
                        }
                        self.at = Request::Header(Vec::new());
                    }
                }
                // The next request of a connection that has not become a WebSocket.
                Request::Header(header) if header.is_empty() && bytes.starts_with(b"GET /") => {
                    self.at = Request::Head(Vec::new());
                }
                Request::Header(header) => {
                    let byte = bytes[0];
                    bytes = &bytes[1..];
                    header.push(byte);
                    out.extend(self.wire.pass_header(header));
                    if let Some(length) = complete(header) {
                        let header = std::mem::take(header);
                        let legal = header[0] & 0xf8 == 0x88 && header[1] & 0x80 != 0 && length <= 125;
                        let held = self.wire.holds(&header);
                        if header[0] & 0x0f <= 2 {
                            seen.in_message = header[0] & 0x80 == 0;
                        }
                        let control = legal.then(Vec::new);
                        self.at = Request::Payload { header, left: length, control, held };
                        self.finish_frame(seen, &mut first, &mut out, &mut last);
                    }
                }
                Request::Payload { left, control, held, .. } => {
                    let count = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                    let (now, later) = bytes.split_at(count);
                    *left -= count as u64;
                    bytes = later;
                    if !*held {
                        out.extend(now);
                    }
                    if let Some(control) = control {
                        control.extend(now);
                    }
                    self.finish_frame(seen, &mut first, &mut out, &mut last);
                }
            }
        }
        [first, out, last].concat()
    }

    fn finish_frame(&mut self, seen: &mut Seen, first: &mut Vec<u8>, out: &mut Vec<u8>, last: &mut Vec<u8>) {
        let Request::Payload { header, left: 0, control, held } = &self.at else { return };
        if let Some(payload) = control {
            let mask = &header[header.len() - 4..];
            let payload: Vec<u8> =
                payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
            match header[0] {
                PING => seen.pings.push_back(payload.clone()),
                CLOSE => seen.client_closed = true,
                _ => {}
            }
            if let (true, Some(spoil)) = (*held, self.wire.control) {
                match spoil(seen, Frame::new(header[0], payload)) {
                    Place::Here(bytes) => out.extend(bytes),
                    Place::First(bytes) => first.extend(bytes),
                    Place::Last(bytes) => last.extend(bytes),
                }
            }
        }
        self.at = Request::Header(Vec::new());
    }

    /// What was held back when the client ends its side.
    pub(crate) fn rest(&self) -> Vec<u8> {
        match &self.at {
            Request::Head(head) if self.wire.request.is_some() => head.clone(),
            Request::Header(header) if self.wire.holds(header) => header.clone(),
            Request::Payload { header, control: Some(payload), held: true, .. } => {
                [&header[..], payload].concat()
            }
            _ => Vec::new(),
        }
    }
}

/// The payload's length, when the header has come to its end.
fn complete(header: &[u8]) -> Option<u64> {
    let (second, rest) = (*header.get(1)?, &header[2..]);
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    let (length, rest) = match second & 0x7f {
        126 => (u64::from(u16::from_be_bytes(*rest.first_chunk()?)), &rest[2..]),
        127 => (u64::from_be_bytes(*rest.first_chunk()?), &rest[8..]),
        short => (u64::from(short), rest),
    };
    (rest.len() == mask).then_some(length)
}

impl Wire {
    /// Whether a frame that begins so is looked at whole before it goes on.
    fn holds(&self, header: &[u8]) -> bool {
        self.control.is_some()
            && matches!(header, [CLOSE | PING | PONG, rest @ ..] if rest.first().is_none_or(|second| (0x80..=0x80 | 125).contains(second)))
    }

    /// What goes on when a byte has joined this header.
    fn pass_header(&self, header: &[u8]) -> Vec<u8> {
        let (first, byte) = (header[0], header[header.len() - 1]);
        if self.holds(header) {
            return Vec::new();
        }
        if header.len() == 2 && self.holds(&header[..1]) {
            return header.to_vec();
        }
        match header.len() {
            1 => return vec![self.first_byte.map_or(first, |spoil| spoil(first))],
            2 if self.masks && byte & 0x80 == 0 => {
                let mask: &[u8] = if byte < 126 { &[0; 4] } else { &[] };
                return [&[byte | 0x80][..], mask].concat();
            }
            _ => {}
        }
        let extension = match header[1] & 0x7f {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        if self.masks && header[1] & 0x80 == 0 && header.len() == extension {
            return [&[byte][..], &[0; 4]].concat();
        }
        if self.shortens
            && first & 0x08 == 0
            && header[1] & 0x80 != 0
            && extension > 2
            && header.len() <= extension
        {
            if header.len() < extension {
                return Vec::new();
            }
            let length = header[2..].iter().fold(0, |length, byte| length << 8 | u64::from(*byte));
            return match length {
                ..=125 => vec![header[1] & 0x80 | u8::try_from(length).unwrap()],
                126..=0xffff => [&[header[1] & 0x80 | 126][..], &length.to_be_bytes()[6..]].concat(),
                _ => [&[header[1] | 127][..], &length.to_be_bytes()].concat(),
            };
        }
        vec![byte]
    }
}

/// The way from the server to the client.
pub(crate) struct ToClient {
    wire: Wire,
    at: Response,
}

enum Response {
    Head(Vec<u8>),
    Body { left: usize, lost: bool },
    Header(Vec<u8>),
    Payload { header: Vec<u8>, left: u64, held: Option<Vec<u8>> },
}

/// Frames beyond this go on as they come.
const LARGE: u64 = 64 * 1024;

impl ToClient {
    pub(crate) fn new(wire: Wire) -> Self {
        ToClient { wire, at: Response::Head(Vec::new()) }
    }

    /// What goes to the client when these bytes have come.
    pub(crate) fn pass(&mut self, seen: &mut Seen, mut bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        while !bytes.is_empty() {
            match &mut self.at {
                Response::Head(head) => {
                    head.push(bytes[0]);
                    bytes = &bytes[1..];
                    if head.ends_with(b"\r\n\r\n") {
                        let head = std::mem::take(head);
                        self.at = self.wire.pass_response(seen, &head, &mut out);
                    }
                }
                Response::Body { left, lost } => {
                    let (now, later) = bytes.split_at(bytes.len().min(*left));
                    if !*lost {
                        out.extend(now);
                    }
                    *left -= now.len();
                    bytes = later;
                    if *left == 0 {
                        self.at = Response::Head(Vec::new());
                    }
                }
                Response::Header(header) => {
                    header.push(bytes[0]);
                    bytes = &bytes[1..];
                    if let Some(left) = complete(header) {
                        let header = std::mem::take(header);
                        let held = (self.wire.frame.is_some() && left <= LARGE).then(Vec::new);
                        if held.is_none() {
                            out.extend(&header);
                        }
                        self.at = Response::Payload { header, left, held };
                        self.finish_frame(seen, &mut out);
                    }
                }
                Response::Payload { left, held, .. } => {
                    let count = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                    let (now, later) = bytes.split_at(count);
                    held.as_mut().unwrap_or(&mut out).extend(now);
                    *left -= count as u64;
                    bytes = later;
                    self.finish_frame(seen, &mut out);
                }
            }
        }
        out
    }

    fn finish_frame(&mut self, seen: &mut Seen, out: &mut Vec<u8>) {
        let Response::Payload { header, left: 0, held } = &mut self.at else { return };
        seen.server_closed |= header[0] == CLOSE;
        if let (Some(payload), Some(spoil)) = (held.take(), self.wire.frame) {
            out.extend(spoil(seen, Frame { first: header[0], payload }));
        }
        self.at = Response::Header(Vec::new());
    }

    /// What was held back when the server ends its side.
    pub(crate) fn rest(&self) -> Vec<u8> {
        match &self.at {
            Response::Head(bytes) | Response::Header(bytes) => bytes.clone(),
            Response::Payload { header, held: Some(payload), .. } => [&header[..], payload].concat(),
            _ => Vec::new(),
        }
    }
}

impl Wire {
    fn pass_response(&self, seen: &Seen, bytes: &[u8], out: &mut Vec<u8>) -> Response {
        let mut head = Head::parse(bytes);
        let upgraded = head.status() == 101;
        let length = head.field("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        match self.response {
            Some(spoil) => {
                spoil(&seen.request, &mut head);
                out.extend(head.bytes());
            }
            None => out.extend(bytes),
        }
        match length {
            _ if upgraded => Response::Header(Vec::new()),
            0 => Response::Head(Vec::new()),
            _ if seen.request.line.starts_with("HEAD") => Response::Head(Vec::new()),
            left => Response::Body { left, lost: head.field("content-length") == Some("0") },
        }
    }
}
