//! The frame header: what it says, and what is already wrong about a frame from its header alone
//! (RFC 6455 §5.2, SPEC F1, F2, F8).

use super::error::ProtocolError;

/// The kind of a frame (RFC 6455 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Opcode {
    /// A further fragment of a message.
    Continuation = 0x0,
    /// A text message, or its first fragment.
    Text = 0x1,
    /// A binary message, or its first fragment.
    Binary = 0x2,
    /// The closing handshake.
    Close = 0x8,
    /// A ping.
    Ping = 0x9,
    /// A pong.
    Pong = 0xA,
}

impl Opcode {
    /// Whether it is a ping, a pong or a close, which may stand between the fragments of a message.
    pub const fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }

    fn parse(bits: u8) -> Result<Self, ProtocolError> {
        Ok(match bits {
            0x0 => Opcode::Continuation,
            0x1 => Opcode::Text,
            0x2 => Opcode::Binary,
            0x8 => Opcode::Close,
            0x9 => Opcode::Ping,
            0xA => Opcode::Pong,
            other => return Err(ProtocolError::UnknownOpcode(other)),
        })
    }
}

/// The header of a frame from a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) fin: bool,
    /// Whether it begins a compressed message (RFC 7692 §7.2.3).
    pub(crate) compressed: bool,
    pub(crate) opcode: Opcode,
    pub(crate) mask: [u8; 4],
    pub(crate) length: u64,
}

/// RSV1: the message is compressed (RFC 7692 §7.2.3).
const COMPRESSED: u8 = 0x40;

/// The longest header: two bytes, a 64-bit length and, from a client, the masking key.
pub(crate) const MAX_HEADER: usize = 14;

/// Reads the header at the start of `bytes` and tells how long it is; `None` if it is not complete yet.
///
/// A violation is found as soon as the byte that holds it is there. RSV1 is one unless messages may be `compressible`.
#[inline]
pub(crate) fn parse_header(
    bytes: &[u8],
    compressible: bool,
) -> Result<Option<(Header, usize)>, ProtocolError> {
    let Some(&first) = bytes.first() else { return Ok(None) };
    let (fin, compressed, opcode) = parse_first(first, compressible)?;
    let Some(&second) = bytes.get(1) else { return Ok(None) };
    if second & 0x80 == 0 {
        return Err(ProtocolError::Unmasked);
    }
    let (length, at) = match second & 0x7f {
        short @ 0..=125 => (u64::from(short), 2),
        _ if opcode.is_control() => return Err(ProtocolError::ControlTooLong),
        126 => match bytes.get(2..4).and_then(<[u8]>::first_chunk) {
            Some(length) => (checked(u16::from_be_bytes(*length).into(), 126)?, 4),
            None => return Ok(None),
        },
        _ => match bytes.get(2..10).and_then(<[u8]>::first_chunk) {
            Some(length) => (checked(u64::from_be_bytes(*length), 1 << 16)?, 10),
            None => return Ok(None),
        },
    };
    let mask = bytes.get(at..at + 4).and_then(<[u8]>::first_chunk);
    Ok(mask.map(|&mask| (Header { fin, compressed, opcode, mask, length }, at + 4)))
}

/// Whether a valid frame that begins with this byte is a control frame (RFC 6455 §5.5).
pub(super) fn begins_control(first: u8) -> bool {
    first & 0x08 != 0
}

/// The opcode of the next frame and its whole size, header included, whatever rules it breaks: enough to step over it.
pub(super) fn frame_size(bytes: &[u8]) -> Option<(u8, u64)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    let (length, at) = match second & 0x7f {
        126 => (u16::from_be_bytes(*bytes.get(2..4)?.first_chunk()?).into(), 4),
        127 => (u64::from_be_bytes(*bytes.get(2..10)?.first_chunk()?), 10),
        short => (short.into(), 2),
    };
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    Some((first & 0x0f, length.saturating_add(at + mask)))
}

/// FIN, RSV1 and the opcode.
#[inline]
fn parse_first(byte: u8, compressible: bool) -> Result<(bool, bool, Opcode), ProtocolError> {
    let reserved = byte & 0x70;
    let compressed = reserved == COMPRESSED && compressible && matches!(byte & 0x0f, 0x1 | 0x2);
    if reserved != 0 && !compressed {
        return Err(ProtocolError::ReservedBits(reserved >> 4));
    }
    let fin = byte & 0x80 != 0;
    let opcode = Opcode::parse(byte & 0x0f)?;
    if opcode.is_control() && !fin {
        return Err(ProtocolError::FragmentedControl);
    }
    Ok((fin, compressed, opcode))
}

/// A length of the longer forms: it must not fit in a shorter one, nor use the top bit (RFC 6455 §5.2).
fn checked(length: u64, minimum: u64) -> Result<u64, ProtocolError> {
    if length < minimum {
        Err(ProtocolError::NonMinimalLength)
    } else if length > i64::MAX as u64 {
        Err(ProtocolError::LengthTopBit)
    } else {
        Ok(length)
    }
}

/// A server's header for an unfragmented frame: never masked, the length in its shortest form (SPEC F8).
#[inline]
pub(crate) fn encode_header(opcode: Opcode, length: usize) -> ([u8; MAX_HEADER - 4], usize) {
    let mut header = [0; MAX_HEADER - 4];
    header[0] = 0x80 | opcode as u8;
    let size = if let Some(short) = encode_short_header(opcode, length) {
        header[..2].copy_from_slice(&short);
        2
    } else if let Ok(medium) = u16::try_from(length) {
        header[1] = 126;
        header[2..4].copy_from_slice(&medium.to_be_bytes());
        4
    } else {
        header[1] = 127;
        header[2..10].copy_from_slice(&(length as u64).to_be_bytes());
        10
    };
    (header, size)
}

/// The same for at most 125 bytes: two bytes that never are in memory cost a small message a tenth less.
#[inline]
pub(super) fn encode_short_header(opcode: Opcode, length: usize) -> Option<[u8; 2]> {
    match u8::try_from(length) {
        Ok(short @ 0..=125) => Some([0x80 | opcode as u8, short]),
        _ => None,
    }
}

/// The header of a message whose payload is deflated (RFC 7692 §7.2.1).
pub(super) fn encode_compressed_header(opcode: Opcode, length: usize) -> ([u8; MAX_HEADER - 4], usize) {
    let (mut header, size) = encode_header(opcode, length);
    header[0] |= COMPRESSED;
    (header, size)
}

/// How long the header of an encoded server frame is.
pub(crate) fn header_size(frame: &[u8]) -> usize {
    match frame.get(1) {
        Some(127) => 10,
        Some(126) => 4,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(bytes: &[u8]) -> (Header, usize) {
        parse_header(bytes, false).unwrap().unwrap()
    }

    #[test]
    fn the_masked_hello_of_the_rfc() {
        // RFC 6455 §5.7
        let (header, size) = parsed(&[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f]);
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        let expected = Header { fin: true, compressed: false, opcode: Opcode::Text, mask, length: 5 };
        assert_eq!((header, size), (expected, 6));
    }

    #[test]
    fn the_three_forms_of_a_length() {
        let mask = [1, 2, 3, 4];
        for (length, form) in [
            (0, vec![0x80]),
            (125, vec![0x80 | 125]),
            (126, vec![0x80 | 126, 0, 126]),
            (65_535, vec![0x80 | 126, 0xff, 0xff]),
            (65_536, vec![0x80 | 127, 0, 0, 0, 0, 0, 1, 0, 0]),
            (i64::MAX as u64, vec![0x80 | 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ] {
            let bytes = [&[0x82][..], &form, &mask].concat();
            let (header, size) = parsed(&bytes);
            assert_eq!((header.length, size), (length, bytes.len()));
            for cut in 0..bytes.len() {
                assert_eq!(parse_header(&bytes[..cut], false), Ok(None), "{length} cut at {cut}");
            }
        }
    }

    #[test]
    fn a_violation_is_found_as_soon_as_its_byte_is_there() {
        use ProtocolError::*;
        let cases: [(&[u8], ProtocolError); 17] = [
            (&[0xC1], ReservedBits(0b100)),
            (&[0xA1], ReservedBits(0b010)),
            (&[0x91], ReservedBits(0b001)),
            (&[0xC0], ReservedBits(0b100)),
            (&[0xC9], ReservedBits(0b100)),
            (&[0x83], UnknownOpcode(0x3)),
            (&[0x87], UnknownOpcode(0x7)),
            (&[0x8B], UnknownOpcode(0xB)),
            (&[0x8F], UnknownOpcode(0xF)),
            (&[0x08], FragmentedControl),
            (&[0x09], FragmentedControl),
            (&[0x0A], FragmentedControl),
            (&[0x81, 0x05], Unmasked),
            (&[0x81, 0x7E], Unmasked),
            (&[0x89, 0x80 | 126], ControlTooLong),
            (&[0x82, 0x80 | 126, 0, 125], NonMinimalLength),
            (&[0x82, 0x80 | 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff], NonMinimalLength),
        ];
        for (bytes, error) in cases {
            assert_eq!(parse_header(bytes, false), Err(error), "{bytes:x?}");
            assert_eq!(parse_header(&bytes[..bytes.len() - 1], false), Ok(None), "{bytes:x?}");
        }
        assert_eq!(parse_header(&[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0], false), Err(LengthTopBit));
    }

    /// SPEC C4.
    #[test]
    fn rsv1_means_compression_where_that_is_agreed_on_and_only_on_the_first_frame_of_a_message() {
        use ProtocolError::*;
        for (first, fin) in [(0xC1, true), (0xC2, true), (0x41, false), (0x42, false)] {
            let (header, _) = parse_header(&[first, 0x80, 1, 2, 3, 4], true).unwrap().unwrap();
            assert_eq!((header.compressed, header.fin), (true, fin), "{first:x}");
        }
        for (first, error) in [
            (0xC0, ReservedBits(0b100)),
            (0x40, ReservedBits(0b100)),
            (0xC8, ReservedBits(0b100)),
            (0xC9, ReservedBits(0b100)),
            (0xCA, ReservedBits(0b100)),
            (0xE1, ReservedBits(0b110)),
            (0xD1, ReservedBits(0b101)),
            (0xA1, ReservedBits(0b010)),
            (0xC3, ReservedBits(0b100)),
        ] {
            assert_eq!(parse_header(&[first], true), Err(error), "{first:x}");
        }
        assert_eq!(encode_compressed_header(Opcode::Text, 7).0[..2], [0xC1, 7]);
    }

    #[test]
    fn an_encoded_header_uses_the_shortest_form() {
        for (length, expected) in [
            (0, vec![0x82, 0]),
            (125, vec![0x82, 125]),
            (126, vec![0x82, 126, 0, 126]),
            (65_535, vec![0x82, 126, 0xff, 0xff]),
            (65_536, vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let (header, size) = encode_header(Opcode::Binary, length);
            assert_eq!(&header[..size], expected);
            assert_eq!(header_size(&header), size);
        }
    }
}
