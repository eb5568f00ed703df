//! From frames to messages: fragments are joined and inflated, limits kept, text checked while it arrives
//! (RFC 6455 §5.4, SPEC F3-F6, C6).

use bytes::BufMut;

use super::deflate::{Inflater, Inflating};
use super::error::{ProtocolError, TooBig, Violation};
use super::header::{Header, MAX_HEADER, Opcode};
use super::mask::{extend_unmasked, rotated, unmask, unmask_large};
use crate::message::Message;
use crate::options::Options;
use crate::payload::Payload;
use crate::spare;
use crate::text::{Text, Utf8Buffer};

/// What a peer may send at most, and whether text is checked.
#[derive(Clone, Copy, Debug)]
struct Limits {
    frame: usize,
    message: usize,
    fragments: usize,
    validate_utf8: bool,
}

/// The message that is being received, if one is.
#[derive(Debug)]
pub(super) struct Assembler {
    limits: Limits,
    message: Option<Partial>,
    /// Where compression is agreed on.
    inflater: Option<Box<Inflater>>,
    /// Whether the message before was a large one: then the next probably is, too.
    expects_large: bool,
}

/// A message of which a part has arrived.
#[derive(Debug)]
struct Partial {
    opcode: Opcode,
    fragments: usize,
    payload: Utf8Buffer,
    frame: Option<OpenFrame>,
    /// What is between the wire and `payload` where the message is compressed.
    inflating: Option<Box<Inflating>>,
}

/// A frame whose payload has not arrived whole.
#[derive(Clone, Copy, Debug)]
struct OpenFrame {
    fin: bool,
    remaining: usize,
    /// The masking key as it applies to the next byte.
    mask: [u8; 4],
}

/// A large payload is read straight into its message's buffer only where that saves more than it costs.
const WORTH_READING_DIRECTLY: usize = 16 * 1024;

/// A payload that hardly comes with a single read.
const LARGE: usize = 128 * 1024;

/// How much is read, at most, where such a payload is expected: its header, and little that has to be copied.
const BEGINNING: usize = 1024;

/// The room that may be made for bytes that have not come yet: one read buffer (SPEC F6).
const READ_AHEAD: usize = 64 * 1024;

impl Assembler {
    pub(super) fn new(options: &Options, inflater: Option<Inflater>) -> Self {
        let limits = Limits {
            frame: options.get_max_frame_size().unwrap_or(usize::MAX),
            message: options.get_max_message_size(),
            fragments: options.get_max_fragments(),
            validate_utf8: options.get_validate_utf8(),
        };
        Assembler { limits, message: None, inflater: inflater.map(Box::new), expects_large: false }
    }

    /// How much should be read at most while no payload can be read [directly](Self::direct): no more of a large one
    /// than lets the rest be read so.
    #[inline]
    pub(super) fn receive_limit(&self) -> usize {
        if self.expects_large { BEGINNING } else { usize::MAX }
    }

    /// Something was received, not directly: what was expected has come, or has not.
    #[inline]
    pub(super) fn expect_any(&mut self) {
        self.expects_large = false;
    }

    /// Whether a message has begun and not ended.
    #[inline]
    pub(super) fn is_within_message(&self) -> bool {
        self.message.is_some()
    }

    /// Whether compressed messages may come.
    #[inline]
    pub(super) fn can_inflate(&self) -> bool {
        self.inflater.is_some()
    }

    /// Whether a frame is open whose payload goes to [`receive`](Self::receive).
    #[inline]
    pub(super) fn has_open_frame(&self) -> bool {
        self.open_frame().is_some()
    }

    /// How much of the open frame's payload is missing; 0 if no frame is open.
    pub(super) fn missing(&self) -> usize {
        self.open_frame().map_or(0, |frame| frame.remaining)
    }

    fn open_frame(&self) -> Option<&OpenFrame> {
        self.message.as_ref()?.frame.as_ref()
    }

    /// Forgets the message that has begun (SPEC X4).
    pub(super) fn clear(&mut self) {
        self.message = None;
    }

    /// Judges a data frame by its header: whether it may come now, and whether it is within the limits. Gives its
    /// length.
    #[inline]
    pub(super) fn admit(&self, header: &Header) -> Result<usize, Violation> {
        let (held, fragments, compressed) = match (&self.message, header.opcode) {
            (Some(message), Opcode::Continuation) => {
                (message.wire_length(), message.fragments, message.inflating.is_some())
            }
            (Some(_), _) => return Err(ProtocolError::UnfinishedMessage.into()),
            (None, Opcode::Continuation) => return Err(ProtocolError::UnexpectedContinuation.into()),
            (None, _) => (0, 0, header.compressed),
        };
        let limit = if compressed { deflated_limit(self.limits.message) } else { self.limits.message };
        if header.length > self.limits.frame as u64 {
            return Err(TooBig::Frame { limit: self.limits.frame }.into());
        }
        let length = usize::try_from(header.length).ok().filter(|length| *length <= limit - held);
        let Some(length) = length else { return Err(TooBig::Message { limit: self.limits.message }.into()) };
        if fragments >= self.limits.fragments {
            return Err(TooBig::Fragments { limit: self.limits.fragments }.into());
        }
        Ok(length)
    }

    /// The most bytes that an unfragmented message may have.
    #[inline]
    pub(super) fn message_limit(&self) -> usize {
        self.limits.frame.min(self.limits.message)
    }

    /// The message of a single frame whose whole, unmasked payload is here.
    #[inline]
    pub(super) fn short(&self, opcode: Opcode, payload: Payload) -> Result<Message, Violation> {
        self.limits.whole(opcode, payload)
    }

    /// The message of a single frame whose whole, masked payload is here: cheaper from about 1 KiB on.
    #[inline]
    pub(super) fn whole(&self, opcode: Opcode, payload: &[u8], mask: [u8; 4]) -> Result<Message, Violation> {
        let mut unmasked = spare::with_capacity(payload.len());
        extend_unmasked(&mut unmasked, payload, mask);
        self.limits.whole(opcode, spare::into_bytes(unmasked).into())
    }

    /// The message of a single compressed frame whose whole, unmasked payload is here.
    pub(super) fn whole_compressed(&mut self, opcode: Opcode, deflated: &[u8]) -> Result<Message, Violation> {
        let Some(inflater) = &mut self.inflater else { return self.whole(opcode, deflated, [0; 4]) };
        let mut payload = Utf8Buffer::default();
        let mut inflating = inflater.begin();
        inflating.wire = deflated.len();
        inflating.inflate(deflated, |bytes| self.limits.add(opcode, &mut payload, bytes))?;
        inflater.finish(inflating)?;
        self.limits.message_of(opcode, payload)
    }

    /// Opens the frame of an admitted header. Its payload goes to [`receive`](Self::receive).
    pub(super) fn open(&mut self, header: &Header, length: usize) {
        let inflater = self.inflater.as_mut().filter(|_| header.compressed);
        let message = self.message.get_or_insert_with(|| Partial {
            opcode: header.opcode,
            fragments: 0,
            payload: Utf8Buffer::default(),
            frame: None,
            inflating: inflater.map(|inflater| Box::new(inflater.begin())),
        });
        message.fragments += 1;
        if let Some(inflating) = &mut message.inflating {
            inflating.wire += length;
        }
        message.frame = Some(OpenFrame { fin: header.fin, remaining: length, mask: header.mask });
    }

    /// Takes bytes of the open frame's payload, no more than are [`missing`](Self::missing).
    pub(super) fn receive(&mut self, bytes: &mut [u8]) -> Result<(), Violation> {
        let Some(message) = &mut self.message else { return Ok(()) };
        let (Some(frame), Some(inflating)) = (message.frame, &mut message.inflating) else {
            return self.receive_plain(bytes);
        };
        unmask(bytes, frame.mask);
        message.frame = Some(frame.without(bytes.len()));
        let (opcode, payload) = (message.opcode, &mut message.payload);
        inflating.inflate(bytes, |bytes| self.limits.add(opcode, payload, bytes))
    }

    /// How much of the open frame's payload is missing, if it may be given to [`receive_plain`](Self::receive_plain).
    #[inline]
    pub(super) fn missing_plain(&self) -> Option<usize> {
        let message = self.message.as_ref().filter(|message| message.inflating.is_none())?;
        message.frame.map(|frame| frame.remaining)
    }

    /// Takes bytes of the open frame's payload, which is not compressed: they are copied and unmasked in one go.
    pub(super) fn receive_plain(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        let Some(message) = &mut self.message else { return Ok(()) };
        let Some(frame) = message.frame else { return Ok(()) };
        message.make_room(frame, bytes.len());
        message.payload.extend_unmasked(bytes, frame.mask);
        message.frame = Some(frame.without(bytes.len()));
        self.limits.check(message.opcode, &mut message.payload)
    }

    /// Room for a large payload that is known to be outstanding, to be read into without a copy. It grows with what
    /// has arrived, never with what the header claims (SPEC F6). The header of the next frame fits in behind the
    /// payload: so a large message that follows needs no read for its header.
    pub(super) fn direct(&mut self) -> Option<impl BufMut + '_> {
        let message = self.message.as_mut()?;
        let frame = message.frame?;
        if frame.remaining < WORTH_READING_DIRECTLY || message.inflating.is_some() {
            return None;
        }
        message.borrow_room(frame);
        let held = message.payload.len();
        if message.payload.capacity() - held < WORTH_READING_DIRECTLY {
            if held < WORTH_READING_DIRECTLY {
                return None;
            }
            let whole = held + frame.remaining;
            let ahead = 2 * held + READ_AHEAD;
            message.payload.grow_to(if whole <= ahead { spare::lendable(whole) } else { ahead });
        }
        Some(message.payload.spare(frame.remaining.saturating_add(MAX_HEADER)))
    }

    /// Takes away the last `count` bytes, which were read [directly](Self::direct) and are behind the payload.
    pub(super) fn take_surplus(&mut self, count: usize) -> Option<Vec<u8>> {
        self.message.as_mut().map(|message| message.payload.split_off(count))
    }

    /// The last `count` bytes of the payload are new: they are unmasked and, in a text, checked (SPEC F4).
    pub(super) fn received(&mut self, count: usize) -> Result<(), Violation> {
        let Some(message) = &mut self.message else { return Ok(()) };
        let Some(frame) = message.frame else { return Ok(()) };
        unmask_large(message.payload.tail_mut(count), frame.mask);
        message.frame = Some(frame.without(count));
        self.limits.check(message.opcode, &mut message.payload)
    }

    /// Closes the open frame, whose payload is whole, and gives the message if that was its last.
    pub(super) fn close_frame(&mut self) -> Result<Option<Message>, Violation> {
        let last =
            self.message.as_mut().and_then(|message| message.frame.take()).is_some_and(|frame| frame.fin);
        let Some(message) = self.message.take_if(|_| last) else { return Ok(None) };
        self.expects_large = message.payload.len() >= LARGE;
        if let (Some(inflating), Some(inflater)) = (message.inflating, &mut self.inflater) {
            inflater.finish(*inflating)?;
        }
        self.limits.message_of(message.opcode, message.payload).map(Some)
    }
}

impl Limits {
    /// Checks what is there of a text (SPEC F4).
    fn check(&self, opcode: Opcode, payload: &mut Utf8Buffer) -> Result<(), Violation> {
        if opcode == Opcode::Text && self.validate_utf8 {
            payload.check().map_err(|_| ProtocolError::TextNotUtf8)?;
        }
        Ok(())
    }

    /// Adds inflated bytes to a message and checks them, up to the limit (SPEC C6).
    fn add(&self, opcode: Opcode, payload: &mut Utf8Buffer, bytes: &[u8]) -> Result<(), Violation> {
        let fitting = bytes.len().min(self.message - payload.len());
        let needed = payload.len() + fitting;
        if needed > payload.capacity() {
            payload.grow_to(if payload.len() == 0 { needed } else { self.message.min(2 * needed) });
        }
        payload.extend_from_slice(&bytes[..fitting]);
        self.check(opcode, payload)?;
        if fitting < bytes.len() { Err(TooBig::Message { limit: self.message }.into()) } else { Ok(()) }
    }

    #[inline]
    fn whole(&self, opcode: Opcode, payload: Payload) -> Result<Message, Violation> {
        Ok(match opcode {
            Opcode::Text if self.validate_utf8 => {
                Message::Text(Text::try_from(payload).map_err(|_| ProtocolError::TextNotUtf8)?)
            }
            Opcode::Text => Message::UncheckedText(payload),
            _ => Message::Binary(payload),
        })
    }

    fn message_of(&self, opcode: Opcode, payload: Utf8Buffer) -> Result<Message, Violation> {
        Ok(match opcode {
            Opcode::Text if self.validate_utf8 => {
                Message::Text(payload.into_text().map_err(|_| ProtocolError::TextNotUtf8)?)
            }
            Opcode::Text => Message::UncheckedText(payload.into_payload()),
            _ => Message::Binary(payload.into_payload()),
        })
    }
}

/// The most bytes to which deflating in stored blocks makes `limit` bytes (SPEC C6).
fn deflated_limit(limit: usize) -> usize {
    limit.saturating_add(limit / 1000).saturating_add(64)
}

impl OpenFrame {
    /// The same frame after `count` bytes more of its payload.
    fn without(self, count: usize) -> Self {
        OpenFrame { remaining: self.remaining - count, mask: rotated(self.mask, count), ..self }
    }
}

impl Partial {
    /// How many bytes of it have come or are announced, as they are on the wire.
    fn wire_length(&self) -> usize {
        self.inflating.as_ref().map_or(self.payload.len(), |inflating| inflating.wire)
    }

    /// Borrows memory for the whole message, if nothing of it is here yet, it ends with this frame and there is some.
    fn borrow_room(&mut self, frame: OpenFrame) {
        if frame.fin && self.payload.capacity() == 0 {
            self.payload = Utf8Buffer::for_claim(frame.remaining);
        }
    }

    /// Makes room for `incoming` bytes of the open frame: at most twice of what has arrived by then, or so much more
    /// that all of the message fits in, and never more than it can still need (SPEC F6).
    fn make_room(&mut self, frame: OpenFrame, incoming: usize) {
        self.borrow_room(frame);
        let needed = self.payload.len() + incoming;
        if needed > self.payload.capacity() {
            let doubled = 2 * needed;
            let claimed = self.payload.len() + frame.remaining;
            let ahead = if needed < WORTH_READING_DIRECTLY { doubled } else { doubled + READ_AHEAD };
            let ends = frame.fin && claimed <= ahead;
            self.payload.grow_to(if ends { spare::lendable(claimed) } else { doubled });
        }
    }
}
