//! What waits to be written: small frames side by side in one buffer, large payloads as they are.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

use super::header::{Opcode, encode_compressed_header, encode_header, encode_short_header};
use crate::message::Frame;
use crate::payload::INLINE;
use crate::spare;

/// From here on a payload is written from where it lies; below, a copy is cheaper than another slice.
const LARGE: usize = 16 * 1024;

/// The first room of a new buffer: one wake's worth of small messages rarely needs more.
const FIRST_ROOM: usize = 1024;

/// How much memory that it does not need a connection may hold while it waits for its peer.
const MOST_UNUSED: usize = 8 * 1024;

/// Encoded frames in the order in which they will be written.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// Small frames, and the headers of large ones. While nothing waits the thread has it (SPEC B8).
    buffer: Vec<u8>,
    /// How much of `buffer` is written already.
    written: usize,
    large: VecDeque<Large>,
    /// How many bytes `large` has.
    large_bytes: usize,
}

/// A payload that is not in the buffer.
#[derive(Debug)]
struct Large {
    /// How much of the buffer goes before it.
    at: usize,
    payload: Bytes,
}

impl Outgoing {
    /// How many bytes wait to be written.
    #[inline]
    pub(super) fn unsent(&self) -> usize {
        self.buffer.len() - self.written + self.large_bytes
    }

    /// Queues a message as one unfragmented frame.
    #[inline(always)]
    pub(super) fn push(&mut self, frame: Frame) {
        if let Some(prepared) = frame.prepared {
            return self.push_encoded(prepared.plain());
        }
        let payload = frame.payload;
        if let Some(header) = encode_short_header(frame.opcode, payload.len()) {
            return match payload.as_inline() {
                Some((inline, length)) => self.append_inline(header, inline, length),
                None => self.append_small(&header, &payload),
            };
        }
        let (header, size) = encode_header(frame.opcode, payload.len());
        self.append(&header[..size], payload.into_bytes());
    }

    /// Queues a frame that has its header.
    #[inline]
    pub(super) fn push_encoded(&mut self, frame: &Bytes) {
        if frame.len() < LARGE {
            self.append_small(&[], frame);
        } else {
            self.append_large(&[], frame.clone());
        }
    }

    /// Queues a message as one frame, deflated.
    pub(super) fn push_deflated(&mut self, opcode: Opcode, deflated: &[u8]) {
        let (header, size) = encode_compressed_header(opcode, deflated.len());
        if deflated.len() < LARGE {
            self.append_small(&header[..size], deflated);
        } else {
            self.append_large(&header[..size], Bytes::copy_from_slice(deflated));
        }
    }

    /// Queues a control frame.
    #[inline]
    pub(super) fn push_control(&mut self, opcode: Opcode, payload: &[u8]) {
        let (header, size) = encode_header(opcode, payload.len());
        self.append_small(&header[..size], payload);
    }

    #[inline(always)]
    fn append(&mut self, header: &[u8], payload: Bytes) {
        if payload.len() < LARGE {
            self.append_small(header, &payload);
        } else {
            self.append_large(header, payload);
        }
    }

    #[inline(always)]
    fn append_small(&mut self, header: &[u8], payload: &[u8]) {
        self.ensure_room(header.len() + payload.len());
        self.buffer.extend_from_slice(header);
        self.buffer.extend_from_slice(payload);
    }

    /// The same with the first `length` bytes of `inline`: the others are copied, too, and cut off again, since a copy
    /// of a size that the compiler knows is no call.
    #[inline(always)]
    fn append_inline(&mut self, header: [u8; 2], inline: &[u8; INLINE], length: usize) {
        self.ensure_room(header.len() + INLINE);
        let end = self.buffer.len() + header.len() + length;
        self.buffer.extend_from_slice(&header);
        self.buffer.extend_from_slice(inline);
        self.buffer.truncate(end);
    }

    #[cold]
    fn append_large(&mut self, header: &[u8], payload: Bytes) {
        self.append_small(header, &[]);
        self.large_bytes += payload.len();
        self.large.push_back(Large { at: self.buffer.len(), payload });
    }

    #[inline(always)]
    fn ensure_room(&mut self, length: usize) {
        if self.buffer.capacity() - self.buffer.len() < length {
            self.make_room(length);
        }
    }

    #[inline(never)]
    fn make_room(&mut self, length: usize) {
        if self.buffer.capacity() == 0 {
            self.buffer = spare::take_outgoing();
            if self.buffer.capacity() < length {
                self.begin(length);
            }
        } else {
            self.grow(length);
        }
    }

    #[cold]
    fn begin(&mut self, length: usize) {
        if self.buffer.capacity() == 0 {
            self.buffer = spare::take_further();
        }
        self.buffer.reserve(length.max(FIRST_ROOM));
    }

    #[cold]
    fn grow(&mut self, length: usize) {
        if self.written >= self.buffer.len() / 2 {
            // For a peer that never takes everything, the buffer would grow for ever.
            self.buffer.drain(..self.written);
            self.forget_written();
        }
        self.buffer.reserve(length.max(FIRST_ROOM));
    }

    /// What was written is no longer in the buffer.
    fn forget_written(&mut self) {
        for large in &mut self.large {
            large.at -= self.written;
        }
        self.written = 0;
    }

    /// Holds no more memory than what waits needs, before the connection waits for the peer (SPEC B8).
    #[inline]
    pub(super) fn shrink(&mut self) {
        if self.buffer.capacity() - (self.buffer.len() - self.written) > MOST_UNUSED {
            self.shrink_buffer();
        }
    }

    #[cold]
    fn shrink_buffer(&mut self) {
        let rest = self.buffer[self.written..].to_vec();
        spare::give_outgoing(std::mem::replace(&mut self.buffer, rest));
        self.forget_written();
    }

    /// All that is to be written, if it lies side by side; empty, if nothing is.
    #[inline]
    pub(super) fn piece(&self) -> Option<&[u8]> {
        if self.large.is_empty() { Some(&self.buffer[self.written..]) } else { None }
    }

    /// Fills `slices` with what is to be written next, and tells how many it filled.
    pub(super) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut at = self.written;
        let large = self.large.iter().flat_map(|large| {
            let before = &self.buffer[std::mem::replace(&mut at, large.at)..large.at];
            [before, &large.payload]
        });
        let last = self.large.back().map_or(self.written, |large| large.at);
        let parts = large.chain([&self.buffer[last..]]).filter(|part| !part.is_empty());
        let mut filled = 0;
        for (slice, part) in slices.iter_mut().zip(parts) {
            *slice = IoSlice::new(part);
            filled += 1;
        }
        filled
    }

    /// The first `count` bytes are written. When nothing is left no memory is held (SPEC B8).
    pub(super) fn sent(&mut self, mut count: usize) {
        let unsent = self.unsent();
        assert!(count <= unsent, "more is written than was there");
        if count == unsent {
            return self.clear();
        }
        while let Some(Large { at, payload }) = self.large.front_mut() {
            let before = count.min(*at - self.written);
            self.written += before;
            count -= before;
            let of_payload = count.min(payload.len());
            payload.advance(of_payload);
            self.large_bytes -= of_payload;
            count -= of_payload;
            if !payload.is_empty() {
                return;
            }
            self.large.pop_front();
        }
        self.written += count;
    }

    /// Takes what is to be written next, at most `limit` bytes of it.
    pub(super) fn take(&mut self, limit: usize) -> Option<Bytes> {
        if limit == 0 {
            return None;
        }
        let end = self.large.front().map_or(self.buffer.len(), |large| large.at);
        // Who takes the buffer may keep it for long, so it is not given away for a few bytes of it.
        let is_short = end - self.written < self.buffer.capacity() / 2;
        let taken = if self.written < end && (is_short || !self.large.is_empty()) {
            let end = end.min(self.written + limit);
            let taken = Bytes::copy_from_slice(&self.buffer[self.written..end]);
            self.written = end;
            taken
        } else {
            if self.written < end {
                self.own_buffer();
            }
            let Large { payload, .. } = self.large.front_mut()?;
            let taken = payload.split_to(limit.min(payload.len()));
            self.large_bytes -= taken.len();
            if payload.is_empty() {
                self.large.pop_front();
            }
            taken
        };
        if self.unsent() == 0 {
            self.clear();
        }
        Some(taken)
    }

    /// Makes the whole buffer one payload, of which others can own parts.
    fn own_buffer(&mut self) {
        let mut payload = spare::outgoing(std::mem::take(&mut self.buffer));
        payload.advance(std::mem::take(&mut self.written));
        self.large_bytes += payload.len();
        self.large.push_front(Large { at: 0, payload });
    }

    /// Forgets everything that is not written.
    pub(super) fn clear(&mut self) {
        spare::give_outgoing(std::mem::take(&mut self.buffer));
        self.written = 0;
        if self.large.capacity() > 0 {
            self.large = VecDeque::new();
            self.large_bytes = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(outgoing: &Outgoing) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 64];
        let filled = outgoing.slices(&mut slices);
        slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect()
    }

    #[test]
    fn frames_are_written_in_order_whatever_their_size_and_however_the_writes_are_cut() {
        let sizes = [0, 20, LARGE, 5, 5, LARGE + 1, LARGE, 125, 126];
        let mut all = Vec::new();
        for (i, size) in sizes.into_iter().enumerate() {
            let (header, length) = encode_header(Opcode::Binary, size);
            all.extend_from_slice(&header[..length]);
            all.extend(std::iter::repeat_n(i as u8, size));
        }
        for step in [1000, 1, 7, 16 * 1024, all.len()] {
            let mut outgoing = Outgoing::default();
            for (i, size) in sizes.into_iter().enumerate() {
                outgoing.push(Frame::binary(vec![i as u8; size]));
            }
            let mut written = 0;
            while outgoing.unsent() > 0 {
                assert_eq!(outgoing.unsent(), all.len() - written);
                if step > 1 || written % 1013 == 0 {
                    assert_eq!(rest(&outgoing), all[written..]);
                }
                let count = step.min(outgoing.unsent());
                outgoing.sent(count);
                written += count;
            }
            assert_eq!(written, all.len());
        }
    }

    /// The payloads lie in the frames themselves, and what is behind them is copied, too.
    #[test]
    fn short_frames_lie_side_by_side_however_much_room_the_buffer_has_left() {
        for first in 0..=200 {
            let mut outgoing = Outgoing::default();
            let mut all = Vec::new();
            for size in (0..=33).cycle().skip(first).take(200) {
                let payload = vec![size as u8; size];
                all.extend([0x82, size as u8]);
                all.extend_from_slice(&payload);
                outgoing.push(Frame::binary(&payload[..]));
                assert_eq!(outgoing.unsent(), all.len());
            }
            assert_eq!(rest(&outgoing), all);
        }
    }

    #[test]
    fn what_is_taken_is_what_would_have_been_written() {
        for limit in [1, 7, 1000, LARGE, 10 * LARGE] {
            let (mut outgoing, mut taken) = (Outgoing::default(), Vec::new());
            for size in [3, LARGE, 20, 2 * LARGE, LARGE, 5] {
                outgoing.push(Frame::binary(vec![size as u8; size]));
            }
            let all = rest(&outgoing);
            outgoing.sent(2);
            taken.extend_from_slice(&all[..2]);
            while let Some(bytes) = outgoing.take(limit) {
                assert!((1..=limit).contains(&bytes.len()));
                taken.extend_from_slice(&bytes);
                assert_eq!(outgoing.unsent(), all.len() - taken.len());
            }
            assert!(taken == all, "{limit}");
            assert_eq!(outgoing.buffer.capacity() + outgoing.large.capacity(), 0);
            assert_eq!(outgoing.take(0), None);
        }
    }

    #[test]
    fn a_large_payload_is_not_copied_and_nothing_is_held_after_it_was_written() {
        let payload = Bytes::from(vec![1; LARGE]);
        let mut outgoing = Outgoing::default();
        outgoing.push(Frame::binary(payload.clone()));
        let mut slices = [IoSlice::new(&[]); 4];
        assert_eq!(outgoing.slices(&mut slices), 2);
        assert_eq!(slices[1].as_ptr(), payload.as_ptr());
        outgoing.sent(outgoing.unsent());
        assert_eq!(outgoing.buffer.capacity() + outgoing.large.capacity(), 0);
        assert!(payload.is_unique());
        outgoing.push(Frame::binary(payload.clone()));
        assert_eq!(outgoing.take(LARGE).unwrap().len(), 4);
        assert_eq!(outgoing.take(LARGE).unwrap().as_ptr(), payload.as_ptr());
    }

    #[test]
    fn a_buffer_that_is_taken_comes_back_and_is_copied_only_where_little_of_it_is_used() {
        let mut outgoing = Outgoing::default();
        outgoing.push(Frame::binary(vec![1; 1000]));
        let address = outgoing.buffer.as_ptr();
        assert_eq!(outgoing.take(LARGE).unwrap().as_ptr(), address);
        outgoing.push(Frame::binary(vec![2; 100]));
        assert_eq!(outgoing.buffer.as_ptr(), address);
        let short = outgoing.take(LARGE).unwrap();
        assert!(short.as_ptr() != address && short.len() == 102, "a copy");
        outgoing.push(Frame::binary(vec![3; 1000]));
        assert_eq!(outgoing.buffer.as_ptr(), address);
    }

    #[test]
    fn what_is_pushed_behind_a_partly_written_buffer_follows_it() {
        let mut outgoing = Outgoing::default();
        outgoing.push(Frame::binary(vec![1; 3]));
        outgoing.sent(2);
        outgoing.push(Frame::binary(vec![2; LARGE]));
        outgoing.push(Frame::binary(vec![3; 1]));
        assert_eq!(outgoing.unsent(), 3 + 4 + LARGE + 3);
        let bytes = rest(&outgoing);
        assert_eq!(bytes.len(), outgoing.unsent());
        assert_eq!(bytes[..7], [1, 1, 1, 0x82, 126, 0x40, 0]);
        assert_eq!(bytes[bytes.len() - 3..], [0x82, 1, 3]);
    }

    #[test]
    fn for_a_peer_that_never_takes_everything_the_buffer_does_not_grow_for_ever() {
        let mut outgoing = Outgoing::default();
        for i in 0..10_000 {
            outgoing.push(Frame::binary(vec![i as u8; 998]));
            if i % 100 == 0 {
                outgoing.push(Frame::binary(vec![i as u8; LARGE]));
            }
            while outgoing.unsent() > 2 * LARGE {
                outgoing.sent(500);
            }
        }
        assert!(outgoing.buffer.capacity() <= 8 * LARGE, "{}", outgoing.buffer.capacity());
        let bytes = rest(&outgoing);
        assert!(bytes.ends_with(&[9_999_u32 as u8; 998]) && bytes.len() == outgoing.unsent());
    }

    #[test]
    fn while_it_waits_a_connection_holds_little_that_it_does_not_need() {
        let mut outgoing = Outgoing::default();
        for i in 0..100 {
            outgoing.push(Frame::binary(vec![i; 998]));
        }
        outgoing.push(Frame::binary(vec![100; LARGE]));
        outgoing.push(Frame::binary(vec![101; 10]));
        outgoing.sent(99_999);
        let before = rest(&outgoing);
        let address = outgoing.buffer.as_ptr();
        outgoing.shrink();
        assert_eq!(rest(&outgoing), before);
        assert!(outgoing.buffer.capacity() < 1000);
        let mut other = Outgoing::default();
        other.push(Frame::binary(vec![1]));
        assert_eq!(other.buffer.as_ptr(), address);
    }
}
