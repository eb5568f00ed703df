//! What the generator sends and what has to come back, prebuilt.

use std::str::FromStr;

use serde::Serialize;

/// The bit beside the opcode that says that a message is compressed.
const COMPRESSED: u8 = 0x40;

/// What a message holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Payload {
    /// Random bytes.
    Binary,
    /// ASCII text.
    Text,
    /// Text of which three in four characters take more than a byte.
    Utf8,
}

/// A number of messages that are sent together.
#[derive(Debug)]
pub(crate) struct Batch {
    /// What is sent.
    pub(crate) request: Vec<u8>,
    /// What has to come back.
    pub(crate) response: Vec<u8>,
}

/// A random number generator, the same numbers on every run (xorshift64*).
#[derive(Debug)]
pub(crate) struct Random(u64);

impl FromStr for Payload {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "binary" => Ok(Payload::Binary),
            "text" => Ok(Payload::Text),
            "utf8" => Ok(Payload::Utf8),
            _ => Err(format!("no payload {name:?}: binary, text, utf8")),
        }
    }
}

impl Batch {
    /// Messages for a WebSocket server, which sends them back unmasked; a bare one sends the bytes back as they came.
    pub(crate) fn echo(bare: bool, payload: Payload, size: usize, count: usize, random: &mut Random) -> Self {
        let mut batch = Batch { request: Vec::new(), response: Vec::new() };
        for _ in 0..count {
            let body = payload.make(size, random);
            frame(&mut batch.request, payload.opcode(), &body, Some(random.mask()));
            frame(&mut batch.response, payload.opcode(), &body, None);
        }
        if bare {
            batch.response.clone_from(&batch.request);
        }
        batch
    }

    /// One message that comes out elsewhere; through a bare server the very same bytes.
    pub(crate) fn published(bare: bool, size: usize, random: &mut Random) -> Self {
        let mut batch = Batch::echo(false, Payload::Binary, size, 1, random);
        if bare {
            batch.request.clone_from(&batch.response);
        }
        batch
    }
}

/// A Close frame from a client.
pub(crate) fn close(random: &mut Random) -> Vec<u8> {
    let mut out = Vec::new();
    frame(&mut out, 8, &1000_u16.to_be_bytes(), Some(random.mask()));
    out
}

/// A Text frame from a client, whose body is deflated (RFC 7692 §6).
pub(crate) fn compressed(out: &mut Vec<u8>, body: &[u8], random: &mut Random) {
    frame(out, COMPRESSED | Payload::Text.opcode(), body, Some(random.mask()));
}

impl Payload {
    fn opcode(self) -> u8 {
        if self == Payload::Binary { 2 } else { 1 }
    }

    fn make(self, size: usize, random: &mut Random) -> Vec<u8> {
        const CHARACTERS: [&str; 12] = ["é", "ж", "ß", "Ω", "漢", "字", "あ", "€", "😀", "🚀", "a", "z"];
        match self {
            Payload::Binary => (0..size).map(|_| random.byte()).collect(),
            Payload::Text => (0..size).map(|_| b' ' + random.byte() % 95).collect(),
            Payload::Utf8 => {
                let mut out = Vec::with_capacity(size);
                while out.len() < size {
                    let next = CHARACTERS[usize::from(random.byte()) % CHARACTERS.len()].as_bytes();
                    out.extend_from_slice(if out.len() + next.len() <= size { next } else { b"." });
                }
                out
            }
        }
    }
}

/// A frame as RFC 6455 §5.2 has it, with the shortest header.
fn frame(out: &mut Vec<u8>, opcode: u8, body: &[u8], mask: Option<[u8; 4]>) {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    out.push(0x80 | opcode);
    match (u8::try_from(body.len()), u16::try_from(body.len())) {
        (Ok(length @ 0..126), _) => out.push(masked | length),
        (_, Ok(length)) => {
            out.push(masked | 126);
            out.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            out.push(masked | 127);
            out.extend_from_slice(&(body.len() as u64).to_be_bytes());
        }
    }
    match mask {
        Some(mask) => {
            out.extend_from_slice(&mask);
            out.extend(body.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        }
        None => out.extend_from_slice(body),
    }
}

impl Random {
    pub(crate) fn new() -> Self {
        Random(0x9E37_79B9_7F4A_7C15)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next()).unwrap_or(usize::MAX) % limit
    }

    fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }

    /// Not zero in any byte, so that there is something to undo.
    fn mask(&mut self) -> [u8; 4] {
        [self.byte() | 1, self.byte() | 1, self.byte() | 1, self.byte() | 1]
    }
}

/// Reads the header of a frame from a server to a compressed Text message: how long it is, and its body. Nothing, as
/// long as it has not all come.
pub(crate) fn answered(bytes: &[u8]) -> crate::Result<Option<(usize, usize)>> {
    const ANSWER: u8 = 0x80 | COMPRESSED | 1;
    let &[first, length, ref more @ ..] = bytes else { return Ok(None) };
    if first == ANSWER ^ COMPRESSED {
        return Err("the server answers, but not compressed".into());
    }
    if first != ANSWER || length > 127 {
        return Err(format!("an answer begins with {first:#04x}, {length:#04x}").into());
    }
    Ok(match (length, more) {
        (126, &[a, b, ..]) => Some((4, usize::from(u16::from_be_bytes([a, b])))),
        (127, &[a, b, c, d, e, f, g, h, ..]) => {
            Some((10, usize::try_from(u64::from_be_bytes([a, b, c, d, e, f, g, h]))?))
        }
        (126 | 127, _) => None,
        _ => Some((2, length.into())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_its_size_and_is_utf8() {
        for size in 0..100 {
            let text = Payload::Utf8.make(size, &mut Random::new());
            assert_eq!(text.len(), size);
            std::str::from_utf8(&text).unwrap();
        }
    }

    #[test]
    fn a_length_is_written_in_its_shortest_form() {
        for (size, header) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let mut out = Vec::new();
            frame(&mut out, 2, &vec![0; size], None);
            assert_eq!(out.len(), header + size);
        }
    }

    #[test]
    fn the_header_of_an_answer_is_read_when_it_is_there() {
        for (size, header) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let mut out = Vec::new();
            frame(&mut out, COMPRESSED | 1, &vec![0; size], None);
            assert_eq!(answered(&out).unwrap(), Some((header, size)));
            assert_eq!(answered(&out[..header - 1]).unwrap(), None);
        }
        for other in [[0x81, 0], [0xC2, 0], [0xC1, 0x80]] {
            answered(&other).unwrap_err();
        }
    }
}
