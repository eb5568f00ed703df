//! The engine: RFC 6455 and RFC 7692 without a socket, a runtime or a clock.
//!
//! Bytes and the time go in; events, bytes and a deadline come out. [`Protocol`] is all that a driver needs, and the
//! driver of this crate uses nothing else. By direction:
//!
//! - **In from the world**: [`receive`](Protocol::receive), [`receive_direct`](Protocol::receive_direct) or
//!   [`receive_shared`](Protocol::receive_shared), and [`handle_timeout`](Protocol::handle_timeout).
//! - **In from the application**: [`send`](Protocol::send), [`close`](Protocol::close).
//! - **Out**: [`poll_event`](Protocol::poll_event), [`poll_transmit`](Protocol::poll_transmit) (answered by
//!   [`transmitted`](Protocol::transmitted)) or [`take_transmit`](Protocol::take_transmit), and [`poll_timeout`](Protocol::poll_timeout).
//!
//! A driver reads, gives the bytes to `receive`, takes events until there are none, sends what they lead to, writes
//! what `poll_transmit` shows, and waits for bytes or for the deadline.
//!
//! | module | what it knows |
//! |---|---|
//! | `header` | the frame header, both ways |
//! | `mask` | masking |
//! | `input` | the bytes that have arrived |
//! | `decode` | from bytes to frames |
//! | `assemble` | from frames to messages: fragments, limits, UTF-8 |
//! | `deflate` | permessage-deflate, both ways |
//! | `encode` | what waits to be written |
//! | `closing` | the closing handshake |
//! | `liveness` | what silence means |
//! | `error`, `event` | what comes out |

mod assemble;
mod closing;
mod decode;
mod deflate;
mod encode;
mod error;
mod event;
mod header;
mod input;
mod liveness;
mod mask;
mod traffic;

use std::hint::cold_path;
use std::io::IoSlice;
use std::time::Instant;

use bytes::{BufMut, Bytes};

use crate::close::{CloseFrame, Timeout};
use crate::deflate::DeflateParameters;
use crate::message::{Control, Frame, Message};
use crate::options::Options;

use closing::Closing;
use decode::{Decoder, take_front};
use deflate::{Deflater, Inflater};
use encode::Outgoing;
use liveness::{Due, Liveness};

pub use error::{ProtocolError, TooBig, Violation};
pub use event::Event;
pub use header::Opcode;
pub(crate) use header::{MAX_HEADER, encode_header, header_size};
pub(crate) use mask::extend_unmasked;
pub use traffic::{Count, Traffic};

/// One WebSocket connection from the server's side, after the 101.
///
/// See the [module](self) for the order in which a driver calls it.
#[derive(Debug)]
pub struct Protocol {
    decoder: Decoder,
    outgoing: Outgoing,
    /// Where compression is agreed on.
    deflater: Option<Box<Deflater>>,
    closing: Closing,
    liveness: Liveness,
    received: Traffic,
    sent: Traffic,
}

impl Protocol {
    /// A connection whose 101 was sent at `now`, without extensions.
    pub fn new(options: &Options, now: Instant) -> Self {
        Protocol::with_deflate(options, None, now)
    }

    /// A connection whose 101 was sent at `now` with this extension.
    pub fn with_deflate(options: &Options, parameters: Option<&DeflateParameters>, now: Instant) -> Self {
        let deflate = options.get_deflate().copied().unwrap_or_default();
        Protocol {
            decoder: Decoder::new(options, parameters.map(Inflater::new)),
            outgoing: Outgoing::default(),
            deflater: parameters.map(|parameters| Box::new(Deflater::new(deflate, parameters))),
            closing: Closing::default(),
            liveness: Liveness::new(options, now),
            received: Traffic::default(),
            sent: Traffic::default(),
        }
    }

    /// Whether messages are compressed (SPEC C1).
    pub fn is_compressed(&self) -> bool {
        self.deflater.is_some()
    }

    /// The bytes in `buffer` arrived at `now`; what they mean comes from [`poll_event`](Self::poll_event).
    ///
    /// The bytes may be cut anywhere (SPEC F7). After the peer's Close they are ignored (SPEC X7); after ours, or a
    /// violation, everything but the peer's Close is. The buffer's memory may be taken, until [`reclaim`](Self::reclaim) gives it back.
    #[inline]
    pub fn receive(&mut self, buffer: &mut Vec<u8>, now: Instant) {
        self.liveness.heard(now);
        if self.closing.can_receive() {
            self.decoder.receive(buffer);
        } else {
            self.receive_after_end(buffer);
        }
    }

    /// What comes when nothing is received any more: only the peer's Close counts.
    #[cold]
    fn receive_after_end(&mut self, buffer: &mut Vec<u8>) {
        if !self.closing.has_received_close() {
            self.decoder.receive(buffer);
            self.look_for_close();
        }
    }

    /// Puts the memory that [`receive`](Self::receive) has taken back into `buffer`, so that it can serve another
    /// connection; what it now holds is of no meaning. Bytes that are still to be decoded get a place of their own, and
    /// those that are still to be written one of their size. To be called before waiting for anything.
    #[inline]
    pub fn reclaim(&mut self, buffer: &mut Vec<u8>) {
        self.decoder.reclaim(buffer);
        self.outgoing.shrink();
    }

    /// How many bytes should be read next, at most, to be given to [`receive`](Self::receive): few, where a large
    /// payload is likely to begin, so that the most of it can be read to [where it belongs](Self::direct_buffer). It
    /// is a hint; more do no harm.
    #[inline]
    pub fn receive_limit(&self) -> usize {
        self.decoder.receive_limit()
    }

    /// Where the next bytes should be read to, if the rest of a large payload is known to be outstanding: then
    /// nothing has to be copied. What was read there is announced by [`receive_direct`](Self::receive_direct).
    ///
    /// `None` means to read elsewhere and to call [`receive`](Self::receive). The room grows with what has arrived,
    /// never with what a header claims, unless there is memory to be lent (SPEC F6). It may take the header of the next
    /// frame, too, so that a large payload which follows at once is read to its place from its first byte on.
    pub fn direct_buffer(&mut self) -> Option<impl BufMut + '_> {
        self.decoder.direct_buffer()
    }

    /// How many bytes of a payload are outstanding, if one is that is not compressed.
    #[inline]
    pub(crate) fn outstanding(&self) -> Option<usize> {
        self.decoder.outstanding()
    }

    /// Bytes arrived at `now` in memory that is not the engine's to write to. What it takes of them is gone from their
    /// front. What it leaves is to be given to [`poll_shared`](Self::poll_shared), after
    /// [`poll_event`](Self::poll_event), and then to this again. The payload of a long message is copied once, from where
    /// it lies; all else goes through `buffer`, as with [`receive`](Self::receive).
    pub fn receive_shared(&mut self, bytes: &mut Bytes, buffer: &mut Vec<u8>, now: Instant) {
        let count = if let Some(missing) = self.outstanding().filter(|&missing| missing > 0) {
            let count = missing.min(bytes.len());
            self.liveness.heard(now);
            self.decoder.receive_payload(&bytes[..count]);
            count
        } else {
            let count = if self.closing.can_receive() { self.decoder.to_copy(bytes) } else { bytes.len() };
            buffer.clear();
            buffer.extend_from_slice(&bytes[..count]);
            self.receive(buffer, now);
            count
        };
        take_front(bytes, count);
    }

    /// The next event, if it is a message that lies whole at the front of the bytes that
    /// [`receive_shared`](Self::receive_shared) left, and is long enough to be taken from there. To be asked when
    /// [`poll_event`](Self::poll_event) has nothing.
    pub fn poll_shared(&mut self, bytes: &mut Bytes) -> Option<Event> {
        if !self.closing.can_receive() {
            return None;
        }
        Some(match self.decoder.poll_shared(bytes)? {
            Ok(message) => {
                self.count(&message);
                Event::Message(message)
            }
            Err(violation) => self.violate(violation),
        })
    }

    /// The next `count` bytes arrived at `now`, in the room that [`direct_buffer`](Self::direct_buffer) gave.
    pub fn receive_direct(&mut self, count: usize, now: Instant) {
        self.liveness.heard(now);
        self.decoder.receive_direct(count);
    }

    /// The next thing that arrived, in order, or `None` until more bytes come.
    ///
    /// The pong to a ping is queued before the ping is told (SPEC L5). Nothing follows a Close or a violation.
    pub fn poll_event(&mut self) -> Option<Event> {
        match self.poll_message() {
            Some(message) => Some(Event::Message(message)),
            None => self.poll_other_event(),
        }
    }

    /// The next event, if it is a message that is easily decoded. A short way that saves much of a small message's
    /// cost; where it gives `None`, [`poll_event`](Self::poll_event) knows more.
    #[inline]
    pub fn poll_message(&mut self) -> Option<Message> {
        if self.decoder.has_input() { self.poll_short_message() } else { None }
    }

    fn poll_short_message(&mut self) -> Option<Message> {
        let message = self.decoder.poll_short_message()?;
        self.count(&message);
        Some(message)
    }

    #[inline]
    fn count(&mut self, message: &Message) {
        self.liveness.message_ended();
        self.received.count_message(message);
    }

    /// The next event that is not [easily decoded](Self::poll_message).
    #[inline]
    pub(crate) fn poll_other_event(&mut self) -> Option<Event> {
        if self.decoder.has_nothing() { None } else { self.poll_any_event() }
    }

    fn poll_any_event(&mut self) -> Option<Event> {
        if !self.closing.can_receive() {
            return None;
        }
        Some(match self.decoder.poll_event() {
            Ok(Some(Event::Message(message))) => {
                self.count(&message);
                Event::Message(message)
            }
            Ok(Some(Event::Control(control))) => {
                self.control(&control);
                Event::Control(control)
            }
            Ok(Some(Event::Close(frame))) => {
                self.received.close.add(frame.as_ref().map_or(0, |frame| 2 + frame.reason().len()));
                self.closing.receive_close();
                self.decoder.clear();
                Event::Close(frame)
            }
            Ok(Some(Event::Violation(violation))) | Err(violation) => self.violate(violation),
            Ok(None) => {
                if self.decoder.is_within_message() {
                    self.liveness.message_goes_on();
                }
                return None;
            }
        })
    }

    #[cold]
    fn violate(&mut self, violation: Violation) -> Event {
        if violation.is_of_close() {
            self.closing.receive_close();
            self.decoder.clear();
        } else {
            self.closing.fail();
            self.decoder.discard();
            self.look_for_close();
        }
        Event::Violation(violation)
    }

    fn control(&mut self, control: &Control) {
        match control {
            Control::Ping(payload) => {
                self.received.ping.add(payload.len());
                self.sent.pong.add(payload.len());
                self.outgoing.push_control(Opcode::Pong, payload);
            }
            Control::Pong(payload) => self.received.pong.add(payload.len()),
        }
    }

    fn look_for_close(&mut self) {
        if self.decoder.discard_to_close() {
            self.closing.receive_close();
            self.decoder.clear();
        }
    }

    /// Queues a message. After [`close`](Self::close) it is dropped: nothing follows a Close frame (SPEC O6).
    #[inline(always)]
    pub fn send(&mut self, frame: Frame) {
        if !self.closing.can_send() {
            cold_path();
            return;
        }
        self.sent.count_frame(&frame);
        match &mut self.deflater {
            None => self.outgoing.push(frame),
            Some(deflater) => {
                cold_path();
                deflater.push(frame, &mut self.outgoing);
            }
        }
    }

    /// Queues a Close frame behind all that was sent; `None` is an empty one. Nothing is received or sent after it,
    /// and it is sent once (SPEC X2).
    pub fn close(&mut self, frame: Option<&CloseFrame>) {
        if self.closing.can_receive() {
            self.decoder.discard();
            self.look_for_close();
        }
        if !self.closing.send_close() {
            return;
        }
        let mut payload = Vec::new();
        if let Some(frame) = frame {
            payload.extend_from_slice(&frame.code().get().to_be_bytes());
            payload.extend_from_slice(frame.reason().as_bytes());
        }
        self.sent.close.add(payload.len());
        self.outgoing.push_control(Opcode::Close, &payload);
    }

    /// Whether the peer's Close has arrived, as the first or as the answer to ours: after it the peer sends nothing.
    pub fn has_received_close(&self) -> bool {
        self.closing.has_received_close()
    }

    /// How many bytes wait to be written.
    #[inline]
    pub fn unsent(&self) -> usize {
        self.outgoing.unsent()
    }

    /// All the bytes to write, if they lie side by side, as small frames do; where it gives `None`,
    /// [`poll_transmit`](Self::poll_transmit) has them. Empty, if nothing is [unsent](Self::unsent).
    #[inline]
    pub fn transmit_piece(&self) -> Option<&[u8]> {
        self.outgoing.piece()
    }

    /// Fills `slices` with the bytes to write next, in order, and tells how many slices it filled.
    pub fn poll_transmit<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.outgoing.slices(slices)
    }

    /// The first `count` unsent bytes were written.
    ///
    /// # Panics
    /// If `count` is more than [`unsent`](Self::unsent).
    pub fn transmitted(&mut self, count: usize) {
        self.outgoing.sent(count);
    }

    /// Takes the bytes to write next, at most `limit` of them, for a transport that can own them: then nothing is
    /// copied. They count as written.
    pub fn take_transmit(&mut self, limit: usize) -> Option<Bytes> {
        self.outgoing.take(limit)
    }

    /// Forgets what is not written, for a peer that can no longer be reached.
    pub fn discard_unsent(&mut self) {
        self.outgoing.clear();
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.liveness.deadline()
    }

    /// Time passed. Queues a ping that is due; gives the timeout that ends the connection, if one does.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Timeout> {
        match self.liveness.due(now)? {
            Due::Expired(timeout) => Some(timeout),
            Due::Ping => {
                if self.closing.can_send() {
                    self.sent.ping.add(0);
                    self.outgoing.push_control(Opcode::Ping, &[]);
                }
                None
            }
        }
    }

    /// Whether a message that has not ended took too long already when bytes came last (SPEC T6). To be asked when all
    /// of them are handled, as they may have ended it.
    #[inline]
    pub fn is_message_late(&self) -> bool {
        self.liveness.is_message_late()
    }

    /// From `now` on nothing is read: no timer runs (SPEC T1, T4).
    pub fn pause(&mut self, now: Instant) {
        self.liveness.pause(now);
    }

    /// Reading goes on at `now`.
    pub fn resume(&mut self, now: Instant) {
        self.liveness.resume(now);
    }

    /// What arrived so far.
    pub fn received(&self) -> &Traffic {
        &self.received
    }

    /// What was queued to be sent so far.
    pub fn sent(&self) -> &Traffic {
        &self.sent
    }
}
