//! From bytes to frames (RFC 6455 §5.2, SPEC F6, F7).
//!
//! A message that arrived whole is copied once, out of the driver's buffer into its own. Of a frame that is cut off,
//! a header or a control frame stays where it is (at most 139 bytes), and a data payload moves on to the
//! [`Assembler`].

use std::hint::cold_path;

use bytes::{Buf, BufMut, Bytes};

use super::assemble::Assembler;
use super::closing::parse_close;
use super::deflate::Inflater;
use super::error::Violation;
use super::event::Event;
use super::header::{Header, Opcode, begins_control, frame_size, parse_header};
use super::input::Input;
use crate::message::{Control, ControlPayload, Message};
use crate::options::Options;
use crate::payload::Payload;

/// Takes bytes as they come and gives events in their order.
#[derive(Debug)]
pub(super) struct Decoder {
    input: Input,
    assembler: Assembler,
    /// What was found wrong while bytes were received, to be told in its turn.
    violation: Option<Violation>,
    discarded: Discarded,
}

/// The frame that is being discarded.
#[derive(Clone, Copy, Debug, Default)]
struct Discarded {
    /// How much of it is missing.
    rest: u64,
    is_close: bool,
}

/// A frame that is worth being decoded where it lies.
struct LongFrame {
    opcode: Opcode,
    mask: [u8; 4],
    /// Where its payload begins, and where it ends.
    start: usize,
    end: usize,
}

/// From this size on a payload is taken from shared memory as it is.
const LONG: usize = 126;

/// How much of what is not is copied at once. The bytes are in memory already, so that small pieces cost little.
const PIECE: usize = 20 * 1024;

/// Takes so many bytes from the front. Memory of which nothing is left is let go at once, as its owner may wait for it.
pub(super) fn take_front(bytes: &mut Bytes, count: usize) {
    bytes.advance(count);
    if bytes.is_empty() {
        *bytes = Bytes::new();
    }
}

impl Decoder {
    pub(super) fn new(options: &Options, inflater: Option<Inflater>) -> Self {
        Decoder {
            input: Input::default(),
            assembler: Assembler::new(options, inflater),
            violation: None,
            discarded: Discarded::default(),
        }
    }

    /// Whether a message has arrived in part. A control frame of which a part is here is none.
    pub(super) fn is_within_message(&self) -> bool {
        self.assembler.is_within_message()
            || self.input.rest().first().is_some_and(|&first| !begins_control(first))
    }

    /// Whether there are bytes to decode.
    #[inline]
    pub(super) fn has_input(&self) -> bool {
        !self.input.rest().is_empty()
    }

    /// Whether nothing has arrived that was not told.
    #[inline]
    pub(super) fn has_nothing(&self) -> bool {
        !self.has_input() && !self.assembler.is_within_message() && self.violation.is_none()
    }

    /// Forgets everything that is not complete.
    pub(super) fn clear(&mut self) {
        self.input.clear();
        self.assembler.clear();
        self.violation = None;
    }

    /// From now on the peer's Close is looked for, and nothing else.
    pub(super) fn discard(&mut self) {
        self.discarded.rest = self.assembler.missing() as u64;
        self.assembler.clear();
        self.violation = None;
    }

    /// Discards what has arrived up to the peer's Close, and tells whether that is here, whole.
    pub(super) fn discard_to_close(&mut self) -> bool {
        loop {
            let here = self.input.rest().len();
            let skipped = usize::try_from(self.discarded.rest).map_or(here, |rest| rest.min(here));
            self.input.advance(skipped);
            self.discarded.rest -= skipped as u64;
            if self.discarded.rest > 0 || self.discarded.is_close {
                return self.discarded.rest == 0;
            }
            let Some((opcode, size)) = frame_size(self.input.rest()) else { return false };
            self.discarded = Discarded { rest: size, is_close: opcode == Opcode::Close as u8 };
        }
    }

    #[inline(always)]
    pub(super) fn receive(&mut self, buffer: &mut Vec<u8>) {
        self.assembler.expect_any();
        let taken = if self.assembler.has_open_frame() { self.receive_for_open_frame(buffer) } else { 0 };
        self.input.receive(buffer, taken);
    }

    /// Takes what belongs to the payload of the open frame, and tells how much that is.
    #[cold]
    fn receive_for_open_frame(&mut self, buffer: &mut [u8]) -> usize {
        if self.has_input() || self.violation.is_some() {
            return 0;
        }
        let taken = self.assembler.missing().min(buffer.len());
        self.violation = self.assembler.receive(&mut buffer[..taken]).err();
        taken
    }

    #[inline]
    pub(super) fn reclaim(&mut self, buffer: &mut Vec<u8>) {
        self.input.reclaim(buffer);
    }

    #[inline]
    pub(super) fn receive_limit(&self) -> usize {
        self.assembler.receive_limit()
    }

    #[inline]
    pub(super) fn outstanding(&self) -> Option<usize> {
        if self.has_input() { None } else { self.assembler.missing_plain() }
    }

    pub(super) fn receive_payload(&mut self, bytes: &[u8]) {
        self.violation = self.assembler.receive_plain(bytes).err();
    }

    pub(super) fn direct_buffer(&mut self) -> Option<impl BufMut + '_> {
        if self.has_input() { None } else { self.assembler.direct() }
    }

    pub(super) fn receive_direct(&mut self, count: usize) {
        let payload = count.min(self.assembler.missing());
        if payload < count
            && let Some(surplus) = self.assembler.take_surplus(count - payload)
        {
            self.input.keep(surplus);
        }
        self.violation = self.assembler.received(payload).err();
    }

    /// The next event if it is the common one: a short, unfragmented, valid message.
    #[inline]
    pub(super) fn poll_short_message(&mut self) -> Option<Message> {
        if self.assembler.is_within_message() || self.violation.is_some() {
            cold_path();
            return None;
        }
        let (opcode, payload) = self.input.short_message(self.assembler.message_limit())?;
        match self.assembler.short(opcode, payload) {
            Ok(message) => Some(message),
            Err(violation) => {
                cold_path();
                self.violation = Some(violation);
                None
            }
        }
    }

    /// How many of these bytes, which arrived after all that is here, have to be copied to a buffer of ours first: none,
    /// where a long message lies whole at their front, and only its header, where a part of one does.
    pub(super) fn to_copy(&self, bytes: &[u8]) -> usize {
        match self.long_frame(bytes) {
            Some(LongFrame { end, .. }) if end <= bytes.len() => 0,
            Some(LongFrame { start, .. }) => start,
            None => PIECE.min(bytes.len()),
        }
    }

    /// The message that lies whole at the front of `bytes`, if it is a long one.
    pub(super) fn poll_shared(&mut self, bytes: &mut Bytes) -> Option<Result<Message, Violation>> {
        let LongFrame { opcode, mask, start, end } = self.long_frame(bytes)?;
        let message = self.assembler.whole(opcode, bytes.get(start..end)?, mask);
        take_front(bytes, end);
        Some(message)
    }

    /// The frame at the front of `bytes`, which follow all that is here, if it is an unfragmented message of plain bytes,
    /// within the limits, and long enough that a further copy of it costs more than this look.
    fn long_frame(&self, bytes: &[u8]) -> Option<LongFrame> {
        if !self.has_nothing() {
            return None;
        }
        let (Header { fin, compressed, opcode, mask, length }, start) = parse_header(bytes, false).ok()??;
        let length =
            usize::try_from(length).ok().filter(|length| *length <= self.assembler.message_limit())?;
        let is_long = fin && !compressed && matches!(opcode, Opcode::Text | Opcode::Binary) && length >= LONG;
        let end = start.checked_add(length).filter(|_| is_long)?;
        Some(LongFrame { opcode, mask, start, end })
    }

    /// The next event, or `None` if the rest has to arrive first.
    pub(super) fn poll_event(&mut self) -> Result<Option<Event>, Violation> {
        if let Some(violation) = self.violation.take() {
            return Err(violation);
        }
        loop {
            if self.assembler.has_open_frame() {
                let taken = self.assembler.missing().min(self.input.rest().len());
                if taken > 0 {
                    self.assembler.receive(self.input.take_masked(taken))?;
                }
                if self.assembler.missing() > 0 {
                    return Ok(None);
                }
                if let Some(message) = self.assembler.close_frame()? {
                    return Ok(Some(Event::Message(message)));
                }
            }
            let Some((header, size)) = parse_header(self.input.rest(), self.assembler.can_inflate())? else {
                return Ok(None);
            };
            if header.opcode.is_control() {
                return self.control(&header, size);
            }
            let length = self.assembler.admit(&header)?;
            self.input.advance(size);
            if header.fin && header.opcode != Opcode::Continuation && self.input.rest().len() >= length {
                let message = if header.compressed {
                    self.assembler.whole_compressed(header.opcode, self.input.take(length, header.mask))?
                } else {
                    self.assembler.whole(header.opcode, self.input.take_masked(length), header.mask)?
                };
                return Ok(Some(Event::Message(message)));
            }
            self.assembler.open(&header, length);
        }
    }

    /// A control frame, which is handled at once, also between the fragments of a message (SPEC F2).
    fn control(&mut self, header: &Header, size: usize) -> Result<Option<Event>, Violation> {
        let length = usize::try_from(header.length).unwrap_or(usize::MAX);
        if self.input.rest().len() - size < length {
            return Ok(None);
        }
        self.input.advance(size);
        let payload = Payload::from(self.input.take(length, header.mask));
        Ok(Some(match header.opcode {
            Opcode::Ping => Event::Control(Control::Ping(ControlPayload::received(payload))),
            Opcode::Pong => Event::Control(Control::Pong(ControlPayload::received(payload))),
            _ => Event::Close(parse_close(&payload)?),
        }))
    }
}
