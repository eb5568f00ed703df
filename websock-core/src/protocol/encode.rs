//! What waits to be written: small frames side by side in one buffer, large payloads as they are.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

use super::header::{Opcode, encode_compressed_header, encode_header, encode_short_header};
use crate::message::{Content, Frame};

/// From here on a payload is written from where it lies; below, a copy is cheaper than another slice.
const LARGE: usize = 16 * 1024;

/// The first room of the buffer for small frames: one wake's worth of small messages rarely needs to grow it.
const FIRST_ROOM: usize = 1024;

/// Encoded frames in the order in which they will be written.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// What comes before `tail`.
    segments: VecDeque<Bytes>,
    /// Small frames, and the headers of large ones, since the last large payload.
    tail: Vec<u8>,
    /// How much of `tail` is written already (only where `segments` is empty).
    written: usize,
    unsent: usize,
}

impl Outgoing {
    /// How many bytes wait to be written.
    #[inline]
    pub(super) fn unsent(&self) -> usize {
        self.unsent
    }

    /// Queues a message as one unfragmented frame.
    #[inline(always)]
    pub(super) fn push(&mut self, frame: Frame) {
        match frame.content {
            Content::Payload(payload) => {
                if let Some(header) = encode_short_header(frame.opcode, payload.len()) {
                    return self.append_small(&header, &payload);
                }
                let (header, size) = encode_header(frame.opcode, payload.len());
                self.append(&header[..size], payload);
            }
            Content::Prepared(prepared) => self.push_encoded(prepared.plain()),
        }
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
        let length = header.len() + payload.len();
        if self.tail.capacity() - self.tail.len() < length {
            self.grow(length);
        }
        self.tail.extend_from_slice(header);
        self.tail.extend_from_slice(payload);
        self.unsent += length;
    }

    #[cold]
    fn grow(&mut self, length: usize) {
        self.tail.reserve(length.max(FIRST_ROOM));
    }

    #[cold]
    fn append_large(&mut self, header: &[u8], payload: Bytes) {
        self.unsent += header.len() + payload.len();
        self.tail.extend_from_slice(header);
        if !self.tail.is_empty() {
            let mut tail = Bytes::from(std::mem::take(&mut self.tail));
            tail.advance(std::mem::take(&mut self.written));
            self.segments.push_back(tail);
        }
        self.segments.push_back(payload);
    }

    /// Fills `slices` with what is to be written next, and tells how many it filled.
    pub(super) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let tail = &self.tail[self.written..];
        let parts =
            self.segments.iter().map(|segment| &segment[..]).chain((!tail.is_empty()).then_some(tail));
        let mut filled = 0;
        for (slice, part) in slices.iter_mut().zip(parts) {
            *slice = IoSlice::new(part);
            filled += 1;
        }
        filled
    }

    /// The first `count` bytes are written. When nothing is left no memory is held (SPEC B8).
    pub(super) fn sent(&mut self, mut count: usize) {
        assert!(count <= self.unsent, "more is written than was there");
        self.unsent -= count;
        if self.unsent == 0 {
            return self.clear();
        }
        while let Some(segment) = self.segments.front_mut() {
            if count < segment.len() {
                return segment.advance(count);
            }
            count -= segment.len();
            self.segments.pop_front();
        }
        self.written += count;
    }

    /// Takes what is to be written next, at most `limit` bytes of it.
    pub(super) fn take(&mut self, limit: usize) -> Option<Bytes> {
        if limit == 0 {
            return None;
        }
        if self.segments.is_empty() {
            if self.unsent == 0 {
                return None;
            }
            let mut tail = Bytes::from(std::mem::take(&mut self.tail));
            tail.advance(std::mem::take(&mut self.written));
            self.segments.push_back(tail);
        }
        let segment = self.segments.front_mut()?;
        let taken = segment.split_to(limit.min(segment.len()));
        if segment.is_empty() {
            self.segments.pop_front();
        }
        self.unsent -= taken.len();
        if self.unsent == 0 {
            self.clear();
        }
        Some(taken)
    }

    /// Forgets everything that is not written.
    pub(super) fn clear(&mut self) {
        *self = Outgoing::default();
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
            assert_eq!(outgoing.tail.capacity() + outgoing.segments.capacity(), 0);
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
        assert_eq!(outgoing.tail.capacity() + outgoing.segments.capacity(), 0);
        assert!(payload.is_unique());
        outgoing.push(Frame::binary(payload.clone()));
        assert_eq!(outgoing.take(LARGE).unwrap().len(), 4);
        assert_eq!(outgoing.take(LARGE).unwrap().as_ptr(), payload.as_ptr());
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
}
