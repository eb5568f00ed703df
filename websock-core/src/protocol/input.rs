//! The bytes that have arrived and are not decoded yet.
//!
//! They lie in the buffer into which the driver read them. The driver wants that buffer back before it waits, since
//! all its connections share it; what is left then, mostly nothing, gets a place of its own (SPEC B8).

use super::header::Opcode;
use super::mask::{unmask, unmask_blocks};
use crate::payload::{INLINE, Payload};
use crate::spare;

/// Bytes to decode, and how far they are decoded.
#[derive(Debug, Default)]
pub(super) struct Input {
    bytes: Vec<u8>,
    at: usize,
    /// Whether `bytes` is the driver's buffer.
    lent: bool,
}

impl Input {
    /// What is not decoded yet.
    #[inline]
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    /// The first `count` bytes are decoded.
    pub(super) fn advance(&mut self, count: usize) {
        self.at += count;
    }

    /// Takes what was read, with the buffer where that saves a copy.
    #[inline]
    pub(super) fn receive(&mut self, buffer: &mut Vec<u8>, from: usize) {
        if self.rest().is_empty() {
            self.bytes = std::mem::take(buffer);
            self.at = from;
            self.lent = true;
        } else {
            self.append(&buffer[from..]);
        }
    }

    /// Adds bytes to those that are not decoded yet.
    #[cold]
    fn append(&mut self, bytes: &[u8]) {
        if self.at > 0 {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
        self.bytes.reserve_exact(bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes bytes that came behind a payload, when everything before them is decoded.
    pub(super) fn keep(&mut self, bytes: Vec<u8>) {
        if self.lent {
            self.bytes.clear();
            self.bytes.extend_from_slice(&bytes);
        } else {
            self.bytes = bytes;
        }
        self.at = 0;
    }

    /// Gives the driver its buffer back, or another where much of this one is still to be decoded.
    #[inline]
    pub(super) fn reclaim(&mut self, buffer: &mut Vec<u8>) {
        if self.bytes.capacity() == 0 {
            return;
        }
        if self.lent && self.at == self.bytes.len() {
            self.lent = false;
            self.at = 0;
            *buffer = std::mem::take(&mut self.bytes);
        } else {
            self.reclaim_rest(buffer);
        }
    }

    #[cold]
    fn reclaim_rest(&mut self, buffer: &mut Vec<u8>) {
        if self.lent {
            self.lent = false;
            if self.rest().len() > self.bytes.capacity() / 2 {
                *buffer = spare::take(self.bytes.capacity()).unwrap_or_default();
                return;
            }
            let rest = self.rest().to_vec();
            *buffer = std::mem::replace(&mut self.bytes, rest);
            self.at = 0;
        } else if self.rest().is_empty() {
            spare::give(std::mem::take(self).bytes);
        }
    }

    /// Drops everything but the driver's buffer.
    pub(super) fn clear(&mut self) {
        self.at = self.bytes.len();
    }

    /// The next frame, if it is the common one: an unfragmented message of at most `limit` and 125 bytes, here whole.
    /// Everything else is left to the general way.
    #[inline]
    pub(super) fn short_message(&mut self, limit: usize) -> Option<(Opcode, Payload)> {
        let [first, second, m0, m1, m2, m3, payload @ ..] = &mut self.bytes[self.at..] else { return None };
        let opcode = match *first {
            0x81 => Opcode::Text,
            0x82 => Opcode::Binary,
            _ => return None,
        };
        let length = usize::from(second.checked_sub(0x80)?);
        if length > 125 || length > limit || length > payload.len() {
            return None;
        }
        let mask = [*m0, *m1, *m2, *m3];
        self.at += 6 + length;
        if length <= INLINE
            && let Some(&(mut inline)) = payload.first_chunk()
        {
            // Always the same number of bytes, whatever comes behind the payload: that takes neither loops nor calls.
            unmask(&mut inline, mask);
            return Some((opcode, Payload::inline(inline, length)));
        }
        let payload = &mut payload[..length];
        unmask_blocks(payload, mask);
        Some((opcode, Payload::from(&*payload)))
    }

    /// The next `count` bytes, unmasked, which must be here. They count as decoded.
    #[inline]
    pub(super) fn take(&mut self, count: usize, mask: [u8; 4]) -> &[u8] {
        let payload = self.take_masked(count);
        unmask(payload, mask);
        payload
    }

    /// The next `count` bytes as they came, which must be here. They count as decoded.
    #[inline]
    pub(super) fn take_masked(&mut self, count: usize) -> &mut [u8] {
        let bytes = &mut self.bytes[self.at..self.at + count];
        self.at += count;
        bytes
    }
}
